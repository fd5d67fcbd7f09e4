package replication

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source"
)

var clusterA = schema.UUID{0xa}

// heldProducer keeps what it is given and answers when told to.
type heldProducer struct {
	mu    sync.Mutex
	recs  []kafka.Record
	ends  bool // calls are settled when their context ends, as kafka.Producer's are; they are not to be answered then
	dones []func(error)
	given chan struct{}
}

func (p *heldProducer) ProduceEncoded(ctx context.Context, _ kafka.TopicPartition, recs kafka.Records, done func(error)) {
	p.mu.Lock()
	p.recs = slices.AppendSeq(p.recs, recs.All())
	if p.ends {
		context.AfterFunc(ctx, func() { done(context.Cause(ctx)) })
	} else {
		p.dones = append(p.dones, done)
	}
	p.mu.Unlock()
	p.given <- struct{}{}
}

// endWithContext has calls settled when their context ends.
func (p *heldProducer) endWithContext() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ends = true
}

func (p *heldProducer) answer(err error) {
	p.mu.Lock()
	dones := p.dones
	p.dones = nil
	p.mu.Unlock()
	for _, done := range dones {
		done(err)
	}
}

func (p *heldProducer) changes(t *testing.T) []schema.Change {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]schema.Change, len(p.recs))
	for i, r := range p.recs {
		if err := schema.DecodeAvro(r.Value, &out[i]); err != nil {
			t.Fatal(err)
		}
		if string(r.Key) != string(out[i].Row) {
			t.Errorf("record %d has the key %q, its row is %q", i, r.Key, out[i].Row)
		}
	}
	return out
}

type countStats struct {
	mu sync.Mutex
	counts
}

type counts struct {
	replays, below, late, before int
	markers                      []string
}

// counted is what was counted so far.
func (s *countStats) counted() counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.counts
	out.markers = slices.Clone(s.markers)
	return out
}

func (s *countStats) Call()                {}
func (s *countStats) Answered()            {}
func (s *countStats) Error(error)          {}
func (s *countStats) Late(n int)           { s.mu.Lock(); s.late += n; s.mu.Unlock() }
func (s *countStats) Replay(n int)         { s.mu.Lock(); s.replays += n; s.mu.Unlock() }
func (s *countStats) BeforeEpoch(n int)    { s.mu.Lock(); s.before += n; s.mu.Unlock() }
func (s *countStats) BelowReadPoint(n int) { s.mu.Lock(); s.below += n; s.mu.Unlock() }
func (s *countStats) Marker(q string)      { s.mu.Lock(); s.markers = append(s.markers, q); s.mu.Unlock() }

type fixture struct {
	conn     *rpc.Conn
	addr     string
	producer *heldProducer
	stats    *countStats
	beats    *heartbeats
	pub      *source.Publisher

	newFamilies *atomic.Int32 // how often the receiver has met one
}

// heartbeats records what comes back.
type heartbeats struct {
	mu    sync.Mutex
	calls uint64
	got   []string // "call: values"
}

func (h *heartbeats) Begin() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls++
	return h.calls
}

func (h *heartbeats) Acknowledged(call uint64, values [][]byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got = append(h.got, fmt.Sprintf("%d: %s", call, bytes.Join(values, []byte(" "))))
}

func (h *heartbeats) Late() int64 { return 1233 }

func (h *heartbeats) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.got, "; ")
}

// serve starts a Receiver behind a real port; table default:t is captured since time 1000, rows below "m" were scanned up to
// sequence 10.
func serve(t *testing.T, policy ...source.Policy) *fixture {
	t.Helper()
	f := &fixture{producer: &heldProducer{given: make(chan struct{}, 100)}, stats: &countStats{}, beats: &heartbeats{}, newFamilies: new(atomic.Int32)}
	pub := source.NewPublisher(f.producer, 0, func(string, source.Tally) {})
	pub.Route("default:t", "p.default.t", 1, source.Encoding{})
	for _, p := range policy {
		pub.SetPolicy(p)
	}
	f.pub = pub
	scope := schema.Scope{Qualifiers: schema.ByteFilter{Exclude: []schema.BytePattern{{Kind: schema.Exact, Bytes: []byte("out of scope")}}}}
	r := NewReceiver(Config{
		Connector: "c", Version: "v", ClusterID: clusterA, Publisher: pub, Stats: f.stats,
		Table: func(name string) (Table, bool) {
			return Table{Epoch: 3, Since: 1000, Scanned: 2000, ReadPoint: func(row []byte) uint64 {
				if string(row) < "m" {
					return 10
				}
				return 0
			}, Keeper: scope.Keeper(name), Families: map[string]bool{"f": true, "later": true}, Later: map[string]bool{"later": true}}, name == "default:t"
		},
		NewFamily:   func() { f.newFamilies.Add(1) },
		IsHeartbeat: func(name string) bool { return name == "default:beats" }, Heartbeats: f.beats,
	})
	f.conn, f.addr = connect(t, r)
	return f
}

