package cell

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mk(row, family, qualifier string, ts int64, typ Type, value string, tags ...byte) Cell {
	return Cell{
		Row: []byte(row), Family: []byte(family), Qualifier: []byte(qualifier),
		Timestamp: ts, Type: typ, Value: []byte(value), Tags: tags,
	}
}

func decodeAll(t *testing.T, c Codec, b []byte) []Cell {
	t.Helper()
	var cells []Cell
	for len(b) > 0 {
		var k Cell
		n, err := c.Decode(b, &k)
		if err != nil {
			t.Fatalf("cell %d: %v", len(cells), err)
		}
		cells = append(cells, k)
		b = b[n:]
	}
	return cells
}

var sameCells = cmpopts.EquateEmpty()

// ttlTag is the tag of a TTL of 100000000 ms.
var ttlTag = []byte{0, 9, 8, 0, 0, 0, 0, 0x05, 0xf5, 0xe1, 0}

func recordedEdits(tags ...byte) []Cell {
	return []Cell{
		mk("row-put", "cf", "q1", 1000, Put, "value-1"),
		mk("row-put", "cf", "q2", 1000, Put, "value-2"),
		mk("row-put", "d", "q3", 1000, Put, "value-3"),
		mk("row-empty", "cf", "", 1001, Put, ""),
		mk("row-ttl", "cf", "t", 1795223899947, Put, "expires", tags...),
		mk("row-del", "cf", "one", 2000, Delete, ""),
		mk("row-del", "cf", "all", 2001, DeleteColumn, ""),
		mk("row-del", "cf", "", 2002, DeleteFamily, ""),
		mk("row-del", "cf", "", 2003, DeleteFamilyVersion, ""),
		mk("row-gone", "cf", "", 2004, DeleteFamily, ""),
		mk("row-gone", "d", "", 2004, DeleteFamily, ""),
		mk("row-incr", "cf", "n", 1795223899998, Put, "\x00\x00\x00\x00\x00\x00\x00T"),
		mk("item\x00\xff", "d", "\x00bin", 3000, Put, "\xde\xad\xbe\xef"),
		mk("row-mix", "cf", "new", 4000, Put, "v"),
		mk("row-mix", "cf", "old", 4000, DeleteColumn, ""),
	}
}

func TestDecodeRecorded(t *testing.T) {
	scan := []Cell{
		mk("row-del", "cf", "", 2003, DeleteFamilyVersion, ""),
		mk("row-del", "cf", "", 2002, DeleteFamily, ""),
		mk("row-del", "cf", "all", 2001, DeleteColumn, ""),
		mk("row-del", "cf", "one", 2000, Delete, ""),
		mk("row-empty", "cf", "", 1001, Put, ""),
		mk("row-gone", "cf", "", 2004, DeleteFamily, ""),
		mk("row-gone", "d", "", 2004, DeleteFamily, ""),
		mk("row-incr", "cf", "n", 1795223899998, Put, "\x00\x00\x00\x00\x00\x00\x00T"),
		mk("row-incr", "cf", "n", 1795223850786, Put, "\x00\x00\x00\x00\x00\x00\x00*"),
		mk("row-put", "cf", "q1", 1000, Put, "value-1"),
		mk("row-put", "cf", "q2", 1000, Put, "value-2"),
		mk("row-put", "d", "q3", 1000, Put, "value-3"),
		mk("row-ttl", "cf", "t", 1795223899947, Put, "expires", ttlTag...),
		mk("row-ttl", "cf", "t", 1795223850751, Put, "expires", ttlTag...),
	}
	for _, test := range []struct {
		file  string
		codec Codec
		want  []Cell
	}{
		{"replicate-2.6.4-tags.cells.bin", KeyValueCodecWithTags, recordedEdits(ttlTag...)},
		{"replicate-2.6.4-notags.cells.bin", KeyValueCodec, recordedEdits()},
		{"scan-2.6.4-tags.cells.bin", KeyValueCodecWithTags, scan},
	} {
		t.Run(test.file, func(t *testing.T) {
			raw := readFile(t, "testdata/"+test.file)
			got := decodeAll(t, test.codec, raw)
			if diff := cmp.Diff(test.want, got, sameCells); diff != "" {
				t.Errorf("cells differ (-want +got):\n%s", diff)
			}
			var again []byte
			for i := range got {
				if err := got[i].Validate(); err != nil {
					t.Errorf("cell %d: %v", i, err)
				}
				again = test.codec.Append(again, &got[i])
			}
			if !bytes.Equal(again, raw) {
				t.Errorf("encoded again: %x\nrecorded:      %x", again, raw)
			}
		})
	}
}

