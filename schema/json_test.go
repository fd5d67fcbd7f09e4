package schema

import (
	"errors"
	"strings"
	"testing"
)

// TestJSONFaults: what is not exactly a record is refused, each with its field.
func TestJSONFaults(t *testing.T) {
	good := string(JSONEncoder{}.Append(nil, sample()))
	envelope := string((&DebeziumJSONEncoder{Debezium: testDebezium}).Append(nil, sample()))
	in := func(s, old, text string) string {
		t.Helper()
		if !strings.Contains(s, old) {
			t.Fatalf("%s does not hold %s", s, old)
		}
		return strings.Replace(s, old, text, 1)
	}
	for _, tc := range []struct {
		name, json, field string
		want              error
	}{
		{"a newer format", in(good, `"format":1`, `"format":2`), "format", ErrNewer},
		{"another object", `{"id":1,"name":"x"}`, "source", ErrMissing},
		{"no table", in(good, `"table":"default:orders",`, ``), "table", ErrMissing},
		{"no row", in(good, `"row":"cm93LTE=",`, ``), "row", ErrMissing},
		{"a null row", in(good, `"row":"cm93LTE="`, `"row":null`), "row", ErrMissing},
		{"row twice", in(good, `"row":`, `"rowText":"row-1","row":`), "row", ErrTwice},
		{"row that is no base64", in(good, `"row":"cm93LTE="`, `"row":"%"`), "json", nil},
		{"row that is a number", in(good, `"row":"cm93LTE="`, `"row":5`), "row", nil},
		{"no cells", in(good, `"cells":[`, `"cellz":[`), "cells", ErrMissing},
		{"no timestamp", in(good, `"timestamp":5,`, ``), "cells.timestamp", ErrMissing},
		{"no family", in(good, `"family":"ZA==",`, ``), "cells.family", ErrMissing},
		{"no qualifier", in(good, `"qualifier":"bmFtZQ==",`, ``), "cells.qualifier", ErrMissing},
		{"no value", in(good, `,"value":"dmFsdWU="`, ``), "cells.value", ErrMissing},
		{"a cell of a newer type", in(good, `"type":"Put"`, `"type":"Increment"`), "cells.type", ErrNewer},
		{"no type", in(good, `"type":"Put",`, ``), "cells.type", ErrNewer},
		{"a tag of type 256", in(good, `{"type":8`, `{"type":256`), "cells.tags.type", ErrOutOfRange},
		{"a tag without a type", in(good, `{"type":8,`, `{`), "cells.tags.type", ErrMissing},
		{"a tag without a value", in(good, `,"value":"dHRs"`, ``), "cells.tags.value", ErrMissing},
		{"another kind", in(good, `"kind":"wal"`, `"kind":"hfile"`), "source.kind", ErrNewer},
		{"no cluster id", in(good, `"cluster_id":"01000000-0000-0000-0000-000000000000",`, ``), "source.cluster_id", nil},
		{"an origin that is no id", in(good, `"origins":["`, `"origins":["x`), "source.origins", nil},
		{"a number beyond 64 bits", in(good, `"ts":1790000000000`, `"ts":99999999999999999999`), "ts", nil},
		{"half a surrogate pair", in(good, `"connector":"orders"`, `"connector":"\ud800"`), "json", ErrNotUTF8},
		{"a pair the wrong way round", in(good, `"connector":"orders"`, `"connector":"\udc00\ud800"`), "json", ErrNotUTF8},
		{"bytes that are not UTF-8", in(good, `"connector":"orders"`, "\"connector\":\"\xff\""), "json", ErrNotUTF8},
		{"two records", good + good, "json", nil},
		{"the envelope of another", `{"before":null,"after":{"id":1},"source":{"connector":"mysql","db":"d","table":"t","snapshot":"false","ts_ms":1},"op":"c"}`, "source.cluster_id", nil},
		{"before and after", in(envelope, `"before":null`, `"before":{"row":"","cells":[]}`), "after", ErrImages},
		{"neither before nor after", in(envelope, `"after":{`, `"aftr":{`), "after", ErrImages},
		{"no table in the source", in(envelope, `"table":"orders",`, ``), "source.table", ErrMissing},
	} {
		var c Change
		err := DecodeAvro([]byte(tc.json), &c)
		var field *FieldError
		if !errors.As(err, &field) || field.Field != tc.field || tc.want != nil && !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want field %s: %v", tc.name, err, tc.field, tc.want)
		}
	}
	for _, s := range []string{good, envelope} {
		for n := range s {
			if err := DecodeAvro([]byte(s[:n]), new(Change)); err == nil {
				t.Fatalf("the first %d of %d bytes were read", n, len(s))
			}
		}
	}
}

// TestJSONOfANewerWriter: what it has added is passed over, on every level and in both shapes.
func TestJSONOfANewerWriter(t *testing.T) {
	for _, e := range []Encoder{JSONEncoder{}, JSONEncoder{Schema: true}, &DebeziumJSONEncoder{Debezium: testDebezium, Text: true}} {
		s := string(e.Append(nil, sample()))
		s = strings.ReplaceAll(s, `"timestamp":`, `"colour":["\ud83d\ude00 \\ud800",{"a":1}],"timestamp":`)
		s = strings.NewReplacer(`"version":`, `"an_int":5,"version":`, `"cells":`, `"more":null,"cells":`, `[{"type":8`, `[{"note":1.5,"type":8`).Replace(s)
		var got Change
		if err := DecodeAvro([]byte(s), &got); err != nil {
			t.Errorf("%T: %v\n%s", e, err, s)
		} else if d := diffChanges(sample(), &got); d != "" {
			t.Errorf("%T (-want +got):\n%s", e, d)
		}
	}
}
