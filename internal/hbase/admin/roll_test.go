package admin

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
)

// The answer to RollWALWriter comes first; the roll shows in the queue of a peer a moment later.
func TestRollWALsWaitsForTheRoll(t *testing.T) {
	var zk *fakeZK
	var queue string
	addr := master{"RollWALWriter": func(c *rpc.Call) {
		c.Reply(&pb.RollWALWriterResponse{})
		time.AfterFunc(100*time.Millisecond, func() { zk.set(queue+"/h%2C1.group.200", nil) })
		time.AfterFunc(200*time.Millisecond, func() { zk.set(queue+"/h%2C1.other.200", nil) })
	}}.serve(t)
	c, z := clusterAt(t, addr)
	zk = z
	server := serverNameOf(serverAt(t, addr))
	zk.set("/hbase/rs/"+server.String(), nil)
	queues := "/hbase/replication/rs/" + server.String()
	queue = queues + "/p"
	for _, wal := range []string{"/h%2C1.group.99", "/h%2C1.group.100", "/h%2C1.other.90"} {
		zk.set(queue+wal, nil)
	}
	zk.set(queues+"/p-h,2,3/h%2C2.group.50", nil) // taken over from another server: never rolled
	if err := c.RollWALs(t.Context()); err != nil {
		t.Fatal(err)
	}
	now, err := c.latestWALs(t.Context(), server)
	if err != nil || len(now) != 2 || now["h%2C1.group"] != "h%2C1.group.200" || now["h%2C1.other"] != "h%2C1.other.200" {
		t.Errorf("when it returned the latest were %v, %v", now, err)
	}
}

func TestRollWALsSaysWhichServerDoesNot(t *testing.T) {
	t.Parallel()
	addr := master{"RollWALWriter": func(c *rpc.Call) { c.Reply(&pb.RollWALWriterResponse{}) }}.serve(t)
	c, zk := clusterAt(t, addr)
	server := serverNameOf(serverAt(t, addr))
	zk.set("/hbase/rs/"+server.String(), nil)
	zk.set("/hbase/replication/rs/"+server.String()+"/p/h.100", nil)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // in which it is asked, on a busy machine too
	defer cancel()
	if err := c.RollWALs(ctx); err == nil || !strings.Contains(err.Error(), server.String()) || !strings.Contains(err.Error(), "no new WAL") {
		t.Errorf("error %v", err)
	}
}

func TestRollWALsWithoutAQueue(t *testing.T) {
	addr := master{"RollWALWriter": func(c *rpc.Call) { c.Reply(&pb.RollWALWriterResponse{}) }}.serve(t)
	c, zk := clusterAt(t, addr)
	zk.set("/hbase/rs/"+serverNameOf(serverAt(t, addr)).String(), nil)
	if err := c.RollWALs(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestOlderWAL(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want bool
	}{{"", "g.1", true}, {"g.1", "", false}, {"g.9", "g.10", true}, {"g.10", "g.9", false}, {"g.10", "g.10", false}} {
		if got := olderWAL(tc.a, tc.b); got != tc.want {
			t.Errorf("olderWAL(%q, %q) = %t", tc.a, tc.b, got)
		}
	}
}
