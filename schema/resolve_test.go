package schema

import (
	"encoding/binary"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"
	"pgregory.net/rapid"
)

// newerSchema is AvroSchema as a later release may have it: fields of every type added on every level, before, between and
// behind the known ones, one of them nullable now, one gone that has a zero value, and symbols more.
var newerSchema = strings.NewReplacer(
	`"fields": [
    {
      "name": "op",`, `"fields": [
    {"name": "a_map", "type": {"type": "map", "values": "double"}},
    {"name": "a_list", "type": {"type": "array", "items": {"type": "record", "name": "Item", "fields": [{"name": "f", "type": "float"}, {"name": "next", "type": ["null", "Item"]}]}}},
    {"name": "nothings", "type": {"type": "array", "items": "null"}},
    {"name": "a_null", "type": "null"},
    {
      "name": "op",`,
	`"symbols": ["put", "update", "delete"]`, `"symbols": ["truncate", "put", "update", "delete"]`,
	`{"name": "row", "type": "bytes"`, `{"name": "a_fixed", "type": {"type": "fixed", "name": "F", "size": 3}}, {"name": "row", "type": "bytes"`,
	`"symbols": ["Put", "Delete", `, `"symbols": ["Increment", "Put", "Delete", `,
	`{"name": "value", "type": "bytes", "doc": "Value.`, `{"name": "visible", "type": "boolean"}, {"name": "value", "type": ["null", "bytes"], "doc": "Value.`,
	`{"name": "value", "type": "bytes", "doc": "Tag value."}`, `{"name": "value", "type": "bytes"}, {"name": "note", "type": ["null", "string", "long"]}`,
	`{"name": "region", "type": "string", "doc": "Encoded name of the region that held the row."},`, ``,
	`{"name": "epoch", "type": "long"`, `{"name": "an_int", "type": "int"}, {"name": "epoch", "type": "long"`,
).Replace(AvroSchema)

// newerNative is c as goavro writes it with newerSchema.
func newerNative(c *Change) map[string]any {
	n := native(c)
	n["a_map"] = map[string]any{"k": 1.5}
	n["a_list"] = []any{map[string]any{"f": float32(2), "next": goavro.Union("io.waltap.Item", map[string]any{"f": float32(3), "next": nil})}}
	n["nothings"], n["a_null"], n["a_fixed"] = []any{nil, nil}, nil, []byte{1, 2, 3}
	for _, cell := range n["cells"].([]any) {
		k := cell.(map[string]any)
		k["visible"] = true
		if v := k["value"].([]byte); len(v) > 0 {
			k["value"] = goavro.Union("bytes", v)
		} else {
			k["value"] = nil
		}
		for i, tag := range k["tags"].([]any) {
			tag.(map[string]any)["note"] = []any{nil, goavro.Union("string", "s"), goavro.Union("long", 5)}[i%3]
		}
	}
	source := n["source"].(map[string]any)
	delete(source, "region")
	source["an_int"] = 5
	return n
}

// newerRecord is n in single-object encoding. Its header is not goavro's, whose fingerprint differs now and then (see
// TestFingerprintsOfOthers).
func newerRecord(codec *goavro.Codec, n map[string]any) ([]byte, error) {
	head := binary.LittleEndian.AppendUint64([]byte{0xC3, 0x01}, avroFingerprintOf(newerSchema))
	return codec.BinaryFromNative(head, n)
}

