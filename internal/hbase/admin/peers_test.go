package admin

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/internal/hbase/scan/replaytest"
)

// recordedPeers returns the peers of testdata/peers.frames.
func recordedPeers() []Peer {
	return []Peer{
		{
			ID: "all", ClusterKey: "127.0.0.1:31181:/waltap_all", Enabled: true, ReplicateAll: true,
			ExcludeTables: map[string][]string{"shop:cap": {"d"}}, ExcludeNamespaces: []string{"other"},
		},
		{
			ID: "rich", ClusterKey: "127.0.0.1:31181:/waltap_orders",
			Tables: map[string][]string{"shop:cap": {"cf", "d"}, "default:t": nil}, Namespaces: []string{"other"},
			Config: map[string]string{"waltap.connector": "orders-source"}, Serial: true, Bandwidth: 1 << 20,
		},
	}
}

func TestRecordedPeers(t *testing.T) {
	c, _ := clusterAt(t, replaytest.Serve(t, "testdata/peers.frames"))
	peers, err := c.Peers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(recordedPeers(), peers); diff != "" {
		t.Error(diff)
	}
}

func TestPeerCalls(t *testing.T) {
	peer := recordedPeers()[1]
	peer.Data, peer.EndpointClass = map[string]string{"k": "v"}, "x.Endpoint"
	stored := map[string]*pb.ReplicationPeerDescription{}
	c, _ := clusterAt(t, master{
		"AddReplicationPeer": func(call *rpc.Call) {
			req := decode[pb.AddReplicationPeerRequest](t, call)
			if stored[req.GetPeerId()] != nil {
				fail("DoNotRetryIOException", "Replication peer "+req.GetPeerId()+" already exists")(call)
				return
			}
			stored[req.GetPeerId()] = &pb.ReplicationPeerDescription{Id: req.PeerId, State: req.PeerState, Config: req.PeerConfig}
			call.Reply(&pb.AddReplicationPeerResponse{ProcId: proto.Uint64(1)})
		},
		"UpdateReplicationPeerConfig": func(call *rpc.Call) {
			req := decode[pb.UpdateReplicationPeerConfigRequest](t, call)
			stored[req.GetPeerId()].Config = req.PeerConfig
			call.Reply(&pb.UpdateReplicationPeerConfigResponse{})
		},
		"EnableReplicationPeer": func(call *rpc.Call) {
			stored[decode[pb.EnableReplicationPeerRequest](t, call).GetPeerId()].State.State = pb.ReplicationState_ENABLED.Enum()
			call.Reply(&pb.EnableReplicationPeerResponse{})
		},
		"DisableReplicationPeer": fail("DoNotRetryIOException", "no"),
		"RemoveReplicationPeer": func(call *rpc.Call) {
			id := decode[pb.RemoveReplicationPeerRequest](t, call).GetPeerId()
			if stored[id] == nil {
				fail("ReplicationPeerNotFoundException", id)(call)
				return
			}
			delete(stored, id)
			call.Reply(&pb.RemoveReplicationPeerResponse{})
		},
		"ListReplicationPeers": func(call *rpc.Call) {
			resp := &pb.ListReplicationPeersResponse{}
			for _, p := range stored {
				resp.PeerDesc = append(resp.PeerDesc, p)
			}
			call.Reply(resp)
		},
		"getProcedureResult": reply(&pb.GetProcedureResultResponse{State: pb.GetProcedureResultResponse_FINISHED.Enum()}),
	}.serve(t))
	check := func(want Peer) {
		t.Helper()
		got, err := c.Peer(t.Context(), peer.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Error(diff)
		}
	}
	if err := c.AddPeer(t.Context(), peer); err != nil {
		t.Fatal(err)
	}
	check(peer)
	if err := c.AddPeer(t.Context(), peer); !errors.Is(err, ErrPeerExists) {
		t.Errorf("second add: %v", err)
	}
	if err := c.EnablePeer(t.Context(), peer.ID); err != nil {
		t.Error(err)
	}
	peer.Enabled = true
	check(peer)
	if err := c.DisablePeer(t.Context(), peer.ID); err == nil {
		t.Error("disable was refused, but there is no error")
	}
	peer.Tables["default:u"] = []string{"f"}
	if err := c.UpdatePeer(t.Context(), peer); err != nil {
		t.Error(err)
	}
	check(peer)
	if err := c.RemovePeer(t.Context(), peer.ID); err != nil {
		t.Error(err)
	}
	if err := c.RemovePeer(t.Context(), peer.ID); !errors.Is(err, ErrPeerNotFound) {
		t.Errorf("second remove: %v", err)
	}
	if _, err := c.Peer(t.Context(), peer.ID); !errors.Is(err, ErrPeerNotFound) {
		t.Errorf("peer after remove: %v", err)
	}
}

