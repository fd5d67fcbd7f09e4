package history

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/waltap/waltap/checkpoint"
)

// put is the n-th write of row r, made at second n.
func put(n int) Write {
	return Write{Row: "r", Sent: int64(n) * 1000, Acked: int64(n)*1000 + 3,
		Cells: []Cell{{"f", "q", ServerTime, "Put", fmt.Sprintf("%02x", n)}}}
}

func puts(from, to int) (out []Write) {
	for n := from; n <= to; n++ {
		out = append(out, put(n))
	}
	return out
}

// edit is the WAL edit of put(n), with sequence n.
func edit(n int) Record {
	return Record{Topic: "t", Row: "r", Region: "a", Sequence: uint64(n), Cells: []Cell{{"f", "q", int64(n)*1000 + 1, "Put", fmt.Sprintf("%02x", n)}}}
}

func in(region string, r Record) Record { r.Region = region; return r }

func edits(ns ...int) (out []Record) {
	for _, n := range ns {
		out = append(out, edit(n))
	}
	return out
}

// topic numbers the records.
func topic(parts ...[]Record) []Record {
	out := slices.Concat(parts...)
	for i := range out {
		out[i].Offset = int64(i)
	}
	return out
}

func scan(ns ...int) []Record {
	r := Record{Topic: "t", Row: "r", Region: "a"}
	for _, n := range ns {
		r.Cells = append(r.Cells, edit(n).Cells...)
	}
	return []Record{r}
}

// opened tells of which life of its region each record is.
func opened(records []Record, at ...uint64) []Record {
	SetOpenings(records, map[string][]uint64{"a": at, "b": {2}})
	return records
}

func unknown(w Write) Write { w.Acked = 0; return w }

func TestCheck(t *testing.T) {
	increment := Write{Row: "r", Sent: 9000} // failed, its result is not known
	markers := Write{Row: "r", Sent: 5000, Acked: 5003, Cells: []Cell{{"f", "", ServerTime, "DeleteFamily", ""}, {"g", "", ServerTime, "DeleteFamily", ""}}}
	marked := Record{Topic: "t", Row: "r", Region: "a", Sequence: 5, Cells: []Cell{{"f", "", 5002, "DeleteFamily", ""}, {"g", "", 5002, "DeleteFamily", ""}}}
	half := marked
	half.Cells = half.Cells[:1]
	changed := edit(2)
	changed.Cells = edit(3).Cells
	moved := edit(2)
	moved.Partition = 1
	rewritten := func(n int) Write { w := put(n); w.Cells[0].Timestamp = 77; return w }
	overwritten := scan(3)
	overwritten[0].Cells[0].Timestamp = 77
	for _, tc := range []struct {
		name    string
		writes  []Write
		records []Record
		serial  bool
		want    []string // one fault for each, which begins so
	}{
		{"all there", puts(1, 4), topic(edits(1, 2, 3, 4)), true, nil},
		{"a replay", puts(1, 4), topic(edits(1, 2, 3, 2, 3, 4)), true, nil},
		{"scanned, then streamed", puts(1, 4), topic(scan(1, 2, 3), edits(3, 4)), true, nil},
		{"only scanned", puts(1, 3), topic(scan(1, 2, 3)), true, nil},
		{"scanned after a later write replaced it", []Write{rewritten(2), rewritten(3), put(4)}, topic(overwritten, edits(4)), false, nil},
		{"a failed write that did not happen", []Write{put(1), unknown(put(2)), put(3)}, topic(edits(1, 3)), false, nil},
		{"a failed write that happened", []Write{put(1), unknown(put(2)), put(3)}, topic(edits(1, 2, 3)), false, nil},
		{"a failed increment that happened", []Write{put(1), increment}, topic(edits(1, 9)), false, nil},
		{"two markers in one edit", []Write{markers}, topic([]Record{marked}), false, nil},
		{"over a split, out of order", puts(1, 3), topic(edits(1), []Record{in("b", edit(3))}, edits(2)), false, nil},
		{"over a move, out of order", puts(1, 4), topic(opened(edits(1, 3, 4, 2), 3, 1)), false, nil},

		{"nothing there", puts(1, 2), nil, false, []string{"lost", "lost"}},
		{"lost in the middle", puts(1, 4), topic(edits(1, 3, 4)), false, []string{"lost"}},
		{"lost at the end", puts(1, 4), topic(edits(1, 2, 3)), false, []string{"lost"}},
		{"lost between scan and stream", puts(1, 4), topic(scan(1, 2), edits(4)), false, []string{"lost"}},
		{"lost by the scan", puts(1, 4), topic(scan(1, 3), edits(3, 4)), false, []string{"lost"}},
		{"lost before a failed one", []Write{put(1), put(2), unknown(put(3)), put(4)}, topic(edits(1, 4)), false, []string{"lost"}},
		{"half a write", []Write{markers}, topic([]Record{half}), false, []string{"invented", "lost"}},
		{"a row of nobody", nil, topic(edits(1)), false, []string{"invented"}},
		{"invented in the middle", []Write{put(1), put(3)}, topic(edits(1, 2, 3)), false, []string{"invented"}},
		{"invented by the scan", puts(1, 2), topic(scan(1, 2, 9)), false, []string{"invented"}},
		{"a replay with other cells", puts(1, 3), topic(edits(1, 2, 3), []Record{changed}), false, []string{"invented"}},
		{"at the wrong time", puts(1, 1), topic([]Record{{Topic: "t", Row: "r", Sequence: 1, Cells: []Cell{{"f", "q", 5000, "Put", "01"}}}}), false, []string{"invented", "lost"}},
		{"reordered", puts(1, 3), topic(edits(1, 3, 2)), false, []string{"out of order"}},
		{"a gap that is filled later", puts(1, 5), topic(edits(1, 4, 5), edits(1, 2, 3, 4, 5)), false, []string{"out of order", "out of order"}},
		{"over a split, out of order, serial", puts(1, 3), topic(edits(1), []Record{in("b", edit(3))}, edits(2)), true, []string{"out of order"}},
		{"over a move, out of order, serial", puts(1, 4), topic(opened(edits(1, 3, 4, 2), 3, 1)), true, []string{"out of order"}},
		{"reordered in one life", puts(1, 4), topic(opened(edits(1, 4, 3, 2), 3, 1)), false, []string{"out of order"}},
		{"reordered before the first life that is known", puts(1, 4), topic(opened(edits(2, 1, 4, 3), 3)), false, []string{"out of order", "out of order"}},
		{"swapped by the writer's own order", []Write{put(2), put(1)}, topic(edits(1, 2)), false, []string{"lost", "invented"}},
		{"in two partitions", puts(1, 2), topic(edits(1), []Record{moved}), false, []string{"is in"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := Check(tc.writes, tc.records, tc.serial)
			ok := len(got) == len(tc.want)
			for _, want := range tc.want {
				ok = ok && slices.ContainsFunc(got, func(f string) bool { return strings.HasPrefix(f, "row r: "+want) })
			}
			if !ok {
				t.Errorf("found %d: %q\nwant %q", len(got), got, tc.want)
			}
		})
	}
}

