package watermark

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/waltap/waltap/internal/hbase/admin"
)

// servers is the source's servers and what its replication queues tell of them.
type servers struct {
	Servers
	queues     []admin.Queue
	unprovable string // why heartbeats prove nothing here; "": they do
	unknown    string // what has to be known before they do; "": nothing
}

// servers lists the live servers first, then the queues: a server that dies in between has a queue.
func (w *Watermark) servers(ctx context.Context) (servers, error) {
	live, err := w.cfg.Cluster.RegionServers(ctx)
	if err != nil {
		return servers{}, err
	}
	list := servers{Servers: Servers{Live: live}}
	if w.cfg.Mode == Metrics {
		list.unprovable = w.cfg.Reason
		if list.unprovable == "" {
			list.unprovable = "watermark.mode: metrics"
		}
	}
	list.queues, err = w.cfg.Cluster.Queues(ctx, w.cfg.PeerID)
	if errors.Is(err, admin.ErrNoQueues) {
		list.unprovable = "this version of HBase does not keep its replication queues in ZooKeeper"
		return list, nil
	}
	if err != nil {
		return servers{}, err
	}
	for _, q := range list.queues {
		list.Waiting = append(list.Waiting, q.Owner)
		list.Waiting = append(list.Waiting, q.Dead...)
	}
	if list.unprovable != "" {
		return list, nil
	}
	return list, w.checkWALs(ctx, &list)
}

// checkWALs looks once at each server for several WALs at a time (multiwal), before anything of it counts as proved: one
// heartbeat says nothing about the other WALs.
func (w *Watermark) checkWALs(ctx context.Context, list *servers) error {
	for _, q := range list.queues {
		s := writer(q)
		if _, known := w.several[s]; known {
			continue
		}
		wals, err := w.cfg.Cluster.QueueWALs(ctx, q)
		if err != nil {
			return err
		}
		if len(wals) > 0 {
			w.several[s] = several(s, wals)
		}
	}
	all := slices.Concat(list.Live, list.Waiting)
	slices.SortFunc(all, func(a, b admin.ServerName) int { return strings.Compare(a.String(), b.String()) })
	for _, s := range all {
		many, known := w.several[s]
		switch {
		case many && list.unprovable == "":
			list.unprovable = fmt.Sprintf("%s writes several WALs at a time (hbase.wal.provider=multiwal)", s)
		case !known && list.unknown == "":
			list.unknown = fmt.Sprintf("a WAL in the queue of %s", s)
		}
	}
	maps.DeleteFunc(w.several, func(s admin.ServerName, _ bool) bool { return !slices.Contains(all, s) })
	return nil
}

// writer is the server that has written the WALs of a queue.
func writer(q admin.Queue) admin.ServerName {
	if len(q.Dead) > 0 {
		return q.Dead[0]
	}
	return q.Owner
}

// several tells whether the WALs, of which there is at least one, are those of a server that writes more than one at a time.
// HBase names them "<server>.<time>" (1.x: "<server>.default.<time>"), with more than one "<server>.<group>.<time>",
// "<server>" in the encoding of URLs. Names of another form are taken for several.
func several(s admin.ServerName, wals []string) bool {
	return slices.ContainsFunc(wals, func(name string) bool {
		group, _, ok := walName(s, name)
		return !ok || group != "" && group != "default"
	})
}

// WALBegun is when a WAL in a queue of q's was begun, ms by its server's clock; ok is false when its name does not say.
func WALBegun(q admin.Queue, name string) (ms int64, ok bool) {
	_, ms, ok = walName(writer(q), name)
	return ms, ok
}

// walName takes a WAL's name apart: its group, "" for none, and when it was begun, ms by the server's clock.
func walName(s admin.ServerName, name string) (group string, begun int64, ok bool) {
	rest, ok := strings.CutPrefix(name, url.QueryEscape(s.String())+".")
	if !ok {
		return "", 0, false
	}
	if i := strings.LastIndexByte(rest, '.'); i >= 0 {
		group, rest = rest[:i], rest[i+1:]
	}
	begun, err := strconv.ParseInt(rest, 10, 64)
	return group, begun, err == nil
}
