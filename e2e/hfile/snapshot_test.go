//go:build e2e

package hfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/filesystem"
	"github.com/waltap/waltap/source/hfile"
)

// TestSnapshotTestdata: a snapshot of HBase's own making is read as HBase itself reads the table. With -update it becomes the testdata of
// source/hfile.
func TestSnapshotTestdata(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := MakeSnapshot(testenv.Context(t, 3*time.Minute), dir); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join(dir, "cells.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	src := hfile.New(hfile.Config{FS: filesystem.Local{}, Root: filepath.ToSlash(dir) + "/root", Snapshot: func(string) (string, error) { return "orders_snap", nil }})
	var got strings.Builder
	if err := hfile.Dump(t.Context(), src, "shop:orders", &got); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got.String()); d != "" {
		t.Fatal(d)
	}
	if *update {
		to := "../../source/hfile/testdata"
		if err := errors.Join(os.RemoveAll(to+"/root"), os.CopyFS(to+"/root", os.DirFS(filepath.Join(dir, "root"))), os.WriteFile(to+"/cells.tsv", want, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}
