package migrate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/internal/kafka"
)

// Listed is what the state topic holds of a wave of a migration.
type Listed struct {
	Migration string
	Wave      string
	State     State
	Processes []Progress // of all that have run its connectors, the newest first
}

// List reads the state of all migrations, by name and wave. It changes nothing: where there is no state topic there are none.
func List(ctx context.Context, client *kafka.Client) (out []Listed, err error) {
	_, err = client.Topic(ctx, StateTopic)
	if errors.Is(err, kafka.ErrUnknownTopic) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the migrations: %w", err)
	}
	st, err := checkpoint.Open(ctx, client, StateTopic)
	if err != nil {
		return nil, fmt.Errorf("list the migrations: %w", err)
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	for _, name := range st.Connectors() {
		s := &store{st, name}
		err := st.Each(name, func(partition map[string]string, value json.RawMessage) error {
			if partition["wave"] == "" || partition["process"] != "" {
				return nil
			}
			l := Listed{Migration: name, Wave: partition["wave"]}
			if err := json.Unmarshal(value, &l.State); err != nil {
				return fmt.Errorf("read the state of wave %s: %w", l.Wave, err)
			}
			out = append(out, l)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("list the migrations: %w", err)
		}
		for i := range out {
			if out[i].Migration != name {
				continue
			}
			if out[i].Processes, err = s.progress(out[i].Wave); err != nil {
				return nil, fmt.Errorf("list the migrations: %w", err)
			}
		}
	}
	slices.SortFunc(out, func(a, b Listed) int {
		return cmp.Or(cmp.Compare(a.Migration, b.Migration), cmp.Compare(a.Wave, b.Wave))
	})
	return out, nil
}
