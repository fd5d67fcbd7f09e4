package schema

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"
	"pgregory.net/rapid"
)

func TestKeys(t *testing.T) {
	for _, tc := range []struct{ row, text, json, jsonText string }{
		{"row-1", "row-1", `{"row":"cm93LTE="}`, `{"rowText":"row-1"}`},
		{"", "", `{"row":""}`, `{"rowText":""}`},
		{"größe", "größe", `{"row":"Z3LDtsOfZQ=="}`, `{"rowText":"größe"}`},
		{"a\\x00", `a\x5Cx00`, `{"row":"YVx4MDA="}`, `{"rowText":"a\\x00"}`},
		{"a\x00\xffb\n", `a\x00\xFFb\x0A`, `{"row":"YQD/Ygo="}`, `{"row":"YQD/Ygo="}`},
		{"\uFFFD", "\uFFFD", `{"row":"77+9"}`, `{"rowText":"` + "\uFFFD" + `"}`},
	} {
		c := &Change{Row: []byte(tc.row)}
		for _, k := range []struct {
			e    Encoder
			want string
		}{
			{BytesKeyEncoder{}, tc.row}, {StringKeyEncoder{}, tc.text}, {JSONKeyEncoder{}, tc.json}, {JSONKeyEncoder{Text: true}, tc.jsonText},
		} {
			if got := string(k.e.Append([]byte("-"), c)); got != "-"+k.want {
				t.Errorf("row %q: %T writes %s, want %s", tc.row, k.e, got[1:], k.want)
			}
		}
	}
}

func TestStringKeysTellRowsApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		row := rapid.SliceOf(rapid.SampledFrom([]byte("a\\x0F\x00\xff\xc3\xb6"))).Draw(t, "row")
		key := StringKeyEncoder{}.Append(nil, &Change{Row: row})
		var back []byte
		for i := 0; i < len(key); i++ {
			if key[i] != '\\' {
				back = append(back, key[i])
				continue
			}
			back = append(back, byte(strings.IndexByte(upperHex, key[i+2])<<4|strings.IndexByte(upperHex, key[i+3])))
			i += 3
		}
		if string(back) != string(row) {
			t.Fatalf("%q is written as %q, which is %q", row, key, back)
		}
	})
}

func TestAvroKey(t *testing.T) {
	codec, err := goavro.NewCodec(KeyAvroSchema)
	if err != nil {
		t.Fatal(err)
	}
	b := AvroKeyEncoder{SingleObjectHead(KeyAvroSchema)}.Append(nil, &Change{Row: []byte("row\xff")})
	v, rest, err := codec.NativeFromSingle(b)
	if err != nil || len(rest) > 0 || string(v.(map[string]any)["row"].([]byte)) != "row\xff" {
		t.Errorf("% x reads as %v, %v, % x left", b, v, err, rest)
	}
}

func TestJSONKeyWithSchema(t *testing.T) {
	var v struct {
		Schema  struct{ Type, Name string }
		Payload map[string]string
	}
	if err := json.Unmarshal(JSONKeyEncoder{Schema: true}.Append(nil, &Change{Row: []byte("row-1")}), &v); err != nil {
		t.Fatal(err)
	}
	if v.Schema.Type != "struct" || v.Schema.Name != "io.waltap.Key" || v.Payload["row"] != "cm93LTE=" {
		t.Errorf("%+v", v)
	}
}
