package hfile

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/waltap/waltap/internal/hbase/cell"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type sum struct {
	Name  string
	Cells int64
	CRC   uint32
}

// sums are what Java finds in the files of testdata that are read.
func sums(t testing.TB) []sum {
	t.Helper()
	var all []sum
	if err := json.Unmarshal(read(t, "sums.json"), &all); err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(s sum) bool { return s.Name == "encrypted.hfile" || s.Name == "hbase1-v3-prefixtree.hfile" })
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func open(t testing.TB, b []byte, o Options) *File {
	t.Helper()
	f, err := Open(bytes.NewReader(b), int64(len(b)), o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// appendCell appends what the checksums of sums.json are of.
func appendCell(b []byte, c *Cell) []byte {
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(c.Row))), c.Row...)
	b = append(append(b, byte(len(c.Family))), c.Family...)
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(c.Qualifier))), c.Qualifier...)
	b = append(binary.BigEndian.AppendUint64(b, uint64(c.Timestamp)), byte(c.Type))
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(c.Value))), c.Value...)
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(c.Tags))), c.Tags...)
	return binary.BigEndian.AppendUint64(b, uint64(c.Sequence))
}

// scan calls f for each cell of a range.
func scan(h *File, start, stop []byte, f func(*Cell)) error {
	s, err := h.Scan(start, stop)
	if err != nil {
		return err
	}
	defer s.Close()
	var c Cell
	for {
		ok, err := s.Next(&c)
		if !ok || err != nil {
			return err
		}
		f(&c)
	}
}

// all returns the cells of a range, each as appendCell has it.
func all(t testing.TB, h *File, start, stop []byte) [][]byte {
	t.Helper()
	var cells [][]byte
	if err := scan(h, start, stop, func(c *Cell) { cells = append(cells, appendCell(nil, c)) }); err != nil {
		t.Fatal(err)
	}
	return cells
}

func TestCellsAreThoseOfJava(t *testing.T) {
	for _, want := range sums(t) {
		for workers := range 3 {
			h := open(t, read(t, want.Name), Options{Name: want.Name, Workers: workers})
			crc := uint32(0)
			cells := all(t, h, nil, nil)
			for _, c := range cells {
				crc = crc32.Update(crc, castagnoli, c)
			}
			if int64(len(cells)) != want.Cells || crc != want.CRC {
				t.Errorf("%s, %d workers: %d cells, %08x; Java: %d, %08x", want.Name, workers, len(cells), crc, want.Cells, want.CRC)
			}
		}
	}
}

func TestMeta(t *testing.T) {
	m := open(t, read(t, "fastdiff-lz4-ctags.hfile"), Options{}).Meta()
	if m.Major != 3 || m.Minor != 3 || m.Size != int64(len(read(t, "fastdiff-lz4-ctags.hfile"))) || m.Compression != LZ4 || m.Encoding != FastDiff || m.Checksum != "CRC32C" ||
		!m.UserOrder || m.Entries != 75 || !m.Tags || !m.CompressTags || !m.MVCC || m.MaxMVCC == 0 || m.MaxSequence != 777 || m.BulkLoad ||
		!m.Created.Equal(time.UnixMilli(1700000000000)) || m.LastKey == nil || len(m.Info["BLOOM_FILTER_TYPE"]) == 0 {
		t.Errorf("%+v", m)
	}
	m = open(t, read(t, "bulkload.hfile"), Options{}).Meta()
	if !m.BulkLoad || !m.BulkLoadTime.Equal(time.UnixMilli(1700000000001)) || m.MaxSequence != -1 || m.MVCC || m.KeepSequence {
		t.Errorf("bulk load: %+v", m)
	}
	m = open(t, read(t, "hbase1-v2-fastdiff-gz.hfile"), Options{}).Meta()
	if m.Major != 2 || m.Minor != 3 || m.Tags || !m.UserOrder || m.Size != int64(len(read(t, "hbase1-v2-fastdiff-gz.hfile"))) {
		t.Errorf("version 2: %+v", m)
	}
	m = open(t, read(t, "empty.hfile"), Options{}).Meta()
	if m.Entries != 0 || m.FirstRow != nil || m.LastKey != nil || m.DataBytes != 0 {
		t.Errorf("empty: %+v", m)
	}
}

func TestFirstAndLast(t *testing.T) {
	for _, want := range sums(t) {
		h := open(t, read(t, want.Name), Options{})
		var first, last []byte
		var key cell.Cell
		if err := scan(h, nil, nil, func(c *Cell) {
			if first == nil {
				first = bytes.Clone(c.Row)
			}
			last = append(last[:0], c.Row...)
			key = c.Cell
		}); err != nil {
			t.Fatal(err)
		}
		m := h.Meta()
		if want.Cells > 0 && (!bytes.Equal(first, m.FirstRow) || !bytes.Equal(last, m.LastKey.Row) || key.Timestamp != m.LastKey.Timestamp || key.Type != m.LastKey.Type) {
			t.Errorf("%s: rows %q to %q, meta %q, %+v", want.Name, first, last, m.FirstRow, m.LastKey)
		}
	}
}

