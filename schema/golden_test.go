package schema

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Stored records stay readable for ever, so a golden file is written once and
// never again: a new format gets a folder of its own.
var writeGolden = flag.Bool("write-missing-golden", false, "write golden records that do not exist yet")

// golden are the changes in testdata/v1, one per file, as release 0.1 writes them.
func golden(tb testing.TB) map[string]*Change {
	cluster := mustUUID(tb, "5f1c7d7e-3b0a-4c58-9d41-0a8e6b2f9c11")
	origin := mustUUID(tb, "00000000-0000-0001-ffff-ffffffffffff")
	wal := Source{Version: "0.1.0", Connector: "orders-source", ClusterID: cluster, Region: "1588230740abcdef1588230740abcdef", Kind: KindWAL, Epoch: 1}
	scan := wal
	scan.Kind, scan.Epoch = KindScan, 2
	origins := wal
	origins.Origins = []UUID{origin, cluster}
	every := []Cell{
		{Family: []byte("d"), Qualifier: []byte("put"), Timestamp: 1_790_000_000_000, Type: Put, Value: []byte("v")},
		{Family: []byte("d"), Qualifier: []byte("one"), Timestamp: 1_790_000_000_001, Type: Delete},
		{Family: []byte("d"), Qualifier: []byte("all"), Timestamp: 1_790_000_000_002, Type: DeleteColumn},
		{Family: []byte("d"), Timestamp: 1_790_000_000_003, Type: DeleteFamily},
		{Family: []byte("d"), Timestamp: 1_790_000_000_004, Type: DeleteFamilyVersion},
	}
	return map[string]*Change{
		"scan_put": {Table: "default:orders", Row: []byte("row-1"), Timestamp: 1_790_000_000_123, Source: scan,
			Cells: []Cell{{Family: []byte("d"), Qualifier: []byte("total"), Timestamp: 17, Type: Put, Value: []byte("9.99")}}},
		"wal_put_tags": {Table: "shop:orders", Row: []byte("row-1"), Sequence: 4711, Timestamp: 1_790_000_000_123, Source: wal,
			Cells: []Cell{{Family: []byte("d"), Qualifier: []byte("total"), Timestamp: 17, Type: Put, Value: []byte("9.99"),
				Tags: tagList(tag(8, "\x00\x00\x00\x00\x00\x01\x86\xa0"), tag(2, ""), tag(255, "x"))}}},
		"wal_update_every_type": {Table: "default:orders", Row: []byte("row-1"), Sequence: 4712, Timestamp: 1_790_000_000_124, Source: wal, Cells: every},
		"wal_delete":            {Table: "default:orders", Row: []byte("row-1"), Sequence: 4713, Timestamp: 1_790_000_000_125, Source: wal, Cells: every[3:4]},
		"wal_origins":           {Table: "default:orders", Row: []byte("row-1"), Sequence: 4714, Timestamp: 1_790_000_000_126, Source: origins, Cells: every[:1]},
		"extremes": {Table: "a:b", Row: []byte{0, 0xff, 0x80}, Sequence: math.MaxUint64, Timestamp: math.MinInt64,
			Source: Source{Version: "", Connector: "größe", Kind: KindWAL, Epoch: math.MaxInt64},
			Cells: []Cell{
				{Timestamp: math.MinInt64, Type: Put},
				{Family: []byte{0xff}, Qualifier: []byte{0}, Timestamp: math.MaxInt64, Type: Put, Value: bytes.Repeat([]byte{0xaa}, 300)},
				{Family: []byte("f"), Timestamp: -1, Type: Put, Tags: append(tag(8, "ttl"), 0, 9, 1)},
			}},
		"wal_binary": {Table: "default:orders", Row: []byte{0, 0, 0, 42}, Sequence: 4715, Timestamp: 1_790_000_000_127, Source: wal,
			Cells: []Cell{{Family: []byte("d"), Qualifier: []byte("größe"), Timestamp: 17, Type: Put, Value: []byte{0x40, 0x09, 0x21, 0xfb}}}},
		"no_cells": {Table: "default:orders", Row: []byte("row-1"), Sequence: 1, Timestamp: 1, Source: wal},
	}
}

func TestGoldenRecords(t *testing.T) {
	changes := golden(t)
	for name, want := range changes {
		file := filepath.Join("testdata", "v1", name+".bin")
		b, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) && *writeGolden {
			b = AppendAvro(nil, want)
			err = os.WriteFile(file, b, 0o644)
		}
		if err != nil {
			t.Error(err)
			continue
		}
		if got := AppendAvro(nil, want); !bytes.Equal(got, b) {
			t.Errorf("%s: the record is written differently now:\n got % x\nwant % x", file, got, b)
		}
		var got Change
		if err := DecodeAvro(b, &got); err != nil {
			t.Errorf("%s: %v", file, err)
		} else if d := diffChanges(want, &got); d != "" {
			t.Errorf("%s (-want +got):\n%s", file, d)
		}
	}
	files, err := filepath.Glob(filepath.Join("testdata", "v1", "*.bin"))
	if err != nil || len(files) != len(changes) {
		t.Errorf("%d files for %d changes, %v", len(files), len(changes), err)
	}
}

// TestGoldenEncodings holds the bytes of every encoding against those kept in testdata/v1, a line a record: its name, and
// the record itself, Avro as hexadecimal digits.
func TestGoldenEncodings(t *testing.T) {
	changes := golden(t)
	names := slices.Sorted(maps.Keys(changes))
	decoder := Decoder{Writers: testWriters(t)}
	for encoding, e := range encoders() {
		file := filepath.Join("testdata", "v1", encoding+".txt")
		kept, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) && *writeGolden {
			for _, name := range names {
				kept = append(append(append(append(kept, name...), ' '), printable(e.Append(nil, changes[name]))...), '\n')
			}
			err = os.WriteFile(file, kept, 0o644)
		}
		if err != nil {
			t.Error(err)
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(kept)), "\n")
		if len(lines) != len(names) {
			t.Errorf("%s: %d records, want %d", file, len(lines), len(names))
		}
		for _, line := range lines {
			name, text, _ := strings.Cut(line, " ")
			want := changes[name]
			if want == nil {
				t.Errorf("%s: no change is called %q", file, name)
				continue
			}
			if got := printable(e.Append(nil, want)); got != text {
				t.Errorf("%s: %s is written differently now:\n got %s\nwant %s", file, name, got, text)
			}
			b := []byte(text)
			if text[0] != '{' {
				if b, err = hex.DecodeString(text); err != nil {
					t.Errorf("%s: %s: %v", file, name, err)
				}
			}
			var got Change
			if err := decoder.Decode(b, &got); err != nil {
				t.Errorf("%s: %s: %v", file, name, err)
			} else if d := diffChanges(want, &got); d != "" {
				t.Errorf("%s: %s (-want +got):\n%s", file, name, d)
			}
		}
	}
	files, err := filepath.Glob(filepath.Join("testdata", "v1", "*.txt"))
	if err != nil || len(files) != len(encoders()) {
		t.Errorf("%d files for %d encodings, %v", len(files), len(encoders()), err)
	}
}

// printable is a record as text: JSON as it is, Avro as hexadecimal digits.
func printable(b []byte) string {
	if EncodingOf(b) == JSON {
		return string(b)
	}
	return hex.EncodeToString(b)
}
