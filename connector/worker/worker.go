// Package worker runs connectors as one of the workers of a group, or alone.
//
// Workers of one group.id agree by Kafka's own means, and by nothing else:
//
//	config topic   the connectors and what was asked for; any worker writes, the first of two writers wins (see configs)
//	status topic   what the workers say about connectors and tasks
//	group          who is there, and who runs which task: the group's leader deals them out (see deal)
//
// A group is no fence. What must not run twice is fenced by the connectors themselves: the processes of a source by the group of its
// task topic (package tasks), a sink by its consumer group. So a worker that has lost a task and does not know it yet does no harm, and
// tasks that stay where they are run on while the group agrees anew.
package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/internal/kafka"
)

// Config of a Worker.
type Config struct {
	Process *config.Process
	Kafka   *kafka.Client
	Version string
	// ID is the worker's, host:port.
	ID string
	// Alone: there is no group, and nothing is kept on topics.
	Alone bool
	// Run runs a connector until ctx ends (nil), or it is at its end (nil) or fails.
	Run func(ctx context.Context, c *config.Connector, st *status.Connector, o Options) error
	// Control opens the control of a source's peer.
	Control func(ctx context.Context, c *config.Connector) (Control, error)
	// Limits changes the speed of a source's scan; see Signal.
	Limits func(name string, rows, bytes *int64) bool
	// Pause lets a source's scan read nothing, or go on; see Signal.
	Pause func(name string, paused bool) bool
	// Parse reads a connector's configuration.
	Parse func(name string, props map[string]string) (*config.Connector, error)
	// Ended, if set, is told of each connector that has come to its end here (nil) or has failed.
	Ended func(name string, err error)
	// SetLogLevel gives a logger a level.
	SetLogLevel func(logger, level string) error
	Status      *status.Process
	Log         *slog.Logger
}

const (
	protocolType = "waltap"
	protocol     = "waltap-1"
	leadInterval = time.Second // of what the leader looks after
	// stopTimeout is how long a worker that stops waits for its connectors.
	stopTimeout = 40 * time.Second
)

// Worker runs connectors.
type Worker struct {
	cfg      Config
	id       string
	log      *slog.Logger
	config   topicLog
	status   topicLog
	configs  *configs
	statuses *statuses
	ready    chan struct{} // both topics are read

	mu         sync.Mutex
	assignment *assignment
	leads      bool
	member     bool
	units      map[string]*unit
	running    sync.WaitGroup
	ctx        context.Context // of the units
	fault      map[string]string

	rejoin   chan struct{}
	changed  chan struct{}
	removals map[string]time.Time // of the leader's loop
	last     sync.Map             // of retry: when a text was logged last
}

var _ herder.Herder = (*Worker)(nil)

// New opens the topics.
func New(ctx context.Context, cfg Config) (*Worker, error) {
	w := &Worker{cfg: cfg, id: cfg.ID, log: cfg.Log, configs: newConfigs(), statuses: newStatuses(), ready: make(chan struct{}), units: map[string]*unit{},
		rejoin: make(chan struct{}, 1), changed: make(chan struct{}, 1), removals: map[string]time.Time{}, fault: map[string]string{}}
	w.configs.changed, w.configs.command = w.poke, w.command
	if cfg.Alone {
		w.config, w.status = newMemoryLog(), newMemoryLog()
		return w, nil
	}
	p := &cfg.Process.Worker
	var err error
	if w.config, err = openLog(ctx, cfg.Kafka, "config.storage.topic", p.ConfigTopic, p.ConfigReplicas); err != nil {
		return nil, err
	}
	if w.status, err = openLog(ctx, cfg.Kafka, "status.storage.topic", p.StatusTopic, p.StatusReplicas); err != nil {
		return nil, errors.Join(err, w.config.close())
	}
	return w, nil
}

// Run is a worker until ctx ends: then it leaves the group first, so that others begin with its tasks while it stops its own. An error
// is what keeps it from being one.
func (w *Worker) Run(ctx context.Context) error {
	logs, stopLogs := context.WithCancel(context.WithoutCancel(ctx))
	units, stopUnits := context.WithCancel(context.WithoutCancel(ctx))
	w.ctx = units
	gctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	var readers sync.WaitGroup
	var caught sync.WaitGroup
	caught.Add(2)
	read := func(l topicLog, apply func(record) bool) {
		readers.Go(func() {
			if err := l.run(logs, apply, caught.Done); err != nil && logs.Err() == nil {
				leave(err)
			}
		})
	}
	read(w.config, w.configs.apply)
	read(w.status, w.statuses.apply)
	caughtUp := make(chan struct{})
	go func() { caught.Wait(); close(caughtUp) }()
	select {
	case <-caughtUp:
		err := w.work(gctx)
		if gctx.Err() != nil && ctx.Err() == nil {
			err = context.Cause(gctx)
		}
		leave(err)
	case <-gctx.Done():
	}
	stopUnits()
	stopped := make(chan struct{})
	go func() { w.running.Wait(); close(stopped) }()
	var err error
	patience := time.After(stopTimeout)
	if w.cfg.Alone {
		patience = nil // whoever runs it says how long
	}
	select {
	case <-stopped:
	case <-patience:
		err = fmt.Errorf("connectors did not stop within %s", stopTimeout)
	}
	stopLogs()
	readers.Wait()
	err = errors.Join(err, w.config.close(), w.status.close())
	if cause := context.Cause(gctx); ctx.Err() == nil && !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	return err
}

