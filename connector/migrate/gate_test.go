package migrate

import (
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/source/capture"
)

// goodFacts are those of a gate that is green behind the fence.
func goodFacts() *Facts {
	return &Facts{
		State: &State{
			Phase:    PhaseFencing,
			Tables:   []Table{{Source: "default:a", Target: "default:a"}, {Source: "n:b", Target: "m:b"}},
			Fence:    &Fence{ID: "f1", Began: 1000, Closed: 1100, From: 7, Moment: 1200},
			Verified: &Verified{Base: &Pass{Clean: true, Began: 500, Whole: 500, Rows: 10, Tables: []string{"default:a", "n:b"}}, Final: &Pass{Clean: true, Fence: "f1"}},
		},
		Now: time.UnixMilli(5000), Alive: 1, PeerOn: true, Peer: "waltap_p", Ours: true,
		Kept:   &capture.Kept{Streaming: true, Tables: map[string]capture.KeptTable{"default:a": {Captured: true, Listed: true}, "n:b": {Captured: true, Listed: true}}},
		Moment: 1200, Watermark: &checkpoint.Watermark{Time: 1300},
		DeadLetters: map[string]int{"dlq": 0},
	}
}

func TestGateIsGreen(t *testing.T) {
	for _, fenced := range []bool{true, false} {
		if red := Judge(goodFacts(), fenced).Red(); len(red) > 0 {
			t.Errorf("fenced %t: red: %+v", fenced, red)
		}
	}
}

// TestEachBrokenConditionMakesTheGateRed breaks one thing at a time: the gate is red, at that condition, and says why.
func TestEachBrokenConditionMakesTheGateRed(t *testing.T) {
	for _, tc := range []struct {
		name   string
		broken func(*Facts)
		cond   string
		says   string
	}{
		{"no process", func(f *Facts) { f.Alive = 0 }, CondRunning, "migrate start"},
		{"paused", func(f *Facts) { f.State.Paused = true }, CondRunning, "migrate resume"},
		{"nothing captured", func(f *Facts) { f.Kept = nil }, CondScan, "has not begun"},
		{"a table is not scanned", func(f *Facts) { f.Kept.Tables["n:b"] = capture.KeptTable{} }, CondScan, "not of n:b"},
		{"the queue is held", func(f *Facts) { f.Kept.Streaming = false }, CondScan, "do not flow yet"},
		{"the peer is gone", func(f *Facts) { f.Ours, f.PeerOn = false, false }, CondGaps, "peer waltap_p is gone"},
		{"the peer was made anew", func(f *Facts) { f.Ours = false }, CondGaps, "made anew"},
		{"the peer is disabled", func(f *Facts) { f.PeerOn = false }, CondGaps, "peer enable waltap_p"},
		{"a gap", func(f *Facts) {
			f.Kept.Tables["n:b"] = capture.KeptTable{Captured: true, Gap: "was truncated"}
		}, CondGaps, "table n:b was truncated"},
		{"a table was dropped", func(f *Facts) { f.Missing = []string{"default:a"} }, CondGaps, "default:a is gone"},
		{"a table came to match", func(f *Facts) { f.Joined = []string{"n:c"} }, CondGaps, "n:c has come to match"},
		{"no fence", func(f *Facts) { f.State.Fence = nil; f.State.Verified.Final = nil }, CondFence, "not closed"},
		{"half a fence", func(f *Facts) { f.State.Fence.Closed = 0 }, CondFence, "not closed"},
		{"somebody has opened a table", func(f *Facts) { f.Open = []string{"n:b"} }, CondFence, "n:b takes writes again"},
		{"the moment is not known", func(f *Facts) { f.Moment = 0 }, CondFence, "no two watermarks"},
		{"no watermark", func(f *Facts) { f.Watermark = nil }, CondWatermark, "none"},
		{"the watermark is behind", func(f *Facts) { f.Watermark.Time = 1199 }, CondWatermark, "it is at 1970-01-01T00:00:01.199Z"},
		{"the sink is behind", func(f *Facts) {
			f.Behind = []Behind{{kafka.TopicPartition{Topic: "p.n.b", Partition: 3}, 5, 8}}
		}, CondSink, "3 records left on 1 partition, partition 3 of p.n.b"},
		{"never verified", func(f *Facts) { f.State.Verified = nil }, CondVerify, "no pass of all rows"},
		{"rows differ", func(f *Facts) { f.State.Verified.Base.Clean, f.State.Verified.Base.Bad = false, 3 }, CondVerify, "3 rows of the last pass differ"},
		{"a table was not verified", func(f *Facts) { f.State.Verified.Base.Tables = []string{"default:a"} }, CondVerify, "n:b was not in the last pass"},
		{"not verified behind the fence", func(f *Facts) { f.State.Verified.Final = nil }, CondVerify, "not verified behind the fence"},
		{"verified behind another fence", func(f *Facts) { f.State.Verified.Final.Fence = "f0" }, CondVerify, "not verified behind the fence"},
		{"changed rows differ", func(f *Facts) { f.State.Verified.Final.Clean, f.State.Verified.Final.Bad = false, 1 }, CondVerify, "1 row of those changed"},
		{"dead letters", func(f *Facts) { f.DeadLetters["dlq"] = 2 }, CondDeadLetters, "2 on dlq"},
		{"a bulk load", func(f *Facts) { f.LastBulkLoad = 800 }, CondBulkLoads, "HFiles were loaded"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := goodFacts()
			tc.broken(f)
			red := Judge(f, true).Red()
			if len(red) == 0 {
				t.Fatal("the gate is green")
			}
			for _, c := range red {
				if c.Name == tc.cond {
					if !strings.Contains(c.Text, tc.says) {
						t.Errorf("it says %q, want %q in it", c.Text, tc.says)
					}
					return
				}
			}
			t.Errorf("red are %+v, want %q among them", red, tc.cond)
		})
	}
}

func TestBulkLoadBeforeAPassOverAllRowsIsForgiven(t *testing.T) {
	f := goodFacts()
	f.LastBulkLoad = 400
	if red := Judge(f, true).Red(); len(red) > 0 {
		t.Errorf("red: %+v", red)
	}
	f.State.Verified.Base.Began = 900 // a pass over changed rows only does not see what was loaded
	f.LastBulkLoad = 800
	if Judge(f, true).Green() {
		t.Error("a pass over changed rows has made the gate green after a bulk load")
	}
}

// A rehearsal is without a fence, and judges the rest.
func TestRehearsalIsJudgedWithoutAFence(t *testing.T) {
	f := goodFacts()
	f.State.Fence, f.State.Verified.Final, f.Open = nil, nil, []string{"default:a", "n:b"}
	if red := Judge(f, false).Red(); len(red) > 0 {
		t.Errorf("red: %+v", red)
	}
	f.Watermark.Time = 0
	if Judge(f, false).Green() {
		t.Error("green although the watermark stands")
	}
}
