package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/internal/crash"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/source/capture"
)

// Status is how a migration gets on.
type Status struct {
	Name  string       `json:"name"`
	At    time.Time    `json:"at"`
	Waves []WaveStatus `json:"waves"`
}

// WaveStatus is how a wave gets on.
type WaveStatus struct {
	Name      string `json:"name"`
	Phase     string `json:"phase"`
	Paused    bool   `json:"paused,omitempty"`
	Processes int    `json:"processes"` // that run its connectors
	// HeldSeconds is for how long the source has kept its WALs for the scan; 0: it does not.
	HeldSeconds int64 `json:"heldSeconds,omitempty"`
	// SecondsLeft is how long the scan is likely to take yet; 0: not known, or complete.
	SecondsLeft int64 `json:"secondsLeft,omitempty"`

	Watermark      *time.Time `json:"watermark,omitempty"`
	WatermarkLagMS int64      `json:"watermarkLagMs"`
	Estimated      bool       `json:"watermarkEstimated,omitempty"`
	WatermarkWaits string     `json:"watermarkWaits,omitempty"`
	LagRecords     int64      `json:"lagRecords"` // in Kafka, not applied
	LagMS          int64      `json:"lagMs"`      // of the last change applied

	ScanRowsPerSecond  int64 `json:"scanRowsPerSecond"`
	RecordsPerSecond   int64 `json:"recordsPerSecond"` // into Kafka
	AppliedPerSecond   int64 `json:"appliedPerSecond"` // records
	AppliedBytesPerSec int64 `json:"appliedBytesPerSecond"`
	Retries            int64 `json:"retries"`
	DeadLettered       int64 `json:"deadLettered"`
	BulkLoads          int64 `json:"bulkLoads"`

	scanned int64 // rows that the processes have read, for the rate

	Tables   []TableStatus     `json:"tables"`
	Verified *Verified         `json:"verified,omitempty"`
	Fence    *Fence            `json:"fence,omitempty"`
	Reverse  *Reverse          `json:"reverse,omitempty"`
	Left     []string          `json:"left,omitempty"`
	Failures map[string]string `json:"failures,omitempty"` // by connector
}

// TableStatus is how a table gets on. Rows are those that the scan has delivered, each once. Records and what was applied are counted
// by the processes since the wave began: what a restart has made them send or apply again counts again.
type TableStatus struct {
	Source  string `json:"source"`
	Target  string `json:"target"`
	Phase   string `json:"phase"` // waits, scans, follows, or what is wrong
	Scanned int64  `json:"rowsScanned"`
	Records int64  `json:"records"` // into Kafka
	Applied int64  `json:"applied"` // records
	Bytes   int64  `json:"appliedBytes"`
}

// Watcher reads the status of a migration again and again. It changes nothing.
type Watcher struct {
	s    *session
	last map[string]sample
}

// sample is what was counted of a wave, to tell rates by.
type sample struct {
	at                                    time.Time
	scanned, records, applied, appliedLen int64
}

// Watch opens a Watcher.
func (m *Migration) Watch(ctx context.Context, e Env) (*Watcher, error) {
	s, err := m.openKafka(ctx, e)
	if err != nil {
		return nil, err
	}
	if err := s.openStore(ctx, true); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return &Watcher{s: s, last: make(map[string]sample)}, nil
}

// Close ends the use of it.
func (w *Watcher) Close() error { return w.s.close() }

// Read reads the present status. Rates are those since the last call, none at the first.
func (w *Watcher) Read(ctx context.Context) (*Status, error) {
	if w.s.store == nil {
		if err := w.s.openStore(ctx, true); err != nil {
			return nil, err
		}
	}
	out := &Status{Name: w.s.Name, At: time.Now().UTC()}
	for _, wave := range w.s.Waves {
		ws, err := w.wave(ctx, wave)
		if err != nil {
			return nil, fmt.Errorf("wave %s: %w", wave.Name, err)
		}
		out.Waves = append(out.Waves, *ws)
	}
	return out, nil
}

