// Package herdertest has a Herder for tests of what speaks to one.
package herdertest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/connector/status"
)

// Memory is a Herder whose connectors run at once and move nothing.
type Memory struct {
	process *config.Process
	loggers *herder.Loggers

	mu         sync.Mutex
	connectors map[string]*held
	signals    []herder.Signal
	said       map[string][]herder.Progress
	fail       error
}

type held struct {
	config  map[string]string
	kind    herder.Type
	target  herder.TargetState
	offsets []herder.Offset
}

var _ herder.Herder = (*Memory)(nil)

// New makes one without connectors.
func New(p *config.Process, l *herder.Loggers) *Memory {
	return &Memory{process: p, loggers: l, connectors: map[string]*held{}}
}

// Fail makes every call that names a connector, and Health, return err; nil: no more.
func (m *Memory) Fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

// Signals are those that were sent.
func (m *Memory) Signals() []herder.Signal {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.signals)
}

// Say makes Progress answer with what workers say of a connector.
func (m *Memory) Say(name string, said ...herder.Progress) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.said == nil {
		m.said = make(map[string][]herder.Progress)
	}
	m.said[name] = said
}

func (m *Memory) Worker(context.Context) (herder.Worker, error) {
	return herder.Worker{Version: "0.1.0", Commit: "abc", KafkaClusterID: "id"}, nil
}

func (m *Memory) Health(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fail
}

func (m *Memory) Connectors(context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.connectors)), nil
}

// with calls f with a connector.
func (m *Memory) with(name string, f func(*held) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	h, ok := m.connectors[name]
	if !ok {
		return herder.ErrNotFound(name)
	}
	return f(h)
}

func (m *Memory) Connector(_ context.Context, name string) (i *herder.Info, err error) {
	err = m.with(name, func(h *held) error { i = h.info(name); return nil })
	return i, err
}

func (h *held) info(name string) *herder.Info {
	i := &herder.Info{Name: name, Config: maps.Clone(h.config), Type: h.kind, Tasks: []herder.TaskID{}}
	if h.target != herder.TargetStopped {
		i.Tasks = append(i.Tasks, herder.TaskID{Connector: name})
	}
	return i
}

