package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"
	"pgregory.net/rapid"
)

// encode returns a stamped batch with the given base offset.
func encode(t testing.TB, codec compress.Compression, base int64, recs ...Record) []byte {
	t.Helper()
	b := batchBuilder{codec: codec}
	b.reset()
	encoded := encodeRecords(recs)
	for i := range recs {
		if !b.add(&encoded, i, 1<<30) {
			t.Fatal("record does not fit")
		}
	}
	batch, err := b.finish()
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint64(batch, uint64(base))
	stamp(batch, producerState{id: 7, epoch: 3, sequence: 11})
	return bytes.Clone(batch)
}

func encodeRecords(recs []Record) (encoded Records) {
	for i := range recs {
		encoded.Add(&recs[i])
	}
	return encoded
}

// control returns a commit marker, as a transaction coordinator writes it.
func control(t testing.TB, base int64) []byte {
	b := encode(t, compress.None, base, Record{Key: []byte{0, 0, 0, 1}, Value: []byte{0, 0, 0, 0, 0, 0}})
	b[batchAttributes+1] |= attrControl | 0x10
	stamp(b, producerState{id: 7})
	return b
}

// compacted returns b as the log cleaner leaves it: with a last offset delta beyond its last record.
func compacted(b []byte, lastDelta int32) []byte {
	binary.BigEndian.PutUint32(b[batchLastDelta:], uint32(lastDelta))
	stamp(b, noProducer)
	return b
}

// emptied returns a batch that has lost all its records.
func emptied(t testing.TB, base int64, lastDelta int32) []byte {
	b := encode(t, compress.None, base, Record{})[:batchOverhead]
	binary.BigEndian.PutUint32(b[batchLength:], batchOverhead-batchLength-4)
	binary.BigEndian.PutUint32(b[batchRecords:], 0)
	return compacted(b, lastDelta)
}

func drawRecord(t *rapid.T) Record {
	r := Record{
		Key:   rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "key"),
		Value: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "value"),
		Time:  time.UnixMilli(rapid.Int64Range(0, 1<<45).Draw(t, "time")),
	}
	if rapid.Bool().Draw(t, "null") {
		r.Value = nil
	}
	for range rapid.IntRange(0, 3).Draw(t, "headers") {
		r.Headers = append(r.Headers, Header{rapid.String().Draw(t, "name"), rapid.SliceOf(rapid.Byte()).Draw(t, "header")})
	}
	return r
}

// TestBatchRoundTrip checks the encoder against this package's decoder and against kafka-go's.
func TestBatchRoundTrip(t *testing.T) {
	tp := TopicPartition{"t", 4}
	rapid.Check(t, func(rt *rapid.T) {
		recs := rapid.SliceOfN(rapid.Custom(drawRecord), 1, 20).Draw(rt, "records")
		codec := compress.Compression(rapid.IntRange(0, 4).Draw(rt, "codec"))
		base := rapid.Int64Range(0, 1<<50).Draw(rt, "base")
		b := encode(t, codec, base, recs...)

		want := slices.Clone(recs)
		for i := range want {
			want[i].Topic, want[i].Partition, want[i].Offset = "t", 4, base+int64(i)
		}
		set, err := decodeBatches(b, 0, batchSet{})
		if err != nil {
			rt.Fatal(err)
		}
		var got []Record
		for i := range set.records {
			got = append(got, set.records[i].Record(tp))
		}
		if d := cmp.Diff(want, got); d != "" || set.next != base+int64(len(recs)) || set.truncated {
			rt.Fatalf("next %d, truncated %v; records (-want +got):\n%s", set.next, set.truncated, d)
		}

		var theirs protocol.RecordSet
		sized := append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
		if _, err := theirs.ReadFrom(bytes.NewBuffer(sized)); err != nil {
			rt.Fatal(err)
		}
		for i := range want {
			r, err := theirs.Records.ReadRecord()
			if err != nil {
				rt.Fatalf("kafka-go: record %d: %v", i, err)
			}
			value, _ := protocol.ReadAll(r.Value)
			if r.Offset != want[i].Offset || !r.Time.Equal(want[i].Time) || !bytes.Equal(value, want[i].Value) || (value == nil) != (want[i].Value == nil) {
				rt.Fatalf("kafka-go reads record %d as %+v", i, r)
			}
		}
	})
}

