//go:build e2e

package snapshots

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/filesystem"
	"github.com/waltap/waltap/internal/filesystem/hdfs"
	hscan "github.com/waltap/waltap/internal/hbase/scan"
	"github.com/waltap/waltap/internal/hbase/snapshot"
	"github.com/waltap/waltap/source/hfile"
)

// connect is HDFS as waltap reads it.
func connect(t *testing.T) *hdfs.FS {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	f, err := hdfs.Dial(hdfs.Config{NameNodes: []string{env.HDFS.Addr()}, User: u.Username})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// history is a table with all that a snapshot can hold: regions that were split, a bulk load over cells that are there, MOB
// values, delete markers, versions with one timestamp; and a snapshot of it.
func history(t *testing.T, table, name string) {
	t.Helper()
	ctx := testenv.Context(t, 3*time.Minute)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(env.Src.CreateTable(ctx, judge.Table{Name: table, Splits: judge.HexSplits(3),
		Attributes: map[string]string{"COMPACTION_ENABLED": "false"}, // the daughters of a split would not keep their halves
		Families: []judge.Family{
			{Name: "a", Versions: 100, Scope: 1, Attributes: map[string]string{"DATA_BLOCK_ENCODING": "FAST_DIFF", "COMPRESSION": "GZ"}},
			{Name: "m", Versions: 100, Scope: 1, Attributes: map[string]string{"IS_MOB": "true", "MOB_THRESHOLD": "1000"}},
		}}))
	for seed := range int64(3) { // the same rows and timestamps, other values
		_, err := env.Src.Load(ctx, table, judge.LoadSpec{Rows: torture[int64](1000, 3000), Seed: 1, Families: []string{"a"}, Columns: 3, Versions: 2, ValueSize: 20 + int(seed), BaseTime: 1_700_000_000_000})
		must(err)
		_, err = env.Src.Load(ctx, table, judge.LoadSpec{Rows: 50, Seed: 2, Families: []string{"m"}, Columns: 1, Versions: 1, ValueSize: 2000 + int(seed), BaseTime: 1_700_000_000_000})
		must(err)
		must(env.Src.Write(ctx, table,
			judge.Mutation{Kind: "delete", Row: []byte("5000"), Cells: []judge.Cell{{Family: []byte("a"), Timestamp: 1_700_000_000_000 + seed, Type: "DeleteFamily"}}}))
		must(env.Src.Flush(ctx, table))
	}
	must(env.Src.BulkLoad(ctx, table, judge.BulkSpec{Dir: env.HDFS.URL() + "/bulk/" + table, Family: "a", Qualifier: "b", Prefix: "6", Rows: 500, Timestamp: 1_700_000_000_000, Value: "bulk"}))
	must(env.Src.Write(ctx, table, judge.Mutation{Kind: "put", Row: []byte("6000007"), Cells: []judge.Cell{{Family: []byte("a"), Qualifier: []byte("b"), Timestamp: 1_700_000_000_000, Value: []byte("after")}}}))
	must(env.Src.Split(ctx, table, []byte("7fff")))
	_, err := env.Src.Load(ctx, table, judge.LoadSpec{Rows: 100, Seed: 1, Families: []string{"a"}, Columns: 1, Versions: 1, ValueSize: 9, BaseTime: 1_700_000_000_000}) // in memory
	must(err)
	must(env.Src.Snapshot(ctx, table, name))
}

// A snapshot's manifest names files that are there and hold what HBase showed, also when the table was split, cloned and dropped.
func TestSnapshotOfADroppedTable(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	clone := table + "_clone"
	history(t, table, table)
	ctx := testenv.Context(t, 5*time.Minute)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(env.Src.CloneSnapshot(ctx, clone, table))
	must(env.Src.Write(ctx, clone, judge.Mutation{Kind: "put", Row: []byte("6000007"), Cells: []judge.Cell{{Family: []byte("a"), Qualifier: []byte("b"), Timestamp: 1_700_000_000_000, Value: []byte("of the clone")}}}))
	must(env.Src.Snapshot(ctx, clone, clone))
	want := map[string][]judge.Cell{}
	for _, name := range []string{table, clone} {
		cells, err := env.Src.Cells(ctx, name, judge.ScanOptions{})
		must(err)
		want[name] = cells
	}
	must(env.Src.DropTable(ctx, table))
	f := connect(t)
	for _, name := range []string{table, clone} {
		s, err := snapshot.Load(f, "/hbase", name)
		must(err)
		keep(t, f, name)
		halves, links, archived := 0, 0, 0
		for _, r := range s.Regions {
			for i := range r.Files {
				sf := &r.Files[i]
				info, at, err := sf.Stat(f)
				must(err)
				if sf.Size != 0 && sf.Half == snapshot.Whole && info.Size != sf.Size {
					t.Errorf("%s has %d bytes, by the manifest %d", at, info.Size, sf.Size)
				}
				if sf.Half != snapshot.Whole {
					halves++
				}
				if sf.Link {
					links++
				}
				if strings.Contains(at, "/archive/") {
					archived++
				}
			}
		}
		t.Logf("%s: %d regions, %d parents, %d halves, %d links, %d in the archive, %d MOB files", name, len(s.Regions), s.Parents, halves, links, archived, len(s.Mob))
		if len(s.Regions) != 4 || halves == 0 || archived == 0 || (len(s.Mob) == 0) != (name == clone) || (name == clone && links == 0) {
			t.Errorf("snapshot %s is not what was made", name)
		}
		same(t, name, want[name], read(t, f, name))
	}
}

// read reads all that a snapshot of a table of the same name has.
func read(t *testing.T, f filesystem.FS, name string) []judge.Cell {
	t.Helper()
	src := hfile.New(hfile.Config{FS: f, Root: "/hbase", Snapshot: func(string) (string, error) { return name, nil }})
	table := "default:" + name
	if err := src.Check(t.Context(), table, []string{"a", "m"}); err != nil {
		t.Fatal(err)
	}
	regions, err := src.Regions(t.Context(), table)
	if err != nil {
		t.Fatal(err)
	}
	var out []judge.Cell
	for _, r := range regions {
		s, err := src.Open(t.Context(), hscan.Request{Table: table, Region: r, Start: r.Start, Stop: r.End, MaxResultBytes: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		for {
			b, err := s.Next(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range b.Cells {
				out = append(out, judge.Cell{Row: bytes.Clone(c.Row), Family: bytes.Clone(c.Family), Qualifier: bytes.Clone(c.Qualifier), Timestamp: c.Timestamp,
					Type: c.Type.String(), Value: bytes.Clone(c.Value), Tags: bytes.Clone(c.Tags)})
			}
		}
		s.Close(t.Context())
	}
	return out
}

func same(t *testing.T, what string, want, got []judge.Cell) {
	t.Helper()
	for i := range min(len(want), len(got)) {
		if d := cmp.Diff(want[i], got[i], cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("%s: cell %d (-HBase's own client, +files): %s", what, i, d)
		}
	}
	if len(want) != len(got) || len(got) == 0 {
		t.Fatalf("%s: %d cells by HBase's own client, %d from files", what, len(want), len(got))
	}
	t.Logf("%s: %d cells are equal", what, len(got))
}

// keep writes a snapshot's own files to $WALTAP_KEEP: the testdata of internal/hbase/snapshot.
func keep(t *testing.T, f filesystem.FS, name string) {
	dir := os.Getenv("WALTAP_KEEP")
	if dir == "" {
		return
	}
	for _, file := range []string{".snapshotinfo", "data.manifest"} {
		b, err := filesystem.ReadFile(f, snapshot.Dir("/hbase", name)+"/"+file, 1<<20)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name+file), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestNoSuchSnapshot(t *testing.T) {
	t.Parallel()
	testenv.Name(t)
	if _, err := snapshot.Load(connect(t), "/hbase", "no_such"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(fmt.Errorf("%w, want fs.ErrNotExist", err))
	}
}