// work takes part in the group until ctx ends.
func (w *Worker) work(ctx context.Context) error {
	w.configs.mu.Lock()
	w.configs.live = true
	w.configs.mu.Unlock()
	close(w.ready)
	var looking sync.WaitGroup
	defer looking.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	looking.Go(func() { w.look(ctx) })
	if w.cfg.Alone {
		w.mu.Lock()
		w.member, w.leads = true, true
		w.mu.Unlock()
		w.dealAlone()
		<-ctx.Done()
		return nil
	}
	return w.cfg.Kafka.JoinPeers(ctx, kafka.PeerGroupConfig{
		GroupID: GroupOf(w.cfg.Process), ProtocolType: protocolType, Protocol: protocol, SessionTimeout: w.cfg.Process.Worker.SessionTimeout,
		Rejoin: w.rejoin, Metadata: w.claim, Assign: w.assign, Assigned: w.assigned,
		Lost: func(err error) {
			w.log.Warn("the group of workers does not count this one any more, it joins again; what it runs is fenced by the connectors' own groups", "error", err)
			w.mu.Lock()
			w.member, w.leads = false, false
			w.mu.Unlock()
		},
	})
}

// Ready returns when connectors can be created, or with ctx.
func (w *Worker) Ready(ctx context.Context) error {
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// GroupPrefix stands before group.id in the name of a group of workers: it is not that of any connector's.
const GroupPrefix = "waltap-workers-"

// GroupOf is the group of a process's workers.
func GroupOf(p *config.Process) string { return GroupPrefix + p.GroupID }

func (w *Worker) claim() []byte {
	w.mu.Lock()
	c := claim{Worker: w.id}
	if w.assignment != nil {
		c.Owns, c.Generation = w.assignment.owned(w.id), w.assignment.Generation
	}
	w.mu.Unlock()
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings and numbers
	}
	return b
}

// tasks counts the tasks of all connectors.
func (w *Worker) tasks() map[string]int {
	out := make(map[string]int)
	for name, e := range w.configs.all() {
		out[name] = e.tasks()
	}
	return out
}

func (w *Worker) assign(generation int32, members []kafka.BalanceMember) map[string][]byte {
	a := deal(generation, w.id, members, w.tasks())
	b, err := json.Marshal(a)
	if err != nil {
		panic(err) // strings and numbers
	}
	out := make(map[string][]byte, len(members))
	for _, m := range members {
		out[m.ID] = b
	}
	return out
}

func (w *Worker) assigned(p kafka.PeerAssignment) {
	var a assignment
	if err := json.Unmarshal(p.Data, &a); err != nil || a.Members[p.MemberID] == "" {
		w.log.Error("the group's leader, of another version, has given this worker nothing", "generation", p.Generation)
		a = assignment{Generation: p.Generation}
	}
	w.log.Info("tasks shared out among the workers", "generation", a.Generation, "leader", a.Leader, "workers", a.workers(), "tasks", a.owned(w.id))
	for member, worker := range a.Members {
		if worker == w.id && member != p.MemberID {
			w.log.Error("two workers have the same id: set rest.advertised.host.name and rest.advertised.port so that they differ", "worker", w.id)
		}
	}
	w.mu.Lock()
	w.assignment, w.leads, w.member = &a, p.Leads, true
	w.mu.Unlock()
	w.poke()
}

// dealAlone deals all to this worker.
func (w *Worker) dealAlone() {
	b, err := json.Marshal(claim{Worker: w.id})
	if err != nil {
		panic(err) // a string
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	generation := int32(1)
	if w.assignment != nil {
		generation = w.assignment.Generation + 1
	}
	w.assignment = deal(generation, w.id, []kafka.BalanceMember{{ID: w.id, Metadata: b}}, w.tasks())
}

func (w *Worker) poke() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// look gives the units their wishes whenever something has changed, and does the leader's work.
func (w *Worker) look(ctx context.Context) {
	tick := time.NewTicker(leadInterval)
	defer tick.Stop()
	for ctx.Err() == nil {
		w.wishes()
		if w.isLeading() {
			w.lead(ctx)
		}
		select {
		case <-ctx.Done():
		case <-w.changed:
		case <-tick.C:
		}
	}
}

func (w *Worker) isLeading() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.leads
}

