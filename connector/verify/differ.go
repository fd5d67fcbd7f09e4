package verify

import (
	"bytes"
	"math/bits"

	"github.com/waltap/waltap/schema"
)

const (
	// expirySlack: the ends' clocks may differ by so much about the end of a time to live, ms.
	expirySlack = 60_000
	// maxHeld and maxHeldBytes bound how many puts of a column wait for its end to be named missing, extra or version.
	maxHeld      = 1000
	maxHeldBytes = 8 << 20
)

// finding is a cell that differs. Its cells are valid during the call only.
type finding struct {
	kind      Kind
	exception Exception
	excused   bool // it leaves the row good
	cells     [2]*schema.Cell
}

// id tells findings apart over several readings of a row.
func (f *finding) id(h *hasher) uint64 {
	var id uint64
	for e, c := range f.cells {
		if c != nil {
			id ^= bits.RotateLeft64(h.of(c), 17*e+1)
		}
	}
	return id
}

func (f *finding) any() *schema.Cell {
	if f.cells[0] != nil {
		return f.cells[0]
	}
	return f.cells[1]
}

// pendingMarker is a delete marker that only one end has, until all that it may hide was seen.
type pendingMarker struct {
	end    int
	cell   schema.Cell
	effect bool // of one that hides a single version: the other end shows that
}

// pendingMarkers are those of a family, or of a column, with what the ends show of it. No put is held against each of them: a row may
// have thousands of both.
type pendingMarkers struct {
	list   []pendingMarker
	single [2]map[int64]int // by end and timestamp: the place in list of a marker that hides a single version
	oldest [2]int64         // by end: timestamp of the oldest put that it shows; noPut: none
}

const noPut = 1<<63 - 1

func (p *pendingMarkers) begin() {
	p.list, p.oldest = p.list[:0], [2]int64{noPut, noPut}
	clear(p.single[0])
	clear(p.single[1])
}

func (p *pendingMarkers) add(end int, c *schema.Cell) {
	if c.Type == schema.Delete || c.Type == schema.DeleteFamilyVersion {
		if p.single[end] == nil {
			p.single[end] = make(map[int64]int)
		}
		p.single[end][c.Timestamp] = len(p.list)
	}
	p.list = append(p.list, pendingMarker{end: end, cell: cloneCell(c)})
}

// shown takes a put that an end shows.
func (p *pendingMarkers) shown(end int, ts int64) {
	p.oldest[end] = min(p.oldest[end], ts)
	if i, hidden := p.single[1-end][ts]; hidden {
		p.list[i].effect = true
	}
}

// effective tells whether m hides a put that the other end shows. Markers come before what they hide: all that was shown counts.
func (p *pendingMarkers) effective(m *pendingMarker) bool {
	if m.cell.Type == schema.DeleteFamily || m.cell.Type == schema.DeleteColumn {
		return p.oldest[1-m.end] <= m.cell.Timestamp
	}
	return m.effect
}

// columnState is what one end has of the family and the column at hand.
type columnState struct {
	familyDelete   int64 // timestamp of the newest DeleteFamily; noDelete: none
	familyVersions map[int64]bool
	columnDelete   int64
	versionDelete  int64 // of the last Delete: the put that it hides comes next
	ownDelete      bool  // that Delete is at this end only
	visible        int   // puts of the column that a reader sees
	puts           bool  // the column has a put
}

const noDelete = -1 << 63

// differ compares two readings of one row. Cells come in HBase's order, markers before what they hide: family, qualifier,
// timestamp (newest first), type (DeleteFamily, DeleteColumn, DeleteFamilyVersion, Delete, Put).
type differ struct {
	raw   bool
	now   int64 // ms
	about [2]map[string]familyAbout
	// compacted tells whether an end may have dropped a delete marker of that timestamp.
	compacted func(end int, ts int64) (bool, error)
	found     func(*finding) error

	family, qualifier []byte
	open              bool
	of                [2]familyAbout
	state             [2]columnState
	familyMarkers     pendingMarkers
	columnMarkers     pendingMarkers
	held              []heldPut
	heldBytes         int
}

type heldPut struct {
	end  int
	cell schema.Cell
}