// TestPeerStateThatHoldsAlready has a master that refuses to disable what is disabled.
func TestPeerStateThatHoldsAlready(t *testing.T) {
	c, _ := clusterAt(t, master{
		"DisableReplicationPeer": fail("DoNotRetryIOException", "it is disabled"),
		"ListReplicationPeers": reply(&pb.ListReplicationPeersResponse{PeerDesc: []*pb.ReplicationPeerDescription{{
			Id:     proto.String("p"),
			State:  &pb.ReplicationState{State: pb.ReplicationState_DISABLED.Enum()},
			Config: &pb.ReplicationPeer{},
		}}}),
	}.serve(t))
	if err := c.DisablePeer(t.Context(), "p"); err != nil {
		t.Error(err)
	}
}

func TestOldPeerWithoutReplicateAll(t *testing.T) {
	desc := &pb.ReplicationPeerDescription{Config: &pb.ReplicationPeer{}}
	if !peerOf(desc).ReplicateAll {
		t.Error("a peer without any list ships everything")
	}
	desc.Config.TableCfs = tableCFs(map[string][]string{"t": nil})
	if peerOf(desc).ReplicateAll {
		t.Error("a peer with a table list ships that")
	}
}

func TestShips(t *testing.T) {
	all, listed := recordedPeers()[0], recordedPeers()[1]
	excluded := Peer{ReplicateAll: true, ExcludeTables: map[string][]string{"default:t": nil}}
	for _, tt := range []struct {
		peer          Peer
		table, family string
		want          bool
	}{
		{all, "t", "f", true},
		{all, "shop:cap", "cf", true},
		{all, "shop:cap", "d", false},
		{all, "shop:cap", "", true},
		{all, "other:t", "f", false},
		{all, "hbase:meta", "info", false},
		{excluded, "t", "", false},
		{excluded, "default:t", "f", false},
		{excluded, "u", "f", true},
		{listed, "t", "any", true},
		{listed, "shop:cap", "cf", true},
		{listed, "shop:cap", "x", false},
		{listed, "shop:cap", "", true},
		{listed, "shop:else", "", false},
		{listed, "other:t", "f", true},
	} {
		if got := tt.peer.Ships(tt.table, tt.family); got != tt.want {
			t.Errorf("peer %s, %s %q: %v, want %v", tt.peer.ID, tt.table, tt.family, got, tt.want)
		}
	}
}

func FuzzPeers(f *testing.F) {
	for _, p := range recordedPeers() {
		msg, err := proto.Marshal(p.configProto())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(msg)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		var cfg pb.ReplicationPeer
		if proto.Unmarshal(msg, &cfg) != nil {
			return
		}
		p := peerOf(&pb.ReplicationPeerDescription{Config: &cfg})
		again := peerOf(&pb.ReplicationPeerDescription{Config: p.configProto()})
		if diff := cmp.Diff(p, again); diff != "" {
			t.Fatalf("a round trip changes the peer: %s", diff)
		}
		p.Ships("default:t", "f")
	})
}
