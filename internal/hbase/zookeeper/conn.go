// Package zookeeper is waltap's view of ZooKeeper: a session with deadlines and log lines of its own over
// go-zookeeper, the contents of HBase's znodes, and the registration of a virtual cluster.
package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

var (
	// ErrNoNode says that a znode does not exist.
	ErrNoNode = zk.ErrNoNode
	// ErrNodeExists says that a znode to be created exists.
	ErrNodeExists = zk.ErrNodeExists
	// ErrClosed says that the Conn was closed.
	ErrClosed = errors.New("zookeeper connection is closed")
)

const (
	// DefaultSessionTimeout is what Connect asks for when it is told nothing else. The server may shorten it.
	DefaultSessionTimeout = 30 * time.Second
	// defaultTimeout bounds Connect and every operation whose context has no deadline.
	defaultTimeout = 30 * time.Second
	// retryInterval is the pause before an operation that met a lost connection is tried again.
	retryInterval = 100 * time.Millisecond
	// closeTimeout bounds the wait for the library's goroutines in Close.
	closeTimeout = 5 * time.Second
)

// Conn is a ZooKeeper session, renewed by the library when it expires. It is safe for concurrent use. Operations
// survive a lost connection until their context ends; one without a deadline gets 30 s.
type Conn struct {
	zk      *zk.Conn
	servers []string
	log     *slog.Logger

	ctx    context.Context // ends at Close: interrupts dials
	cancel context.CancelFunc
	gone   chan struct{} // closed when the library's loop has ended
	once   sync.Once

	mu      sync.Mutex
	netConn net.Conn
	dialErr map[string]error
	state   chan struct{} // closed and replaced at every change of the session's state
}

// Connect opens a session with one of the servers ("host:port", port 2181 if none) and returns when it is up. When
// ctx ends before (or after 30 s, when it has no deadline) the error names the servers and what they answered.
// sessionTimeout 0 means DefaultSessionTimeout; log may be nil.
func Connect(ctx context.Context, quorum []string, sessionTimeout time.Duration, log *slog.Logger) (*Conn, error) {
	servers, err := normalizeQuorum(quorum)
	if err != nil {
		return nil, err
	}
	if sessionTimeout <= 0 {
		sessionTimeout = DefaultSessionTimeout
	}
	c, err := newConn(servers, sessionTimeout, log)
	if err != nil {
		return nil, err
	}
	if err := c.waitSession(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// newConn starts to connect.
func newConn(servers []string, sessionTimeout time.Duration, log *slog.Logger) (*Conn, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Conn{
		servers: servers,
		log:     log,
		gone:    make(chan struct{}),
		dialErr: make(map[string]error),
		state:   make(chan struct{}),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	zkConn, events, err := zk.Connect(servers, sessionTimeout,
		zk.WithHostProvider(&hostProvider{}), zk.WithDialer(c.dial), zk.WithLogger(printer{log}),
		zk.WithLogInfo(false), zk.WithEventCallback(c.onEvent))
	if err != nil {
		c.cancel()
		return nil, fmt.Errorf("connect to zookeeper %s: %w", strings.Join(servers, ","), err)
	}
	c.zk = zkConn
	go func() {
		for range events { // until the library's loop ends
		}
		close(c.gone)
	}()
	return c, nil
}

func (c *Conn) waitSession(ctx context.Context) error {
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	start := time.Now()
	for {
		changed := c.stateChanged()
		if c.zk.State() == zk.StateHasSession {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("connect to zookeeper %s: no session within %s%s: %w",
				strings.Join(c.servers, ","), time.Since(start).Round(time.Millisecond), c.dialErrors(), ctx.Err())
		}
	}
}

// Close ends the session, which removes its ephemeral znodes, and waits until nothing of it runs any more.
func (c *Conn) Close() error {
	c.once.Do(func() {
		c.zk.Close()
		c.cancel()
		c.mu.Lock()
		if c.netConn != nil {
			c.netConn.Close()
		}
		c.mu.Unlock()
	})
	select {
	case <-c.gone:
		return nil
	case <-time.After(closeTimeout):
		return fmt.Errorf("close zookeeper connection: still busy after %s", closeTimeout)
	}
}

// Servers returns the quorum as "host:port".
func (c *Conn) Servers() []string { return append([]string(nil), c.servers...) }

// SessionID identifies the current session; it changes when an expired one was replaced.
func (c *Conn) SessionID() int64 { return c.zk.SessionID() }

// Get returns the payload of a znode, without HBase's metadata prefix.
func (c *Conn) Get(ctx context.Context, znode string) ([]byte, error) {
	data, err := do(ctx, c, "read", znode, func() ([]byte, error) {
		data, _, err := c.zk.Get(znode)
		return data, err
	})
	if err != nil {
		return nil, err
	}
	payload, err := StripMetadata(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", znode, err)
	}
	return payload, nil
}

// Children returns the sorted names of a znode's children.
func (c *Conn) Children(ctx context.Context, znode string) ([]string, error) {
	names, err := do(ctx, c, "list", znode, func() ([]string, error) {
		names, _, err := c.zk.Children(znode)
		return names, err
	})
	sort.Strings(names)
	return names, err
}

// Exists reports whether a znode exists.
func (c *Conn) Exists(ctx context.Context, znode string) (bool, error) {
	stat, err := c.stat(ctx, znode)
	return stat != nil, err
}

// Create creates a persistent znode with the given data, open to the world. ErrNodeExists if there is one.
func (c *Conn) Create(ctx context.Context, znode string, data []byte) error {
	return c.create(ctx, znode, data, 0)
}

// CreateEphemeral creates a znode that lives as long as the session. ErrNodeExists if there is one, which after a
// lost connection may be the one this very call created.
func (c *Conn) CreateEphemeral(ctx context.Context, znode string, data []byte) error {
	return c.create(ctx, znode, data, zk.FlagEphemeral)
}

// CreateAll creates a persistent, empty znode and its missing parents; existing ones are left as they are.
func (c *Conn) CreateAll(ctx context.Context, znode string) error {
	if znode == "/" {
		return nil
	}
	exists, err := c.Exists(ctx, znode)
	if err != nil || exists {
		return err
	}
	if err := c.CreateAll(ctx, path.Dir(znode)); err != nil {
		return err
	}
	if err := c.Create(ctx, znode, nil); err != nil && !errors.Is(err, ErrNodeExists) {
		return err
	}
	return nil
}

// Delete removes a znode; ErrNoNode if there is none.
func (c *Conn) Delete(ctx context.Context, znode string) error {
	_, err := do(ctx, c, "delete", znode, func() (struct{}, error) {
		return struct{}{}, c.zk.Delete(znode, -1)
	})
	return err
}

func (c *Conn) create(ctx context.Context, znode string, data []byte, flags int32) error {
	_, err := do(ctx, c, "create", znode, func() (string, error) {
		return c.zk.Create(znode, data, flags, zk.WorldACL(zk.PermAll))
	})
	return err
}

// stat returns nil for a znode that does not exist.
func (c *Conn) stat(ctx context.Context, znode string) (*zk.Stat, error) {
	return do(ctx, c, "look up", znode, func() (*zk.Stat, error) {
		exists, stat, err := c.zk.Exists(znode)
		if err != nil || !exists {
			return nil, err
		}
		return stat, nil
	})
}

type watched struct {
	stat  *zk.Stat
	event <-chan zk.Event
}

// watch is stat with a channel that gets one event when the znode is created, changed or deleted.
func (c *Conn) watch(ctx context.Context, znode string) (watched, error) {
	return do(ctx, c, "watch", znode, func() (watched, error) {
		exists, stat, event, err := c.zk.ExistsW(znode)
		if err != nil {
			return watched{}, err
		}
		if !exists {
			stat = nil
		}
		return watched{stat, event}, nil
	})
}

// do runs op, which blocks for as long as no server can be reached, on its own goroutine, so that ctx bounds it.
// The goroutine ends when op does, at the latest at Close. op is repeated while its connection gets lost.
func do[T any](ctx context.Context, c *Conn, verb, znode string, op func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var zero T
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	for {
		done := make(chan result, 1)
		go func() {
			value, err := op()
			done <- result{value, err}
		}()
		var last error
		select {
		case r := <-done:
			if r.err == nil {
				return r.value, nil
			}
			if c.ctx.Err() != nil {
				return zero, fmt.Errorf("%s %s: %w", verb, znode, ErrClosed)
			}
			if !connectionLost(r.err) {
				return zero, fmt.Errorf("%s %s: %w", verb, znode, r.err)
			}
			last = r.err
		case <-ctx.Done():
			return zero, fmt.Errorf("%s %s: zookeeper %s does not answer%s: %w",
				verb, znode, strings.Join(c.servers, ","), c.dialErrors(), ctx.Err())
		}
		select {
		case <-time.After(retryInterval):
		case <-c.ctx.Done():
			return zero, fmt.Errorf("%s %s: %w", verb, znode, ErrClosed)
		case <-ctx.Done():
			return zero, fmt.Errorf("%s %s: %w: %w", verb, znode, last, ctx.Err())
		}
	}
}

func connectionLost(err error) bool {
	return errors.Is(err, zk.ErrConnectionClosed) || errors.Is(err, zk.ErrNoServer) ||
		errors.Is(err, zk.ErrSessionExpired) || errors.Is(err, zk.ErrSessionMoved)
}

func withDefaultTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, defaultTimeout)
}

// onEvent runs on the library's goroutines and must not block.
func (c *Conn) onEvent(e zk.Event) {
	if e.Type != zk.EventSession {
		return
	}
	c.log.Debug("zookeeper session", "state", e.State.String(), "server", e.Server)
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.state)
	c.state = make(chan struct{})
}

