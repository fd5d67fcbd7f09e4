package schema

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/linkedin/goavro/v2"
	"pgregory.net/rapid"
)

// testNow is when the records of Debezium's shape were written.
const testNow = 1_790_000_000_999

var testDebezium = Debezium{Name: "orders", Now: func() int64 { return testNow }}

const changeID, envelopeID = 7, 8

// encoders are all ways to write a value, by their names in docs and testdata.
func encoders() map[string]Encoder {
	return map[string]Encoder{
		"avro":                      AvroEncoder{SingleObjectHead(AvroSchema)},
		"avro-registry":             AvroEncoder{ConfluentHead(changeID)},
		"json":                      JSONEncoder{},
		"json-text":                 JSONEncoder{Text: true},
		"json-schema":               JSONEncoder{Schema: true},
		"json-text-schema":          JSONEncoder{Text: true, Schema: true},
		"debezium-avro":             &DebeziumAvroEncoder{testDebezium, SingleObjectHead(DebeziumAvroSchema)},
		"debezium-avro-registry":    &DebeziumAvroEncoder{testDebezium, ConfluentHead(envelopeID)},
		"debezium-json":             &DebeziumJSONEncoder{Debezium: testDebezium},
		"debezium-json-text":        &DebeziumJSONEncoder{Debezium: testDebezium, Text: true},
		"debezium-json-schema":      &DebeziumJSONEncoder{Debezium: testDebezium, Schema: true},
		"debezium-json-text-schema": &DebeziumJSONEncoder{Debezium: testDebezium, Text: true, Schema: true},
	}
}

// testWriters know the schemas of the encoders.
func testWriters(tb testing.TB) *Writers {
	tb.Helper()
	w := new(Writers)
	for id, text := range map[uint32]string{changeID: AvroSchema, envelopeID: DebeziumAvroSchema} {
		if err := w.Add(SchemaRef{InRegistry: true, ID: id}, text); err != nil {
			tb.Fatal(err)
		}
	}
	return w
}

// TestEveryEncodingIsLossless: what one decoder reads, whatever the encoding before was, is what was written.
func TestEveryEncodingIsLossless(t *testing.T) {
	all := encoders()
	names := slices.Sorted(maps.Keys(all))
	writers := testWriters(t)
	rapid.Check(t, func(t *rapid.T) {
		d := Decoder{Writers: writers}
		var got Change // reused on purpose: nothing of an earlier record may show
		for range rapid.IntRange(1, 6).Draw(t, "records") {
			want := genChange(t)
			name := rapid.SampledFrom(names).Draw(t, "encoding")
			b := all[name].Append([]byte("before"), want)
			if string(b[:6]) != "before" {
				t.Fatalf("%s: overwrote what stood before", name)
			}
			if err := d.Decode(b[6:], &got); err != nil {
				t.Fatalf("%s: %v\n%q", name, err, b[6:])
			}
			if diff := diffChanges(want, &got); diff != "" {
				t.Fatalf("%s (-want +got):\n%s\n%q", name, diff, b[6:])
			}
			if again := all[name].Append(nil, &got); string(again) != string(b[6:]) {
				t.Fatalf("%s: written again it is\n%q\nnot\n%q", name, again, b[6:])
			}
		}
	})
}

func TestEncodingOf(t *testing.T) {
	for name, e := range encoders() {
		want := JSON
		if strings.Contains(name, "avro") {
			want = SingleObject
		}
		if strings.Contains(name, "registry") {
			want = Confluent
		}
		if got := EncodingOf(e.Append(nil, sample())); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, b := range [][]byte{nil, {0xC3}, []byte("[1]"), []byte(" {}")} {
		if got := EncodingOf(b); got != "" {
			t.Errorf("% x: %q", b, got)
		}
	}
}

// TestJSONIsJSON holds our JSON against encoding/json.
func TestJSONIsJSON(t *testing.T) {
	for name, e := range encoders() {
		if !strings.Contains(name, "json") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				c := genChange(t)
				var v map[string]any
				if err := json.Unmarshal(e.Append(nil, c), &v); err != nil {
					t.Fatal(err)
				}
				if p, ok := v["payload"].(map[string]any); ok {
					v = p
				}
				image, source := v, v["source"].(map[string]any)
				for _, side := range []string{"before", "after"} {
					if m, ok := v[side].(map[string]any); ok {
						image = m
					}
				}
				if got := jsonBytesOf(t, image, "row"); got != string(c.Row) {
					t.Fatalf("row %q, want %q", got, c.Row)
				}
				if source["version"] != c.Source.Version || len(source["origins"].([]any)) != len(c.Source.Origins) {
					t.Fatalf("source %v", source)
				}
				cells := image["cells"].([]any)
				for i, k := range c.Cells {
					m := cells[i].(map[string]any)
					if jsonBytesOf(t, m, "value") != string(k.Value) || jsonBytesOf(t, m, "qualifier") != string(k.Qualifier) || m["type"] != k.Type.String() {
						t.Fatalf("cell %v, want %+v", m, k)
					}
				}
			})
		})
	}
}

