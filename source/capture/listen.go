package capture

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/internal/hbase/zookeeper"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source/replication"
	"github.com/waltap/waltap/source/watermark"
)

// shutdownTimeout is how long a clean stop waits for the calls in hand.
const shutdownTimeout = 20 * time.Second

// tableMarks is what the receiver knows of the captured tables.
type tableMarks struct {
	mu     sync.RWMutex
	tables map[string]replication.Table
}

func (m *tableMarks) set(name string, t replication.Table) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tables == nil {
		m.tables = make(map[string]replication.Table)
	}
	m.tables[name] = t
}

func (m *tableMarks) get(name string) (replication.Table, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	t, ok := m.tables[name]
	return t, ok
}

// receiver is the virtual cluster: a port that serves ReplicateWALEntry and its registration in ZooKeeper.
type receiver struct {
	server       *rpc.Server
	addr         *net.TCPAddr
	registration *zookeeper.Registration // nil: not registered
	broken       chan error              // the port's accept loop ended by itself

	ready   chan struct{} // closed: calls are let in
	entered atomic.Int64  // when the last call came, ns
}

// listen opens the port. Calls wait until letIn.
func (c *Capture) listen() (*receiver, error) {
	l, err := net.Listen("tcp", c.cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("hbase.peer.listen: %w", err)
	}
	allow := &replication.AllowList{Extra: c.cfg.Allow, Hosts: c.regionServerHosts}
	config := replication.Config{
		Connector: c.cfg.Connector, Version: c.cfg.Version, ClusterID: c.id,
		Table: c.marks.get, Publisher: c.pub, Stats: c.cfg.Stats, IsHeartbeat: watermark.IsTable,
		NewFamily: c.newFamily,
	}
	if c.files != nil {
		config.BulkLoads = c.files.BulkLoad
	}
	if c.watermark != nil {
		config.Heartbeats = c.watermark
	}
	handler := replication.NewReceiver(config)
	r := &receiver{broken: make(chan error, 1), ready: make(chan struct{}), addr: l.Addr().(*net.TCPAddr)}
	r.server = rpc.NewServer(rpc.ServerConfig{
		Services: map[string]rpc.Handler{replication.Service: r.gate(handler.Serve)},
		Allow:    allow.Check, MaxBytesInFlight: c.cfg.MaxBytesInFlight, Logger: c.cfg.Log,
	})
	go func() { r.broken <- r.server.Serve(l) }()
	return r, nil
}

// gate lets no call in before letIn: a process that takes over a stream is registered a moment before it knows all tables, and an
// error would make HBase pause for a second.
func (r *receiver) gate(next rpc.Handler) rpc.Handler {
	return func(ctx context.Context, call *rpc.Call) {
		r.entered.Store(time.Now().UnixNano())
		wait, cancel := context.WithDeadline(ctx, call.Deadline)
		defer cancel()
		select {
		case <-r.ready:
		case <-wait.Done():
		}
		next(ctx, call)
	}
}

// letIn lets calls in. It is called once.
func (r *receiver) letIn() { close(r.ready) }

// open tells whether calls are let in.
func (r *receiver) open() bool {
	select {
	case <-r.ready:
		return true
	default:
		return false
	}
}

// register makes the receiver known, so that the peer can be added: HBase asks for the virtual cluster's id then.
func (c *Capture) register(ctx context.Context, r *receiver) (err error) {
	if r.registration != nil {
		return nil
	}
	rctx, cancel := context.WithTimeout(ctx, c.cfg.ConnectTimeout)
	defer cancel()
	r.registration, err = zookeeper.Register(rctx, zookeeper.RegistrationConfig{
		Quorum: c.cfg.PeerQuorum, Root: c.cfg.PeerRoot, ClusterID: c.virtualID().String(),
		Host: c.cfg.AdvertisedHost, Port: r.addr.Port, SessionTimeout: c.cfg.PeerSessionTimeout, Log: c.cfg.Log,
		OnChange: func(registered bool) {
			if !registered {
				c.cfg.Log.Warn("the session of the virtual cluster is lost: registering again", "root", c.cfg.PeerRoot)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("hbase.peer.zookeeper.quorum, hbase.peer.znode.parent: register the virtual cluster: %w", err)
	}
	c.cfg.Log.Info("listening for the source's region servers", "address", r.addr.String(),
		"advertised", fmt.Sprintf("%s:%d", c.cfg.AdvertisedHost, r.addr.Port))
	return nil
}

// close takes the virtual region server off ZooKeeper, finishes the calls in hand, then closes: a source that
// meets a dead socket backs off for long.
func (r *receiver) close() error {
	var errs []error
	if r.registration != nil {
		errs = append(errs, r.registration.Close())
	}
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != nil {
		errs = append(errs, fmt.Errorf("finish the calls in hand: %w (HBase sends them again)", err))
	}
	return errors.Join(errs...)
}

func (c *Capture) regionServerHosts(ctx context.Context) ([]string, error) {
	servers, err := c.cluster.RegionServers(ctx)
	if err != nil {
		return nil, err
	}
	hosts := make([]string, len(servers))
	for i, s := range servers {
		hosts[i] = s.Host
	}
	return hosts, nil
}

// virtualID is the virtual cluster's id: the same for one connector on one source for ever, never the source's own,
// which HBase would refuse. A name-based UUID (version 5).
func (c *Capture) virtualID() schema.UUID {
	return nameUUID(c.id[:], "waltap/"+c.cfg.Connector)
}
