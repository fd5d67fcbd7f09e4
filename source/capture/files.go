package capture

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/waltap/waltap/internal/crash"
	"github.com/waltap/waltap/internal/filesystem"
	"github.com/waltap/waltap/internal/filesystem/hdfs"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/source/hfile"
	"github.com/waltap/waltap/source/scan"
)

// Values of Config.SnapshotReader.
const (
	ReaderScan  = "scan"   // region servers are asked
	ReaderFiles = "hfiles" // the files of a snapshot are read
)

const (
	// snapshotAttempts is how often a snapshot is tried that fails because a region was on its way.
	snapshotAttempts = 5
	snapshotPause    = 2 * time.Second
	fileTimeout      = 30 * time.Second // of an answer of HDFS
)

// With ReaderFiles the leader has the master make a snapshot of each table that is to be read, where a scan would begin: in exact
// order while the peer is held. Its name is kept before it is made, so that one that was made and not noted is found again, and it
// is deleted when the table is captured. Snapshots of this connector are known by their names: those that no table needs are
// deleted at every start and whenever a table is through.

// openFiles opens the file system of the source, if it is known: for the scan with ReaderFiles, and for bulk loads.
func (p *process) openFiles() error {
	if p.cfg.Root.Path == "" {
		return nil
	}
	return p.openRoot(func(f filesystem.FS) error { return checkRoot(f, &p.cfg, p.cluster.ID()) })
}

// openRoot opens the file system, if check finds that it is the one.
func (p *process) openRoot(check func(filesystem.FS) error) error {
	f, err := hdfs.Open(p.cfg.Root, p.cfg.RootUser, fileTimeout)
	if err != nil {
		return fmt.Errorf("hbase.rootdir: %w", err)
	}
	if err := check(f); err != nil {
		f.Close()
		return err
	}
	p.fs = f
	p.files = hfile.New(hfile.Config{FS: f, Root: p.cfg.Root.Path, Snapshot: p.snapshotOf})
	return nil
}

func (p *process) closeFiles() {
	if p.fs != nil {
		p.fs.Close() // nothing was written
	}
}

// checkRoot sees that the root is that of the HBase with this id; or, for snapshots that are there, a folder that they were exported to.
func checkRoot(f filesystem.FS, cfg *Config, id string) error {
	root := cfg.Root.Path
	b, err := filesystem.ReadFile(f, path.Join(root, "hbase.id"), 4096)
	if errors.Is(err, fs.ErrNotExist) && len(cfg.Snapshots) > 0 {
		return checkExported(f, root)
	}
	if err != nil {
		return fmt.Errorf("hbase.rootdir: read the cluster id of the HBase there: %w; give the hbase.rootdir of the source's hbase-site.xml, and as hbase.rootdir.user one who may read it", err)
	}
	if !strings.Contains(string(b), id) {
		return fmt.Errorf("hbase.rootdir: %s is of another HBase than the source (cluster id %s)", root, id)
	}
	_, err = f.Stat(path.Join(root, "data")) // refused in an encryption zone
	if err != nil {
		return fmt.Errorf("hbase.rootdir: %w", err)
	}
	return nil
}

// snapshotState is what is known of the snapshot that a table's scan reads, partition {"table","snapshot"}.
type snapshotState struct {
	Epoch int64  `json:"epoch"`
	Name  string `json:"name"`
	// Created is when a snapshot was made that was there (Config.Snapshots), ms. It stays known when the table is captured.
	Created int64 `json:"created,omitempty"`
}

const snapshotKey = "snapshot"

func snapshotPartition(table string) map[string]string {
	return map[string]string{"table": table, snapshotKey: ReaderFiles}
}

func (s *state) snapshot(table string) (snapshotState, bool, error) {
	var st snapshotState
	ok, err := s.store.Get(s.connector, snapshotPartition(table), &st)
	if err != nil {
		return st, false, fmt.Errorf("read the snapshot of table %s: %w", table, err)
	}
	return st, ok, nil
}

func (s *state) saveSnapshot(ctx context.Context, table string, st snapshotState) error {
	if err := s.store.Put(ctx, s.connector, snapshotPartition(table), st); err != nil {
		return fmt.Errorf("save the snapshot of table %s: %w", table, err)
	}
	return nil
}

// snapshots are the names of all that are needed.
func (s *state) snapshots() (map[string]bool, error) {
	out := make(map[string]bool)
	err := s.store.Each(s.connector, func(partition map[string]string, offset json.RawMessage) error {
		if _, ok := partition[snapshotKey]; !ok {
			return nil
		}
		var st snapshotState
		if err := json.Unmarshal(offset, &st); err != nil {
			return fmt.Errorf("read the snapshot of table %s: %w", partition["table"], err)
		}
		out[st.Name] = true
		return nil
	})
	return out, err
}

// snapshotOf is the snapshot that the leader has chosen for a table.
func (p *process) snapshotOf(table string) (string, error) {
	st, ok, err := p.state.snapshot(table)
	if err == nil && !ok {
		err = fmt.Errorf("no snapshot of table %s is known: start all processes of the connector with the same snapshot.reader", table)
	}
	return st.Name, err
}

// snapshotPrefix begins the names of this connector's snapshots.
func (p *process) snapshotPrefix() string {
	return snapshotPrefix(p.cfg.Connector, p.cfg.TopicPrefix, p.cfg.PeerRoot)
}

