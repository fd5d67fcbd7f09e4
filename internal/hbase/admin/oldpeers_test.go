package admin

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/internal/hbase/scan/replaytest"
)

// oldCluster is an HBase before 2.0, whose region server takes up peers and rolls its WAL when it is told to. The first roll
// it is asked for is forgotten.
type oldCluster struct {
	*Cluster
	zk     *fakeZK
	queue  string // of the peer "p"
	rolls  atomic.Int32
	probes []string // peers that were added to see whether changes are taken up
}

func oldClusterOf(t *testing.T, version string) *oldCluster {
	o := new(oldCluster)
	unknown := func(c *rpc.Call) { // as 1.4.14 says it
		c.Fail("org.apache.hadoop.hbase.DoNotRetryIOException",
			"/127.0.0.1:16000 is unable to read call parameter from client 127.0.0.1; java.lang.UnsupportedOperationException: "+c.Method, true)
	}
	m := master{
		"GetClusterStatus": reply(&pb.GetClusterStatusResponse{ClusterStatus: &pb.ClusterStatus{
			HbaseVersion: &pb.HBaseVersionFileContent{Version: &version},
		}}),
		"RollWALWriter": func(c *rpc.Call) {
			if n := o.rolls.Add(1); n > 1 {
				o.zk.set(fmt.Sprintf("%s/wal.%d", o.queue, n), nil)
			}
			c.Reply(&pb.RollWALWriterResponse{})
		},
	}
	for _, method := range []string{"ListReplicationPeers", "AddReplicationPeer", "UpdateReplicationPeerConfig", "EnableReplicationPeer", "DisableReplicationPeer", "RemoveReplicationPeer"} {
		m[method] = unknown
	}
	addr := m.serve(t)
	o.Cluster, o.zk = clusterAt(t, addr)
	server := serverNameOf(serverAt(t, addr)).String()
	o.queue = "/hbase/replication/rs/" + server + "/p"
	probe := regexp.MustCompile(`^/hbase/replication/peers/(p_probe_\d)$`)
	o.zk.seen = func(z *fakeZK, znode string, there bool) {
		m := probe.FindStringSubmatch(znode)
		if m == nil {
			return
		}
		if queue := "/hbase/replication/rs/" + server + "/" + m[1] + "/wal.1"; there {
			z.nodes[queue] = nil
			o.probes = append(o.probes, m[1])
		} else {
			delete(z.nodes, queue)
		}
	}
	o.zk.set("/hbase/rs/"+server, nil)
	o.zk.set("/hbase/replication/rs/"+server, nil)
	return o
}

func (o *oldCluster) has(t *testing.T, want Peer) {
	t.Helper()
	got, err := o.Peer(t.Context(), want.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Error(diff)
	}
}

func oldPeerForTest() Peer {
	return Peer{ID: "p", ClusterKey: "127.0.0.1:2181:/p", Tables: map[string][]string{"default:t": {"a", "b"}, "shop:u": nil},
		Config: map[string]string{"waltap.connector": "c"}, Bandwidth: 1 << 20}
}

// What HBase's own client has written is read, and written again byte for byte (but for the order of tables).
func TestRecordedOldPeers(t *testing.T) {
	c, zk := clusterAt(t, replaytest.Serve(t, "testdata/hbase-1.4.14-peers.frames"))
	for _, id := range []string{"all", "rich"} {
		zk.set("/hbase/replication/peers/"+id, znodeFile(t, "hbase-1.4.14-"+id+".znode"))
		zk.set("/hbase/replication/peers/"+id+"/peer-state", znodeFile(t, "hbase-1.4.14-"+id+"-state.znode"))
	}
	peers, err := c.Peers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []Peer{
		{ID: "all", ClusterKey: "127.0.0.1:31181:/waltap_all", Enabled: true, ReplicateAll: true},
		{ID: "rich", ClusterKey: "127.0.0.1:31181:/waltap_orders", Tables: map[string][]string{"shop:cap": {"cf", "d"}, "default:t": nil},
			Config: map[string]string{"waltap.connector": "orders-source"}, Bandwidth: 1 << 20},
	}
	if diff := cmp.Diff(want, peers); diff != "" {
		t.Error(diff)
	}
	for _, p := range peers {
		config, err := p.oldConfig()
		if err != nil {
			t.Fatal(err)
		}
		theirs := zk.nodes["/hbase/replication/peers/"+p.ID]
		if p.ID == "all" && string(config) != string(theirs) || len(config) != len(theirs) {
			t.Errorf("%s is written as %q, HBase has %q", p.ID, config, theirs)
		}
		if state := oldState(p.Enabled); string(state) != string(zk.nodes["/hbase/replication/peers/"+p.ID+"/peer-state"]) {
			t.Errorf("the state of %s is written as %q", p.ID, state)
		}
	}
}

