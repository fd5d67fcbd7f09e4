package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/internal/crash"
)

const (
	// pollInterval is how often a cut-over looks whether it may go on.
	pollInterval = 250 * time.Millisecond
	// sayInterval is how often it says what it waits for.
	sayInterval = 5 * time.Second
	// rehearseTimeout bounds how long a rehearsal waits for the watermark and the sink.
	rehearseTimeout = 10 * time.Minute
	// openRegion and openTable are what closing a table is assumed to take for each region, and at least.
	openRegion = 50 * time.Millisecond
	openTable  = 2 * time.Second
)

// ErrNotGreen says that the gate is red.
var ErrNotGreen = errors.New("the gate is red")

// ErrNotStarted says that nothing is known of a wave.
var ErrNotStarted = errors.New("was not started")

// CutoverOptions of Cutover and Undo.
type CutoverOptions struct {
	Reverse bool // begin a stream from the destination to the source
	// KeepFence leaves the source's tables closed when the gate is not green in time.
	KeepFence bool
	// Lose: go back although writes made at the destination are lost to the source; of Undo.
	Lose bool
}

// on opens a wave that was started; "" is the only one of the migration.
func (m *Migration) on(ctx context.Context, e Env, wave string) (*session, *Wave, *State, error) {
	w, err := m.one(wave)
	if err != nil {
		return nil, nil, nil, err
	}
	s, err := m.open(ctx, e)
	if err != nil {
		return nil, nil, nil, err
	}
	st, err := s.started(ctx, w)
	if err != nil {
		return nil, nil, nil, errors.Join(err, s.close())
	}
	return s, w, st, nil
}

// one finds the wave that is meant.
func (m *Migration) one(wave string) (*Wave, error) {
	if wave == "" && len(m.Waves) > 1 {
		return nil, fmt.Errorf("the file has several waves: choose one with --wave, of %s", strings.Join(m.waveNames(), ", "))
	}
	if wave == "" {
		return m.Waves[0], nil
	}
	chosen, err := m.find([]string{wave})
	if err != nil {
		return nil, err
	}
	return chosen[0], nil
}

// started loads the state of a wave, and refuses one that was never started.
func (s *session) started(ctx context.Context, w *Wave) (*State, error) {
	if err := s.openStore(ctx, true); err != nil {
		return nil, err
	}
	st, err := s.store.load(ctx, w.Name)
	switch {
	case err != nil:
		return nil, err
	case st == nil:
		return nil, fmt.Errorf("wave %s %w: waltap migrate start", w.Name, ErrNotStarted)
	}
	if s.src != nil && st.Phase != PhaseCleaning && st.Phase != PhaseCleaned {
		return st, s.checkState(st)
	}
	return st, nil
}

// Cutover closes the source's tables to writers, waits until the destination has all that they have, proves it, and says that
// writers may go to the destination. When it was killed it goes on where it was.
func (m *Migration) Cutover(ctx context.Context, e Env, wave string, o CutoverOptions) (err error) {
	s, w, st, err := m.on(ctx, e, wave)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	switch st.Phase {
	case PhaseStarted:
		if err := s.mayBegin(ctx, w, st); err != nil {
			return err
		}
	case PhaseFencing:
		s.say("going on with the cut-over that was begun at %s", moment(st.Fence.Began))
	case PhaseCutOver, PhaseReverse:
		if !o.Reverse && st.Phase == PhaseCutOver {
			s.say("wave %s is cut over", w.Name)
			return nil
		}
	default:
		return fmt.Errorf("wave %s is %s: %s", w.Name, st.Phase, nextOf(st.Phase))
	}
	if st.Phase == PhaseStarted || st.Phase == PhaseFencing {
		if err := s.cut(ctx, w, st, o); err != nil {
			return err
		}
	}
	if o.Reverse {
		if err := s.beginReverse(ctx, w, st); err != nil {
			return err
		}
	}
	s.say("wave %s is cut over: writers may go to the destination", w.Name)
	return nil
}

