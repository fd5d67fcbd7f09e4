package tables

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waltap/waltap/internal/hbase/descriptor"
)

func sample() *File {
	return &File{
		Source:     Origin{Cluster: "0c3a", Version: "1.4.14", Exported: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)},
		Namespaces: []Namespace{{Name: "store", Properties: map[string]string{"hbase.namespace.quota.maxtables": "50"}, LeftOut: []LeftOut{{Part: descriptor.Part{Kind: descriptor.Attribute, Name: "hbase.rsgroup.name"}, Value: "g", Why: "groups"}}}},
		Tables: []Table{{
			Name: "store:orders", Source: "shop:orders",
			Attributes: map[string]string{"team": `a "b": \x41`, "raw": "\x00\xff\n", "größe": "ß", "": "yes", "number": "007", "bool": "true", "null": "~", "#": "# no comment"},
			Families: []Family{{Name: "d", Source: "data", Attributes: map[string]string{"VERSIONS": "3"}, Configuration: map[string]string{"hbase.x": "1"}},
				{Name: "é\x01", Attributes: map[string]string{}}},
			Splits:  [][]byte{{0}, []byte(" a"), []byte("a b"), []byte(`a\x41`), []byte("a~"), {0xc3, 0x28}, {0xff}},
			LeftOut: []LeftOut{{Part: descriptor.Part{Kind: descriptor.Configuration, Family: "d", Name: "k"}, Value: "\x01", Why: "because"}},
		}},
	}
}

func TestFileIsReadAsItWasWritten(t *testing.T) {
	f := sample()
	f.Tables[0].Families[1].Name = "é" // a control character is none of HBase's
	f.Tables[0].Families[1].Attributes = nil
	text, err := f.YAML()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if d := cmp.Diff(f, again); d != "" {
		t.Errorf("-want +got:\n%s\n%s", d, text)
	}
	for _, want := range []string{`- a\x5Cx41`, `- \x00`, `raw: \x00\xFF\x0A`, "größe: ß", "# start keys of all regions", "REPLICATION_SCOPE is not among them", "--keep NAME", `VERSIONS: "3"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the text has no %q:\n%s", want, text)
		}
	}
	if second, err := again.YAML(); err != nil || !bytes.Equal(text, second) {
		t.Errorf("written again it is another text: %v\n%s", err, second)
	}
}

func TestFaultyFilesAreRefused(t *testing.T) {
	const head = "formatVersion: 1\ntables:\n"
	for _, tc := range []struct{ text, want string }{
		{"", "empty"},
		{"formatVersion: 2\ntables: []\n", "formatVersion 2"},
		{"tables: []\n", "formatVersion 0"},
		{head + "  - nam: t\n", "nam"},
		{head + "  - name: t\n", "no family"},
		{head + "  - name: 'a b'\n    families: [{name: d}]\n", "does not allow"},
		{head + "  - name: 'hbase:t'\n    families: [{name: d}]\n", "HBase's own"},
		{head + "  - name: t\n    families: [{name: d}, {name: d}]\n", "stands twice"},
		{head + "  - name: t\n    families: [{name: 'a:b'}]\n", "no name of a family"},
		{head + "  - name: t\n    families: [{name: d}]\n  - name: default:t\n    families: [{name: d}]\n", "stands twice"},
		{head + "  - name: t\n    source: x\n    families: [{name: d}]\n  - name: u\n    source: default:x\n    families: [{name: d}]\n", "both"},
		{head + "  - name: t\n    families: [{name: d}]\n    splits: [b, a]\n", "not above"},
		{head + "  - name: t\n    families: [{name: d}]\n    splits: [a, a]\n", "not above"},
		{head + "  - name: t\n    families: [{name: d}]\n    splits: ['']\n", "empty split"},
		{head + "  - name: t\n    families: [{name: d}]\n    splits: ['a\\b']\n", `\x5C`},
		{head + "  - name: t\n    families: [{name: d}]\n    splits: ['\\xG0']\n", "hexadecimal"},
		{head + "  - name: t\n    families: [{name: d}]\n    leftOut: [{value: x, why: y}]\n", "either attribute or configuration"},
		{"formatVersion: 1\nnamespaces: [{name: n}, {name: n}]\ntables: []\n", "stands twice"},
		{"formatVersion: 1\nnamespaces: [{name: 'a:b'}]\ntables: []\n", "no namespace"},
	} {
		if _, err := Parse([]byte(tc.text)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: %v, want %q in it", tc.text, err, tc.want)
		}
	}
}

// Values may be written by hand as YAML's numbers and booleans: they are the text that stands there.
func TestValuesAreTexts(t *testing.T) {
	f, err := Parse([]byte("formatVersion: 1\ntables:\n  - name: t\n    families:\n      - name: d\n        attributes: {VERSIONS: 5, IN_MEMORY: true, TTL: 0x10, KEEP_DELETED_CELLS: off}\n    splits: [10, 2e1]\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"VERSIONS": "5", "IN_MEMORY": "true", "TTL": "0x10", "KEEP_DELETED_CELLS": "off"}
	if d := cmp.Diff(want, f.Tables[0].Families[0].Attributes); d != "" || string(f.Tables[0].Splits[1]) != "2e1" {
		t.Errorf("%s %q", d, f.Tables[0].Splits)
	}
}

func FuzzParse(f *testing.F) {
	s := sample()
	s.Tables[0].Families = s.Tables[0].Families[:1]
	text, err := s.YAML()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("formatVersion: 1\ntables: [{name: t, families: [{name: d}], splits: [\"\\\\x00\"]}]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Parse(b)
		if err != nil {
			return
		}
		text, err := file.YAML()
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := Parse(text)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, text)
		}
		if second, err := again.YAML(); err != nil || !bytes.Equal(text, second) {
			t.Fatalf("%v\n%s\n%s", err, text, second)
		}
	})
}

func FuzzBytes(f *testing.F) {
	f.Add([]byte("a\\x41\x00ß"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, text := range []string{Key(b), Text(string(b))} {
			if got, err := Bytes(text); err != nil || !bytes.Equal(got, b) {
				t.Fatalf("%q: %q, %v", text, got, err)
			}
		}
		if got, err := Bytes(string(b)); err == nil && bytes.IndexByte(b, '\\') < 0 && !bytes.Equal(got, b) {
			t.Fatalf("%q: %q", b, got)
		}
	})
}
