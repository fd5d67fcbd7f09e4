//go:build e2e

package hfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/hfile"
)

// open opens a file that was made, with workers goroutines.
func open(t testing.TB, f File, workers int) *hfile.File {
	t.Helper()
	file, err := os.Open(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	st, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	h, err := hfile.Open(file, st.Size(), hfile.Options{Name: f.Name, Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func sum(t testing.TB, h *hfile.File, start, stop []byte, keep func(*hfile.Cell) bool) Sum {
	t.Helper()
	s, err := h.Scan(start, stop)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var sum Sum
	var c hfile.Cell
	for {
		ok, err := s.Next(&c)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return sum
		}
		if keep == nil || keep(&c) {
			sum.Add(&c)
		}
	}
}

// matrix are the files of every encoding, compression and kind of tags.
func matrix(rows, big int) []Spec {
	var specs []Spec
	for _, encoding := range []string{"NONE", "PREFIX", "DIFF", "FAST_DIFF", "ROW_INDEX_V1"} {
		for _, compression := range []string{"NONE", "GZ", "SNAPPY", "LZ4", "ZSTD"} {
			for tags, name := range []string{"", "-tags", "-ctags"} {
				specs = append(specs, Spec{Name: encoding + "-" + compression + name, Encoding: encoding, Compression: compression,
					Tags: tags > 0, CompressTags: tags == 2, IndexSize: 2 << 10, BloomSize: 8 << 10, BlockSize: 16 << 10, Seed: 42, Rows: rows, Big: big})
			}
		}
	}
	return specs
}

// others are files of further kinds.
func others(rows int) []Spec {
	specs := []Spec{
		{Name: "crc32", Encoding: "FAST_DIFF", Checksum: "CRC32"},
		{Name: "no-checksum", Encoding: "DIFF", Checksum: "NULL"},
		{Name: "no-mvcc", Encoding: "PREFIX", NoMVCC: true, Tags: true},
		{Name: "one-block", Encoding: "FAST_DIFF", Compression: "SNAPPY", BlockSize: 1 << 30},
		{Name: "small-blocks", Encoding: "FAST_DIFF", Compression: "LZ4", BlockSize: 512, IndexSize: 256, BloomSize: 256},
		{Name: "bulk-load", Encoding: "NONE", BulkLoad: true},
		{Name: "major", Encoding: "ROW_INDEX_V1", Major: true},
	}
	for _, compression := range []string{"NONE", "GZ", "SNAPPY", "LZ4", "ZSTD"} {
		specs = append(specs, Spec{Name: "empty-" + compression, Encoding: "FAST_DIFF", Compression: compression, Rows: -rows})
	}
	for _, codecs := range []string{"aircompressor", "hadoop"} {
		for _, compression := range []string{"SNAPPY", "LZ4", "ZSTD"} {
			specs = append(specs, Spec{Name: codecs + "-" + compression, Encoding: "FAST_DIFF", Compression: compression, Codecs: codecs, Tags: true, Big: 1, BlockSize: 1 << 20})
		}
	}
	for _, version := range []int{2, 3} {
		for _, encoding := range []string{"NONE", "PREFIX", "DIFF", "FAST_DIFF"} {
			for _, compression := range []string{"NONE", "GZ"} {
				specs = append(specs, Spec{Name: fmt.Sprintf("hbase1-v%d-%s-%s", version, encoding, compression), Version: version, Encoding: encoding, Compression: compression,
					Tags: version == 3, CompressTags: version == 3 && encoding == "FAST_DIFF", IndexSize: 2 << 10, Big: 1})
			}
		}
	}
	for i := range specs {
		specs[i].Seed = int64(i)
		specs[i].Rows += rows
	}
	return specs
}

// size is how many rows a file has.
func size() int {
	if os.Getenv("TORTURE") == "1" {
		return 20_000
	}
	return 300
}

// TestCellsAreThoseOfJava: the cells of every file are those that Java's scanner finds, in its order; also in ranges of rows, by the
// index, and with blocks decoded side by side.
func TestCellsAreThoseOfJava(t *testing.T) {
	t.Parallel()
	files, err := Generate(testenv.Context(t, 10*time.Minute), t.TempDir(), append(matrix(size(), 1), others(size())...))
	if err != nil {
		t.Fatal(err)
	}
	levels := 0
	for _, f := range files {
		t.Run(f.Name, func(t *testing.T) {
			h := open(t, f, 0)
			checkMeta(t, f, h.Meta())
			for _, workers := range []int{0, 1, 3} {
				if got := sum(t, open(t, f, workers), nil, nil, nil); got.Cells != f.Cells || got.CRC != f.CRC {
					t.Errorf("%d workers: %d cells, checksum %08x; Java: %d, %08x", workers, got.Cells, got.CRC, f.Cells, f.CRC)
				}
			}
			if f.Cells > 0 {
				checkRanges(t, f)
			}
			levels = max(levels, h.Meta().IndexLevels)
		})
	}
	if levels < 3 {
		t.Errorf("the deepest index has %d levels", levels)
	}
}

func checkMeta(t *testing.T, f File, m *hfile.Meta) {
	t.Helper()
	wantVersion := 3
	if f.Version != 0 {
		wantVersion = f.Version
	}
	wantSequence := int64(777)
	if f.BulkLoad {
		wantSequence = -1
	}
	s := f.withDefaults()
	if m.Major != wantVersion || m.Entries != f.Cells || m.Encoding.String() != s.Encoding || m.Compression.String() != s.Compression || m.Checksum != s.Checksum ||
		m.Tags != (f.Tags && f.Cells > 0) || m.MaxSequence != wantSequence || m.BulkLoad != f.BulkLoad || m.MajorCompaction != f.Major || !m.UserOrder {
		t.Errorf("%+v\nof %+v", m, f)
	}
}

// checkRanges compares ranges of rows with what a scan of all finds in them.
func checkRanges(t *testing.T, f File) {
	t.Helper()
	h := open(t, f, 0)
	var rows [][]byte
	sum(t, h, nil, nil, func(c *hfile.Cell) bool {
		if len(rows) == 0 || !bytes.Equal(rows[len(rows)-1], c.Row) {
			rows = append(rows, bytes.Clone(c.Row))
		}
		return false
	})
	random := rand.New(rand.NewPCG(1, uint64(f.Cells)))
	for i := range 12 {
		start, stop := rows[random.IntN(len(rows))], rows[random.IntN(len(rows))]
		switch i {
		case 0:
			start = nil
		case 1:
			stop = nil
		case 2:
			start = append(bytes.Clone(start), 0)
		case 3:
			stop = append(bytes.Clone(stop), 0)
		case 4:
			stop = append(bytes.Clone(start), 0)
		case 5:
			start, stop = rows[0], rows[len(rows)-1]
		case 6:
			start = append(bytes.Clone(rows[len(rows)-1]), 0)
		case 7:
			start, stop = nil, rows[0]
		}
		want := sum(t, h, nil, nil, func(c *hfile.Cell) bool {
			return bytes.Compare(c.Row, start) >= 0 && (len(stop) == 0 || bytes.Compare(c.Row, stop) < 0)
		})
		if got := sum(t, open(t, f, i%3), start, stop, nil); got.Cells != want.Cells || got.CRC != want.CRC {
			t.Errorf("rows from %q to %q: %d cells, %08x; all: %d, %08x", start, stop, got.Cells, got.CRC, want.Cells, want.CRC)
		}
	}
	splits, err := h.SplitRows(5)
	if err != nil {
		t.Fatal(err)
	}
	parts, start := int64(0), []byte(nil)
	for _, row := range append(splits, nil) {
		part := sum(t, open(t, f, 1), start, row, nil)
		if part.Cells == 0 {
			t.Errorf("no cells from %q to %q", start, row)
		}
		parts, start = parts+part.Cells, row
	}
	if parts != f.Cells {
		t.Errorf("%d cells in %d parts, %d in all", parts, len(splits)+1, f.Cells)
	}
}

// TestOtherFilesAreRefused: what is not read is said before a cell comes out.
func TestOtherFilesAreRefused(t *testing.T) {
	t.Parallel()
	files, err := Generate(testenv.Context(t, 5*time.Minute), t.TempDir(), []Spec{
		{Name: "encrypted", Encrypted: true, Rows: 100},
		{Name: "prefix-tree", Encoding: "PREFIX_TREE", Version: 3, Rows: 100},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"encrypted", "PREFIX_TREE"} {
		b, err := os.ReadFile(files[i].Path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = hfile.Open(bytes.NewReader(b), int64(len(b)), hfile.Options{Name: files[i].Name})
		var unsupported *hfile.UnsupportedError
		if !errors.As(err, &unsupported) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), files[i].Name) {
			t.Errorf("%s: %v", files[i].Name, err)
		}
	}
}

var update = flag.Bool("update", false, "write internal/hfile/testdata again")

// testdata are the files that the unit tests of internal/hfile read: one of each kind, as small as they can be.
var testdata = []Spec{
	{Name: "none-tags", Tags: true, BlockSize: 512},
	{Name: "prefix-gz-ctags", Encoding: "PREFIX", Compression: "GZ", Tags: true, CompressTags: true, BlockSize: 512},
	{Name: "diff-snappy-ctags", Encoding: "DIFF", Compression: "SNAPPY", Tags: true, CompressTags: true, BlockSize: 512, Checksum: "CRC32"},
	{Name: "fastdiff-lz4-ctags", Encoding: "FAST_DIFF", Compression: "LZ4", Tags: true, CompressTags: true, BlockSize: 512},
	{Name: "rowindex-zstd-tags", Encoding: "ROW_INDEX_V1", Compression: "ZSTD", Tags: true, BlockSize: 512},
	{Name: "fastdiff-none", Encoding: "FAST_DIFF", Checksum: "NULL"},
	{Name: "bulkload", Encoding: "FAST_DIFF", BulkLoad: true, NoMVCC: true},
	{Name: "empty", Encoding: "FAST_DIFF", Compression: "SNAPPY", Rows: -1},
	{Name: "deep-index", Encoding: "FAST_DIFF", Compression: "ZSTD", Plain: true, Rows: 60, BlockSize: 64, IndexSize: 64},
	{Name: "hbase1-v2-fastdiff-gz", Version: 2, Encoding: "FAST_DIFF", Compression: "GZ", BlockSize: 512},
	{Name: "hbase1-v3-prefix-ctags", Version: 3, Encoding: "PREFIX", Tags: true, CompressTags: true, BlockSize: 512},
	{Name: "hbase1-v3-prefixtree", Version: 3, Encoding: "PREFIX_TREE", BlockSize: 512},
	{Name: "encrypted", Encrypted: true},
}

// TestTestdata: what the unit tests read is what HBase writes, as the names and sums there say. With -update it writes them.
func TestTestdata(t *testing.T) {
	t.Parallel()
	dir := "../../internal/hfile/testdata"
	specs := make([]Spec, len(testdata))
	for i, s := range testdata {
		s.Name, s.Seed = s.Name+".hfile", int64(i)
		if s.Rows++; s.Rows == 1 {
			s.Rows = 25
		}
		specs[i] = s
	}
	files, err := Generate(testenv.Context(t, 5*time.Minute), t.TempDir(), specs)
	if err != nil {
		t.Fatal(err)
	}
	type sum struct {
		Name  string
		Cells int64
		CRC   uint32
	}
	var sums []sum
	for _, f := range files {
		sums = append(sums, sum{f.Name, f.Cells, f.CRC})
		if *update {
			b, err := os.ReadFile(f.Path)
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, f.Name), b, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	b, err := json.MarshalIndent(sums, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "sums.json")
	if *update {
		if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, append(b, '\n')) {
		t.Errorf("Java now finds in these files (-update writes them again)\n%s", b)
	}
}
