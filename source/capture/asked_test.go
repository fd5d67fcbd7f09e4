package capture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/schema"
)

func TestAskedTablesAndRows(t *testing.T) {
	a := Asked{Tables: []string{"default:a.*", "shop:x"}, Rows: []AskedRows{{Table: "default:a1", Start: []byte("b"), Stop: []byte("f")}, {Table: "default:.*", Start: []byte("k")}}}
	match, err := a.matcher()
	if err != nil {
		t.Fatal(err)
	}
	for table, want := range map[string]bool{"default:a": true, "default:abc": true, "shop:x": true, "shop:xy": false, "default:b": false, "mydefault:a": false} {
		if match(table) != want {
			t.Errorf("%s matches: %t", table, !want)
		}
	}
	if start, stop := a.rows("default:a1"); string(start) != "b" || string(stop) != "f" {
		t.Errorf("rows [%s, %s) of the first condition that matches, want [b, f)", start, stop)
	}
	if start, stop := a.rows("shop:x"); start != nil || stop != nil {
		t.Errorf("rows [%s, %s) of a table without a condition", start, stop)
	}
	if match, err := (&Asked{Stop: true}).matcher(); err != nil || !match("any:table") {
		t.Error("a stop without tables is not for all", err)
	}
	if match, err := (&Asked{}).matcher(); err != nil || match("any:table") {
		t.Error("a scan without tables is for some", err)
	}
	if _, err := (&Asked{Tables: []string{"("}}).matcher(); err == nil {
		t.Error("a wrong expression is taken")
	}
}

func TestAskedRowsNarrowTheScope(t *testing.T) {
	for _, tc := range []struct{ start, stop, rowStart, rowStop, wantStart, wantStop string }{
		{"b", "f", "", "", "b", "f"},
		{"b", "f", "c", "e", "c", "e"},
		{"c", "e", "b", "f", "c", "e"},
		{"", "", "b", "f", "b", "f"},
		{"c", "", "b", "", "c", ""},
	} {
		s := askedScan{Start: []byte(tc.start), Stop: []byte(tc.stop)}
		got := s.narrow(schema.Scope{RowStart: []byte(tc.rowStart), RowStop: []byte(tc.rowStop), KeysOnly: true})
		if string(got.RowStart) != tc.wantStart || string(got.RowStop) != tc.wantStop || !got.KeysOnly {
			t.Errorf("%+v: [%s, %s)", tc, got.RowStart, got.RowStop)
		}
	}
}

// A scan during which changes are to wait holds the peer, also where the order is concurrent, and after a restart.
func TestAskedHeldScanNeedsAHold(t *testing.T) {
	held := tableIn("held", tableState{Asked: &askedScan{Held: true}})
	beside := tableIn("beside", tableState{Asked: &askedScan{}, Concurrent: true})
	c := &Capture{process: new(process), tables: []captured{held, beside}}
	c.letFlow()
	if !c.needsHold() || c.flows() || c.tables[0].state.Concurrent {
		t.Error("changes would flow during a scan that was asked for with its changes held")
	}
	c.tables = c.tables[1:]
	if c.needsHold() || !c.flows() {
		t.Error("the peer would be held for a scan that was asked for beside the stream")
	}
}

func TestAskedScanIsShown(t *testing.T) {
	stats := &flowStats{}
	c := &Capture{process: &process{cfg: Config{Stats: stats}}, tables: []captured{
		tableIn("a", tableState{Concurrent: true, Asked: &askedScan{Signal: "s1"}}), tableIn("b", tableState{Concurrent: true, Asked: &askedScan{}}),
	}}
	c.showFlow()
	if want := `default:a (execute-snapshot "s1"), default:b (execute-snapshot), while changes flow`; stats.scanning != want {
		t.Errorf("shown: %s, want %s", stats.scanning, want)
	}
}

// askedCapture is a capture of three tables that are captured, with a store.
func askedCapture(t *testing.T) (*Capture, context.Context) {
	t.Helper()
	c, ctx := topicCapture(t, func(cfg *Config) { cfg.PeerCreate = true })
	store, err := checkpoint.Open(ctx, c.cfg.Kafka, c.cfg.offsetsTopic())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	c.state = state{store: store, connector: "s"}
	c.cfg.Stats, c.cfg.Log, c.tables = &askedStats{}, slog.New(slog.DiscardHandler), nil
	for _, name := range []string{"a", "b", "c"} {
		c.tables = append(c.tables, tableIn(name, tableState{Epoch: 1, Captured: true, Scanned: 7}))
	}
	return c, ctx
}

type askedStats struct{ flowStats }

func (*askedStats) Shards(int, int) {}

