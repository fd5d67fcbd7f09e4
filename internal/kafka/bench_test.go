package kafka

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/segmentio/kafka-go/compress"
)

// BenchmarkDecodeBatches reads a fetched batch of records with five headers, as the source writes them.
func BenchmarkDecodeBatches(b *testing.B) {
	random := rand.NewChaCha8([32]byte{2})
	recs := make([]Record, 3000)
	for i := range recs {
		recs[i] = Record{Key: fmt.Appendf(nil, "row-%06d", i), Value: halfRandom(random), Headers: []Header{
			{"waltap.op", []byte("put")}, {"waltap.table", []byte("default:t")}, {"waltap.seq", fmt.Append(nil, 1000+i)},
			{"waltap.ts", []byte("1790000000000")}, {"waltap.source", []byte("wal")},
		}}
	}
	for _, c := range []compress.Compression{compress.None, compress.Snappy} {
		b.Run(c.String(), func(b *testing.B) {
			raw := encode(b, c, 0, recs...)
			b.ReportAllocs()
			b.SetBytes(int64(len(raw)))
			var set batchSet
			for b.Loop() {
				var err error
				set, err = decodeBatches(raw, 0, set)
				if err != nil || len(set.records) != len(recs) {
					b.Fatalf("%d records, %v", len(set.records), err)
				}
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N*len(recs)), "ns/record")
		})
	}
}

// BenchmarkCompress lays out and compresses a batch of records as the source writes them, of cells of 100 random bytes.
func BenchmarkCompress(b *testing.B) {
	random := rand.NewChaCha8([32]byte{1})
	recs := make([]Record, 750)
	for i := range recs {
		value := make([]byte, 100)
		random.Read(value)
		recs[i] = Record{Key: fmt.Appendf(nil, "%016x", random.Uint64()),
			Value: slices.Concat([]byte("\xc3\x01\x32\xf5\xa6\x8c\x92\xa2\xb2\x53 default:orders 16 hex digits\xc8\x01"), value,
				[]byte("0.1.0 orders-source 16 bytes of uuid 1588230740abcdef1588230740abcdef")),
			Headers: []Header{
				{"waltap.op", []byte("put")}, {"waltap.table", []byte("default:orders")}, {"waltap.seq", fmt.Append(nil, 1000+i)},
				{"waltap.ts", []byte("1790000000000")}, {"waltap.source", []byte("wal")},
			}}
	}
	var records Records
	for i := range recs {
		records.Add(&recs[i])
	}
	for _, c := range []compress.Compression{compress.None, compress.Snappy, compress.Lz4, compress.Zstd} {
		b.Run(c.String(), func(b *testing.B) {
			builder, size := batchBuilder{codec: c}, 0
			b.ReportAllocs()
			for b.Loop() {
				builder.reset()
				for i := range records.Len() {
					builder.add(&records, i, 1<<20)
				}
				batch, err := builder.finish()
				if err != nil {
					b.Fatal(err)
				}
				size = len(batch)
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N*len(recs)), "ns/record")
			b.ReportMetric(float64(size)/float64(len(recs)), "bytes/record")
		})
	}
}

// halfRandom is a value of 250 bytes of which 100 are random, as a record's is whose cell is random.
func halfRandom(random *rand.ChaCha8) []byte {
	v := make([]byte, 250)
	random.Read(v[:100])
	return v
}
