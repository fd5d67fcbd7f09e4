package changes

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source"
	"github.com/waltap/waltap/source/replication"
	"github.com/waltap/waltap/source/scan"
)

const (
	// scanBatchBytes, and scan.Config's ProgressInterval, bound a batch of the scan.
	scanBatchBytes = 4 << 20
	// longestPause is that between two attempts to scan.
	longestPause = 5 * time.Second
)

// snapshot is the scan of a Reader, which goes before its changes.
type snapshot struct {
	*Reader
	clusterID string
	state     *state
	families  map[string]map[string]bool // of each table; true: it is shipped
	scanner   *scan.Scanner
	states    func(context.Context) (map[string]admin.TableState, error)

	cancel context.CancelFunc // nil: no scan is at work
	done   chan struct{}      // closed at its end
	ended  chan struct{}      // closed when the Reader cannot go on, or all is read; err says which
	err    error

	mu    sync.Mutex
	marks map[string]replication.Table // empty until changes may come

	rows, bytes atomic.Int64
}

// newSnapshot reads what is known of an earlier start.
func (r *Reader) newSnapshot(ctx context.Context, id schema.UUID, families map[string]map[string]bool) (*snapshot, error) {
	st, err := loadState(ctx, r.cfg.Store)
	if err != nil {
		return nil, err
	}
	if st.known && (st.reader.Name != r.cfg.Name || st.reader.Cluster != id.String()) {
		return nil, fmt.Errorf("the Store is that of reader %s of cluster %s, not of %s of %s: give the right one, or an empty one", st.reader.Name, st.reader.Cluster, r.cfg.Name, id)
	}
	s := &snapshot{Reader: r, clusterID: id.String(), state: st, families: families, states: r.cluster.TableStates, ended: make(chan struct{})}
	s.scanner = scan.New(s.config(id))
	return s, nil
}

// config is that of the scan: what it reads goes to deliverScan.
func (s *snapshot) config(id schema.UUID) scan.Config {
	return scan.Config{
		Cluster: s.cluster, Connector: s.cfg.Name, ClusterID: id, Publisher: source.NewDelivery(s.deliverScan), Progress: s.state,
		Stats: scanStats{s}, Threads: s.cfg.SnapshotThreads, ProgressBytes: scanBatchBytes,
	}
}

// table is the receiver's view: none, until changes may come.
func (s *snapshot) table(name string) (replication.Table, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.marks[name]
	return t, ok
}

// over is closed when there is nothing more to wait for.
func (s *snapshot) over() <-chan struct{} {
	if s == nil {
		return nil
	}
	return s.ended
}

// stop ends the scan. Batches of it that were handed out are waited for.
func (s *snapshot) stop() error {
	if s == nil || s.cancel == nil {
		return nil
	}
	s.cancel()
	select {
	case <-s.done:
		return nil
	case <-time.After(closeTimeout):
		return errors.New("a batch of the scan is not acknowledged; it comes again")
	}
}

// begin brings the peer to where tables may be scanned, if some are to be, and begins; else to where changes flow.
func (s *snapshot) begin(ctx context.Context) error {
	p, err := s.findPeer(ctx)
	if err != nil {
		return err
	}
	reader, err := s.known(ctx, p)
	if err != nil {
		return err
	}
	todo, err := s.tables(ctx)
	if err != nil {
		return err
	}
	if len(todo) > 0 && reader.HeldSince == 0 {
		reader.HeldSince = time.Now().UnixMilli()
	}
	if err := s.setPeer(ctx, p, reader, len(todo) > 0); err != nil {
		return fmt.Errorf("add peer %s to the source: %w", s.cfg.PeerID, err)
	}
	if len(todo) == 0 {
		return s.release(ctx)
	}
	s.start(ctx, todo, s.release)
	return nil
}

// beginOnly is begin without a peer.
func (s *snapshot) beginOnly(ctx context.Context) error {
	if s.state.reader.Capture != "" {
		return fmt.Errorf("the Store is that of a reader with a peer: give Snapshot %s one of its own", SnapshotInitialOnly)
	}
	if err := s.state.saveReader(ctx, s.newReader("")); err != nil {
		return err
	}
	todo, err := s.tables(ctx)
	if err != nil {
		return err
	}
	s.start(ctx, todo, func(context.Context) error { return io.EOF })
	return nil
}

func (s *snapshot) newReader(capture string) readerState {
	return readerState{Name: s.cfg.Name, Cluster: s.clusterID, Capture: capture}
}

