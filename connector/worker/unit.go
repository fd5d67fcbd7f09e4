package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/schema"
)

const (
	lookInterval     = 200 * time.Millisecond // at a connector that runs here
	progressInterval = 5 * time.Second
	peerInterval     = 10 * time.Second
	countInterval    = time.Second
)

// wish is what this worker is to do for a connector.
type wish struct {
	entry      *entry // nil: it is deleted
	tasks      []int  // of this worker
	owner      bool   // looks after the connector
	generation int32
	elsewhere  bool // other workers can take over
}

// Options are what a connector needs to know of the worker that runs it.
type Options struct {
	// Revision of the connector's configuration, another one whenever it is put; not 0.
	Revision int64
	// Successors tells whether others are to go on with the work when this one stops; nil: the connector finds out.
	Successors func() bool
	// Owned lists the tasks of this worker; nil: the connector's processes share them.
	Owned func() []int
	// OffsetsTopic, if not "", holds the progress of sources.
	OffsetsTopic string
}

// unit is a connector on this worker. All its tasks here are one instance: they start, fail and end together.
type unit struct {
	w    *Worker
	name string
	wish atomic.Pointer[wish]
	wake chan struct{}
	// restarts counts how often a restart was asked for.
	restarts   atomic.Int64
	successors atomic.Bool
	gone       chan struct{}

	// of the loop
	run        *instance
	reported   map[string]report
	published  time.Time
	topics     map[string]bool
	peerLooked time.Time
	peerTarget herder.TargetState
	seen       status.PeerView
	// backlogLooked is when the source was asked for what it keeps, rollSize how large its WALs get; 0: not known yet.
	backlogLooked time.Time
	rollSize      int64
	counted       time.Time // the tasks
}

// instance is a connector that runs, or has ended.
type instance struct {
	entry    *entry
	restarts int64
	config   *config.Connector // nil: it could not be read
	st       *status.Connector
	cancel   context.CancelFunc
	done     chan struct{}
	err      error // once done
	untold   bool  // once done: it has come to its end, and Config.Ended was not told yet
}

func (i *instance) ended() bool {
	select {
	case <-i.done:
		return true
	default:
		return false
	}
}

func newUnit(w *Worker, name string) *unit {
	return &unit{w: w, name: name, wake: make(chan struct{}, 1), gone: make(chan struct{}), reported: map[string]report{}, topics: map[string]bool{}}
}

// tell gives it a new wish.
func (u *unit) tell(to *wish) {
	u.wish.Store(to)
	u.poke()
}

func (u *unit) poke() {
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// restart starts the instance anew, if there is one and, with onlyFailed, it has failed.
func (u *unit) restart() {
	u.restarts.Add(1)
	u.poke()
}

// loop carries out the wishes until ctx ends or there is nothing left to do.
func (u *unit) loop(ctx context.Context) {
	defer close(u.gone)
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		want := u.wish.Load()
		if ctx.Err() != nil {
			u.successors.Store(want.elsewhere)
			u.stop()
			return
		}
		if want.entry != nil && want.owner && want.entry.Target != herder.TargetRunning {
			u.lookAfterPeer(ctx, want)
		}
		u.reconcile(want)
		if want.entry == nil || len(want.tasks) == 0 && !want.owner {
			u.hide()
			u.leave(want)
			if u.w.drop(u) {
				return
			}
		} else {
			u.report(ctx, want)
			if want.owner {
				u.lookAfterPeer(ctx, want)
				u.countTasks(want)
			} else {
				u.w.cfg.Status.Forget(u.name)
			}
			u.publish(ctx)
			u.tellEnd()
		}
		var done chan struct{}
		if u.run != nil && !u.run.ended() {
			done = u.run.done
		}
		select {
		case <-ctx.Done():
		case <-u.wake:
		case <-done:
		case <-tick.C:
		}
	}
}