// lead asks for a new generation when the connectors are not those that were dealt out, and clears up.
func (w *Worker) lead(ctx context.Context) {
	w.mu.Lock()
	fits := w.assignment != nil && w.assignment.fits(w.tasks())
	w.mu.Unlock()
	switch {
	case fits:
	case w.cfg.Alone:
		w.dealAlone()
		w.poke()
	default:
		select {
		case w.rejoin <- struct{}{}:
		default:
		}
	}
	keys, base := w.configs.staleKeys()
	for key, value := range keys {
		if _, err := w.config.append(ctx, key, value, base); err != nil {
			w.retry("write a configuration again", err)
		}
	}
	w.removeDeleted(ctx)
}

// wishes tells every unit what it is to do now.
func (w *Worker) wishes() {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.assignment
	if a == nil || w.ctx.Err() != nil {
		return
	}
	entries, owned := w.configs.all(), a.owned(w.id)
	names := make(map[string]bool)
	for name := range owned {
		names[name] = true
	}
	for name, owner := range a.Owners {
		if owner == w.id {
			names[name] = true
		}
	}
	for name := range w.units {
		names[name] = true
	}
	others := len(a.workers()) > 1
	for name := range names {
		to := &wish{entry: entries[name], tasks: owned[name], owner: a.Owners[name] == w.id, generation: a.Generation, elsewhere: others}
		if to.entry != nil && to.entry.Target == herder.TargetStopped {
			to.tasks = nil
		}
		u := w.units[name]
		if u == nil {
			if to.entry == nil {
				continue
			}
			u = newUnit(w, name)
			u.wish.Store(to)
			w.units[name] = u
			w.running.Go(func() { u.loop(w.ctx) })
		}
		u.tell(to)
	}
}

// drop forgets a unit that has nothing to do, unless it has by now.
func (w *Worker) drop(u *unit) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if want := u.wish.Load(); want.entry != nil && (len(want.tasks) > 0 || want.owner) {
		return false
	}
	delete(w.units, u.name)
	return true
}

// unit finds a connector that this worker runs.
func (w *Worker) unit(name string) *unit {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.units[name]
}

// parse reads a configuration, with this worker's secrets.
func (w *Worker) parse(name string, props map[string]string) (*config.Connector, error) {
	return w.cfg.Parse(name, props)
}

func (w *Worker) ended(name string, err error) {
	if w.cfg.Ended != nil {
		w.cfg.Ended(name, err)
	}
}

// SetKafka is for a worker that is alone and was made before Kafka was reached. It is called before Run.
func (w *Worker) SetKafka(c *kafka.Client) { w.cfg.Kafka = c }

// put writes a value to the status topic.
func (w *Worker) put(ctx context.Context, key string, value any) error {
	b, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	_, err = w.status.append(ctx, key, b, 0)
	return err
}

// retryLog is how often the same failure is logged.
const retryLog = 10 * time.Second

// retry logs what is tried again.
func (w *Worker) retry(what string, err error) {
	if last, ok := w.last.Load(what); ok && time.Since(last.(time.Time)) < retryLog || w.ctx.Err() != nil {
		return
	}
	w.last.Store(what, time.Now())
	w.log.Warn(what+": it is tried again", "error", err)
}

// present are the workers that are there.
func (w *Worker) present() map[string]bool {
	out := make(map[string]bool)
	if a := w.now(); a != nil {
		for _, id := range a.workers() {
			out[id] = true
		}
	}
	return out
}

// now is the present assignment, nil before the first.
func (w *Worker) now() *assignment {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.assignment
}

func (w *Worker) removalFault(name string, err error) {
	w.mu.Lock()
	w.fault[name] = err.Error()
	w.mu.Unlock()
	w.retry("remove what the deleted connector "+name+" has left at its source", err)
}

// conflicts is how often a change is decided anew because another one came first.
const conflicts = 20

// change writes what decide wants to the config topic, decided anew whenever another worker came first. decide is called with configs
// locked.
func (w *Worker) change(ctx context.Context, decide func(*configs) (key string, value []byte, err error)) (offset int64, err error) {
	if err := w.Health(ctx); err != nil {
		return 0, err
	}
	for range conflicts {
		w.configs.mu.Lock()
		base := w.configs.next
		key, value, err := decide(w.configs)
		w.configs.mu.Unlock()
		if err != nil {
			return 0, err
		}
		ok, err := w.config.append(ctx, key, value, base)
		if err != nil {
			return 0, err
		}
		if ok {
			return base, nil
		}
	}
	return 0, herder.ErrRebalancing()
}
