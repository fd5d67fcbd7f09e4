package schema

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonRecord is a record of any of the JSON shapes.
type jsonRecord struct {
	Payload *jsonRecord `json:"payload"` // of {"schema": …, "payload": …}

	Format   int     `json:"format"`
	Table    *string `json:"table"`
	Sequence int64   `json:"sequence"`
	TS       int64   `json:"ts"`
	jsonImage

	Before *jsonImage `json:"before"`
	After  *jsonImage `json:"after"`

	Source json.RawMessage `json:"source"`
}

// Bytes are base64 (which is how encoding/json reads []byte), or text in a second field, exactly one of the two.

type jsonImage struct {
	Row     []byte     `json:"row"`
	RowText *string    `json:"rowText"`
	Cells   []jsonCell `json:"cells"`
}

type jsonCell struct {
	Family        []byte    `json:"family"`
	FamilyText    *string   `json:"familyText"`
	Qualifier     []byte    `json:"qualifier"`
	QualifierText *string   `json:"qualifierText"`
	Timestamp     *int64    `json:"timestamp"`
	Type          string    `json:"type"`
	Value         []byte    `json:"value"`
	ValueText     *string   `json:"valueText"`
	Tags          []jsonTag `json:"tags"`
}

type jsonTag struct {
	Type      *int64  `json:"type"`
	Value     []byte  `json:"value"`
	ValueText *string `json:"valueText"`
}

type jsonSource struct {
	Version   string   `json:"version"`
	Connector string   `json:"connector"`
	ClusterID string   `json:"cluster_id"`
	Region    string   `json:"region"`
	Kind      string   `json:"kind"`
	Origins   []string `json:"origins"`
	Epoch     int64    `json:"epoch"`
}

type jsonDebeziumSource struct {
	jsonSource
	ConnectorName string  `json:"connector_name"`
	TS            int64   `json:"ts_ms"`
	Snapshot      string  `json:"snapshot"`
	Namespace     string  `json:"db"`
	Table         *string `json:"table"`
	Seq           int64   `json:"seq"`
}

// json reads a record as JSON.
func (d *Decoder) json(b []byte, c *Change) error {
	if !utf8.Valid(b) || loneSurrogate(b) { // encoding/json would put others in their place
		return jsonFault("json", ErrNotUTF8)
	}
	var j jsonRecord
	if err := readJSON(b, &j); err != nil {
		return err
	}
	rec := &j
	if j.Payload != nil {
		rec = j.Payload
	}
	c.Cells, c.Source = c.Cells[:0], Source{Origins: c.Source.Origins[:0]}
	switch {
	case rec.Format > JSONFormat:
		return jsonFault("format", ErrNewer)
	case rec.Source == nil:
		return jsonFault("source", ErrMissing)
	case rec.Format > 0:
		return d.jsonChange(rec, c)
	}
	return d.jsonEnvelope(rec, c)
}

// loneSurrogate tells whether a string of the JSON b has half a surrogate pair as an escape, such as \ud800.
func loneSurrogate(b []byte) bool {
	for i := bytes.IndexByte(b, '\\'); i >= 0 && i+1 < len(b); i = next(b, i) {
		r := escaped(b[i:])
		if !utf16.IsSurrogate(r) {
			i += 2 // also of \uXXXX: its digits hold no backslash
			continue
		}
		if utf16.DecodeRune(r, escaped(b[i+6:])) == utf8.RuneError {
			return true
		}
		i += 12
	}
	return false
}

// next is the index of the next backslash from i on, -1 for none.
func next(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	if n := bytes.IndexByte(b[i:], '\\'); n >= 0 {
		return i + n
	}
	return -1
}

// escaped is the code unit of the escape \uXXXX that b begins with, -1 when it begins with something else.
func escaped(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	var unit [2]byte
	if _, err := hex.Decode(unit[:], b[2:6]); err != nil {
		return -1
	}
	return rune(binary.BigEndian.Uint16(unit[:]))
}

func (d *Decoder) jsonChange(j *jsonRecord, c *Change) error {
	if j.Table == nil {
		return jsonFault("table", ErrMissing)
	}
	var s jsonSource
	if err := readJSON(j.Source, &s); err != nil {
		return err
	}
	c.Table, c.Sequence, c.Timestamp = d.strings.keep(*j.Table), uint64(j.Sequence), j.TS
	switch s.Kind {
	case KindScan.String():
		c.Source.Kind = KindScan
	case KindWAL.String():
		c.Source.Kind = KindWAL
	default:
		return jsonFault("source.kind", ErrNewer)
	}
	return errors.Join(d.jsonSource(&s, s.Connector, &c.Source), d.jsonImage(&j.jsonImage, c))
}

