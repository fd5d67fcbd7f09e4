package schema

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func sample() *Change {
	return &Change{
		Table: "default:orders", Row: []byte("row-1"), Sequence: 42, Timestamp: 1_790_000_000_000,
		Cells: []Cell{
			{Family: []byte("d"), Qualifier: []byte("name"), Timestamp: 5, Type: Put, Value: []byte("value"), Tags: tag(8, "ttl")},
			{Family: []byte("d"), Qualifier: []byte("old"), Timestamp: 5, Type: DeleteColumn},
		},
		Source: Source{Version: "0.1.0", Connector: "orders", ClusterID: UUID{1}, Region: "ab12", Kind: KindWAL, Origins: []UUID{{2}}, Epoch: 1},
	}
}

func TestEveryTruncationIsRefused(t *testing.T) {
	b := AppendAvro(nil, sample())
	for n := range b {
		var c Change
		err := DecodeAvro(b[:n], &c)
		switch {
		case n < 2 && !errors.Is(err, ErrForeign):
			t.Errorf("%d bytes: %v, want ErrForeign", n, err)
		case n >= 2 && !errors.Is(err, ErrTruncated):
			t.Errorf("%d bytes: %v, want ErrTruncated", n, err)
		}
	}
}

func TestHeadFaults(t *testing.T) {
	good := AppendAvro(nil, sample())
	var c Change
	var unknown *UnknownSchemaError
	if err := DecodeAvro([]byte{0, 0, 0, 0, 7, 1}, &c); !errors.As(err, &unknown) || unknown.Schema != (SchemaRef{InRegistry: true, ID: 7}) {
		t.Errorf("Confluent wire format: %v, want *UnknownSchemaError of id 7", err)
	}
	for _, foreign := range [][]byte{nil, {}, {0xC3}, {0xC3, 0x02, 1}, []byte("[]"), []byte("text"), {1, 2, 3}} {
		if err := DecodeAvro(foreign, &c); !errors.Is(err, ErrForeign) {
			t.Errorf("% x: %v, want ErrForeign", foreign, err)
		}
	}
	other := bytes.Clone(good)
	binary.LittleEndian.PutUint64(other[2:], 0x0123456789abcdef)
	if err := DecodeAvro(other, &c); !errors.As(err, &unknown) || unknown.Schema.Fingerprint != 0x0123456789abcdef {
		t.Errorf("other fingerprint: %v, want *UnknownSchemaError with it", err)
	} else if !strings.Contains(err.Error(), "0123456789abcdef") {
		t.Errorf("error %q does not name the fingerprint", err)
	}
	if err := DecodeAvro(append(good, 0), &c); !errors.Is(err, ErrTrailingBytes) {
		t.Errorf("one byte more: %v, want ErrTrailingBytes", err)
	}
}

