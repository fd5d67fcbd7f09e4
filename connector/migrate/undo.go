package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/waltap/waltap/internal/crash"
	"github.com/waltap/waltap/internal/hbase/admin"
)

// beginReverse begins the stream from the destination to the source, and opens the source's tables for it once it has every change
// that is made at the destination from then on. The other stream goes on: what a forgotten writer still writes to the source is not lost.
func (s *session) beginReverse(ctx context.Context, w *Wave, st *State) error {
	if st.Reverse == nil {
		if err := s.recordTargets(ctx, st); err != nil {
			return err
		}
		st.Reversals++
		st.Reverse, st.Phase = &Reverse{N: st.Reversals}, PhaseReverse
		if err := s.store.save(ctx, w.Name, st); err != nil {
			return err
		}
	}
	crash.Point(crash.ReverseSaved)
	if !st.Reverse.Flows {
		if err := s.awaitReverse(ctx, w, st); err != nil {
			return fmt.Errorf("begin the reverse stream: %w; writers may not go to the destination yet: run cutover --reverse again, or cutover --undo", err)
		}
		st.Reverse.Flows = true
		if err := s.store.save(ctx, w.Name, st); err != nil {
			return err
		}
	}
	s.say("the reverse stream has every change that is made at the destination from now on")
	return s.openTables(ctx, st)
}

// recordTargets keeps how the destination's tables are before the reverse stream alters them.
func (s *session) recordTargets(ctx context.Context, st *State) error {
	for i := range st.Tables {
		t := &st.Tables[i]
		if t.TargetScopes != nil {
			continue
		}
		now, err := s.dst.Table(ctx, t.Target)
		if err != nil {
			return fmt.Errorf("look at the destination: %w", err)
		}
		t.TargetScopes, t.TargetReadOnly = scopesOf(*now), now.Attributes[readOnlyAttribute]
	}
	return nil
}

// awaitReverse waits until a watermark of the reverse stream proves that it flows.
func (s *session) awaitReverse(ctx context.Context, w *Wave, st *State) error {
	p, err := s.reversePair(w, st)
	if err != nil {
		return err
	}
	err = s.await(ctx, "the reverse stream", func() (bool, error) {
		kept, err := s.kept(ctx, p.prefix(), p.source.Name)
		if err != nil || kept == nil || !kept.Streaming {
			return false, err
		}
		for _, t := range p.tables {
			if !kept.Tables[t].Captured {
				return false, nil
			}
		}
		mark, err := s.newestMark(ctx, p)
		return mark != nil, err
	})
	if err != nil {
		return err
	}
	return s.passed(ctx, p, "the watermark of the reverse stream")
}

// passed waits until a pair's sink has applied all that was acknowledged before passed was called.
func (s *session) passed(ctx context.Context, p *pair, what string) error {
	from, err := s.marksEnd(ctx, p)
	if err != nil {
		return err
	}
	return s.passedSince(ctx, p, from, what)
}

func (s *session) passedSince(ctx context.Context, p *pair, from int64, what string) error {
	at := int64(0)
	return s.await(ctx, what, func() (done bool, err error) {
		if at == 0 {
			if at, err = s.momentAfter(ctx, p, from); err != nil || at == 0 {
				return false, err
			}
		}
		mark, err := s.watermark(ctx, p, from, at)
		if err != nil || mark == nil || mark.Time < at {
			return false, err
		}
		behind, err := s.behind(ctx, p, mark)
		return len(behind) == 0, err
	})
}

// Undo takes a cut-over back. With a reverse stream nothing is lost: the destination is closed, and the source opened once it has
// all of it. Without one, what was written at the destination stays there: that must be agreed to.
func (m *Migration) Undo(ctx context.Context, e Env, wave string, o CutoverOptions) (err error) {
	s, w, st, err := m.on(ctx, e, wave)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	switch {
	case st.Phase == PhaseStarted:
		s.say("wave %s is not cut over: there is nothing to undo", w.Name)
		return nil
	case st.Phase == PhaseCleaning || st.Phase == PhaseCleaned:
		return fmt.Errorf("wave %s is %s: the streams are gone; to open the source's tables alone: waltap migrate cleanup --unfence", w.Name, st.Phase)
	case st.Phase == PhaseCutOver && !o.Lose:
		return fmt.Errorf("wave %s is cut over without a reverse stream: what was written at the destination since is not at the source, and would be lost to it; --yes goes back nevertheless", w.Name)
	}
	if st.Reverse != nil {
		if err := s.undoReverse(ctx, w, st); err != nil {
			return err
		}
	}
	if err := s.reopen(ctx, w, st); err != nil {
		return err
	}
	s.say("wave %s is not cut over any more: writers belong to the source, and the destination follows it", w.Name)
	return nil
}

