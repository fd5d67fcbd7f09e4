package source

import (
	"context"
	"fmt"
	"testing"

	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

// ackProducer has every record at once.
type ackProducer struct{}

func (ackProducer) ProduceEncoded(_ context.Context, _ kafka.TopicPartition, _ kafka.Records, done func(error)) {
	done(nil)
}

// BenchmarkAdd is the way of a change into the producer's hands.
func BenchmarkAdd(b *testing.B) {
	for _, cells := range []int{1, 5, 20} {
		b.Run(fmt.Sprintf("cells=%d", cells), func(b *testing.B) {
			pub := NewPublisher(ackProducer{}, 0, func(string, Tally) {})
			pub.Route("n:t", "p.n.t", 8, Encoding{})
			c := schema.Change{Table: "n:t", Source: schema.Source{Kind: schema.KindWAL, Region: "1588230740"}}
			for i := range cells {
				c.Cells = append(c.Cells, schema.Cell{Family: []byte("f"), Qualifier: fmt.Append(nil, i), Type: schema.Put, Value: make([]byte, 100)})
			}
			rows := make([][]byte, 1024)
			for i := range rows {
				rows[i] = fmt.Appendf(nil, "row-%06d", i)
			}
			b.ReportAllocs()
			b.ResetTimer()
			batch := pub.Begin(b.Context())
			for i := range b.N {
				c.Row = rows[i%len(rows)]
				if err := batch.Add(&c); err != nil {
					b.Fatal(err)
				}
			}
			if err := batch.CommitWait(nil); err != nil {
				b.Fatal(err)
			}
		})
	}
}
