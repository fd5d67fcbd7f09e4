package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/crash"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/zookeeper"
)

// HBase before 2.0 keeps its replication peers in ZooKeeper alone: who changes them writes the znodes, which every region
// server watches, and nobody answers. What follows is what ReplicationPeersZKImpl of 1.4.14 does.
//
//	<root>/replication/peers/<id>             "PBUF" ReplicationPeer
//	<root>/replication/peers/<id>/peer-state  "PBUF" ReplicationState
//	<root>/replication/rs/<server>/<id>       the queue; made by a server when it has seen the peer
//
// Before 1.4 the table list stands in a znode of its own, as text: those versions are refused.
const (
	oldPeersZnode = "replication/peers"
	oldPeerState  = "peer-state"
	// oldPeerBandwidth is the field of ReplicationPeer that is namespaces from 2.0 on.
	oldPeerBandwidth = 6
	protobufMagic    = "PBUF"
)

const (
	// oldPeerTimeout bounds the wait for a region server to take a peer up.
	oldPeerTimeout = 3 * time.Minute
	// oldQueuesTimeout bounds the wait for the queues of a removed peer to vanish: those of servers that are down stay longer.
	oldQueuesTimeout = 30 * time.Second
)

// peerCall does something about peers: ask asks the master, and where that has no such call znodes does it in ZooKeeper.
func (c *Cluster) peerCall(ctx context.Context, ask, znodes func() error) error {
	if !c.isOld() {
		err := ask()
		if !noSuchCall(err) {
			return err
		}
		v, verr := c.Version(ctx)
		switch {
		case verr != nil:
			return verr
		case v.AtLeast(2, 0):
			return err
		case !v.AtLeast(1, 4):
			return fmt.Errorf("HBase %s keeps its replication peers otherwise than waltap knows: 1.4 or later is needed (docs/versions.md)", v)
		}
		c.mu.Lock()
		c.old = true
		c.mu.Unlock()
	}
	return znodes()
}

// isOld tells whether the active master is known to be an HBase before 2.0.
func (c *Cluster) isOld() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.old
}

// AwaitPeer returns when all that region servers append to their WALs from now on is treated by a peer as it is now: the
// peer is known to each of them, with its table list. From 2.0 on AddPeer and UpdatePeer have waited for that already.
//
// Before 2.0 a server takes changes of peers up one after the other, on the one thread that gets its ZooKeeper session's
// notifications: one peer whose ZooKeeper is out of reach keeps all others waiting (17 s, seen on 1.4.14). All that can be seen
// of it is the queue that a server makes when it has taken up a new peer. So AwaitPeer adds a peer that ships nothing, and when each server has a
// queue for it another one. The first may be met in a list that was asked for before a change that came earlier; that list being
// read, the second is notified of behind every earlier change. When it has a queue, they all have been dealt with.
//
// Then the WALs are rolled twice: one of which a queue does not know, begun while the server took the peer up, ends
// with that. An order to roll is answered before it is carried out; a new WAL in the queue says that the roll before it is complete.
func (c *Cluster) AwaitPeer(ctx context.Context, id string) error {
	ctx, cancel := withDefaultTimeout(ctx, c.cfg.OperationTimeout)
	defer cancel()
	err := c.peerCall(ctx,
		func() error { _, err := c.listPeers(ctx); return err },
		func() error { return c.awaitOldPeer(ctx, id) })
	if err != nil {
		return fmt.Errorf("wait for the region servers to take up replication peer %s: %w", id, err)
	}
	return nil
}