func TestDecodeBatches(t *testing.T) {
	ten := func(base int64) []byte { return encode(t, compress.None, base, records("a", 10)...) }
	broken := func(at int) []byte {
		b := ten(100)
		b[at] ^= 0x40
		return b
	}
	for _, tc := range []struct {
		name    string
		b       []byte
		offset  int64
		offsets []int64
		next    int64
		trunc   bool
		err     string
	}{
		{"nothing", nil, 100, nil, 100, false, ""},
		{"asked offset inside of a batch", ten(100), 107, []int64{107, 108, 109}, 110, false, ""},
		{"batch below the asked offset", slices.Concat(ten(80), ten(100)), 109, []int64{109}, 110, false, ""},
		{"marker", slices.Concat(ten(100), control(t, 110)), 109, []int64{109}, 111, false, ""},
		{"marker alone", control(t, 110), 110, nil, 111, false, ""},
		{"compacted tail", compacted(ten(100), 24), 109, []int64{109}, 125, false, ""},
		{"compacted tail, asked behind the last record", compacted(ten(100), 24), 115, nil, 125, false, ""},
		{"emptied batch", emptied(t, 100, 9), 100, nil, 110, false, ""},
		{"hole between batches", slices.Concat(ten(100), encode(t, compress.Zstd, 500, records("b", 1)...)), 109, []int64{109, 500}, 501, false, ""},
		{"last batch cut", slices.Concat(ten(100), ten(110)[:70]), 109, []int64{109}, 110, true, ""},
		{"last batch cut in its length", slices.Concat(ten(100), ten(110)[:9]), 109, []int64{109}, 110, true, ""},
		{"only a part", ten(100)[:90], 100, nil, 100, true, ""},
		{"bit flipped in a record", broken(batchOverhead + 3), 100, nil, 100, false, "checksum"},
		{"bit flipped in the count", broken(batchRecords + 3), 100, nil, 100, false, "checksum"},
		{"second batch broken", slices.Concat(ten(90), broken(70)), 99, []int64{99}, 100, false, "checksum"},
		{"old format", broken(batchMagic)[:40], 100, nil, 100, false, "message format"},
		{"length too small", append(make([]byte, batchMagic), 2), 100, nil, 100, false, "length 0"},
		{"more records than offsets", compacted(ten(100), 3), 100, nil, 100, false, "10 records"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			set, err := decodeBatches(tc.b, tc.offset, batchSet{})
			if (err != nil) != (tc.err != "") || err != nil && (!strings.Contains(err.Error(), tc.err) || !errors.Is(err, errBatchFormat)) {
				t.Fatalf("error %v, want %q", err, tc.err)
			}
			var offsets []int64
			for _, r := range set.records {
				offsets = append(offsets, r.Offset)
			}
			if !slices.Equal(offsets, tc.offsets) || set.next != tc.next || set.truncated != tc.trunc {
				t.Errorf("offsets %v, next %d, truncated %v; want %v, %d, %v", offsets, set.next, set.truncated, tc.offsets, tc.next, tc.trunc)
			}
		})
	}
}

func TestLogAppendTime(t *testing.T) {
	b := encode(t, compress.None, 0, Record{Time: time.UnixMilli(5)}, Record{Time: time.UnixMilli(6)})
	b[batchAttributes+1] |= attrLogAppendTime
	binary.BigEndian.PutUint64(b[batchMaxTime:], 1234)
	stamp(b, noProducer)
	set, err := decodeBatches(b, 0, batchSet{})
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range set.records {
		if r := raw.Record(t0); r.Time.UnixMilli() != 1234 {
			t.Errorf("offset %d has time %v", r.Offset, r.Time)
		}
	}
}

func TestBatchLimit(t *testing.T) {
	var b batchBuilder
	b.reset()
	recs := encodeRecords(records("a", 3))
	if !b.add(&recs, 0, 10) {
		t.Error("the first record must fit whatever its size")
	}
	if b.add(&recs, 1, b.size()+5) {
		t.Error("a record over the limit was added")
	}
	if before := b.size(); !b.add(&recs, 1, 200) || b.size() <= before {
		t.Error("a record within the limit was not added")
	}
}

func TestProducerState(t *testing.T) {
	s := producerState{id: 1, epoch: 4, sequence: 1<<31 - 3}
	s.advance(5)
	if s.sequence != 2 {
		t.Errorf("sequence is %d after the wrap, want 2", s.sequence)
	}
	s.raise()
	if want := (producerState{id: 1, epoch: 5}); s != want {
		t.Errorf("got %v, want %v", s, want)
	}
	s.epoch = 1<<15 - 1
	if s.raise(); s != noProducer {
		t.Errorf("got %v, want a new producer id after the last epoch", s)
	}
	if s.raise(); s != noProducer {
		t.Errorf("got %v, want no producer to stay none", s)
	}
}

