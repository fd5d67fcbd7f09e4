package source

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waltap/waltap/schema"
)

// A batch is handed over whole, with changes that share nothing with those that were added; one that failed to be read is not.
func TestDelivery(t *testing.T) {
	var got []schema.Change
	var answer func(error)
	p := NewDelivery(func(_ context.Context, changes []schema.Change, done func(error)) { got, answer = changes, done })
	c := schema.Change{Table: "default:t", Row: []byte("r"), Cells: []schema.Cell{{Family: []byte("f"), Value: []byte("v"), Type: schema.Put}},
		Source: schema.Source{Origins: []schema.UUID{{1}}}}
	want := c.Clone()
	b := p.Begin(t.Context())
	if err := b.Add(&c); err != nil {
		t.Fatal(err)
	}
	c.Row[0], c.Cells[0].Value[0], c.Source.Origins[0] = 'x', 'x', schema.UUID{2}
	told := errors.New("not told")
	b.Commit(nil, func(err error) { told = err })
	if d := cmp.Diff([]schema.Change{want}, got); d != "" {
		t.Error(d)
	}
	if told == nil {
		t.Error("it was acknowledged before anybody has")
	}
	refused := errors.New("refused")
	answer(refused)
	if !errors.Is(told, refused) {
		t.Errorf("told %v, want %v", told, refused)
	}
	got = nil
	b = p.Begin(t.Context())
	if err := b.Add(&c); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := b.CommitWait(broken); !errors.Is(err, broken) || got != nil {
		t.Errorf("%v, handed over: %v", err, got)
	}
	if err := p.Begin(t.Context()).CommitWait(nil); err != nil || got != nil {
		t.Errorf("an empty batch: %v, handed over: %v", err, got)
	}
}
