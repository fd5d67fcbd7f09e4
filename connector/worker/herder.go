package worker

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/herder"
)

const (
	// deletePatience is how long a deletion, and the creation of a connector that is being deleted, wait for what is being removed.
	deletePatience = 20 * time.Second
	deleteLook     = 100 * time.Millisecond
)

// Worker implements herder.Herder.
func (w *Worker) Worker(ctx context.Context) (herder.Worker, error) {
	out := herder.Worker{Version: w.cfg.Version, Commit: "unknown"}
	if w.cfg.Kafka == nil {
		return out, nil
	}
	id, err := w.cfg.Kafka.ClusterID(ctx)
	out.KafkaClusterID = id
	return out, err
}

// Health implements herder.Herder.
func (w *Worker) Health(context.Context) error {
	select {
	case <-w.ready:
		return nil
	default:
		return herder.Errorf(herder.NotReady, "Worker has not yet completed startup: it reads its topics")
	}
}

// Connectors implements herder.Herder.
func (w *Worker) Connectors(ctx context.Context) ([]string, error) {
	if err := w.Health(ctx); err != nil {
		return nil, err
	}
	return w.configs.names(), nil
}

// entry finds a connector.
func (w *Worker) entry(ctx context.Context, name string) (*entry, error) {
	if err := w.Health(ctx); err != nil {
		return nil, err
	}
	e := w.configs.get(name)
	if e == nil {
		return nil, herder.ErrNotFound(name)
	}
	return e, nil
}

// Connector implements herder.Herder.
func (w *Worker) Connector(ctx context.Context, name string) (*herder.Info, error) {
	e, err := w.entry(ctx, name)
	if err != nil {
		return nil, err
	}
	return e.info(name), nil
}

func (e *entry) info(name string) *herder.Info {
	out := &herder.Info{Name: name, Config: maps.Clone(e.Props), Type: e.kind(), Tasks: []herder.TaskID{}}
	for i := range e.tasks() {
		out.Tasks = append(out.Tasks, herder.TaskID{Connector: name, Task: i})
	}
	return out
}

// stored is a configuration as it is kept: it must be one, and holds the name.
func (w *Worker) stored(name string, props map[string]string) (map[string]string, []byte, error) {
	all := maps.Clone(props)
	if all == nil {
		all = make(map[string]string)
	}
	all["name"] = name
	if _, err := w.parse(name, all); err != nil {
		return nil, nil, err
	}
	b, err := json.Marshal(properties{all})
	return all, b, err
}

// Create implements herder.Herder.
func (w *Worker) Create(ctx context.Context, name string, props map[string]string, initial herder.TargetState) (*herder.Info, error) {
	if initial == "" {
		initial = herder.TargetRunning
	}
	_, value, err := w.stored(name, props)
	if err != nil {
		return nil, err
	}
	if err := w.awaitRemoval(ctx, name); err != nil {
		return nil, err
	}
	absent := func(c *configs) error {
		if c.connectors[name] != nil {
			return herder.ErrExists(name)
		}
		return nil
	}
	if err := w.setTarget(ctx, name, initial, absent); err != nil {
		return nil, err
	}
	if err := w.putConfig(ctx, name, value, absent); err != nil {
		return nil, err
	}
	return w.Connector(ctx, name)
}

func (w *Worker) putConfig(ctx context.Context, name string, value []byte, check func(*configs) error) error {
	_, err := w.change(ctx, func(c *configs) (string, []byte, error) { return keyConnector + name, value, check(c) })
	return err
}

// PutConfig implements herder.Herder.
func (w *Worker) PutConfig(ctx context.Context, name string, props map[string]string) (info *herder.Info, created bool, err error) {
	_, value, err := w.stored(name, props)
	if err != nil {
		return nil, false, err
	}
	if err := w.awaitRemoval(ctx, name); err != nil {
		return nil, false, err
	}
	err = w.putConfig(ctx, name, value, func(c *configs) error { created = c.connectors[name] == nil; return nil })
	if err != nil {
		return nil, false, err
	}
	info, err = w.Connector(ctx, name)
	return info, created, err
}

