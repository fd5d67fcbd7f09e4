package sinktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
)

// memory is a target in memory, and a sink to it that may be broken.
type memory struct {
	breakage breakage

	mu     sync.Mutex
	down   bool
	tables map[string]*model
	extra  map[string][]Cell
	calls  int
}

type breakage string

const (
	sound         breakage = ""
	drops         breakage = "drops a change of large batches"
	reorders      breakage = "applies the parts of large batches out of order"
	reversesRow   breakage = "applies the changes of a batch from the last to the first"
	addsAgain     breakage = "adds cells of a repeated batch again"
	keepsFirst    breakage = "keeps the first value of a cell"
	refusesOlder  breakage = "takes a batch that looks old for a replay of what is there"
	losesTags     breakage = "loses tags"
	cutsValues    breakage = "cuts long values"
	mixesDeletes  breakage = "takes the delete of a family's version for that of a family"
	halfOnCancel  breakage = "reports success when it was cancelled"
	liesWhenDown  breakage = "reports success while the target is away"
	stopsWhenDown breakage = "gives up while the target is away"
	textOnly      breakage = "takes bytes for text"
)

func (m *memory) target() Target {
	n := 0
	m.tables, m.extra = make(map[string]*model), make(map[string][]Cell)
	return Target{
		NewTable: func(context.Context) (string, string, error) {
			n++
			name := fmt.Sprintf("default:t%d", n)
			m.tables[name] = newModel()
			return name, fmt.Sprintf("p.default.t%d", n), nil
		},
		Open: func(context.Context) (sink.Applier, error) { return m, nil },
		Cells: func(_ context.Context, table string) ([]Cell, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			return append(m.tables[table].cells(), m.extra[table]...), nil
		},
		Stop:  func(context.Context) error { m.down = true; return nil },
		Start: func(context.Context) error { m.down = false; return nil },
	}
}

// Apply implements sink.Applier.
func (m *memory) Apply(ctx context.Context, b *sink.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		switch m.breakage {
		case liesWhenDown:
			return nil
		case stopsWhenDown:
			return &sink.PermanentError{Err: errors.New("connection refused")}
		}
		return errors.New("connection refused")
	}
	changes := slices.Clone(b.Changes)
	switch m.breakage {
	case reversesRow:
		slices.Reverse(changes)
	case reorders:
		if len(changes) > 4000 {
			changes = slices.Concat(changes[4000:], changes[:4000])
		}
	case drops:
		if len(changes) > 4000 {
			changes = slices.Delete(changes, 17, 18)
			changes = changes[:len(changes)-1]
		}
	}
	for i := range changes {
		if i == len(changes)/2 && ctx.Err() != nil {
			if m.breakage == halfOnCancel {
				return nil
			}
			return ctx.Err()
		}
		m.change(&changes[i])
	}
	return nil
}

func (m *memory) change(c *schema.Change) {
	table := m.tables[c.Table]
	d := *c
	d.Cells = nil
	for _, k := range c.Cells {
		at := place{string(c.Row), string(k.Family), string(k.Qualifier), k.Timestamp, k.Type}
		old, there := table.at[at]
		switch m.breakage {
		case addsAgain:
			if there && bytes.Equal(old.Value, k.Value) {
				m.extra[c.Table] = append(m.extra[c.Table], Cell{Row: at.row, Cell: k})
			}
		case keepsFirst:
			if there {
				continue
			}
		case refusesOlder:
			if m.calls++; k.Timestamp < 100 && m.calls > 100 {
				continue
			}
		case losesTags:
			k.Tags = nil
		case cutsValues:
			k.Value = k.Value[:min(len(k.Value), 1<<16)]
		case mixesDeletes:
			if k.Type == schema.DeleteFamilyVersion {
				k.Type = schema.DeleteFamily
			}
		case textOnly:
			d.Row = []byte(strings.ToValidUTF8(string(c.Row), "?"))
		}
		d.Cells = append(d.Cells, k)
	}
	table.change(&d)
}

func TestASoundSinkPasses(t *testing.T) { Run(t, new(memory).target()) }

// Negative controls: for each way of being wrong a case that finds it.
func TestABrokenSinkFails(t *testing.T) {
	for b, want := range map[breakage]string{
		drops: "ThousandsOfRowsWithTies", reorders: "ThousandsOfRowsWithTies", reversesRow: "MixedBatchOfOneRow", addsAgain: "ApplyTwice",
		keepsFirst: "ReplayAnOlderBatchAndAllThatFollowed", refusesOlder: "ThousandsOfRowsWithTies", losesTags: "Tags", cutsValues: "BigCell",
		mixesDeletes: "EveryKindOfDelete", halfOnCancel: "CancelInTheMiddle", liesWhenDown: "TargetDownAndBack", stopsWhenDown: "TargetDownAndBack",
		textOnly: "AwkwardBytes",
	} {
		t.Run(string(b), func(t *testing.T) {
			target := (&memory{breakage: b}).target()
			var failed []string
			for _, c := range Cases() {
				if err := c.Check(t.Context(), target); err != nil {
					failed = append(failed, c.Name)
				}
			}
			if !slices.Contains(failed, want) {
				t.Errorf("failed cases: %v; want %s among them", failed, want)
			}
		})
	}
}
