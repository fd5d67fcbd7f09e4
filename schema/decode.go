package schema

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
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

// DecodeAvro reads one record that AppendAvro made, or any other Avro writer with AvroSchema or DebeziumAvroSchema. See
// Decoder.Decode.
//
// A stream of records is better read with a Decoder.
func DecodeAvro(b []byte, c *Change) error {
	var d Decoder
	return d.Decode(b, c)
}

// Decoder decodes a stream of records without allocating for the strings that
// repeat in it. The zero value is ready for use; not safe for concurrent use.
type Decoder struct {
	// Writers are the schemas of Avro records that this release has not written itself. May be nil.
	Writers *Writers

	strings interner
	sources *sourceCache // nil until the second record: many a decoder reads but one
	begun   bool
	tags    tagArena
	last    SchemaRef // that was looked up, and what was found
	writer  *writer
	resolving
}

// Decode reads the value of one record, in whichever encoding it was written:
//
//	C3 01 | fingerprint, 8 bytes little-endian | Avro     single-object encoding
//	00    | schema id, 4 bytes big-endian      | Avro     Confluent's wire format
//	{ …                                                   JSON, with or without a schema around it
//
// each as a Change or in Debezium's shape.
//
// Row and the cells' byte slices may alias b, so they live as long as b stays
// unchanged. c is reused: Cells and Source.Origins are truncated and refilled,
// strings equal to the ones c holds are kept. The op in the record is checked
// for range only: Change.Op derives it from the cells. Changes decoded earlier stay
// valid, as long as their own bytes do and they are not passed as c again.
//
// Errors: *UnknownSchemaError, which goes away when the schema is added to Writers; the others stay: ErrForeign,
// *ForeignSchemaError, *FieldError. c's content is undefined after an error.
func (d *Decoder) Decode(b []byte, c *Change) error {
	switch EncodingOf(b) {
	case SingleObject:
		return d.singleObject(b, c)
	case Confluent:
		return d.confluent(b, c)
	case JSON:
		return d.json(b, c)
	}
	return ErrForeign
}

func (d *Decoder) singleObject(b []byte, c *Change) error {
	if len(b) < singleObjectHead {
		return &FieldError{Field: "fingerprint", Offset: len(b), Err: ErrTruncated}
	}
	f := binary.LittleEndian.Uint64(b[2:])
	if f == avroFingerprint {
		return d.change(b, singleObjectHead, c)
	}
	return d.written(SchemaRef{Fingerprint: f}, b, singleObjectHead, c)
}

func (d *Decoder) confluent(b []byte, c *Change) error {
	if len(b) < confluentHead {
		return &FieldError{Field: "schema id", Offset: len(b), Err: ErrTruncated}
	}
	return d.written(SchemaRef{InRegistry: true, ID: binary.BigEndian.Uint32(b[1:])}, b, confluentHead, c)
}

// written reads a record of the schema ref, whose body begins at off.
func (d *Decoder) written(ref SchemaRef, b []byte, off int, c *Change) error {
	if d.writer == nil || d.last != ref {
		if d.last, d.writer = ref, d.Writers.get(ref); d.writer == nil {
			return &UnknownSchemaError{Schema: ref}
		}
	}
	switch {
	case d.writer.err != nil:
		return d.writer.err
	case d.writer.own:
		return d.change(b, off, c)
	}
	return d.resolved(b, off, c)
}

