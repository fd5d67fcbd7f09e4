package servers

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

//go:embed poms
var poms embed.FS

// HBaseJars returns the folder with the jars of HBase and its tools, fetching them
// the first time.
func HBaseJars(ctx context.Context) (string, error) { return jars(ctx, "hbase", copyJars) }

// HBase1Jars returns the folder with the jars of HBase1, fetching them the first time.
func HBase1Jars(ctx context.Context) (string, error) { return jars(ctx, "hbase1", copyJars) }

// HFileCodecJars returns the folder with the codecs that HBase 2.6.4 compresses files with, for beside HBaseJars, fetching them the
// first time.
func HFileCodecJars(ctx context.Context) (string, error) { return jars(ctx, "hfile", copyJars) }

func hbaseJars(ctx context.Context, version string) (string, error) {
	switch version {
	case "":
		return HBaseJars(ctx)
	case HBase1:
		return HBase1Jars(ctx)
	}
	return "", fmt.Errorf("start HBase %s: only %s can be run beside 2.6.4", version, HBase1)
}

// KafkaJars returns the folder with the jars of the Kafka broker, its tools and the
// Connect worker, fetching them the first time.
func KafkaJars(ctx context.Context) (string, error) { return jars(ctx, "kafka", copyJars) }

// RegistryJars returns the folder with the schema registry's jars, fetching them the first time.
func RegistryJars(ctx context.Context) (string, error) { return jars(ctx, "registry", unpackJars) }

// Goals of the maven-dependency-plugin.
const (
	copyJars   = "copy-dependencies"
	unpackJars = "unpack"
)

func jars(ctx context.Context, name, goal string) (string, error) {
	pom, err := poms.ReadFile("poms/" + name + "/pom.xml")
	if err != nil {
		return "", fmt.Errorf("read pom: %w", err)
	}
	sum := sha256.Sum256(pom)
	return Cached(ctx, name+"-jars-"+hex.EncodeToString(sum[:6]), func(ctx context.Context, dir string) error {
		file := filepath.Join(dir, "pom.xml")
		if err := os.WriteFile(file, pom, 0o644); err != nil {
			return fmt.Errorf("write pom: %w", err)
		}
		fmt.Fprintf(os.Stderr, "waltap e2e: fetching the %s jars with Maven (once, up to a minute) ...\n", name)
		start := time.Now()
		if err := mavenFetch(ctx, goal, file, dir); err != nil {
			return err
		}
		if err := os.RemoveAll(filepath.Join(dir, "target")); err != nil {
			return fmt.Errorf("clean up after mvn: %w", err)
		}
		fmt.Fprintf(os.Stderr, "waltap e2e: fetched the %s jars in %s\n", name, time.Since(start).Round(100*time.Millisecond))
		return nil
	})
}

// HBaseJVMFlags are the flags HBase and Hadoop need on Java 17, servers and tools
// alike.
func HBaseJVMFlags() []string {
	flags := []string{
		"-Djava.net.preferIPv4Stack=true",
		"-Dorg.apache.hbase.thirdparty.io.netty.tryReflectionSetAccessible=true",
		"--add-modules", "jdk.unsupported",
	}
	for _, pkg := range []string{"java.nio", "sun.nio.ch", "java.lang", "jdk.internal.ref", "java.lang.reflect",
		"java.util", "java.util.concurrent", "jdk.internal.util.random"} {
		flags = append(flags, "--add-opens", "java.base/"+pkg+"=ALL-UNNAMED")
	}
	return append(flags,
		"--add-exports", "java.base/jdk.internal.misc=ALL-UNNAMED",
		"--add-exports", "java.security.jgss/sun.security.krb5=ALL-UNNAMED")
}
