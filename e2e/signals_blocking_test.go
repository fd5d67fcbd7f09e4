//go:build e2e

package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/testenv"
)

// blockingScans: under writes, a blocking scan that has lost rows to bring loses its leader twice by SIGKILL and is taken up each time; a second one
// is stopped; of a third the leader dies when the stop has been accepted. Each time both ends are the same afterwards.
func (s *signalled) blockingScans() {
	s.Helper()
	if err := env.Dst.TruncateTable(testenv.Context(s.T, time.Minute), s.p.name, true); err != nil {
		s.Fatal(err)
	}
	stop := mutate(s.T, s.p.name, 200, "a", "b")
	w, begun := s.block()
	last := begun
	for range 2 {
		s.killed(w)
		w, last = s.held(last)
		if last.epoch != begun.epoch || last.shards != begun.shards {
			s.Errorf("the scan was begun anew: before the kill %+v was kept, afterwards %+v", begun, last)
		}
	}
	s.Logf("kept before two kills: %+v, afterwards: %+v", begun, last)
	s.back()
	s.rate(0)
	s.flowsAgain()
	stop()
	identical(s.T, s.p.name, judge.ScanOptions{})

	for _, kill := range []bool{false, true} {
		stop = mutate(s.T, s.p.name, 200, "a", "b")
		w, _ = s.block()
		s.rest("stop-snapshot", map[string]any{})
		if kill {
			s.killed(w)
		}
		s.flowsAgain()
		if now := s.kept(); now.shards != 0 || now.asked != 0 {
			s.Errorf("after a stop there is still %+v", now)
		}
		s.back()
		stop()
		identical(s.T, s.p.name, judge.ScanOptions{})
	}
}

// block begins a blocking scan that does not end by itself, and returns when it is under way: its leader, and what is kept.
func (s *signalled) block() (*testenv.Waltap, kept) {
	s.Helper()
	s.rate(20)
	before := s.kept()
	s.rest("execute-snapshot", map[string]any{"type": "blocking", "data-collections": []string{"default:" + s.p.name}})
	return s.held(before)
}

// held waits until a leader scans and more rows are saved than before, or some of a new epoch, and sees that the peer is and stays held.
func (s *signalled) held(before kept) (*testenv.Waltap, kept) {
	s.Helper()
	var now kept
	w, _ := s.leader("the scan during which changes wait", func(v status.ConnectorView) bool {
		if v.State != status.Snapshot || strings.Contains(v.Phase, "while changes flow") {
			return false
		}
		now = s.kept()
		return now.rows > 0 && (now.epoch > before.epoch || now.rows > before.rows)
	})
	for range 10 {
		if !peerIsHeld(s.T, s.p.name) {
			s.Error("the peer is not held during a blocking scan")
		}
		time.Sleep(200 * time.Millisecond)
	}
	return w, now
}

func (s *signalled) killed(w *testenv.Waltap) {
	s.Helper()
	if !peerIsHeld(s.T, s.p.name) {
		s.Error("the peer is not held before the kill")
	}
	if err := w.Kill(); err != nil {
		s.Fatal(err)
	}
}

// back starts again what was killed.
func (s *signalled) back() {
	s.Helper()
	for _, w := range s.all {
		if w.Running() {
			continue
		}
		if err := w.Restart(); err != nil {
			s.Fatal(err)
		}
	}
	s.settle(s.p)
}

// flowsAgain waits until the source streams, and sees that its peer is enabled.
func (s *signalled) flowsAgain() {
	s.Helper()
	s.streams()
	if peerIsHeld(s.T, s.p.name) {
		s.Error("the peer is held after a blocking scan")
	}
}

// kept is what the offsets topic holds of the source.
type kept struct {
	epoch         int64 // of its table
	rows          int64 // that were scanned in it
	shards, asked int
}

func (s *signalled) kept() (k kept) {
	s.Helper()
	var offsets struct {
		Offsets []struct {
			Partition map[string]string
			Offset    struct {
				Epoch, Rows int64
			}
		}
	}
	if err := json.Unmarshal(s.ask(http.MethodGet, "/connectors/"+s.p.name+"_source/offsets", nil, http.StatusOK), &offsets); err != nil {
		s.Fatal(err)
	}
	rows := make(map[int64]int64) // by epoch
	for _, o := range offsets.Offsets {
		switch {
		case o.Partition["asked"] != "":
			k.asked++
		case o.Partition["shard"] != "":
			k.shards++
		case o.Partition["region"] != "":
			rows[o.Offset.Epoch] += o.Offset.Rows
		case o.Partition["table"] != "":
			k.epoch = o.Offset.Epoch
		}
	}
	k.rows = rows[k.epoch]
	return k
}
