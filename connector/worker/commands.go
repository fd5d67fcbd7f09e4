package worker

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/source/capture"
)

// restartCommand is the value of keyRestart.
type restartCommand struct {
	Connector    string `json:"connector"`
	Tasks        []int  `json:"tasks,omitempty"` // none: the connector alone
	ConnectorToo bool   `json:"include-connector"`
}

// Restart implements herder.Herder.
func (w *Worker) Restart(ctx context.Context, name string, r herder.Restart) (*herder.Status, error) {
	st, err := w.Status(ctx, name)
	if err != nil {
		return nil, err
	}
	cmd := restartCommand{Connector: name, ConnectorToo: !r.OnlyFailed || st.Connector.State == herder.Failed}
	for i := range st.Tasks {
		if r.IncludeTasks && (!r.OnlyFailed || st.Tasks[i].State == herder.Failed) {
			cmd.Tasks = append(cmd.Tasks, st.Tasks[i].ID)
		}
	}
	if !r.Plain() {
		if cmd.ConnectorToo {
			st.Connector.State, st.Connector.Trace = herder.Restarting, ""
		}
		for _, i := range cmd.Tasks {
			st.Tasks[i].State, st.Tasks[i].Trace = herder.Restarting, ""
		}
	}
	return st, w.send(ctx, keyRestart+name, cmd)
}

// RestartTask implements herder.Herder.
func (w *Worker) RestartTask(ctx context.Context, name string, task int) error {
	e, err := w.entry(ctx, name)
	if err != nil {
		return err
	}
	if task < 0 || task >= e.tasks() {
		return herder.ErrNoTask(name, task)
	}
	return w.send(ctx, keyRestart+name, restartCommand{Connector: name, Tasks: []int{task}})
}

// send writes a command, which the workers that it concerns carry out.
func (w *Worker) send(ctx context.Context, key string, value any) error {
	b, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = w.config.append(ctx, key, b, 0)
	return err
}

// command carries out a command, if it concerns this worker. It is called with configs locked.
func (w *Worker) command(key string, value []byte) {
	go func() {
		var err error
		switch {
		case strings.HasPrefix(key, keyRestart):
			var c restartCommand
			if err = json.Unmarshal(value, &c); err == nil {
				w.restart(c)
			}
		case strings.HasPrefix(key, keySignal):
			var s signalCommand
			if err = json.Unmarshal(value, &s); err == nil {
				w.signal(s)
			}
		case strings.HasPrefix(key, keyLogger):
			var l loggerCommand
			if err = json.Unmarshal(value, &l); err == nil && w.cfg.SetLogLevel != nil {
				err = w.cfg.SetLogLevel(strings.TrimPrefix(key, keyLogger), l.Level)
			}
		}
		if err != nil {
			w.log.Warn("a command on the config topic was not carried out", "key", key, "error", err)
		}
	}()
}

// restart restarts the tasks that this worker has, all of a connector's at once. A connector by itself does nothing that could be
// restarted, but for a configuration that could not be read.
func (w *Worker) restart(c restartCommand) {
	u := w.unit(c.Connector)
	if u == nil {
		return
	}
	want := u.wish.Load()
	for _, task := range c.Tasks {
		if slices.Contains(want.tasks, task) {
			u.restart()
			return
		}
	}
}

type loggerCommand struct {
	Level string `json:"level"`
}

// SetLogLevel implements herder.Herder.
func (w *Worker) SetLogLevel(ctx context.Context, logger, level string) error {
	return w.send(ctx, keyLogger+logger, loggerCommand{level})
}

// signalCommand is the value of keySignal.
type signalCommand struct {
	Connector string        `json:"connector"`
	Signal    herder.Signal `json:"signal"`
}

// Signal implements herder.Herder.
func (w *Worker) Signal(ctx context.Context, name string, s herder.Signal) error {
	e, err := w.entry(ctx, name)
	if err != nil {
		return err
	}
	if e.kind() != herder.Source {
		return herder.Errorf(herder.BadRequest, "Connector %s is a sink: signals are for sources", name)
	}
	if err := s.Check(); err != nil {
		return err
	}
	if s.Type == herder.ExecuteSnapshot || s.Type == herder.StopSnapshot {
		return w.ask(ctx, name, s)
	}
	return w.send(ctx, keySignal+name, signalCommand{name, s})
}

// ask keeps what a signal asks for on the offsets topic of the source, where its leading process finds it, also after a restart.
func (w *Worker) ask(ctx context.Context, name string, s herder.Signal) error {
	_, c, err := w.configOf(ctx, name)
	if err != nil {
		return err
	}
	if c.Source.Snapshot.Mode == config.SnapshotInitialOnly {
		return herder.Errorf(herder.BadRequest, "signal %s: connector %s ends with its scan (snapshot.mode: initial_only), and scans at each start", s.Type, name)
	}
	d, err := s.Snapshot()
	if err != nil {
		return err
	}
	if d.Type == herder.Blocking && !c.Source.Peer.Create {
		return herder.Errorf(herder.BadRequest, "signal %s: hbase.peer.create: false leaves the peer to you, so its changes cannot wait: ask for an incremental scan", s.Type)
	}
	a := capture.Asked{Signal: s.ID, Stop: s.Type == herder.StopSnapshot, Held: d.Type == herder.Blocking, Tables: d.DataCollections}
	for _, cond := range d.AdditionalConditions {
		start, stop, err := herder.ParseFilter(cond.Filter)
		if err != nil {
			return err
		}
		a.Rows = append(a.Rows, capture.AskedRows{Table: cond.DataCollection, Start: start, Stop: stop})
	}
	kept := false
	err = w.progress(ctx, c, func(store *checkpoint.Store) error {
		kept = true
		return capture.Ask(ctx, store, name, a)
	})
	if err == nil && !kept {
		return herder.Errorf(herder.Conflict, "Connector %s has never run: it scans its tables when it starts. Send the signal when it does", name)
	}
	return err
}

// signal is a Signal, on each worker: those that do not run the source have nothing to change.
func (w *Worker) signal(c signalCommand) {
	var done bool
	switch c.Signal.Type {
	case herder.SetRate:
		r, err := c.Signal.Rate()
		done = err == nil && w.cfg.Limits != nil && w.cfg.Limits(c.Connector, r.RowsPerSecond, r.BytesPerSecond)
	case herder.PauseSnapshot, herder.ResumeSnapshot:
		done = w.cfg.Pause != nil && w.cfg.Pause(c.Connector, c.Signal.Type == herder.PauseSnapshot)
	}
	if done {
		w.log.Info("a signal was carried out", "connector", c.Connector, "type", c.Signal.Type, "id", c.Signal.ID, "data", string(c.Signal.Data))
	}
}