// undoReverse brings everything back to the source, then ends the reverse stream.
func (s *session) undoReverse(ctx context.Context, w *Wave, st *State) error {
	p, err := s.reversePair(w, st)
	if err != nil {
		return err
	}
	r := st.Reverse
	if r.Flows && !r.Done {
		if err := s.bringBack(ctx, w, st, p); err != nil {
			return err
		}
	}
	if !r.Done {
		r.Done, st.Phase = true, PhaseUndoing
		if err := s.store.save(ctx, w.Name, st); err != nil {
			return err
		}
	}
	if err := s.dismiss(ctx, s.dst, p); err != nil {
		return err
	}
	if err := s.openTargets(ctx, st); err != nil {
		return err
	}
	return s.restoreTargetScopes(ctx, st)
}

// bringBack closes the destination's tables and waits until the source has what they have.
func (s *session) bringBack(ctx context.Context, w *Wave, st *State, p *pair) error {
	r := st.Reverse
	if err := s.openTables(ctx, st); err != nil { // it writes to them
		return err
	}
	if r.Undo == nil {
		r.Undo, st.Phase = &Fence{ID: newFenceID(), Began: time.Now().UnixMilli()}, PhaseUndoing
		if err := s.store.save(ctx, w.Name, st); err != nil {
			return err
		}
	}
	crash.Point(crash.FenceSaved)
	if r.Undo.Closed == 0 {
		if err := s.closeTables(ctx, s.dst, p.tables); err != nil {
			return err
		}
		crash.Point(crash.FenceClosed)
		var err error
		if r.Undo.From, err = s.marksEnd(ctx, p); err != nil {
			return err
		}
		r.Undo.Closed = time.Now().UnixMilli()
		if err := s.store.save(ctx, w.Name, st); err != nil {
			return err
		}
	}
	if err := s.passedSince(ctx, p, r.Undo.From, "the source to have what the destination has"); err != nil {
		return fmt.Errorf("%w; the destination's tables are closed: run cutover --undo again", err)
	}
	s.say("the source has everything that was written at the destination")
	return nil
}

// restoreTargetScopes gives the destination's families the scopes they had before the reverse stream.
func (s *session) restoreTargetScopes(ctx context.Context, st *State) error {
	return s.restoreScopes(ctx, s.dst, st, func(t *Table) (string, map[string]string) { return t.Target, t.TargetScopes })
}

// restoreScopes gives the families of the tables of a cluster the scopes they had; of says which those were, of a table called what there.
func (s *session) restoreScopes(ctx context.Context, c *admin.Cluster, st *State, of func(*Table) (name string, before map[string]string)) error {
	peers, err := c.Peers(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex // of st.Left
	return eachTable(st.Tables, func(t *Table) error {
		name, before := of(t)
		left, err := s.restoreScopesOf(ctx, c, name, before, peers)
		mu.Lock()
		st.Left = add(st.Left, left...)
		mu.Unlock()
		crash.Point(crash.AttributesPartly)
		return err
	})
}

// restoreScopesOf gives a table's families the scopes they had. One that another peer ships now keeps its own: that is in left.
func (s *session) restoreScopesOf(ctx context.Context, c *admin.Cluster, table string, before map[string]string, peers []admin.Peer) (left []string, err error) {
	if len(before) == 0 {
		return nil, nil
	}
	t, err := c.Table(ctx, table)
	if errors.Is(err, admin.ErrTableNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t.Families = slices.Clone(t.Families)
	changed := false
	for i := range t.Families {
		f := &t.Families[i]
		was, recorded := before[f.Name]
		if !recorded || f.Attributes[admin.ScopeAttribute] == was {
			continue
		}
		if j := slices.IndexFunc(peers, func(p admin.Peer) bool { return f.Scope() == 1 && p.Ships(table, f.Name) }); j >= 0 {
			left = append(left, fmt.Sprintf("table %s, family %s: %s stays %d, as peer %s ships it now", table, f.Name, admin.ScopeAttribute, f.Scope(), peers[j].ID))
			continue
		}
		f.Attributes, changed = withAttribute(f.Attributes, admin.ScopeAttribute, was), true
	}
	if !changed {
		return left, nil
	}
	if err := c.ModifyTable(ctx, *t); err != nil {
		return left, fmt.Errorf("put %s of table %s back: %w", admin.ScopeAttribute, table, err)
	}
	s.say("table %s: %s is as it was", table, admin.ScopeAttribute)
	return left, nil
}

// add appends what is not there yet.
func add(to []string, more ...string) []string {
	for _, m := range more {
		if !slices.Contains(to, m) {
			to = append(to, m)
		}
	}
	return to
}
