package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

const (
	// registerRetry is the pause after a failed attempt to register.
	registerRetry = 500 * time.Millisecond
	// unregisterTimeout bounds the removal of the child in Close; the end of the session removes it as well.
	unregisterTimeout = 2 * time.Second
)

// RegistrationConfig describes one worker of a virtual cluster.
type RegistrationConfig struct {
	Quorum []string
	// Root is the virtual cluster's parent znode, "/waltap_orders".
	Root string
	// ClusterID is the cluster's UUID in its text form, used when <Root>/hbaseid does not exist yet.
	ClusterID string
	// Host and Port are what region servers of the source are told to connect to. Host must resolve there.
	Host string
	Port int
	// StartCode tells incarnations of the same Host and Port apart; default: milliseconds since the epoch.
	StartCode int64
	// SessionTimeout is how long a dead worker stays registered; default DefaultSessionTimeout.
	SessionTimeout time.Duration
	Log            *slog.Logger
	// OnChange, when set, is called when the registration begins to hold and when it is lost: on an expired
	// session, a removed child, or a ZooKeeper out of reach for as long as the session lasts. Calls come one after
	// the other from one goroutine; Close, which waits for it, must not be called from there.
	OnChange func(registered bool)
}

// Registration keeps a virtual cluster visible to HBase's replication sources:
//
//	<root>/hbaseid                      the cluster's UUID as plain text, persistent
//	<root>/rs                           persistent
//	<root>/rs/<host>,<port>,<startcode> ephemeral, one for each worker
//
// all of them open to the world, because the source's servers read them as whoever they are. A source up to 2.6
// reads nothing else. An existing hbaseid stays. After a session expired, or after someone removed the child,
// everything is created again, for as long as it takes.
type Registration struct {
	cfg   RegistrationConfig
	conn  *Conn
	child string
	quit  chan struct{}
	done  chan struct{}
	once  sync.Once

	mu         sync.Mutex
	clusterID  string
	registered bool
	lastErr    error
	held       chan struct{} // closed once the registration held for the first time
}

// Register connects, registers, and returns when the registration holds for the first time. ctx bounds only that;
// an error then names what failed last.
func Register(ctx context.Context, cfg RegistrationConfig) (*Registration, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	conn, err := Connect(ctx, cfg.Quorum, cfg.SessionTimeout, cfg.Log)
	if err != nil {
		return nil, fmt.Errorf("register virtual cluster %s: %w", cfg.Root, err)
	}
	r := &Registration{
		cfg:   cfg,
		conn:  conn,
		child: path.Join(cfg.Root, "rs", fmt.Sprintf("%s,%d,%d", cfg.Host, cfg.Port, cfg.StartCode)),
		quit:  make(chan struct{}),
		done:  make(chan struct{}),
		held:  make(chan struct{}),
	}
	go r.run()
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	select {
	case <-r.held:
		return r, nil
	case <-ctx.Done():
		err := errors.Join(r.LastError(), ctx.Err(), r.Close())
		return nil, fmt.Errorf("register virtual cluster %s on %s: %w", cfg.Root, strings.Join(conn.Servers(), ","), err)
	}
}

func (cfg *RegistrationConfig) complete() error {
	switch {
	case !strings.HasPrefix(cfg.Root, "/") || strings.HasSuffix(cfg.Root, "/"):
		return fmt.Errorf("register virtual cluster: the parent znode %q must begin with / and not end with it", cfg.Root)
	case cfg.Host == "" || strings.ContainsAny(cfg.Host, ",/ "):
		return fmt.Errorf("register virtual cluster: %q is no host name", cfg.Host)
	case cfg.Port <= 0 || cfg.Port > 65535:
		return fmt.Errorf("register virtual cluster: %d is no port", cfg.Port)
	case cfg.ClusterID == "":
		return errors.New("register virtual cluster: no cluster id")
	}
	if cfg.StartCode == 0 {
		cfg.StartCode = time.Now().UnixMilli()
	}
	if cfg.SessionTimeout <= 0 {
		cfg.SessionTimeout = DefaultSessionTimeout
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// ClusterID is the virtual cluster's UUID as <root>/hbaseid has it, which sources compare with the origins of an
// edit.
func (r *Registration) ClusterID() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clusterID
}

// Registered reports whether the registration holds, as far as this side can know.
func (r *Registration) Registered() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.registered
}

// LastError is why the registration does not hold, nil when it does.
func (r *Registration) LastError() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lastErr
}

// Child is the path of the ephemeral znode.
func (r *Registration) Child() string { return r.child }

