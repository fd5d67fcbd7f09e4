package schema

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func TestOp(t *testing.T) {
	cases := []struct {
		types []CellType
		want  Op
	}{
		{nil, OpUpdate},
		{[]CellType{Put}, OpPut},
		{[]CellType{Put, Put}, OpPut},
		{[]CellType{DeleteFamily}, OpDelete},
		{[]CellType{DeleteFamily, DeleteFamily}, OpDelete},
		{[]CellType{Put, DeleteFamily}, OpUpdate},
		{[]CellType{DeleteFamily, Put}, OpUpdate},
		{[]CellType{DeleteFamily, DeleteFamilyVersion}, OpUpdate},
		{[]CellType{DeleteFamilyVersion}, OpUpdate},
		{[]CellType{Delete}, OpUpdate},
		{[]CellType{DeleteColumn}, OpUpdate},
	}
	for _, tc := range cases {
		c := &Change{}
		for _, typ := range tc.types {
			c.Cells = append(c.Cells, Cell{Type: typ})
		}
		if got := c.Op(); got != tc.want {
			t.Errorf("%v: %v, want %v", tc.types, got, tc.want)
		}
	}
}

func TestCellTypes(t *testing.T) {
	codes := map[CellType]byte{Put: 4, Delete: 8, DeleteFamilyVersion: 10, DeleteColumn: 12, DeleteFamily: 14}
	if len(codes) != len(cellTypes) {
		t.Fatalf("%d types", len(cellTypes))
	}
	for i, typ := range cellTypes {
		if byte(typ) != codes[typ] || typ.symbol() != int64(i) || !typ.Valid() {
			t.Errorf("%v: code %d, symbol %d, valid %v", typ, byte(typ), typ.symbol(), typ.Valid())
		}
		back, err := ParseCellType(typ.String())
		if err != nil || back != typ {
			t.Errorf("ParseCellType(%q) = %v, %v", typ.String(), back, err)
		}
	}
	if _, err := ParseCellType("put"); err == nil {
		t.Error(`ParseCellType("put") succeeded: HBase writes Put`)
	}
	if got := CellType(9).String(); got != "CellType(9)" {
		t.Errorf("unknown type prints as %q", got)
	}
}

func TestTexts(t *testing.T) {
	got := []string{OpPut.String(), OpUpdate.String(), OpDelete.String(), Op(9).String(), KindScan.String(), KindWAL.String(), Kind(9).String()}
	want := []string{"put", "update", "delete", "Op(9)", "scan", "wal", "Kind(9)"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestValidateJoinsFaults(t *testing.T) {
	c := &Change{
		Table:  "orders",
		Cells:  []Cell{{Type: Put}, {Type: 9}, {Type: Put, Tags: make([]byte, math.MaxUint16+1)}},
		Source: Source{Region: "\xff", Kind: 2},
	}
	err := c.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	want := []string{
		`check change: table "orders" is not a full name (namespace:table)`,
		`check change: source.region "\xff" is not UTF-8`,
		`check change: source kind 2 is unknown`,
		`check change: cell 1: HBase stores no cells of type 9`,
		`check change: cell 2: 65536 bytes of tags, the limit is 65535`,
	}
	if got := strings.Split(err.Error(), "\n"); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if err := sample().Validate(); err != nil {
		t.Errorf("a good change: %v", err)
	}
}

// RFC 9562, A.4: www.example.com in the name space of DNS.
func TestNameUUID(t *testing.T) {
	space := mustUUID(t, "6ba7b810-9dad-11d1-80b4-00c04fd430c8")
	if u := NameUUID(space[:], "www.example.com"); u.String() != "2ed6657d-e927-568b-95e1-2665a8aea6a2" {
		t.Error(u)
	}
}

func TestUUID(t *testing.T) {
	const text = "5f1c7d7e-3b0a-4c58-9d41-0a8e6b2f9c11"
	u := mustUUID(t, text)
	want := UUID{0x5f, 0x1c, 0x7d, 0x7e, 0x3b, 0x0a, 0x4c, 0x58, 0x9d, 0x41, 0x0a, 0x8e, 0x6b, 0x2f, 0x9c, 0x11}
	if u != want || u.String() != text {
		t.Errorf("got % x, %s", u, u)
	}
	if upper := mustUUID(t, strings.ToUpper(text)); upper != u {
		t.Errorf("upper case reads as %s", upper)
	}
	if u.IsZero() || !(UUID{}).IsZero() {
		t.Error("IsZero")
	}
	for _, bad := range []string{"", text[1:], text + "0", strings.ReplaceAll(text, "-", "0"), "5g" + text[2:], "{" + text[1:35] + "}"} {
		if _, err := ParseUUID(bad); err == nil || !strings.HasPrefix(err.Error(), "parse UUID: ") {
			t.Errorf("ParseUUID(%q): %v", bad, err)
		}
	}
}

// kafkaHeader has the shape Kafka clients give their header types.
type kafkaHeader struct {
	Key   string
	Value []byte
}

func TestHeaders(t *testing.T) {
	c := sample()
	c.Sequence, c.Timestamp = math.MaxUint64, -5
	headers, arena := AppendHeaders([]kafkaHeader{{Key: "mine"}}, nil, c)
	second := sample()
	second.Table, second.Source.Kind = "shop:other", KindScan
	headers, arena = AppendHeaders(headers, arena, second)
	var got []string
	for _, h := range headers {
		got = append(got, h.Key+"="+string(h.Value))
	}
	want := []string{
		"mine=",
		"waltap.op=update", "waltap.table=default:orders", "waltap.seq=18446744073709551615", "waltap.ts=-5", "waltap.source=wal",
		"waltap.op=update", "waltap.table=shop:other", "waltap.seq=42", "waltap.ts=1790000000000", "waltap.source=scan",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if len(arena) == 0 {
		t.Error("the arena was not handed back")
	}
}
