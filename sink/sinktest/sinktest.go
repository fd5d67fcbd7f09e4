// Package sinktest is the acceptance suite for sinks: what each Applier must do for the end state at its target to be the
// source's, however often a batch comes. A sink's own tests call Run with a Target.
package sinktest

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
)

// Family is the one family of the tables that the suite writes to.
const Family = "f"

// Target is the store behind a sink, as the suite needs it.
type Target struct {
	// NewTable names a table that no case has used, and the topic its changes come on. It has Family, keeps all
	// versions, and what is deleted, with the markers; it may be there, or be made by the first Apply.
	NewTable func(ctx context.Context) (table, topic string, err error)
	// Open returns an Applier, which is closed if it is an io.Closer.
	Open func(ctx context.Context) (sink.Applier, error)
	// Cells reads all that the target holds of a table: every version, markers and what they hide, in any order.
	Cells func(ctx context.Context, table string) ([]Cell, error)
	// Stop takes the target away, Start brings it back and returns when it can be written to.
	Stop, Start func(ctx context.Context) error
}

// Cell is one cell at the target.
type Cell struct {
	Row string
	schema.Cell
}

// Case is one thing that a sink must do.
type Case struct {
	Name  string
	Check func(ctx context.Context, t Target) error
}

// caseTimeout bounds one case: a sink that hangs fails.
const caseTimeout = 3 * time.Minute

// Run runs all cases.
func Run(t *testing.T, target Target) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), caseTimeout)
			defer cancel()
			if err := c.Check(ctx, target); err != nil {
				t.Error(err)
			}
		})
	}
}

// scene is a table at a target, an Applier, and what the table should hold.
type scene struct {
	Target
	applier      sink.Applier
	table, topic string
	want         *model
	offset       int64
	sequence     uint64
}

// play opens a scene, lets f act, and compares the table with what was applied.
func play(f func(ctx context.Context, s *scene) error) func(context.Context, Target) error {
	return func(ctx context.Context, t Target) (err error) {
		s := &scene{Target: t, want: newModel()}
		if s.table, s.topic, err = t.NewTable(ctx); err != nil {
			return fmt.Errorf("make a table: %w", err)
		}
		if s.applier, err = t.Open(ctx); err != nil {
			return fmt.Errorf("open the sink: %w", err)
		}
		if c, ok := s.applier.(io.Closer); ok {
			defer func() {
				if cerr := c.Close(); cerr != nil && err == nil {
					err = fmt.Errorf("close the sink: %w", cerr)
				}
			}()
		}
		if err := f(ctx, s); err != nil {
			return err
		}
		return s.compare(ctx)
	}
}

// batch makes the next batch of the topic: one change for each list of cells, of the row that stands before it.
func (s *scene) batch(changes ...schema.Change) *sink.Batch {
	b := &sink.Batch{Topic: s.topic, First: s.offset, Changes: changes}
	for i := range b.Changes {
		s.sequence++
		c := &b.Changes[i]
		c.Table, c.Sequence, c.Timestamp = s.table, s.sequence, 1_700_000_000_000+int64(s.sequence)
		c.Source = schema.Source{Version: "test", Connector: "sinktest", ClusterID: schema.UUID{0xee, 15: 1}, Region: "5c1e7e57", Kind: schema.KindWAL, Epoch: 1}
		for j := range c.Cells {
			b.Bytes += int64(len(c.Row) + len(c.Cells[j].Value))
		}
	}
	s.offset += int64(len(changes))
	b.Next = s.offset
	s.want.apply(b)
	return b
}

// apply applies batches one after the other; none may fail.
func (s *scene) apply(ctx context.Context, batches ...*sink.Batch) error {
	for i, b := range batches {
		if err := s.applier.Apply(ctx, b); err != nil {
			return fmt.Errorf("apply batch %d of %d: %w", i+1, len(batches), err)
		}
	}
	return nil
}

// insist applies a batch until that succeeds, as the sink's loop does.
func (s *scene) insist(ctx context.Context, b *sink.Batch) error {
	for {
		err := s.applier.Apply(ctx, b)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("apply a batch again and again: %w", err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// compare says in what the table differs from what was applied.
func (s *scene) compare(ctx context.Context) error {
	got, err := s.Cells(ctx, s.table)
	if err != nil {
		return fmt.Errorf("read the target: %w", err)
	}
	return difference(s.want.cells(), got)
}

func difference(want, got []Cell) error {
	count := make(map[string]int, len(want))
	for i := range want {
		count[describe(&want[i])]++
	}
	for i := range got {
		count[describe(&got[i])]--
	}
	var lines []string
	for text, n := range count {
		switch {
		case n > 0:
			lines = append(lines, "missing "+text)
		case n < 0:
			lines = append(lines, "too much "+text)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	slices.SortFunc(lines, func(a, b string) int {
		_, x, _ := strings.Cut(a, `"`)
		_, y, _ := strings.Cut(b, `"`)
		return cmp.Or(strings.Compare(x, y), strings.Compare(a, b))
	})
	more := ""
	if n := len(lines) - 10; n > 0 {
		lines, more = lines[:10], fmt.Sprintf("\nand %d more", n)
	}
	return fmt.Errorf("the target holds %d cells, %d were applied:\n%s%s", len(got), len(want), strings.Join(lines, "\n"), more)
}

func describe(c *Cell) string {
	value := fmt.Sprintf("%q", c.Value)
	if len(c.Value) > 64 {
		value = fmt.Sprintf("%q... (%d bytes, hash %x)", c.Value[:16], len(c.Value), hash(c.Value))
	}
	return fmt.Sprintf("%q %s:%q @%d %s = %s tags %x", c.Row, c.Family, c.Qualifier, c.Timestamp, c.Type, value, c.Tags)
}