// known compares the peer with what was kept of it. One that was never enabled may be added anew: nothing but the scan was handed out, which then
// begins anew, too.
func (s *snapshot) known(ctx context.Context, p *admin.Peer) (readerState, error) {
	st := s.state
	switch {
	case st.known && st.reader.Capture != "" && p != nil && p.Config[replication.CaptureKey] == st.reader.Capture:
		return st.reader, nil
	case p != nil:
		return readerState{}, fmt.Errorf("peer %s was not added with this Store: what it shipped since is not known. Give the right Store, or take the peer off (waltap peer remove) and begin anew with an empty one", p.ID)
	case st.known && st.reader.Capture != "" && slices.ContainsFunc(slices.Collect(maps.Values(st.tables)), func(t tableState) bool { return t.Scanned > 0 }):
		return readerState{}, fmt.Errorf("peer %s was removed while this reader knew it: what was written since is lost to it; begin anew with an empty Store", s.cfg.PeerID)
	}
	for name, t := range st.tables {
		if err := s.forget(ctx, name, t); err != nil {
			return readerState{}, err
		}
	}
	var id [8]byte
	rand.Read(id[:]) // never fails
	return s.newReader(hex.EncodeToString(id[:])), nil
}

// forget makes a table one that is not read; when it is again, a new epoch of it begins.
func (s *snapshot) forget(ctx context.Context, name string, t tableState) error {
	if err := s.state.clearRanges(ctx, name); err != nil {
		return err
	}
	t.Listed, t.Scanned = false, 0
	return s.state.saveTable(ctx, name, t)
}

// tables brings what is kept of the tables up to date, and lists those to scan.
func (s *snapshot) tables(ctx context.Context) (todo []scan.Table, err error) {
	states, err := s.states(ctx)
	if err != nil {
		return nil, err
	}
	for name, t := range s.state.tables {
		if _, wanted := s.families[name]; !wanted && t.Listed {
			if err := s.forget(ctx, name, t); err != nil {
				return nil, err
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.families)) {
		t := s.state.tables[name]
		if !t.Listed {
			t = tableState{Epoch: t.Epoch + 1, Listed: true, Enabled: states[name].Since}
			for _, f := range slices.Sorted(maps.Keys(s.families[name])) {
				if s.families[name][f] {
					t.Families = append(t.Families, f)
				}
			}
			if err := s.state.saveTable(ctx, name, t); err != nil {
				return nil, err
			}
		}
		if t.Scanned == 0 {
			todo = append(todo, scan.Table{Name: name, Families: t.Families, Epoch: t.Epoch})
		}
	}
	return todo, nil
}

// setPeer gives the peer the tables that are wanted, and holds it if some are to be scanned. What was decided is kept before.
func (s *snapshot) setPeer(ctx context.Context, p *admin.Peer, reader readerState, hold bool) error {
	want := s.wantedPeer(reader.Capture)
	want.Enabled = !hold
	same := p != nil && sameTables(p, &want)
	if !same || hold && p.Enabled {
		err := s.alone(ctx, func(ctx context.Context) error {
			if !same {
				if err := s.cluster.RollWALs(ctx); err != nil { // the queue begins with a new WAL
					return err
				}
			}
			if err := s.state.saveReader(ctx, reader); err != nil {
				return err
			}
			if p == nil {
				s.created = true
				return s.cluster.AddPeer(ctx, want)
			}
			if hold && p.Enabled {
				if err := s.cluster.DisablePeer(ctx, p.ID); err != nil {
					return err
				}
			}
			if same {
				return nil
			}
			return s.cluster.UpdatePeer(ctx, want)
		})
		if err != nil {
			return err
		}
	} else if err := s.state.saveReader(ctx, reader); err != nil {
		return err
	}
	return s.cluster.AwaitPeer(ctx, s.cfg.PeerID)
}

// start scans beside the caller, then does what follows. Its error, or that of the scan, is what ReadBatch returns.
func (s *snapshot) start(ctx context.Context, todo []scan.Table, then func(context.Context) error) {
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		err := s.persist(ctx, func() error { return s.scan(ctx, todo) })
		if err == nil {
			err = s.persist(ctx, func() error { return then(ctx) })
		}
		if err != nil && ctx.Err() == nil {
			s.err = err
			close(s.ended)
		}
	}()
}

