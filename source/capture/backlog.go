package capture

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/source/watermark"
)

// confTimeout bounds the reading of one region server's configuration.
const confTimeout = 2 * time.Second

// Backlog is what the source keeps for its peers, and what its region servers report of shipping to ours. Times are ms by the
// servers' clocks.
type Backlog struct {
	Queued bool // false: HBase 3 does not keep its queues in ZooKeeper; then WALs is what the servers report
	WALs   int  // in our peer's queues, those that are being written among them
	Oldest int64
	// OthersOldest is Oldest of all peers but ours.
	OthersOldest int64

	Reported         bool // false: no server has reported anything of our peer
	AgeOfLastShipped time.Duration
	Lag              time.Duration
	LastShipped      int64 // of the server that is furthest behind; 0: one has shipped nothing yet
}

// Backlog looks at the replication queues and asks the master for what the region servers have reported.
func (k *Control) Backlog(ctx context.Context) (b Backlog, err error) {
	if k.c.cfg.detached() { // nothing is kept for anybody
		return b, nil
	}
	if err := k.queues(ctx, &b); err != nil && !errors.Is(err, admin.ErrNoQueues) {
		return b, err
	}
	st, err := k.c.cluster.Status(ctx)
	if err != nil {
		return b, err
	}
	b.report(st, k.c.cfg.PeerID)
	return b, nil
}

func (k *Control) queues(ctx context.Context, b *Backlog) error {
	queues, err := k.c.cluster.AllQueues(ctx)
	if err != nil {
		return err
	}
	b.Queued = true
	for _, q := range queues {
		wals, err := k.c.cluster.QueueWALs(ctx, q)
		if err != nil {
			return err
		}
		oldest := &b.OthersOldest
		if q.Peer == k.c.cfg.PeerID {
			oldest = &b.Oldest
			b.WALs += len(wals)
		}
		if begun, ok := watermark.Unshipped(q, wals); ok && (*oldest == 0 || begun < *oldest) {
			*oldest = begun
		}
	}
	return nil
}

// report adds what the region servers have told their master.
func (b *Backlog) report(st *admin.Status, peer string) {
	for _, s := range st.Servers {
		for _, r := range s.Replication {
			if r.PeerID != peer {
				continue
			}
			shipped := int64(min(r.LastShipped, 1<<62))
			if !b.Reported || shipped < b.LastShipped {
				b.LastShipped = shipped
			}
			b.Reported = true
			b.AgeOfLastShipped = max(b.AgeOfLastShipped, milliseconds(r.AgeOfLastShipped))
			b.Lag = max(b.Lag, milliseconds(r.Lag))
			if !b.Queued {
				b.WALs += int(r.LogQueue)
			}
		}
	}
}

// milliseconds is a duration that a server has reported; HBase reports the largest long where it knows none.
func milliseconds(ms uint64) time.Duration {
	const most = uint64(1<<63-1) / uint64(time.Millisecond)
	if ms > most {
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

// RollSize is how large a WAL of the source gets before it is rolled, bytes, as one of its region servers shows it; HBase's default
// where none does.
func (k *Control) RollSize(ctx context.Context) (int64, error) {
	if k.c.cfg.detached() {
		return 0, nil
	}
	servers, err := k.c.cluster.RegionServers(ctx)
	if err != nil {
		return 0, fmt.Errorf("list the region servers: %w", err)
	}
	for _, s := range servers {
		info, err := k.c.cluster.ServerInfo(ctx, s)
		if err != nil || info.InfoPort == 0 {
			continue // another one may show it
		}
		cctx, cancel := context.WithTimeout(ctx, confTimeout)
		values, err := readConf(cctx, "http://"+net.JoinHostPort(s.Host, strconv.Itoa(info.InfoPort)))
		cancel()
		if err == nil {
			return serverConfs{{s, values}}.rollSize(), nil
		}
		break // one that does not answer in time is enough
	}
	return defaultRollSize, nil
}
