// Package history checks what a topic holds against what writers say they wrote: nothing lost, nothing invented,
// nothing out of order, no watermark untrue. It is pure; the end-to-end tests bring the histories, its own tests bring
// histories in which each kind of fault must be found.
package history

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

// Timestamps of written cells that their writer does not know.
const (
	ServerTime = math.MinInt64     // set by the server between Sent and Acked
	AnyTime    = math.MinInt64 + 1 // chosen by the server from what it held
)

// slack is how far a server's time may lie outside of the time a write took, by its writer's clock, in ms.
const slack = 5

// Cell as written, or as read. Value is in hex.
type Cell struct {
	Family    string `json:"family"`
	Qualifier string `json:"qualifier"`
	Timestamp int64  `json:"timestamp"`
	Type      string `json:"type"`
	Value     string `json:"value"`
}

// Write is one mutation of one row. A row has one writer, and the writes of a row are in the order of their list.
type Write struct {
	Row   string `json:"row"`
	Cells []Cell `json:"cells"` // none: not known, as of an increment that failed, or was repeated: HBase answers a repetition with nothing
	Sent  int64  `json:"sent"`  // ms
	Acked int64  `json:"acked"` // ms; 0: it failed, so it may have happened or not
}

func (w *Write) String() string {
	return fmt.Sprintf("%s %v sent %d acknowledged %d", w.Row, w.Cells, w.Sent, w.Acked)
}

// Record is one change on a topic.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	Row       string
	Region    string
	Opened    uint64 // see SetOpenings
	Sequence  uint64 // 0: of the scan
	Cells     []Cell
}

// SetOpenings tells the records apart by the life of their region that has made them: openings are the sequences at which
// each region was opened, by its encoded name. A region that moves to another server begins a new life there, and
// a plain peer keeps the order in one life only.
func SetOpenings(records []Record, openings map[string][]uint64) {
	for i := range records {
		r := &records[i]
		for _, opened := range openings[r.Region] {
			if opened <= r.Sequence {
				r.Opened = max(r.Opened, opened)
			}
		}
	}
}

// ReadWrites reads a log of judge.HistorySpec.
func ReadWrites(r io.Reader) ([]Write, error) {
	var out []Write
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var w Write
		if err := json.Unmarshal(lines.Bytes(), &w); err != nil {
			return nil, fmt.Errorf("read write %d: %w", len(out)+1, err)
		}
		out = append(out, w)
	}
	return out, lines.Err()
}

// DecodeRecord reads a record of a data topic.
func DecodeRecord(d *schema.Decoder, k kafka.Record) (Record, error) {
	var c schema.Change
	if err := d.Decode(k.Value, &c); err != nil {
		return Record{}, fmt.Errorf("read %s/%d offset %d: %w", k.Topic, k.Partition, k.Offset, err)
	}
	r := Record{Topic: k.Topic, Partition: k.Partition, Offset: k.Offset, Row: string(c.Row), Region: c.Source.Region, Sequence: c.Sequence}
	for _, x := range c.Cells {
		r.Cells = append(r.Cells, Cell{Family: string(x.Family), Qualifier: string(x.Qualifier), Timestamp: x.Timestamp,
			Type: x.Type.String(), Value: hex.EncodeToString(x.Value)})
	}
	return r, nil
}

// place is where a write is safe: its record and all before it in that partition.
type place struct {
	topic     string
	partition int32
	offset    int64
}

// row is everything about one row.
type row struct {
	name   string
	writes []*Write
	scan   []*Record
	edits  []*Record // WAL edits, each once, at its first delivery, by sequence
	places []*place  // of writes; nil: in no record
	faults []string
}

func (r *row) fault(format string, args ...any) {
	r.faults = append(r.faults, "row "+r.name+": "+fmt.Sprintf(format, args...))
}

