package schema

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func TestTableJSON(t *testing.T) {
	table := Table{
		Name: "shop:orders", Epoch: 3,
		Attributes: map[string]string{"IS_META": "false", "bin\xff": "\x00\xfe"},
		Families: []Family{
			{Name: "d", Attributes: map[string]string{"VERSIONS": "3", "TTL": "86400"}, Configuration: map[string]string{"k": "v"}},
			{Name: "\xff\x01"},
		},
		Splits: [][]byte{{0x00}, []byte("m")},
	}
	b, err := json.Marshal(table)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"formatVersion":1,"name":"shop:orders","epoch":3,"attributes":{"IS_META":"false"},"attributesBase64":{"Ymlu/w==":"AP4="},` +
		`"configuration":{},"families":[{"name":"d","attributes":{"TTL":"86400","VERSIONS":"3"},"configuration":{"k":"v"}},` +
		`{"nameBase64":"/wE=","attributes":{},"configuration":{}}],"splits":["AA==","bQ=="]}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	back, err := ParseTable(b)
	if err != nil {
		t.Fatal(err)
	}
	table.FormatVersion = 1
	if d := cmp.Diff(&table, back, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestTableRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.Custom(func(t *rapid.T) string { return string(genBytes(t, "text")) })
		maps := rapid.MapOfN(text, text, 0, 4)
		want := &Table{
			FormatVersion: 1,
			Name:          rapid.StringMatching(`[a-z]{1,5}:[a-z]{1,5}`).Draw(t, "name"),
			Epoch:         rapid.Int64().Draw(t, "epoch"),
			Attributes:    maps.Draw(t, "attributes"),
			Configuration: maps.Draw(t, "configuration"),
		}
		for _, name := range rapid.SliceOfNDistinct(text.Filter(func(s string) bool { return s != "" }), 0, 4, rapid.ID).Draw(t, "families") {
			want.Families = append(want.Families, Family{Name: name, Attributes: maps.Draw(t, "attributes"), Configuration: maps.Draw(t, "configuration")})
		}
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseTable(b)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("-want +got:\n%s", d)
		}
	})
}

func TestParseTableFaults(t *testing.T) {
	cases := map[string]string{
		``:                                 `unexpected end of JSON input`,
		`{"formatVersion":2,"name":"a:b"}`: `read table descriptor of "a:b": format version 2 is newer than 1: upgrade waltap`,
		`{"name":"a:b"}`:                   `read table descriptor: table "a:b": format version 0, want 1`,
		`{"formatVersion":1,"name":"b"}`:   `read table descriptor: table "b": want namespace:table`,
		`{"formatVersion":1,"name":"a:b","families":[{}]}`:                        `read table descriptor: table "a:b": family without a name`,
		`{"formatVersion":1,"name":"a:b","families":[{"name":"f"},{"name":"f"}]}`: `read table descriptor: table "a:b": family "f" stands twice`,
		`{"formatVersion":1,"name":"a:b","families":[{"nameBase64":"!"}]}`:        `read table descriptor: table "a:b": illegal base64 data at input byte 0`,
		`{"formatVersion":1,"name":"a:b","attributesBase64":{"!":""}}`:            `read table descriptor: table "a:b": decode base64 of "!": illegal base64 data at input byte 0`,
		`{"formatVersion":1,"name":"a:b","splits":["bQ==","YQ=="]}`:               `read table descriptor: table "a:b": split 1 ("a") is not above the one before it`,
		`{"formatVersion":1,"name":"a:b","splits":[""]}`:                          `read table descriptor: table "a:b": split 0 ("") is not above the one before it`,
		`{"formatVersion":1,"name":"a:b"} x`:                                      `invalid character 'x' after top-level value`,
	}
	for in, want := range cases {
		if _, err := ParseTable([]byte(in)); err == nil || err.Error() != want {
			t.Errorf("ParseTable(%s): %v\nwant %s", in, err, want)
		}
	}
	if _, err := json.Marshal(Table{Name: "b"}); err == nil || !strings.Contains(err.Error(), `write table descriptor: table "b": want namespace:table`) {
		t.Errorf("writing a table without a namespace: %v", err)
	}
	later, err := ParseTable([]byte(`{"formatVersion":1,"name":"a:b","somethingNew":1}`))
	if err != nil || later.Name != "a:b" {
		t.Errorf("unknown field: %v, %v", later, err)
	}
}

func FuzzParseTable(f *testing.F) {
	f.Add([]byte(`{"formatVersion":1,"name":"a:b","families":[{"nameBase64":"/wE="}],"splits":["AA=="],"attributesBase64":{"/w==":""}}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := ParseTable(b)
		if err != nil {
			return
		}
		again, err := json.Marshal(table)
		if err != nil {
			t.Fatalf("write a table that was read: %v", err)
		}
		back, err := ParseTable(again)
		if err != nil {
			t.Fatalf("read it again: %v", err)
		}
		if d := cmp.Diff(table, back, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("-first +second:\n%s", d)
		}
	})
}
