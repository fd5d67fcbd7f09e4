package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/waltap/waltap/connector"
	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/verify"
	"github.com/waltap/waltap/internal/crash"
	"github.com/waltap/waltap/sink"
	"github.com/waltap/waltap/source/scan"
)

// VerifyOptions of Verify.
type VerifyOptions struct {
	Full bool // compare all rows, also where a clean pass went before
	Hash bool // compare hashes of ranges where all rows are compared
	// DifferencesFile gets a line of JSON for each difference; "": none.
	DifferencesFile string
	Parallel        int // ranges compared at once; 0: the default
	MaxBadRows      int64
	Limits          scan.Limits // of the reading, at each end
	// StateFile keeps the progress of a pass over all rows; with Resume it goes on from there.
	StateFile string
	Resume    bool
	Progress  func(verify.Progress)
}

// Verify compares the tables of a wave and keeps the result for the gate. After a clean pass only rows are compared whose keys
// appear in the topics since it began: what it found equal and nobody has changed is equal still.
func (m *Migration) Verify(ctx context.Context, e Env, wave string, o VerifyOptions) (r *verify.Report, err error) {
	s, w, st, err := m.on(ctx, e, wave)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if st.Phase != PhaseStarted && st.Phase != PhaseFencing {
		return nil, fmt.Errorf("wave %s is %s: there are writers at the destination, and nothing to compare it with", w.Name, st.Phase)
	}
	r, pass, err := s.compare(ctx, w, st, o)
	if err != nil {
		return nil, err
	}
	crash.Point(crash.VerifyUnsaved)
	return r, s.keepPass(ctx, w, pass)
}

// keepPass makes a pass the one that later ones go back to. One that was not clean takes the place of the last, for the rows
// that it found are not in the topics.
func (s *session) keepPass(ctx context.Context, w *Wave, p *Pass) error {
	st, err := s.store.load(ctx, w.Name)
	if err != nil {
		return err
	}
	if st == nil {
		return fmt.Errorf("the state of wave %s is gone", w.Name)
	}
	if st.Verified == nil {
		st.Verified = new(Verified)
	}
	st.Verified.Base = p
	return s.store.save(ctx, w.Name, st)
}

// compare makes one pass of a wave's tables.
func (s *session) compare(ctx context.Context, w *Wave, st *State, o VerifyOptions) (*verify.Report, *Pass, error) {
	p, err := s.forwardPair(w, st)
	if err != nil {
		return nil, nil, err
	}
	options, done, err := s.verifyOptions(p)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	options.DifferencesFile, options.Progress, options.Parallel, options.MaxBadRows = o.DifferencesFile, o.Progress, o.Parallel, o.MaxBadRows
	options.Limits = o.Limits
	last := (*Pass)(nil)
	if v := st.Verified; !o.Full && v != nil && v.Base != nil && v.Base.Clean && covers(v.Base.Tables, p.tables) {
		last = v.Base
		options.Mode, options.ChangedSince = verify.Changed, verify.Offsets(last.Since)
	} else {
		// What was equal before writers were at the destination may not be any more.
		options.StateFile, options.Resume, options.Era = o.StateFile, o.Resume, fmt.Sprintf("wave %s of %s since %d, undone %d times", w.Name, s.Name, st.Started, st.Undone)
		if o.Hash {
			options.Mode = verify.Hash
		}
	}
	var first firstDifferences
	options.Found = first.add
	r, err := verify.Run(ctx, options)
	if err != nil {
		return nil, nil, err
	}
	pass := passOf(r, r.Clean(), p.tables)
	pass.First = first.list
	if last != nil {
		pass.Whole, pass.Rows = last.Whole, max(last.Rows, pass.Rows)
	}
	return r, pass, nil
}

// What is kept of the differences that a pass finds.
const (
	mostFirst     = 20
	maxDifference = 300 // bytes of a text
)

// firstDifferences keeps the first that are found.
type firstDifferences struct {
	mu   sync.Mutex
	list []FirstDifference
}

func (f *firstDifferences) add(d verify.Difference) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.list) == mostFirst {
		return
	}
	text := d.Text
	if len(text) > maxDifference {
		text = strings.ToValidUTF8(text[:maxDifference], "") + "…"
	}
	f.list = append(f.list, FirstDifference{d.Table, d.Kind, d.At, text})
}

// covers tells whether all of want are in have.
func covers(have, want []string) bool {
	in := make(map[string]bool)
	for _, t := range have {
		in[t] = true
	}
	for _, t := range want {
		if !in[t] {
			return false
		}
	}
	return true
}

// verifyOptions are those of a pair's tables; done closes what they hold.
func (s *session) verifyOptions(p *pair) (o verify.Options, done func(), err error) {
	cfg := *s.cfg
	cfg.Connectors = []config.Connector{*p.source, *p.sink}
	if o, err = verify.FromConfig(&cfg, "", "", s.log); err != nil {
		return o, nil, err
	}
	found := cfg.Registry()
	registry, err := connector.OpenRegistry(&found, s.log)
	if err != nil {
		return o, nil, err
	}
	o.Tables, o.Log = p.tables, s.log
	o.Pipeline.Kafka, o.Pipeline.Schemas = s.kafka, sink.NewSchemas(s.kafka, registry)
	return o, func() {
		if registry != nil {
			registry.Close()
		}
	}, nil
}
