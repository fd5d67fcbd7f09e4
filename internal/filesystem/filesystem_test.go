package filesystem

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseLocation(t *testing.T) {
	for in, want := range map[string]Location{
		"hdfs://nn:9000/hbase":            {NameNodes: []string{"nn:9000"}, Path: "/hbase"},
		"hdfs://nn1:8020,nn2/apps/hbase/": {NameNodes: []string{"nn1:8020", "nn2:8020"}, Path: "/apps/hbase"},
		"file:///data/hbase":              {Path: "/data/hbase"},
		"/data/hbase":                     {Path: "/data/hbase"},
	} {
		got, err := ParseLocation(in)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", in, d)
		}
		if again, err := ParseLocation(got.String()); err != nil || cmp.Diff(got, again) != "" {
			t.Errorf("%s becomes %s, which is another one: %v", in, got, err)
		}
	}
	for _, in := range []string{"", "hbase", "hdfs://", "hdfs:///hbase", "s3://bucket/hbase"} {
		if l, err := ParseLocation(in); err == nil {
			t.Errorf("%q was taken for %v", in, l)
		}
	}
}

func TestLocal(t *testing.T) {
	dir := filepath.ToSlash(t.TempDir())
	for name, text := range map[string]string{"a": "0123456789", ".a.crc": "sum"} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var f Local
	entries, err := f.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]Info{{Name: "a", Size: 10}}, entries); d != "" {
		t.Error(d)
	}
	if b, err := ReadFile(f, dir+"/a", 10); err != nil || string(b) != "0123456789" {
		t.Errorf("read %q, %v", b, err)
	}
	var refused *UnreadableError
	if _, err := ReadFile(f, dir+"/a", 9); !errors.As(err, &refused) {
		t.Errorf("a file over the limit: %v", err)
	}
	if _, err := f.Open(dir); !errors.As(err, &refused) {
		t.Errorf("a folder: %v", err)
	}
	for _, err := range []error{second(f.Open(dir + "/b")), second(f.Stat(dir + "/b")), second(f.ReadDir(dir + "/b"))} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v, want fs.ErrNotExist", err)
		}
	}
	if info, err := f.Stat(dir); err != nil || !info.Dir {
		t.Errorf("%+v, %v", info, err)
	}
}

func second[T any](_ T, err error) error { return err }
