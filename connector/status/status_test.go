package status

import (
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
		if ready := (&Process{Connectors: []*Connector{c}}).Ready(); ready != tc.running {
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