func TestOldPeers(t *testing.T) {
	o := oldClusterOf(t, "1.4.14")
	ctx, p := t.Context(), oldPeerForTest()
	if err := o.AddPeer(ctx, p); err != nil {
		t.Fatal(err)
	}
	o.has(t, p)
	if state := string(o.zk.nodes["/hbase/replication/peers/p/peer-state"]); state != "PBUF\x08\x01" {
		t.Errorf("held, its state is %q", state)
	}
	if err := o.AddPeer(ctx, p); err != nil {
		t.Errorf("the very same again, as after a lost answer: %v", err)
	}
	other := p
	other.ClusterKey = "other:2181:/p"
	if err := o.AddPeer(ctx, other); !errors.Is(err, ErrPeerExists) {
		t.Errorf("another of the same id: %v", err)
	}
	if err := o.EnablePeer(ctx, p.ID); err != nil {
		t.Fatal(err)
	}
	p.Enabled = true
	o.has(t, p)
	p.Tables = map[string][]string{"default:v": {"a"}}
	if err := o.UpdatePeer(ctx, p); err != nil {
		t.Fatal(err)
	}
	o.has(t, p)
	if err := o.DisablePeer(ctx, p.ID); err != nil {
		t.Fatal(err)
	}
	p.Enabled = false
	o.has(t, p)

	o.zk.set(o.queue+"/wal.1", nil)
	var removed sync.WaitGroup
	removed.Go(func() {
		if err := o.RemovePeer(ctx, p.ID); err != nil {
			t.Error(err)
		}
		if _, err := o.zk.Children(ctx, o.queue); err == nil {
			t.Error("the removal did not wait for the queue")
		}
	})
	for {
		if _, err := o.Peer(ctx, p.ID); errors.Is(err, ErrPeerNotFound) {
			break
		}
	}
	if err := o.AddPeer(ctx, p); err == nil || !strings.Contains(err.Error(), "a queue of an earlier peer") {
		t.Errorf("added over a queue that is left: %v", err)
	}
	o.zk.delete(o.queue + "/wal.1")
	removed.Wait()
	for name, f := range map[string]func() error{
		"enable": func() error { return o.EnablePeer(ctx, p.ID) }, "update": func() error { return o.UpdatePeer(ctx, p) }, "remove": func() error { return o.RemovePeer(ctx, p.ID) },
	} {
		if err := f(); !errors.Is(err, ErrPeerNotFound) {
			t.Errorf("%s what is gone: %v", name, err)
		}
	}
}

func TestOldPeerIsTakenUp(t *testing.T) {
	o := oldClusterOf(t, "1.7.2")
	if err := o.AddPeer(t.Context(), oldPeerForTest()); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- o.AwaitPeer(t.Context(), "p") }()
	for o.zk.asked("/hbase/replication/rs") < 3 {
		if o.rolls.Load() > 0 {
			t.Fatal("a WAL was rolled before the server had taken the peer up")
		}
	}
	o.zk.set(o.queue+"/wal.1", nil)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := o.rolls.Load(); n != 3 {
		t.Errorf("%d rolls asked for, want two and a repeated one", n)
	}
	if fmt.Sprint(o.probes) != "[p_probe_1 p_probe_2]" {
		t.Errorf("probes %v", o.probes)
	}
	if peers, err := o.Peers(t.Context()); err != nil || len(peers) != 1 {
		t.Errorf("peers afterwards: %v, %v", peers, err)
	}
}