// change reads the body of a record of AvroSchema.
func (d *Decoder) change(b []byte, off int, c *Change) error {
	r := reader{b: b, off: off}
	r.symbol("op", int64(OpDelete)+1)
	c.Table = d.string(&r, "table", c.Table)
	c.Row = r.bytes("row")
	d.cells(&r, c)
	c.Sequence = uint64(r.long("sequence"))
	c.Timestamp = r.long("ts")
	d.source(&r, &c.Source)
	r.end()
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
	started := false
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
			if !d.tag(r, typ, value) {
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

// tag adds one tag to the list in hand, false on a fault.
func (d *Decoder) tag(r *reader, typ int64, value []byte) bool {
	if r.err != nil {
		return false
	}
	if d.tags.raw || typ < rawTagType || typ > math.MaxUint8 {
		r.fail("cells.tags.type", ErrOutOfRange)
		return false
	}
	if !d.tags.add(typ, value) {
		r.fail("cells.tags.value", ErrOutOfRange)
		return false
	}
	return true
}

// source reads what a record ends with, or finds that it ends like one before: with the regions of a table the sources of its records
// repeat. To read it each time took a quarter of a record of one cell (BenchmarkDecode).
func (d *Decoder) source(r *reader, s *Source) {
	begin := r.off
	if r.err != nil || d.sources.find(r.b[begin:], s) {
		r.off = len(r.b)
		return
	}
	d.readSource(r, s)
	switch {
	case r.err != nil || r.off != len(r.b):
	case d.sources != nil:
		d.sources.add(r.b[begin:], s)
	case d.begun:
		d.sources = &sourceCache{seed: maphash.MakeSeed()}
	}
	d.begun = true
}

func (d *Decoder) readSource(r *reader, s *Source) {
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

// sourceCache remembers the bytes of sources, and what they say.
type sourceCache struct {
	seed  maphash.Seed
	known [knownSources]struct {
		raw    []byte
		source Source
	}
}

const (
	knownSources      = 64
	maxKnownSourceLen = 512
)

func (k *sourceCache) place(raw []byte) uint64 { return maphash.Bytes(k.seed, raw) % knownSources }

// find fills s if raw is known. A nil cache knows nothing.
func (k *sourceCache) find(raw []byte, s *Source) bool {
	if k == nil || len(raw) > maxKnownSourceLen {
		return false
	}
	at := &k.known[k.place(raw)]
	if len(raw) == 0 || !bytes.Equal(raw, at.raw) {
		return false
	}
	origins := append(s.Origins[:0], at.source.Origins...)
	*s = at.source
	s.Origins = origins
	return true
}

func (k *sourceCache) add(raw []byte, s *Source) {
	if len(raw) > maxKnownSourceLen {
		return
	}
	at := &k.known[k.place(raw)]
	at.raw = append(at.raw[:0], raw...)
	origins := append(at.source.Origins[:0], s.Origins...)
	at.source = *s
	at.source.Origins = origins
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
	in.add(s)
	return s, true
}

// keep returns the copy of s that was had before, if there is one.
func (in *interner) keep(s string) string {
	if have, ok := in.m[s]; ok {
		return have
	}
	in.add(s)
	return s
}

func (in *interner) add(s string) {
	if len(s) > maxInternedLength {
		return
	}
	if in.m == nil {
		in.m = make(map[string]string)
	} else if len(in.m) >= maxInterned {
		clear(in.m)
	}
	in.m[s] = s
}

// tagArena gives room to tag lists. A chunk is never written twice, so lists
// handed out stay as they are.
type tagArena struct {
	chunk []byte
	start int  // of the list in hand
	raw   bool // its last tag was of rawTagType
}

const maxTagChunk = 16 << 10

func (a *tagArena) begin() { a.start, a.raw = len(a.chunk), false }

// add appends one tag in HBase's form; false when the list becomes longer than
// HBase's 16-bit lengths allow.
func (a *tagArena) add(typ int64, value []byte) bool {
	size := len(value)
	a.raw = typ == rawTagType
	if !a.raw {
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
	if !a.raw {
		a.chunk = binary.BigEndian.AppendUint16(a.chunk, uint16(1+len(value)))
		a.chunk = append(a.chunk, byte(typ))
	}
	a.chunk = append(a.chunk, value...)
	return true
}

func (a *tagArena) list() []byte {
	return a.chunk[a.start:len(a.chunk):len(a.chunk)]
}
