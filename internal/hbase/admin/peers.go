package admin

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/pb"
)

// Peer is a replication peer: where a cluster ships its write-ahead log to, and which part of it.
type Peer struct {
	ID string
	// ClusterKey is "quorum:port:/root" ("h1,h2:2181:/hbase"). It cannot be changed later, nor can EndpointClass.
	ClusterKey string
	// Enabled false: HBase keeps the peer's WALs but ships nothing.
	Enabled bool
	// ReplicateAll ships every family with scope 1 but for ExcludeTables and ExcludeNamespaces; without it only what
	// Tables and Namespaces name is shipped.
	ReplicateAll      bool
	Tables            map[string][]string // "ns:table" to families; none: all of them
	Namespaces        []string
	ExcludeTables     map[string][]string
	ExcludeNamespaces []string
	Config            map[string]string
	// Data holds the peer's settings for a custom endpoint, as HBase keeps them.
	Data          map[string]string
	EndpointClass string
	// Serial keeps the order of a region's edits over its moves (2.1).
	Serial bool
	// Bandwidth limits each source, in bytes a second; 0 does not.
	Bandwidth int64
}

// Ships reports whether the peer ships the edits of a family, given scope 1. With family "" it reports whether any
// family of the table may be shipped. Tables of the namespace "hbase" are never shipped, but for hbase:acl and
// hbase:labels, which this does not tell.
func (p Peer) Ships(table, family string) bool {
	table = fullName(table)
	namespace, _ := splitTable(table)
	if namespace == systemNamespace {
		return false
	}
	if p.ReplicateAll {
		if slices.Contains(p.ExcludeNamespaces, namespace) {
			return false
		}
		families, excluded := p.ExcludeTables[table]
		switch {
		case !excluded:
			return true
		case len(families) == 0:
			return false
		}
		return family == "" || !slices.Contains(families, family)
	}
	if slices.Contains(p.Namespaces, namespace) {
		return true
	}
	families, listed := p.Tables[table]
	return listed && (family == "" || len(families) == 0 || slices.Contains(families, family))
}

// Peers returns all replication peers.
func (c *Cluster) Peers(ctx context.Context) (peers []Peer, err error) {
	ctx, cancel := withDefaultTimeout(ctx, 2*callTimeout)
	defer cancel()
	err = c.peerCall(ctx,
		func() error { peers, err = c.listPeers(ctx); return err },
		func() error { peers, err = c.oldPeers(ctx); return err })
	if err != nil {
		return nil, fmt.Errorf("list replication peers: %w", err)
	}
	slices.SortFunc(peers, func(a, b Peer) int { return compareStrings(a.ID, b.ID) })
	return peers, nil
}

func (c *Cluster) listPeers(ctx context.Context) ([]Peer, error) {
	var resp pb.ListReplicationPeersResponse
	err := c.callMaster(ctx, masterCall{
		method:     "ListReplicationPeers",
		req:        &pb.ListReplicationPeersRequest{},
		resp:       &resp,
		repeatable: true,
	})
	if err != nil {
		return nil, err
	}
	peers := make([]Peer, 0, len(resp.GetPeerDesc()))
	for _, m := range resp.GetPeerDesc() {
		peers = append(peers, peerOf(m))
	}
	return peers, nil
}

// Peer returns one peer, or an error that wraps ErrPeerNotFound.
func (c *Cluster) Peer(ctx context.Context, id string) (*Peer, error) {
	peers, err := c.Peers(ctx)
	if err != nil {
		return nil, err
	}
	for i := range peers {
		if peers[i].ID == id {
			return &peers[i], nil
		}
	}
	return nil, fmt.Errorf("describe replication peer %s: %w", id, ErrPeerNotFound)
}

// AddPeer adds a peer and waits until every region server knows it. With Enabled false it is added held: HBase keeps
// its WALs from then on and ships none. From 2.4 on the master checks that it can read the peer's ZooKeeper and that
// its cluster id differs from its own. HBase before 2.0 only takes note: see AwaitPeer. ErrPeerExists.
func (c *Cluster) AddPeer(ctx context.Context, p Peer) error {
	state := pb.ReplicationState_DISABLED
	if p.Enabled {
		state = pb.ReplicationState_ENABLED
	}
	err := c.peerCall(ctx, func() error {
		var resp pb.AddReplicationPeerResponse
		return c.procedureCall(ctx, masterCall{
			method: "AddReplicationPeer",
			req: &pb.AddReplicationPeerRequest{
				PeerId:     &p.ID,
				PeerConfig: p.configProto(),
				PeerState:  &pb.ReplicationState{State: &state},
			},
			resp: &resp,
		}, func() *uint64 { return resp.ProcId })
	}, func() error { return c.addOldPeer(ctx, p) })
	if err != nil {
		return fmt.Errorf("add replication peer %s: %w", p.ID, err)
	}
	return nil
}