func (c *Cluster) awaitOldPeer(ctx context.Context, id string) error {
	if err := c.awaitOldQueues(ctx, id); err != nil {
		return err
	}
	if err := c.probeOldPeers(ctx, id); err != nil {
		return err
	}
	for range 2 {
		if err := c.rollQueues(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// probeOldPeers adds two peers, one after the other, that ship nothing, waits until every server has taken them up, and
// removes them.
func (c *Cluster) probeOldPeers(ctx context.Context, id string) error {
	p, err := c.oldPeer(ctx, id)
	if err != nil {
		return oldPeerError(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		if _, err := c.removeProbes(ctx, id); err != nil {
			c.cfg.Logger.Warn("a peer that ships nothing is left; waltap peer remove removes it", "peers", probeIDs(id), "error", err)
		}
	}()
	if _, err := c.removeProbes(ctx, id); err != nil { // of a process that was killed
		return err
	}
	for _, probe := range probeIDs(id) {
		for left := true; left; {
			queues, err := c.Queues(ctx, probe)
			if err != nil {
				return err
			}
			if left = len(queues) > 0; left {
				if err := sleep(ctx, retryMin); err != nil {
					return fmt.Errorf("%s still has the queue of the removed peer %s: %w", queues[0].Owner, probe, err)
				}
			}
		}
		err := c.addOldPeer(ctx, Peer{ID: probe, ClusterKey: p.ClusterKey, Config: p.Config, Tables: map[string][]string{probeTable: {"none"}}})
		if err != nil {
			return err
		}
		crash.Point(crash.PeerProbed)
		if err := c.awaitOldQueues(ctx, probe); err != nil {
			return err
		}
	}
	return nil
}

// probeTable is one that no cluster has.
const probeTable = "waltap_probe:none"

func probeIDs(id string) []string { return []string{id + "_probe_1", id + "_probe_2"} }

// ProbeOf returns the id of the peer that p is a probe of: a peer that ships nothing, which AwaitPeer adds and removes again. One that is seen
// for longer was left by a process that was killed.
func (p *Peer) ProbeOf() (id string, ok bool) {
	if _, nothing := p.Tables[probeTable]; !nothing || len(p.Tables) != 1 {
		return "", false
	}
	for _, suffix := range probeIDs("") {
		if of, found := strings.CutSuffix(p.ID, suffix); found && of != "" {
			return of, true
		}
	}
	return "", false
}

// RemoveProbes removes the probes of a peer that a process which was killed has left, also when the peer itself is gone. From 2.0 on
// there are none.
func (c *Cluster) RemoveProbes(ctx context.Context, id string) (removed []string, err error) {
	ctx, cancel := withDefaultTimeout(ctx, c.cfg.OperationTimeout)
	defer cancel()
	err = c.peerCall(ctx, func() error { _, err := c.listPeers(ctx); return err }, func() error {
		removed, err = c.removeProbes(ctx, id)
		return err
	})
	if err != nil {
		return removed, fmt.Errorf("remove the probes of replication peer %s: %w", id, err)
	}
	return removed, nil
}

func (c *Cluster) removeProbes(ctx context.Context, id string) (removed []string, err error) {
	for _, probe := range probeIDs(id) {
		err := c.deleteOldPeer(ctx, probe)
		if err != nil && !errors.Is(err, ErrPeerNotFound) {
			return removed, err
		}
		if err == nil {
			removed = append(removed, probe)
		}
	}
	return removed, nil
}

// rollQueues has every live server with a queue of the peer begin a new WAL, and waits until that is in the queue.
func (c *Cluster) rollQueues(ctx context.Context, id string) error {
	before, err := c.liveQueues(ctx, id)
	if err != nil {
		return err
	}
	return c.roll(ctx, slices.Collect(maps.Keys(before)), func(ctx context.Context) ([]ServerName, error) {
		live, err := c.liveQueues(ctx, id)
		return slices.DeleteFunc(slices.Collect(maps.Keys(before)), func(s ServerName) bool {
			wals, there := live[s]
			return !there || slices.ContainsFunc(wals, func(wal string) bool { return !slices.Contains(before[s], wal) })
		}), err
	})
}

// liveQueues lists the WALs in the queues of the peer, by the live server that writes them.
func (c *Cluster) liveQueues(ctx context.Context, id string) (map[ServerName][]string, error) {
	servers, err := c.RegionServers(ctx)
	if err != nil {
		return nil, err
	}
	queues, err := c.Queues(ctx, id)
	if err != nil && !errors.Is(err, ErrNoQueues) {
		return nil, err
	}
	wals := make(map[ServerName][]string)
	for _, q := range queues {
		if len(q.Dead) == 0 && slices.Contains(servers, q.Owner) {
			if wals[q.Owner], err = c.QueueWALs(ctx, q); err != nil {
				return nil, err
			}
		}
	}
	return wals, nil
}

// awaitOldQueues waits until each live server has a queue of the peer. One without regions has no WAL, and makes no queue.
func (c *Cluster) awaitOldQueues(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, oldPeerTimeout)
	defer cancel()
	for pause := pollMin; ; pause = min(2*pause, pollMax) {
		missing, err := c.withoutQueue(ctx, id)
		if err != nil {
			return err
		}
		if len(missing) > 0 && pause >= pollMax {
			if missing, err = c.withRegions(ctx, missing); err != nil {
				return err
			}
		}
		if len(missing) == 0 {
			return nil
		}
		if err := sleep(ctx, pause); err != nil {
			return fmt.Errorf("%s has not taken peer %s up: check that hbase.replication is true there, and that the ZooKeepers of all its peers can be reached: %w", missing[0], id, err)
		}
	}
}

func (c *Cluster) withoutQueue(ctx context.Context, id string) ([]ServerName, error) {
	servers, err := c.RegionServers(ctx)
	if err != nil {
		return nil, err
	}
	queues, err := c.liveQueues(ctx, id)
	return slices.DeleteFunc(servers, func(s ServerName) bool { return len(queues[s]) > 0 }), err
}

// withRegions lists those of the servers that hold regions, by what they have reported; that of hbase:meta has a WAL of its
// own.
func (c *Cluster) withRegions(ctx context.Context, servers []ServerName) ([]ServerName, error) {
	st, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	empty := make(map[ServerName]bool, len(st.Servers))
	for _, s := range st.Servers {
		empty[s.Name] = !slices.ContainsFunc(s.Regions, func(r RegionLoad) bool { return string(r.Name) != metaRegionName })
	}
	return slices.DeleteFunc(servers, func(s ServerName) bool { return empty[s] }), nil
}

func (c *Cluster) oldPeers(ctx context.Context) ([]Peer, error) {
	root := c.znode(oldPeersZnode)
	ids, err := c.zk.Children(ctx, root)
	if errors.Is(err, zookeeper.ErrNoNode) {
		return nil, nil
	}
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	var peers []Peer
	for _, id := range ids {
		p, err := c.oldPeer(ctx, id)
		if errors.Is(err, zookeeper.ErrNoNode) { // removed since
			continue
		}
		if err != nil {
			return nil, err
		}
		peers = append(peers, *p)
	}
	return peers, nil
}

func (c *Cluster) oldPeer(ctx context.Context, id string) (*Peer, error) {
	znode := c.znode(oldPeersZnode) + "/" + id
	config, err := c.zk.Get(ctx, znode)
	if err != nil {
		return nil, err
	}
	state, err := c.zk.Get(ctx, znode+"/"+oldPeerState)
	if err != nil && !errors.Is(err, zookeeper.ErrNoNode) { // a region server makes it, as enabled
		return nil, err
	}
	p, err := parseOldPeer(id, config, state)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", znode, err)
	}
	return p, nil
}

// parseOldPeer reads the znodes of a peer. Its configuration may be no more than a cluster key, plain; no state means enabled.
func parseOldPeer(id string, config, state []byte) (*Peer, error) {
	m, s := new(pb.ReplicationPeer), &pb.ReplicationState{State: pb.ReplicationState_ENABLED.Enum()}
	if !bytes.HasPrefix(config, []byte(protobufMagic)) {
		m.Clusterkey = proto.String(string(config))
	} else if err := zookeeper.UnmarshalPayload(config, m); err != nil {
		return nil, err
	}
	if len(state) > 0 {
		if err := zookeeper.UnmarshalPayload(state, s); err != nil {
			return nil, err
		}
	}
	bandwidth := oldBandwidth(m)
	m.Namespaces, m.ReplicateAll = nil, nil // fields of later versions
	p := peerFrom(id, s, m)
	p.Bandwidth = bandwidth
	return &p, nil
}

// oldBandwidth finds the bandwidth among the fields that 2.x does not know as they are.
func oldBandwidth(m *pb.ReplicationPeer) int64 {
	for b := m.ProtoReflect().GetUnknown(); len(b) > 0; {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return 0
		}
		size := protowire.ConsumeFieldValue(num, typ, b[n:])
		if size < 0 {
			return 0
		}
		if num == oldPeerBandwidth && typ == protowire.VarintType {
			v, _ := protowire.ConsumeVarint(b[n:])
			return int64(v)
		}
		b = b[n+size:]
	}
	return 0
}

// oldConfig is the data of the peer's znode.
func (p Peer) oldConfig() ([]byte, error) {
	switch {
	case p.Serial:
		return nil, errors.New("HBase before 2.1 has no serial peers: set hbase.peer.serial: false")
	case p.ReplicateAll != (len(p.Tables) == 0):
		return nil, errors.New("HBase before 2.0 ships all tables to a peer without a table list")
	case len(p.Namespaces) > 0 || len(p.ExcludeTables) > 0 || len(p.ExcludeNamespaces) > 0:
		return nil, errors.New("HBase before 2.0 knows only lists of tables")
	}
	m := &pb.ReplicationPeer{
		Clusterkey: &p.ClusterKey, Data: bytesPairs(p.Data), Configuration: stringPairs(p.Config), TableCfs: tableCFs(p.Tables),
	}
	if p.EndpointClass != "" {
		m.ReplicationEndpointImpl = &p.EndpointClass
	}
	data, err := proto.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode the peer: %w", err)
	}
	data = protowire.AppendTag(data, oldPeerBandwidth, protowire.VarintType)
	data = protowire.AppendVarint(data, uint64(p.Bandwidth))
	return append([]byte(protobufMagic), data...), nil
}