// TestProbesThatWereLeft: who was killed in AwaitPeer leaves a probe, which goes with its peer, and without it.
func TestProbesThatWereLeft(t *testing.T) {
	o := oldClusterOf(t, "1.4.14")
	left := func() {
		t.Helper()
		probe := oldPeerForTest()
		probe.ID, probe.Tables = "p_probe_1", map[string][]string{probeTable: {"none"}}
		if err := o.addOldPeer(t.Context(), probe); err != nil {
			t.Fatal(err)
		}
		if of, ok := probe.ProbeOf(); !ok || of != "p" {
			t.Errorf("%s is a probe of %q: %t", probe.ID, of, ok)
		}
	}
	none := func() {
		t.Helper()
		if peers, err := o.Peers(t.Context()); err != nil || len(peers) != 0 {
			t.Errorf("left are %v, %v", peers, err)
		}
	}
	if _, err := o.Peers(t.Context()); err != nil { // that it is 1.4 is known
		t.Fatal(err)
	}
	p := oldPeerForTest()
	if _, ok := p.ProbeOf(); ok {
		t.Errorf("%s is taken for a probe", p.ID)
	}
	if err := o.AddPeer(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	left()
	if err := o.RemovePeer(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	none()
	left()
	if removed, err := o.RemoveProbes(t.Context(), "p"); err != nil || fmt.Sprint(removed) != "[p_probe_1]" {
		t.Errorf("removed %v, %v", removed, err)
	}
	none()
	if removed, err := o.RemoveProbes(t.Context(), "p"); err != nil || len(removed) != 0 {
		t.Errorf("removed %v again, %v", removed, err)
	}
}

func TestOldPeersRefused(t *testing.T) {
	change := func(f func(*Peer)) Peer {
		p := oldPeerForTest()
		f(&p)
		return p
	}
	for want, p := range map[string]Peer{
		"set hbase.peer.serial: false": change(func(p *Peer) { p.Serial = true }),
		"only lists of tables":         change(func(p *Peer) { p.Namespaces = []string{"n"} }),
		"without a table list":         change(func(p *Peer) { p.Tables = nil }),
		"cannot be the id":             change(func(p *Peer) { p.ID = "a-b" }),
	} {
		o := oldClusterOf(t, "1.4.14")
		if err := o.AddPeer(t.Context(), p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
		if len(o.zk.nodes["/hbase/replication/peers/"+p.ID]) > 0 {
			t.Errorf("%s: the peer was made", want)
		}
	}
	if _, err := oldClusterOf(t, "1.3.6").Peers(t.Context()); err == nil || !strings.Contains(err.Error(), "HBase 1.3.6 keeps its replication peers otherwise") {
		t.Errorf("HBase 1.3: %v", err)
	}
	if _, err := oldClusterOf(t, "2.2.7").Peers(t.Context()); err == nil || !strings.Contains(err.Error(), "UnsupportedOperationException") {
		t.Errorf("HBase 2 without the call: %v", err)
	}
}

// The region server of 1.x splits a region when it comes to it.
func TestOldRegionIsSplit(t *testing.T) {
	r := Region{Table: "default:t", Name: []byte("t,,1795224606774.a539f033d199a93ea870abfb8a0fdd12.")}
	m := master{}
	addr := m.serve(t)
	c, _ := clusterAt(t, addr)
	r.Server = serverNameOf(serverAt(t, addr))
	requests := make(chan *pb.SplitRegionRequest, 1)
	m["SplitRegion"] = func(call *rpc.Call) {
		if call.Service == serviceMaster {
			call.Fail("org.apache.hadoop.hbase.DoNotRetryIOException", "unable to read call parameter; java.lang.UnsupportedOperationException: SplitRegion", true)
			return
		}
		requests <- decode[pb.SplitRegionRequest](t, call)
		call.Fail("org.apache.hadoop.hbase.NotServingRegionException", "moved", false)
	}
	err := c.SplitRegion(t.Context(), r, []byte("n"))
	if !rpc.IsRemote(err, "NotServingRegionException") {
		t.Errorf("error %v, want that of the region server", err)
	}
	if req := <-requests; string(req.GetRegion().GetValue()) != string(r.Name) || string(req.GetSplitPoint()) != "n" {
		t.Errorf("request %v", req)
	}
}

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]string{
		"1.4.14": "1.4", "2.6.4-hadoop3": "2.6", "1.4.13-amzn-0": "1.4", "1.1.2.2.6.5.0-292": "1.1", "2.1.0-cdh6.3.2": "2.1", "3.0.0-beta-1": "3.0",
		"2.7": "2.7", "Unknown": "0.0", "": "0.0", "1": "0.0", "99999999999999999999.1": "0.0",
	} {
		if v := parseVersion(text); fmt.Sprintf("%d.%d", v.Major, v.Minor) != want || v.String() != text {
			t.Errorf("%q: %+v", text, v)
		}
	}
	if v := parseVersion("1.4.14"); !v.AtLeast(1, 4) || v.AtLeast(1, 5) || v.AtLeast(2, 0) || !v.AtLeast(0, 98) {
		t.Error("1.4 is compared wrongly")
	}
	if v := parseVersion("Unknown"); !v.AtLeast(9, 9) {
		t.Error("an unknown version counts as old")
	}
}

func FuzzParseOldPeer(f *testing.F) {
	p := oldPeerForTest()
	config, err := p.oldConfig()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(config, oldState(true))
	f.Add(znodeFile(f, "hbase-1.4.14-rich.znode"), znodeFile(f, "hbase-1.4.14-rich-state.znode"))
	f.Add([]byte("h:2181:/hbase"), []byte{})
	f.Add([]byte("PBUF"), []byte("PBUF\x08\x02"))
	f.Fuzz(func(t *testing.T, config, state []byte) {
		p, err := parseOldPeer("p", config, state)
		if err != nil {
			return
		}
		again, err := p.oldConfig()
		if err != nil {
			return // what no HBase of those versions writes
		}
		q, err := parseOldPeer("p", again, oldState(p.Enabled))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, q); diff != "" {
			t.Error(diff)
		}
	})
}
