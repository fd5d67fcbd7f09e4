// Package hbase is the sink room that writes to an HBase cluster by AdminService.ReplicateWALEntry, the call by
// which HBase's own replication writes: it takes every cell type with its timestamp, tags and the list of
// clusters the change has passed, and hands the cells to their regions itself.
package hbase

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
)

// Config of an Applier.
type Config struct {
	Target      admin.Config
	Descriptors *sink.Descriptors
	Renames     schema.Renames
	Create      bool // create tables and add families as the source's descriptor says
	// LatePutWindow, unless 0, is how long the tables keep delete markers, so that a put that arrives after a newer delete
	// stays hidden whatever is compacted meanwhile.
	LatePutWindow time.Duration
	CallTimeout   time.Duration // of one ReplicateWALEntry; default 60s
	// Looped is told of changes that were left out because they have been at the target already.
	Looped func(changes int)
	Log    *slog.Logger
}

// Applier applies batches to one cluster. It is safe for concurrent use.
type Applier struct {
	cfg     Config
	cluster *admin.Cluster
	id      schema.UUID

	mu      sync.Mutex
	ready   map[string]*tableAtTarget // tables of the source that stand at the target
	servers []admin.ServerName
}

var _ sink.Applier = (*Applier)(nil)

// Open connects to the target; ctx bounds the connecting.
func Open(ctx context.Context, cfg Config) (*Applier, error) {
	if cfg.CallTimeout <= 0 {
		cfg.CallTimeout = time.Minute
	}
	cluster, err := admin.Open(ctx, cfg.Target)
	if err != nil {
		return nil, fmt.Errorf("connect to the destination: %w", err)
	}
	id, err := schema.ParseUUID(cluster.ID())
	if err != nil {
		cluster.Close()
		return nil, fmt.Errorf("read the destination's cluster id: %w", err)
	}
	return &Applier{cfg: cfg, cluster: cluster, id: id, ready: make(map[string]*tableAtTarget)}, nil
}

// Close closes the connections.
func (a *Applier) Close() error { return a.cluster.Close() }

// Apply implements sink.Applier. Calls of one batch are made one after the other: the order of a row's changes holds.
func (a *Applier) Apply(ctx context.Context, b *sink.Batch) error {
	looped := 0
	calls := callBuilder{renames: a.cfg.Renames}
	for i := range b.Changes {
		c := &b.Changes[i]
		if len(c.Cells) == 0 {
			continue
		}
		if slices.Contains(c.Source.Origins, a.id) {
			looped++
			continue
		}
		if err := checkChange(c); err != nil {
			return &sink.RefusedError{Change: i, Err: err}
		}
		if err := a.ensure(ctx, b.Topic, c); err != nil {
			var refused *refusal
			if errors.As(err, &refused) {
				return &sink.RefusedError{Change: i, Err: err}
			}
			return err
		}
		calls.add(c)
	}
	for _, call := range calls.finish() {
		if err := a.send(ctx, call); err != nil {
			return a.explain(b, err)
		}
	}
	if looped > 0 && a.cfg.Looped != nil {
		a.cfg.Looped(looped)
	}
	return nil
}

// send makes one call to any region server: the one asked hands the cells to the regions' own.
func (a *Applier) send(ctx context.Context, c *call) error {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.CallTimeout)
	defer cancel()
	server, err := a.server(ctx)
	if err != nil {
		return err
	}
	conn, err := a.cluster.Admin(ctx, server)
	if err != nil {
		a.forgetServers()
		return fmt.Errorf("connect to region server %s: %w", server, err)
	}
	_, err = conn.Call(ctx, "ReplicateWALEntry", c.request, c.cells, &pb.ReplicateWALEntryResponse{})
	if err != nil {
		var remote *rpc.RemoteError
		if !errors.As(err, &remote) {
			a.forgetServers()
		}
		return fmt.Errorf("replicate to region server %s: %w", server, err)
	}
	return nil
}

func (a *Applier) server(ctx context.Context) (admin.ServerName, error) {
	a.mu.Lock()
	servers := a.servers
	a.mu.Unlock()
	if len(servers) == 0 {
		var err error
		if servers, err = a.cluster.RegionServers(ctx); err != nil {
			return admin.ServerName{}, fmt.Errorf("list the destination's region servers: %w", err)
		}
		if len(servers) == 0 {
			return admin.ServerName{}, errors.New("the destination has no live region server")
		}
		a.mu.Lock()
		a.servers = servers
		a.mu.Unlock()
	}
	return servers[rand.IntN(len(servers))], nil
}

func (a *Applier) forgetServers() {
	a.mu.Lock()
	a.servers = nil
	a.mu.Unlock()
}

// explain finds out what a failed batch means. A table or a family that is not there any more is looked at again at the
// next try: what then is missing is refused by name.
func (a *Applier) explain(b *sink.Batch, err error) error {
	for _, class := range []string{"TableNotFoundException", "NoSuchColumnFamilyException"} {
		if mentions(err, class) {
			a.mu.Lock()
			for i := range b.Changes {
				delete(a.ready, b.Changes[i].Table)
			}
			a.mu.Unlock()
			return err
		}
	}
	if why, refused := refusedByServer(err); refused {
		return &sink.RefusedError{Change: -1, Err: why}
	}
	return err
}
