package tables

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/waltap/waltap/internal/hbase/admin"
)

// RefusedError says that Apply has changed nothing because of what it lists.
type RefusedError struct{ Differences []Difference }

func (e *RefusedError) Error() string {
	var s strings.Builder
	s.WriteString("nothing was changed at the destination:")
	for _, d := range e.Differences {
		fmt.Fprintf(&s, "\n%s: %s; %s", d.What(), d.Why, d.Remedy)
	}
	return s.String()
}

// What names what the difference is about: "table shop:orders, attribute TTL of family d".
func (d *Difference) What() string {
	s := "namespace " + d.Namespace
	if d.Table != "" {
		s = "table " + d.Table
	}
	switch d.Kind {
	case KindNamespace, KindTable:
		return s
	}
	s += ", " + d.Kind
	if d.Name != "" {
		s += " " + d.Name
		if d.Family != "" {
			s += " of family " + d.Family
		}
		return s
	}
	if d.Family != "" {
		s += " " + d.Family
	}
	return s
}

// tablesAtOnce is how many tables are created or altered at once: the master is waited for most of the time.
const tablesAtOnce = 4

// attempts bounds how often Apply begins again because a table has come into being meanwhile.
const attempts = 3

// Apply makes the destination have what f defines, as far as Options allow, and returns the differences that it found. Namespaces
// and tables are created, families and other additions are made to tables that are there; nothing is ever removed. While
// anything is refused nothing is changed: *RefusedError. It may be repeated after it has failed or was killed at any place,
// and does then what is left: also when the master is still creating a table that an earlier call has asked for.
func Apply(ctx context.Context, f *File, dst *admin.Cluster, o Options) ([]Difference, error) {
	p, err := newPlan(ctx, f, dst, o)
	if err != nil {
		return nil, err
	}
	found := p.differences
	for attempt := 1; ; attempt++ {
		err := p.run(ctx)
		if !errors.Is(err, admin.ErrTableExists) || attempt == attempts {
			return found, err
		}
		if p, err = newPlan(ctx, f, dst, o); err != nil {
			return found, err
		}
	}
}

func (p *plan) run(ctx context.Context) error {
	var refused []Difference
	for _, d := range p.differences {
		if d.Action == Refused {
			refused = append(refused, d)
		}
	}
	if len(refused) > 0 {
		return &RefusedError{refused}
	}
	var namespaces []step
	of := make(map[string][]step)
	var tables []string
	for _, s := range p.steps {
		switch {
		case s.table == "":
			namespaces = append(namespaces, s)
			continue
		case of[s.table] == nil:
			tables = append(tables, s.table)
		}
		of[s.table] = append(of[s.table], s)
	}
	if err := p.walk(ctx, ctx, namespaces); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(tablesAtOnce)
	for _, t := range tables {
		g.Go(func() error { return p.walk(ctx, gctx, of[t]) })
	}
	return g.Wait()
}

// walk takes steps one after the other, as long as until is not over. A step that was begun is carried through.
func (p *plan) walk(ctx, until context.Context, steps []step) error {
	for _, s := range steps {
		if until.Err() != nil {
			return context.Cause(until)
		}
		if err := s.do(ctx); err != nil {
			return err
		}
		if p.Log != nil {
			p.logging.Lock()
			p.Log(s.done)
			p.logging.Unlock()
		}
	}
	return nil
}
