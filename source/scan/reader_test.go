package scan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/cell"
	hscan "github.com/waltap/waltap/internal/hbase/scan"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source"
)

// world is a table, a Kafka and a checkpoint topic that outlive a Scanner.
type world struct {
	mu        sync.Mutex
	rows      []string
	regions   []admin.Region
	readPoint uint64
	sizes     map[string]int64
	onAnswer  func(n int) error // before the nth answer of a scan
	answers   int
	failAfter int // answers of a scan until it fails; 0: never
	fail      error
	rejected  bool // Kafka acknowledges nothing
	opened    []hscan.Request
	produced  map[string]int
	saved     map[rangeKey]Range
	saves     int
	reread    int64
}

func newWorld(rows int, regions ...admin.Region) *world {
	w := &world{regions: regions, readPoint: 10, produced: map[string]int{}, saved: map[rangeKey]Range{}}
	for i := range rows {
		w.rows = append(w.rows, fmt.Sprintf("%03d", i))
	}
	return w
}

func (w *world) ProduceEncoded(_ context.Context, _ kafka.TopicPartition, recs kafka.Records, done func(error)) {
	w.mu.Lock()
	rejected := w.rejected
	for r := range recs.All() {
		w.produced[string(r.Key)]++
	}
	w.mu.Unlock()
	if rejected {
		done(errors.New("kafka is away"))
		return
	}
	done(nil)
}

