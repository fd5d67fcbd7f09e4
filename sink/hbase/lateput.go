package hbase

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/descriptor"
)

// What a table's attributes say about the window: see package descriptor.
const (
	purgeKey       = descriptor.PurgeKey
	PurgeBeforeKey = descriptor.PurgeBeforeKey
	NotSet         = descriptor.NotSet
)

// widenTable gives a table that is there the window for late puts.
//
// Without it: the source deletes a cell and an older put of it arrives at the target after the delete, from a retry or
// a scan. The marker hides the put, unless a major compaction at the target took the marker away in between: then the
// put is there for all to see, for good.
func (a *Applier) widenTable(ctx context.Context, name string) error {
	if a.cfg.LatePutWindow <= 0 {
		return nil
	}
	t, err := a.lookUp(ctx, name)
	if err != nil {
		return fmt.Errorf("look up table %s at the destination: %w", name, err)
	}
	if !a.widen(t) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	if err := a.cluster.ModifyTable(ctx, *t); err != nil {
		return fmt.Errorf("set %s on table %s at the destination (hbase.table.late.put.window.ms): %w", purgeKey, name, err)
	}
	return nil
}

func (a *Applier) widen(t *admin.Table) bool { return Widen(t, a.cfg.LatePutWindow, a.cfg.Log) }

// Widen raises purgeKey on t, and on its families that have one of their own, to the window for late puts, unless that is 0. It tells whether
// anything changed; what was there before is remembered beside it.
func Widen(t *admin.Table, lateputs time.Duration, log *slog.Logger) (changed bool) {
	if lateputs <= 0 {
		return false
	}
	window := lateputs.Milliseconds()
	raise := func(where string, attributes, configuration map[string]string, always bool) map[string]string {
		was, there := attributes[purgeKey]
		if !there {
			was, there = configuration[purgeKey]
		}
		if !there && !always {
			return attributes
		}
		if ms, err := strconv.ParseInt(was, 10, 64); err == nil && ms >= window {
			return attributes
		}
		if !there {
			was = NotSet
		}
		next := maps.Clone(attributes)
		if next == nil {
			next = make(map[string]string)
		}
		next[purgeKey] = strconv.FormatInt(window, 10)
		if _, kept := next[PurgeBeforeKey]; !kept {
			next[PurgeBeforeKey] = was
		}
		changed = true
		log.Info("the table keeps delete markers for late puts", "at", where, "attribute", purgeKey, "was", was, "is", window)
		return next
	}
	t.Attributes = raise(t.FullName(), t.Attributes, t.Configuration, true)
	t.Families = slices.Clone(t.Families)
	for i := range t.Families {
		f := &t.Families[i]
		f.Attributes = raise(t.FullName()+", family "+f.Name, f.Attributes, f.Configuration, false)
	}
	return changed
}
