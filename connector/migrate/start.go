package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/waltap/waltap/connector"
	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/connector/tables"
	"github.com/waltap/waltap/internal/crash"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/sink/hbase"
)

const (
	// readOnlyAttribute of a table keeps all writers from it but HBase itself.
	readOnlyAttribute = "READONLY"
	// lookInterval is how often who runs connectors looks at the state, and says how they are.
	lookInterval = time.Second
	// sayTimeout bounds the last word of a process that stops.
	sayTimeout = 5 * time.Second
)

// Start begins the waves of these names, or all, and runs their connectors until ctx ends or they are finished. Any number of processes,
// on any machines, may run the same waves; one that is killed is started again.
func (m *Migration) Start(ctx context.Context, e Env, waves []string, stderr io.Writer) (err error) {
	chosen, err := m.find(waves)
	if err != nil {
		return err
	}
	s, err := m.open(ctx, e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.openStore(ctx, false); err != nil {
		return err
	}
	for _, w := range chosen {
		if err := s.begin(ctx, w); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("start wave %s: %w", w.Name, err)
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, w := range chosen {
		g.Go(func() error {
			if err := newRunner(s, w, e.API, stderr).run(gctx); err != nil {
				return fmt.Errorf("wave %s: %w", w.Name, err)
			}
			return nil
		})
	}
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// begin records how things are before anything is changed, then gives the destination its tables.
func (s *session) begin(ctx context.Context, w *Wave) error {
	all, err := s.src.Tables(ctx, false)
	if err != nil {
		return err
	}
	if err := checkWaves(s.Migration, all); err != nil {
		return err
	}
	st, err := s.store.load(ctx, w.Name)
	if err != nil {
		return err
	}
	if st == nil {
		st = &State{Phase: PhaseStarted, Started: time.Now().UnixMilli(), SourceCluster: s.src.ID(), DestinationCluster: s.dst.ID()}
	}
	if err := s.checkState(st); err != nil {
		return err
	}
	if st.Phase != PhaseStarted {
		return nil
	}
	if err := s.record(ctx, w, st, all); err != nil {
		return err
	}
	crash.Point(crash.MigrateRecorded)
	if w.Sink.Sink.CreateTables {
		if err := s.createTables(ctx, w, st); err != nil {
			return err
		}
	}
	crash.Point(crash.MigrateApplied)
	return nil
}

// checkState refuses a state of other clusters, or of a migration that is over.
func (s *session) checkState(st *State) error {
	switch {
	case st.SourceCluster != s.src.ID():
		return fmt.Errorf("the migration %s was started on the source cluster %s, and the file names cluster %s: set another migration.name for another migration", s.Name, st.SourceCluster, s.src.ID())
	case st.DestinationCluster != s.dst.ID():
		return fmt.Errorf("the migration %s was started with the destination cluster %s, and the file names cluster %s: set another migration.name for another migration", s.Name, st.DestinationCluster, s.dst.ID())
	case st.Phase == PhaseCleaning || st.Phase == PhaseCleaned:
		return fmt.Errorf("it is %s: set another migration.name to begin anew, or run: waltap migrate cleanup --topics, which forgets it", st.Phase)
	}
	return nil
}

// record adds the tables of the wave that are not in its state yet, as they are now.
func (s *session) record(ctx context.Context, w *Wave, st *State, all []admin.Table) error {
	chosen, err := w.choose(all)
	if err != nil {
		return err
	}
	states, err := s.src.TableStates(ctx)
	if err != nil {
		return err
	}
	before := len(st.Tables)
	var names []string
	var wrong []error
	for _, t := range chosen {
		names = append(names, t.FullName())
		if st.table(t.FullName()) != nil {
			continue
		}
		r := Table{Source: t.FullName(), Target: w.targetName(t.FullName()), Scopes: scopesOf(t), ReadOnly: t.Attributes[readOnlyAttribute]}
		if state, known := states[r.Source]; known && !state.Enabled {
			wrong = append(wrong, fmt.Errorf("table %s is disabled: enable it, or take it off the migration", r.Source))
			continue
		}
		switch _, err := s.dst.Table(ctx, r.Target); {
		case err == nil:
			r.Existed = true
		case !errors.Is(err, admin.ErrTableNotFound):
			return fmt.Errorf("look at the destination: %w", err)
		}
		st.Tables = append(st.Tables, r)
	}
	for _, t := range st.Tables {
		if !slices.Contains(names, t.Source) {
			wrong = append(wrong, fmt.Errorf("table %s is part of the wave since it was started, and the source has it no more, or the file leaves it out: put it back, or clean up (waltap migrate cleanup --abandon) and begin anew", t.Source))
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return err
	}
	if err := w.Sink.Sink.Mapping.CheckTables(names); err != nil {
		return err
	}
	slices.SortFunc(st.Tables, func(a, b Table) int { return strings.Compare(a.Source, b.Source) })
	if len(st.Tables) == before {
		return nil
	}
	return s.store.save(ctx, w.Name, st)
}

func scopesOf(t admin.Table) map[string]string {
	out := make(map[string]string)
	for _, f := range t.Families {
		out[f.Name] = f.Attributes[admin.ScopeAttribute]
	}
	return out
}

// createTables makes the destination have the tables, as far as it lacks them.
func (s *session) createTables(ctx context.Context, w *Wave, st *State) error {
	source, sink, err := s.forward(w, st)
	if err != nil {
		return err
	}
	f, err := tables.Export(ctx, s.src, tables.SelectionOf(source.Source, sink.Sink))
	if err != nil {
		return err
	}
	_, err = tables.Apply(ctx, f, s.dst, tables.Options{Mapping: &sink.Sink.Mapping,
		// The sink would alter each, which reopens its regions.
		Prepare: func(t *admin.Table) { hbase.Widen(t, sink.Sink.LatePutWindow, s.log) },
		Log:     func(text string) { s.log.Info("destination: " + text) }})
	return err
}

// forward is the wave's pair with exactly the tables of its state: one that comes to match joins when the wave is started again, after what it
// was like is recorded.
func (m *Migration) forward(w *Wave, st *State) (source, sink *config.Connector, err error) {
	raw := make(map[string]string)
	for k, v := range w.Source.Raw {
		raw[k] = v
	}
	raw["table.include.list"] = strings.Join(st.names(), ",")
	source, err = m.cfg.ParseConnector(w.Source.Name, raw)
	return source, w.Sink, err
}

// runner runs the connectors of a wave as its state wants it.
type runner struct {
	*session
	wave   *Wave
	api    connector.API
	stderr io.Writer
	id     string
	host   string

	running map[string]*pairRun // by direction
	ended   chan error
}

// pairRun is a pair of connectors at work.
type pairRun struct {
	name   string // tells one reverse stream from the next
	status *status.Process
	cancel context.CancelFunc
	done   sync.WaitGroup
	err    error // of a stop; to be read when it is done
}

const (
	forward  = "forward"
	backward = "reverse"
)

func newRunner(s *session, w *Wave, api connector.API, stderr io.Writer) *runner {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &runner{
		session: s, wave: w, api: api, stderr: stderr, host: host, id: processID(host),
		running: make(map[string]*pairRun), ended: make(chan error, 4),
	}
}

func processID(host string) string {
	return fmt.Sprintf("%s-%d-%d", host, os.Getpid(), time.Now().UnixMilli())
}

// run ends when ctx does, a connector has failed, or the wave is being cleaned up.
func (r *runner) run(ctx context.Context) (err error) {
	defer func() {
		err = errors.Join(err, r.stopAll())
		sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sayTimeout)
		defer cancel()
		err = errors.Join(err, r.publish(sctx, true))
	}()
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	shown := ""
	for {
		st, err := r.store.load(ctx, r.wave.Name)
		switch {
		case ctx.Err() != nil:
			return nil
		case kafka.Retriable(err):
			r.log.Warn("the state cannot be read; what runs goes on", "wave", r.wave.Name, "error", err)
			if err := sleep(ctx, lookInterval); err != nil {
				return nil
			}
			continue
		case err != nil:
			return err
		case st == nil:
			r.log.Info("the wave is cleaned up", "migration", r.Name, "wave", r.wave.Name)
			return nil
		}
		if text := what(st); text != shown {
			r.log.Info(text, "migration", r.Name, "wave", r.wave.Name)
			shown = text
		}
		if st.Phase == PhaseCleaning || st.Phase == PhaseCleaned {
			return nil
		}
		if err := r.adjust(ctx, st); err != nil {
			return err
		}
		switch err := r.publish(ctx, false); {
		case err == nil || ctx.Err() != nil:
		case kafka.Retriable(err):
			r.log.Warn("how the wave is cannot be said", "wave", r.wave.Name, "error", err)
		default:
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-r.ended:
			return err
		case <-tick.C:
		}
	}
}

// what is a state in words.
func what(st *State) string {
	switch {
	case st.Paused:
		return "paused: nothing is copied, and the source keeps its WALs for the peer until waltap migrate resume"
	case st.Reverse != nil:
		return "the wave is " + string(st.Phase) + ": both streams run"
	}
	return "the wave is " + string(st.Phase)
}

// adjust starts and stops pairs.
func (r *runner) adjust(ctx context.Context, st *State) error {
	ahead, back := st.runs()
	want := make(map[string]string)
	if ahead {
		want[forward] = r.wave.Source.Name
	}
	if back {
		want[backward] = reverseName(r.wave.Source.Name, st.Reverse.N)
	}
	for direction, p := range r.running {
		if want[direction] != p.name {
			if err := r.stop(direction); err != nil {
				return err
			}
		}
	}
	for direction, name := range want {
		if r.running[direction] != nil {
			continue
		}
		derive := r.forward
		if direction == backward {
			derive = r.reverse
		}
		source, sink, err := derive(r.wave, st)
		if err != nil {
			return err
		}
		r.start(ctx, direction, name, source, sink)
	}
	return nil
}

func (r *runner) start(ctx context.Context, direction, name string, source, sink *config.Connector) {
	cfg := *r.cfg
	cfg.Connectors = []config.Connector{*source, *sink}
	port := 2 * r.wave.index
	if direction == backward {
		port++
	} else {
		r.id = processID(r.host) // what an earlier pair has counted stays
	}
	cfg.Listeners = shiftListener(r.cfg.Listeners, port)
	p := &pairRun{name: name, status: connector.NewStatus(&cfg)}
	ctx, p.cancel = context.WithCancel(ctx)
	r.running[direction] = p
	p.done.Go(func() {
		err := connector.RunStatus(ctx, &cfg, p.status, r.api, r.stderr)
		switch {
		case ctx.Err() != nil:
			p.err = err
		case err != nil:
			r.ended <- err
		default:
			r.ended <- fmt.Errorf("the connectors of %s have ended by themselves", name)
		}
	})
}

// shiftListener adds n to the port of a listener; port 0 stays.
func shiftListener(listener string, n int) string {
	u, err := url.Parse(listener)
	if err != nil {
		return listener
	}
	u.Host = shiftPort(u.Host, n)
	return u.String()
}

func (r *runner) stop(direction string) error {
	p := r.running[direction]
	delete(r.running, direction)
	p.cancel()
	p.done.Wait()
	if p.err != nil {
		return fmt.Errorf("stop %s: %w", p.name, p.err)
	}
	return nil
}

func (r *runner) stopAll() error {
	var errs []error
	for _, direction := range []string{forward, backward} {
		if r.running[direction] != nil {
			errs = append(errs, r.stop(direction))
		}
	}
	return errors.Join(errs...)
}

// publish says how the connectors are.
func (r *runner) publish(ctx context.Context, stopped bool) error {
	p := Progress{At: time.Now().UnixMilli(), Host: r.host, Version: connector.Version, Stopped: stopped}
	for _, direction := range []string{forward, backward} {
		if run := r.running[direction]; run != nil {
			for _, c := range run.status.View().Connectors {
				p.Connectors = append(p.Connectors, c.Brief())
			}
		}
	}
	if len(p.Connectors) == 0 {
		// What it said last counts on: rows copied before a pause.
		var last Progress
		if known, err := r.store.Get(r.name(), progressKey(r.wave.Name, r.id), &last); err != nil || !known {
			return err
		}
		p.Connectors = last.Connectors
	}
	if err := r.store.Put(ctx, r.name(), progressKey(r.wave.Name, r.id), &p); err != nil {
		return fmt.Errorf("say how the wave is: %w", err)
	}
	return nil
}

func (s *session) name() string { return s.Name }