// record is a record of the head and the given parts of the body.
func record(parts ...[]byte) []byte {
	b := binary.LittleEndian.AppendUint64([]byte{0xC3, 0x01}, AvroFingerprint())
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func long(v int64) []byte { return appendLong(nil, v) }

func TestBodyFaults(t *testing.T) {
	const huge = 1 << 40
	start := []byte{0 /* op put */, 6, 'a', ':', 'b', 2, 'r'}
	cellStart := append(bytes.Clone(start), 2 /* 1 cell */, 2, 'f', 0, 0)
	cellTags := append(bytes.Clone(cellStart), 0 /* Put */, 0)
	sourceStart := append(bytes.Clone(start), 0 /* no cells */, 0, 0, 0 /* version */, 0 /* connector */)
	sourceStart = append(sourceStart, make([]byte, 16)...)
	sourceStart = append(sourceStart, 0 /* region */)
	tagOf := func(typ int64, value string) []byte { return appendString(long(typ), value) }
	cases := []struct {
		name  string
		bytes []byte
		field string
		want  error
	}{
		{"op beyond its symbols", record(long(3)), "op", ErrOutOfRange},
		{"op negative", record(long(-1)), "op", ErrOutOfRange},
		{"op of 11 bytes", record(bytes.Repeat([]byte{0xff}, 11)), "op", ErrOutOfRange},
		{"table length negative", record(long(0), long(-1)), "table", ErrOutOfRange},
		{"table length huge", record(long(0), long(huge)), "table", ErrTruncated},
		{"table not UTF-8", record(long(0), []byte{2, 0xff}, make([]byte, 60)), "table", ErrNotUTF8},
		{"row length beyond int64", record(start[:5], long(math.MaxInt64)), "row", ErrTruncated},
		{"cell count huge", record(start, long(huge)), "cells", ErrTruncated},
		{"cell count least int64", record(start, long(math.MinInt64), long(0)), "cells", ErrOutOfRange},
		{"cell block size negative", record(start, long(-1), long(-1)), "cells", ErrOutOfRange},
		{"cell block size huge", record(start, long(-1), long(huge)), "cells", ErrTruncated},
		{"cell block too small for its count", record(start, long(-3), long(6), make([]byte, 60)), "cells", ErrTruncated},
		{"cell block size wrong", record(start, long(-1), long(7), make([]byte, 60)), "cells", ErrOutOfRange},
		{"cell type beyond its symbols", record(cellStart, long(5), make([]byte, 60)), "cells.type", ErrOutOfRange},
		{"value length negative", record(cellStart, long(0), long(-5), make([]byte, 60)), "cells.value", ErrOutOfRange},
		{"tag count huge", record(cellTags, long(huge)), "cells.tags", ErrTruncated},
		{"tag type above 255", record(cellTags, long(1), tagOf(256, "x"), make([]byte, 60)), "cells.tags.type", ErrOutOfRange},
		{"tag type below -1", record(cellTags, long(1), tagOf(-2, "x"), make([]byte, 60)), "cells.tags.type", ErrOutOfRange},
		{"tag after the raw rest", record(cellTags, long(2), tagOf(-1, "x"), tagOf(1, "x"), make([]byte, 60)), "cells.tags.type", ErrOutOfRange},
		{"tag longer than HBase's", record(cellTags, long(1), tagOf(1, strings.Repeat("x", 65533)), make([]byte, 60)), "cells.tags.value", ErrOutOfRange},
		{"tags longer than HBase's", record(cellTags, long(2), tagOf(1, strings.Repeat("x", 65000)), tagOf(1, strings.Repeat("x", 1000)), make([]byte, 60)), "cells.tags.value", ErrOutOfRange},
		{"kind beyond its symbols", record(sourceStart, long(2), make([]byte, 60)), "source.kind", ErrOutOfRange},
		{"origins huge", record(sourceStart, long(0), long(huge)), "source.origins", ErrTruncated},
		{"origins block size wrong", record(sourceStart, long(0), long(-1), long(17), make([]byte, 60)), "source.origins", ErrOutOfRange},
	}
	for _, tc := range cases {
		var c Change
		err := DecodeAvro(tc.bytes, &c)
		var field *FieldError
		if !errors.As(err, &field) || field.Field != tc.field || !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want field %s: %v", tc.name, err, tc.field, tc.want)
			continue
		}
		if want := fmt.Sprintf("decode change: %s at byte %d: %v", field.Field, field.Offset, tc.want); err.Error() != want {
			t.Errorf("%s: message %q, want %q", tc.name, err, want)
		}
	}
}

// TestClaimedCountAllocatesLittle: a record that claims as many cells as its
// length allows must not make the decoder reserve room for all of them at once.
func TestClaimedCountAllocatesLittle(t *testing.T) {
	b := record([]byte{0, 6, 'a', ':', 'b', 0}, long(1<<20), bytes.Repeat([]byte{0xff}, 6<<20))
	var c Change
	if err := DecodeAvro(b, &c); err == nil {
		t.Fatal("decoded")
	}
	if cap(c.Cells) > 2*maxGrow {
		t.Errorf("room for %d cells was made, want at most %d", cap(c.Cells), 2*maxGrow)
	}
}

// TestUnknownTypeIsNeverAnother: what Validate refuses is refused on read too.
func TestUnknownTypeIsNeverAnother(t *testing.T) {
	for code := range 256 {
		c := &Change{Table: "a:b", Cells: []Cell{{Type: CellType(code)}}}
		var got Change
		err := DecodeAvro(AppendAvro(nil, c), &got)
		if valid := CellType(code).Valid(); valid != (err == nil) || valid != (c.Validate() == nil) {
			t.Errorf("type %d: valid %v, decode: %v, validate: %v", code, valid, err, c.Validate())
		} else if valid && got.Cells[0].Type != CellType(code) {
			t.Errorf("type %d came back as %v", code, got.Cells[0].Type)
		}
	}
}