// stateChanged returns a channel that is closed at the next change of the session's state.
func (c *Conn) stateChanged() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// dial is the library's only way to the network: it can be interrupted, it remembers why a server could not be
// reached, and it keeps the connection for Close.
func (c *Conn) dial(network, addr string, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout}
	conn, err := d.DialContext(c.ctx, network, addr)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil && c.ctx.Err() != nil { // closed since
		conn.Close()
		err = c.ctx.Err()
	}
	if err != nil {
		c.dialErr[addr] = err
		return nil, err
	}
	c.netConn = conn
	return newHandshakeConn(conn, func(err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.dialErr[addr] = err
	}), nil
}

// dialErrors returns " (addr: cause; …)", or nothing when every server could be reached.
func (c *Conn) dialErrors() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var causes []string
	for _, addr := range c.servers {
		if err := c.dialErr[addr]; err != nil {
			causes = append(causes, err.Error())
		}
	}
	if len(causes) == 0 {
		return ""
	}
	return " (" + strings.Join(causes, "; ") + ")"
}

// normalizeQuorum splits entries at commas and adds ZooKeeper's port where there is none.
func normalizeQuorum(quorum []string) ([]string, error) {
	var servers []string
	for _, entry := range quorum {
		for _, s := range strings.Split(entry, ",") {
			if s = strings.TrimSpace(s); s == "" {
				continue
			}
			if _, _, err := net.SplitHostPort(s); err != nil {
				s = net.JoinHostPort(strings.Trim(s, "[]"), "2181")
			}
			servers = append(servers, s)
		}
	}
	if len(servers) == 0 {
		return nil, errors.New("connect to zookeeper: the list of servers is empty")
	}
	return servers, nil
}