// connect serves a receiver at a real port, and connects to it.
func connect(t *testing.T, r *Receiver) (conn *rpc.Conn, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := rpc.NewServer(rpc.ServerConfig{Services: map[string]rpc.Handler{Service: r.Serve}, Logger: slog.New(slog.DiscardHandler)})
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	addr = l.Addr().String()
	conn, err = rpc.Dial(t.Context(), addr, rpc.DialOptions{Service: Service, Codec: cell.KeyValueCodecWithTags})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		<-served
	})
	return conn, addr
}

type edit struct {
	table  string
	region string // default r1
	seq    uint64
	cells  []cell.Cell
	count  int // announced; 0: as many as there are

	written uint64 // default 1234
}

func (f *fixture) call(ctx context.Context, edits ...edit) error {
	req := &pb.ReplicateWALEntryRequest{}
	var cells []byte
	for _, e := range edits {
		n := e.count
		if n == 0 {
			n = len(e.cells)
		}
		for i := range e.cells {
			cells = cell.KeyValueCodecWithTags.Append(cells, &e.cells[i])
		}
		req.Entry = append(req.Entry, &pb.WALEntry{AssociatedCellCount: proto.Int32(int32(n)), Key: &pb.WALKey{
			EncodedRegionName: []byte(cmp.Or(e.region, "r1")), TableName: []byte(e.table), LogSequenceNumber: proto.Uint64(e.seq), WriteTime: proto.Uint64(cmp.Or(e.written, 1234)),
			ClusterIds: []*pb.UUID{
				{MostSigBits: proto.Uint64(7), LeastSigBits: proto.Uint64(8)},
				{MostSigBits: proto.Uint64(0xa << 56), LeastSigBits: proto.Uint64(0)},
			},
		}})
	}
	_, err := f.conn.Call(ctx, "ReplicateWALEntry", req, cells, &pb.ReplicateWALEntryResponse{})
	return err
}

func put(row, qualifier string) cell.Cell {
	return cell.Cell{Row: []byte(row), Family: []byte("f"), Qualifier: []byte(qualifier), Timestamp: 5, Type: cell.Put, Value: []byte("v")}
}

func TestOneChangePerRowAndEditAnsweredAfterKafka(t *testing.T) {
	f := serve(t)
	answered := make(chan error, 1)
	del := put("x", "")
	del.Type = cell.DeleteFamily
	go func() {
		answered <- f.call(t.Context(),
			edit{table: "t", seq: 20, cells: []cell.Cell{put("x", "1"), put("y", "1"), put("x", "2"), put("z", "1"), put("y", "2")}},
			edit{table: "t", seq: 21, cells: []cell.Cell{del}})
	}()
	<-f.producer.given
	select {
	case err := <-answered:
		t.Fatalf("HBase was answered (%v) before Kafka has acknowledged", err)
	case <-time.After(50 * time.Millisecond):
	}
	f.producer.answer(nil)
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	got := f.producer.changes(t)
	var shape []string
	for _, c := range got {
		s := string(c.Row) + ":"
		for _, k := range c.Cells {
			s += string(k.Qualifier) + "/" + k.Type.String() + " "
		}
		shape = append(shape, strings.TrimSpace(s))
		if c.Table != "default:t" || c.Timestamp != 1234 || c.Source.Epoch != 3 || c.Source.Region != "r1" || c.Source.Kind != schema.KindWAL || c.Source.ClusterID != clusterA {
			t.Errorf("change %+v", c)
		}
		if want := (schema.UUID{7: 7, 15: 8}); len(c.Source.Origins) != 1 || c.Source.Origins[0] != want {
			t.Errorf("origins %v, want only %v: the source itself is no origin", c.Source.Origins, want)
		}
	}
	want := "x:1/Put 2/Put|y:1/Put 2/Put|z:1/Put|x:/DeleteFamily"
	if s := strings.Join(shape, "|"); s != want {
		t.Errorf("changes %s\nwant    %s", s, want)
	}
}

func beat(value string) cell.Cell {
	k := put("b", "b")
	k.Value = []byte(value)
	return k
}

