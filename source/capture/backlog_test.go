package capture

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waltap/waltap/internal/hbase/admin"
)

func TestWhatTheServersReportOfAPeer(t *testing.T) {
	st := &admin.Status{Servers: []admin.ServerStatus{
		{Replication: []admin.ReplicationLoad{
			{PeerID: "ours", LogQueue: 2, AgeOfLastShipped: 1500, Lag: 300, LastShipped: 5000},
			{PeerID: "other", LogQueue: 9, AgeOfLastShipped: 99000, Lag: 99000, LastShipped: 1},
		}},
		{Replication: []admin.ReplicationLoad{{PeerID: "ours", LogQueue: 1, AgeOfLastShipped: 700, Lag: math.MaxInt64, LastShipped: 4000}}},
	}}
	var b Backlog
	b.report(st, "ours")
	want := Backlog{Reported: true, WALs: 3, AgeOfLastShipped: 1500 * time.Millisecond, Lag: 300 * time.Millisecond, LastShipped: 4000}
	if d := cmp.Diff(want, b); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	b = Backlog{Queued: true, WALs: 7} // known from the queues
	if b.report(st, "ours"); b.WALs != 7 {
		t.Errorf("%d WALs", b.WALs)
	}
	b = Backlog{}
	if b.report(st, "nobody"); b != (Backlog{}) {
		t.Errorf("of a peer nobody has reported: %+v", b)
	}
}