func oldState(enabled bool) []byte {
	state := pb.ReplicationState_DISABLED
	if enabled {
		state = pb.ReplicationState_ENABLED
	}
	b, err := proto.Marshal(&pb.ReplicationState{State: &state})
	if err != nil {
		panic(err) // an enum can always be encoded
	}
	return append([]byte(protobufMagic), b...)
}

// addOldPeer creates a peer. Its state is there from the first moment: a server that meets a peer without one enables it.
func (c *Cluster) addOldPeer(ctx context.Context, p Peer) error {
	if p.ID == "lock" || strings.ContainsAny(p.ID, "-/") {
		return fmt.Errorf("%q cannot be the id of a peer of HBase before 2.0", p.ID)
	}
	config, err := p.oldConfig()
	if err != nil {
		return err
	}
	queues, err := c.Queues(ctx, p.ID)
	if err != nil && !errors.Is(err, ErrNoQueues) {
		return err
	}
	if len(queues) > 0 {
		return fmt.Errorf("a queue of an earlier peer of this id is left on %s: its region server removes it; wait for that, or choose another hbase.peer.id", queues[0].Owner)
	}
	znode := c.znode(oldPeersZnode) + "/" + p.ID
	err = c.zk.CreateTogether(ctx, zookeeper.Node{Path: znode, Data: config}, zookeeper.Node{Path: znode + "/" + oldPeerState, Data: oldState(p.Enabled)})
	switch {
	case errors.Is(err, zookeeper.ErrNodeExists):
		if there, rerr := c.zk.Get(ctx, znode); rerr == nil && bytes.Equal(there, config) { // an answer was lost
			return nil
		}
		return fmt.Errorf("%w: %w", ErrPeerExists, err)
	case errors.Is(err, zookeeper.ErrNoNode):
		return fmt.Errorf("%w: the source does not replicate: set hbase.replication to true there", err)
	}
	return oldPeerError(err)
}

