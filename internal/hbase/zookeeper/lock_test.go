package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-zookeeper/zk"
)

// lockServer is the part of a ZooKeeper that locks use.
type lockServer struct {
	mu      sync.Mutex
	nodes   map[string]lockNode
	number  int
	session int64
	watches map[string][]chan zk.Event
	refuse  error
}

type lockNode struct {
	data    []byte
	session int64
}

func newLockServer() *lockServer {
	return &lockServer{nodes: make(map[string]lockNode), watches: make(map[string][]chan zk.Event)}
}

// lockSession is a session with it. While away, nothing is answered.
type lockSession struct {
	*lockServer
	id    int64
	state chan struct{}
	away  chan struct{} // nil: it answers; else closed when it does again
}

func (s *lockServer) connect() *lockSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session++
	return &lockSession{lockServer: s, id: s.session, state: make(chan struct{})}
}

// expire ends a session as its server sees it; the client has a new one at once.
func (c *lockSession) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for znode, n := range c.nodes {
		if n.session == c.id {
			c.remove(znode)
		}
	}
	c.lockServer.session++
	c.id = c.lockServer.session
}

func (s *lockServer) remove(znode string) {
	delete(s.nodes, znode)
	for _, w := range s.watches[znode] {
		w <- zk.Event{Type: zk.EventNodeDeleted}
	}
	delete(s.watches, znode)
}

// enter waits until the server answers.
func (c *lockSession) enter(ctx context.Context) error {
	c.mu.Lock()
	away := c.away
	c.mu.Unlock()
	if away != nil {
		select {
		case <-away:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

func (c *lockSession) Children(ctx context.Context, znode string) ([]string, error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for p := range c.nodes {
		if path.Dir(p) == znode {
			names = append(names, path.Base(p))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (c *lockSession) CreateAll(ctx context.Context, znode string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[znode] = lockNode{}
	return c.refuse
}

func (c *lockSession) Delete(_ context.Context, znode string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.nodes[znode]; !ok {
		return ErrNoNode
	}
	c.remove(znode)
	return nil
}

func (c *lockSession) SessionID() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.id
}

func (c *lockSession) Close() error {
	c.expire()
	return nil
}

func (c *lockSession) createSequential(ctx context.Context, prefix string, data []byte) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number++
	c.nodes[fmt.Sprintf("%s%010d", prefix, c.number)] = lockNode{data, c.id}
	return nil
}

func (c *lockSession) read(_ context.Context, znode string) ([]byte, int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, ok := c.nodes[znode]
	if !ok {
		return nil, 0, ErrNoNode
	}
	return n.data, n.session, nil
}

func (c *lockSession) watch(ctx context.Context, znode string) (watched, error) {
	if err := c.enter(ctx); err != nil {
		return watched{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	event := make(chan zk.Event, 1)
	c.watches[znode] = append(c.watches[znode], event)
	n, ok := c.nodes[znode]
	if !ok {
		return watched{nil, event}, nil
	}
	return watched{&zk.Stat{EphemeralOwner: n.session}, event}, nil
}

func (c *lockSession) stateChanged() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// cut takes the server away from the session, which notices.
func (c *lockSession) cut() (heal func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	away := make(chan struct{})
	c.away = away
	close(c.state)
	c.state = make(chan struct{})
	return func() {
		c.mu.Lock()
		c.away = nil
		c.mu.Unlock()
		close(away)
	}
}

func lockConfig(owner string) LockConfig {
	return LockConfig{Znode: "/locks/a", Owner: owner, SessionTimeout: 10 * time.Second}
}

func TestOneAtATimeHoldsALock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLockServer()
		var mu sync.Mutex
		inside, most, waited := 0, 0, map[string]bool{}
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				cfg := lockConfig(fmt.Sprint("connector ", i))
				cfg.Waiting = func(holder string) {
					mu.Lock()
					defer mu.Unlock()
					waited[holder] = true
				}
				l, err := acquire(t.Context(), s.connect(), cfg)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				inside++
				most = max(most, inside)
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				inside--
				mu.Unlock()
				if err := l.Release(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if most != 1 {
			t.Errorf("%d held the lock at once", most)
		}
		if len(waited) == 0 || !strings.HasPrefix(fmt.Sprint(waited), "map[connector ") {
			t.Errorf("those who waited were told of %v", waited)
		}
		if names, err := s.connect().Children(t.Context(), "/locks/a"); err != nil || len(names) > 0 {
			t.Errorf("znodes left: %v, %v", names, err)
		}
	})
}

func TestWaitingForALockEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLockServer()
		l, err := acquire(t.Context(), s.connect(), lockConfig("a"))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Release()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = acquire(ctx, s.connect(), lockConfig("b"))
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "held by a") {
			t.Errorf("error %v", err)
		}
	})
}

func TestALockOutlivesItsHolderByItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLockServer()
		dead := s.connect()
		if err := dead.createSequential(t.Context(), "/locks/a/lock-", []byte("a")); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		go func() {
			time.Sleep(10 * time.Second)
			dead.expire()
		}()
		l, err := acquire(t.Context(), s.connect(), lockConfig("b"))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Release()
		if waited := time.Since(begin); waited != 10*time.Second {
			t.Errorf("got the lock after %s", waited)
		}
	})
}

func TestASuccessorTakesTheLockOfItsOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLockServer()
		before, err := acquire(t.Context(), s.connect(), lockConfig("a"))
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		l, err := acquire(t.Context(), s.connect(), lockConfig("a"))
		if err != nil {
			t.Fatal(err)
		}
		if time.Since(begin) != 0 {
			t.Errorf("waited %s", time.Since(begin))
		}
		<-before.Lost() // one that is alive after all is told
		if err := errors.Join(before.Release(), l.Release()); err != nil {
			t.Error(err)
		}
	})
}

func TestALockIsLost(t *testing.T) {
	for name, tc := range map[string]struct {
		what func(*lockSession)
		lost bool
	}{
		"its session expired":                    {func(c *lockSession) { c.expire() }, true},
		"no answer for as long as a session":     {func(c *lockSession) { c.cut() }, true},
		"no answer for a moment":                 {func(c *lockSession) { heal := c.cut(); time.Sleep(time.Second); heal() }, false},
		"a session that expired while cut off":   {func(c *lockSession) { heal := c.cut(); c.expire(); time.Sleep(time.Second); heal() }, true},
		"(nothing)":                              {func(*lockSession) {}, false},
		"another session's znode under its name": {func(c *lockSession) { c.nodes["/locks/a/lock-0000000001"] = lockNode{session: 99}; c.cut()() }, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := newLockServer().connect()
				l, err := acquire(t.Context(), conn, lockConfig("a"))
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				tc.what(conn)
				select {
				case <-l.Lost():
					if !tc.lost {
						t.Error("lost")
					}
				case <-time.After(3 * time.Second): // a quarter of the session's time, and some
					if tc.lost {
						t.Error("still held")
					}
				}
				if err := l.Release(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestALockThatIsRefused(t *testing.T) {
	s := newLockServer()
	s.refuse = ErrNoAuth
	if _, err := acquire(t.Context(), s.connect(), lockConfig("a")); !errors.Is(err, ErrNoAuth) {
		t.Errorf("error %v", err)
	}
}