// nextOf says what is to be done in a phase in which nothing else may be.
func nextOf(p Phase) string {
	switch p {
	case PhaseUndoing:
		return "let waltap migrate cutover --undo end"
	case PhaseCleaning:
		return "let waltap migrate cleanup end"
	}
	return "there is nothing left to do"
}

// mayBegin refuses a cut-over whose freeze would be long or without end.
func (s *session) mayBegin(ctx context.Context, w *Wave, st *State) error {
	r, err := s.rehearse(ctx, w, st)
	if err != nil {
		return err
	}
	if !r.Gate.Green() {
		printGate(s.out, r.Gate)
		return fmt.Errorf("wave %s: %w already without a fence: nothing was changed", w.Name, ErrNotGreen)
	}
	if r.Freeze() > s.maxFreeze {
		return fmt.Errorf("wave %s: the freeze is likely to last %s, and migration.freeze.max.ms allows %s: nothing was changed; verify once more so that less is left for the last pass, choose a quieter hour, or allow more",
			w.Name, round(r.Freeze()), round(s.maxFreeze))
	}
	s.say("the freeze is likely to last %s", round(r.Freeze()))
	return nil
}

// cut closes the tables and waits for the gate.
func (s *session) cut(ctx context.Context, w *Wave, st *State, o CutoverOptions) error {
	if err := s.closeSource(ctx, w, st); err != nil {
		return err
	}
	gate, err := s.awaitGate(ctx, w, st)
	if err != nil {
		return err
	}
	printGate(s.out, gate)
	if !gate.Green() {
		if o.KeepFence {
			return fmt.Errorf("wave %s: %w after %s; the tables stay closed (--keep-fence): run cutover again, or cutover --undo", w.Name, ErrNotGreen, round(s.maxFreeze))
		}
		err := fmt.Errorf("wave %s: %w; the source's tables are open again", w.Name, ErrNotGreen)
		return errors.Join(err, s.reopen(ctx, w, st))
	}
	if s.fence == config.FenceDisable && !o.Reverse {
		if err := s.disableTables(ctx, st); err != nil {
			return err
		}
	}
	s.say("writes were stopped for %s", round(time.Since(time.UnixMilli(st.Fence.Began))))
	st.Phase = PhaseCutOver
	if err := s.store.save(ctx, w.Name, st); err != nil {
		return err
	}
	crash.Point(crash.CutOverSaved)
	return nil
}

// closeSource closes the source's tables and keeps when they were.
func (s *session) closeSource(ctx context.Context, w *Wave, st *State) error {
	if st.Fence == nil {
		st.Fence = &Fence{ID: newFenceID(), Mode: string(s.fence), Began: time.Now().UnixMilli()}
		st.Phase = PhaseFencing
		if err := s.store.save(ctx, w.Name, st); err != nil {
			return err
		}
	}
	crash.Point(crash.FenceSaved)
	if st.Fence.Closed != 0 {
		return nil
	}
	if err := s.closeTables(ctx, s.src, st.names()); err != nil {
		return err
	}
	crash.Point(crash.FenceClosed)
	p, err := s.forwardPair(w, st)
	if err != nil {
		return err
	}
	if st.Fence.From, err = s.marksEnd(ctx, p); err != nil {
		return err
	}
	st.Fence.Closed = time.Now().UnixMilli()
	return s.store.save(ctx, w.Name, st)
}

