package replication

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source"
)

// A call of HBase 1.4.14; testdata/README.md says what was written.
func TestRecordedCallOfHBase1(t *testing.T) {
	param, err := os.ReadFile("testdata/hbase-1.4.14.param")
	if err != nil {
		t.Fatal(err)
	}
	cells, err := os.ReadFile("testdata/hbase-1.4.14.cells")
	if err != nil {
		t.Fatal(err)
	}
	var req pb.ReplicateWALEntryRequest
	if err := proto.Unmarshal(param, &req); err != nil {
		t.Fatal(err)
	}
	table := schema.NormalizeTable(string(req.Entry[0].Key.GetTableName()))
	producer := &heldProducer{given: make(chan struct{}, 100)}
	pub := source.NewPublisher(producer, 0, func(string, source.Tally) {})
	pub.Route(table, "p", 1, source.Encoding{})
	conn, _ := connect(t, NewReceiver(Config{
		Connector: "c", Version: "v", Publisher: pub, Stats: &countStats{},
		Table:       func(name string) (Table, bool) { return Table{Epoch: 1}, name == table },
		IsHeartbeat: func(name string) bool { return strings.HasPrefix(name, "default:waltap_heartbeat_") },
	}))
	answered := make(chan error, 1)
	go func() {
		_, err := conn.Call(t.Context(), "ReplicateWALEntry", &req, cells, &pb.ReplicateWALEntryResponse{})
		answered <- err
	}()
	<-producer.given
	producer.answer(nil)
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	kinds := make(map[string]int)
	tags := 0
	for _, c := range producer.changes(t) {
		if c.Table != table || c.Sequence == 0 || c.Timestamp == 0 || len(c.Source.Region) != 32 {
			t.Errorf("change %+v", c)
		}
		for _, k := range c.Cells {
			kinds[k.Type.String()]++
			if len(k.Tags) > 0 {
				tags++
			}
		}
	}
	if got := fmt.Sprint(kinds, tags); got != "map[Delete:1 DeleteColumn:1 DeleteFamily:4 DeleteFamilyVersion:1 Put:17] 1" {
		t.Errorf("cells %s", got)
	}
}
