package migrate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/internal/kafka"
)

// Listed is what the state topic holds of a wave of a migration.
type Listed struct {
	Migration string
	Wave      string
	State     State
	Processes []Progress  // of all that have run its connectors, the newest first
	Gate      *JudgedGate // nil: it was not judged yet
}

// Lister reads the state of all migrations, again and again. It changes nothing.
type Lister struct {
	client *kafka.Client

	mu    sync.Mutex
	topic string // its id
	store *checkpoint.Store
}

// NewLister makes a Lister of what is in a Kafka cluster.
func NewLister(client *kafka.Client) *Lister { return &Lister{client: client} }

// List lists the waves by migration and name: where there is no state topic there are none.
func (l *Lister) List(ctx context.Context) ([]Listed, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out, err := l.list(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("list the migrations: %w", err), l.forget())
	}
	return out, nil
}

// Close ends the use of it.
func (l *Lister) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.forget()
}

func (l *Lister) forget() error {
	if l.store == nil {
		return nil
	}
	err := l.store.Close()
	l.store = nil
	return err
}

func (l *Lister) list(ctx context.Context) ([]Listed, error) {
	_, err := l.client.Topic(ctx, StateTopic)
	if errors.Is(err, kafka.ErrUnknownTopic) {
		return nil, l.forget()
	}
	if err != nil {
		return nil, err
	}
	ids, err := l.client.TopicIDs(ctx, StateTopic)
	if err != nil {
		return nil, err
	}
	if l.store != nil && ids[StateTopic] != l.topic { // another one of that name
		if err := l.forget(); err != nil {
			return nil, err
		}
	}
	if l.store != nil {
		err = l.store.Refresh(ctx)
	} else {
		l.topic = ids[StateTopic]
		l.store, err = checkpoint.Open(ctx, l.client, StateTopic)
	}
	if err != nil {
		return nil, err
	}
	var out []Listed
	for _, name := range l.store.Connectors() {
		waves, err := wavesOf(&store{l.store, name})
		if err != nil {
			return nil, err
		}
		out = append(out, waves...)
	}
	slices.SortFunc(out, func(a, b Listed) int {
		return cmp.Or(cmp.Compare(a.Migration, b.Migration), cmp.Compare(a.Wave, b.Wave))
	})
	return out, nil
}

// wavesOf lists the waves of one migration.
func wavesOf(s *store) (out []Listed, err error) {
	err = s.Each(s.name, func(partition map[string]string, value json.RawMessage) error {
		if partition["wave"] == "" || len(partition) != 1 {
			return nil
		}
		l := Listed{Migration: s.name, Wave: partition["wave"]}
		if err := json.Unmarshal(value, &l.State); err != nil {
			return fmt.Errorf("read the state of wave %s: %w", l.Wave, err)
		}
		out = append(out, l)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range out {
		l := &out[i]
		if l.Processes, err = s.progress(l.Wave); err != nil {
			return nil, err
		}
		gate := new(JudgedGate)
		known, err := s.Get(s.name, gateKey(l.Wave), gate)
		if err != nil {
			return nil, fmt.Errorf("read the gate of wave %s: %w", l.Wave, err)
		}
		if known {
			l.Gate = gate
		}
	}
	return out, nil
}
