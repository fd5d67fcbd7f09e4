package cell

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

func TestDecodeAllocatesNothing(t *testing.T) {
	block, _ := benchBlock()
	var k Cell
	if n := testing.AllocsPerRun(100, func() {
		if _, err := KeyValueCodecWithTags.Decode(block, &k); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func benchBlock() ([]byte, int) {
	k := mk("row-00000001", "cf", "q1", 1000, Put, strings.Repeat("v", 100), ttlTag...)
	var b []byte
	for range 1000 {
		b = KeyValueCodecWithTags.Append(b, &k)
	}
	return b, 1000
}

func BenchmarkDecode(b *testing.B) {
	block, n := benchBlock()
	b.SetBytes(int64(len(block)))
	b.ReportAllocs()
	var k Cell
	for b.Loop() {
		cells := 0
		for rest := block; len(rest) > 0; cells++ {
			n, err := KeyValueCodecWithTags.Decode(rest, &k)
			if err != nil {
				b.Fatal(err)
			}
			rest = rest[n:]
		}
		if cells != n {
			b.Fatalf("%d cells", cells)
		}
	}
}

func BenchmarkReader(b *testing.B) {
	block, n := benchBlock()
	b.SetBytes(int64(len(block)))
	b.ReportAllocs()
	src := bytes.NewReader(block)
	arena := make([]byte, 0, len(block))
	var k Cell
	for b.Loop() {
		src.Reset(block)
		r := NewReader(src, KeyValueCodecWithTags, int64(len(block)))
		arena = arena[:0]
		for cells := 0; ; cells++ {
			var err error
			if arena, err = r.Next(&k, arena); err == io.EOF && cells == n {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	k := mk("row-00000001", "cf", "q1", 1000, Put, strings.Repeat("v", 100), ttlTag...)
	b.SetBytes(int64(KeyValueCodecWithTags.Size(&k)))
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		buf = KeyValueCodecWithTags.Append(buf[:0], &k)
	}
}