func (c *Cluster) updateOldPeer(ctx context.Context, p Peer) error {
	config, err := p.oldConfig()
	if err != nil {
		return err
	}
	return oldPeerError(c.zk.Set(ctx, c.znode(oldPeersZnode)+"/"+p.ID, config))
}

func (c *Cluster) setOldPeerState(ctx context.Context, id string, enabled bool) error {
	return oldPeerError(c.zk.Set(ctx, c.znode(oldPeersZnode)+"/"+id+"/"+oldPeerState, oldState(enabled)))
}

// deleteOldPeer deletes the znodes of a peer. ErrPeerNotFound.
func (c *Cluster) deleteOldPeer(ctx context.Context, id string) error {
	znode := c.znode(oldPeersZnode) + "/" + id
	if _, err := c.zk.Get(ctx, znode); err != nil {
		return oldPeerError(err)
	}
	children, err := c.zk.Children(ctx, znode)
	if err != nil {
		return oldPeerError(err)
	}
	var all []string
	for _, child := range children {
		all = append(all, znode+"/"+child)
	}
	return oldPeerError(c.zk.DeleteTogether(ctx, append(all, znode)...))
}

// removeOldPeer removes a peer and waits for a while until the region servers have removed its queues.
func (c *Cluster) removeOldPeer(ctx context.Context, id string) error {
	if _, err := c.removeProbes(ctx, id); err != nil { // first: who is killed here finds the peer still there
		return err
	}
	if err := c.deleteOldPeer(ctx, id); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, oldQueuesTimeout)
	defer cancel()
	for {
		queues, err := c.Queues(ctx, id)
		if len(queues) == 0 || err != nil { // the peer is gone, whatever is left
			return nil
		}
		if sleep(ctx, retryMin) != nil {
			c.cfg.Logger.Warn("a queue of the removed peer is left", "peer", id, "server", queues[0].Owner.String())
			return nil
		}
	}
}

// oldPeerError says what an operator can do about an error of ZooKeeper.
func oldPeerError(err error) error {
	switch {
	case errors.Is(err, zookeeper.ErrNoNode):
		return fmt.Errorf("%w: %w", ErrPeerNotFound, err)
	case errors.Is(err, zookeeper.ErrNoAuth):
		return fmt.Errorf("%w: ZooKeeper lets only HBase itself change its peers: make the change in the HBase shell (for the connector: hbase.peer.create: false)", err)
	}
	return err
}
