package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"sort"
	"time"

	"github.com/waltap/waltap/internal/filesystem"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/snapshot"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source/hfile"
)

// Snapshots that are there (Config.Snapshots) are read in place of new ones, and stay. Without a cluster they are all there is: the
// tables are what the manifests say, all families of them, as no replication is asked for any. Not a word goes to an HBase, to its
// ZooKeeper or to a peer.

// detached tells whether there is no HBase behind the snapshots.
func (c *Config) detached() bool { return len(c.Source.Quorum) == 0 && len(c.Snapshots) > 0 }

func (p *process) openDetached() error {
	err := p.openRoot(func(f filesystem.FS) error { return checkExported(f, p.cfg.Root.Path) })
	if err != nil {
		return err
	}
	p.id, err = p.detachedID()
	if err != nil {
		p.closeFiles()
	}
	return err
}

// checkExported sees that below root lie snapshots, in plain files.
func checkExported(f filesystem.FS, root string) error {
	if _, err := snapshot.List(f, root); err != nil {
		return fmt.Errorf("hbase.rootdir: %w; give the folder that holds .hbase-snapshot: the root of an HBase, or what ExportSnapshot was told to copy to", err)
	}
	return nil
}

var clusterID = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// detachedID is the id of the HBase that the files belong to. An exported copy does not tell: then it is one that only this connector's
// records bear, a name-based UUID (version 5).
func (p *process) detachedID() (schema.UUID, error) {
	b, err := filesystem.ReadFile(p.fs, path.Join(p.cfg.Root.Path, "hbase.id"), 4096)
	if err == nil {
		return schema.ParseUUID(string(clusterID.Find(bytes.ToLower(b))))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return schema.UUID{}, fmt.Errorf("hbase.rootdir: read the cluster id: %w", err)
	}
	return schema.NameUUID(nil, "waltap/snapshot/"+p.cfg.TopicPrefix+"/"+p.cfg.Connector), nil
}

// given is the snapshot that is there of a table.
func (p *process) given(table string) (*snapshot.Snapshot, error) {
	s, err := snapshot.Load(p.fs, p.cfg.Root.Path, p.cfg.Snapshots[table])
	if err != nil {
		return nil, fmt.Errorf("snapshot.name: %w", err)
	}
	if s.Table != table {
		return nil, fmt.Errorf("snapshot.name: snapshot %s is of table %s, not of %s", s.Name, s.Table, table)
	}
	return s, nil
}

// snapshotTables are the tables as their snapshots describe them.
func (p *process) snapshotTables() ([]admin.Table, error) {
	var out []admin.Table
	for _, table := range slices.Sorted(maps.Keys(p.cfg.Snapshots)) {
		s, err := p.given(table)
		if err != nil {
			return nil, err
		}
		out = append(out, s.Schema)
	}
	return out, nil
}

// readable lists the families of a table that can be captured.
func (p *process) readable(t admin.Table) []string {
	if !p.cfg.detached() {
		return scopedFamilies(t)
	}
	var out []string
	for _, f := range t.Families {
		out = append(out, f.Name)
	}
	sort.Strings(out)
	return out
}

// namedFiles are the files of the snapshots that are there, also where no progress is kept.
func (p *process) namedFiles() *hfile.Source {
	return hfile.New(hfile.Config{FS: p.fs, Root: p.cfg.Root.Path, Snapshot: func(table string) (string, error) { return p.cfg.Snapshots[table], nil }})
}

// regions lists the regions of a table by start key.
func (p *process) regions(ctx context.Context, table string) ([]admin.Region, error) {
	if !p.cfg.detached() {
		return p.cluster.Regions(ctx, table)
	}
	return p.namedFiles().Regions(ctx, table)
}

// checkGiven refuses to go on with another snapshot than the one that a table was read from, or to pass one over: half of each, or
// nothing of the new one, would be delivered.
func (c *Capture) checkGiven() error {
	for i := range c.tables {
		t := &c.tables[i]
		name := c.cfg.Snapshots[t.name]
		if name == "" {
			continue
		}
		s, err := c.given(t.name)
		if err != nil {
			return err
		}
		was, known, err := c.state.snapshot(t.name)
		if err != nil {
			return err
		}
		ranges, err := c.state.Ranges(t.name, t.state.Epoch)
		if err != nil {
			return err
		}
		begun := t.state.Captured || len(ranges) > 0
		switch same := known && was.Epoch == t.state.Epoch && was.Name == name && was.Created == s.Created.UnixMilli(); {
		case !begun || same:
		case !known || was.Created == 0:
			return fmt.Errorf("snapshot.name: this connector has begun to read table %s otherwise than from snapshot %s: read the snapshot by a new connector with a topic.prefix of its own", t.name, name)
		default:
			return fmt.Errorf("snapshot.name: this connector has begun to read table %s from snapshot %s of %s, and %s was made at %s: read that one by a new connector with a topic.prefix of its own",
				t.name, was.Name, time.UnixMilli(was.Created).UTC().Format(time.RFC3339Nano), name, s.Created.UTC().Format(time.RFC3339Nano))
		}
	}
	return nil
}

// began is when what a table's history is read of was made: before that, every acknowledged change is in it. A zero time: that is not so,
// as what was in the memory of the region servers was left out of the snapshot.
func (c *Capture) began(table string) (time.Time, error) {
	if c.cfg.Snapshots[table] == "" || c.fs == nil {
		return time.Now(), nil
	}
	s, err := c.given(table)
	if err != nil {
		return time.Time{}, err
	}
	if s.Type == snapshot.SkipFlush {
		c.cfg.Log.Warn("the snapshot was made without a flush: what had not been flushed when it was made is not in it", "table", table, "snapshot", s.Name)
		return time.Time{}, nil
	}
	return s.Created, nil
}
