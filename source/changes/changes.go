// Package changes reads what tables of an HBase cluster hold, and what is written to them, for programs that embed waltap: a source.Reader
// without Kafka. HBase itself keeps the place among the changes: a Reader is a replication peer, and what is not acknowledged stays in HBase's
// write-ahead logs. That of the scan is kept by the program, see Store.
//
// With Config.Snapshot the order is that of the connector (snapshot.order: exact): the peer is added held, so that HBase keeps its WALs; the tables
// are scanned; when all of that is acknowledged, the peer is enabled and the changes follow, but for those that the scan has delivered.
package changes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/internal/hbase/zookeeper"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source"
	"github.com/waltap/waltap/source/replication"
)

// Config of a Reader.
type Config struct {
	// Name tells the reader from others of the same source; the peer bears it. It is the same at each start.
	Name string
	// ZooKeeper is that of the source, host:port; Root its znode, default /hbase.
	ZooKeeper []string
	Root      string
	// Tables by their full names, namespace:table. Of each at least one family has REPLICATION_SCOPE 1, else HBase ships nothing of it.
	Tables []string
	// PeerID at the source, default Name. It is added when it is not there.
	PeerID string
	// Listen is where the source's region servers are waited for, host:port, default 0.0.0.0:16220. AdvertisedHost is the host by which
	// they reach it.
	Listen         string
	AdvertisedHost string
	// VirtualZooKeeper is where the region servers look for this reader, default ZooKeeper; VirtualRoot the znode there, default
	// /waltap_<PeerID>.
	VirtualZooKeeper []string
	VirtualRoot      string
	// Snapshot is SnapshotNever (default), SnapshotInitial or SnapshotInitialOnly; the latter needs no peer, and nothing of what the peer is for.
	Snapshot string
	// Store keeps the progress of the scan, and what must be known of it afterwards. Required with Snapshot, at each start the same.
	Store Store
	// SnapshotThreads is how many regions are scanned at once, each on another region server; default 2. Each holds up to two batches in memory.
	SnapshotThreads int
	// MaxBytesInFlight bounds the bytes of calls that are read and not acknowledged; default 128 MiB.
	MaxBytesInFlight int64
	// Log is told what heals by itself; default: nobody is.
	Log *slog.Logger
}

// Values of Config.Snapshot, as snapshot.mode has them.
const (
	SnapshotNever       = "never"        // changes only, from when the peer was added
	SnapshotInitial     = "initial"      // what the tables hold, then the changes
	SnapshotInitialOnly = "initial_only" // what the tables hold, then io.EOF
)

const (
	// connectTimeout bounds the first contact with the source.
	connectTimeout = 30 * time.Second
	// closeTimeout is how long Close waits for calls whose batches are acknowledged meanwhile.
	closeTimeout = 10 * time.Second
)

// Reader implements source.Reader.
type Reader struct {
	cfg          Config
	cluster      *admin.Cluster
	created      bool
	server       *rpc.Server
	registration *zookeeper.Registration
	batches      chan batch
	closed       chan struct{}
	ended        chan struct{} // the port has been closed; err says why
	err          error
	closing      sync.Once
	snapshot     *snapshot // nil: SnapshotNever
}

type batch struct {
	changes []schema.Change
	done    func(error)
}

var _ source.Reader = (*Reader)(nil)

