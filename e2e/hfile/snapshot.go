package hfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/waltap/waltap/e2e/servers"
)

// MakeSnapshot makes a snapshot with HBase's own classes below dir: DIR/root is the root of an HBase, DIR/cells.tsv has what HBase's own
// raw scan of the table shows: row, family, qualifier, timestamp, type, tags in hexadecimal, value.
func MakeSnapshot(ctx context.Context, dir string) error {
	java, err := servers.Java()
	if err != nil {
		return err
	}
	jars, err := servers.HBaseJars(ctx)
	if err != nil {
		return err
	}
	classes, err := servers.CompileJava(ctx, "snapshots", sources, jars, "java/Snapshots.java")
	if err != nil {
		return err
	}
	for _, sub := range []string{"root", "wal", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return fmt.Errorf("make a snapshot: %w", err)
		}
	}
	args := append([]string{"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Djava.io.tmpdir=" + filepath.Join(dir, "tmp")}, servers.HBaseJVMFlags()...)
	args = append(args, "-cp", classes+":"+jars+"/*", "Snapshots", filepath.Join(dir, "root"), filepath.Join(dir, "wal"), filepath.Join(dir, "cells.tsv"))
	cmd := exec.CommandContext(ctx, java, args...)
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return errors.Join(fmt.Errorf("make a snapshot: %w", err), errors.New(out.String()))
	}
	return nil
}