// reconcile starts and stops the instance.
func (u *unit) reconcile(want *wish) {
	runs := want.entry != nil && len(want.tasks) > 0 && want.entry.Target == herder.TargetRunning
	if i := u.run; i != nil && (!runs || i.entry.Offset != want.entry.Offset || i.restarts != u.restarts.Load()) {
		moved := want.entry != nil && want.entry.Target == herder.TargetRunning && i.entry.Offset == want.entry.Offset && i.restarts == u.restarts.Load()
		u.successors.Store(moved && want.elsewhere)
		u.stop()
	}
	if runs && u.run == nil {
		u.start(want)
	}
}

// stop ends the instance, if there is one.
func (u *unit) stop() {
	if u.run == nil {
		return
	}
	u.run.cancel()
	<-u.run.done
	u.run = nil
}

func (u *unit) start(want *wish) {
	ctx, cancel := context.WithCancel(context.Background())
	i := &instance{entry: want.entry, restarts: u.restarts.Load(), cancel: cancel, done: make(chan struct{}), st: u.shown(want)}
	u.run = i
	c, err := u.w.parse(u.name, want.entry.Props)
	if err != nil {
		i.err = fmt.Errorf("read the configuration on this worker: %w", err)
		i.st.Fail(i.err)
		close(i.done)
		u.w.ended(u.name, i.err)
		return
	}
	i.config = c
	o := Options{Revision: want.entry.Offset + 1, OffsetsTopic: u.w.cfg.Process.Worker.OffsetTopic}
	if !u.w.cfg.Alone { // else the connector's own processes are all that there are
		o.Successors = u.successors.Load
		o.Owned = func() []int { return slices.Clone(u.wish.Load().tasks) }
	}
	go func() {
		defer close(i.done)
		i.err = u.w.cfg.Run(ctx, c, i.st, o)
		switch {
		case i.err != nil && ctx.Err() == nil:
			if !u.w.cfg.Alone { // else the process ends with the error, and says it
				u.w.log.Error("a connector has failed", "connector", u.name, "error", i.err)
			}
			i.st.Fail(i.err)
			u.w.ended(u.name, i.err)
		case i.err != nil:
			i.st.Fail(i.err)
			u.w.ended(u.name, i.err)
			u.w.log.Warn("a connector did not stop cleanly", "connector", u.name, "error", i.err)
		default:
			i.st.Set(status.Stopped, "")
			i.untold = ctx.Err() == nil
		}
	}()
}

// tellEnd tells that the connector has come to its end.
func (u *unit) tellEnd() {
	if u.justEnded() {
		u.run.untold = false
		u.w.ended(u.name, nil)
	}
}

// shown is the connector in the status of the process: the one of an earlier instance here, or a new one.
func (u *unit) shown(want *wish) *status.Connector {
	for _, st := range u.w.cfg.Status.Now() {
		if st.Name == u.name {
			st.Set(status.Starting, "")
			return st
		}
	}
	st := status.NewConnector(u.name, want.entry.Props["connector.class"])
	u.w.cfg.Status.Add(st)
	return st
}

// hide takes the connector out of the status of the process.
func (u *unit) hide() {
	u.w.cfg.Status.Forget(u.name)
	for _, st := range u.w.cfg.Status.Now() {
		if st.Name == u.name {
			u.w.cfg.Status.Remove(st)
		}
	}
}

// state is how the tasks here are.
func (u *unit) state(want *wish) (state herder.State, trace string) {
	switch {
	case want.entry.Target == herder.TargetPaused:
		return herder.Paused, ""
	case u.run == nil:
		return herder.Unassigned, ""
	case u.run.ended() && u.run.err != nil:
		return herder.Failed, u.run.err.Error()
	case u.run.ended():
		return herder.Running, "" // at its end: nothing is left to do, as for a task of Connect that has no more records
	}
	state = herder.State(u.run.st.State().Connect())
	if state == herder.Unassigned && u.run.restarts > 0 {
		state = herder.Running // as Connect has it: a task that is restarted does not lose its worker
	}
	return state, ""
}