// Others lists the other workers of the virtual cluster that are registered now.
func (r *Registration) Others(ctx context.Context) ([]string, error) {
	names, err := r.conn.Children(ctx, path.Dir(r.child))
	if err != nil {
		return nil, fmt.Errorf("list the workers of virtual cluster %s: %w", r.cfg.Root, err)
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == path.Base(r.child) }), nil
}

// RemoveOthers removes the registrations of the other workers and returns their names: of those that have died, while their sessions
// last. A worker that lives registers again.
func (r *Registration) RemoveOthers(ctx context.Context) (removed []string, err error) {
	others, err := r.Others(ctx)
	for _, name := range others {
		if derr := r.conn.Delete(ctx, path.Join(path.Dir(r.child), name)); derr != nil && !errors.Is(derr, ErrNoNode) {
			err = errors.Join(err, fmt.Errorf("remove the registration %s of virtual cluster %s: %w", name, r.cfg.Root, derr))
			continue
		}
		removed = append(removed, name)
	}
	return removed, err
}

// Close removes the child, ends the session and waits until nothing runs any more. Sources stop choosing this
// worker when they see the child gone; calls already on their way still arrive.
func (r *Registration) Close() error {
	var err error
	r.once.Do(func() {
		close(r.quit)
		<-r.done
		ctx, cancel := context.WithTimeout(context.Background(), unregisterTimeout)
		defer cancel()
		if derr := r.conn.Delete(ctx, r.child); derr != nil && !errors.Is(derr, ErrNoNode) {
			// Not an error of Close: the child vanishes with the session.
			r.cfg.Log.Debug("unregister", "error", derr)
		}
		err = r.conn.Close()
		r.mu.Lock()
		r.registered = false
		r.mu.Unlock()
	})
	return err
}

// run registers at every new session until Close.
func (r *Registration) run() {
	defer close(r.done)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-r.quit:
			cancel()
		case <-ctx.Done():
		}
	}()
	for r.awaitSession() {
		state := r.conn.stateChanged()
		created, event, err := r.ensure(ctx)
		if ctx.Err() != nil {
			return
		}
		lost := created && r.Registered()
		if lost {
			r.set(errors.New("the registration was gone: session expired or znode removed"))
		}
		r.set(err)
		// Two workers with the same host and port would remove each other's child as stale: not in a tight loop.
		if lost && !r.pause() || !r.awaitChange(state, event, err) {
			return
		}
	}
}

// awaitSession waits until there is a session. Out of reach for as long as a session lasts, the registration
// counts as lost. It returns false at Close.
func (r *Registration) awaitSession() bool {
	lost := time.NewTimer(r.cfg.SessionTimeout)
	defer lost.Stop()
	for {
		state := r.conn.stateChanged()
		if r.conn.zk.State() == zk.StateHasSession {
			return true
		}
		select {
		case <-state:
		case <-lost.C:
			r.set(fmt.Errorf("zookeeper %s out of reach for %s%s",
				strings.Join(r.conn.Servers(), ","), r.cfg.SessionTimeout, r.conn.dialErrors()))
		case <-r.quit:
			return false
		}
	}
}

// pause returns false at Close.
func (r *Registration) pause() bool {
	select {
	case <-time.After(registerRetry):
		return true
	case <-r.quit:
		return false
	}
}

// awaitChange waits for a reason to look at the registration again. It returns false at Close.
func (r *Registration) awaitChange(state <-chan struct{}, event <-chan zk.Event, err error) bool {
	var retry <-chan time.Time
	if err != nil {
		timer := time.NewTimer(registerRetry)
		defer timer.Stop()
		retry = timer.C
	}
	select {
	case <-state:
	case <-event:
	case <-retry:
	case <-r.quit:
		return false
	}
	return true
}

// ensure makes the registration hold. It reports whether it had to create the child, and returns a channel that
// gets an event when the child changes.
func (r *Registration) ensure(ctx context.Context) (created bool, event <-chan zk.Event, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.SessionTimeout)
	defer cancel()
	session := r.conn.SessionID()
	rs := path.Dir(r.child)
	if err := r.conn.CreateAll(ctx, rs); err != nil {
		return false, nil, err
	}
	if err := r.ensureClusterID(ctx); err != nil {
		return false, nil, err
	}
	if err := r.removeStale(ctx, rs); err != nil {
		return false, nil, err
	}
	w, err := r.conn.watch(ctx, r.child)
	if err != nil {
		return false, nil, err
	}
	if w.stat != nil && w.stat.EphemeralOwner == session {
		return false, w.event, nil
	}
	if w.stat != nil { // left by a former session of this worker
		if err := r.conn.Delete(ctx, r.child); err != nil && !errors.Is(err, ErrNoNode) {
			return false, nil, err
		}
	}
	err = r.conn.CreateEphemeral(ctx, r.child, nil)
	if err != nil && !errors.Is(err, ErrNodeExists) {
		return false, nil, err
	}
	// The first watch fired at the creation; this one also tells whose child it is.
	if w, err = r.conn.watch(ctx, r.child); err != nil {
		return true, nil, err
	}
	if w.stat == nil || w.stat.EphemeralOwner != session {
		return true, nil, fmt.Errorf("create %s: it belongs to another session", r.child)
	}
	return true, w.event, nil
}