// PatchConfig implements herder.Herder.
func (w *Worker) PatchConfig(ctx context.Context, name string, patch map[string]*string) (*herder.Info, error) {
	_, err := w.change(ctx, func(c *configs) (string, []byte, error) {
		e := c.connectors[name]
		if e == nil {
			return "", nil, herder.ErrNotFound(name)
		}
		props := maps.Clone(e.Props)
		for k, v := range patch {
			if delete(props, k); v != nil {
				props[k] = *v
			}
		}
		_, value, err := w.stored(name, props)
		return keyConnector + name, value, err
	})
	if err != nil {
		return nil, err
	}
	return w.Connector(ctx, name)
}

// Delete implements herder.Herder.
func (w *Worker) Delete(ctx context.Context, name string) error {
	e, err := w.entry(ctx, name)
	if err != nil {
		return err
	}
	if e.kind() == herder.Source {
		_, err := w.change(ctx, func(c *configs) (string, []byte, error) {
			e := c.connectors[name]
			if e == nil {
				return "", nil, herder.ErrNotFound(name)
			}
			b, err := json.Marshal(properties{e.Props})
			return keyRemoving + name, b, err
		})
		if err != nil {
			return err
		}
	}
	for _, key := range []string{keyConnector, keyTarget} {
		if _, err := w.change(ctx, func(*configs) (string, []byte, error) { return key + name, nil, nil }); err != nil {
			return err
		}
	}
	if e.kind() == herder.Source {
		return w.awaitRemoval(ctx, name)
	}
	return w.forget(ctx, name)
}

// forget takes back what was reported of a sink once no worker runs it any more.
func (w *Worker) forget(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, deletePatience)
	defer cancel()
	for w.atWork(name) && ctx.Err() == nil {
		pause(ctx, deleteLook)
	}
	for _, key := range w.statuses.ofConnector(name) {
		if _, err := w.status.append(context.WithoutCancel(ctx), key, nil, 0); err != nil {
			return err
		}
	}
	return nil
}

