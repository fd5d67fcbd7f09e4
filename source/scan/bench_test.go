package scan

import (
	"context"
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/cell"
	hscan "github.com/waltap/waltap/internal/hbase/scan"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/source"
)

// ackProducer has every record at once.
type ackProducer struct{}

func (ackProducer) ProduceEncoded(_ context.Context, _ kafka.TopicPartition, _ kafka.Records, done func(error)) {
	done(nil)
}

// answerStream hands the same answer out n times.
type answerStream struct {
	answer hscan.Batch
	n      int
}

func (s *answerStream) ReadPoint() uint64           { return 1 }
func (s *answerStream) Close(context.Context) error { return nil }
func (s *answerStream) Next(context.Context) (*hscan.Batch, error) {
	if s.n == 0 {
		return nil, io.EOF
	}
	s.n--
	return &s.answer, nil
}

// BenchmarkRead is the way of an answer's cells into the producer's hands; cpu-ns/cell is of the whole process.
func BenchmarkRead(b *testing.B) {
	for _, columns := range []int{1, 20} {
		b.Run(fmt.Sprintf("columns=%d", columns), func(b *testing.B) {
			const cells = 12000
			answer := hscan.Batch{RowsComplete: true}
			for i := range cells {
				answer.Cells = append(answer.Cells, cell.Cell{Row: fmt.Appendf(nil, "%08x-row", i/columns), Family: []byte("f"),
					Qualifier: fmt.Append(nil, i%columns), Timestamp: 1790000000000, Type: cell.Put, Value: make([]byte, 100)})
			}
			w := newWorld(0, admin.Region{Encoded: "r", Name: []byte("t,,1.r.")})
			s := w.scanner(Config{Threads: 1})
			s.cfg.Publisher = source.NewPublisher(ackProducer{}, 0, func(string, source.Tally) {})
			s.cfg.Publisher.Route("default:t", "p.default.t", 8, source.Encoding{})
			s.open = func(context.Context, hscan.Request) (Stream, error) { return &answerStream{answer, b.N}, nil }
			b.ReportAllocs()
			b.ResetTimer()
			before := cpuTime(b)
			if err := s.run(b.Context(), tables); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N*cells), "cpu-ns/cell")
			b.ReportMetric(cells, "cells/op")
		})
	}
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