func (w *Watcher) wave(ctx context.Context, wave *Wave) (*WaveStatus, error) {
	out := &WaveStatus{Name: wave.Name}
	st, err := w.s.store.load(ctx, wave.Name)
	out.Phase = phaseOf(st)
	if err != nil || st == nil {
		return out, err
	}
	out.Paused, out.Verified, out.Fence, out.Reverse, out.Left = st.Paused, st.Verified, st.Fence, st.Reverse, st.Left
	kept, err := w.s.kept(ctx, wave.prefix(), wave.Source.Name)
	if err != nil {
		return nil, err
	}
	if st.Phase != PhaseCleaned {
		p, err := w.s.forwardPair(wave, st)
		if err != nil {
			return nil, err
		}
		mark, err := w.s.newestMark(ctx, p)
		if err != nil {
			return nil, err
		}
		if mark != nil {
			at := time.UnixMilli(mark.Time).UTC()
			out.Watermark, out.Estimated, out.WatermarkLagMS = &at, mark.Estimated, max(0, time.Since(at).Milliseconds())
		}
	}
	if kept == nil {
		kept = new(capture.Kept)
	}
	if kept.HeldSince > 0 && st.Phase != PhaseCleaned {
		out.HeldSeconds = max(0, (time.Now().UnixMilli()-kept.HeldSince)/1000)
	}
	progress, err := w.s.store.progress(wave.Name)
	if err != nil {
		return nil, err
	}
	out.fill(wave, st, kept, progress, time.Now())
	w.rates(out)
	return out, nil
}

// fill sums up what the processes say.
func (out *WaveStatus) fill(wave *Wave, st *State, kept *capture.Kept, progress []Progress, now time.Time) {
	tables := make(map[string]*TableStatus)
	for _, t := range st.Tables {
		tables[t.Source] = &TableStatus{Source: t.Source, Target: t.Target, Phase: phaseOfTable(st, kept, t.Source), Scanned: kept.Tables[t.Source].Rows}
	}
	for i := range progress {
		p := &progress[i]
		alive := p.alive(now)
		if alive {
			out.Processes++
		}
		for _, c := range p.Connectors {
			switch c.Name {
			case wave.Source.Name:
				out.source(&c, alive, tables)
			case wave.Sink.Name:
				out.sink(&c, alive, tables)
			}
			if c.State == status.Failed && alive {
				if out.Failures == nil {
					out.Failures = make(map[string]string)
				}
				out.Failures[c.Name] = c.Error
			}
		}
	}
	for _, t := range st.Tables {
		out.Tables = append(out.Tables, *tables[t.Source])
	}
}

func (out *WaveStatus) source(c *status.ConnectorView, alive bool, tables map[string]*TableStatus) {
	out.BulkLoads += c.BulkLoads
	out.DeadLettered += c.DeadLettered
	out.Retries += c.Retries
	if alive && c.Snapshot != nil {
		out.SecondsLeft = max(out.SecondsLeft, c.Snapshot.SecondsLeft)
	}
	if alive && c.Watermark != nil && c.Watermark.Waits != "" {
		out.WatermarkWaits = c.Watermark.Waits
	}
	for _, t := range c.Tables {
		if to := tables[t.Name]; to != nil {
			out.scanned += t.SnapshotRows
			to.Records += t.Records
		}
	}
}

func (out *WaveStatus) sink(c *status.ConnectorView, alive bool, tables map[string]*TableStatus) {
	out.DeadLettered += c.DeadLettered
	out.Retries += c.Retries
	if alive {
		out.LagRecords += c.LagRecords
		if c.LagMS != nil {
			out.LagMS = max(out.LagMS, *c.LagMS)
		}
	}
	for _, t := range c.Tables {
		if to := tables[t.Name]; to != nil {
			to.Applied += t.Records
			to.Bytes += t.Bytes
		}
	}
}

// phaseScans is that of a table that is being scanned.
const phaseScans = "scans"

// phaseOfTable is what is done with a table now.
func phaseOfTable(st *State, kept *capture.Kept, table string) string {
	switch k := kept.Tables[table]; {
	case st.Phase == PhaseCleaned:
		return "moved"
	case k.Gap != "":
		return "gap: " + k.Gap
	case k.Dropped:
		return "gone from the source"
	case k.Captured && kept.Streaming:
		return "follows"
	case k.Captured:
		return "scanned"
	case kept.HeldSince > 0 || kept.Streaming:
		return phaseScans
	}
	return "waits"
}

