package capture

import (
	"errors"
	"testing"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/source/scan"
)

func tableIn(name string, s tableState) captured {
	return captured{Table: admin.Table{Namespace: "default", Qualifier: name}, name: "default:" + name, topic: "p.default." + name, state: s}
}

func TestOnlyTablesOfExactOrderNeedAHold(t *testing.T) {
	fresh := tableIn("fresh", tableState{Epoch: 1})
	flowing := tableIn("flowing", tableState{Epoch: 1, Concurrent: true})
	scanned := tableIn("scanned", tableState{Epoch: 1, Captured: true})
	for _, tc := range []struct {
		name   string
		tables []captured
		hold   bool
		flow   bool
	}{
		{"all scanned", []captured{scanned}, false, false},
		{"one new", []captured{scanned, fresh}, true, false},
		{"one that flows while it is scanned", []captured{scanned, flowing}, false, true},
		{"one new beside one that flows", []captured{flowing, fresh}, true, false},
	} {
		c := &Capture{tables: tc.tables}
		if got := c.needsHold(); got != tc.hold {
			t.Errorf("%s: needs a hold = %t, want %t", tc.name, got, tc.hold)
		}
		if got := c.flows(); got != tc.flow {
			t.Errorf("%s: flows = %t, want %t", tc.name, got, tc.flow)
		}
	}
}

// What was shipped before the scan was complete may have made the sink leave the scan's cells out.
func TestNothingOfAConcurrentTableIsLeftOut(t *testing.T) {
	ranges := []scan.Range{{Table: "default:t", Epoch: 1, Region: "r", ReadPoint: 17, Done: true}}
	exact := tableState{Epoch: 1, Captured: true}
	if of := exact.readPoint(ranges); of == nil || of([]byte("row")) != 17 {
		t.Error("a table scanned in exact order has no read point")
	}
	concurrent := tableState{Epoch: 1, Captured: true, Concurrent: true}
	if concurrent.readPoint(ranges) != nil {
		t.Error("changes of a table scanned in concurrent order would be left out")
	}
}

func TestWhatIsScannedKeepsItsOrder(t *testing.T) {
	tables := func() []captured {
		return []captured{tableIn("scanned", tableState{Captured: true}), tableIn("fresh", tableState{})}
	}
	c := &Capture{tables: tables(), process: new(process)}
	c.letFlow()
	if c.tables[0].state.Concurrent || !c.tables[1].state.Concurrent {
		t.Errorf("tables %+v: want the one that is not scanned, alone, in concurrent order", c.tables)
	}
	c = &Capture{tables: tables(), process: &process{cfg: Config{SnapshotMode: SnapshotNoData}}}
	c.letFlow()
	if c.tables[1].state.Concurrent {
		t.Error("a table that is not to be scanned at all was put in concurrent order")
	}
}

// flowStats notes the last thing shown.
type flowStats struct {
	Stats
	streaming, scanning, waiting string
}

func (s *flowStats) Streaming(text string) { s.streaming, s.scanning = "streaming"+text, "" }
func (s *flowStats) Waiting(text string)   { s.waiting = text }
func (s *flowStats) Scanning(text string)  { s.streaming, s.scanning = "", text }

func TestNoWatermarkBeforeAllIsScanned(t *testing.T) {
	stats := &flowStats{}
	c := &Capture{process: &process{cfg: Config{Stats: stats}}, tables: []captured{
		tableIn("a", tableState{Captured: true}), tableIn("b", tableState{Concurrent: true}),
	}}
	c.showFlow()
	if _, err := c.endOffsets(t.Context()); err == nil || err.Error() != "the scan of default:b is not complete" {
		t.Errorf("end offsets during the scan: %v, want an error that names the table", err)
	}
	if stats.scanning != "default:b, while changes flow" {
		t.Errorf("shown: %+v", stats)
	}
	c.tables[1].gone = true // dropped: nothing is left to scan
	c.showFlow()
	if err := c.flow.notScanned(); err != nil || stats.streaming != "streaming" {
		t.Errorf("%v, shown: %+v; want it streaming", err, stats)
	}
	if got := c.flow.dataTopics(); len(got) != 2 {
		t.Errorf("topics %q, want those of both tables", got)
	}
}

func TestABackgroundScanIsAwaited(t *testing.T) {
	b := background{done: make(chan error, 1)}
	b.done <- errors.New("cancelled")
	b.wait()
	if b.done != nil {
		t.Error("the scan is still at work")
	}
	b.wait() // none at work: returns
}