// TestHeartbeatsCountWithTheirCall: they come back when Kafka has the data beside them, never as data, and not at all when
// the call fails.
func TestHeartbeatsCountWithTheirCall(t *testing.T) {
	f := serve(t)
	mixed := []edit{
		{table: "t", seq: 20, cells: []cell.Cell{put("z", "1")}},
		{table: "beats", seq: 21, cells: []cell.Cell{beat("one")}},
		{table: "beats", seq: 22, cells: []cell.Cell{beat("two")}},
	}
	for _, result := range []error{errors.New("no leader"), nil} {
		answered := make(chan error, 1)
		go func() { answered <- f.call(t.Context(), mixed...) }()
		<-f.producer.given
		if got := f.beats.String(); got != "" {
			t.Errorf("before Kafka has acknowledged: %s", got)
		}
		f.producer.answer(result)
		if err := <-answered; (err == nil) != (result == nil) {
			t.Fatal(err)
		}
	}
	if err := f.call(t.Context(), edit{table: "beats", seq: 23, cells: []cell.Cell{beat("three")}}); err != nil {
		t.Fatal(err)
	}
	if got := f.beats.String(); got != "2: one two; 3: three" {
		t.Errorf("heartbeats %s", got)
	}
	for _, c := range f.producer.changes(t) {
		if c.Table != "default:t" {
			t.Errorf("a heartbeat was written as data: %+v", c)
		}
	}
}