// rates are told by what was counted since the last look.
func (w *Watcher) rates(out *WaveStatus) {
	now := sample{at: time.Now(), scanned: out.scanned}
	for _, t := range out.Tables {
		now.records, now.applied, now.appliedLen = now.records+t.Records, now.applied+t.Applied, now.appliedLen+t.Bytes
	}
	last, known := w.last[out.Name]
	w.last[out.Name] = now
	if s := now.at.Sub(last.at).Seconds(); known && s > 0 {
		rate := func(a, b int64) int64 { return max(0, int64(float64(b-a)/s)) }
		out.ScanRowsPerSecond, out.RecordsPerSecond = rate(last.scanned, now.scanned), rate(last.records, now.records)
		out.AppliedPerSecond, out.AppliedBytesPerSec = rate(last.applied, now.applied), rate(last.appliedLen, now.appliedLen)
	}
}

// Print writes the status for people, on one screen: of many tables those that get on alike are summed up, unless each is asked for.
func (s *Status) Print(out io.Writer, each bool) {
	fmt.Fprintf(out, "migration %s  %s\n", s.Name, s.At.Format("2006-01-02 15:04:05Z"))
	tables := 0
	for i := range s.Waves {
		tables += len(s.Waves[i].Tables)
	}
	for i := range s.Waves {
		s.Waves[i].print(out, each || tables <= manyTables)
	}
}

func (w *WaveStatus) print(out io.Writer, each bool) {
	fmt.Fprintf(out, "\nwave %s: %s", w.Name, w.Phase)
	if w.Paused {
		fmt.Fprint(out, ", paused: the source keeps its WALs")
	}
	if len(w.Tables) == 0 {
		fmt.Fprintln(out)
		return
	}
	if w.Phase == string(PhaseCleaned) {
		fmt.Fprintln(out) // nothing moves any more
	} else {
		w.printStream(out)
	}
	for _, name := range slices.Sorted(maps.Keys(w.Failures)) {
		fmt.Fprintf(out, "FAILED     %s: %s\n", name, w.Failures[name])
	}
	if v := w.Verified; v != nil && v.Base != nil {
		result := "clean"
		if !v.Base.Clean {
			result = plural(int(v.Base.Bad), "row differs", "rows differ")
		}
		fmt.Fprintf(out, "verify     %s, %s\n", result, moment(v.Base.Ended))
	}
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "TABLE\tPHASE\tROWS SCANNED\tRECORDS\tAPPLIED\tMiB")
	lines := w.Tables
	if !each {
		lines = summed(w.Tables)
	}
	for _, x := range lines {
		name := x.Source
		if x.Target != x.Source {
			name += " -> " + x.Target
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%.1f\n", name, x.Phase, x.Scanned, x.Records, x.Applied, float64(x.Bytes)/(1<<20))
	}
	t.Flush()
	for _, l := range w.Left {
		fmt.Fprintf(out, "left: %s\n", l)
	}
}

// printStream writes how scan and stream get on.
func (w *WaveStatus) printStream(out io.Writer) {
	fmt.Fprintf(out, ", in %s\n", plural(w.Processes, "process", "processes"))
	mark := "none yet"
	if w.Watermark != nil {
		mark = fmt.Sprintf("%s, %s behind", w.Watermark.Format("15:04:05Z"), round(time.Duration(w.WatermarkLagMS)*time.Millisecond))
		if w.Estimated {
			mark += " (an estimate)"
		}
	}
	if w.WatermarkWaits != "" {
		mark += "; waits for " + w.WatermarkWaits
	}
	fmt.Fprintf(out, "watermark  %s\nlag        %s in Kafka, last change applied %s late\n", mark, plural(int(w.LagRecords), "record", "records"), round(time.Duration(w.LagMS)*time.Millisecond))
	fmt.Fprintf(out, "rate       scan %d rows/s, into Kafka %d records/s, applied %d records/s %.1f MiB/s\n", w.ScanRowsPerSecond, w.RecordsPerSecond, w.AppliedPerSecond, float64(w.AppliedBytesPerSec)/(1<<20))
	if w.HeldSeconds > 0 {
		fmt.Fprintf(out, "held       the source has kept its WALs for %s\n", round(time.Duration(w.HeldSeconds)*time.Second))
	}
	switch {
	case w.SecondsLeft > 0:
		fmt.Fprintf(out, "left       about %s of the scan, at the rate that was measured\n", round(time.Duration(w.SecondsLeft)*time.Second))
	case w.HeldSeconds > 0:
		fmt.Fprintln(out, "left       not known before the scan's rate is measured")
	}
	if w.Retries+w.DeadLettered+w.BulkLoads > 0 {
		fmt.Fprintf(out, "trouble    %d repeated, %s, %s\n", w.Retries, plural(int(w.DeadLettered), "dead letter", "dead letters"), plural(int(w.BulkLoads), "bulk load", "bulk loads"))
	}
}

