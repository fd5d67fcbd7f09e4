package schema

import "fmt"

// place says what of a Change a writer's field holds.
type place byte

const (
	toNothing place = iota
	toTable
	toRow
	toCells
	toFamily
	toQualifier
	toTimestamp
	toType
	toValue
	toTags
	toTagType
	toTagValue
	toSequence
	toTime
	toSource
	toVersion
	toConnector
	toClusterID
	toRegion
	toKind
	toOrigins
	toEpoch

	// of a Debezium-shaped record
	toImage    // before or after
	toSnapshot // "false": from the WAL
	toNamespace
	toTableName
)

// layout is where the fields of a record go, by their names, and which of them must be there.
type layout struct {
	fields   map[string]place
	required []string
	sub      map[place]*layout // of fields that are records, or arrays of records
}

var (
	tagLayout = &layout{
		fields:   map[string]place{"type": toTagType, "value": toTagValue},
		required: []string{"type", "value"},
	}
	cellLayout = &layout{
		fields: map[string]place{"family": toFamily, "qualifier": toQualifier, "timestamp": toTimestamp, "type": toType,
			"value": toValue, "tags": toTags},
		required: []string{"family", "qualifier", "timestamp", "type", "value", "tags"},
		sub:      map[place]*layout{toTags: tagLayout},
	}
	changeLayout = &layout{
		fields: map[string]place{"table": toTable, "row": toRow, "cells": toCells, "sequence": toSequence, "ts": toTime,
			"source": toSource},
		required: []string{"table", "row", "cells", "sequence", "ts", "source"},
		sub: map[place]*layout{toCells: cellLayout, toSource: {
			fields: map[string]place{"version": toVersion, "connector": toConnector, "cluster_id": toClusterID, "region": toRegion,
				"kind": toKind, "origins": toOrigins, "epoch": toEpoch},
			required: []string{"cluster_id", "kind", "origins", "epoch"},
		}},
	}
	envelopeLayout = &layout{
		fields:   map[string]place{"before": toImage, "after": toImage, "source": toSource},
		required: []string{"before", "after", "source"},
		sub: map[place]*layout{toSource: {
			fields: map[string]place{"version": toVersion, "connector_name": toConnector, "ts_ms": toTime, "snapshot": toSnapshot,
				"db": toNamespace, "table": toTableName, "cluster_id": toClusterID, "region": toRegion, "seq": toSequence,
				"origins": toOrigins, "epoch": toEpoch},
			required: []string{"ts_ms", "snapshot", "db", "table", "cluster_id", "seq", "origins", "epoch"},
		}, toImage: {
			fields:   map[string]place{"row": toRow, "cells": toCells},
			required: []string{"row", "cells"},
			sub:      map[place]*layout{toCells: cellLayout},
		}},
	}
)

// step reads one field of a record.
type step struct {
	to      place
	path    string
	typ     *avroType // as written
	known   *avroType // typ, or the branch of the union typ that is read; null is the other that may be
	symbols []int64   // of an enum: the ones of this release, -1 for others
	sub     []step    // of a record, or of an array's records
}

// bind finds out how to read records of type t.
func (w *writer) bind(t *avroType) (err error) {
	l := changeLayout
	if w.envelope = t.kind == avroRecord && t.field("cells") == nil && t.field("after") != nil; w.envelope {
		l = envelopeLayout
	}
	w.fields, err = bindRecord(t, l, "")
	return err
}

func (t *avroType) field(name string) *avroType {
	for _, f := range t.fields {
		if f.name == name {
			return f.typ
		}
	}
	return nil
}

func bindRecord(t *avroType, l *layout, path string) ([]step, error) {
	if t.kind != avroRecord {
		return nil, fmt.Errorf("%sis no record but %s", prefixed(path, " "), t.kind)
	}
	for _, name := range l.required {
		if t.field(name) == nil {
			return nil, fmt.Errorf("field %s%s is missing", prefixed(path, "."), name)
		}
	}
	var steps []step
	for _, f := range t.fields {
		s := step{to: l.fields[f.name], path: prefixed(path, ".") + f.name, typ: f.typ, known: f.typ}
		if err := s.bind(l); err != nil {
			return nil, err
		}
		steps = append(steps, s)
	}
	return steps, nil
}