// Check compares the records, which are in the order of each partition, with the writes of one table. serial: the order
// must hold over regions, too; else it may begin anew in each life of a region (SetOpenings). It returns what is wrong.
func Check(writes []Write, records []Record, serial bool) []string {
	var out []string
	for _, r := range rows(writes, records, serial) {
		out = append(out, r.faults...)
	}
	return out
}

// rows sorts out writes and records and compares them.
func rows(writes []Write, records []Record, serial bool) []*row {
	byName := make(map[string]*row)
	var out []*row
	get := func(name string) *row {
		r := byName[name]
		if r == nil {
			r = &row{name: name}
			byName[name] = r
			out = append(out, r)
		}
		return r
	}
	for i := range writes {
		r := get(writes[i].Row)
		r.writes = append(r.writes, &writes[i])
	}
	found := make(map[*row][]*Record)
	for i := range records {
		r := get(records[i].Row)
		found[r] = append(found[r], &records[i])
	}
	for _, r := range out {
		r.deliveries(found[r], serial)
		r.places = make([]*place, len(r.writes))
		r.checkScan()
		r.align()
	}
	return out
}

// deliveries takes the replays off the records of a row, and checks the order of what is left.
func (r *row) deliveries(records []*Record, serial bool) {
	seen := make(map[uint64]*Record)
	type life struct {
		region string
		opened uint64
	}
	highest := make(map[life]uint64)
	for _, x := range records {
		if x.Topic != records[0].Topic || x.Partition != records[0].Partition {
			r.fault("is in %s/%d and in %s/%d", records[0].Topic, records[0].Partition, x.Topic, x.Partition)
		}
		if x.Sequence == 0 {
			r.scan = append(r.scan, x)
			continue
		}
		if first := seen[x.Sequence]; first != nil {
			if !slices.Equal(first.Cells, x.Cells) {
				r.fault("invented: sequence %d is %v at offset %d and %v at offset %d", x.Sequence, first.Cells, first.Offset, x.Cells, x.Offset)
			}
			continue
		}
		seen[x.Sequence] = x
		of := life{x.Region, x.Opened}
		if serial {
			of = life{}
		}
		if x.Sequence < highest[of] {
			r.fault("out of order: sequence %d comes first at offset %d, behind %d (region %s, opened at %d)", x.Sequence, x.Offset, highest[of], x.Region, x.Opened)
		}
		highest[of] = max(highest[of], x.Sequence)
		r.edits = append(r.edits, x)
	}
	slices.SortFunc(r.edits, func(a, b *Record) int {
		if a.Sequence < b.Sequence {
			return -1
		}
		return 1 // no two are equal
	})
}

// checkScan looks for cells in the scan that nobody wrote.
func (r *row) checkScan() {
	for _, s := range r.scan {
		for _, c := range s.Cells {
			if !slices.ContainsFunc(r.writes, func(w *Write) bool { return w.has(c) }) {
				r.fault("invented: the scan's record at offset %d has %v, which nobody wrote", s.Offset, c)
			}
		}
	}
}

// has tells whether w can have made c.
func (w *Write) has(c Cell) bool {
	if len(w.Cells) == 0 {
		return w.Acked == 0 || c.Type == "Put" && c.Timestamp >= w.Sent-slack && c.Timestamp <= w.Acked+slack
	}
	return slices.ContainsFunc(w.Cells, func(x Cell) bool { return w.matches(x, c) && x.Value == c.Value })
}

// matches compares all but the value.
func (w *Write) matches(written, c Cell) bool {
	if written.Family != c.Family || written.Qualifier != c.Qualifier || written.Type != c.Type {
		return false
	}
	switch written.Timestamp {
	case AnyTime:
		return true
	case ServerTime:
		return c.Timestamp >= w.Sent-slack && (w.Acked == 0 || c.Timestamp <= w.Acked+slack)
	}
	return written.Timestamp == c.Timestamp
}

// is tells whether the edit e can be w.
func (w *Write) is(e *Record) bool {
	if len(w.Cells) == 0 {
		return w.Acked == 0 || len(e.Cells) == 1 && w.has(e.Cells[0])
	}
	return len(w.Cells) == len(e.Cells) && !slices.ContainsFunc(e.Cells, func(c Cell) bool { return !w.has(c) })
}