func TestRecordsOfANewerWriter(t *testing.T) {
	codec, err := goavro.NewCodec(newerSchema)
	if err != nil {
		t.Fatal(err)
	}
	ref := SchemaRef{Fingerprint: avroFingerprintOf(newerSchema)}
	writers := new(Writers)
	if err := writers.Add(ref, newerSchema); err != nil {
		t.Fatal(err)
	}
	d := Decoder{Writers: writers}
	rapid.Check(t, func(t *rapid.T) {
		var got Change
		want := genChange(t)
		want.Source.Region = ""
		b, err := newerRecord(codec, newerNative(want))
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "own between") { // nothing of it may show
			if err := d.Decode(AppendAvro(nil, sample()), &got); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Decode(b, &got); err != nil {
			t.Fatal(err)
		}
		if diff := diffChanges(want, &got); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
		for n := range b {
			if err := d.Decode(b[:n], &got); err == nil {
				t.Fatalf("the first %d of %d bytes were read", n, len(b))
			}
		}
	})
}

func TestWhatANewerWriterKnowsBetter(t *testing.T) {
	codec, err := goavro.NewCodec(newerSchema)
	if err != nil {
		t.Fatal(err)
	}
	writers := new(Writers)
	if err := writers.Add(SchemaRef{Fingerprint: avroFingerprintOf(newerSchema)}, newerSchema); err != nil {
		t.Fatal(err)
	}
	n := newerNative(sample())
	n["cells"].([]any)[1].(map[string]any)["type"] = "Increment"
	b, err := newerRecord(codec, n)
	if err != nil {
		t.Fatal(err)
	}
	d := Decoder{Writers: writers}
	var c Change
	var field *FieldError
	if err := d.Decode(b, &c); !errors.Is(err, ErrNewer) || !errors.As(err, &field) || field.Field != "cells.type" {
		t.Errorf("a cell of an unknown type: %v, want ErrNewer of cells.type", err)
	}
	n = newerNative(sample())
	n["op"] = "truncate" // derived from the cells, which alone decide what is applied
	if b, err = newerRecord(codec, n); err != nil {
		t.Fatal(err)
	}
	if err := d.Decode(b, &c); err != nil || c.Op() != OpUpdate {
		t.Errorf("an unknown op: %v, op %v", err, c.Op())
	}
}

func TestOtherWriters(t *testing.T) {
	without := func(field string) string {
		from := strings.Index(AvroSchema, `{"name": "`+field+`"`)
		return AvroSchema[:from] + AvroSchema[from+strings.IndexByte(AvroSchema[from:], '\n'):]
	}
	for _, tc := range []struct{ name, text, want string }{
		{"no JSON", `{`, "parse Avro schema: unexpected end of JSON input"},
		{"no schema", `{"type":"recod","name":"R"}`, `parse Avro schema: type "recod" is not defined`},
		{"a string", `"string"`, "is no record but string"},
		{"another record", `{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}`, "field table is missing"},
		{"no qualifier", without("qualifier"), "field cells.qualifier is missing"},
		{"row of another type", strings.Replace(AvroSchema, `"row", "type": "bytes"`, `"row", "type": "long"`, 1), "field row: its type is not that of waltap's records"},
		{"another envelope", `{"type":"record","name":"E","fields":[{"name":"before","type":["null","int"]},{"name":"after","type":["null","int"]},{"name":"source","type":"string"}]}`,
			"field before: its type is not that of waltap's records"},
	} {
		w := new(Writers)
		ref := SchemaRef{InRegistry: true, ID: 12}
		err := w.Add(ref, tc.text)
		var foreign *ForeignSchemaError
		want := "decode change: schema 12 of the registry is not that of a waltap record: " + tc.want
		if !errors.As(err, &foreign) || err.Error() != want {
			t.Errorf("%s: %v\nwant %s", tc.name, err, want)
		}
		d := Decoder{Writers: w}
		if got := d.Decode(append(ConfluentHead(12), 1, 2, 3), new(Change)); !errors.Is(got, err) {
			t.Errorf("%s: decoding says %v", tc.name, got)
		}
	}
	w := new(Writers)
	if err := w.Add(SchemaRef{Fingerprint: 5}, AvroSchema); err == nil || !strings.Contains(err.Error(), "its fingerprint is 53b2a2928ca6f532") {
		t.Errorf("a schema under the fingerprint of another: %v", err)
	}
}