func prefixed(path, separator string) string {
	if path == "" {
		return ""
	}
	return path + separator
}

func (s *step) bind(l *layout) (err error) {
	if s.to == toNothing {
		return nil
	}
	if s.typ.kind == avroUnion {
		s.known = nil
		for _, b := range s.typ.branches {
			if b.kind != avroNull && s.known == nil && s.to.reads(b) {
				s.known = b
			}
		}
	}
	if s.known == nil || !s.to.reads(s.known) {
		return fmt.Errorf("field %s: its type is not that of waltap's records", s.path)
	}
	switch s.to {
	case toCells, toTags:
		s.sub, err = bindRecord(s.known.items, l.sub[s.to], s.path)
	case toSource, toImage:
		s.sub, err = bindRecord(s.known, l.sub[s.to], s.path)
	case toType:
		s.symbols = symbolsOf(s.known, typeTexts[:])
	case toKind:
		s.symbols = symbolsOf(s.known, kindNames[:])
	}
	return err
}

// symbolsOf maps the symbols of an enum to their indices in known.
func symbolsOf(t *avroType, known []string) []int64 {
	out := make([]int64, len(t.symbols))
	for i, s := range t.symbols {
		out[i] = -1
		for j, k := range known {
			if s == k {
				out[i] = int64(j)
			}
		}
	}
	return out
}

// reads tells whether what is written as t can be put into the place.
func (p place) reads(t *avroType) bool {
	switch p {
	case toRow, toFamily, toQualifier, toValue, toTagValue:
		return t.kind == avroBytes || t.kind == avroString
	case toTable, toVersion, toConnector, toRegion, toSnapshot, toNamespace, toTableName:
		return t.kind == avroString
	case toTimestamp, toTagType, toSequence, toTime, toEpoch:
		return t.kind == avroLong || t.kind == avroInt
	case toType, toKind:
		return t.kind == avroEnum
	case toClusterID:
		return t.isUUID()
	case toOrigins:
		return t.kind == avroArray && t.items.isUUID()
	case toCells, toTags:
		return t.kind == avroArray && t.items.kind == avroRecord
	}
	return t.kind == avroRecord // toSource, toImage
}

// isUUID tells whether t is a UUID as 16 bytes or as text.
func (t *avroType) isUUID() bool {
	return t.kind == avroFixed && t.size == int(uuidSize) || t.kind == avroString
}

// resolving is what is kept while a record is read by steps.
type resolving struct {
	namespace, tableName string
	images               int
	tagType              int64
	tagValue             []byte
	scratch              []byte
}

// resolved reads a record that another release wrote, or one of Debezium's shape.
func (d *Decoder) resolved(b []byte, off int, c *Change) error {
	d.resolving = resolving{scratch: d.scratch}
	c.Table, c.Row, c.Cells, c.Sequence, c.Timestamp = "", nil, c.Cells[:0], 0, 0
	c.Source = Source{Origins: c.Source.Origins[:0]}
	r := reader{b: b, off: off}
	d.fields(&r, d.writer.fields, c)
	if d.writer.envelope {
		d.table(&r, c)
	}
	r.end()
	return r.err
}

// table ends the reading of an envelope.
func (d *Decoder) table(r *reader, c *Change) {
	if d.images != 1 {
		r.fail("after", ErrImages)
	}
	c.Table = d.joinTable(d.namespace, d.tableName)
}

func (d *Decoder) fields(r *reader, steps []step, c *Change) {
	for i := range steps {
		s := &steps[i]
		t := s.typ
		if s.to == toNothing {
			r.skip(t, 0)
			continue
		}
		if t.kind == avroUnion {
			t = r.branch(s.path, t)
		}
		switch {
		case r.err != nil:
			return
		case t.kind == avroNull:
		case t != s.known:
			r.fail(s.path, ErrNewer)
		default:
			d.field(r, s, c)
		}
	}
}