// persist does something until it succeeds, as long as the cluster may heal, or a batch was refused.
func (s *snapshot) persist(ctx context.Context, do func() error) error {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, longestPause) {
		err := do()
		if err == nil || ctx.Err() != nil || !errors.As(err, new(*refusedError)) && !admin.IsRetriable(err) {
			return err
		}
		s.cfg.Log.Warn("the scan goes on where it was", "reason", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// scan returns when all that is left of the tables is acknowledged, and that is kept.
func (s *snapshot) scan(ctx context.Context, todo []scan.Table) error {
	shards, err := s.scanner.Plan(ctx, todo, nil, 1)
	if err != nil {
		return err
	}
	if err := s.scanner.Scan(ctx, todo, shards); err != nil {
		return err
	}
	states, err := s.states(ctx)
	if err != nil {
		return err
	}
	for _, t := range todo {
		st := s.state.tables[t.Name]
		if states[t.Name].Since != st.Enabled {
			return fmt.Errorf("table %s was disabled since its scan began: it may have been truncated, restored or made anew. Take the reader's peer off (RemovePeer) and begin anew with an empty Store", t.Name)
		}
		st.Scanned = time.Now().UnixMilli()
		if err := s.state.saveTable(ctx, t.Name, st); err != nil {
			return err
		}
	}
	return nil
}

// release lets the changes come.
func (s *snapshot) release(ctx context.Context) error {
	if err := s.mark(); err != nil {
		return err
	}
	p, err := s.findPeer(ctx)
	if err != nil {
		return err
	}
	if p == nil || p.Config[replication.CaptureKey] != s.state.reader.Capture {
		return fmt.Errorf("peer %s was removed or replaced during the scan: begin anew with an empty Store", s.cfg.PeerID)
	}
	if !p.Enabled {
		if err := s.cluster.EnablePeer(ctx, p.ID); err != nil {
			return err
		}
	}
	reader := s.state.reader
	reader.HeldSince = 0
	return s.state.saveReader(ctx, reader)
}

// mark lets the receiver know the tables, with what the scan has delivered of them. Of families that it has not read nothing is left out.
func (s *snapshot) mark() error {
	marks := make(map[string]replication.Table)
	for name, families := range s.families {
		st := s.state.tables[name]
		ranges, err := s.state.Ranges(name, st.Epoch)
		if err != nil {
			return err
		}
		t := replication.Table{Epoch: st.Epoch, Scanned: st.Scanned, ReadPoint: scan.NewReadPoints(ranges).Of, Later: make(map[string]bool)}
		for f := range families {
			t.Later[f] = !slices.Contains(st.Families, f)
		}
		marks[name] = t
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marks = marks
	return nil
}

// refusedError is why a batch of the scan is to come again.
type refusedError struct{ cause error }

func (e *refusedError) Error() string { return "a batch is refused: " + e.cause.Error() }
func (e *refusedError) Unwrap() error { return e.cause }

func (s *snapshot) deliverScan(ctx context.Context, changes []schema.Change, done func(error)) {
	s.deliver(ctx, changes, func(err error) {
		if err != nil {
			err = &refusedError{err}
		}
		done(err)
	})
}

// Progress is how far the scan of a Reader is.
type Progress struct {
	// Scanning: what comes is what tables held. After it, changes come, or io.EOF.
	Scanning bool
	// HeldSince is since when HBase has kept its WALs for the scan; zero: it does not.
	HeldSince time.Time
	// Rows and Bytes that were read, by this Reader, some maybe twice.
	Rows, Bytes int64
}

// Progress tells how far the scan is.
func (r *Reader) Progress() (p Progress) {
	s := r.snapshot
	if s == nil {
		return p
	}
	if s.cancel != nil {
		select {
		case <-s.done:
		default:
			p.Scanning = true
		}
	}
	s.state.mu.Lock()
	if ms := s.state.reader.HeldSince; ms > 0 {
		p.HeldSince = time.UnixMilli(ms)
	}
	s.state.mu.Unlock()
	p.Rows, p.Bytes = s.rows.Load(), s.bytes.Load()
	return p
}

// scanStats counts what is read, and logs what heals by itself.
type scanStats struct{ s *snapshot }

func (c scanStats) Row(_ string, rows int64, _ int, bytes int64) {
	c.s.rows.Add(rows)
	c.s.bytes.Add(bytes)
}
func (scanStats) Left(time.Duration) {}
func (scanStats) Reread(int64)       {}
func (c scanStats) Retry(err error)  { c.s.cfg.Log.Info("the scan is tried again", "reason", err) }
