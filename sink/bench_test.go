package sink

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

// BenchmarkCollect makes batches of fetched records: it decodes them, and looks for replays.
func BenchmarkCollect(b *testing.B) {
	for _, cells := range []int{1, 20} {
		b.Run(fmt.Sprintf("cells=%d", cells), func(b *testing.B) {
			c := schema.Change{Table: "default:t", Timestamp: 1790000000000, Source: schema.Source{Version: "0.1.0", Connector: "orders-source", Region: "0123456789abcdef0123456789abcdef", Kind: schema.KindWAL, Epoch: 1}}
			for i := range cells {
				c.Cells = append(c.Cells, schema.Cell{Family: []byte("f"), Qualifier: fmt.Append(nil, i), Timestamp: 1790000000000, Type: schema.Put, Value: make([]byte, 100)})
			}
			records := make([]kafka.RawRecord, 4000)
			for i := range records {
				c.Row, c.Sequence = fmt.Appendf(nil, "row-%06d", i), uint64(i)
				records[i] = kafka.RawRecord{Key: c.Row, Value: schema.AppendAvro(nil, &c), Offset: int64(i)}
			}
			s := newSink(Config{BatchBytes: 1 << 30, Linger: time.Hour}, nil)
			w := &worker{Sink: s, tp: kafka.TopicPartition{Topic: "t"}, recent: newRecent(recentCells), limits: s.cfg.limitsOf(1)}
			collect := collector{w: w, decoder: s.cfg.Schemas.NewDecoder()}
			fetched := make(chan *kafka.RawFetch, 1)
			b.ReportAllocs()
			for b.Loop() {
				fetched <- &kafka.RawFetch{Records: records, NextOffset: int64(len(records))}
				batch, err := collect.next(context.Background(), fetched)
				if err != nil || len(batch.Changes) != len(records) {
					b.Fatalf("%d changes, %v", len(batch.Changes), err)
				}
				collect.reuse(batch)
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N*len(records)*cells), "ns/cell")
		})
	}
}