// Open makes the source ship the tables' changes to this process. It returns when it does.
func Open(ctx context.Context, cfg Config) (*Reader, error) {
	cfg.Root, cfg.PeerID, cfg.Listen = cmp.Or(cfg.Root, "/hbase"), cmp.Or(cfg.PeerID, cfg.Name), cmp.Or(cfg.Listen, "0.0.0.0:16220")
	cfg.VirtualRoot = cmp.Or(cfg.VirtualRoot, "/waltap_"+cfg.PeerID)
	if len(cfg.VirtualZooKeeper) == 0 {
		cfg.VirtualZooKeeper = cfg.ZooKeeper
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Snapshot = cmp.Or(cfg.Snapshot, SnapshotNever)
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("read changes: %w", err)
	}
	octx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	cluster, err := admin.Open(octx, admin.Config{Quorum: cfg.ZooKeeper, Root: cfg.Root, Logger: cfg.Log})
	if err != nil {
		return nil, fmt.Errorf("connect to the source: %w", err)
	}
	r := &Reader{cfg: cfg, cluster: cluster, batches: make(chan batch), closed: make(chan struct{}), ended: make(chan struct{})}
	if err := r.open(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// check sees that all is there that is needed.
func (c *Config) check() error {
	switch {
	case c.Name == "" || len(c.ZooKeeper) == 0 || len(c.Tables) == 0:
		return errors.New("the fields Name, ZooKeeper and Tables are required")
	case c.Snapshot != SnapshotNever && c.Snapshot != SnapshotInitial && c.Snapshot != SnapshotInitialOnly:
		return fmt.Errorf("the field Snapshot is %q: choose %s, %s or %s", c.Snapshot, SnapshotNever, SnapshotInitial, SnapshotInitialOnly)
	case c.AdvertisedHost == "" && c.Snapshot != SnapshotInitialOnly:
		return errors.New("the field AdvertisedHost is required")
	case c.Store == nil && c.Snapshot != SnapshotNever:
		return fmt.Errorf("the value %s of Snapshot needs a Store for its progress", c.Snapshot)
	}
	return nil
}

func (r *Reader) open(ctx context.Context) error {
	id, err := schema.ParseUUID(r.cluster.ID())
	if err != nil {
		return fmt.Errorf("read the source's cluster id: %w", err)
	}
	families, err := r.checkTables(ctx)
	if err != nil {
		return err
	}
	if r.cfg.Snapshot != SnapshotNever {
		if r.snapshot, err = r.newSnapshot(ctx, id, families); err != nil {
			return err
		}
	}
	if r.cfg.Snapshot == SnapshotInitialOnly {
		return r.snapshot.beginOnly(ctx)
	}
	port, err := r.listen(id)
	if err != nil {
		return err
	}
	r.registration, err = zookeeper.Register(ctx, zookeeper.RegistrationConfig{
		Quorum: r.cfg.VirtualZooKeeper, Root: r.cfg.VirtualRoot, ClusterID: replication.VirtualID(id, r.cfg.Name).String(),
		Host: r.cfg.AdvertisedHost, Port: port, Log: r.cfg.Log,
	})
	if err != nil {
		return fmt.Errorf("register the reader in ZooKeeper: %w", err)
	}
	if r.snapshot != nil {
		return r.snapshot.begin(ctx)
	}
	return r.ensurePeer(ctx)
}

// checkTables refuses tables of which nothing would come. Of the others it tells the families, by table, and which of them are shipped.
func (r *Reader) checkTables(ctx context.Context) (map[string]map[string]bool, error) {
	tables, err := r.cluster.TablesNamed(ctx, r.cfg.Tables)
	if err != nil {
		return nil, fmt.Errorf("read the tables: %w", err)
	}
	families := make(map[string]map[string]bool)
	for _, name := range r.cfg.Tables {
		i := slices.IndexFunc(tables, func(t admin.Table) bool { return t.FullName() == name })
		if i < 0 {
			return nil, fmt.Errorf("the source has no table %s", name)
		}
		of, shipped := make(map[string]bool), false
		for _, f := range tables[i].Families {
			of[f.Name] = f.Scope() == 1
			shipped = shipped || of[f.Name]
		}
		if !shipped {
			return nil, fmt.Errorf("table %s has no family with REPLICATION_SCOPE 1, so HBase ships nothing of it: alter it in the hbase shell", name)
		}
		families[name] = of
	}
	return families, nil
}

func (r *Reader) listen(id schema.UUID) (port int, err error) {
	l, err := net.Listen("tcp", r.cfg.Listen)
	if err != nil {
		return 0, err
	}
	allow := &replication.AllowList{Hosts: func(ctx context.Context) (hosts []string, err error) {
		servers, err := r.cluster.RegionServers(ctx)
		for _, s := range servers {
			hosts = append(hosts, s.Host)
		}
		return hosts, err
	}}
	handler := replication.NewReceiver(replication.Config{
		Connector: r.cfg.Name, ClusterID: id, Publisher: source.NewDelivery(r.deliver), Stats: stats{r.cfg.Log},
		Table:       r.table,
		IsHeartbeat: func(string) bool { return false },
	})
	r.server = rpc.NewServer(rpc.ServerConfig{Services: map[string]rpc.Handler{replication.Service: handler.Serve}, Allow: allow.Check,
		MaxBytesInFlight: r.cfg.MaxBytesInFlight, Logger: r.cfg.Log})
	go func() {
		r.err = r.server.Serve(l)
		close(r.ended)
	}()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// table tells how the changes of a table are marked.
func (r *Reader) table(name string) (replication.Table, bool) {
	if r.snapshot != nil {
		return r.snapshot.table(name)
	}
	return replication.Table{Epoch: 1}, slices.Contains(r.cfg.Tables, name)
}

// wantedPeer is the peer as it should be; capture: of which scan it is.
func (r *Reader) wantedPeer(capture string) admin.Peer {
	p := admin.Peer{ID: r.cfg.PeerID, ClusterKey: replication.ClusterKey(r.cfg.VirtualZooKeeper, r.cfg.VirtualRoot), Enabled: true, Tables: map[string][]string{},
		Config: map[string]string{replication.MarkKey: r.cfg.Name, "hbase.replication.rpc.codec": cell.KeyValueCodecWithTags.Class(), "hbase.client.rpc.compressor": ""}}
	if capture != "" {
		p.Config[replication.CaptureKey] = capture
	}
	for _, t := range r.cfg.Tables {
		p.Tables[t] = nil
	}
	return p
}

// findPeer returns the reader's peer, nil when there is none, and an error when it is not the reader's.
func (r *Reader) findPeer(ctx context.Context) (*admin.Peer, error) {
	p, err := r.cluster.Peer(ctx, r.cfg.PeerID)
	key := replication.ClusterKey(r.cfg.VirtualZooKeeper, r.cfg.VirtualRoot)
	switch {
	case errors.Is(err, admin.ErrPeerNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read peer %s: %w", r.cfg.PeerID, err)
	case p.Config[replication.MarkKey] != r.cfg.Name:
		return nil, fmt.Errorf("peer %q of the source is not this reader's: choose another PeerID", p.ID)
	case p.ClusterKey != key:
		return nil, fmt.Errorf("peer %q points to %s, not to %s, and HBase cannot change that: remove it, and read the tables anew", p.ID, p.ClusterKey, key)
	}
	return p, nil
}

func sameTables(a, b *admin.Peer) bool {
	return maps.EqualFunc(a.Tables, b.Tables, func(a, b []string) bool { return len(a) == len(b) })
}

// alone changes the peer, and nobody else meanwhile.
func (r *Reader) alone(ctx context.Context, change func(context.Context) error) error {
	owner := admin.PeerLock{Owner: "reader " + r.cfg.Name + ", peer " + r.cfg.PeerID, Fallback: r.cfg.VirtualZooKeeper}
	return r.cluster.Alone(ctx, owner, change)
}

// ensurePeer adds the peer, or gives the one there is the tables. Only one that bears the reader's name is changed.
func (r *Reader) ensurePeer(ctx context.Context) error {
	p, err := r.findPeer(ctx)
	if err != nil {
		return err
	}
	want := r.wantedPeer("")
	switch {
	case p == nil:
		r.created = true
		err = r.alone(ctx, func(ctx context.Context) error {
			if err := r.cluster.RollWALs(ctx); err != nil { // the queue begins with a new WAL
				return err
			}
			return r.cluster.AddPeer(ctx, want)
		})
	case !sameTables(p, &want):
		err = r.alone(ctx, func(ctx context.Context) error { return r.cluster.UpdatePeer(ctx, want) })
	}
	if err == nil && p != nil && !p.Enabled {
		err = r.cluster.EnablePeer(ctx, p.ID)
	}
	if err == nil {
		err = r.cluster.AwaitPeer(ctx, r.cfg.PeerID)
	}
	if err != nil {
		return fmt.Errorf("add peer %s to the source: %w", r.cfg.PeerID, err)
	}
	return nil
}

// Created tells whether Open has added the peer: what was written before is not handed out, also where an earlier reader of this name had one.
func (r *Reader) Created() bool { return r.created }

// deliver waits until somebody reads the batch.
func (r *Reader) deliver(ctx context.Context, changes []schema.Change, done func(error)) {
	select {
	case r.batches <- batch{changes, done}:
	case <-r.closed:
		done(source.ErrClosed)
	case <-ctx.Done():
		done(context.Cause(ctx))
	}
}

// ReadBatch implements source.Reader.
func (r *Reader) ReadBatch(ctx context.Context) ([]schema.Change, source.AckFunc, error) {
	select {
	case <-r.closed:
		return nil, nil, source.ErrClosed
	default:
	}
	select {
	case b := <-r.batches:
		return b.changes, b.done, nil
	case <-r.closed:
		return nil, nil, source.ErrClosed
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	case <-r.ended:
		return nil, nil, fmt.Errorf("the port of the reader is closed: %w", r.err)
	case <-r.snapshot.over():
		return nil, nil, r.snapshot.err
	}
}

// Close implements source.Reader. The peer stays: HBase keeps what is written from now on, until the reader is opened again or RemovePeer is called.
func (r *Reader) Close() (err error) {
	r.closing.Do(func() {
		if r.registration != nil { // first, so that no region server calls a closed port
			err = r.registration.Close()
		}
		close(r.closed)
		err = errors.Join(err, r.snapshot.stop())
		if r.server != nil {
			ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
			defer cancel()
			if serr := r.server.Shutdown(ctx); serr != nil {
				err = errors.Join(err, fmt.Errorf("finish the calls in hand: %w (HBase sends them again)", serr))
			}
			<-r.ended
		}
		if r.cluster != nil { // else a test has none
			r.cluster.Close()
		}
	})
	return err
}

// RemovePeer takes the peer off the source, so that HBase keeps nothing for this reader any more; Close is to follow.
func (r *Reader) RemovePeer(ctx context.Context) error {
	err := r.alone(ctx, func(ctx context.Context) error { return r.cluster.RemovePeer(ctx, r.cfg.PeerID) })
	if err != nil && !errors.Is(err, admin.ErrPeerNotFound) {
		return fmt.Errorf("remove peer %s: %w", r.cfg.PeerID, err)
	}
	return nil
}

// stats logs what heals by itself.
type stats struct{ log *slog.Logger }

func (stats) Call()              {}
func (stats) Answered()          {}
func (stats) Replay(int)         {}
func (stats) BelowReadPoint(int) {}
func (stats) BeforeEpoch(int)    {}
func (stats) Marker(string)      {}
func (stats) Late(int)           {}
func (s stats) Error(err error) {
	if !strings.Contains(err.Error(), source.ErrClosed.Error()) {
		s.log.Warn("a replication call was refused; HBase sends it again", "error", err)
	}
}