func TestMalformedTagsSurvive(t *testing.T) {
	for _, tags := range [][]byte{
		{0}, {0, 1}, {0, 0, 8}, {0, 9, 8, 1}, {0xff, 0xff, 1, 2, 3},
		append(tag(8, "good"), 0, 0), append(tag(8, "good"), 0, 200, 1),
		tag(255, ""), tag(0, strings.Repeat("x", 65532)), bytes.Repeat([]byte{0}, 65535),
	} {
		want := &Change{Table: "a:b", Cells: []Cell{{Type: Put, Tags: tags}, {Type: Put, Tags: tag(1, "next")}}}
		if err := want.Validate(); err != nil {
			t.Fatal(err)
		}
		var got Change
		if err := DecodeAvro(AppendAvro(nil, want), &got); err != nil {
			t.Errorf("tags of %d bytes: %v", len(tags), err)
		} else if d := diffChanges(want, &got); d != "" {
			t.Errorf("tags of %d bytes (-want +got):\n%s", len(tags), d)
		}
	}
}

// TestDecodedChangesStayValid: what a Decoder handed out is not touched by
// later calls with another Change.
func TestDecodedChangesStayValid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d Decoder
		var want, got []*Change
		for range rapid.IntRange(1, 20).Draw(t, "records") {
			c, back := genChange(t), new(Change)
			if err := d.Decode(AppendAvro(nil, c), back); err != nil {
				t.Fatal(err)
			}
			want, got = append(want, c), append(got, back)
		}
		for i := range want {
			if diff := diffChanges(want[i], got[i]); diff != "" {
				t.Fatalf("record %d changed (-want +got):\n%s", i, diff)
			}
		}
	})
}

func TestInternerIsBounded(t *testing.T) {
	var d Decoder
	var c Change
	for i := range maxInterned + 10 {
		want := fmt.Sprintf("region-%d", i)
		if err := d.Decode(AppendAvro(nil, &Change{Table: "a:b", Source: Source{Region: want}}), &c); err != nil || c.Source.Region != want {
			t.Fatalf("region %q, %v, want %q", c.Source.Region, err, want)
		}
	}
	if n := len(d.strings.m); n > maxInterned {
		t.Errorf("%d strings kept, want at most %d", n, maxInterned)
	}
	big := strings.Repeat("x", maxInternedLength+1)
	if err := d.Decode(AppendAvro(nil, &Change{Table: "a:b", Source: Source{Region: big}}), &c); err != nil || c.Source.Region != big {
		t.Errorf("long region lost: %v", err)
	}
	if _, kept := d.strings.m[big]; kept {
		t.Error("a long string was kept")
	}
}

func FuzzDecodeAvro(f *testing.F) {
	f.Add(AppendAvro(nil, sample()))
	f.Add(AppendAvro(nil, &Change{}))
	f.Add(appendInBlocks(&Change{Table: "a:b", Cells: make([]Cell, 2), Source: Source{Origins: make([]UUID, 2)}}, []int{-2}))
	f.Add([]byte{0xC3, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		var c Change
		if err := DecodeAvro(b, &c); err != nil {
			return
		}
		var again Change
		if err := DecodeAvro(AppendAvro(nil, &c), &again); err != nil {
			t.Fatalf("own encoding of a decoded change: %v", err)
		}
		if d := diffChanges(&c, &again); d != "" {
			t.Fatalf("change differs after a round trip (-want +got):\n%s", d)
		}
	})
}

// TestSourcesThatRepeat: what a decoder knows of a source from an earlier record is what the record itself says, whatever is in between.
func TestSourcesThatRepeat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var records [][]byte
		for range rapid.IntRange(2, 6).Draw(t, "sources") {
			c := sample()
			c.Source.Region = rapid.StringMatching(`[a-c]{0,2}`).Draw(t, "region")
			c.Source.Epoch = rapid.Int64Range(0, 2).Draw(t, "epoch")
			c.Source.Kind = rapid.SampledFrom([]Kind{KindScan, KindWAL}).Draw(t, "kind")
			c.Source.Origins = make([]UUID, rapid.IntRange(0, 3).Draw(t, "origins"))
			for i := range c.Source.Origins {
				c.Source.Origins[i][0] = rapid.Byte().Draw(t, "origin")
			}
			records = append(records, AppendAvro(nil, c))
		}
		var d Decoder
		var got, earlier Change
		for i, n := range rapid.SliceOfN(rapid.IntRange(0, len(records)-1), 1, 50).Draw(t, "order") {
			var want Change
			if err := errors.Join(d.Decode(records[n], &got), DecodeAvro(records[n], &want)); err != nil {
				t.Fatal(err)
			}
			if g, w := fmt.Sprintf("%+v", got.Source), fmt.Sprintf("%+v", want.Source); g != w {
				t.Fatalf("record %d: source %s, want %s", i, g, w)
			}
			got, earlier = earlier, got // each is filled again after another has been
		}
	})
}
