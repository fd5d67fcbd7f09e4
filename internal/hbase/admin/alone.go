package admin

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/waltap/waltap/internal/hbase/zookeeper"
)

// peerLocks holds a lock for each cluster, by its id, in that cluster's own ZooKeeper.
const peerLocks = "/waltap-peer-locks"

// PeerLock says who changes the peers of a cluster.
type PeerLock struct {
	// Owner names who it is, for those who wait; see zookeeper.LockConfig.
	Owner string
	// Fallback is the ZooKeeper that has the lock when the cluster's own one does not let us create it.
	Fallback []string
	// Waiting, when set, is told who holds the lock.
	Waiting func(holder string)
	// SessionTimeout is how long one that died keeps the others waiting; default 10s.
	SessionTimeout time.Duration
}

// ErrPeerLockLost says that another waltap may have begun to change the cluster's peers.
var ErrPeerLockLost = errors.New("the lock of peer changes was lost (its ZooKeeper session expired, or its znode was removed): start again")

// Alone runs change, which rolls WALs, or adds, updates or disables a peer, while no other waltap does so at this cluster.
//
// HBase takes a WAL twice into the queue of a source that begins (a peer is added; updated or disabled: its sources begin
// anew) while a region server rolls its WAL. In ReplicationSourceManager (2.1.10, 2.4.18, 2.6.4):
//
//	preLogRoll    the new WAL is the latest of its group, and in the queue of each peer, in ZooKeeper and in memory
//	addSource     the source begins with the latest WAL          (refreshSources: with those in the queue)
//	postLogRoll   the new WAL is handed to each source, the one that has it included
//
// When its first copy is shipped and the WAL has been rolled, its znode goes; the end of the second copy's finds none, and the
// region server aborts itself: "Failed to operate on replication queue", "Failed to set log position … NoNode". So nobody may
// add a peer while someone else's roll is under way. What HBase rolls by itself, for size or age, cannot be kept away.
func (c *Cluster) Alone(ctx context.Context, l PeerLock, change func(context.Context) error) error {
	lock, err := c.lockPeers(ctx, l)
	if err != nil {
		return err
	}
	cctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-lock.Lost():
			cancel(ErrPeerLockLost)
		case <-cctx.Done():
		}
	}()
	err = change(cctx)
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(cctx), ErrPeerLockLost) {
		err = fmt.Errorf("%w: %w", ErrPeerLockLost, err)
	}
	if rerr := lock.Release(); rerr != nil {
		c.cfg.Logger.Debug("release the lock of peer changes", "error", rerr) // its session ends by itself
	}
	return err
}

func (c *Cluster) lockPeers(ctx context.Context, l PeerLock) (*zookeeper.Lock, error) {
	cfg := zookeeper.LockConfig{
		Quorum: c.cfg.Quorum, Znode: path.Join(peerLocks, c.id), Owner: l.Owner,
		SessionTimeout: l.SessionTimeout, Waiting: l.Waiting, Log: c.cfg.Logger,
	}
	lock, err := zookeeper.AcquireLock(ctx, cfg)
	if errors.Is(err, zookeeper.ErrNoAuth) && len(l.Fallback) > 0 {
		c.cfg.Logger.Warn("the source's ZooKeeper refuses the lock of peer changes; the one of the virtual cluster has it: all connectors of this source must use the same",
			"znode", cfg.Znode, "quorum", strings.Join(l.Fallback, ","), "error", err)
		cfg.Quorum = l.Fallback
		lock, err = zookeeper.AcquireLock(ctx, cfg)
	}
	if err != nil {
		return nil, fmt.Errorf("wait until no other waltap changes peers of this cluster: %w", err)
	}
	return lock, nil
}