func snapshotPrefix(connector, topicPrefix, peerRoot string) string {
	sum := sha256.Sum256([]byte(connector + "\x00" + topicPrefix + "\x00" + peerRoot))
	return "waltap-" + hex.EncodeToString(sum[:6]) + "-"
}

// DropSnapshots deletes the snapshots that a connector has made and that are left, and returns their names. Nobody may run it any more.
func DropSnapshots(ctx context.Context, cluster *admin.Cluster, connector, topicPrefix, peerRoot string) (dropped []string, err error) {
	there, err := cluster.Snapshots(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range there {
		if !strings.HasPrefix(s.Name, snapshotPrefix(connector, topicPrefix, peerRoot)) {
			continue
		}
		if err := cluster.DeleteSnapshot(ctx, s.Name); err != nil {
			return dropped, err
		}
		dropped = append(dropped, s.Name)
	}
	return dropped, nil
}

func (c *Capture) newSnapshotName() string {
	var b [6]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	return c.snapshotPrefix() + hex.EncodeToString(b[:])
}

// makeSnapshots sees that there is a snapshot of each table, which can be read.
func (c *Capture) makeSnapshots(ctx context.Context, tables []scan.Table) error {
	if c.cfg.SnapshotReader != ReaderFiles {
		return nil
	}
	var there []admin.Snapshot
	if !c.cfg.detached() {
		var err error
		if there, err = c.cluster.Snapshots(ctx); err != nil {
			return err
		}
	}
	for _, t := range tables {
		if err := c.makeSnapshot(ctx, t, there); err != nil {
			return &scan.TableError{Table: t.Name, Err: err}
		}
		if err := c.files.Check(ctx, t.Name, t.Families); err != nil {
			return &scan.TableError{Table: t.Name, Err: err}
		}
	}
	return c.sweepSnapshots(ctx)
}

func (c *Capture) makeSnapshot(ctx context.Context, t scan.Table, there []admin.Snapshot) error {
	if name := c.cfg.Snapshots[t.Name]; name != "" {
		s, err := c.given(t.Name)
		if err != nil {
			return err
		}
		return c.state.saveSnapshot(ctx, t.Name, snapshotState{Epoch: t.Epoch, Name: name, Created: s.Created.UnixMilli()})
	}
	st, known, err := c.state.snapshot(t.Name)
	if err != nil {
		return err
	}
	if known && st.Epoch == t.Epoch && has(there, st.Name) {
		return nil
	}
	for n := 1; ; n++ {
		st := snapshotState{Epoch: t.Epoch, Name: c.newSnapshotName()}
		if err := c.state.saveSnapshot(ctx, t.Name, st); err != nil {
			return err
		}
		crash.Point(crash.SnapshotNotMade)
		err := c.cluster.CreateSnapshot(ctx, st.Name, t.Name)
		if err == nil {
			crash.Point(crash.SnapshotMade)
			c.cfg.Log.Info("snapshot made, its files are read", "table", t.Name, "snapshot", st.Name)
			return nil
		}
		if !errors.Is(err, admin.ErrSnapshotFailed) || n == snapshotAttempts {
			return err
		}
		c.cfg.Stats.Retry(err)
		if err := sleep(ctx, snapshotPause); err != nil {
			return err
		}
	}
}

func has(there []admin.Snapshot, name string) bool {
	return slices.ContainsFunc(there, func(s admin.Snapshot) bool { return s.Name == name })
}

// dropSnapshot deletes the snapshot of a table that was read. When the source does not answer it is tried again.
func (c *Capture) dropSnapshot(ctx context.Context, table string) error {
	if c.cfg.Snapshots[table] != "" { // it stays, and so does that it was read
		return nil
	}
	if _, known, err := c.state.snapshot(table); err != nil || !known { // known also when the reader was another one before
		return err
	}
	if err := c.state.clear(ctx, table, snapshotKey); err != nil {
		return err
	}
	c.unswept = true
	return c.sweepAgain(ctx)
}

// sweepAgain deletes what is left of the snapshots of tables that were read, if anything is.
func (c *Capture) sweepAgain(ctx context.Context) error {
	if !c.unswept {
		return nil
	}
	err := c.sweepSnapshots(ctx)
	switch {
	case err == nil:
		c.unswept = false
	case admin.IsRetriable(err) && ctx.Err() == nil:
		c.cfg.Stats.Retry(err)
		return nil
	}
	return err
}

// sweepSnapshots deletes this connector's snapshots that no table's scan needs: also of a process that was killed.
func (c *Capture) sweepSnapshots(ctx context.Context) error {
	if c.cfg.detached() {
		return nil
	}
	there, err := c.cluster.Snapshots(ctx)
	if err != nil {
		return err
	}
	// Behind the list: a name is kept before its snapshot is made, which another table's scan may do just now.
	needed, err := c.state.snapshots()
	if err != nil {
		return err
	}
	for _, s := range there {
		if !strings.HasPrefix(s.Name, c.snapshotPrefix()) || needed[s.Name] {
			continue
		}
		if err := c.cluster.DeleteSnapshot(ctx, s.Name); err != nil {
			return err
		}
		c.cfg.Log.Info("snapshot deleted", "table", s.Table, "snapshot", s.Name)
	}
	return nil
}