func TestRanges(t *testing.T) {
	for _, name := range []string{"deep-index.hfile", "rowindex-zstd-tags.hfile", "hbase1-v2-fastdiff-gz.hfile", "empty.hfile"} {
		h := open(t, read(t, name), Options{})
		var cells, rows [][]byte
		var rowOf []int
		if err := scan(h, nil, nil, func(c *Cell) {
			cells = append(cells, appendCell(nil, c))
			if len(rows) == 0 || !bytes.Equal(rows[len(rows)-1], c.Row) {
				rows = append(rows, bytes.Clone(c.Row))
			}
			rowOf = append(rowOf, len(rows)-1)
		}); err != nil {
			t.Fatal(err)
		}
		bounds := [][]byte{nil, {0}, {0xff, 0xff}}
		for _, row := range rows {
			bounds = append(bounds, row, append(bytes.Clone(row), 0))
		}
		for i, start := range bounds {
			stop := bounds[(i*7+3)%len(bounds)]
			var want [][]byte
			for j, c := range cells {
				row := rows[rowOf[j]]
				if bytes.Compare(row, start) >= 0 && (len(stop) == 0 || bytes.Compare(row, stop) < 0) {
					want = append(want, c)
				}
			}
			h := open(t, read(t, name), Options{Workers: i % 2})
			if got := all(t, h, start, stop); !slices.EqualFunc(got, want, bytes.Equal) {
				t.Errorf("%s from %q to %q: %d cells, want %d", name, start, stop, len(got), len(want))
			}
		}
	}
}

// TestRangeReadsItsBlocks: of a file with a block for each cell, a row of five cells takes as many blocks and the one before.
func TestRangeReadsItsBlocks(t *testing.T) {
	h := open(t, read(t, "deep-index.hfile"), Options{})
	var rows [][]byte
	if err := scan(h, nil, nil, func(c *Cell) {
		if len(rows) == 0 || !bytes.Equal(rows[len(rows)-1], c.Row) {
			rows = append(rows, bytes.Clone(c.Row))
		}
	}); err != nil {
		t.Fatal(err)
	}
	row := rows[len(rows)/2]
	before := h.Stats()
	if n := len(all(t, h, row, append(bytes.Clone(row), 0))); n != 5 {
		t.Errorf("%d cells", n)
	}
	if n := h.Stats().DataBlocks - before.DataBlocks; n < 5 || n > 7 {
		t.Errorf("%d data blocks", n)
	}
	half, err := h.Bytes(row, nil)
	if m := h.Meta(); err != nil || half < m.DataBytes*4/10 || half > m.DataBytes*6/10 {
		t.Errorf("%d of %d bytes behind the middle, %v", half, m.DataBytes, err)
	}
	none, err := h.Bytes([]byte("zzz"), nil)
	if none != 0 || err != nil {
		t.Errorf("%d bytes behind the last row, %v", none, err)
	}
}

func TestSplitRows(t *testing.T) {
	for _, want := range sums(t) {
		h := open(t, read(t, want.Name), Options{})
		for n := range 12 {
			rows, err := h.SplitRows(n)
			if err != nil || len(rows) > max(n-1, 0) || !slices.IsSortedFunc(rows, bytes.Compare) {
				t.Errorf("%s in %d: %q, %v", want.Name, n, rows, err)
			}
			cells, start := 0, []byte(nil)
			for _, stop := range append(rows, nil) {
				part := len(all(t, h, start, stop))
				if part == 0 && want.Cells > 0 {
					t.Errorf("%s in %d: nothing from %q to %q", want.Name, n, start, stop)
				}
				cells, start = cells+part, stop
			}
			if int64(cells) != want.Cells {
				t.Errorf("%s in %d: %d of %d cells", want.Name, n, cells, want.Cells)
			}
		}
	}
	if rows, _ := open(t, read(t, "deep-index.hfile"), Options{}).SplitRows(8); len(rows) != 7 {
		t.Errorf("300 blocks fall into %d parts", len(rows)+1)
	}
}

