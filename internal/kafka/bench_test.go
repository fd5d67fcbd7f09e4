package kafka

import (
	"fmt"
	"testing"

	"github.com/segmentio/kafka-go/compress"
)

// BenchmarkDecodeBatches reads a fetched batch of records with five headers, as the source writes them.
func BenchmarkDecodeBatches(b *testing.B) {
	recs := make([]Record, 3000)
	for i := range recs {
		recs[i] = Record{Key: fmt.Appendf(nil, "row-%06d", i), Value: make([]byte, 250), Headers: []Header{
			{"waltap.op", []byte("put")}, {"waltap.table", []byte("default:t")}, {"waltap.seq", fmt.Append(nil, 1000+i)},
			{"waltap.ts", []byte("1790000000000")}, {"waltap.source", []byte("wal")},
		}}
	}
	raw := encode(b, compress.None, 0, recs...)
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	var set batchSet
	for b.Loop() {
		var err error
		set, err = decodeBatches(raw, 0, set.records)
		if err != nil || len(set.records) != len(recs) {
			b.Fatalf("%d records, %v", len(set.records), err)
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N*len(recs)), "ns/record")
}