// awaitGate waits until the gate is green, or what is red will not change by waiting, or the freeze has lasted too long.
func (s *session) awaitGate(ctx context.Context, w *Wave, st *State) (Gate, error) {
	deadline := time.UnixMilli(st.Fence.Began).Add(s.maxFreeze)
	said := time.Time{}
	for {
		gate, err := s.lookAtGate(ctx, w, st)
		if err != nil {
			return nil, err
		}
		red := gate.Red()
		if len(red) == 1 && red[0].Name == CondVerify && needsFinal(st) {
			s.say("comparing what has changed since %s", moment(st.Verified.Base.Began))
			if err := s.verifyFinal(ctx, w, st); err != nil {
				return nil, err
			}
			continue
		}
		if len(red) == 0 || !mayPass(red) || len(red) == 1 && red[0].Name == CondVerify || time.Now().After(deadline) {
			return gate, nil
		}
		if time.Since(said) >= sayInterval {
			said = time.Now()
			s.say("waiting: %s: %s", red[0].Name, red[0].Text)
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return nil, fmt.Errorf("the source's tables are closed: run cutover again to go on, or cutover --undo: %w", err)
		}
	}
}

// mayPass tells whether all that is red may become green by waiting.
func mayPass(red []Condition) bool {
	waits := []string{CondFence, CondWatermark, CondSink, CondScan}
	return !slices.ContainsFunc(red, func(c Condition) bool { return !slices.Contains(waits, c.Name) && c.Name != CondVerify })
}

func needsFinal(st *State) bool {
	v := st.Verified
	return v != nil && v.Base != nil && v.Base.Clean && (v.Final == nil || v.Final.Fence != st.Fence.ID)
}

// lookAtGate judges the gate as it is now, and keeps the moment of the fence as soon as it is known.
func (s *session) lookAtGate(ctx context.Context, w *Wave, st *State) (Gate, error) {
	fence := st.Fence
	if fence.Moment == 0 && fence.Closed != 0 {
		p, err := s.forwardPair(w, st)
		if err != nil {
			return nil, err
		}
		if fence.Moment, err = s.momentAfter(ctx, p, fence.From); err != nil {
			return nil, err
		}
		if fence.Moment != 0 {
			if err := s.store.save(ctx, w.Name, st); err != nil {
				return nil, err
			}
		}
	}
	f, err := s.facts(ctx, w, st, fence.From, fence.Moment)
	if err != nil {
		return nil, err
	}
	gate := Judge(f, true)
	return gate, s.keepGate(ctx, w, gate, true)
}

// verifyFinal compares, behind the fence, the rows that have changed since the last clean pass.
func (s *session) verifyFinal(ctx context.Context, w *Wave, st *State) error {
	_, pass, err := s.compare(ctx, w, st, VerifyOptions{})
	if err != nil {
		return fmt.Errorf("the last verify: %w", err)
	}
	pass.Fence = st.Fence.ID
	st.Verified.Final = pass
	crash.Point(crash.VerifyUnsaved)
	return s.store.save(ctx, w.Name, st)
}

// reopen takes the fence away.
func (s *session) reopen(ctx context.Context, w *Wave, st *State) error {
	if st.Phase != PhaseUndoing {
		if st.Phase != PhaseFencing { // writers were at the destination: what was equal may not be, and is in no topic
			st.Verified, st.Undone = nil, st.Undone+1
		}
		st.Phase = PhaseUndoing
		if err := s.store.save(ctx, w.Name, st); err != nil {
			return err
		}
	}
	if err := s.openTables(ctx, st); err != nil {
		return err
	}
	if st.Reverse != nil {
		st.Verified, st.Undone = nil, st.Undone+1
	}
	st.Phase, st.Fence, st.Reverse = PhaseStarted, nil, nil
	if st.Verified != nil {
		st.Verified.Final = nil
	}
	if err := s.store.Delete(ctx, s.Name, gateKey(w.Name)); err != nil {
		return fmt.Errorf("forget how the gate was: %w", err)
	}
	return s.store.save(ctx, w.Name, st)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// round is a duration as people say it.
func round(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return strings.TrimSuffix(d.Round(time.Second).String(), "0s")
}

// await calls done until it says so, telling now and then what it waits for.
func (s *session) await(ctx context.Context, text string, done func() (bool, error)) error {
	for said := time.Now(); ; {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		if time.Since(said) >= sayInterval {
			said = time.Now()
			s.say("waiting: %s", text)
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return fmt.Errorf("wait for %s: %w", text, err)
		}
	}
}