// TestPartition compares with kafka-go's balancer, which is tested against the Java client, and with values of
// org.apache.kafka.common.utils.UtilsTest.
func TestPartition(t *testing.T) {
	for key, want := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107,
	} {
		if got := int32(murmur2([]byte(key))); got != want {
			t.Errorf("murmur2(%q) = %d, want %d", key, got, want)
		}
	}
	partitions := make([]int, 13)
	for i := range partitions {
		partitions[i] = i
	}
	for i := range 1000 {
		key := fmt.Appendf(nil, "%0*d", i%9, i)
		want := kafkago.Murmur2Balancer{}.Balance(kafkago.Message{Key: key}, partitions...)
		if got := Partition(key, 13); int(got) != want {
			t.Fatalf("Partition(%q) = %d, want %d", key, got, want)
		}
	}
}

func FuzzDecodeBatches(f *testing.F) {
	for codec := range compress.Compression(5) {
		f.Add(encode(f, codec, 100, records("a", 3)...), int64(101))
	}
	f.Add(control(f, 5), int64(0))
	f.Add(emptied(f, 100, 9), int64(100))
	f.Add(encode(f, 0, 100, Record{Headers: []Header{{"h", []byte("v")}}})[:80], int64(0))
	f.Fuzz(func(t *testing.T, b []byte, offset int64) {
		b = bytes.Clone(b)
		if len(b) > batchOverhead {
			// Most of the decoder lies behind the checksum.
			stamp(b[:min(len(b), int(binary.BigEndian.Uint32(b[batchLength:])%4096)+12+batchOverhead)], noProducer)
		}
		set, err := decodeBatches(b, offset, batchSet{})
		if err == nil && set.next < offset {
			t.Errorf("next offset %d is below the asked %d", set.next, offset)
		}
		for _, r := range set.records {
			if r.Offset < offset {
				t.Errorf("record %d is below the asked offset %d", r.Offset, offset)
			}
			r.Record(t0) // what decodeBatches lets pass can be read
		}
	})
}

func FuzzDecodeFetch(f *testing.F) {
	f.Add(fetchResponse(11, "t", 0, 0, 10, 3, []byte("records")), int16(11))
	f.Add(fetchResponse(4, "t", 0, 1, 10, 3, nil), int16(4))
	f.Add([]byte{0, 0, 0, 0}, int16(7))
	f.Fuzz(func(t *testing.T, b []byte, version int16) {
		if p, err := decodeFetch(b, version, t0); err == nil && len(p.records) > len(b) {
			t.Error("more records than bytes")
		}
	})
}

// TestHeaderTemplate: with the values filled in, the bytes are those of the headers.
func TestHeaderTemplate(t *testing.T) {
	headers := []Header{{"op", []byte("put")}, {"table", []byte("seq")}, {"seq", []byte("4711")}, {"null", nil}, {"ts", nil}, {"source", []byte("wal")}}
	for _, open := range [][]string{nil, {"seq"}, {"seq", "ts"}, {"op", "source"}} {
		var values [][]byte
		for _, h := range headers {
			if slices.Contains(open, h.Key) {
				values = append(values, h.Value)
			}
		}
		got := NewHeaderTemplate(headers, open...).Append([]byte("before"), values...)
		if want := AppendHeaders([]byte("before"), headers); !bytes.Equal(got, want) {
			t.Errorf("open %v:\ngot  %q\nwant %q", open, got, want)
		}
	}
}

// TestCompressedInSeveralBlocks: batches of more than a codec's block, compressible and not, one after the other.
func TestCompressedInSeveralBlocks(t *testing.T) {
	random := rand.NewChaCha8([32]byte{7})
	for codec := range compress.Compression(5) {
		for n := range 5 {
			var recs []Record
			for size := 0; size < 300<<10*n; {
				value := bytes.Repeat([]byte("waltap "), 40<<(2*n))
				if len(recs)%2 == 0 {
					random.Read(value)
				}
				recs = append(recs, Record{Key: fmt.Appendf(nil, "row-%d", len(recs)), Value: value})
				size += len(value)
			}
			recs = append(recs, Record{Value: []byte("last")})
			got, err := decodeBatches(encode(t, codec, 0, recs...), 0, batchSet{})
			if err != nil || len(got.records) != len(recs) {
				t.Fatalf("%s: %d of %d records, %v", codec, len(got.records), len(recs), err)
			}
			for i := range recs {
				if !bytes.Equal(got.records[i].Key, recs[i].Key) || !bytes.Equal(got.records[i].Value, recs[i].Value) {
					t.Fatalf("%s: record %d of %d differs", codec, i, len(recs))
				}
			}
		}
	}
}
