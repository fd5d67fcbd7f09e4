// Package tasks shares the work of one connector among the processes that run it.
//
// They are members of a consumer group on the connector's task topic, which holds no records: a partition of it is the
// right to work on one task. Task 0 is also the right to lead, and stays with the process that has it over rebalances.
// There is no other coordinator.
//
// A group is no fence: a process that was paused, or cut off, may still have records in hand when its tasks have gone to
// another one. So
//   - each process that begins to work says so on the offsets topic, and takes it back when nothing of its work is under
//     way any more (Member.Busy, Member.Idle);
//   - a process that has noticed a pause of its own sends nothing more in that generation (lease);
//   - what must come behind all the work, the leader does when all that have begun have said that they are through, or are
//     known to be dead, or have been out of the group for fenceTimeout (Leadership.Unsettled).
package tasks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/internal/kafka"
)

const (
	// sessionTimeout is how long the group waits for a silent process. Kafka's lower limit is 6 s.
	sessionTimeout = 10 * time.Second
	// rebalanceTimeout is how long the group waits for a process to end its work when tasks are shared out anew.
	rebalanceTimeout = 30 * time.Second
	// leadPatience is how long a leader goes on without a word from the group, say while Kafka is away.
	leadPatience = 45 * time.Second
	// fenceTimeout is how long a process that has dropped out of the group may still send: it notices by its next heartbeat
	// or by its pause, then has stopTimeout (package scan) to deliver what it has read, in requests of at most 10 s.
	fenceTimeout = 30 * time.Second
)

// Config of Run.
type Config struct {
	Client    *kafka.Client
	Store     *checkpoint.Store
	Connector string
	Topic     string // exists
	// Wants, if set, lists the tasks that this process is to have where the choice is free.
	Wants func() []int
	Log   *slog.Logger
}

// Group is the consumer group of a connector's processes.
func Group(connector string) string { return "waltap-" + connector }

// Roles are what a process does. The contexts of both end when the process is to stop it; what is in hand then may be
// brought to its end within seconds. An error of either ends Run with it.
type Roles struct {
	// Lead is called when the process has come to lead, and once more if it has lost that in between. When it returns
	// nil, the connector's work is at its end.
	Lead func(ctx context.Context, l *Leadership) error
	// Work is called for each generation with the tasks of this process. It returns when ctx has ended.
	Work func(ctx context.Context, m *Member) error
}

// Run takes part in the work until ctx ends, a role fails, or Lead has returned nil.
func Run(ctx context.Context, cfg Config, roles Roles) error {
	r := &runner{cfg: cfg, roles: roles, board: board{store: cfg.Store, connector: cfg.Connector}}
	if err := r.buryDead(ctx); err != nil {
		return err
	}
	gctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	r.leave = cancel
	// The leader ends its work first, then this process leaves the group.
	stop := context.AfterFunc(ctx, func() {
		r.endLeading()
		cancel()
	})
	defer stop()
	err := r.consume(gctx)
	for errors.Is(err, errPaused) && gctx.Err() == nil {
		err = r.consume(gctx)
	}
	r.endLeading()
	err = errors.Join(err, r.handOver())
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.ended:
		return r.end
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		return err
	}
}

// consume is a member of the group until ctx ends, this process has paused, or a role has ended.
func (r *runner) consume(ctx context.Context) error {
	return r.cfg.Client.ConsumeGroup(ctx, kafka.GroupConfig{
		GroupID: Group(r.cfg.Connector), Topics: []string{r.cfg.Topic}, SessionTimeout: sessionTimeout, RebalanceTimeout: rebalanceTimeout,
		HeartbeatInterval: time.Second, Balancer: balancer{r}, OnState: r.groupState,
	}, r.generation)
}

// runner is a Run.
type runner struct {
	cfg   Config
	roles Roles
	board board
	leave context.CancelFunc

	mu      sync.Mutex
	leading *leading
	stopped bool        // leads no more
	silent  *time.Timer // ends a leadership of which the group says nothing
	away    bool        // the group does not answer
	ended   bool        // a role has returned
	end     error
	last    func() error // what a leadership that has ended leaves to be done when this process is out of the group
}

// leading is a call of Roles.Lead.
type leading struct {
	since  time.Time
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
}

// generation works on what the group has given to this process, until the generation ends.
func (r *runner) generation(ctx context.Context, a *kafka.Assignment) error {
	m := &Member{ID: a.MemberID, Generation: a.Generation, board: &r.board, lease: newLease()}
	defer m.lease.end()
	for _, p := range a.Partitions {
		m.Tasks = append(m.Tasks, int(p.Partition))
	}
	m.Leads = len(m.Tasks) > 0 && m.Tasks[0] == 0
	r.cfg.Log.Info("tasks shared out among the connector's processes", "generation", a.Generation, "tasks", m.Tasks, "leads", m.Leads)
	r.heard()
	if m.Leads {
		r.lead(ctx)
	} else {
		r.stopLeading()
	}
	err := r.roles.Work(ctx, m)
	// Also when ctx has ended: the others need not wait for what is known to be through.
	sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	if serr := m.stopped(sctx); err == nil {
		err = serr
	}
	switch {
	case err == nil || ctx.Err() != nil:
		return nil
	case errors.Is(err, errPaused):
		r.cfg.Log.Warn("this process stood still, it asks for tasks anew", "error", err)
		return errPaused
	}
	r.finish(err)
	return err
}

// heard notes that the group has spoken.
func (r *runner) heard() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.silent != nil {
		r.silent.Stop()
	}
	r.silent, r.away = nil, false
}