func (w *world) Save(ctx context.Context, r Range) error {
	if err := ctx.Err(); err != nil { // as the checkpoint topic's
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.saved[r.key()] = r
	w.saves++
	return nil
}

func (w *world) Ranges(string, int64) ([]Range, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []Range
	for _, r := range w.saved {
		out = append(out, r)
	}
	return out, nil
}

func (w *world) Row(string, int64, int, int64) {}
func (w *world) Left(time.Duration)            {}
func (w *world) Retry(error)                   {}
func (w *world) Reread(n int64)                { w.mu.Lock(); w.reread += n; w.mu.Unlock() }

// rowStream hands out one row per answer.
type rowStream struct {
	w    *world
	rows []string
}

func (s *rowStream) ReadPoint() uint64           { return s.w.readPoint }
func (s *rowStream) Close(context.Context) error { return nil }
func (s *rowStream) Next(context.Context) (*hscan.Batch, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.answers++
	if s.w.onAnswer != nil {
		if err := s.w.onAnswer(s.w.answers); err != nil {
			return nil, err
		}
	}
	if s.w.failAfter > 0 {
		if s.w.failAfter--; s.w.failAfter == 0 {
			return nil, s.w.fail
		}
	}
	if len(s.rows) == 0 {
		return nil, io.EOF
	}
	row := s.rows[0]
	s.rows = s.rows[1:]
	return &hscan.Batch{RowsComplete: true, Cells: []cell.Cell{
		{Row: []byte(row), Family: []byte("f"), Qualifier: []byte("q"), Timestamp: 1, Type: cell.Put, Value: make([]byte, 75)},
	}}, nil
}

// scanner is a new Scanner over the world, as a process that was started anew has one.
func (w *world) scanner(cfg Config) *Scanner {
	pub := source.NewPublisher(w, 0, func(string, source.Tally) {})
	pub.Route("default:t", "p.default.t", 1, source.Encoding{})
	cfg.Publisher, cfg.Progress, cfg.Stats, cfg.ProgressInterval = pub, w, w, time.Hour
	s := New(cfg)
	s.regions = func(context.Context, string) ([]admin.Region, error) { return w.regions, nil }
	s.sizes = func(context.Context) (map[string]int64, error) { return w.sizes, nil }
	s.open = func(_ context.Context, req hscan.Request) (Stream, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.opened = append(w.opened, req)
		start, stop := maxStart(req.Region.Start, req.Start), minEnd(req.Region.End, req.Stop)
		st := &rowStream{w: w}
		for _, r := range w.rows {
			if r >= string(start) && (len(stop) == 0 || r < string(stop)) {
				st.rows = append(st.rows, r)
			}
		}
		return st, nil
	}
	return s
}

func (w *world) scan(t *testing.T, progressBytes int64) error {
	t.Helper()
	return w.scanner(Config{Threads: 1, ProgressBytes: progressBytes}).run(t.Context(), tables)
}

// run plans tables and scans all that it has planned.
func (s *Scanner) run(ctx context.Context, tables []Table) error {
	shards, err := s.Plan(ctx, tables, nil, 1)
	if err != nil {
		return err
	}
	return s.Scan(ctx, tables, shards)
}

var tables = []Table{{Name: "default:t", Epoch: 1}}

func (w *world) check(t *testing.T, twice int) {
	t.Helper()
	n := 0
	for _, r := range w.rows {
		switch w.produced[r] {
		case 1:
		case 2:
			n++
		default:
			t.Errorf("row %s was produced %d times", r, w.produced[r])
		}
	}
	if n > twice {
		t.Errorf("%d rows were read twice, want at most %d", n, twice)
	}
}

var whole = admin.Region{Encoded: "r", Name: []byte("t,,1.r.")}

// A process that dies takes everything with it that was not saved: here its last save is undone by hand.
func TestResumesInsideARange(t *testing.T) {
	w := newWorld(100, whole)
	w.failAfter, w.fail = 58, errors.New("no way on")
	if err := w.scan(t, 1000); err == nil { // 102 bytes a row: saved behind each tenth row
		t.Fatal("the scan succeeded")
	}
	r := w.saved[rangeKey{table: "default:t", region: "r"}]
	if string(r.Upto) != "056\x00" || r.Rows != 57 || r.Done || r.ReadPoint != 10 || w.saves < 6 {
		t.Fatalf("saved %d times, last %+v", w.saves, r)
	}
	r.Upto = []byte("049\x00") // as a kill would have left it
	w.saved[r.key()] = r
	w.readPoint, w.failAfter = 20, 0
	if err := w.scan(t, 1000); err != nil {
		t.Fatal(err)
	}
	w.check(t, 10)
	if start := string(w.opened[len(w.opened)-1].Start); start != "049\x00" {
		t.Errorf("went on at %q", start)
	}
	ranges, _ := w.Ranges("default:t", 1)
	points := NewReadPoints(ranges)
	for _, row := range []string{"000", "049", "055", "099"} {
		// Behind what was saved, rows may have been delivered at 10: what came after 10 is replayed.
		if p := points.Of([]byte(row)); p != 10 {
			t.Errorf("read point of %s = %d, want that of the first scan", row, p)
		}
	}
}

// stopAt scans until a stop that comes with answer n, which is err.
func (w *world) stopAt(t *testing.T, n int, err error) error {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.onAnswer = func(answer int) error {
		if answer < n {
			return nil
		}
		cancel()
		return err
	}
	defer func() { w.onAnswer = nil }()
	return w.scanner(Config{}).run(ctx, tables)
}

func TestACleanStopSavesWhatWasRead(t *testing.T) {
	w := newWorld(100, whole)
	if err := w.stopAt(t, 42, context.Canceled); !errors.Is(err, context.Canceled) {
		t.Fatalf("the scan ended with %v", err)
	}
	if r := w.saved[rangeKey{table: "default:t", region: "r"}]; r.Rows != 41 || string(r.Upto) != "040\x00" || len(w.produced) != 41 {
		t.Errorf("saved %+v with %d rows delivered, want 41", r, len(w.produced))
	}
	if err := w.scan(t, 0); err != nil {
		t.Fatal(err)
	}
	w.check(t, 0)
}

// A stop that comes with a range's last row, which is a part of no progress saved before.
func TestACleanStopSavesAWholeRange(t *testing.T) {
	w := newWorld(100, whole)
	if err := w.stopAt(t, 101, nil); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatalf("the scan ended with %v", err)
	}
	if r := w.saved[rangeKey{table: "default:t", region: "r"}]; !r.Done || r.Rows != 100 {
		t.Errorf("saved %+v, want all", r)
	}
	if err := w.scan(t, 0); err != nil {
		t.Fatal(err)
	}
	w.check(t, 0)
}

