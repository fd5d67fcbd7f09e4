package capture

import (
	"testing"

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
