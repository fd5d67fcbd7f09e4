package hbase

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/schema"
)

// changesOf are a batch of 4000 cells in rows of so many.
func changesOf(cells int) []mapped {
	target := &table{name: "default:t", wire: "t"}
	changes := make([]mapped, 4000/cells)
	for i := range changes {
		c := &schema.Change{Table: "default:t", Row: fmt.Appendf(nil, "row-%06d", i), Sequence: uint64(i), Timestamp: 1790000000000,
			Source: schema.Source{Region: "0123456789abcdef0123456789abcdef", ClusterID: schema.UUID{1, 9: 7}}}
		for q := range cells {
			c.Cells = append(c.Cells, schema.Cell{Family: []byte("f"), Qualifier: fmt.Append(nil, q), Timestamp: 1790000000000, Type: schema.Put, Value: make([]byte, 100)})
		}
		changes[i] = to(target, c)
	}
	return changes
}

// BenchmarkChunk groups a batch into mutations; mutate.BenchmarkWrite is what is then made of them.
func BenchmarkChunk(b *testing.B) {
	for _, cells := range []int{1, 20} {
		b.Run(fmt.Sprintf("cells=%d", cells), func(b *testing.B) {
			changes := changesOf(cells)
			b.ReportAllocs()
			var k chunk
			for b.Loop() {
				k.reset()
				for _, c := range changes {
					if !k.takes(c) {
						b.Fatal("it is full")
					}
					k.add(c)
				}
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N*len(changes)*cells), "ns/cell")
		})
	}
}

// BenchmarkCalls packs a batch into calls, as they are sent.
func BenchmarkCalls(b *testing.B) {
	for _, cells := range []int{1, 20} {
		b.Run(fmt.Sprintf("cells=%d", cells), func(b *testing.B) {
			changes := changesOf(cells)
			b.ReportAllocs()
			var calls callBuilder
			for b.Loop() {
				calls.reset()
				for _, c := range changes {
					calls.add(c)
				}
				for _, call := range calls.finish() {
					if _, err := proto.Marshal(call.request()); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N*len(changes)*cells), "ns/cell")
		})
	}
}