// TestOwnSchemaFromTheRegistry: a registry may hand the schema out formatted in another way.
func TestOwnSchemaFromTheRegistry(t *testing.T) {
	w := new(Writers)
	if err := w.Add(SchemaRef{InRegistry: true, ID: 3}, strings.Join(strings.Fields(AvroSchema), " ")); err != nil {
		t.Fatal(err)
	}
	d := Decoder{Writers: w}
	var got Change
	if err := d.Decode(AvroEncoder{ConfluentHead(3)}.Append(nil, sample()), &got); err != nil || !d.writer.own {
		t.Fatalf("%v, read as the own schema: %v", err, d.writer.own)
	}
	if diff := diffChanges(sample(), &got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestFingerprintsOfOthers(t *testing.T) {
	for _, text := range []string{`"int"`, `["null","string"]`, newerSchema, DebeziumAvroSchema, KeyAvroSchema,
		`{"type":"record","name":"R","namespace":"a.b","fields":[{"name":"x","type":{"type":"enum","name":"E","symbols":["A"]}},{"name":"y","type":"E"},{"name":"z","type":{"type":"map","values":"a.b.R"}}]}`} {
		parsed, err := parseAvroType(text)
		if err != nil {
			t.Fatal(err)
		}
		own := string(parsed.appendCanonical(nil, map[*avroType]bool{}))
		// goavro walks over a map: now and then it leaves the namespace of a recursive name away.
		var codec *goavro.Codec
		for range 50 {
			if codec, err = goavro.NewCodec(text); err != nil {
				t.Fatal(err)
			}
			if codec.CanonicalSchema() == own {
				break
			}
		}
		if own != codec.CanonicalSchema() || parsed.fingerprint() != codec.Rabin {
			t.Errorf("canonical form\n%s (%x), goavro has\n%s (%x)", own, parsed.fingerprint(), codec.CanonicalSchema(), codec.Rabin)
		}
	}
}

// FuzzResolve reads any bytes by any schema: it must end, without a panic.
func FuzzResolve(f *testing.F) {
	body := AppendAvro(nil, sample())[singleObjectHead:]
	f.Add(AvroSchema, body)
	f.Add(newerSchema, body)
	f.Add(DebeziumAvroSchema, (&DebeziumAvroEncoder{Debezium: testDebezium}).Append(nil, sample()))
	// A record of nothing but itself, arrays of nothing, and a tree of empty records.
	for _, extra := range []string{
		`{"type":"record","name":"A","fields":[{"name":"a","type":"A"},{"name":"b","type":"A"}]}`,
		`{"type":"array","items":{"type":"array","items":"null"}}`,
		`{"type":"record","name":"A","fields":[{"name":"a","type":{"type":"record","name":"B","fields":[]}},{"name":"b","type":"B"}]}`,
	} {
		f.Add(strings.Replace(AvroSchema, `"fields": [`, `"fields": [{"name": "extra", "type": `+extra+`},`, 1), append(binary.AppendVarint(nil, -1<<60), body...))
	}
	f.Fuzz(func(t *testing.T, text string, b []byte) {
		w := new(Writers)
		ref := SchemaRef{InRegistry: true}
		if w.Add(ref, text) != nil {
			return
		}
		d := Decoder{Writers: w}
		var c Change
		if err := d.Decode(append(ConfluentHead(0), b...), &c); err == nil && len(c.Cells) > len(b) {
			t.Fatalf("%d cells of %d bytes", len(c.Cells), len(b))
		}
	})
}

func TestWritersKeepWhatTheyKnow(t *testing.T) {
	w := testWriters(t)
	if err := w.Add(SchemaRef{InRegistry: true, ID: 99}, `"string"`); err == nil {
		t.Error("a string is a change")
	}
	for name, e := range maps.All(encoders()) {
		d := Decoder{Writers: w}
		if err := d.Decode(e.Append(nil, sample()), new(Change)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
