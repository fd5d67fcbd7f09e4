package changes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/cell"
	hscan "github.com/waltap/waltap/internal/hbase/scan"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source"
	"github.com/waltap/waltap/source/replication"
	"github.com/waltap/waltap/source/scan"
)

// regions is a source of a table of two regions, each of two rows.
type regions struct{}

func (regions) Regions(context.Context, string) ([]admin.Region, error) {
	return []admin.Region{{Encoded: "left", End: []byte("m")}, {Encoded: "right", Start: []byte("m")}}, nil
}
func (regions) Sizes(context.Context) (map[string]int64, error)                     { return nil, nil }
func (regions) Cuts(context.Context, hscan.Request, int) (rows [][]byte, err error) { return nil, nil }
func (regions) Open(_ context.Context, req hscan.Request) (scan.Stream, error) {
	s := &rows{}
	for _, row := range []string{"a", "b", "x", "y"} {
		if row >= string(req.Start) && (len(req.Stop) == 0 || row < string(req.Stop)) {
			s.left = append(s.left, row)
		}
	}
	return s, nil
}

type rows struct{ left []string }

func (*rows) ReadPoint() uint64           { return 7 }
func (*rows) Close(context.Context) error { return nil }
func (s *rows) Next(ctx context.Context) (*hscan.Batch, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if len(s.left) == 0 {
		return nil, io.EOF
	}
	row := s.left[0]
	s.left = s.left[1:]
	return &hscan.Batch{RowsComplete: true, Cells: []cell.Cell{{Row: []byte(row), Family: []byte("f"), Timestamp: 1, Type: cell.Put}}}, nil
}

