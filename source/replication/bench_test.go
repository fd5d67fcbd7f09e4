package replication

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/source"
)

// benchShape is how the cells of a call lie in WAL edits.
type benchShape struct {
	name                        string
	edits, rows, columns, value int // edits of a call, rows of an edit, cells of a row, bytes of a value
}

// A call of single puts is what HBase ships at most by its default (replication.source.nb.capacity).
var benchShapes = []benchShape{
	{"single puts", 25000, 1, 1, 100},
	{"edits of 1000 rows", 50, 1000, 1, 100},
	{"rows of 20 columns", 50, 50, 20, 100},
	{"10 B", 50, 1000, 1, 10},
	{"10 KiB", 6400, 1, 1, 10 << 10}, // 64 MiB, HBase's default (replication.source.size.capacity)
}

func (s benchShape) cells() int { return s.edits * s.rows * s.columns }

// request is a call as HBase 2.6 makes it.
func (s benchShape) request() (*pb.ReplicateWALEntryRequest, []byte) {
	req := &pb.ReplicateWALEntryRequest{}
	var block []byte
	value := bytes.Repeat([]byte("v"), s.value)
	row := uint32(1)
	for i := range s.edits {
		for range s.rows {
			row = row*1664525 + 1013904223
			for col := range s.columns {
				k := cell.Cell{Row: fmt.Appendf(nil, "%08x-row", row), Family: []byte("f"), Qualifier: fmt.Appendf(nil, "q%02d", col),
					Timestamp: 1790000000000, Type: cell.Put, Value: value}
				block = cell.KeyValueCodecWithTags.Append(block, &k)
			}
		}
		req.Entry = append(req.Entry, &pb.WALEntry{AssociatedCellCount: proto.Int32(int32(s.rows * s.columns)), Key: &pb.WALKey{
			EncodedRegionName: fmt.Appendf(nil, "0123456789abcdef0123456789abcde%d", i%4), TableName: []byte("t"),
			LogSequenceNumber: proto.Uint64(uint64(1000 + i)), WriteTime: proto.Uint64(1790000000000 + uint64(i)),
			ClusterIds: []*pb.UUID{{MostSigBits: proto.Uint64(0xa << 56), LeastSigBits: proto.Uint64(0)}},
		}})
	}
	return req, block
}

// BenchmarkSource is the way of a call's cells from HBase's connection into the requests to Kafka. HBase and Kafka are another
// process, whose CPU time is not counted: cpu-ns/cell is what waltap takes of it, sockets included.
func BenchmarkSource(b *testing.B) {
	for i, s := range benchShapes {
		b.Run(s.name, func(b *testing.B) {
			others := startOthers(b, i)
			pub := source.NewPublisher(others.producer(b), 0, func(string, source.Tally) {})
			pub.Route("default:t", "p.default.t", benchPartitions, source.Encoding{})
			r := NewReceiver(Config{
				Connector: "orders-source", Version: "0.1.0", ClusterID: clusterA, Publisher: pub, Stats: &countStats{},
				Table:       func(name string) (Table, bool) { return Table{Epoch: 1}, name == "default:t" },
				IsHeartbeat: func(name string) bool { return name == "default:beats" }, Heartbeats: quietHeartbeats{},
			})
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			srv := rpc.NewServer(rpc.ServerConfig{Services: map[string]rpc.Handler{Service: r.Serve}, Logger: slog.New(slog.DiscardHandler)})
			go srv.Serve(l)
			defer srv.Shutdown(context.Background())
			others.do(b, "dial "+l.Addr().String())
			others.do(b, "call") // warm
			b.ReportAllocs()
			b.ResetTimer()
			before := cpuTime()
			for range b.N {
				others.do(b, "call")
			}
			cells := float64(b.N * s.cells())
			b.ReportMetric(float64(cpuTime()-before)/cells, "cpu-ns/cell")
			b.ReportMetric(float64(b.Elapsed())/cells, "ns/cell")
			b.ReportMetric(float64(s.cells()), "cells/op")
		})
	}
}

type quietHeartbeats struct{}

func (quietHeartbeats) Begin() uint64                 { return 0 }
func (quietHeartbeats) Acknowledged(uint64, [][]byte) {}
func (quietHeartbeats) Late() int64                   { return 0 }

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkDecode is the receiver's part of it: from a call's bytes to changes with a publisher that drops them.
func BenchmarkDecode(b *testing.B) {
	for _, s := range benchShapes {
		b.Run(s.name, func(b *testing.B) {
			req, block := s.request()
			param, err := proto.Marshal(req)
			if err != nil {
				b.Fatal(err)
			}
			pub := source.NewPublisher(ackProducer{}, 0, func(string, source.Tally) {})
			pub.Route("default:t", "p.default.t", benchPartitions, source.Encoding{})
			r := NewReceiver(Config{
				Connector: "orders-source", Version: "0.1.0", ClusterID: clusterA, Publisher: pub, Stats: &countStats{},
				Table:       func(name string) (Table, bool) { return Table{Epoch: 1}, name == "default:t" },
				IsHeartbeat: func(name string) bool { return name == "default:beats" }, Heartbeats: quietHeartbeats{},
			})
			b.ReportAllocs()
			b.SetBytes(int64(len(param) + len(block)))
			for b.Loop() {
				answered := make(chan error, 1)
				call := &rpc.Call{Param: param, Cells: bytes.NewReader(block), CellBytes: int64(len(block)), Codec: cell.KeyValueCodecWithTags}
				r.replicate(b.Context(), call, func(err error) { answered <- err })
				if err := <-answered; err != nil {
					b.Fatal(err)
				}
			}
			cells := float64(b.N * s.cells())
			b.ReportMetric(float64(b.Elapsed())/cells, "ns/cell")
			b.ReportMetric(float64(s.cells()), "cells/op")
		})
	}
}

// ackProducer has every record at once.
type ackProducer struct{}

func (ackProducer) ProduceEncoded(_ context.Context, _ kafka.TopicPartition, _ kafka.Records, done func(error)) {
	done(nil)
}
