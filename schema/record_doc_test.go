package schema

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
)

var updateDoc = flag.Bool("update", false, "write docs/record.md anew")

type docKind struct{ Name, Title, Doc string }

// docKinds are the golden changes that docs/record.md shows, in its order.
var docKinds = []docKind{
	{"wal_put_tags", "A put", "From the WAL, with a TTL of 100 000 ms (tag type 8) and two other tags."},
	{"scan_put", "A put that a scan read", "It has no sequence; `ts` is when it was read."},
	{"wal_update_every_type", "A put and every kind of delete", "One edit with `put`, `delete` of one version, of all versions of a column, of a family, and of a family's cells at one timestamp."},
	{"wal_delete", "A row deleted", "`deleteall 'orders', 'row-1'` deletes the row's families, of which this table has one."},
	{"wal_origins", "A put that was replicated before", "It was written at another cluster, whose id is the first of `origins`."},
	{"wal_binary", "Bytes that are no text", "They are base64 in JSON in any case."},
}

func TestRecordDoc(t *testing.T) {
	changes := golden(t)
	of := func(name, encoding string) ([]byte, error) {
		c, e := changes[name], encoders()[encoding]
		if c == nil || e == nil {
			return nil, fmt.Errorf("no change %q or encoding %q", name, encoding)
		}
		return e.Append(nil, c), nil
	}
	tmpl, err := template.New("record.md.tmpl").Funcs(template.FuncMap{
		"record": func(name, encoding string) (string, error) {
			b, err := of(name, encoding)
			return layJSON(string(b)), err
		},
		"avro": func(name, encoding string) (string, error) {
			b, err := of(name, encoding)
			return strings.TrimRight(hex.Dump(b), "\n"), err
		},
		"headers":     func(name string) string { return docHeaders(changes[name]) },
		"keys":        docKeys,
		"fingerprint": func(text string) string { return fmt.Sprintf("%016x", avroFingerprintOf(text)) },
	}).ParseFiles(filepath.Join("testdata", "record.md.tmpl"))
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	err = tmpl.Execute(&want, map[string]any{"Kinds": docKinds, "Format": JSONFormat, "Avro": AvroSchema, "Debezium": DebeziumAvroSchema, "Key": KeyAvroSchema})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("..", "docs", "record.md")
	if *updateDoc {
		if err := os.WriteFile(file, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s does not show what is written: run go test ./schema -update", file)
	}
}

// layJSON breaks a record into lines, at its fields and cells.
func layJSON(s string) string {
	return strings.NewReplacer(
		`,"cells":[`, ",\n \"cells\":[", `{"family`, "\n  {\"family", `,"sequence":`, ",\n \"sequence\":", `,"source":{`, ",\n \"source\":{",
		`,"after":`, ",\n \"after\":", `,"transaction":`, ",\n \"transaction\":", `,"payload":`, ",\n \"payload\":",
		`},{"type":"struct"`, "},\n  {\"type\":\"struct\"", `},{"type":"array"`, "},\n  {\"type\":\"array\"",
	).Replace(s)
}

func docHeaders(c *Change) string {
	headers, _ := AppendHeaders([]kafkaHeader(nil), nil, c)
	var lines []string
	for _, h := range headers {
		lines = append(lines, h.Key+": "+string(h.Value))
	}
	return strings.Join(lines, "\n")
}

// docKeys are rows of a table: a format and two keys in it.
func docKeys() string {
	var lines []string
	for _, k := range []struct {
		name string
		e    Encoder
		text bool
	}{
		{"`bytes`", BytesKeyEncoder{}, false},
		{"`string`", StringKeyEncoder{}, true},
		{"`json`", JSONKeyEncoder{}, true},
		{"`json`, `json.text: true`", JSONKeyEncoder{Text: true}, true},
		{"`avro`", AvroKeyEncoder{SingleObjectHead(KeyAvroSchema)}, false},
		{"`avro`, registry", AvroKeyEncoder{ConfluentHead(8)}, false},
	} {
		line := "| " + k.name
		for _, row := range []string{"row-1", "\x00\x00\x00\x2a"} {
			b := k.e.Append(nil, &Change{Row: []byte(row)})
			if k.text {
				line += " | `" + string(b) + "`"
			} else {
				line += fmt.Sprintf(" | % X", b)
			}
		}
		lines = append(lines, line+" |")
	}
	return strings.Join(lines, "\n")
}
