package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// example is a process in the midst of its work.
func example() *Process {
	source := NewConnector("orders-source", "HBaseSource")
	source.Set(Snapshot, "scanning default:orders")
	source.Add(120, 360, 4096, 1_790_000_000_500)
	source.LagMillis.Store(1234)
	source.Calls.Store(7)
	source.Retries.Store(2)
	source.SnapshotRows.Store(120_034)
	source.SnapshotBytes.Store(5000)
	source.SnapshotShardsDone.Store(3)
	source.SnapshotShardsTotal.Store(8)
	orders := source.Table("default:orders")
	orders.Add(100, 300, 4000, 1_790_000_000_000)
	orders.SnapshotRows.Store(99)
	source.Table("default:items")
	sink := NewConnector("orders-copy", "HBaseSink")
	sink.Set(Running, "")
	sink.DeadLettered.Store(4)
	source.Split.Store(5)
	return &Process{Version: "0.1.0", Started: time.UnixMilli(1_790_000_000_000).UTC(), Connectors: []*Connector{source, sink}}
}

func TestStates(t *testing.T) {
	cases := []struct {
		state   State
		running bool
		connect string
	}{
		{Starting, false, "UNASSIGNED"},
		{Snapshot, true, "RUNNING"},
		{Running, true, "RUNNING"},
		{Waiting, false, "RUNNING"},
		{Failed, false, "FAILED"},
		{Stopped, false, "STOPPED"},
	}
	for _, tc := range cases {
		if tc.state.Running() != tc.running || tc.state.Connect() != tc.connect {
			t.Errorf("%s: running %v, %s to Connect", tc.state, tc.state.Running(), tc.state.Connect())
		}
		c := NewConnector("c", "HBaseSink")
		c.Set(tc.state, "p")
		if ready := (&Process{Connectors: []*Connector{c}}).Ready(); ready != (tc.running || tc.state == Stopped) {
			t.Errorf("%s: a process with it is ready: %v", tc.state, ready)
		}
	}
	if (&Process{}).Ready() {
		t.Error("a process without connectors is ready")
	}
}

func TestStateChanges(t *testing.T) {
	c := NewConnector("c", "HBaseSource")
	if v := c.View(); v.State != Starting || v.Since.IsZero() {
		t.Errorf("new: %+v", v)
	}
	c.Fail(errors.New("open cluster: no route"))
	failed := c.View()
	if failed.State != Failed || failed.Error != "open cluster: no route" || failed.Phase != "" {
		t.Errorf("failed: %+v", failed)
	}
	c.Set(Running, "streaming")
	if v := c.View(); v.State != Running || v.Error != "" || v.Phase != "streaming" || v.Since.Before(failed.Since) {
		t.Errorf("running again: %+v", v)
	}
	since := c.View().Since
	c.Set(Running, "streaming on")
	if v := c.View(); v.Since != since {
		t.Errorf("the state began anew with another phase")
	}
}

func TestConcurrentUse(t *testing.T) {
	p := example()
	c := p.Connectors[1]
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for j := range 200 {
				ts := int64(i*1000 + j)
				c.Add(1, 2, 3, ts)
				c.Table(fmt.Sprintf("default:t%d", j%3)).Add(1, 2, 3, ts)
				c.Set(Running, "")
				_ = p.View()
			}
		})
	}
	group.Wait()
	v := c.View()
	if v.Records != 1600 || v.Cells != 3200 || v.Bytes != 4800 || v.LastRecord.UnixMilli() != 7199 || len(v.Tables) != 3 {
		t.Errorf("%+v", v)
	}
	var sum int64
	for _, table := range v.Tables {
		sum += table.Records
	}
	if sum != 1600 {
		t.Errorf("tables count %d records", sum)
	}
}

func TestScanView(t *testing.T) {
	c := NewConnector("c", "HBaseSource")
	limits := ScanLimits{RowsPerSecond: 5}
	c.SetScanLimits(func() ScanLimits { return limits })
	c.SetParts("b", []PartView{{Shards: 2, Done: 1, Rows: 3, Bytes: 30, BytesTotal: 100}, {Start: "x", Shards: 1, Rows: 1, Bytes: 10, BytesTotal: 50}})
	c.SetParts("a", []PartView{{Shards: 1}})
	if v := c.View(); v.Snapshot != nil {
		t.Errorf("before the first shard: %+v", v.Snapshot)
	}
	c.SnapshotShardsTotal.Store(4)
	limits.Paused = true
	v := c.View()
	shown, err := json.Marshal(v.Snapshot)
	const want = `{"rows":0,"bytes":0,"reread":0,"shardsDone":0,"shardsTotal":4,"limits":{"rowsPerSecond":5,"bytesPerSecond":0,"paused":true},"tables":[` +
		`{"name":"a","parts":[{"start":"","shards":1,"done":0,"rows":0,"bytes":0,"bytesTotal":0}]},` +
		`{"name":"b","parts":[{"start":"","shards":2,"done":1,"rows":3,"bytes":30,"bytesTotal":100},{"start":"x","shards":1,"done":0,"rows":1,"bytes":10,"bytesTotal":50}]}]}`
	if err != nil || string(shown) != want {
		t.Errorf("%s, %v", shown, err)
	}
	brief := v.Brief().Snapshot.Tables
	if len(brief) != 2 || len(brief[1].Parts) != 1 || brief[1].Parts[0] != (PartView{Shards: 3, Done: 1, Rows: 4, Bytes: 40, BytesTotal: 150}) || len(v.Snapshot.Tables[1].Parts) != 2 {
		t.Errorf("in brief: %+v", brief)
	}
}
