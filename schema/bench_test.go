package schema

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

func changeWith(cells int) *Change {
	c := sample()
	c.Cells = c.Cells[:0]
	for i := range cells {
		k := Cell{Family: []byte("d"), Qualifier: fmt.Appendf(nil, "column%02d", i), Timestamp: 1_790_000_000_000, Type: Put, Value: make([]byte, 100)}
		if i%2 == 1 {
			k.Tags = tag(8, "\x00\x00\x00\x00\x00\x01\x86\xa0")
		}
		c.Cells = append(c.Cells, k)
	}
	return c
}

func BenchmarkAppendAvro(b *testing.B) {
	for _, n := range []int{1, 5, 20} {
		b.Run(fmt.Sprintf("cells=%d", n), func(b *testing.B) {
			c := changeWith(n)
			dst := AppendAvro(nil, c)
			b.SetBytes(int64(len(dst)))
			b.ReportAllocs()
			for b.Loop() {
				dst = AppendAvro(dst[:0], c)
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{1, 5, 20} {
		b.Run(fmt.Sprintf("cells=%d", n), func(b *testing.B) {
			in := AppendAvro(nil, changeWith(n))
			var d Decoder
			var c Change
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Decode(in, &c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestAllocations(t *testing.T) {
	c := changeWith(20)
	buf := AppendAvro(nil, c)
	if n := testing.AllocsPerRun(200, func() { buf = AppendAvro(buf[:0], c) }); n != 0 {
		t.Errorf("AppendAvro: %v allocations, want 0", n)
	}
	untagged, other := sample(), sample()
	untagged.Cells[0].Tags, other.Cells[0].Tags = nil, nil
	other.Table, other.Source.Region = "default:other", "cd34"
	in := [][]byte{AppendAvro(nil, untagged), AppendAvro(nil, other)}
	var d Decoder
	var got Change
	var err error
	read := func() {
		for _, b := range in {
			if err == nil {
				err = d.Decode(b, &got)
			}
		}
	}
	read()
	if n := testing.AllocsPerRun(200, read); n != 0 || err != nil {
		t.Errorf("Decode of alternating tables and regions: %v allocations, %v, want 0", n, err)
	}
	one := func() { err = DecodeAvro(in[0], &got) }
	one()
	if n := testing.AllocsPerRun(200, one); n != 0 || err != nil {
		t.Errorf("DecodeAvro of the same strings: %v allocations, %v, want 0", n, err)
	}
	headers, arena := AppendHeaders([]kafkaHeader(nil), nil, c)
	if n := testing.AllocsPerRun(200, func() { headers, arena = AppendHeaders(headers[:0], arena[:0], c) }); n != 0 {
		t.Errorf("AppendHeaders: %v allocations, want 0", n)
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, name := range slices.Sorted(maps.Keys(encoders())) {
		b.Run(name, func(b *testing.B) {
			e, c := encoders()[name], changeWith(5)
			dst := e.Append(nil, c)
			b.SetBytes(int64(len(dst)))
			b.ReportAllocs()
			for b.Loop() {
				dst = e.Append(dst[:0], c)
			}
		})
	}
}

func BenchmarkDecodeEach(b *testing.B) {
	for _, name := range slices.Sorted(maps.Keys(encoders())) {
		b.Run(name, func(b *testing.B) {
			in := encoders()[name].Append(nil, changeWith(5))
			d := Decoder{Writers: testWriters(b)}
			var c Change
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Decode(in, &c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestEncodersDoNotAllocate(t *testing.T) {
	c := changeWith(5)
	all := encoders()
	all["key string"], all["key json"], all["key avro"] = StringKeyEncoder{}, JSONKeyEncoder{Text: true, Schema: true}, AvroKeyEncoder{ConfluentHead(1)}
	for name, e := range all {
		buf := e.Append(nil, c)
		if n := testing.AllocsPerRun(100, func() { buf = e.Append(buf[:0], c) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}
