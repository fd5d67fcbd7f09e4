package migrate

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"

	"golang.org/x/sync/errgroup"

	"github.com/waltap/waltap/internal/crash"
	"github.com/waltap/waltap/internal/hbase/admin"
)

// atOnce is how many tables are closed, opened or altered at once: each has its regions reopened, while others wait for it.
const atOnce = 4

// eachTable calls do for all tables, several at once; it returns when all have ended.
func eachTable(tables []Table, do func(t *Table) error) error {
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i := range tables {
		g.Go(func() error { return do(&tables[i]) })
	}
	return g.Wait()
}

func newFenceID() string {
	var b [6]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// setReadOnly gives a table the attribute READONLY, "" takes it away; it does nothing to one that has it so. It returns when all of the
// table's regions were reopened: no write that came before is under way then.
func setReadOnly(ctx context.Context, c *admin.Cluster, table, value string) (changed bool, err error) {
	t, err := c.Table(ctx, table)
	if err != nil {
		return false, err
	}
	if t.Attributes[readOnlyAttribute] == value {
		return false, nil
	}
	t.Attributes = withAttribute(t.Attributes, readOnlyAttribute, value)
	return true, c.ModifyTable(ctx, *t)
}

// withAttribute is a copy with another value of one attribute, without it for "".
func withAttribute(attributes map[string]string, name, value string) map[string]string {
	out := maps.Clone(attributes)
	if out == nil {
		out = make(map[string]string)
	}
	out[name] = value
	if value == "" {
		delete(out, name)
	}
	return out
}

// closeTables closes tables to writers.
func (s *session) closeTables(ctx context.Context, c *admin.Cluster, names []string) error {
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, name := range names {
		g.Go(func() error {
			changed, err := setReadOnly(ctx, c, name, "true")
			if err != nil {
				return fmt.Errorf("close table %s to writers: %w", name, err)
			}
			if changed {
				s.say("table %s is read-only", name)
			}
			crash.Point(crash.TableFenced)
			return nil
		})
	}
	return g.Wait()
}

// openTables gives the wave's source tables back to their writers, but for those that had none before.
func (s *session) openTables(ctx context.Context, st *State) error {
	states, err := s.src.TableStates(ctx)
	if err != nil {
		return err
	}
	return eachTable(st.Tables, func(t *Table) error {
		if state, known := states[t.Source]; !known || !state.Enabled {
			err := s.src.EnableTable(ctx, t.Source)
			if err != nil && !errors.Is(err, admin.ErrTableNotDisabled) {
				return fmt.Errorf("enable table %s: %w", t.Source, err)
			}
			if err == nil {
				s.say("table %s is enabled", t.Source)
			}
		}
		changed, err := setReadOnly(ctx, s.src, t.Source, t.ReadOnly)
		if err != nil {
			return fmt.Errorf("open table %s to writers: %w", t.Source, err)
		}
		if changed {
			s.say("table %s takes writes again", t.Source)
		}
		crash.Point(crash.TableUnfenced)
		return nil
	})
}

// openTargets opens the destination's tables.
func (s *session) openTargets(ctx context.Context, st *State) error {
	return eachTable(st.Tables, func(t *Table) error {
		if _, err := setReadOnly(ctx, s.dst, t.Target, t.TargetReadOnly); err != nil {
			return fmt.Errorf("open table %s at the destination: %w", t.Target, err)
		}
		crash.Point(crash.TableUnfenced)
		return nil
	})
}

// disableTables takes the source's tables out of service.
func (s *session) disableTables(ctx context.Context, st *State) error {
	return eachTable(st.Tables, func(t *Table) error {
		err := s.src.DisableTable(ctx, t.Source)
		switch {
		case errors.Is(err, admin.ErrTableNotEnabled):
		case err != nil:
			return fmt.Errorf("disable table %s: %w", t.Source, err)
		default:
			s.say("table %s is disabled", t.Source)
		}
		return nil
	})
}
