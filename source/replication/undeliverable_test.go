package replication

import (
	"bytes"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/waltap/waltap/internal/deadletter"
	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source"
)

// What carries data and cannot be made a record of is never acknowledged and dropped: the call fails, or it is on the dead-letter
// topic before HBase is answered.
func TestUndeliverableEdits(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kafka.Connect(t.Context(), kafka.Config{BootstrapServers: cluster.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	queue, err := deadletter.Open(t.Context(), deadletter.Config{Kafka: client, Topic: "dead", ReplicationFactor: 1, Context: true, Connector: "c"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { queue.Close() })
	load := cell.Cell{Row: []byte("x"), Family: metaFamily, Qualifier: bulkLoad, Type: cell.Put, Value: []byte("descriptor")}
	odd := put("z", "odd")
	odd.Type = 77
	for _, tc := range []struct {
		name  string
		cell  cell.Cell
		says  string
		op    string
		value []byte
	}{
		{"bulk load", load, "bulk-loaded HFiles into table default:t", "bulk-load", []byte("descriptor")},
		{"unknown type", odd, `row "z": a cell of type 77`, "cell", cell.KeyValueCodecWithTags.Append(nil, &odd)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := serve(t)
			e := edit{table: "t", seq: 30, cells: []cell.Cell{put("z", "1"), tc.cell, put("z", "2")}}
			if err := f.call(t.Context(), e); !rpc.IsRemote(err, "IOException") || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "errors.tolerance: all") {
				t.Errorf("answered with %v, want an IOException that says %q", err, tc.says)
			}
			var dead atomic.Int64
			f = serve(t, source.Policy{Tolerate: true, DeadLetters: queue, DeadLettered: func(n int) { dead.Add(int64(n)) }})
			answered := make(chan error, 1)
			go func() { answered <- f.call(t.Context(), e) }()
			<-f.producer.given
			<-f.producer.given
			if len(answered) > 0 {
				t.Error("HBase was answered before the dead letter was acknowledged")
			}
			f.producer.answer(nil)
			if err := <-answered; err != nil || dead.Load() != 1 {
				t.Errorf("answered with %v, %d dead letters", err, dead.Load())
			}
			l, ok := deadletter.Parse(f.producer.recs[0])
			if !ok || l.Topic != "p.default.t" || l.Stage != deadletter.StagePoll || !bytes.Equal(l.Value, tc.value) || !strings.Contains(l.Message, tc.says) || string(l.Headers[0].Value) != tc.op || string(l.Headers[2].Value) != "30" {
				t.Errorf("dead letter %+v", l)
			}
			var c schema.Change
			if err := schema.DecodeAvro(f.producer.recs[1].Value, &c); err != nil || len(c.Cells) != 2 || len(f.producer.recs) != 2 {
				t.Errorf("the rest of the edit: %+v, %v", c, err)
			}
		})
	}
}
