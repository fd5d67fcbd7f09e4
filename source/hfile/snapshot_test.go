package hfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waltap/waltap/internal/filesystem"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/cell"
	hscan "github.com/waltap/waltap/internal/hbase/scan"
	"github.com/waltap/waltap/internal/hbase/snapshot"
	"github.com/waltap/waltap/internal/hfile"
	"github.com/waltap/waltap/source/replication"
)

// The snapshot of testdata was made by HBase's own classes, cells.tsv by its own raw scan: regions that were split, so that all files but
// one are halves; compacted; bulk-loaded into over cells that were there, and written to afterwards; MOB values; TTLs; all kinds of deletes.
const table = "shop:orders"

// copied is a copy of the testdata that may be changed.
func copied(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	if err := os.CopyFS(root, os.DirFS("testdata/root")); err != nil {
		t.Fatal(err)
	}
	return filepath.ToSlash(root)
}

func open(root string) *Source {
	return New(Config{FS: filesystem.Local{}, Root: root, Snapshot: func(string) (string, error) { return "orders_snap", nil }})
}

func expected(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("testdata/cells.tsv")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func regions(t *testing.T, s *Source) []admin.Region {
	t.Helper()
	rs, err := s.Regions(t.Context(), table)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// readAll reads parts of regions as text, and closes them.
func readAll(t *testing.T, s *Source, reqs ...hscan.Request) string {
	t.Helper()
	var out strings.Builder
	for _, req := range reqs {
		st, err := s.Open(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if err := dumpStream(t.Context(), st, &out); err != nil {
			t.Fatal(err)
		}
		st.Close(t.Context())
	}
	return out.String()
}

func whole(t *testing.T, s *Source) (reqs []hscan.Request) {
	t.Helper()
	for _, r := range regions(t, s) {
		reqs = append(reqs, hscan.Request{Table: table, Region: r, Start: r.Start, Stop: r.End})
	}
	return reqs
}

func TestSnapshotIsWhatHBaseShows(t *testing.T) {
	s := open("testdata/root")
	if err := s.Check(t.Context(), table, []string{"a", "m"}); err != nil {
		t.Fatal(err)
	}
	want := expected(t)
	if d := cmp.Diff(want, readAll(t, s, whole(t, s)...)); d != "" {
		t.Error(d)
	}
	if !strings.Contains(want, "long enough to be a MOB") || !strings.Contains(want, "after the bulk load") || !strings.Contains(want, "\tbulk\n") {
		t.Error("the testdata is not what it is to be")
	}
	for _, size := range []int64{1, 300} { // batches that end within a row
		reqs := whole(t, s)
		for i := range reqs {
			reqs[i].MaxResultBytes = size
		}
		if d := cmp.Diff(want, readAll(t, s, reqs...)); d != "" {
			t.Errorf("in batches of %d bytes: %s", size, d)
		}
	}
}

// Negative control: were the file that was written first to win, the cells would be others.
func TestOrderOfFilesMatters(t *testing.T) {
	s := open("testdata/root")
	_, r, err := s.region(table, regions(t, s)[0].Encoded)
	if err != nil {
		t.Fatal(err)
	}
	files, err := s.openAll(r, []string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(files)
	read := func(turn int64) string {
		ins, err := inputs(files, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range ins {
			in.cells, in.order = &turned{in.cells, turn}, in.order*int(turn)
			in.sequence *= turn
		}
		return strings.Join(merged(t, ins...), "\n")
	}
	if read(1) == read(-1) {
		t.Error("the order of sequences makes no difference")
	}
}

// turned has the sequences of its cells multiplied.
type turned struct {
	cells
	by int64
}

func (f *turned) Next(c *hfile.Cell) (bool, error) {
	more, err := f.cells.Next(c)
	c.Sequence *= f.by
	return more, err
}

// The files of a region that was split are moved to the archive, and so are MOB files.
func TestArchivedFiles(t *testing.T) {
	root := copied(t)
	for _, dir := range []string{"data", "mobdir/data"} {
		if err := os.MkdirAll(root+"/archive/data/shop/orders", 0o755); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(root + "/" + dir + "/shop/orders")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			from, to := root+"/"+dir+"/shop/orders/"+e.Name(), root+"/archive/data/shop/orders/"+e.Name()
			if err := errors.Join(os.CopyFS(to, os.DirFS(from)), os.RemoveAll(from)); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := open(root)
	if err := s.Check(t.Context(), table, []string{"a", "m"}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(expected(t), readAll(t, s, whole(t, s)...)); d != "" {
		t.Error(d)
	}
}

// A region that is read in parts, cut anywhere or where its files say, is the same.
func TestParts(t *testing.T) {
	s := open("testdata/root")
	for _, r := range regions(t, s) {
		all := readAll(t, s, hscan.Request{Table: table, Region: r, Start: r.Start, Stop: r.End})
		cuts, err := s.Cuts(t.Context(), hscan.Request{Table: table, Region: r, Start: r.Start, Stop: r.End, Families: []string{"a"}}, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(cuts) == 0 || len(cuts) > 2 {
			t.Errorf("region %s is cut at %q", r.Encoded, cuts)
		}
		for _, cuts := range [][][]byte{cuts, {[]byte("r000"), []byte("r0055"), []byte("r031"), []byte("r044\x00")}} {
			var reqs []hscan.Request
			start := r.Start
			for _, row := range cuts {
				if bytes.Compare(row, start) > 0 && (len(r.End) == 0 || bytes.Compare(row, r.End) < 0) {
					reqs = append(reqs, hscan.Request{Table: table, Region: r, Start: start, Stop: row})
					start = row
				}
			}
			reqs = append(reqs, hscan.Request{Table: table, Region: r, Start: start, Stop: r.End})
			if d := cmp.Diff(all, readAll(t, s, reqs...)); d != "" {
				t.Errorf("cut at %q: %s", cuts, d)
			}
		}
	}
}

func TestFamiliesAndTimes(t *testing.T) {
	s := open("testdata/root")
	reqs := whole(t, s)
	const ts = 1_700_000_000_000
	for i := range reqs {
		reqs[i].Families, reqs[i].MinTimestamp, reqs[i].MaxTimestamp = []string{"a"}, ts, ts+2
	}
	var want strings.Builder
	for line := range strings.Lines(expected(t)) {
		f := strings.Split(line, "\t")
		if f[1] == "a" && (f[3] == fmt.Sprint(ts) || f[3] == fmt.Sprint(ts+1)) {
			want.WriteString(line)
		}
	}
	if d := cmp.Diff(want.String(), readAll(t, s, reqs...)); d != "" {
		t.Error(d)
	}
}

// The read point is the lowest of the families'; bulk-loaded files say nothing of it.
func TestReadPoint(t *testing.T) {
	s := open("testdata/root")
	points := func(families ...string) (out []uint64) {
		for _, r := range regions(t, s) {
			st, err := s.Open(t.Context(), hscan.Request{Table: table, Region: r, Families: families})
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, st.ReadPoint())
			st.Close(t.Context())
		}
		return out
	}
	a, m, both := points("a"), points("m"), points()
	if a[0] <= a[1] || a[1] <= m[1] || m[1] == 0 {
		t.Errorf("a is complete up to %d, m up to %d: the lower region's a was written last, then a, then m", a, m)
	}
	if d := cmp.Diff(m, both); d != "" {
		t.Errorf("of both: %s", d)
	}
	if got := points("none"); got[0] != 0 {
		t.Errorf("a family without files is complete up to %d", got)
	}
}

func TestCheckRefuses(t *testing.T) {
	missing := copied(t)
	var files []string
	err := filepath.WalkDir(missing+"/data", func(p string, d fs.DirEntry, err error) error {
		if err == nil && strings.Contains(p, "_SeqId_") && !strings.Contains(filepath.Base(p), ".") {
			files = append(files, p)
		}
		return err
	})
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	if err := open(missing).Check(t.Context(), table, []string{"a"}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), filepath.Base(files[0])) {
		t.Errorf("a file that is gone: %v", err)
	}
	for attribute, value := range map[string]string{"NEW_VERSION_BEHAVIOR": "TRUE", "ENCRYPTION": "AES"} {
		s := open("testdata/root")
		m, err := s.snapshot(table)
		if err != nil {
			t.Fatal(err)
		}
		m.Schema.Family("a").Attributes[attribute] = value
		if err := s.Check(t.Context(), table, []string{"a"}); err == nil || !strings.Contains(err.Error(), "snapshot.reader: scan") {
			t.Errorf("%s: %v", attribute, err)
		}
		if err := s.Check(t.Context(), table, []string{"m"}); err != nil {
			t.Errorf("another family has %s: %v", attribute, err)
		}
	}
	if err := open("testdata/root").Check(t.Context(), table, []string{"x"}); err == nil {
		t.Error("a family that the snapshot has not was taken")
	}
	if _, err := open("testdata/root").Regions(t.Context(), "shop:others"); err == nil || !strings.Contains(err.Error(), "of table shop:orders") {
		t.Errorf("another table's snapshot: %v", err)
	}
}

// A MOB value whose file is gone, or has no such cell, is an error: the table has it no more either.
func TestMobFileGone(t *testing.T) {
	root := copied(t)
	if err := os.RemoveAll(root + "/mobdir"); err != nil {
		t.Fatal(err)
	}
	s := open(root)
	if err := s.Check(t.Context(), table, []string{"m"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, want fs.ErrNotExist", err)
	}
	st, err := s.Open(t.Context(), whole(t, s)[0])
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close(t.Context())
	if err := dumpStream(t.Context(), st, io.Discard); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "MOB value of m:blob") {
		t.Errorf("%v", err)
	}
}

// The cells of a bulk load are those of its file, wherever that is by now.
func TestBulkLoad(t *testing.T) {
	s := open("testdata/root")
	m, err := s.snapshot(table)
	if err != nil {
		t.Fatal(err)
	}
	load := replication.BulkLoad{Table: table}
	for _, f := range m.Regions[0].Files {
		if strings.Contains(f.File, "_SeqId_") {
			load.Files = append(load.Files, replication.BulkFile{Family: "a", Name: f.File})
			load.Region = f.Paths[0][strings.LastIndexByte(f.Paths[0][:strings.LastIndex(f.Paths[0], "/a/")], '/')+1 : strings.LastIndex(f.Paths[0], "/a/")]
		}
	}
	if len(load.Files) != 1 {
		t.Fatalf("%+v", load)
	}
	n := 0
	err = s.BulkLoad(t.Context(), load, func(c *cell.Cell) error {
		if want := fmt.Sprintf("r%03d", 2*n); string(c.Row) != want || string(c.Value) != "bulk" {
			t.Errorf("row %s, value %s, want row %s", c.Row, c.Value, want)
		}
		n++
		return nil
	})
	if err != nil || n != 30 {
		t.Errorf("%d cells, %v", n, err)
	}
	load.Files[0].Name = "../" + load.Files[0].Name
	if err := s.BulkLoad(t.Context(), load, func(*cell.Cell) error { return nil }); err == nil {
		t.Error("a path was taken for a file's name")
	}
}

func TestExpiry(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	family := func(name string, attributes map[string]string) admin.Family {
		return admin.Family{Name: name, Attributes: attributes}
	}
	e := newExpiry(&snapshot.Snapshot{Schema: admin.Table{Families: []admin.Family{family("ever", map[string]string{"TTL": "2147483647"}),
		family("ttl", map[string]string{"TTL": "100", "MIN_VERSIONS": "0"}), family("min", map[string]string{"TTL": "100", "MIN_VERSIONS": "1"})}}}, now)
	tag := cell.AppendTag(nil, cell.TagTTL, binary.BigEndian.AppendUint64(nil, 1000))
	for _, c := range []struct {
		family string
		ts     int64
		tags   []byte
		want   bool
	}{
		{"ever", 0, nil, false}, {"ttl", 900_000, nil, false}, {"ttl", 899_999, nil, true}, {"min", 0, nil, false},
		{"ever", 999_000, tag, false}, {"ever", 998_999, tag, true},
	} {
		got, err := e.expired(&cell.Cell{Family: []byte(c.family), Timestamp: c.ts, Type: cell.Put, Tags: c.tags})
		if err != nil || got != c.want {
			t.Errorf("%s at %d, tags %x: %t, %v", c.family, c.ts, c.tags, got, err)
		}
	}
	if _, err := e.expired(&cell.Cell{Family: []byte("ever"), Type: cell.Put, Tags: []byte{0, 9, 8}}); err == nil {
		t.Error("broken tags were taken")
	}
}