// epochs are those of the tables, and whether they are scanned.
func epochs(c *Capture) string {
	var b strings.Builder
	for _, t := range c.tables {
		fmt.Fprintf(&b, "%s%d", strings.TrimPrefix(t.name, "default:"), t.state.Epoch)
		if t.unscanned() {
			b.WriteString("*")
		}
		b.WriteString(" ")
	}
	return strings.TrimSpace(b.String())
}

// left lists the tables of what is still to be carried out.
func left(t *testing.T, c *Capture) (tables [][]string) {
	t.Helper()
	all, err := c.state.asked()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		tables = append(tables, a.Left)
	}
	return tables
}

func TestAskedScansBeginOnceAndWait(t *testing.T) {
	c, ctx := askedCapture(t)
	ask := func(a Asked) {
		t.Helper()
		if err := Ask(ctx, c.state.store, "s", a); err != nil {
			t.Fatal(err)
		}
	}
	obey := func(want error, epochsWant string, leftWant [][]string) {
		t.Helper()
		if err := c.obey(ctx); !errors.Is(err, want) {
			t.Fatalf("%v, want %v", err, want)
		}
		if got := epochs(c); got != epochsWant {
			t.Errorf("tables %s, want %s (* is being scanned)", got, epochsWant)
		}
		if d := cmp.Diff(leftWant, left(t, c)); d != "" {
			t.Errorf("left:\n%s", d)
		}
	}
	obey(nil, "a1 b1 c1", nil)
	// One that begins, one that waits because a is being scanned.
	ask(Asked{Tables: []string{"default:a"}, Held: true, Signal: "one"})
	ask(Asked{Tables: []string{"default:[ab]"}, Held: true, Signal: "two"})
	obey(errHold, "a2* b2* c1", [][]string{{"default:a"}})
	for _, name := range []string{"default:a", "default:b"} {
		st, known, err := c.state.table(name)
		if err != nil || !known || st.Captured || st.Concurrent || st.Asked == nil || !st.Asked.Held || st.Scanned != 0 {
			t.Errorf("%s is kept as %+v, %v", name, st, err)
		}
	}
	// Again before what was begun is taken off the list, as after a kill: nothing begins twice.
	all, err := c.state.asked()
	if err != nil {
		t.Fatal(err)
	}
	again := all[0]
	again.Left = []string{"default:a", "default:b"}
	if err := c.state.store.Put(ctx, "s", map[string]string{askedKey: again.id}, again); err != nil {
		t.Fatal(err)
	}
	obey(errHold, "a2* b2* c1", [][]string{{"default:a"}})
	// a is scanned: the one that waits begins.
	if err := c.setCaptured(ctx, &c.tables[0]); err != nil {
		t.Fatal(err)
	}
	obey(errHold, "a3* b2* c1", nil)
	// A stop ends those of b, and what waits for it; a goes on.
	ask(Asked{Tables: []string{"default:b"}, Held: true})
	obey(errHold, "a3* b2* c1", [][]string{{"default:b"}})
	ask(Asked{Stop: true, Tables: []string{"default:b"}})
	obey(errHold, "a3* b2 c1", nil)
	if st, _, err := c.state.table("default:b"); err != nil || !st.Captured || !st.Stopped || !st.Concurrent || st.Asked != nil {
		t.Errorf("the stopped table is kept as %+v, %v", st, err)
	}
	// A stop of all; a scan of no table; a stop of nothing.
	ask(Asked{Stop: true})
	ask(Asked{Tables: []string{"default:z"}})
	ask(Asked{Stop: true})
	obey(nil, "a3 b2 c1", nil)
}

// What the connector's rows exclude is refused, and the other tables begin.
func TestAskedRowsOutsideTheScope(t *testing.T) {
	c, ctx := askedCapture(t)
	c.cfg.Scope = schema.Scope{RowStart: []byte("m")}
	a := Asked{Tables: []string{"default:[ab]"}, Held: true, Rows: []AskedRows{{Table: "default:a", Stop: []byte("c")}, {Table: ".*", Stop: []byte("p")}}}
	if err := Ask(ctx, c.state.store, "s", a); err != nil {
		t.Fatal(err)
	}
	if err := c.obey(ctx); !errors.Is(err, errHold) {
		t.Fatal(err)
	}
	if got := epochs(c); got != "a1 b2* c1" {
		t.Error(got)
	}
	scope := c.narrowed(&c.tables[1]).Scope
	if string(scope.RowStart) != "m" || string(scope.RowStop) != "p" {
		t.Errorf("scanned: [%s, %s), want [m, p)", scope.RowStart, scope.RowStop)
	}
}