// ensureClusterID creates <root>/hbaseid or adopts the one that is there, which another worker may have created
// at the same time.
func (r *Registration) ensureClusterID(ctx context.Context) error {
	znode := path.Join(r.cfg.Root, "hbaseid")
	want := r.ClusterID()
	if want == "" {
		want = r.cfg.ClusterID
	}
	err := r.conn.Create(ctx, znode, []byte(want))
	if err != nil && !errors.Is(err, ErrNodeExists) {
		return err
	}
	payload, err := r.conn.Get(ctx, znode)
	if err != nil {
		return err
	}
	id, err := ParseClusterID(payload)
	if err != nil {
		return fmt.Errorf("read %s: %w", znode, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.clusterID == "" {
		r.clusterID = id
	}
	if id != r.clusterID {
		return fmt.Errorf("read %s: the cluster id changed from %s to %s: "+
			"another virtual cluster uses this znode, or someone wrote to it; restore it or restart the worker",
			znode, r.clusterID, id)
	}
	return nil
}

// removeStale removes children of former incarnations: sources would go on connecting to them.
func (r *Registration) removeStale(ctx context.Context, rs string) error {
	names, err := r.conn.Children(ctx, rs)
	if err != nil {
		return err
	}
	prefix := fmt.Sprintf("%s,%d,", r.cfg.Host, r.cfg.Port)
	for _, name := range names {
		if !strings.HasPrefix(name, prefix) || name == path.Base(r.child) {
			continue
		}
		r.cfg.Log.Info("remove stale registration", "znode", path.Join(rs, name))
		if err := r.conn.Delete(ctx, path.Join(rs, name)); err != nil && !errors.Is(err, ErrNoNode) {
			return err
		}
	}
	return nil
}

// set records the outcome of an attempt and tells OnChange about a change.
func (r *Registration) set(err error) {
	r.mu.Lock()
	changed := r.registered != (err == nil)
	r.registered = err == nil
	r.lastErr = err
	if err == nil {
		select {
		case <-r.held:
		default:
			close(r.held)
		}
	}
	r.mu.Unlock()
	if err != nil {
		r.cfg.Log.Warn("virtual cluster is not registered", "znode", r.child, "error", err)
	} else if changed {
		r.cfg.Log.Info("virtual cluster registered", "znode", r.child, "cluster_id", r.ClusterID())
	}
	if changed && r.cfg.OnChange != nil {
		r.cfg.OnChange(err == nil)
	}
}

// ErrServed says that somebody serves a virtual cluster.
var ErrServed = errors.New("a server is registered")

// remover is the part of a Conn that RemoveCluster uses.
type remover interface {
	Children(ctx context.Context, znode string) ([]string, error)
	Delete(ctx context.Context, znode string) error
}

// RemoveCluster removes the znodes of a virtual cluster that nobody serves any more. It leaves one that has a server registered, or
// holds anything that a Registration does not make, and says so. removed is false when there is none.
func RemoveCluster(ctx context.Context, c remover, root string) (removed bool, err error) {
	names, err := c.Children(ctx, root)
	if errors.Is(err, ErrNoNode) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, name := range names {
		if name != "hbaseid" && name != "rs" {
			return false, fmt.Errorf("znode %s holds %s, which waltap has not made: it stays", root, name)
		}
	}
	servers, err := c.Children(ctx, path.Join(root, "rs"))
	if err != nil && !errors.Is(err, ErrNoNode) {
		return false, err
	}
	if len(servers) > 0 {
		return false, fmt.Errorf("znode %s: %w (%s): stop it first", root, ErrServed, strings.Join(servers, ", "))
	}
	for _, znode := range []string{path.Join(root, "rs"), path.Join(root, "hbaseid"), root} {
		if err := c.Delete(ctx, znode); err != nil && !errors.Is(err, ErrNoNode) {
			return false, err
		}
	}
	return true, nil
}
