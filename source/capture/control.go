package capture

import (
	"context"
	"errors"
	"fmt"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/zookeeper"
	"github.com/waltap/waltap/source/watermark"
)

// PeerState is what a connector's peer is at a moment.
type PeerState string

// The states of a peer.
const (
	PeerEnabled  PeerState = "enabled"
	PeerDisabled PeerState = "disabled"
	PeerAbsent   PeerState = "absent"
)

// Control changes the peer, and deletes the snapshots, of a connector that does not run. Only cfg's connection, connector and peer count; Stats may be nil.
type Control struct{ c *Capture }

// OpenControl connects to the source.
func OpenControl(ctx context.Context, cfg Config) (*Control, error) {
	p := &process{cfg: cfg}
	if cfg.detached() {
		return &Control{&Capture{process: p}}, nil
	}
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	return &Control{&Capture{process: p}}, nil
}

// Close ends the connection.
func (k *Control) Close() {
	if k.c.cluster != nil {
		k.c.cluster.Close()
	}
}

// unpeered tells that the connector has no peer which is ours to change.
func (k *Control) unpeered() bool { return !k.c.cfg.PeerCreate || k.c.cfg.detached() }

// Peer looks at the peer. That the id is someone else's is an error.
func (k *Control) Peer(ctx context.Context) (PeerState, error) {
	if k.c.cfg.detached() {
		return PeerAbsent, nil
	}
	p, err := k.c.findPeer(ctx)
	switch {
	case err != nil:
		return "", err
	case p == nil:
		return PeerAbsent, nil
	case p.Enabled:
		return PeerEnabled, nil
	}
	return PeerDisabled, nil
}

// Disable makes HBase keep its WALs for the peer and cease to call; changed is false when it was so, or there is no peer. A peer of
// the operator's (hbase.peer.create: false) is left alone.
func (k *Control) Disable(ctx context.Context) (changed bool, err error) {
	return k.change(ctx, true, k.c.cfg.PeerID, (*admin.Cluster).DisablePeer)
}

// Enable takes Disable back.
func (k *Control) Enable(ctx context.Context) (changed bool, err error) {
	return k.change(ctx, false, k.c.cfg.PeerID, (*admin.Cluster).EnablePeer)
}

func (k *Control) change(ctx context.Context, enabled bool, id string, f func(*admin.Cluster, context.Context, string) error) (changed bool, err error) {
	if k.unpeered() {
		return false, nil
	}
	p, err := k.c.findPeer(ctx)
	if err != nil || p == nil || p.Enabled != enabled {
		return false, err
	}
	return true, k.c.alone(ctx, "", func(ctx context.Context) error { return f(k.c.cluster, ctx, id) })
}

// DropSnapshots deletes what is left of the snapshots that the connector has made, and returns their names.
func (k *Control) DropSnapshots(ctx context.Context) ([]string, error) {
	if k.c.cfg.detached() {
		return nil, nil
	}
	return DropSnapshots(ctx, k.c.cluster, k.c.cfg.Connector, k.c.cfg.TopicPrefix, k.c.cfg.PeerRoot)
}

// Remove removes the peer, its heartbeat table and the virtual cluster's znodes. A peer of the operator's stays.
func (k *Control) Remove(ctx context.Context) error {
	if k.unpeered() {
		return nil
	}
	p, err := k.c.findPeer(ctx)
	if err != nil {
		return err
	}
	if p != nil {
		err := k.c.alone(ctx, "", func(ctx context.Context) error { return k.c.cluster.RemovePeer(ctx, p.ID) })
		if err != nil && !errors.Is(err, admin.ErrPeerNotFound) {
			return fmt.Errorf("remove peer %s: %w", p.ID, err)
		}
	}
	if _, err := watermark.DropTable(ctx, k.c.cluster, k.c.cfg.PeerID); err != nil {
		return fmt.Errorf("drop the heartbeat table of peer %s: %w", k.c.cfg.PeerID, err)
	}
	zk, err := zookeeper.Connect(ctx, k.c.cfg.PeerQuorum, k.c.cfg.PeerSessionTimeout, k.c.cfg.Log)
	if err != nil {
		return fmt.Errorf("remove the virtual cluster: %w", err)
	}
	defer zk.Close()
	_, err = zookeeper.RemoveCluster(ctx, zk, k.c.cfg.PeerRoot)
	return err
}