// lead begins to lead, unless this process does so already. A leadership that is ending is waited for.
func (r *runner) lead(ctx context.Context) {
	r.mu.Lock()
	if l := r.leading; l != nil && l.ctx.Err() != nil {
		r.mu.Unlock()
		r.stopLeading()
		r.mu.Lock()
	}
	defer r.mu.Unlock()
	if r.leading != nil || r.stopped || r.ended {
		return
	}
	l := &leading{since: time.Now(), done: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx)) // ctx ends with the generation
	r.leading = l
	go func() {
		defer close(l.done)
		err := r.roles.Lead(l.ctx, &Leadership{r: r, board: &r.board, client: r.cfg.Client, log: r.cfg.Log, absent: make(map[string]time.Time)})
		if l.ctx.Err() == nil {
			r.finish(err)
		}
	}()
}

// stopLeading returns when this process does not lead any more.
func (r *runner) stopLeading() {
	r.mu.Lock()
	l := r.leading
	r.mu.Unlock()
	if l == nil {
		return
	}
	l.cancel()
	<-l.done
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leading == l {
		r.leading = nil
	}
}

// endLeading stops it for good.
func (r *runner) endLeading() {
	r.mu.Lock()
	r.stopped = true
	if r.silent != nil {
		r.silent.Stop()
	}
	r.mu.Unlock()
	r.stopLeading()
}

// finish keeps how the first role has ended, and takes this process out of the group.
func (r *runner) finish(err error) {
	r.mu.Lock()
	if !r.ended {
		r.ended, r.end = true, err
	}
	r.mu.Unlock()
	r.leave()
}

// groupState ends a leadership of which the group has not confirmed anything for too long.
func (r *runner) groupState(s kafka.GroupState) {
	if s.Phase == kafka.GroupRunning {
		return // generation decides
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.Phase == kafka.GroupUnavailable && !r.away {
		r.away = true
		r.cfg.Log.Warn("the group of the connector's processes cannot be joined at the moment", "group", Group(r.cfg.Connector), "error", s.Err)
	}
	if r.leading == nil || r.silent != nil || r.stopped {
		return
	}
	r.silent = time.AfterFunc(leadPatience, func() {
		r.cfg.Log.Warn("this process leads no more: its group has not answered", "for", leadPatience)
		r.stopLeading()
	})
}

// buryDead takes processes of this machine that have died out of the group: else it would wait for their sessions to end.
func (r *runner) buryDead(ctx context.Context) error {
	entries, err := r.board.entries()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Process.dead() {
			continue
		}
		if err := r.cfg.Client.LeaveGroup(ctx, Group(r.cfg.Connector), e.Member); err != nil && !errors.Is(err, context.Canceled) {
			r.cfg.Log.Info("a process that has died could not be taken out of its group, which waits for its session to end", "member", e.Member, "error", err)
		}
		if err := r.board.remove(ctx, e.Member); err != nil {
			return err
		}
	}
	return nil
}

// isLeading tells whether, and since when, this process leads.
func (r *runner) isLeading() (since time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leading == nil || r.leading.ctx.Err() != nil {
		return time.Time{}, false
	}
	return r.leading.since, true
}

// Leadership is what the leading process may ask.
type Leadership struct {
	r      *runner
	board  *board
	client *kafka.Client
	log    *slog.Logger
	absent map[string]time.Time // members with work in hand, since when they are out of the group
}

// HandOver leaves last to be done when this process has left the group, so that another one leads already, and tells whether it
// will be: only when this process is to stop. It is called at the end of Roles.Lead.
func (l *Leadership) HandOver(last func() error) bool {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	if !l.r.stopped {
		return false
	}
	l.r.last = last
	return true
}

// Successors tells whether there are other processes in the group.
func (l *Leadership) Successors(ctx context.Context) (bool, error) {
	members, err := l.client.GroupMembers(ctx, Group(l.board.connector))
	return len(members) > 0, err
}

// handOver does what the last leadership has left.
func (r *runner) handOver() error {
	r.mu.Lock()
	last := r.last
	r.last = nil
	r.mu.Unlock()
	if last == nil {
		return nil
	}
	return last()
}

// Unsettled names a process of which work may still be under way; "" when there is none. The caller has made sure before
// that there is nothing left to begin: see Member.Busy. It is used by one goroutine.
func (l *Leadership) Unsettled(ctx context.Context) (string, error) {
	entries, err := l.board.entries()
	if err != nil {
		return "", err
	}
	var there map[string]bool
	for _, e := range entries {
		if !e.Busy {
			continue
		}
		if there == nil {
			members, err := l.client.GroupMembers(ctx, Group(l.board.connector))
			if err != nil {
				return "", err
			}
			there = make(map[string]bool, len(members))
			for _, m := range members {
				there[m.ID] = true
			}
		}
		if why := l.unsettled(e, there[e.Member]); why != "" {
			return why, nil
		}
		l.log.Warn("a process has ended without a word, its work is taken to be at its end", "member", e.Member, "host", e.Process.Host)
		if err := l.board.remove(ctx, e.Member); err != nil {
			return "", err
		}
	}
	return "", nil
}

func (l *Leadership) unsettled(e entry, member bool) string {
	if member {
		delete(l.absent, e.Member)
		return fmt.Sprintf("process %d on %s is at work", e.Process.PID, e.Process.Host)
	}
	if e.Process.dead() || unfenced {
		return ""
	}
	since, ok := l.absent[e.Member]
	if !ok {
		since = time.Now()
		l.absent[e.Member] = since
	}
	if left := fenceTimeout - time.Since(since); left > 0 {
		return fmt.Sprintf("process %d on %s has dropped out and may still send for %s", e.Process.PID, e.Process.Host, left.Round(time.Second))
	}
	return ""
}
