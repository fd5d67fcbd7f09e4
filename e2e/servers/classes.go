package servers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	if !fast(flags) {
		return nil, nil
	}
	lib, err := HBaseJars(ctx)
	if err != nil {
		return nil, err
	}
	return sharedClasses(ctx, "HBase", lib, func(ctx context.Context, dir string, flags []string) error {
		h, err := startHBase(ctx, HBaseOptions{Name: "for its classes", Dir: dir, HeapMB: 512, JVMFlags: flags}, nil)
		if err != nil {
			return err
		}
		return h.Stop(ctx)
	})
}

func kafkaClasses(ctx context.Context, flags []string) ([]string, error) {
	if !fast(flags) {
		return nil, nil
	}
	lib, err := KafkaJars(ctx)
	if err != nil {
		return nil, err
	}
	return sharedClasses(ctx, "Kafka", lib, func(ctx context.Context, dir string, flags []string) error {
		k, err := startKafka(ctx, KafkaOptions{Dir: dir, JVMFlags: flags}, nil)
		if err != nil {
			return err
		}
		return k.Stop(ctx)
	})
}

// sharedClasses are the flags of an archive of the classes that record loads from the jars of lib: it runs a server with the flags that
// it is given.
func sharedClasses(ctx context.Context, what, lib string, record func(ctx context.Context, dir string, flags []string) error) ([]string, error) {
	java, err := Java()
	if err != nil {
		return nil, err
	}
	version, err := exec.CommandContext(ctx, java, "-version").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("run %s -version: %w", java, err)
	}
	sum := sha256.Sum256(append(version, lib...)) // an archive is of one JVM and one class path
	const archive = "classes.jsa"
	dir, err := Cached(ctx, "classes-"+hex.EncodeToString(sum[:6]), func(ctx context.Context, dir string) error {
		start := time.Now()
		fmt.Fprintf(os.Stderr, "waltap e2e: making an archive of %s's classes (once, up to a minute) ...\n", what)
		work, list := filepath.Join(dir, "work"), filepath.Join(dir, "classes.lst")
		if err := record(ctx, work, []string{"-XX:TieredStopAtLevel=1", "-XX:DumpLoadedClassList=" + list}); err != nil {
			return err
		}
		if err := os.RemoveAll(work); err != nil {
			return fmt.Errorf("make an archive of %s's classes: %w", what, err)
		}
		cmd := exec.CommandContext(ctx, java, "-Xshare:dump", "-XX:SharedClassListFile="+list, "-XX:SharedArchiveFile="+filepath.Join(dir, archive),
			"-XX:+UseSerialGC", "-cp", lib+"/*")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("make an archive of %s's classes: %w\n%s", what, err, lastLines(out, 20))
		}
		if err := os.Remove(list); err != nil {
			return fmt.Errorf("make an archive of %s's classes: %w", what, err)
		}
		fmt.Fprintf(os.Stderr, "waltap e2e: made it in %s\n", time.Since(start).Round(100*time.Millisecond))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return []string{"-XX:SharedArchiveFile=" + filepath.Join(dir, archive)}, nil
}
