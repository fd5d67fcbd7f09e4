package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

// ErrNoAuth says that ZooKeeper does not let us do that.
var ErrNoAuth = zk.ErrNoAuth

const (
	// lockSessionTimeout is how long the lock of a holder that died keeps the others waiting.
	lockSessionTimeout = 10 * time.Second
	// lockLook is how often one who waits looks again, whatever the watch says.
	lockLook = 2 * time.Second
	// unlockTimeout bounds the removal of the znode in Release; the end of the session removes it as well.
	unlockTimeout = 2 * time.Second

	lockPrefix = "lock-"
)

// LockConfig describes one who asks for a lock.
type LockConfig struct {
	Quorum []string
	// Znode is the lock: a persistent znode, created if missing, whose children are those who ask for it.
	Znode string
	// Owner names who asks, for those who wait. Of one owner only the latest counts: what an earlier process of it has left,
	// or still holds, is taken away, so that one that died keeps its successor waiting not even for its session.
	Owner string
	// SessionTimeout is how long the lock of a holder that died keeps the others waiting; default 10s.
	SessionTimeout time.Duration
	// Waiting, when set, is called with the owner that holds the lock, each time that is another one.
	Waiting func(holder string)
	Log     *slog.Logger
}

// Lock is held until Release, or until it is lost.
//
//	<znode>                    persistent, empty
//	<znode>/lock-0000000007    ephemeral, the owner as text; the lowest number holds the lock
//
// It has a session of its own, so that its end removes the znode whatever becomes of the rest of the process.
type Lock struct {
	cfg   LockConfig
	zk    lockConn
	child string
	lost  chan struct{}
	quit  context.CancelFunc
	done  chan struct{}
	once  sync.Once
}

// lockConn is what a lock asks of a session; a *Conn.
type lockConn interface {
	Children(ctx context.Context, znode string) ([]string, error)
	CreateAll(ctx context.Context, znode string) error
	Delete(ctx context.Context, znode string) error
	SessionID() int64
	Close() error
	createSequential(ctx context.Context, prefix string, data []byte) error
	read(ctx context.Context, znode string) (data []byte, session int64, err error)
	watch(ctx context.Context, znode string) (watched, error)
	stateChanged() <-chan struct{}
}

// AcquireLock waits for the lock until ctx ends.
func AcquireLock(ctx context.Context, cfg LockConfig) (*Lock, error) {
	if cfg.SessionTimeout <= 0 {
		cfg.SessionTimeout = lockSessionTimeout
	}
	conn, err := Connect(ctx, cfg.Quorum, cfg.SessionTimeout, cfg.Log)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", cfg.Znode, err)
	}
	l, err := acquire(ctx, conn, cfg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", cfg.Znode, err), conn.Close())
	}
	return l, nil
}

func acquire(ctx context.Context, conn lockConn, cfg LockConfig) (*Lock, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l := &Lock{cfg: cfg, zk: conn, lost: make(chan struct{}), done: make(chan struct{})}
	if err := conn.CreateAll(ctx, cfg.Znode); err != nil {
		return nil, err
	}
	holder := ""
	failed := func(err error) error {
		if holder != "" {
			err = fmt.Errorf("held by %s: %w", holder, err)
		}
		return err
	}
	for {
		state := conn.stateChanged()
		q, err := l.look(ctx)
		if err != nil {
			return nil, failed(err)
		}
		switch {
		case q.mine == "":
			if err := conn.createSequential(ctx, path.Join(cfg.Znode, lockPrefix), []byte(cfg.Owner)); err != nil {
				return nil, failed(err)
			}
			continue
		case q.first == q.mine:
			l.child = q.mine
			gctx, quit := context.WithCancel(context.Background())
			l.quit = quit
			go l.guard(gctx)
			return l, nil
		case q.holder != holder:
			if holder = q.holder; cfg.Waiting != nil {
				cfg.Waiting(holder)
			}
		}
		w, err := conn.watch(ctx, q.first)
		if err != nil {
			return nil, failed(err)
		}
		if w.stat == nil {
			continue
		}
		if err := awaitAny(ctx, w.event, state); err != nil {
			return nil, failed(err)
		}
	}
}