// report says how the tasks are, and the connector, where that has changed.
func (u *unit) report(ctx context.Context, want *wish) {
	for _, task := range want.tasks {
		state, trace := u.state(want)
		u.say(ctx, taskKey(u.name, task), report{State: state, Trace: trace}, want.generation)
	}
	if !want.owner {
		return
	}
	r := report{State: herder.Running}
	switch {
	case want.entry.Target == herder.TargetPaused:
		r.State = herder.Paused
	case want.entry.Target == herder.TargetStopped:
		r.State = herder.Stopped
	case u.run != nil && u.run.config == nil:
		r.State, r.Trace = herder.Failed, u.run.err.Error()
	}
	u.say(ctx, keyStatusConnector+u.name, r, want.generation)
}

// say reports what was not reported yet. What Kafka does not take now is said at the next look.
func (u *unit) say(ctx context.Context, key string, r report, generation int32) {
	r.WorkerID, r.Generation, r.Version = u.w.id, generation, u.w.cfg.Version
	was, told := u.reported[key]
	var is report
	if told && was.State == r.State && was.Trace == r.Trace && was.Generation == r.Generation && u.w.statuses.get(key, &is) && is.State == r.State {
		return
	}
	if err := u.w.put(ctx, key, r); err != nil {
		u.w.retry("report the state of a connector", err)
		return
	}
	u.reported[key] = r
}

// leave takes back what this worker has said of a connector that is not its any more: of a deleted one all of it.
func (u *unit) leave(want *wish) {
	if want.entry != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), appendTimeout)
	defer cancel()
	for _, key := range u.w.statuses.ofConnector(u.name) {
		var r report
		_, worker, progress := progressOf(key)
		if progress && worker == u.w.id || u.w.statuses.get(key, &r) && r.WorkerID == u.w.id {
			if _, err := u.w.status.append(ctx, key, nil, 0); err != nil {
				u.w.retry("take back the state of a deleted connector", err)
				return
			}
		}
	}
}

// countTasks shows how all tasks of the connector are, as the workers have reported.
func (u *unit) countTasks(want *wish) {
	if time.Since(u.counted) < countInterval {
		return
	}
	u.counted = time.Now()
	states := map[string]int{}
	a := u.w.now()
	for i := range want.entry.tasks() {
		states[string(u.w.task(a, u.name, i).State)]++
	}
	u.w.cfg.Status.SetTasks(status.TasksView{Connector: u.name, States: states})
}

// publish says how far the connector is, and which topics it uses.
func (u *unit) publish(ctx context.Context) {
	if u.run == nil || time.Since(u.published) < progressInterval {
		return
	}
	u.published = time.Now()
	view := u.run.st.View()
	if err := u.w.put(ctx, progressKey(u.name, u.w.id), herder.Progress{WorkerID: u.w.id, At: u.published.UnixMilli(), Status: view}); err != nil {
		u.w.retry("report the progress of a connector", err)
		return
	}
	for _, topic := range topicsOf(u.run.config, &view) {
		key := topicKey(u.name, topic)
		if u.w.statuses.get(key, new(json.RawMessage)) {
			continue
		}
		value := map[string]any{"topic": map[string]any{"name": topic, "connector": u.name, "task": 0, "discoverTimestamp": u.published.UnixMilli()}}
		if err := u.w.put(ctx, key, value); err != nil {
			u.w.retry("report the topics of a connector", err)
			return
		}
	}
}

// topicsOf lists the data topics that a connector has used.
func topicsOf(c *config.Connector, v *status.ConnectorView) []string {
	var out []string
	if c == nil {
		return nil
	}
	for _, t := range v.Tables {
		switch {
		case t.Records == 0 && t.SnapshotRows == 0:
		case c.Source != nil:
			if topic, err := schema.DataTopic(c.Source.TopicPrefix, t.Name); err == nil {
				out = append(out, topic)
			}
		}
	}
	return append(out, v.Topics...)
}