const (
	// Of more than manyTables those of one phase are summed up, but for scannedTables of those that are being scanned, and for phases
	// of which there are fewTables at most.
	manyTables    = 20
	scannedTables = 8
	fewTables     = 2
)

// summed sums tables up that are in one phase. What is wrong with one is a phase of its own.
func summed(all []TableStatus) (lines []TableStatus) {
	of := make(map[string][]TableStatus)
	var phases []string
	for _, t := range all {
		if of[t.Phase] == nil {
			phases = append(phases, t.Phase)
		}
		of[t.Phase] = append(of[t.Phase], t)
	}
	for _, phase := range phases {
		tables, few := of[phase], fewTables
		if phase == phaseScans {
			few = scannedTables
		}
		if len(tables) > few+1 {
			sum, kept := TableStatus{Phase: phase}, 0
			if phase == phaseScans { // those that are farthest, first
				slices.SortStableFunc(tables, func(a, b TableStatus) int { return cmp.Compare(b.Scanned, a.Scanned) })
				kept = few
				lines = append(lines, tables[:kept]...)
			}
			for _, t := range tables[kept:] {
				sum.Scanned, sum.Records, sum.Applied, sum.Bytes = sum.Scanned+t.Scanned, sum.Records+t.Records, sum.Applied+t.Applied, sum.Bytes+t.Bytes
			}
			sum.Source = fmt.Sprintf("%d tables", len(tables)-kept)
			if kept > 0 {
				sum.Source = fmt.Sprintf("%d more tables", len(tables)-kept)
			}
			sum.Target = sum.Source
			lines = append(lines, sum)
			continue
		}
		lines = append(lines, tables...)
	}
	return lines
}

// Pause stops the wave's connectors, wherever they run; resume starts them again there.
func (m *Migration) Pause(ctx context.Context, e Env, wave string, pause bool) (err error) {
	w, err := m.one(wave)
	if err != nil {
		return err
	}
	s, err := m.openKafka(ctx, e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	st, err := s.started(ctx, w)
	if err != nil {
		return err
	}
	if st.Phase != PhaseStarted && st.Phase != PhaseReverse && (pause || st.Phase != PhaseCutOver) {
		return fmt.Errorf("wave %s is %s: it can be paused while it is started or reversing", w.Name, st.Phase)
	}
	if st.Paused != pause {
		st.Paused = pause
		crash.Point(crash.PauseUnsaved)
		if err := s.store.save(ctx, w.Name, st); err != nil {
			return err
		}
		crash.Point(crash.PauseSaved)
	}
	if !pause {
		s.say("wave %s is resumed; its connectors start where waltap migrate start runs", w.Name)
		return nil
	}
	s.say("wave %s is paused; its connectors stop within seconds.", w.Name)
	s.say("The source keeps its WALs for peer %s until the wave is resumed: watch the room in its file system. To let go of them for good: waltap migrate cleanup --abandon, or waltap peer remove %s; the tables must then be copied anew.",
		w.Source.Source.Peer.ID, w.Source.Source.Peer.ID)
	return s.sayHeld(ctx, w)
}

// sayHeld tells how many WALs wait for the wave's peer now.
func (s *session) sayHeld(ctx context.Context, w *Wave) error {
	c, err := openCluster(ctx, w.Source.Source.HBase, s.log)
	if err != nil {
		return fmt.Errorf("the wave is paused; how many WALs are kept is not known: %w", err)
	}
	defer c.Close()
	queues, err := c.Queues(ctx, w.Source.Source.Peer.ID)
	if errors.Is(err, admin.ErrNoQueues) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the wave is paused; how many WALs are kept is not known: %w", err)
	}
	wals := 0
	for _, q := range queues {
		names, err := c.QueueWALs(ctx, q)
		if err != nil {
			return fmt.Errorf("the wave is paused; how many WALs are kept is not known: %w", err)
		}
		wals += len(names)
	}
	s.say("%s of %s wait for it now", plural(wals, "WAL", "WALs"), plural(len(queues), "region server", "region servers"))
	return nil
}