// awaitRemoval waits for what a deleted connector of that name has left.
func (w *Worker) awaitRemoval(ctx context.Context, name string) error {
	for began := time.Now(); ; pause(ctx, deleteLook) {
		if _, there := w.configs.beingRemoved()[name]; !there {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if time.Since(began) < deletePatience {
			continue
		}
		w.mu.Lock()
		why := w.fault[name]
		w.mu.Unlock()
		if why != "" {
			why = ": " + why
		}
		return herder.Errorf(herder.Conflict, "Connector %s is deleted, and its peer is not removed yet%s. The workers go on trying; waltap peer remove does it by hand", name, why)
	}
}

// Status implements herder.Herder.
func (w *Worker) Status(ctx context.Context, name string) (*herder.Status, error) {
	e, err := w.entry(ctx, name)
	if err != nil {
		return nil, err
	}
	var c report
	if !w.statuses.get(keyStatusConnector+name, &c) {
		return nil, herder.ErrNoStatus(name)
	}
	out := &herder.Status{Name: name, Type: e.kind(), Tasks: []herder.TaskStatus{},
		Connector: herder.ConnectorState{State: c.State, WorkerID: c.WorkerID, Trace: c.Trace, Version: c.Version}}
	a := w.now()
	if a != nil && a.Owners[name] != "" && a.Owners[name] != c.WorkerID {
		out.Connector.State, out.Connector.WorkerID, out.Connector.Trace = herder.Unassigned, a.Owners[name], ""
	}
	for i := range e.tasks() {
		out.Tasks = append(out.Tasks, w.task(a, name, i))
	}
	out.Peer = w.peerOf(name)
	return out, nil
}

// task is what is known of a task: what a worker has said that has lost it since, or is gone, does not count.
func (w *Worker) task(a *assignment, name string, i int) herder.TaskStatus {
	out := herder.TaskStatus{ID: i, State: herder.Unassigned, Version: w.cfg.Version}
	if a != nil && i < len(a.Tasks[name]) {
		out.WorkerID = a.Tasks[name][i]
	}
	var r report
	if w.statuses.get(taskKey(name, i), &r) && r.WorkerID == out.WorkerID {
		out.State, out.Trace, out.Version = r.State, r.Trace, r.Version
	}
	return out
}

func (w *Worker) peerOf(name string) *herder.Peer {
	var p peerReport
	if !w.statuses.get(keyPeer+name, &p) || p.State == "" {
		return nil
	}
	out := &herder.Peer{ID: p.ID, State: p.State, HeldSince: p.HeldSince, Note: p.Note}
	if p.HeldSince > 0 {
		out.HeldSeconds = int64(time.Since(time.UnixMilli(p.HeldSince)).Seconds())
	}
	return out
}

// SetTarget implements herder.Herder.
func (w *Worker) SetTarget(ctx context.Context, name string, t herder.TargetState) error {
	return w.setTarget(ctx, name, t, func(c *configs) error {
		if c.connectors[name] == nil {
			return herder.ErrNotFound(name)
		}
		return nil
	})
}

func (w *Worker) setTarget(ctx context.Context, name string, t herder.TargetState, check func(*configs) error) error {
	value, err := json.Marshal(target{t})
	if err != nil {
		return err
	}
	_, err = w.change(ctx, func(c *configs) (string, []byte, error) { return keyTarget + name, value, check(c) })
	return err
}

// Tasks implements herder.Herder.
func (w *Worker) Tasks(ctx context.Context, name string) ([]herder.TaskInfo, error) {
	e, err := w.entry(ctx, name)
	if err != nil {
		return nil, err
	}
	out := []herder.TaskInfo{}
	for i := range e.tasks() {
		props := maps.Clone(e.Props)
		props["task.id"] = strconv.Itoa(i)
		out = append(out, herder.TaskInfo{ID: herder.TaskID{Connector: name, Task: i}, Config: props})
	}
	return out, nil
}

// Topics implements herder.Herder.
func (w *Worker) Topics(ctx context.Context, name string) ([]string, error) {
	if _, err := w.entry(ctx, name); err != nil {
		return nil, err
	}
	out := []string{}
	w.statuses.keys(func(key string) bool {
		if topic, ok := topicOf(key, name); ok {
			out = append(out, topic)
		}
		return false
	})
	slices.Sort(out)
	return out, nil
}

// ResetTopics implements herder.Herder.
func (w *Worker) ResetTopics(ctx context.Context, name string) error {
	if _, err := w.entry(ctx, name); err != nil {
		return err
	}
	for _, key := range w.statuses.keys(func(key string) bool { _, ok := topicOf(key, name); return ok }) {
		if _, err := w.status.append(ctx, key, nil, 0); err != nil {
			return err
		}
	}
	return nil
}

// Progress implements herder.Herder.
func (w *Worker) Progress(ctx context.Context, name string) ([]herder.Progress, error) {
	if _, err := w.entry(ctx, name); err != nil {
		return nil, err
	}
	var owners []string
	if a := w.now(); a != nil {
		owners = a.Tasks[name]
	}
	out := []herder.Progress{}
	for _, key := range w.statuses.keys(func(key string) bool {
		n, worker, ok := progressOf(key)
		return ok && n == name && slices.Contains(owners, worker)
	}) {
		var p herder.Progress
		if w.statuses.get(key, &p) {
			out = append(out, p)
		}
	}
	return w.withOwn(name, owners, out), nil
}

// withOwn puts what this worker counts now in the place of what it has said last.
func (w *Worker) withOwn(name string, owners []string, said []herder.Progress) []herder.Progress {
	if !slices.Contains(owners, w.id) {
		return said
	}
	for _, st := range w.cfg.Status.Now() {
		if st.Name != name {
			continue
		}
		now := herder.Progress{WorkerID: w.id, At: time.Now().UnixMilli(), Status: st.View()}
		for i := range said {
			if said[i].WorkerID == w.id {
				said[i] = now
				return said
			}
		}
		return append(said, now)
	}
	return said
}

// configOf reads a connector's configuration.
func (w *Worker) configOf(ctx context.Context, name string) (*entry, *config.Connector, error) {
	e, err := w.entry(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	c, err := w.parse(name, e.Props)
	return e, c, err
}
