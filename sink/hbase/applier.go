// Package hbase is the sink room that writes to an HBase cluster by mutations, as a client does (package mutate): every cell type with its
// timestamp, its TTL and the list of clusters the change has passed. Cells with tags that servers take from no client, and all of them
// when it is so configured, go by AdminService.ReplicateWALEntry, the call by which HBase's own replication writes; it hands the cells to
// their regions itself. Where the cluster does not serve that call to us they go by mutations, too.
package hbase

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/mutate"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
)

// Mode is how changes are written.
type Mode string

// The modes. The zero Mode is Auto.
const (
	Auto        Mode = "auto"        // Mutation; for cells with tags that no client may write Replication, until the target refuses that
	Replication Mode = "replication" // AdminService.ReplicateWALEntry
	Mutation    Mode = "mutation"    // puts and deletes by ClientService
)

// Config of an Applier.
type Config struct {
	Target      admin.Config
	Descriptors *sink.Descriptors // nil: none, where Create is off
	Mapping     schema.Mapping
	// Consumes tells the topics that are consumed: no two of their tables may become one at the target. Nil: all of the source's.
	Consumes func(topic string) bool
	Mode     Mode
	// NoOverwrite leaves columns that have a value at the target alone, see fill. It needs Auto or Mutation.
	NoOverwrite bool
	Create      bool // create tables as the source's descriptor says
	Evolve      bool // add to tables that are there what the source's descriptor has more
	// LatePutWindow, unless 0, is how long the tables keep delete markers, so that a put that arrives after a newer delete
	// stays hidden whatever is compacted meanwhile.
	LatePutWindow time.Duration
	CallTimeout   time.Duration // of one call that writes; default 60s
	// Looped is told of changes that were left out because they have been at the target already.
	Looped func(changes int)
	// SchemaChanged is told of each table that was created or altered at the target.
	SchemaChanged func()
	// Kept is told of cells that were left out because of NoOverwrite.
	Kept func(cells int)
	Log  *slog.Logger
}

// Applier applies batches to one cluster. It is safe for concurrent use.
type Applier struct {
	cfg     Config
	cluster *admin.Cluster
	id      schema.UUID
	writer  *mutate.Writer
	way     atomic.Int32 // of Auto: what is known of it

	mapped   sync.Pool // *[]mapped
	builders sync.Pool // *callBuilder
	chunks   sync.Pool // *chunk

	mu      sync.Mutex
	ready   map[string]*table // by name at the source; those that stand at the target
	sources map[string]string // what has become a table at the target
	servers []admin.ServerName
	version string // of the target's HBase; "": not asked yet
}

var _ sink.Applier = (*Applier)(nil)

// Open connects to the target; ctx bounds the connecting.
func Open(ctx context.Context, cfg Config) (*Applier, error) {
	if cfg.CallTimeout <= 0 {
		cfg.CallTimeout = time.Minute
	}
	if cfg.Mode == "" {
		cfg.Mode = Auto
	}
	if cfg.NoOverwrite && cfg.Mode == Replication {
		return nil, errors.New("replication overwrites: what must not be overwritten is written by mutations")
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
	return &Applier{cfg: cfg, cluster: cluster, id: id, writer: mutate.New(cluster, cfg.CallTimeout),
		mapped:   sync.Pool{New: func() any { return new([]mapped) }},
		builders: sync.Pool{New: func() any { return new(callBuilder) }}, chunks: sync.Pool{New: func() any { return new(chunk) }},
		ready: make(map[string]*table), sources: make(map[string]string)}, nil
}

// Close closes the connections.
func (a *Applier) Close() error { return a.cluster.Close() }

// mapped is a change with its table at the target.
type mapped struct {
	*schema.Change
	to        *table
	size      int  // about what its cells occupy in a call: a family may have a longer name at the target
	mutations int  // that a region server makes of it: one for each run of cells of one type
	reserved  bool // see hasReservedTags
}

// cellOverhead is what a cell has in a call beside its parts.
const cellOverhead = 26

// to is c with its table.
func to(t *table, c *schema.Change) mapped {
	m := mapped{Change: c, to: t, mutations: 1}
	for i := range c.Cells {
		k := &c.Cells[i]
		m.size += cellOverhead + len(c.Row) + len(k.Family) + len(k.Qualifier) + len(k.Value) + len(k.Tags)
		if i > 0 && k.Type != c.Cells[i-1].Type {
			m.mutations++
		}
		m.reserved = m.reserved || len(k.Tags) > 0 && hasReservedTags(k.Tags)
	}
	return m
}

// hasReservedTags tells whether there is a tag other than a TTL: where the target checks cell ACLs or visibility labels it takes those from
// its own servers only.
func hasReservedTags(tags []byte) bool {
	for t, err := range cell.Tags(tags) {
		if err != nil || t.Type != cell.TagTTL {
			return true
		}
	}
	return false
}

// alike tells whether other is of the same table, and of no other family than the first of c: what was found for c holds for it.
func (c mapped) alike(other *schema.Change) bool {
	if c.Change == nil || c.Table != other.Table {
		return false
	}
	for i := range other.Cells {
		if !bytes.Equal(other.Cells[i].Family, c.Cells[0].Family) {
			return false
		}
	}
	return true
}

// Apply implements sink.Applier. Calls that may share a row are made one after the other: the order of a row's changes holds.
func (a *Applier) Apply(ctx context.Context, b *sink.Batch) error {
	looped := 0
	room := a.mapped.Get().(*[]mapped)
	changes := (*room)[:0]
	defer func() {
		clear(changes) // they are the caller's
		*room = changes
		a.mapped.Put(room)
	}()
	var last mapped // that was looked up
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
		if !last.alike(c) {
			found, err := a.table(ctx, b.Topic, c)
			if err != nil {
				var refused *refusal // on the heap: not for each change
				if errors.As(err, &refused) {
					return &sink.RefusedError{Change: i, Err: err}
				}
				return err
			}
			last = mapped{Change: c, to: found}
		}
		changes = append(changes, to(last.to, c))
	}
	if err := a.write(ctx, changes); err != nil {
		return a.explain(b, err)
	}
	if looped > 0 && a.cfg.Looped != nil {
		a.cfg.Looped(looped)
	}
	return nil
}

// write writes changes in the way that is configured, or found to work.
func (a *Applier) write(ctx context.Context, changes []mapped) error {
	switch {
	case len(changes) == 0:
		return nil
	case a.cfg.NoOverwrite:
		return a.fill(ctx, changes)
	case a.cfg.Mode == Replication:
		return a.replicate(ctx, changes)
	case a.cfg.Mode == Auto:
		return a.auto(ctx, changes)
	}
	return a.mutate(ctx, changes)
}

// explain finds out what a failed batch means. A table or a family that is not there any more is looked at again at the
// next try: what then is missing is refused by name.
func (a *Applier) explain(b *sink.Batch, err error) error {
	if errors.Is(err, admin.ErrTableNotFound) || mentions(err, "TableNotFoundException") || mentions(err, "NoSuchColumnFamilyException") {
		a.mu.Lock()
		defer a.mu.Unlock()
		for i := range b.Changes {
			delete(a.ready, b.Changes[i].Table)
		}
		return err
	}
	if why, refused := refusedByServer(err); refused {
		return &sink.RefusedError{Change: -1, Err: why}
	}
	return err
}
