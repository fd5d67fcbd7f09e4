// Package admin talks to an HBase cluster as its administrator: it locates servers and regions, reads and changes
// tables and replication peers, and hands out connections to region servers.
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/internal/hbase/scan/regionscan"
	"github.com/waltap/waltap/internal/hbase/zookeeper"
)

// DefaultRoot is HBase's own default of zookeeper.znode.parent.
const DefaultRoot = "/hbase"

const (
	defaultDialTimeout      = 10 * time.Second
	defaultOpenTimeout      = 10 * time.Second
	defaultOperationTimeout = 10 * time.Minute
	// callTimeout bounds a single call: a master or server that hangs is asked again.
	callTimeout = 30 * time.Second
	// singleCallTimeout bounds a call that cannot be asked again. AddReplicationPeer can take that long when the
	// peer's ZooKeeper does not answer the master.
	singleCallTimeout = 2 * time.Minute
)

const (
	serviceMaster = "MasterService"
	serviceAdmin  = "AdminService"
	serviceClient = "ClientService"
)

// Keys are the names of the configuration keys that errors tell the operator to check.
type Keys struct {
	Quorum string // default "hbase.zookeeper.quorum"
	Root   string // default "hbase.zookeeper.znode.parent"
}

// Config says where a cluster is.
type Config struct {
	// Quorum lists the servers of its ZooKeeper, "host:port".
	Quorum []string
	// Root is its parent znode; default /hbase.
	Root string
	// DialTimeout bounds a connection attempt to a server; default 10s.
	DialTimeout time.Duration
	// SessionTimeout of the ZooKeeper session; default 30s.
	SessionTimeout time.Duration
	// OperationTimeout bounds an operation of the master, its retries and its procedure included, whose context has
	// no deadline; default 10m.
	OperationTimeout time.Duration
	// User is the name given to HBase, which believes it; default "waltap".
	User string
	// NetDial, when set, makes the connections to masters and region servers: for TLS or for tests.
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)
	Logger  *slog.Logger
	Keys    Keys
}