func (d *Decoder) field(r *reader, s *step, c *Change) {
	switch s.to {
	case toTable:
		c.Table = d.string(r, s.path, "")
	case toRow:
		c.Row = r.bytes(s.path)
	case toCells:
		d.records(r, s, c, func() { c.Cells = append(c.Cells, Cell{}) })
	case toSequence:
		c.Sequence = uint64(r.long(s.path))
	case toTime:
		c.Timestamp = r.long(s.path)
	case toSource:
		d.fields(r, s.sub, c)
	case toImage:
		d.images++
		d.fields(r, s.sub, c)
	case toNamespace:
		d.namespace = d.string(r, s.path, "")
	case toTableName:
		d.tableName = d.string(r, s.path, "")
	case toVersion, toConnector, toClusterID, toRegion, toKind, toSnapshot, toOrigins, toEpoch:
		d.sourceField(r, s, &c.Source)
	case toTagType, toTagValue:
		d.tagField(r, s)
	default:
		d.cellField(r, s, c)
	}
}

func (d *Decoder) sourceField(r *reader, s *step, to *Source) {
	switch s.to {
	case toVersion:
		to.Version = d.string(r, s.path, "")
	case toConnector:
		to.Connector = d.string(r, s.path, "")
	case toClusterID:
		to.ClusterID = r.uuid(s.path, s.known)
	case toRegion:
		to.Region = d.string(r, s.path, "")
	case toKind:
		to.Kind = Kind(max(0, r.enum(s)))
	case toSnapshot:
		to.Kind = snapshotKind(string(r.bytes(s.path)))
	case toOrigins:
		d.items(r, s, func() { to.Origins = append(to.Origins, r.uuid(s.path, s.known.items)) })
	case toEpoch:
		to.Epoch = r.long(s.path)
	}
}

func (d *Decoder) cellField(r *reader, s *step, c *Change) {
	k := &c.Cells[len(c.Cells)-1]
	switch s.to {
	case toFamily:
		k.Family = r.bytes(s.path)
	case toQualifier:
		k.Qualifier = r.bytes(s.path)
	case toTimestamp:
		k.Timestamp = r.long(s.path)
	case toType:
		k.Type = cellTypes[max(0, r.enum(s))]
	case toValue:
		k.Value = r.bytes(s.path)
	case toTags:
		d.tags.begin()
		d.records(r, s, c, func() { d.tagType, d.tagValue = 0, nil })
		if k.Tags = d.tags.list(); len(k.Tags) == 0 {
			k.Tags = nil
		}
	}
}

func (d *Decoder) tagField(r *reader, s *step) {
	if s.to == toTagType {
		d.tagType = r.long(s.path)
		return
	}
	d.tagValue = r.bytes(s.path)
}

// records reads an array of records; begin is called before each.
func (d *Decoder) records(r *reader, s *step, c *Change, begin func()) {
	d.items(r, s, func() {
		begin()
		d.fields(r, s.sub, c)
		if s.to == toTags {
			d.tag(r, d.tagType, d.tagValue)
		}
	})
}

// items reads an array.
func (d *Decoder) items(r *reader, s *step, item func()) {
	for {
		n, end := r.block(s.path, 1)
		if n == 0 {
			return
		}
		for i := 0; i < n && r.err == nil; i++ {
			item()
		}
		r.endBlock(s.path, end)
	}
}

// enum reads a symbol as one of this release; negative on a fault.
func (r *reader) enum(s *step) int64 {
	i := r.symbol(s.path, int64(len(s.symbols)))
	if r.err != nil {
		return -1
	}
	if s.symbols[i] < 0 {
		r.fail(s.path, ErrNewer)
	}
	return s.symbols[i]
}

func (r *reader) uuid(field string, t *avroType) (u UUID) {
	if t.kind == avroFixed {
		copy(u[:], r.next(field, uuidSize))
		return u
	}
	u, err := ParseUUID(string(r.bytes(field)))
	if err != nil {
		r.fail(field, err)
	}
	return u
}
