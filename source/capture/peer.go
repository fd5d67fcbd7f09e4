package capture

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/source/replication"
	"github.com/waltap/waltap/source/watermark"
)

// Keys in the CONFIG of a peer of ours.
const (
	// MarkKey holds the connector's name. Only a peer that carries it is ours to change or to remove.
	MarkKey = replication.MarkKey
	// captureKey holds captureState.CaptureID.
	captureKey = replication.CaptureKey
)

// ErrRescanRequired says that changes of the source are lost to this connector, so that only a new full scan makes
// the copy whole again.
var ErrRescanRequired = errors.New("RESNAPSHOT_REQUIRED")

func newCaptureID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}

// findPeer returns the connector's peer, nil when there is none, and an error when the id is taken by someone else.
func (c *Capture) findPeer(ctx context.Context) (*admin.Peer, error) {
	peers, err := c.cluster.Peers(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the source's peers: %w", err)
	}
	i := slices.IndexFunc(peers, func(p admin.Peer) bool { return p.ID == c.cfg.PeerID })
	if i < 0 {
		return nil, nil
	}
	p := &peers[i]
	if !c.cfg.PeerCreate {
		return p, nil
	}
	switch owner, marked := p.Config[MarkKey]; {
	case !marked:
		return nil, fmt.Errorf("hbase.peer.id: peer %q exists on the source and was not made by waltap (cluster key %s); choose another hbase.peer.id", p.ID, p.ClusterKey)
	case owner != c.cfg.Connector:
		return nil, fmt.Errorf("hbase.peer.id: peer %q belongs to the waltap connector %q; choose another hbase.peer.id, or remove the peer with: waltap peer remove", p.ID, owner)
	case p.ClusterKey != c.clusterKey():
		return nil, fmt.Errorf("hbase.peer.zookeeper.quorum, hbase.peer.znode.parent: peer %q points to %s, not to %s as configured; HBase cannot change that: restore the keys, or remove the peer with: waltap peer remove %s (a new full scan follows)",
			p.ID, p.ClusterKey, c.clusterKey(), p.ID)
	case p.Serial != c.cfg.PeerSerial:
		return nil, fmt.Errorf("hbase.peer.serial: peer %q was created with SERIAL => %t, and HBase knows the order of a table's edits over region moves only from when a peer became serial: set hbase.peer.serial: %t, or remove the peer with: waltap peer remove %s (a new full scan follows)",
			p.ID, p.Serial, p.Serial, p.ID)
	}
	return p, nil
}

// addPeerCommand is what an operator types to make the peer by hand.
func (c *Capture) addPeerCommand() string {
	var tables []string
	for _, t := range c.tables {
		tables = append(tables, fmt.Sprintf("'%s' => ['%s']", t.name, strings.Join(t.families, "', '")))
	}
	serial := ""
	if c.cfg.PeerSerial {
		serial = ", SERIAL => true"
	}
	return fmt.Sprintf("add_peer '%s', CLUSTER_KEY => '%s', TABLE_CFS => { %s }, CONFIG => { 'hbase.replication.rpc.codec' => '%s' }%s",
		c.cfg.PeerID, c.clusterKey(), strings.Join(tables, ", "), cell.KeyValueCodecWithTags.Class(), serial)
}

// awaitPeer waits until every region server treats what is written from now on by the peer as it is. Scans begin behind it:
// what was written before is theirs to see. It is done again when a start finds the peer as it should be: a process may have
// ended between the change of the peer and this.
func (c *Capture) awaitPeer(ctx context.Context) error {
	if !c.cfg.PeerCreate {
		return nil
	}
	return c.cluster.AwaitPeer(ctx, c.cfg.PeerID)
}

// clusterKey is how HBase names the virtual cluster.
func (c *Capture) clusterKey() string {
	return replication.ClusterKey(c.cfg.PeerQuorum, c.cfg.PeerRoot)
}

// peer is our peer as it should be.
func (c *Capture) peer(captureID string) admin.Peer {
	tables := make(map[string][]string, len(c.tables))
	for _, t := range c.tables {
		if tables[t.name] = nil; !c.wholeTable() {
			tables[t.name] = t.families
		}
	}
	if c.heartbeats != "" {
		tables[c.heartbeats] = []string{watermark.Family}
	}
	return admin.Peer{
		ID: c.cfg.PeerID, ClusterKey: c.clusterKey(), Tables: tables, Serial: c.cfg.PeerSerial,
		Config: map[string]string{
			MarkKey: c.cfg.Connector, captureKey: captureID,
			// Whatever the source's default is: tags travel, nothing is compressed.
			"hbase.replication.rpc.codec": cell.KeyValueCodecWithTags.Class(),
			"hbase.client.rpc.compressor": "",
		},
	}
}

// sameTables tells whether the peer carries exactly the captured tables, and of those that are narrowed the families.
func (c *Capture) sameTables(p *admin.Peer) bool {
	want := c.peer("").Tables
	return maps.EqualFunc(p.Tables, want, func(a, b []string) bool {
		a, b = slices.Clone(a), slices.Clone(b)
		slices.Sort(a)
		slices.Sort(b)
		return slices.Equal(a, b)
	})
}