// awaitAny returns when the znode or the session has changed, or lockLook has passed.
func awaitAny(ctx context.Context, event <-chan zk.Event, state <-chan struct{}) error {
	t := time.NewTimer(lockLook)
	defer t.Stop()
	select {
	case <-event:
	case <-state:
	case <-t.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// queue is those who ask for a lock.
type queue struct {
	first, holder string // the znode that holds it, and its owner
	mine          string // the znode of this session; "": none
}

// look reads the queue and takes away what other processes of this owner have in it.
func (l *Lock) look(ctx context.Context) (q queue, err error) {
	names, err := l.zk.Children(ctx, l.cfg.Znode) // sorted; the numbers have ten digits
	if err != nil {
		return q, err
	}
	session := l.zk.SessionID()
	for _, name := range names {
		if !strings.HasPrefix(name, lockPrefix) {
			continue
		}
		znode := path.Join(l.cfg.Znode, name)
		owner, of, err := l.zk.read(ctx, znode)
		if errors.Is(err, ErrNoNode) {
			continue
		}
		if err != nil {
			return q, err
		}
		switch {
		case of == session && q.mine == "":
			q.mine = znode
		case of == session || string(owner) == l.cfg.Owner: // made by a call whose answer was lost; left by an earlier process
			if err := l.zk.Delete(ctx, znode); err != nil && !errors.Is(err, ErrNoNode) {
				return q, err
			}
			continue
		}
		if q.first == "" {
			q.first, q.holder = znode, string(owner)
		}
	}
	return q, nil
}

// guard looks after the lock until Release. A ZooKeeper that does not answer costs the lock before the session can have
// ended there: the library notices after two thirds of its time, and a quarter of it is waited for an answer.
func (l *Lock) guard(ctx context.Context) {
	defer close(l.done)
	for {
		state := l.zk.stateChanged()
		wctx, cancel := context.WithTimeout(ctx, l.cfg.SessionTimeout/4)
		w, err := l.zk.watch(wctx, l.child)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err != nil || w.stat == nil || w.stat.EphemeralOwner != l.zk.SessionID() {
			l.cfg.Log.Warn("the lock is lost", "znode", l.child, "error", err)
			close(l.lost)
			return
		}
		select {
		case <-w.event:
		case <-state:
		case <-ctx.Done():
			return
		}
	}
}

// Lost is closed when the lock is no longer held although it was not released.
func (l *Lock) Lost() <-chan struct{} { return l.lost }

// Release gives the lock up and ends its session.
func (l *Lock) Release() error {
	var err error
	l.once.Do(func() {
		l.quit()
		<-l.done
		ctx, cancel := context.WithTimeout(context.Background(), unlockTimeout)
		defer cancel()
		if derr := l.zk.Delete(ctx, l.child); derr != nil && !errors.Is(derr, ErrNoNode) {
			l.cfg.Log.Debug("release the lock", "znode", l.child, "error", derr) // it vanishes with the session
		}
		err = l.zk.Close()
	})
	return err
}

// createSequential creates an ephemeral znode with a number behind its name.
func (c *Conn) createSequential(ctx context.Context, prefix string, data []byte) error {
	return c.create(ctx, prefix, data, zk.FlagEphemeral|zk.FlagSequence)
}

// read returns a znode's data and the session it lives as long as.
func (c *Conn) read(ctx context.Context, znode string) ([]byte, int64, error) {
	var session int64
	data, err := do(ctx, c, "read", znode, func() ([]byte, error) {
		data, stat, err := c.zk.Get(znode)
		if err == nil {
			session = stat.EphemeralOwner
		}
		return data, err
	})
	return data, session, err
}