func (d *Decoder) jsonEnvelope(j *jsonRecord, c *Change) error {
	var s jsonDebeziumSource
	if err := readJSON(j.Source, &s); err != nil {
		return err
	}
	switch {
	case s.Table == nil:
		return jsonFault("source.table", ErrMissing)
	case (j.Before == nil) == (j.After == nil):
		return jsonFault("after", ErrImages)
	}
	image := j.After
	if image == nil {
		image = j.Before
	}
	c.Table = d.joinTable(s.Namespace, *s.Table)
	c.Sequence, c.Timestamp, c.Source.Kind = uint64(s.Seq), s.TS, snapshotKind(s.Snapshot)
	return errors.Join(d.jsonSource(&s.jsonSource, s.ConnectorName, &c.Source), d.jsonImage(image, c))
}

func (d *Decoder) jsonSource(s *jsonSource, connector string, to *Source) (err error) {
	to.Version, to.Connector = d.strings.keep(s.Version), d.strings.keep(connector)
	to.Region, to.Epoch = d.strings.keep(s.Region), s.Epoch
	if to.ClusterID, err = ParseUUID(s.ClusterID); err != nil {
		return jsonFault("source.cluster_id", err)
	}
	for _, text := range s.Origins {
		u, err := ParseUUID(text)
		if err != nil {
			return jsonFault("source.origins", err)
		}
		to.Origins = append(to.Origins, u)
	}
	return nil
}

func (d *Decoder) jsonImage(j *jsonImage, c *Change) (err error) {
	if c.Row, err = oneOf("row", j.Row, j.RowText); err != nil {
		return err
	}
	if j.Cells == nil {
		return jsonFault("cells", ErrMissing)
	}
	c.Cells = slices.Grow(c.Cells, len(j.Cells))
	for i := range j.Cells {
		c.Cells = append(c.Cells, Cell{})
		if err := d.jsonCell(&j.Cells[i], &c.Cells[i]); err != nil {
			return err
		}
	}
	return nil
}

func (d *Decoder) jsonCell(j *jsonCell, k *Cell) (err error) {
	if k.Family, err = oneOf("cells.family", j.Family, j.FamilyText); err != nil {
		return err
	}
	if k.Qualifier, err = oneOf("cells.qualifier", j.Qualifier, j.QualifierText); err != nil {
		return err
	}
	if k.Value, err = oneOf("cells.value", j.Value, j.ValueText); err != nil {
		return err
	}
	if j.Timestamp == nil {
		return jsonFault("cells.timestamp", ErrMissing)
	}
	k.Timestamp = *j.Timestamp
	if k.Type, err = ParseCellType(j.Type); err != nil {
		return jsonFault("cells.type", ErrNewer)
	}
	if len(j.Tags) == 0 {
		return nil
	}
	var r reader
	d.tags.begin()
	for _, t := range j.Tags {
		value, err := oneOf("cells.tags.value", t.Value, t.ValueText)
		if err != nil {
			return err
		}
		if t.Type == nil {
			return jsonFault("cells.tags.type", ErrMissing)
		}
		if !d.tag(&r, *t.Type, value) {
			return r.err
		}
	}
	k.Tags = d.tags.list()
	return nil
}

// oneOf is the bytes that a field has as base64 or as text.
func oneOf(field string, b []byte, text *string) ([]byte, error) {
	switch {
	case text == nil && b == nil:
		return nil, jsonFault(field, ErrMissing)
	case text == nil:
		return b, nil
	case b != nil:
		return nil, jsonFault(field, ErrTwice)
	}
	return []byte(*text), nil
}

func readJSON(b []byte, to any) error {
	err := json.Unmarshal(b, to)
	var syntax *json.SyntaxError
	var mismatch *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &syntax):
		return &FieldError{Field: "json", Offset: int(syntax.Offset), Err: err}
	case errors.As(err, &mismatch) && mismatch.Field != "":
		return &FieldError{Field: strings.ReplaceAll(mismatch.Field, "jsonImage.", ""), Offset: int(mismatch.Offset), Err: err}
	}
	return jsonFault("json", err)
}

func jsonFault(field string, err error) error { return &FieldError{Field: field, Offset: -1, Err: err} }

// snapshotKind reads Debezium's field snapshot.
func snapshotKind(s string) Kind {
	if s == "false" {
		return KindWAL
	}
	return KindScan
}

// joinTable is the full name of a table.
func (d *Decoder) joinTable(namespace, table string) string {
	d.scratch = append(append(append(d.scratch[:0], namespace...), ':'), table...)
	s, _ := d.strings.get(d.scratch)
	return s
}