func (c Config) withDefaults() Config {
	if c.Root == "" {
		c.Root = DefaultRoot
	}
	if c.DialTimeout <= 0 {
		c.DialTimeout = defaultDialTimeout
	}
	if c.OperationTimeout <= 0 {
		c.OperationTimeout = defaultOperationTimeout
	}
	if c.User == "" {
		c.User = "waltap"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Keys.Quorum == "" {
		c.Keys.Quorum = "hbase.zookeeper.quorum"
	}
	if c.Keys.Root == "" {
		c.Keys.Root = "hbase.zookeeper.znode.parent"
	}
	return c
}

// znodes is what a Cluster asks of ZooKeeper; a *zookeeper.Conn.
type znodes interface {
	Get(ctx context.Context, znode string) ([]byte, error)
	Children(ctx context.Context, znode string) ([]string, error)
	Set(ctx context.Context, znode string, data []byte) error
	CreateTogether(ctx context.Context, nodes ...zookeeper.Node) error
	DeleteTogether(ctx context.Context, znodes ...string) error
	Servers() []string
	Close() error
}

// Cluster is a connection to a cluster. It is safe for concurrent use.
type Cluster struct {
	cfg Config
	zk  znodes
	id  string

	mu     sync.Mutex
	master string // address of the active master as last seen, "" when unknown
	old    bool   // that master is an HBase before 2.0: see oldpeers.go
	conns  map[connKey]*connSlot
	closed bool
}

type connKey struct{ service, addr string }

// connSlot holds the one connection to a service; its lock is held while dialling.
type connSlot struct {
	mu   sync.Mutex
	conn *rpc.Conn
}

// Open connects to the cluster's ZooKeeper and reads the cluster's id. It fails when ctx ends, or after 10s when ctx
// has no deadline, with an error that names the configuration key to check and what was tried. Neither the master nor
// a region server is asked.
func Open(ctx context.Context, cfg Config) (*Cluster, error) {
	cfg = cfg.withDefaults()
	ctx, cancel := withDefaultTimeout(ctx, defaultOpenTimeout)
	defer cancel()
	if !strings.HasPrefix(cfg.Root, "/") || (len(cfg.Root) > 1 && strings.HasSuffix(cfg.Root, "/")) {
		return nil, fmt.Errorf("open cluster: %s %q must begin with / and not end with it", cfg.Keys.Root, cfg.Root)
	}
	if len(cfg.Quorum) == 0 {
		return nil, fmt.Errorf("open cluster: no ZooKeeper of it is known: set %s", cfg.Keys.Quorum)
	}
	zk, err := zookeeper.Connect(ctx, cfg.Quorum, cfg.SessionTimeout, cfg.Logger)
	if err != nil {
		return nil, fmt.Errorf("open cluster: %w: check %s", err, cfg.Keys.Quorum)
	}
	c := newCluster(cfg, zk)
	if c.id, err = c.readID(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open cluster: %w", err), c.Close())
	}
	return c, nil
}

func newCluster(cfg Config, zk znodes) *Cluster {
	return &Cluster{cfg: cfg, zk: zk, conns: make(map[connKey]*connSlot)}
}

func (c *Cluster) readID(ctx context.Context) (string, error) {
	payload, err := c.zk.Get(ctx, c.znode("hbaseid"))
	if err != nil {
		return "", c.explain(ctx, err)
	}
	id, err := zookeeper.ParseClusterID(payload)
	if err != nil {
		return "", fmt.Errorf("read %s: %w: check %s", c.znode("hbaseid"), err, c.cfg.Keys.Root)
	}
	return id, nil
}

// ID is the cluster's UUID in its text form.
func (c *Cluster) ID() string { return c.id }

// Close closes all connections, also those handed out.
func (c *Cluster) Close() error {
	c.mu.Lock()
	slots := c.conns
	c.conns = nil
	c.closed = true
	c.mu.Unlock()
	var errs []error
	for _, slot := range slots {
		slot.mu.Lock()
		if slot.conn != nil {
			errs = append(errs, slot.conn.Close())
		}
		slot.mu.Unlock()
	}
	return errors.Join(append(errs, c.zk.Close())...)
}

// RegionServers returns the servers that are registered now, the children of <root>/rs.
func (c *Cluster) RegionServers(ctx context.Context) ([]ServerName, error) {
	names, err := c.zk.Children(ctx, c.znode("rs"))
	if err != nil {
		return nil, fmt.Errorf("list region servers: %w", c.explain(ctx, err))
	}
	servers := make([]ServerName, 0, len(names))
	for _, name := range names {
		s, err := ParseServerName(name)
		if err != nil {
			return nil, fmt.Errorf("list region servers: %s: %w", c.znode("rs"), err)
		}
		servers = append(servers, s)
	}
	return servers, nil
}

// Admin returns a connection to a server's AdminService. It is shared and belongs to the Cluster; once broken it is
// replaced by the next call.
func (c *Cluster) Admin(ctx context.Context, s ServerName) (*rpc.Conn, error) {
	return c.conn(ctx, serviceAdmin, s.Addr())
}

// Client returns a connection to a server's ClientService, like Admin.
func (c *Cluster) Client(ctx context.Context, s ServerName) (*rpc.Conn, error) {
	return c.conn(ctx, serviceClient, s.Addr())
}

func (c *Cluster) conn(ctx context.Context, service, addr string) (*rpc.Conn, error) {
	slot, err := c.slot(connKey{service, addr})
	if err != nil {
		return nil, err
	}
	slot.mu.Lock()
	defer slot.mu.Unlock()
	if slot.conn != nil {
		if slot.conn.Err() == nil {
			return slot.conn, nil
		}
		if err := slot.conn.Close(); err != nil {
			c.cfg.Logger.Debug("close broken connection", "addr", addr, "error", err)
		}
		slot.conn = nil
	}
	conn, err := rpc.Dial(ctx, addr, rpc.DialOptions{
		Service: service,
		User:    c.cfg.User,
		Codec:   regionscan.Codec,
		Timeout: c.cfg.DialTimeout,
		NetDial: c.cfg.NetDial,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errors.Join(errClosed, conn.Close())
	}
	slot.conn = conn
	return conn, nil
}

func (c *Cluster) slot(key connKey) (*connSlot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	slot := c.conns[key]
	if slot == nil {
		slot = new(connSlot)
		c.conns[key] = slot
	}
	return slot, nil
}

// RollWAL makes a server close its current write-ahead log and begin a new one.
func (c *Cluster) RollWAL(ctx context.Context, s ServerName) error {
	ctx, cancel := withDefaultTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := c.Admin(ctx, s)
	if err != nil {
		return fmt.Errorf("roll WAL of %s: %w", s, err)
	}
	if err := rollWAL(ctx, conn); err != nil {
		return fmt.Errorf("roll WAL of %s: %w", s, err)
	}
	return nil
}

func (c *Cluster) znode(name string) string { return path.Join(c.cfg.Root, name) }

func withDefaultTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d)
}