func TestRefused(t *testing.T) {
	version := func(minor, major byte) []byte {
		b := read(t, "none-tags.hfile")
		b[len(b)-4], b[len(b)-1] = minor, major
		return b
	}
	for _, test := range []struct {
		name string
		file []byte
		want string
	}{
		{"encrypted", read(t, "encrypted.hfile"), "encrypted"},
		{"prefix tree", read(t, "hbase1-v3-prefixtree.hfile"), "PREFIX_TREE"},
		{"version 2.1", version(1, 2), "0.94"},
		{"version 3.4", version(4, 3), "3.4"},
		{"version 4", version(0, 4), "4.0"},
	} {
		_, err := Open(bytes.NewReader(test.file), int64(len(test.file)), Options{Name: "/hbase/f"})
		var unsupported *UnsupportedError
		if !errors.As(err, &unsupported) || unsupported.Remedy == "" || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "/hbase/f") {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	f := File{}
	for _, number := range []uint64{0, 5, 7, 8, 9, 1 << 40} {
		if _, err := f.parseCompression(number); err == nil || !strings.Contains(err.Error(), "major compaction") && !strings.Contains(err.Error(), "scan") {
			t.Errorf("compression %d: %v", number, err)
		}
	}
}

func TestNoHFile(t *testing.T) {
	for _, b := range [][]byte{nil, []byte("x"), make([]byte, 5000), bytes.Repeat([]byte{0xff}, 300), []byte(strings.Repeat("PWAL", 2000))} {
		_, err := Open(bytes.NewReader(b), int64(len(b)), Options{Name: "x"})
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || !strings.Contains(err.Error(), "copy") {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	}
}

func TestLimits(t *testing.T) {
	b := read(t, "prefix-gz-ctags.hfile")
	_, err := Open(bytes.NewReader(b), int64(len(b)), Options{MaxBlock: 500})
	var unsupported *UnsupportedError
	if !errors.As(err, &unsupported) || !strings.Contains(err.Error(), "500") {
		t.Errorf("a block over the limit: %v", err)
	}
	for _, o := range []Options{{Workers: 2, ReadAhead: 1}, {Workers: 1, ReadAhead: 1, ReadSize: 1}, {ReadSize: 100}, {ReadSize: 700, Workers: 2}} {
		if n := len(all(t, open(t, b, o), nil, nil)); n != 76 {
			t.Errorf("%+v: %d cells", o, n)
		}
	}
}

// TestReadAheadIsBounded: what is in the goroutines' hands is bounded, however slow the Scanner is.
func TestReadAheadIsBounded(t *testing.T) {
	b := read(t, "deep-index.hfile")
	h := open(t, b, Options{Workers: 2, ReadAhead: 4000})
	s, err := h.Scan(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	a := s.blocks.(*ahead)
	var c Cell
	for range 300 {
		if ok, err := s.Next(&c); !ok || err != nil {
			t.Fatal(ok, err)
		}
		a.mu.Lock()
		if a.bytes > 4000+1000 {
			t.Errorf("%d bytes", a.bytes)
		}
		a.mu.Unlock()
	}
}

func TestClosedEarly(t *testing.T) { // and TestMain sees that no goroutine is left
	b := read(t, "deep-index.hfile")
	for stop := range 20 {
		s, err := open(t, b, Options{Workers: stop % 4, ReadAhead: 3000}).Scan(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		var c Cell
		for range stop {
			if ok, err := s.Next(&c); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		s.Close()
		s.Close()
		if ok, err := s.Next(&c); ok || err != nil {
			t.Errorf("after Close: %v, %v", ok, err)
		}
	}
}

var errDisk = errors.New("disk on fire")

// failing fails from an offset on.
type failing struct {
	io.ReaderAt
	from, to int64
}

func (f failing) ReadAt(b []byte, offset int64) (int, error) {
	if offset < f.to && offset+int64(len(b)) > f.from {
		return 0, errDisk
	}
	return f.ReaderAt.ReadAt(b, offset)
}

func TestReadErrors(t *testing.T) {
	b := read(t, "deep-index.hfile")
	for _, workers := range []int{0, 2} {
		h, err := Open(failing{bytes.NewReader(b), 20000, 21000}, int64(len(b)), Options{Name: "n", Workers: workers, ReadSize: 2000})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		err = scan(h, nil, nil, func(*Cell) { n++ })
		var corrupt *CorruptError
		if !errors.Is(err, errDisk) || errors.As(err, &corrupt) || n == 0 {
			t.Errorf("%d workers, %d cells: %v", workers, n, err)
		}
	}
	if _, err := Open(failing{bytes.NewReader(b), int64(len(b)) - 10, int64(len(b))}, int64(len(b)), Options{}); !errors.Is(err, errDisk) {
		t.Errorf("trailer: %v", err)
	}
}

// counting counts the calls of ReadAt.
type counting struct {
	io.ReaderAt
	calls int
}

func (c *counting) ReadAt(b []byte, offset int64) (int, error) {
	c.calls++
	return c.ReaderAt.ReadAt(b, offset)
}

// TestFewReads: a far file system is asked once to open a small file, once for each index block, once for a row's blocks.
func TestFewReads(t *testing.T) {
	b := read(t, "deep-index.hfile")
	r := &counting{ReaderAt: bytes.NewReader(b)}
	h, err := Open(r, int64(len(b)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.calls != 1 || h.Stats().Bytes != tailSize {
		t.Errorf("%d reads of %d bytes to open it", r.calls, h.Stats().Bytes)
	}
	row := h.Meta().LastKey.Row
	for _, want := range []int{2*4 + 1, 1} { // four index blocks for each end of the range, at most; then they are known
		r.calls = 0
		if n := len(all(t, h, row, append(bytes.Clone(row), 0))); n != 5 || r.calls > want {
			t.Errorf("%d cells by %d reads", n, r.calls)
		}
	}
	r.calls = 0
	if n := len(all(t, h, nil, nil)); n != 305 || r.calls != 1 {
		t.Errorf("%d cells by %d reads", n, r.calls)
	}
}

func TestBulkLoadSequence(t *testing.T) {
	for name, want := range map[string]int64{
		"b2f6f1f2_SeqId_17_": 17, "a_SeqId_3__SeqId_4_": 4, "_SeqId_0_": 0,
		"b2f6f1f2": -1, "x_SeqId_": -1, "x_SeqId_17": -1, "x_SeqId_-1_": -1, "x_SeqId_1x_": -1,
	} {
		got, ok := BulkLoadSequence(name)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%s: %d, %v", name, got, ok)
		}
	}
}

func TestScanAllocatesNothing(t *testing.T) {
	b := read(t, "fastdiff-lz4-ctags.hfile")
	h := open(t, b, Options{})
	s, err := h.Scan(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var c Cell
	next := func() {
		if ok, err := s.Next(&c); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	for range 20 {
		next()
	}
	if n := testing.AllocsPerRun(50, next); n != 0 {
		t.Errorf("%v allocations a cell", n)
	}
}

func BenchmarkScan(b *testing.B) {
	data := read(b, "deep-index.hfile")
	b.ReportAllocs()
	for b.Loop() {
		if err := scan(open(b, data, Options{}), nil, nil, func(*Cell) {}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, want := range sums(t) {
		h := open(t, read(t, want.Name), Options{})
		tally, err := h.Check()
		if err != nil || tally.Cells != want.Cells {
			t.Errorf("%s: %+v, %v", want.Name, tally, err)
		}
	}
	for _, test := range []struct {
		name   string
		damage func(f *File)
		want   string
	}{
		{"order", func(f *File) { f.meta.LastKey.Row = []byte{0} }, "the last cell"},
		{"sequence", func(f *File) { f.meta.MaxMVCC = 1 }, "sequence id"},
		{"number of cells", func(f *File) { f.meta.Entries++ }, "the trailer says"},
	} {
		h := open(t, read(t, "rowindex-zstd-tags.hfile"), Options{})
		test.damage(h)
		if _, err := h.Check(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	var last kept
	c := Cell{Cell: cell.Cell{Row: []byte("b"), Family: []byte("f"), Type: cell.Put}}
	last.keep(&c)
	f := open(t, read(t, "empty.hfile"), Options{})
	for name, damage := range map[string]func(c *Cell){
		"before":  func(c *Cell) { c.Row = []byte("a") },
		"family":  func(c *Cell) { c.Family = []byte("g") },
		"type is": func(c *Cell) { c.Type = 5 },
		"tags":    func(c *Cell) { c.Tags = []byte{0} },
	} {
		bad := c
		damage(&bad)
		if err := f.checkCell(&bad, &last); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := f.checkCell(&c, &last); err != nil {
		t.Errorf("the same cell again: %v", err)
	}
}

func TestCompare(t *testing.T) {
	mk := func(row, family, qualifier string, ts int64, typ cell.Type, sequence int64) Cell {
		return Cell{Cell: cell.Cell{Row: []byte(row), Family: []byte(family), Qualifier: []byte(qualifier), Timestamp: ts, Type: typ}, Sequence: sequence}
	}
	order := []Cell{
		mk("a", "f", "", 9, cell.DeleteFamily, 1), mk("a", "f", "", 9, cell.DeleteFamilyVersion, 1), mk("a", "f", "", 8, cell.DeleteFamily, 1),
		mk("a", "f", "q", 9, cell.DeleteColumn, 1), mk("a", "f", "q", 9, cell.Delete, 2), mk("a", "f", "q", 9, cell.Delete, 1), mk("a", "f", "q", 9, cell.Put, 7),
		mk("a", "f", "q", -1, cell.Put, 7), mk("a", "f", "q\x00", 9, cell.Put, 7), mk("a", "g", "", 9, cell.Put, 7), mk("a\x00", "f", "", 9, cell.Put, 7),
	}
	for i := range order {
		for j := range order {
			if got := Compare(&order[i], &order[j]); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("cells %d and %d: %d", i, j, got)
			}
		}
	}
}
