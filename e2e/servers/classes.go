package servers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// fast tells whether a JVM was given FastStart. Those are also given shared classes.
func fast(flags []string) bool {
	return !slices.ContainsFunc(FastStart, func(f string) bool { return !slices.Contains(flags, f) })
}

// HBaseClasses are the flags by which a JVM takes what it loads of HBase's and Hadoop's jars from an archive (class data sharing), which
// is made the first time: HBase is up with 3.6 instead of 6.6 CPU seconds (three pairs). They are for class paths that begin with these
// jars, the folder first of all, and none for a JVM that was not given FastStart.
func HBaseClasses(ctx context.Context, flags []string) ([]string, error) {
	return sharedClasses(ctx, "HBase", flags, HBaseJars, func(ctx context.Context, dir string, flags []string) (stopper, error) {
		return startHBase(ctx, HBaseOptions{Name: "for its classes", Dir: dir, HeapMB: 512, JVMFlags: flags}, nil)
	})
}

func kafkaClasses(ctx context.Context, flags []string) ([]string, error) {
	return sharedClasses(ctx, "Kafka", flags, KafkaJars, func(ctx context.Context, dir string, flags []string) (stopper, error) {
		return startKafka(ctx, KafkaOptions{Dir: dir, JVMFlags: flags}, nil)
	})
}

// stopper is a server that was started for its classes.
type stopper interface{ Stop(context.Context) error }

// startFunc starts a server in a folder, with JVM flags.
type startFunc func(ctx context.Context, dir string, flags []string) (stopper, error)

// javaText is what java says of its version: an archive is of one JVM.
var javaText = sync.OnceValues(func() ([]byte, error) {
	java, err := Java()
	if err != nil {
		return nil, err
	}
	text, err := exec.Command(java, "-version").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("run %s -version: %w", java, err)
	}
	return text, nil
})

// sharedClasses are the flags of the archive of what start's server loads from its jars, for a JVM that has flags.
func sharedClasses(ctx context.Context, what string, flags []string, jars func(context.Context) (string, error), start startFunc) ([]string, error) {
	if !fast(flags) {
		return nil, nil
	}
	lib, err := jars(ctx)
	if err != nil {
		return nil, err
	}
	version, err := javaText()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(slices.Concat(version, []byte(lib)))
	dir, err := Cached(ctx, "classes-"+hex.EncodeToString(sum[:6]), func(ctx context.Context, dir string) error {
		began := time.Now()
		fmt.Fprintf(os.Stderr, "waltap e2e: making an archive of %s's classes (once, up to a minute) ...\n", what)
		if err := makeArchive(ctx, dir, lib, start); err != nil {
			return fmt.Errorf("make an archive of %s's classes: %w", what, err)
		}
		fmt.Fprintf(os.Stderr, "waltap e2e: made it in %s\n", time.Since(began).Round(100*time.Millisecond))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return []string{"-XX:SharedArchiveFile=" + filepath.Join(dir, archiveFile)}, nil
}

const archiveFile = "classes.jsa"

// makeArchive runs a server to know its classes, and leaves the archive of them in dir.
func makeArchive(ctx context.Context, dir, lib string, start startFunc) error {
	java, err := Java()
	if err != nil {
		return err
	}
	work, list := filepath.Join(dir, "work"), filepath.Join(dir, "classes.lst")
	s, err := start(ctx, work, []string{"-XX:TieredStopAtLevel=1", "-XX:DumpLoadedClassList=" + list})
	if err != nil {
		return err
	}
	if err := s.Stop(ctx); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, java, "-Xshare:dump", "-XX:SharedClassListFile="+list, "-XX:SharedArchiveFile="+filepath.Join(dir, archiveFile),
		"-XX:+UseSerialGC", "-cp", lib+"/*")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, lastLines(out, 20))
	}
	return errors.Join(os.Remove(list), os.RemoveAll(work))
}