// compareCells orders cells of one row.
func compareCells(a, b *schema.Cell) int {
	if c := bytes.Compare(a.Family, b.Family); c != 0 {
		return c
	}
	if c := bytes.Compare(a.Qualifier, b.Qualifier); c != 0 {
		return c
	}
	switch {
	case a.Timestamp != b.Timestamp:
		if a.Timestamp > b.Timestamp {
			return -1
		}
		return 1
	case a.Type != b.Type:
		if a.Type > b.Type {
			return -1
		}
		return 1
	}
	return 0
}

// add takes the next place at which one end or both have a cell.
func (d *differ) add(cells [2]*schema.Cell) error {
	c := cells[0]
	if c == nil {
		c = cells[1]
	}
	if !d.open || !bytes.Equal(c.Family, d.family) {
		if err := d.finish(); err != nil {
			return err
		}
		d.beginFamily(c)
	} else if !bytes.Equal(c.Qualifier, d.qualifier) {
		if err := d.endColumn(); err != nil {
			return err
		}
		d.beginColumn(c)
	}
	if c.Type == schema.Put {
		return d.put(cells)
	}
	d.marker(cells)
	return nil
}

func (d *differ) beginFamily(c *schema.Cell) {
	d.family, d.open = append(d.family[:0], c.Family...), true
	for e := range d.state {
		d.state[e].familyDelete, d.state[e].familyVersions = noDelete, nil
		about, ok := d.about[e][string(c.Family)]
		if !ok {
			about.versions = 1
		}
		d.of[e] = about
	}
	d.familyMarkers.begin()
	d.beginColumn(c)
}

func (d *differ) beginColumn(c *schema.Cell) {
	d.qualifier = append(d.qualifier[:0], c.Qualifier...)
	d.columnMarkers.begin()
	for e := range d.state {
		s := &d.state[e]
		s.columnDelete, s.versionDelete, s.ownDelete, s.visible, s.puts = noDelete, noDelete, false, 0, false
	}
}

// marker takes a delete marker.
func (d *differ) marker(cells [2]*schema.Cell) {
	for e, c := range cells {
		if c == nil {
			continue
		}
		own := cells[1-e] == nil
		s := &d.state[e]
		switch c.Type {
		case schema.DeleteFamily:
			s.familyDelete = max(s.familyDelete, c.Timestamp)
		case schema.DeleteFamilyVersion:
			if s.familyVersions == nil {
				s.familyVersions = make(map[int64]bool)
			}
			s.familyVersions[c.Timestamp] = true
		case schema.DeleteColumn:
			s.columnDelete = max(s.columnDelete, c.Timestamp)
		default:
			s.versionDelete, s.ownDelete = c.Timestamp, own
		}
		if !own {
			continue
		}
		if c.Type == schema.DeleteFamily || c.Type == schema.DeleteFamilyVersion {
			d.familyMarkers.add(e, c)
		} else {
			d.columnMarkers.add(e, c)
		}
	}
}

// hides tells whether an end has a marker that hides a put of the column at hand.
func (s *columnState) hides(ts int64) bool {
	return ts <= s.familyDelete || ts <= s.columnDelete || ts == s.versionDelete || s.familyVersions[ts]
}

// visible tells whether a reader of an end sees a put, and if not, why.
func (d *differ) visible(e int, c *schema.Cell) (bool, Exception) {
	if expires(c, d.of[e].ttl) <= d.now+expirySlack {
		return false, Expired
	}
	if !d.raw {
		return true, ""
	}
	s := &d.state[e]
	switch {
	case s.hides(c.Timestamp):
		return false, Hidden
	case s.visible >= d.of[e].versions:
		return false, OverVersions
	}
	s.visible++
	return true, ""
}

func (d *differ) put(cells [2]*schema.Cell) error {
	var visible [2]bool
	var why [2]Exception
	for e, c := range cells {
		if c != nil {
			visible[e], why[e] = d.visible(e, c)
			d.state[e].puts = true
		}
		if visible[e] {
			d.familyMarkers.shown(e, c.Timestamp)
			d.columnMarkers.shown(e, c.Timestamp)
		}
	}
	if cells[0] != nil && cells[1] != nil {
		return d.both(cells, visible, why[0])
	}
	e := 0
	if cells[0] == nil {
		e = 1
	}
	return d.one(e, cells, visible[e], why[e])
}

// both compares a put that both ends have.
func (d *differ) both(cells [2]*schema.Cell, visible [2]bool, why Exception) error {
	f := finding{cells: cells}
	switch {
	case !bytes.Equal(cells[0].Value, cells[1].Value):
		f.kind = Value
	case !bytes.Equal(cells[0].Tags, cells[1].Tags):
		f.kind = Tags
	default:
		return nil
	}
	if !visible[0] && !visible[1] {
		f.exception, f.excused = why, true
	}
	return d.tell(&f)
}