// jsonBytesOf is the value of a field, or of its Text form.
func jsonBytesOf(t *rapid.T, m map[string]any, name string) string {
	encoded, isBase64 := m[name].(string)
	text, isText := m[name+"Text"].(string)
	if isBase64 == isText {
		t.Fatalf("%s is there as base64 %v and as text %v", name, isBase64, isText)
	}
	if isText {
		return text
	}
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestTextIsText(t *testing.T) {
	for s, want := range map[string]bool{
		"": true, "row-1": true, "größe 日本": true, "a\tb\r\n": true, "\x00": false, "a\x1f": false, "\x7f": false, "\xff": false,
		"\xed\xa0\x80": false, "\u2028": true, `"\`: true,
	} {
		if isText([]byte(s)) != want {
			t.Errorf("isText(%q) = %v", s, !want)
		}
		if !want {
			continue
		}
		var back string
		if err := json.Unmarshal(appendQuoted(nil, s), &back); err != nil || back != s {
			t.Errorf("%q is written as %s: %v", s, appendQuoted(nil, s), err)
		}
	}
	every := make([]byte, 0, 128)
	for b := range byte(128) {
		every = append(every, b)
	}
	var back string
	if err := json.Unmarshal(appendQuoted(nil, every), &back); err != nil || back != string(every) || !utf8.ValidString(back) {
		t.Errorf("all of ASCII reads back as %q, %v", back, err)
	}
}

// TestDebeziumAvroReadByOracle: goavro, with the published schema, reads what we write.
func TestDebeziumAvroReadByOracle(t *testing.T) {
	codec, err := goavro.NewCodec(DebeziumAvroSchema)
	if err != nil {
		t.Fatal(err)
	}
	e := encoders()["debezium-avro"]
	rapid.Check(t, func(t *rapid.T) {
		c := genChange(t)
		got, rest, err := codec.NativeFromSingle(e.Append(nil, c))
		if err != nil || len(rest) != 0 {
			t.Fatalf("goavro: %v, %d bytes left", err, len(rest))
		}
		if d := cmp.Diff(any(nativeEnvelope(c)), got, equalChanges); d != "" {
			t.Fatalf("goavro reads another record (-want +got):\n%s", d)
		}
	})
}

// nativeEnvelope is c in Debezium's shape as goavro shows it.
func nativeEnvelope(c *Change) map[string]any {
	n := native(c)
	image := goavro.Union("io.waltap.debezium.Value", map[string]any{"row": n["row"], "cells": n["cells"]})
	v := map[string]any{"before": nil, "after": image, "transaction": nil, "ts_ms": goavro.Union("long", int64(testNow))}
	v["op"] = map[Op]string{OpPut: "c", OpUpdate: "u", OpDelete: "d"}[c.Op()]
	snapshot := "false"
	if c.Source.Kind == KindScan {
		v["op"], snapshot = "r", "true"
	}
	if v["op"] == "d" {
		v["before"], v["after"] = v["after"], nil
	}
	origins := make([]any, len(c.Source.Origins))
	for i, o := range c.Source.Origins {
		origins[i] = o.String()
	}
	namespace, table, _ := strings.Cut(c.Table, ":")
	v["source"] = map[string]any{"version": c.Source.Version, "connector": "hbase", "name": "orders", "ts_ms": c.Timestamp,
		"snapshot": snapshot, "db": namespace, "sequence": nil, "table": table, "connector_name": c.Source.Connector,
		"cluster_id": c.Source.ClusterID.String(), "region": c.Source.Region, "seq": int64(c.Sequence), "origins": origins, "epoch": c.Source.Epoch}
	return v
}

func TestHeads(t *testing.T) {
	if got := string(AvroEncoder{SingleObjectHead(AvroSchema)}.Append(nil, sample())); got != string(AppendAvro(nil, sample())) {
		t.Errorf("AvroEncoder and AppendAvro differ: % x", got[:10])
	}
	head := ConfluentHead(0x01020304)
	if fmt.Sprintf("% x", head) != "00 01 02 03 04" || binary.BigEndian.Uint32(head[1:]) != 0x01020304 {
		t.Errorf("head of id 0x01020304: % x", head)
	}
}

func FuzzDecode(f *testing.F) {
	for _, e := range encoders() {
		f.Add(e.Append(nil, sample()))
		f.Add(e.Append(nil, &Change{Table: "a:b"}))
	}
	writers := testWriters(f)
	all := encoders()
	f.Fuzz(func(t *testing.T, b []byte) {
		d := Decoder{Writers: writers}
		var c Change
		if err := d.Decode(b, &c); err != nil {
			return
		}
		if c.Validate() != nil { // Avro of a foreign writer
			return
		}
		for name, e := range all {
			var again Change
			if err := d.Decode(e.Append(nil, &c), &again); err != nil {
				t.Fatalf("%s: own encoding of a decoded change: %v", name, err)
			}
			if diff := diffChanges(&c, &again); diff != "" {
				t.Fatalf("%s: change differs after a round trip (-want +got):\n%s", name, diff)
			}
		}
	})
}
