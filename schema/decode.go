package schema

import (
	"encoding/binary"
	"math"
	"slices"
	"unicode/utf8"
)

const (
	minCellBytes = 6 // three lengths, timestamp, type and the end of the tags
	minTagBytes  = 2 // type and length
	uuidSize     = int64(len(UUID{}))
	// maxGrow bounds the items room is made for by a count alone, before the
	// items themselves are seen.
	maxGrow = 1024
)

// DecodeAvro reads one record that AppendAvro, or any Avro writer with
// AvroSchema, made.
//
// Row and the cells' byte slices alias b, so they live as long as b stays
// unchanged. c is reused: Cells and Source.Origins are truncated and refilled,
// strings equal to the ones c holds are kept. The op in the record is checked
// for range only: Change.Op derives it from the cells.
//
// Errors: ErrNotSingleObject, *UnknownSchemaError, *FieldError. c's content is
// undefined after an error.
//
// A stream of records is better read with a Decoder.
func DecodeAvro(b []byte, c *Change) error {
	var d Decoder
	return d.Decode(b, c)
}

// Decoder decodes a stream of records without allocating for the strings that
// repeat in it. The zero value is ready for use; not safe for concurrent use.
type Decoder struct {
	strings interner
	tags    tagArena
}

// Decode reads one record as DecodeAvro does. Changes decoded earlier stay
// valid, as long as their own bytes do and they are not passed as c again.
func (d *Decoder) Decode(b []byte, c *Change) error {
	if len(b) < 2 || b[0] != singleObjectMarker0 || b[1] != singleObjectMarker1 {
		return ErrNotSingleObject
	}
	if len(b) < singleObjectHead {
		return &FieldError{Field: "fingerprint", Offset: len(b), Err: ErrTruncated}
	}
	if f := binary.LittleEndian.Uint64(b[2:]); f != avroFingerprint {
		return &UnknownSchemaError{Fingerprint: f}
	}
	r := reader{b: b, off: singleObjectHead}
	r.symbol("op", int64(OpDelete)+1)
	c.Table = d.string(&r, "table", c.Table)
	c.Row = r.bytes("row")
	d.cells(&r, c)
	c.Sequence = uint64(r.long("sequence"))
	c.Timestamp = r.long("ts")
	d.source(&r, &c.Source)
	if r.err == nil && r.off != len(b) {
		r.fail("end", ErrTrailingBytes)
	}
	return r.err
}

func (d *Decoder) cells(r *reader, c *Change) {
	c.Cells = c.Cells[:0]
	for {
		n, end := r.block("cells", minCellBytes)
		if n == 0 {
			return
		}
		c.Cells = slices.Grow(c.Cells, min(n, maxGrow))
		for range n {
			c.Cells = append(c.Cells, Cell{})
			d.cell(r, &c.Cells[len(c.Cells)-1])
			if r.err != nil {
				return
			}
		}
		r.endBlock("cells", end)
	}
}

func (d *Decoder) cell(r *reader, k *Cell) {
	k.Family = r.bytes("cells.family")
	k.Qualifier = r.bytes("cells.qualifier")
	k.Timestamp = r.long("cells.timestamp")
	k.Type = cellTypes[r.symbol("cells.type", int64(len(cellTypes)))]
	k.Value = r.bytes("cells.value")
	k.Tags = d.tagList(r)
}

// tagList reads the array of tags back into HBase's serialised list, nil when
// there are none.
func (d *Decoder) tagList(r *reader) []byte {
	raw, started := false, false
	for {
		n, end := r.block("cells.tags", minTagBytes)
		if n == 0 {
			break
		}
		if !started {
			d.tags.begin()
			started = true
		}
		for range n {
			typ := r.long("cells.tags.type")
			value := r.bytes("cells.tags.value")
			if r.err != nil {
				return nil
			}
			if raw || typ < rawTagType || typ > math.MaxUint8 {
				r.fail("cells.tags.type", ErrOutOfRange)
				return nil
			}
			raw = typ == rawTagType
			if !d.tags.add(typ, value) {
				r.fail("cells.tags.value", ErrOutOfRange)
				return nil
			}
		}
		r.endBlock("cells.tags", end)
	}
	if !started {
		return nil
	}
	return d.tags.list()
}

func (d *Decoder) source(r *reader, s *Source) {
	s.Version = d.string(r, "source.version", s.Version)
	s.Connector = d.string(r, "source.connector", s.Connector)
	copy(s.ClusterID[:], r.next("source.cluster_id", uuidSize))
	s.Region = d.string(r, "source.region", s.Region)
	s.Kind = Kind(r.symbol("source.kind", int64(KindWAL)+1))
	s.Origins = s.Origins[:0]
	for {
		n, end := r.block("source.origins", uuidSize)
		if n == 0 {
			break
		}
		for range n {
			// block has seen that the bytes of all n are there.
			s.Origins = append(s.Origins, UUID(r.next("source.origins", uuidSize)))
		}
		r.endBlock("source.origins", end)
	}
	s.Epoch = r.long("source.epoch")
}

// string reads a string, without allocating when it is the one in prev or one
// of the decoder's.
func (d *Decoder) string(r *reader, field, prev string) string {
	b := r.bytes(field)
	if string(b) == prev {
		return prev
	}
	s, ok := d.strings.get(b)
	if !ok {
		r.fail(field, ErrNotUTF8)
	}
	return s
}

// interner keeps one copy of strings that repeat.
type interner struct{ m map[string]string }

const (
	maxInterned       = 16384 // strings: regions of one source's tables, mostly
	maxInternedLength = 512
)

// get returns b as a string, false when it is not UTF-8.
func (in *interner) get(b []byte) (string, bool) {
	if s, ok := in.m[string(b)]; ok {
		return s, true
	}
	if !utf8.Valid(b) {
		return "", false
	}
	s := string(b)
	if len(s) > maxInternedLength {
		return s, true
	}
	if in.m == nil {
		in.m = make(map[string]string)
	} else if len(in.m) >= maxInterned {
		clear(in.m)
	}
	in.m[s] = s
	return s, true
}

// tagArena gives room to tag lists. A chunk is never written twice, so lists
// handed out stay as they are.
type tagArena struct {
	chunk []byte
	start int // of the list in hand
}

const maxTagChunk = 16 << 10

func (a *tagArena) begin() { a.start = len(a.chunk) }

// add appends one tag in HBase's form; false when the list becomes longer than
// HBase's 16-bit lengths allow.
func (a *tagArena) add(typ int64, value []byte) bool {
	size := len(value)
	if typ != rawTagType {
		size += 3
	}
	have := len(a.chunk) - a.start
	if have+size > math.MaxUint16 {
		return false
	}
	if cap(a.chunk)-len(a.chunk) < size {
		room := max(have+size, min(2*cap(a.chunk), maxTagChunk))
		a.chunk = append(make([]byte, 0, room), a.chunk[a.start:]...)
		a.start = 0
	}
	if typ != rawTagType {
		a.chunk = binary.BigEndian.AppendUint16(a.chunk, uint16(1+len(value)))
		a.chunk = append(a.chunk, byte(typ))
	}
	a.chunk = append(a.chunk, value...)
	return true
}

func (a *tagArena) list() []byte {
	return a.chunk[a.start:len(a.chunk):len(a.chunk)]
}