// align finds the writes in the WAL edits, in order. The edits begin where the scan ends, at a write that is not known:
// of those that the first edit can be, the one with the fewest faults is it.
func (r *row) align() {
	var best *alignment
	try := func(begin int) {
		if a := r.alignFrom(begin); best == nil || len(a.faults) < len(best.faults) {
			best = a
		}
	}
	if len(r.edits) == 0 {
		try(len(r.writes))
	}
	for i := range r.writes {
		if len(r.edits) > 0 && r.writes[i].is(r.edits[0]) {
			try(i)
		}
	}
	if best == nil {
		try(0)
	}
	r.places = best.places
	for _, f := range best.faults {
		r.fault("%s", f)
	}
}

// alignment is one attempt.
type alignment struct {
	places []*place
	faults []string
}

func (a *alignment) fault(format string, args ...any) {
	a.faults = append(a.faults, fmt.Sprintf(format, args...))
}

func (r *row) alignFrom(begin int) *alignment {
	a := &alignment{places: make([]*place, len(r.writes))}
	for i, w := range r.writes[:begin] {
		if a.places[i] = r.scanned(i); a.places[i] == nil && w.Acked != 0 && len(w.Cells) > 0 {
			a.fault("lost: %v is neither in the scan nor in the stream", w)
		}
	}
	next := begin
	for _, e := range r.edits {
		i := next
		for i < len(r.writes) && !r.writes[i].is(e) && r.writes[i].Acked == 0 {
			i++ // it failed, and has not happened
		}
		if i < len(r.writes) && r.writes[i].is(e) {
			a.places[i] = e.place()
			next = i + 1
			continue
		}
		if next > 0 && r.writes[next-1].is(e) {
			continue // HBase's client has repeated a write whose answer was lost
		}
		later := slices.IndexFunc(r.writes[next:], func(w *Write) bool { return w.is(e) })
		if later < 0 {
			a.fault("invented: sequence %d at offset %d is %v, which nobody wrote then; the write expected is %v", e.Sequence, e.Offset, e.Cells, r.expected(next))
			continue
		}
		a.lost(r.writes[next:next+later], fmt.Sprintf("before sequence %d", e.Sequence))
		a.places[next+later] = e.place()
		next += later + 1
	}
	a.lost(r.writes[next:], "at the end")
	return a
}

func (r *row) expected(i int) string {
	if i == len(r.writes) {
		return "none"
	}
	return r.writes[i].String()
}

func (a *alignment) lost(writes []*Write, where string) {
	for _, w := range writes {
		if w.Acked != 0 {
			a.fault("lost: %v is missing %s", w, where)
		}
	}
}

func (e *Record) place() *place { return &place{e.Topic, e.Partition, e.Offset} }

// scanned finds the cells of the i-th write in the scan: the cell itself, or one of a later write that has replaced it,
// being of the same column, type and timestamp.
func (r *row) scanned(i int) *place {
	w := r.writes[i]
	if len(w.Cells) == 0 {
		return nil
	}
	var all *place
	for _, written := range w.Cells {
		var at *place
		for _, s := range r.scan {
			if slices.ContainsFunc(s.Cells, func(c Cell) bool {
				return w.matches(written, c) && (c.Value == written.Value || slices.ContainsFunc(r.writes[i+1:], func(x *Write) bool { return x.has(c) }))
			}) {
				at = s.place()
				break
			}
		}
		if at == nil {
			return nil
		}
		if all == nil || at.offset > all.offset {
			all = at
		}
	}
	return all
}

// Summary shortens a list of faults for a test's message.
func Summary(faults []string) string {
	n := len(faults)
	if n > 10 {
		faults = faults[:10]
	}
	return fmt.Sprintf("%d faults:\n%s", n, strings.Join(faults, "\n"))
}