func TestABeginningAnewKeepsTheLowestReadPoint(t *testing.T) {
	w := newWorld(10, whole)
	w.failAfter, w.fail = 1, errors.New("no way on") // nothing read, maybe something was delivered
	if err := w.scan(t, 1000); err == nil {
		t.Fatal("the scan succeeded")
	}
	w.readPoint = 20
	if err := w.scan(t, 1000); err != nil {
		t.Fatal(err)
	}
	if r := w.saved[rangeKey{table: "default:t", region: "r"}]; !r.Done || r.ReadPoint != 10 {
		t.Errorf("saved %+v, want the read point of the first beginning", r)
	}
	if w.opened[1].ReadPoint != 0 {
		t.Errorf("a new process asked for read point %d, which no server need still have", w.opened[1].ReadPoint)
	}
}

func TestWhatKafkaRefusesIsNotSaved(t *testing.T) {
	w := newWorld(30, whole)
	w.rejected = true
	if err := w.scan(t, 1000); err == nil {
		t.Fatal("the scan succeeded")
	}
	if r := w.saved[rangeKey{table: "default:t", region: "r"}]; len(r.Upto) > 0 || r.Rows != 0 {
		t.Errorf("saved %+v", r)
	}
	if w.reread != 20 {
		t.Errorf("%d rows are to be read again, want the 10 of the first interval and the 10 that were read meanwhile", w.reread)
	}
}

func TestGoesOnInTheDaughtersOfASplitRegion(t *testing.T) {
	w := newWorld(100, whole)
	w.failAfter, w.fail = 40, &hscan.RegionGoneError{Region: "r", Err: errors.New("split")}
	s := w.scanner(Config{Threads: 1})
	located := 0
	s.regions = func(context.Context, string) ([]admin.Region, error) {
		if located++; located <= 2 { // to plan, and to scan
			return []admin.Region{whole}, nil
		}
		return []admin.Region{
			{Encoded: "a", Name: []byte("t,,2.a."), End: []byte("050")},
			{Encoded: "b", Name: []byte("t,050,2.b."), Start: []byte("050")},
		}, nil
	}
	if err := s.run(t.Context(), tables); err != nil {
		t.Fatal(err)
	}
	w.check(t, 0)
	var asked []string
	for _, r := range w.opened {
		asked = append(asked, fmt.Sprintf("%s[%s,%s)", r.Region.Encoded, r.Start, r.Stop))
	}
	if want := []string{"r[,)", "a[038\x00,050)", "b[050,)"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}

func TestScansOnlyWhatIsInScope(t *testing.T) {
	w := newWorld(100, admin.Region{Encoded: "a", Name: []byte("t,,2.a."), End: []byte("050")},
		admin.Region{Encoded: "b", Name: []byte("t,050,2.b."), Start: []byte("050"), End: []byte("090")},
		admin.Region{Encoded: "c", Name: []byte("t,090,2.c."), Start: []byte("090")})
	column, err := schema.ParseColumnPattern("default:t:f:other")
	if err != nil {
		t.Fatal(err)
	}
	scope := &schema.Scope{RowStart: []byte("040"), RowStop: []byte("060"), MinTimestamp: 1, MaxTimestamp: 7}
	if err := w.scanner(Config{}).run(t.Context(), []Table{{Name: "default:t", Epoch: 1, Scope: scope}}); err != nil {
		t.Fatal(err)
	}
	if len(w.produced) != 20 || w.produced["040"] != 1 || w.produced["059"] != 1 || len(w.saved) != 2 {
		t.Errorf("%d rows in %d ranges, want the 20 from 040 to 059 in 2", len(w.produced), len(w.saved))
	}
	for _, r := range w.opened {
		if r.MinTimestamp != 1 || r.MaxTimestamp != 7 {
			t.Errorf("asked for timestamps from %d to %d", r.MinTimestamp, r.MaxTimestamp)
		}
	}
	w = newWorld(10, whole)
	if err := w.scanner(Config{}).run(t.Context(), []Table{{Name: "default:t", Epoch: 1, Scope: &schema.Scope{Columns: []schema.ColumnPattern{column}}}}); err != nil {
		t.Fatal(err)
	}
	if r := w.saved[rangeKey{table: "default:t", region: "r"}]; len(w.produced) != 0 || !r.Done || r.Rows != 10 {
		t.Errorf("%d rows produced, saved %+v: want none, and the range done", len(w.produced), r)
	}
}