// scanned is a Reader that scans the regions without a peer; since is the table's state.
func scanned(t *testing.T, store Store, since func() int64) *Reader {
	t.Helper()
	r := &Reader{cfg: Config{Name: "n", Snapshot: SnapshotInitialOnly, SnapshotThreads: 1, Log: slog.New(slog.DiscardHandler)},
		batches: make(chan batch), closed: make(chan struct{}), ended: make(chan struct{})}
	s := &snapshot{Reader: r, clusterID: "c", state: load(t, store), families: map[string]map[string]bool{"ns:t": {"f": true, "g": false}}, ended: make(chan struct{})}
	s.states = func(context.Context) (map[string]admin.TableState, error) {
		return map[string]admin.TableState{"ns:t": {Enabled: true, Since: since()}}, nil
	}
	cfg := s.config(schema.UUID{})
	cfg.Source = regions{}
	s.scanner, r.snapshot = scan.New(cfg), s
	if err := s.beginOnly(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// read reads a batch: its rows.
func read(t *testing.T, r *Reader) (string, source.AckFunc) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	list, ack, err := r.ReadBatch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, c := range list {
		if c.Source.Kind != schema.KindScan {
			t.Errorf("row %q is of %s", c.Row, c.Source.Kind)
		}
		text += string(c.Row)
	}
	return text, ack
}

// A batch that is refused comes again; one that is accepted does not, also not to a Reader that is opened anew. What is handed out when a Reader is
// closed, and not acknowledged, comes again.
func TestScanIsAcknowledged(t *testing.T) {
	store := &memory{entries: make(map[string][]byte)}
	since := func() int64 { return 1 }
	r := scanned(t, store, since)
	first, ack := read(t, r)
	ack(errors.New("refused"))
	again, ack := read(t, r)
	if first != again || again != "ab" {
		t.Errorf("%s, refused, then %s", first, again)
	}
	ack(nil)
	second, ack := read(t, r)
	if second != "xy" || !r.Progress().Scanning || r.Progress().Rows != 6 {
		t.Errorf("%s, %+v", second, r.Progress())
	}
	var closing sync.WaitGroup
	closing.Go(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	<-r.closed
	ack(errors.New("the program ends"))
	closing.Wait()
	if _, _, err := r.ReadBatch(t.Context()); !errors.Is(err, source.ErrClosed) {
		t.Errorf("a closed reader: %v", err)
	}

	r = scanned(t, store, since)
	got, ack := read(t, r)
	if got != "xy" {
		t.Errorf("opened anew it reads %s", got)
	}
	ack(nil)
	for range 2 {
		if _, _, err := r.ReadBatch(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("at the end: %v", err)
		}
		r.Close()
		r = scanned(t, store, since)
	}
	r.Close()
	if st := load(t, store).tables["ns:t"]; st.Scanned == 0 || !slices.Equal(st.Families, []string{"f"}) {
		t.Errorf("kept: %+v", st)
	}
}

// A Store that keeps nothing ends the Reader, as does a table that may be another one than when its scan began.
func TestScanEnds(t *testing.T) {
	store := &memory{entries: make(map[string][]byte)}
	since := int64(0)
	r := scanned(t, store, func() int64 { since++; return since })
	for range 2 {
		_, ack := read(t, r)
		ack(nil)
	}
	if _, _, err := r.ReadBatch(t.Context()); err == nil || !strings.Contains(err.Error(), "was disabled since its scan began") {
		t.Errorf("%v", err)
	}
	r.Close()

	store = &memory{entries: make(map[string][]byte)}
	r = scanned(t, store, func() int64 { return 1 })
	_, ack := read(t, r)
	store.full = errors.New("full")
	ack(nil)
	for {
		_, ack, err := r.ReadBatch(t.Context())
		if err == nil {
			ack(nil)
			continue
		}
		if !errors.Is(err, store.full) {
			t.Errorf("%v", err)
		}
		break
	}
	r.Close()
}

// What the receiver leaves out is what the scan has delivered: of its families, up to the read point of the row's range.
func TestMarks(t *testing.T) {
	store := &memory{entries: make(map[string][]byte)}
	r := scanned(t, store, func() int64 { return 1 })
	defer r.Close()
	for range 2 {
		_, ack := read(t, r)
		ack(nil)
	}
	if _, _, err := r.ReadBatch(t.Context()); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if _, ok := r.table("ns:t"); ok {
		t.Error("changes may come before they are let in")
	}
	if err := r.snapshot.mark(); err != nil {
		t.Fatal(err)
	}
	m, ok := r.table("ns:t")
	if !ok || m.Epoch != 1 || m.Scanned == 0 || m.ReadPoint([]byte("b")) != 7 || m.Later["f"] || !m.Later["g"] {
		t.Errorf("%t %+v", ok, m)
	}
}

// A peer that the state does not know, and one that is gone with changes in it, are refused; one that has shipped nothing is added anew.
func TestKnown(t *testing.T) {
	peer := func(id string) *admin.Peer {
		return &admin.Peer{ID: "n", Config: map[string]string{replication.CaptureKey: id}}
	}
	kept, scanned := readerState{Name: "n", Capture: "id", HeldSince: 5}, int64(9)
	for i, c := range []struct {
		reader  *readerState
		scanned *int64 // of its table; nil: there is none
		peer    *admin.Peer
		err     string // "": the reader goes on, or begins anew
		anew    bool
	}{
		{anew: true},
		{peer: peer("id"), err: "was not added with this Store"},
		{peer: peer(""), err: "was not added with this Store"},
		{reader: &readerState{Name: "n"}, scanned: &scanned, anew: true}, // of initial_only
		{reader: &kept, scanned: &scanned, peer: peer("id")},
		{reader: &kept, peer: peer("id")},
		{reader: &kept, scanned: &scanned, peer: peer("other"), err: "was not added with this Store"},
		{reader: &kept, scanned: &scanned, err: "is lost"},
		{reader: &kept, scanned: new(int64), anew: true},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			st := load(t, &memory{entries: make(map[string][]byte)})
			if c.reader != nil {
				st.saveReader(t.Context(), *c.reader)
			}
			if c.scanned != nil {
				st.saveTable(t.Context(), "ns:t", tableState{Epoch: 1, Listed: true, Scanned: *c.scanned})
			}
			s := &snapshot{Reader: &Reader{cfg: Config{Name: "n", PeerID: "n"}}, clusterID: "c", state: st}
			got, err := s.known(t.Context(), c.peer)
			switch {
			case c.err != "":
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("want %q: %v", c.err, err)
				}
			case err != nil:
				t.Error(err)
			case c.anew && (got.Capture == "" || got.Capture == kept.Capture || got.HeldSince != 0 || st.tables["ns:t"].Listed):
				t.Errorf("want it anew: %+v, %+v", got, st.tables)
			case !c.anew && got != st.reader:
				t.Errorf("want it as it was: %+v", got)
			}
		})
	}
}