func (m *Memory) put(name string, c map[string]string, t herder.TargetState, replace bool) (*herder.Info, bool, error) {
	parsed, err := m.process.ParseConnector(name, c)
	if err != nil {
		return nil, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	h, there := m.connectors[name]
	if there && !replace {
		return nil, false, herder.ErrExists(name)
	}
	if !there {
		h = &held{target: t, kind: herder.Source}
		m.connectors[name] = h
	}
	if parsed.Sink != nil {
		h.kind = herder.Sink
	}
	h.config = maps.Clone(c)
	return h.info(name), !there, nil
}

func (m *Memory) Create(_ context.Context, name string, c map[string]string, t herder.TargetState) (*herder.Info, error) {
	i, _, err := m.put(name, c, t, false)
	return i, err
}

func (m *Memory) PutConfig(_ context.Context, name string, c map[string]string) (*herder.Info, bool, error) {
	return m.put(name, c, "", true)
}

func (m *Memory) PatchConfig(_ context.Context, name string, patch map[string]*string) (*herder.Info, error) {
	var c map[string]string
	err := m.with(name, func(h *held) error { c = maps.Clone(h.config); return nil })
	if err != nil {
		return nil, err
	}
	for k, v := range patch {
		if v == nil {
			delete(c, k)
		} else {
			c[k] = *v
		}
	}
	i, _, err := m.put(name, c, "", true)
	return i, err
}

func (m *Memory) Delete(_ context.Context, name string) error {
	return m.with(name, func(*held) error { delete(m.connectors, name); return nil })
}

func (m *Memory) Status(_ context.Context, name string) (s *herder.Status, err error) {
	err = m.with(name, func(h *held) error {
		state := herder.State(h.target)
		if state == "" {
			state = herder.Running
		}
		s = &herder.Status{Name: name, Type: h.kind, Connector: herder.ConnectorState{State: state, WorkerID: "127.0.0.1:8083", Version: "0.1.0"}, Tasks: []herder.TaskStatus{}}
		if h.target != herder.TargetStopped {
			s.Tasks = append(s.Tasks, herder.TaskStatus{State: state, WorkerID: "127.0.0.1:8083", Version: "0.1.0"})
		}
		if h.kind == herder.Source {
			s.Peer = &herder.Peer{ID: "waltap_" + name, State: "enabled"}
		}
		return nil
	})
	return s, err
}

func (m *Memory) SetTarget(_ context.Context, name string, t herder.TargetState) error {
	return m.with(name, func(h *held) error { h.target = t; return nil })
}

func (m *Memory) Restart(ctx context.Context, name string, r herder.Restart) (*herder.Status, error) {
	s, err := m.Status(ctx, name)
	if err == nil && !r.OnlyFailed {
		s.Connector.State = herder.Restarting
		for i := range s.Tasks {
			s.Tasks[i].State = herder.Restarting
		}
	}
	return s, err
}

func (m *Memory) Tasks(_ context.Context, name string) (list []herder.TaskInfo, err error) {
	err = m.with(name, func(h *held) error {
		if h.target != herder.TargetStopped {
			list = append(list, herder.TaskInfo{ID: herder.TaskID{Connector: name}, Config: h.config})
		}
		return nil
	})
	return list, err
}

func (m *Memory) RestartTask(_ context.Context, name string, task int) error {
	return m.with(name, func(*held) error {
		if task != 0 {
			return herder.ErrNoTask(name, task)
		}
		return nil
	})
}

func (m *Memory) Topics(_ context.Context, name string) (list []string, err error) {
	return list, m.with(name, func(*held) error { return nil })
}

func (m *Memory) ResetTopics(_ context.Context, name string) error {
	return m.with(name, func(*held) error { return nil })
}

func (m *Memory) Offsets(_ context.Context, name string) (list []herder.Offset, err error) {
	err = m.with(name, func(h *held) error {
		if list = slices.Clone(h.offsets); h.target != herder.TargetStopped && list == nil { // as if it had moved something
			list = []herder.Offset{{Partition: map[string]any{"table": "default:t"}, Offset: map[string]any{"epoch": 1}}}
			if h.kind == herder.Sink {
				list = []herder.Offset{{Partition: map[string]any{"kafka_topic": "t", "kafka_partition": 0}, Offset: map[string]any{"kafka_offset": 4}}}
			}
		}
		return nil
	})
	return list, err
}

func (m *Memory) AlterOffsets(_ context.Context, name string, list []herder.Offset) (string, error) {
	err := m.with(name, func(h *held) error {
		if h.target != herder.TargetStopped {
			return herder.ErrNotStopped(name)
		}
		field, number := "table", "epoch"
		if h.kind == herder.Sink {
			field, number = "kafka_topic", "kafka_offset"
		}
		for _, o := range list {
			if _, ok := o.Partition[field].(string); !ok {
				return herder.Errorf(map[herder.Type]herder.Kind{herder.Sink: herder.BadRequest, herder.Source: herder.Refused}[h.kind], "the partition needs %s", field)
			}
			if p, ok := o.Partition["kafka_partition"]; ok {
				if _, ok := p.(json.Number); !ok {
					return herder.Errorf(herder.BadRequest, "kafka_partition is no number")
				}
			}
			if n, ok := o.Offset[number].(json.Number); o.Offset != nil && (!ok || n[0] == '-') {
				kind := herder.Refused
				if h.kind == herder.Sink && !ok {
					kind = herder.BadRequest
				}
				return herder.Errorf(kind, "the offset needs %s", number)
			}
			h.offsets = slices.DeleteFunc(h.offsets, func(x herder.Offset) bool { return fmt.Sprint(x.Partition) == fmt.Sprint(o.Partition) })
			if o.Offset != nil {
				h.offsets = append(h.offsets, o)
			}
		}
		return nil
	})
	return "The offsets for this connector have been altered successfully", err
}

func (m *Memory) ResetOffsets(_ context.Context, name string) (string, error) {
	err := m.with(name, func(h *held) error {
		if h.target != herder.TargetStopped {
			return herder.ErrNotStopped(name)
		}
		h.offsets = nil
		return nil
	})
	return "The offsets for this connector have been reset successfully", err
}

func (m *Memory) Progress(_ context.Context, name string) (list []herder.Progress, err error) {
	err = m.with(name, func(h *held) error {
		if said, ok := m.said[name]; ok {
			list = slices.Clone(said)
			return nil
		}
		list = append(list, herder.Progress{WorkerID: "127.0.0.1:8083", At: 1, Status: status.NewConnector(name, "HBaseSource").View()})
		return nil
	})
	return list, err
}

func (m *Memory) Signal(_ context.Context, name string, s herder.Signal) error {
	return m.with(name, func(h *held) error {
		if h.kind == herder.Sink {
			return herder.Errorf(herder.BadRequest, "connector %s is a sink: only sources take signals", name)
		}
		m.signals = append(m.signals, s)
		return nil
	})
}

func (m *Memory) SetLogLevel(_ context.Context, logger, level string) error {
	_, err := m.loggers.Set(logger, level)
	return err
}
