package migrate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/source/capture"
)

func TestStatusSumsUpWhatTheProcessesSay(t *testing.T) {
	m, err := parse(t, "migration.name: m", "")
	if err != nil {
		t.Fatal(err)
	}
	now := time.UnixMilli(100_000)
	st := &State{Phase: PhaseStarted, Tables: []Table{{Source: "default:orders", Target: "default:orders"}, {Source: "shop:items", Target: "store:things"}, {Source: "shop:x", Target: "shop:x"}}}
	kept := &capture.Kept{Streaming: true, Tables: map[string]capture.KeptTable{"default:orders": {Captured: true, Rows: 11}, "shop:items": {Captured: true, Gap: "was truncated"}}}
	source := func(rows int64) status.ConnectorView {
		return status.ConnectorView{Name: "s", State: status.Running, BulkLoads: 1, Tables: []status.TableView{{Name: "default:orders", SnapshotRows: rows, CountersView: status.CountersView{Records: 2 * rows}}}}
	}
	lag := int64(70)
	sink := status.ConnectorView{Name: "c", State: status.Failed, Error: "no disk", LagRecords: 5, LagMS: &lag, DeadLettered: 2,
		Tables: []status.TableView{{Name: "default:orders", CountersView: status.CountersView{Records: 7, Bytes: 70}}}}
	progress := []Progress{
		{At: 99_000, Connectors: []status.ConnectorView{source(10), sink}},
		{At: 50_000, Connectors: []status.ConnectorView{source(3), sink}}, // killed long ago: what it has counted counts on
		{At: 99_500, Stopped: true, Connectors: []status.ConnectorView{source(1)}},
	}
	w := WaveStatus{Name: "all", Phase: "started"}
	w.fill(m.Waves[0], st, kept, progress, now)
	orders := w.Tables[0]
	if w.Processes != 1 || orders.Scanned != 11 || w.scanned != 14 || orders.Records != 28 || orders.Applied != 14 || orders.Bytes != 140 || w.LagRecords != 5 || w.LagMS != 70 || w.BulkLoads != 3 || w.DeadLettered != 4 {
		t.Errorf("got %+v", w)
	}
	if a, b, c := orders.Phase, w.Tables[1].Phase, w.Tables[2].Phase; a != "follows" || b != "gap: was truncated" || c != "scans" {
		t.Errorf("phases are %q, %q, %q", a, b, c)
	}
	if w.Failures["c"] != "no disk" {
		t.Errorf("failures are %v", w.Failures)
	}
	var b strings.Builder
	(&Status{Name: "m", At: now, Waves: []WaveStatus{w}}).Print(&b, false)
	for _, want := range []string{"wave all: started, in 1 process", "shop:items -> store:things", "gap: was truncated", "FAILED     c: no disk", "3 bulk loads"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the screen does not show %q:\n%s", want, b.String())
		}
	}
}

// TestStatusOfManyTablesFitsAScreen: what is wrong with one of 40 is shown, and what they have in common is summed up.
func TestStatusOfManyTablesFitsAScreen(t *testing.T) {
	w := WaveStatus{Name: "all", Phase: "started", Processes: 1}
	for i := range 40 {
		x := TableStatus{Source: fmt.Sprintf("shop:t%02d", i), Target: fmt.Sprintf("shop:t%02d", i), Phase: "follows", Scanned: 10, Records: 2, Applied: 3, Bytes: 1 << 20}
		switch {
		case i == 7:
			x.Phase = "gap: was truncated"
		case i < 15:
			x.Phase, x.Scanned = phaseScans, int64(i)
		case i < 17:
			x.Phase = "waits"
		}
		w.Tables = append(w.Tables, x)
	}
	s := &Status{Name: "m", Waves: []WaveStatus{w}}
	var b strings.Builder
	s.Print(&b, false)
	text := b.String()
	if n := strings.Count(text, "\n"); n > 24 {
		t.Errorf("%d lines:\n%s", n, text)
	}
	for _, want := range []string{"gap: was truncated", "shop:t14", "6 more tables  scans", "shop:t15", "23 tables", "230 "} {
		if !strings.Contains(text, want) {
			t.Errorf("the screen does not show %q:\n%s", want, text)
		}
	}
	b.Reset()
	if s.Print(&b, true); strings.Count(b.String(), "shop:t") != 40 {
		t.Errorf("not each table is shown:\n%s", b.String())
	}
}

func TestSizesAreSummedUpByTable(t *testing.T) {
	got := sizesOf(&admin.Status{Servers: []admin.ServerStatus{
		{Regions: []admin.RegionLoad{{Name: []byte("orders,,1.a."), StoreFileMB: 3, UncompressedMB: 9, MemStoreMB: 1}, {Name: []byte("shop:items,k,,2.b."), StoreFileMB: 5}}},
		{Regions: []admin.RegionLoad{{Name: []byte("orders,m,1.c."), StoreFileMB: 4}}},
	}})
	if want := (Size{Regions: 2, StoreMB: 7, UncompressedMB: 9, MemStoreMB: 1}); got["default:orders"] != want {
		t.Errorf("got %+v, want %+v", got["default:orders"], want)
	}
	if got["shop:items"].StoreMB != 5 {
		t.Errorf("got %+v", got["shop:items"])
	}
}

func TestWhatRunsInAPhase(t *testing.T) {
	for _, tc := range []struct {
		st            State
		ahead, behind bool
	}{
		{State{Phase: PhaseStarted}, true, false},
		{State{Phase: PhaseStarted, Paused: true}, false, false},
		{State{Phase: PhaseFencing}, true, false},
		{State{Phase: PhaseReverse, Reverse: &Reverse{N: 1}}, true, true},
		{State{Phase: PhaseUndoing, Reverse: &Reverse{N: 1}}, true, true},
		{State{Phase: PhaseUndoing, Reverse: &Reverse{N: 1, Done: true}}, true, false},
		{State{Phase: PhaseCleaning, Reverse: &Reverse{N: 1}}, false, false},
		{State{Phase: PhaseCleaned}, false, false},
	} {
		if a, b := tc.st.runs(); a != tc.ahead || b != tc.behind {
			t.Errorf("%+v runs %t, %t", tc.st, a, b)
		}
	}
}
