package watermark

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
)

// estimate takes the watermark from what the region servers report to their master about our peer's queues, and what
// ZooKeeper shows of these. It is 0, with what it waits for, while they say nothing about it.
func (w *Watermark) estimate(ctx context.Context, list servers) (at int64, waits string, err error) {
	p, err := w.cfg.Cluster.Peer(ctx, w.cfg.PeerID)
	if err != nil {
		return 0, "", err
	}
	if !p.Enabled { // no metric shows the backlog then
		return 0, fmt.Sprintf("peer %s to be enabled", p.ID), nil
	}
	behind := make(map[admin.ServerName]int64)
	for _, q := range list.queues {
		if s := writer(q); !slices.Contains(list.Live, s) {
			return 0, fmt.Sprintf("the queue of %s, which is gone, to be shipped", s), nil
		}
		wals, err := w.cfg.Cluster.QueueWALs(ctx, q)
		if err != nil {
			return 0, "", err
		}
		if begun, ok := oldest(q.Owner, wals); ok {
			behind[q.Owner] = begun
		}
	}
	st, err := w.cfg.Cluster.Status(ctx)
	if err != nil {
		return 0, "", err
	}
	at, waits = estimateOf(st, w.cfg.PeerID, behind)
	return min(at, time.Now().UnixMilli()), waits, nil
}

// Unshipped returns when the oldest WAL of a queue was begun that is not shipped to its end and is not being written any more, ms by
// the clock of the server that wrote it. ok is false when there is none: then at most the WALs that are being written wait.
func Unshipped(q admin.Queue, wals []string) (ms int64, ok bool) {
	if len(q.Dead) == 0 {
		return oldest(q.Owner, wals)
	}
	for _, name := range wals { // nobody writes to them
		if begun, known := WALBegun(q, name); known && (!ok || begun < ms) {
			ms, ok = begun, true
		}
	}
	return ms, ok
}

// oldest returns when the oldest WAL was begun that has a successor, ms by the server's clock: it is not shipped to its end,
// all before it are. ok is false when there is none.
func oldest(s admin.ServerName, wals []string) (ms int64, ok bool) {
	groups := make(map[string]int64)
	for _, name := range wals {
		group, begun, known := walName(s, name)
		if !known {
			continue
		}
		if other, second := groups[group]; second {
			begun = min(begun, other)
			if !ok || begun < ms {
				ms, ok = begun, true
			}
		}
		groups[group] = begun
	}
	return ms, ok
}

// estimateOf: a source with nothing to ship stands at its server's last report, another one at the newest edit it has
// shipped. behind bounds servers that have not shipped an older WAL to its end. What a source has not read yet shows nowhere:
// that is one reason why this is an estimate.
func estimateOf(st *admin.Status, peer string, behind map[admin.ServerName]int64) (at int64, waits string) {
	if len(st.Servers) == 0 {
		return 0, "a region server"
	}
	for _, s := range st.Servers {
		mark, known := s.Reported, false
		if begun, ok := behind[s.Name]; ok {
			mark = min(mark, begun)
		}
		for _, r := range s.Replication {
			if r.PeerID != peer {
				continue
			}
			known = true
			switch shipped, next := int64(min(r.LastShipped, 1<<62)), int64(min(r.NextToShip, 1<<62)); {
			case next > shipped && shipped == 0: // its batch may begin anywhere
				return 0, fmt.Sprintf("the first batch of %s to be shipped", s.Name)
			case next > shipped:
				mark = min(mark, shipped)
			case next == 0: // before HBase 2.3
				mark = min(mark, s.Reported-int64(min(r.Lag, 1<<62)))
			}
		}
		if !known || s.Reported == 0 {
			return 0, fmt.Sprintf("a report of %s about peer %s", s.Name, peer)
		}
		if at == 0 || mark < at {
			at = mark
		}
	}
	return at, ""
}