// one judges a put that only end e has.
func (d *differ) one(e int, cells [2]*schema.Cell, visible bool, why Exception) error {
	c, other := cells[e], 1-e
	switch {
	case visible && d.raw && d.state[other].hides(c.Timestamp):
		why = Hidden // the marker is what differs
	case visible:
		return d.hold(e, c)
	case why == Hidden && e == 1 && c.Timestamp == d.state[e].versionDelete && d.state[e].ownDelete:
		why = Removed
	case why == Hidden && d.of[other].keepDeleted:
		return d.hold(e, c) // the other end keeps what is hidden
	}
	kind := Missing
	if e == 1 {
		kind = Extra
	}
	return d.tell(&finding{kind: kind, exception: why, excused: true, cells: cells})
}

// hold keeps a put that differs until it is known whether the other end has any of the column.
func (d *differ) hold(e int, c *schema.Cell) error {
	if len(d.held) >= maxHeld || d.heldBytes >= maxHeldBytes {
		if err := d.tellHeld(); err != nil {
			return err
		}
	}
	d.held = append(d.held, heldPut{e, cloneCell(c)})
	d.heldBytes += len(c.Value)
	return nil
}

func (d *differ) tellHeld() error {
	for i := range d.held {
		h := &d.held[i]
		f := finding{kind: Version}
		f.cells[h.end] = &h.cell
		switch {
		case d.state[1-h.end].puts:
		case h.end == 0:
			f.kind = Missing
		default:
			f.kind = Extra
		}
		if err := d.tell(&f); err != nil {
			return err
		}
	}
	d.held, d.heldBytes = d.held[:0], 0
	return nil
}

func (d *differ) endColumn() error {
	if err := d.tellHeld(); err != nil {
		return err
	}
	return d.tellMarkers(&d.columnMarkers)
}

// finish ends the family at hand; after the row's last cell it must be called.
func (d *differ) finish() error {
	if !d.open {
		return nil
	}
	if err := d.endColumn(); err != nil {
		return err
	}
	d.open = false
	return d.tellMarkers(&d.familyMarkers)
}

// tellMarkers is called once for those of a column, or a family: begin empties the list.
func (d *differ) tellMarkers(p *pendingMarkers) error {
	for i := range p.list {
		m := &p.list[i]
		f := finding{kind: Marker}
		f.cells[m.end] = &m.cell
		var err error
		if f.exception, f.excused, err = d.judge(m, p.effective(m)); err != nil {
			return err
		}
		if err := d.tell(&f); err != nil {
			return err
		}
	}
	return nil
}

// judge names what is known about a marker that one end lacks.
func (d *differ) judge(m *pendingMarker, effective bool) (why Exception, excused bool, err error) {
	other := 1 - m.end
	ts := m.cell.Timestamp
	if effective {
		if m.end == 1 {
			late, err := d.compacted(0, ts)
			if err != nil || late {
				return LatePut, false, err
			}
		}
		return "", false, nil
	}
	s, ttl := &d.state[other], d.of[other].ttl
	column := m.cell.Type == schema.DeleteColumn || m.cell.Type == schema.Delete
	switch {
	case ts <= s.familyDelete, column && ts <= s.columnDelete:
		return Redundant, true, nil
	case ttl > 0 && ts+ttl <= d.now+expirySlack:
		return Expired, true, nil
	case m.end == 1 && m.cell.Type == schema.Delete:
		return Removed, true, nil
	}
	gone, err := d.compacted(other, ts)
	if err != nil || gone {
		return Compacted, true, err
	}
	return "", false, nil
}

// tell hands a finding on.
func (d *differ) tell(f *finding) error {
	if !f.excused && f.exception == "" && (d.of[0].newVersions || d.of[1].newVersions) {
		f.exception = NewVersionBehavior
	}
	return d.found(f)
}

func cloneCell(c *schema.Cell) schema.Cell {
	return schema.Cell{Family: bytes.Clone(c.Family), Qualifier: bytes.Clone(c.Qualifier), Timestamp: c.Timestamp, Type: c.Type,
		Value: bytes.Clone(c.Value), Tags: bytes.Clone(c.Tags)}
}