func TestAppendLiteral(t *testing.T) {
	k := mk("r", "f", "q", 5, Put, "v", ttlTag...)
	for _, test := range []struct {
		codec Codec
		want  string
	}{
		{KeyValueCodec, `00000018  0000000f 00000001  0001 72 01 66 71 0000000000000005 04  76`},
		{KeyValueCodecWithTags, `00000025  0000000f 00000001  0001 72 01 66 71 0000000000000005 04  76
			000b 0009 08 0000000005f5e100`},
	} {
		got := test.codec.Append([]byte("x"), &k)
		if want := append([]byte("x"), unhex(t, test.want)...); !bytes.Equal(got, want) {
			t.Errorf("%s: got %x, want %x", test.codec, got, want)
		}
		if n := test.codec.Size(&k); n != len(got)-1 {
			t.Errorf("%s: Size %d, appended %d", test.codec, n, len(got)-1)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	const good = `00000018 0000000f 00000001 0001 72 01 66 71 0000000000000005 04 76`
	for _, test := range []struct {
		name, hex string
		codec     Codec
		want      string // part of the error
	}{
		{"empty", ``, KeyValueCodec, "unexpected EOF"},
		{"half a length", `0000`, KeyValueCodec, "unexpected EOF"},
		{"cut off", good[:len(good)-2], KeyValueCodec, "unexpected EOF"},
		{"negative length", `ffffffff` + good[8:], KeyValueCodec, "length -1"},
		{"length too small", `00000013` + good[8:], KeyValueCodec, "at least 20"},
		{"key longer than cell", `00000018 00000011` + good[17:], KeyValueCodec, "key length 17"},
		{"negative key", `00000018 ffffffff` + good[17:], KeyValueCodec, "key length 4294967295"},
		{"key too short", `00000018 0000000b` + good[17:], KeyValueCodec, "key length 11"},
		{"value longer than cell", `00000018 0000000f 00000002` + good[26:], KeyValueCodec, "value length 2"},
		{"negative value", `00000018 0000000f 80000000` + good[26:], KeyValueCodec, "value length 2147483648"},
		{"row longer than key", `00000018 0000000f 00000001 0004` + good[31:], KeyValueCodec, "row length 4"},
		{"negative row", `00000018 0000000f 00000001 ffff` + good[31:], KeyValueCodec, "row length 65535"},
		{"family longer than key", `00000018 0000000f 00000001 0001 72 03` + good[37:], KeyValueCodec, "family length 3"},
		{"negative family", `00000018 0000000f 00000001 0001 72 ff` + good[37:], KeyValueCodec, "family length 255"},
		{"tags without tags codec", `0000001a` + good[8:] + `0000`, KeyValueCodec, "no tags"},
		{"one byte of tags length", `00000019` + good[8:] + `00`, KeyValueCodecWithTags, "no tags"},
		{"tags length too long", `0000001b` + good[8:] + `0002 00`, KeyValueCodecWithTags, "no tags"},
		{"tags length too short", `0000001b` + good[8:] + `0000 00`, KeyValueCodecWithTags, "no tags"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := unhex(t, test.hex)
			k := Cell{Timestamp: 99}
			n, err := test.codec.Decode(b, &k)
			if err == nil || !strings.Contains(err.Error(), test.want) || n != 0 {
				t.Errorf("got %d, %v; want an error with %q", n, err, test.want)
			}
			if diff := cmp.Diff(Cell{Timestamp: 99}, k); diff != "" {
				t.Errorf("cell was changed: %s", diff)
			}
		})
	}
	var k Cell
	if n, err := KeyValueCodec.Decode(unhex(t, good+"ff"), &k); n != 28 || err != nil || string(k.Row) != "r" {
		t.Errorf("the good cell: %d, %v, %q", n, err, k.Row)
	}
	if n, err := KeyValueCodecWithTags.Decode(unhex(t, `0000001a`+good[8:]+`0000`), &k); n != 30 || err != nil || k.Tags != nil {
		t.Errorf("empty tags: %d, %v, %x", n, err, k.Tags)
	}
}

func TestDecodeAliasesWithoutRoom(t *testing.T) {
	k := mk("row", "f", "q", 1, Put, "value", ttlTag...)
	b := KeyValueCodecWithTags.Append(nil, &k)
	var got Cell
	if _, err := KeyValueCodecWithTags.Decode(b, &got); err != nil {
		t.Fatal(err)
	}
	before := bytes.Clone(b)
	for _, s := range [][]byte{got.Row, got.Family, got.Qualifier, got.Value, got.Tags} {
		_ = append(s, 0xee) // must not reach the bytes behind s
	}
	if !bytes.Equal(b, before) {
		t.Errorf("appending to a field changed the block: %x, was %x", b, before)
	}
	b[14] = 'R'
	if string(got.Row) != "Row" {
		t.Errorf("row %q does not alias the block", got.Row)
	}
}

func TestValidate(t *testing.T) {
	for _, test := range []struct {
		cell Cell
		want string
	}{
		{Cell{Row: make([]byte, math.MaxInt16), Family: make([]byte, 127), Tags: make([]byte, 65535)}, ""},
		{Cell{Row: make([]byte, math.MaxInt16+1)}, "row of 32768 bytes"},
		{Cell{Family: make([]byte, 128)}, "family of 128 bytes"},
		{Cell{Tags: make([]byte, 65536)}, "tags of 65536 bytes"},
	} {
		err := test.cell.Validate()
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want %q", err, test.want)
		}
	}
}

func TestParseCodec(t *testing.T) {
	for _, c := range []Codec{KeyValueCodec, KeyValueCodecWithTags} {
		if got, err := ParseCodec(c.Class()); got != c || err != nil {
			t.Errorf("ParseCodec(%q) = %v, %v", c.Class(), got, err)
		}
	}
	if got := KeyValueCodecWithTags.Class(); got != "org.apache.hadoop.hbase.codec.KeyValueCodecWithTags" {
		t.Errorf("class %q", got)
	}
	_, err := ParseCodec("org.apache.hadoop.hbase.codec.CellCodec")
	var unsupported *UnsupportedCodecError
	if !errors.As(err, &unsupported) || unsupported.Class != "org.apache.hadoop.hbase.codec.CellCodec" {
		t.Errorf("got %v", err)
	}
}

func TestType(t *testing.T) {
	for typ, name := range map[Type]string{
		4: "Put", 8: "Delete", 10: "DeleteFamilyVersion", 12: "DeleteColumn", 14: "DeleteFamily", 7: "Type(7)",
	} {
		if typ.String() != name {
			t.Errorf("%d: %q, want %q", byte(typ), typ, name)
		}
		if typ.Known() != (typ != 7) || typ.IsDelete() != (typ != 4 && typ != 7) {
			t.Errorf("%v: Known %v, IsDelete %v", typ, typ.Known(), typ.IsDelete())
		}
	}
}
