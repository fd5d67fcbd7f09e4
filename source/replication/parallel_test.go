package replication

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/rpc"
)

// dial opens another connection to the receiver, as a restarted region server does.
func (f *fixture) dial(t *testing.T) *fixture {
	t.Helper()
	conn, err := rpc.Dial(t.Context(), f.addr, rpc.DialOptions{Service: Service, Codec: cell.KeyValueCodecWithTags})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	g := *f
	g.conn = conn
	return &g
}

// send makes a call of one put in the background.
func (f *fixture) send(t *testing.T, region, row string, seq uint64) chan error {
	answered := make(chan error, 1)
	e := edit{table: "t", region: region, seq: seq, cells: []cell.Cell{put(row, "q")}}
	go func() { answered <- f.call(t.Context(), e) }()
	return answered
}

// rows lists what was produced.
func (f *fixture) rows(t *testing.T) string {
	var rows []string
	for _, c := range f.producer.changes(t) {
		rows = append(rows, string(c.Row))
	}
	return strings.Join(rows, " ")
}

func (f *fixture) nothingProduced(t *testing.T, why string) {
	t.Helper()
	select {
	case <-f.producer.given:
		t.Fatalf("%s: produced %s", why, f.rows(t))
	case <-time.After(50 * time.Millisecond):
	}
}

func TestCallsOfDifferentRegionsGoSideBySide(t *testing.T) {
	f := serve(t)
	g := f.dial(t)
	answers := []chan error{f.send(t, "r1", "x1", 20), f.send(t, "r2", "x2", 20), g.send(t, "r3", "x3", 20)}
	for range answers { // none was answered, all are with Kafka
		<-f.producer.given
	}
	f.producer.answer(nil)
	for i, a := range answers {
		if err := <-a; err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

func TestCallsOfOneRegionWaitOverAllConnections(t *testing.T) {
	f := serve(t)
	g := f.dial(t)
	old := f.send(t, "r1", "x", 20)
	<-f.producer.given
	again := g.send(t, "r1", "x", 20) // the region server gave up waiting and resends over a new connection
	f.nothingProduced(t, "a call went on while an older one of its region was not settled")
	f.producer.answer(nil)
	<-f.producer.given
	newer := f.send(t, "r1", "y", 21)
	f.nothingProduced(t, "a call went on while an older one of its region was not settled")
	f.producer.answer(nil)
	<-f.producer.given
	f.producer.answer(nil)
	for i, a := range []chan error{old, again, newer} {
		if err := <-a; err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if rows := f.rows(t); rows != "x x y" || f.stats.counted().replays != 1 {
		t.Errorf("produced %q with %d replays, want x x y with 1", rows, f.stats.counted().replays)
	}
}

func TestACallOfTwoRegionsHoldsBoth(t *testing.T) {
	f := serve(t)
	both := make(chan error, 1)
	go func() {
		both <- f.call(t.Context(), edit{table: "t", region: "r1", seq: 20, cells: []cell.Cell{put("x", "q")}},
			edit{table: "t", region: "r2", seq: 20, cells: []cell.Cell{put("y", "q")}})
	}()
	<-f.producer.given
	one, two := f.send(t, "r1", "x", 21), f.send(t, "r2", "y", 21)
	f.nothingProduced(t, "a call went on while another held its region")
	f.producer.answer(nil)
	<-f.producer.given
	<-f.producer.given
	f.producer.answer(nil)
	for i, a := range []chan error{both, one, two} {
		if err := <-a; err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

// toldDeadline tells the deadline, which goes to the receiver with the call, but does not end then: on a busy machine an answer
// that was sent in time may come late.
type toldDeadline struct {
	context.Context
	at time.Time
}

func (c toldDeadline) Deadline() (time.Time, bool) { return c.at, true }

// A call that is not through is answered while its caller still listens, and one that waits behind it as well.
func TestTheAnswerComesBeforeTheDeadline(t *testing.T) {
	f := serve(t)
	f.producer.endWithContext()
	ctx := toldDeadline{t.Context(), time.Now().Add(2 * time.Second)}
	e := edit{table: "t", seq: 20, cells: []cell.Cell{put("x", "q")}}
	answers := make(chan error, 2)
	for range 2 {
		go func() { answers <- f.call(ctx, e) }()
	}
	for range 2 {
		if err := <-answers; !rpc.IsRemote(err, "IOException") {
			t.Errorf("answered with %v, want an IOException in time", err)
		}
	}
	if n := len(f.producer.changes(t)); n == 0 {
		t.Error("nothing was produced: the calls did not come so far")
	}
}