func TestCheckWatermarks(t *testing.T) {
	mark := func(time, end int64) checkpoint.Watermark {
		return checkpoint.Watermark{Time: time, Offsets: map[string]map[int32]int64{"t": {0: end}}}
	}
	estimated := mark(9000, 0)
	estimated.Estimated = true
	replayed := topic(edits(1, 2, 1, 2, 3))
	for _, tc := range []struct {
		name    string
		writes  []Write
		records []Record
		marks   []checkpoint.Watermark
		want    int
	}{
		{"true", puts(1, 3), topic(edits(1, 2, 3)), []checkpoint.Watermark{mark(1000, 0), mark(1003, 0), mark(1004, 1), mark(2500, 2), mark(9000, 3)}, 0},
		{"true of a scan", puts(1, 3), topic(scan(1, 2), edits(3)), []checkpoint.Watermark{mark(2500, 1)}, 0},
		{"a replay moves nothing", puts(1, 3), replayed, []checkpoint.Watermark{mark(2500, 2)}, 0},
		{"a failed write binds nobody", []Write{put(1), unknown(put(2))}, topic(edits(1)), []checkpoint.Watermark{mark(9000, 1)}, 0},
		{"estimated", puts(1, 3), topic(edits(1, 2, 3)), []checkpoint.Watermark{estimated}, 0},
		{"too early by one record", puts(1, 3), topic(edits(1, 2, 3)), []checkpoint.Watermark{mark(2004, 1)}, 1},
		{"names no offset", puts(1, 1), topic(edits(1)), []checkpoint.Watermark{{Time: 9000}}, 1},
		{"over a lost write", puts(1, 2), topic(edits(1)), []checkpoint.Watermark{mark(9000, 1)}, 1},
		{"too early for the stream behind the scan", puts(1, 3), topic(scan(1, 2), edits(3)), []checkpoint.Watermark{mark(9000, 1)}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := CheckWatermarks(tc.writes, tc.records, tc.marks); len(got) != tc.want {
				t.Errorf("found %q, want %d faults", got, tc.want)
			}
		})
	}
}

func TestReadWrites(t *testing.T) {
	got, err := ReadWrites(strings.NewReader(`{"row":"r","sent":1,"acked":2,"cells":[{"family":"f","qualifier":"q","timestamp":-9223372036854775808,"type":"Put","value":"00"}]}` + "\n"))
	if err != nil || len(got) != 1 || got[0].Cells[0].Timestamp != ServerTime || got[0].Acked != 2 {
		t.Errorf("read %+v, %v", got, err)
	}
	if _, err := ReadWrites(strings.NewReader("{}\nx\n")); err == nil || !strings.Contains(err.Error(), "write 2") {
		t.Errorf("a broken line: %v", err)
	}
}

// TestWriteOfUnknownCells: an increment that was repeated is acknowledged with nothing; one edit of one put must stand for it.
func TestWriteOfUnknownCells(t *testing.T) {
	writes := puts(1, 3)
	writes[1].Cells = nil
	if faults := Check(writes, topic(edits(1, 2, 3)), false); len(faults) != 0 {
		t.Errorf("it is there: %v", faults)
	}
	if faults := Check(writes, topic(edits(1, 3)), false); !strings.Contains(strings.Join(faults, " "), "lost") {
		t.Errorf("it is lost: %v", faults)
	}
}