func TestLateChangesAreCountedOnce(t *testing.T) {
	f := serve(t)
	for i, late := range []bool{false, true, true} { // the third is a replay
		go func() { <-f.producer.given; f.producer.answer(nil) }()
		e := edit{table: "t", seq: uint64(30 + min(i, 1)), cells: []cell.Cell{put("z", "1"), put("zz", "1")}}
		if late {
			e.written = 1233
		}
		if err := f.call(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if f.stats.counted().late != 2 {
		t.Errorf("%d late changes, want 2", f.stats.counted().late)
	}
}

func TestCellsOutOfScopeAreLeftOut(t *testing.T) {
	f := serve(t)
	go func() { <-f.producer.given; f.producer.answer(nil) }()
	err := f.call(t.Context(), edit{table: "t", seq: 20, cells: []cell.Cell{put("y", "out of scope"), put("z", "1"), put("z", "out of scope"), put("z", "2")}})
	if err != nil {
		t.Fatal(err)
	}
	got := f.producer.changes(t)
	if len(got) != 1 || string(got[0].Row) != "z" || len(got[0].Cells) != 2 || string(got[0].Cells[1].Qualifier) != "2" {
		t.Errorf("changes %+v, want one, of z, with 1 and 2", got)
	}
}

func TestWhatTheScanHasDeliveredIsLeftOut(t *testing.T) {
	f := serve(t)
	go func() { <-f.producer.given; f.producer.answer(nil) }()
	err := f.call(t.Context(), edit{table: "t", seq: 10, cells: []cell.Cell{put("a", "1"), put("z", "1")}}, edit{table: "t", seq: 11, cells: []cell.Cell{put("a", "2")}})
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, c := range f.producer.changes(t) {
		rows = append(rows, string(c.Row))
	}
	if s := strings.Join(rows, " "); s != "z a" || f.stats.counted().below != 1 {
		t.Errorf("rows %q with %d left out; want z (not scanned) and a at 11 (above the read point), 1 left out", s, f.stats.counted().below)
	}
}

// The sequences of a region that was truncated begin anew.
func TestWhatIsWrittenLongAfterTheScanIsNotLeftOut(t *testing.T) {
	f := serve(t)
	go func() { <-f.producer.given; f.producer.answer(nil) }()
	late := 2000 + uint64(scannedSlack.Milliseconds())
	err := f.call(t.Context(), edit{table: "t", seq: 9, written: late, cells: []cell.Cell{put("a", "1")}}, edit{table: "t", seq: 10, written: late + 1, cells: []cell.Cell{put("b", "2")}})
	if err != nil {
		t.Fatal(err)
	}
	if got := f.producer.changes(t); len(got) != 1 || string(got[0].Row) != "b" || f.stats.counted().below != 1 {
		t.Errorf("changes %+v, %d left out; want b alone", got, f.stats.counted().below)
	}
}

// The table was truncated, or created again, while these were in HBase's queue.
func TestChangesFromBeforeTheEpochAreLeftOut(t *testing.T) {
	f := serve(t)
	go func() { <-f.producer.given; f.producer.answer(nil) }()
	err := f.call(t.Context(), edit{table: "t", seq: 99, written: 999, cells: []cell.Cell{put("y", "1"), put("z", "1")}}, edit{table: "t", seq: 3, written: 1000, cells: []cell.Cell{put("z", "2")}})
	if err != nil {
		t.Fatal(err)
	}
	if got := f.producer.changes(t); len(got) != 1 || got[0].Sequence != 3 || f.stats.counted().before != 2 {
		t.Errorf("changes %+v, %d left out; want that of sequence 3, 2 left out", got, f.stats.counted().before)
	}
}

func TestReplaysAreDeliveredAndCounted(t *testing.T) {
	f := serve(t)
	for range 2 {
		go func() { <-f.producer.given; f.producer.answer(nil) }()
		if err := f.call(t.Context(), edit{table: "t", seq: 30, cells: []cell.Cell{put("z", "1")}}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(f.producer.changes(t)); n != 2 || f.stats.counted().replays != 1 {
		t.Errorf("%d records and %d replays, want 2 and 1", n, f.stats.counted().replays)
	}
}

func TestWhatCannotBeDeliveredIsNeverAcknowledged(t *testing.T) {
	bulk := cell.Cell{Row: []byte("x"), Family: metaFamily, Qualifier: bulkLoad, Type: cell.Put}
	for _, tc := range []struct {
		name string
		edit edit
		want string
	}{
		{"bulk load", edit{table: "t", seq: 40, cells: []cell.Cell{bulk}}, "bulk-loaded"},
		{"table not captured", edit{table: "other", seq: 40, cells: []cell.Cell{put("z", "1")}}, "table is not captured"},
		{"cells missing", edit{table: "t", seq: 40, cells: []cell.Cell{put("z", "1")}, count: 2}, "cells are missing"},
		{"cells left over", edit{table: "t", seq: 40, cells: []cell.Cell{put("z", "1"), put("z", "2")}, count: 1}, "more cells than"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := serve(t)
			err := f.call(t.Context(), tc.edit)
			if !rpc.IsRemote(err, "IOException") || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("answered with %v, want an IOException that says %q", err, tc.want)
			}
			if n := len(f.producer.changes(t)); n != 0 {
				t.Errorf("%d records were produced", n)
			}
		})
	}
}

func TestMarkersAreCountedNotWritten(t *testing.T) {
	f := serve(t)
	marker := cell.Cell{Row: []byte("x"), Family: metaFamily, Qualifier: replicationMarker, Type: cell.Put}
	if err := f.call(t.Context(), edit{table: "REPLICATION.WALEVENTTRACKER", seq: 1, cells: []cell.Cell{marker}}); err != nil {
		t.Fatal(err)
	}
	if len(f.stats.counted().markers) != 1 || len(f.producer.changes(t)) != 0 {
		t.Errorf("markers %v, %d records", f.stats.counted().markers, len(f.producer.changes(t)))
	}
}

func TestKafkasErrorIsTheAnswer(t *testing.T) {
	f := serve(t)
	go func() { <-f.producer.given; f.producer.answer(errors.New("no leader")) }()
	err := f.call(t.Context(), edit{table: "t", seq: 40, cells: []cell.Cell{put("z", "1")}})
	if !rpc.IsRemote(err, "IOException") || !strings.Contains(err.Error(), "no leader") {
		t.Errorf("answered with %v, want an IOException with Kafka's error", err)
	}
}

func TestOtherMethodsAreRefused(t *testing.T) {
	f := serve(t)
	_, err := f.conn.Call(t.Context(), "RollWALWriter", &pb.RollWALWriterRequest{}, nil, &pb.RollWALWriterResponse{})
	if !rpc.IsRemote(err, "UnsupportedOperationException") {
		t.Errorf("answered with %v", err)
	}
}

func TestOnlyRegionServersMayConnect(t *testing.T) {
	l := &AllowList{Extra: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, Hosts: func(context.Context) ([]string, error) { return []string{"127.0.0.1"}, nil }}
	for addr, want := range map[string]bool{"127.0.0.1:5": true, "[::ffff:127.0.0.1]:5": true, "10.1.2.3:5": true, "127.0.0.2:5": false, "10.2.0.1:5": false} {
		ap := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))
		if err := l.Check(ap); (err == nil) != want {
			t.Errorf("%s: %v, want allowed = %v", addr, err, want)
		}
	}
	l.Hosts = func(context.Context) ([]string, error) { return nil, io.ErrUnexpectedEOF }
	l.addrs = nil
	if err := l.Check(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("with the source out of reach: %v, want a refusal that says why", err)
	}
}