// UpdatePeer replaces a peer's configuration, all of it but for ClusterKey, EndpointClass and Enabled. HBase restarts
// the peer's sources, which ship again what was not acknowledged; before 2.0 it only takes note: see AwaitPeer.
// ErrPeerNotFound.
func (c *Cluster) UpdatePeer(ctx context.Context, p Peer) error {
	err := c.peerCall(ctx, func() error {
		var resp pb.UpdateReplicationPeerConfigResponse
		return c.procedureCall(ctx, masterCall{
			method:     "UpdateReplicationPeerConfig",
			req:        &pb.UpdateReplicationPeerConfigRequest{PeerId: &p.ID, PeerConfig: p.configProto()},
			resp:       &resp,
			repeatable: true,
		}, func() *uint64 { return resp.ProcId })
	}, func() error { return c.updateOldPeer(ctx, p) })
	if err != nil {
		return fmt.Errorf("update replication peer %s: %w", p.ID, err)
	}
	return nil
}

// EnablePeer lets HBase ship to a peer, beginning with what it kept while the peer was disabled. An enabled peer stays
// as it is. ErrPeerNotFound.
func (c *Cluster) EnablePeer(ctx context.Context, id string) error {
	err := c.peerCall(ctx, func() error {
		var resp pb.EnableReplicationPeerResponse
		return c.procedureCall(ctx, masterCall{
			method:     "EnableReplicationPeer",
			req:        &pb.EnableReplicationPeerRequest{PeerId: &id},
			resp:       &resp,
			repeatable: true,
		}, func() *uint64 { return resp.ProcId })
	}, func() error { return c.setOldPeerState(ctx, id, true) })
	return c.peerStateError(ctx, "enable", id, true, err)
}

// DisablePeer stops shipping to a peer; HBase keeps its WALs. A disabled peer stays as it is. ErrPeerNotFound.
func (c *Cluster) DisablePeer(ctx context.Context, id string) error {
	err := c.peerCall(ctx, func() error {
		var resp pb.DisableReplicationPeerResponse
		return c.procedureCall(ctx, masterCall{
			method:     "DisableReplicationPeer",
			req:        &pb.DisableReplicationPeerRequest{PeerId: &id},
			resp:       &resp,
			repeatable: true,
		}, func() *uint64 { return resp.ProcId })
	}, func() error { return c.setOldPeerState(ctx, id, false) })
	return c.peerStateError(ctx, "disable", id, false, err)
}

// peerStateError turns the master's refusal to do what is done already into success.
func (c *Cluster) peerStateError(ctx context.Context, verb, id string, enabled bool, err error) error {
	if err == nil {
		return nil
	}
	if p, perr := c.Peer(ctx, id); perr == nil && p.Enabled == enabled {
		return nil
	}
	return fmt.Errorf("%s replication peer %s: %w", verb, id, err)
}

// RemovePeer removes a peer and with it the WALs that were kept for it. ErrPeerNotFound.
func (c *Cluster) RemovePeer(ctx context.Context, id string) error {
	err := c.peerCall(ctx, func() error {
		var resp pb.RemoveReplicationPeerResponse
		return c.procedureCall(ctx, masterCall{
			method: "RemoveReplicationPeer",
			req:    &pb.RemoveReplicationPeerRequest{PeerId: &id},
			resp:   &resp,
		}, func() *uint64 { return resp.ProcId })
	}, func() error { return c.removeOldPeer(ctx, id) })
	if err != nil {
		return fmt.Errorf("remove replication peer %s: %w", id, err)
	}
	return nil
}

func peerOf(m *pb.ReplicationPeerDescription) Peer {
	return peerFrom(m.GetId(), m.GetState(), m.GetConfig())
}

func peerFrom(id string, state *pb.ReplicationState, cfg *pb.ReplicationPeer) Peer {
	p := Peer{
		ID:                id,
		ClusterKey:        cfg.GetClusterkey(),
		Enabled:           state.GetState() == pb.ReplicationState_ENABLED,
		Tables:            tableFamilies(cfg.GetTableCfs()),
		Namespaces:        stringsOf(cfg.GetNamespaces()),
		ExcludeTables:     tableFamilies(cfg.GetExcludeTableCfs()),
		ExcludeNamespaces: stringsOf(cfg.GetExcludeNamespaces()),
		Config:            stringMap(cfg.GetConfiguration()),
		Data:              bytesMap(cfg.GetData()),
		EndpointClass:     cfg.GetReplicationEndpointImpl(),
		Serial:            cfg.GetSerial(),
		Bandwidth:         cfg.GetBandwidth(),
	}
	p.ReplicateAll = cfg.GetReplicateAll()
	if cfg.ReplicateAll == nil { // written before 2.0 had the field: no list means all
		p.ReplicateAll = len(p.Tables) == 0 && len(p.Namespaces) == 0
	}
	return p
}

func (p Peer) configProto() *pb.ReplicationPeer {
	m := &pb.ReplicationPeer{
		Clusterkey:        &p.ClusterKey,
		Data:              bytesPairs(p.Data),
		Configuration:     stringPairs(p.Config),
		TableCfs:          tableCFs(p.Tables),
		Namespaces:        bytesOf(p.Namespaces),
		Bandwidth:         &p.Bandwidth,
		ReplicateAll:      &p.ReplicateAll,
		ExcludeTableCfs:   tableCFs(p.ExcludeTables),
		ExcludeNamespaces: bytesOf(p.ExcludeNamespaces),
		Serial:            &p.Serial,
	}
	if p.EndpointClass != "" {
		m.ReplicationEndpointImpl = proto.String(p.EndpointClass)
	}
	return m
}
