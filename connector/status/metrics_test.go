package status

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

var update = flag.Bool("update", false, "write docs/metrics.md and testdata/metrics.txt anew")

// golden compares got with a file, or writes it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s is not up to date: go test ./connector/status -update\n-file +now:\n%s", path, d)
	}
}

// knowing is the example with a value for each metric.
func knowing() *Process {
	p := example()
	source, sink := p.Connectors[0], p.Connectors[1]
	source.Answered.Store(6)
	source.Refused.Store(1)
	source.ShippedOps.Store(21)
	source.ShippedBytes.Store(840)
	source.SetWatermark(time.Now().UnixMilli()-2000, false)
	source.SnapshotLeft.Store(90)
	sink.Add(90, 200, 3000, 1_790_000_000_400)
	sink.LagMillis.Store(1500)
	sink.LagRecords.Store(30)
	shipped := time.UnixMilli(1_790_000_000_100).UTC()
	p.SetPeer(PeerView{Connector: "orders-source", ID: "waltap_orders", State: peerEnabled, HoldLimit: 21600, Looked: time.UnixMilli(1_790_000_010_000).UTC(),
		Backlog: &BacklogView{LogQueue: 3, RetainedBytes: 3 << 27, LastShipped: &shipped, AgeOfLastMS: 1200, LagMS: 700, Queued: true, Reported: true}})
	p.SetTasks(TasksView{Connector: "orders-source", States: map[string]int{"RUNNING": 3, "FAILED": 1}})
	return p
}

func gather(t *testing.T, p *Process) []*dto.MetricFamily {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(NewCollector(p)); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

func TestMetricValues(t *testing.T) {
	families := gather(t, knowing())
	var got strings.Builder
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "waltap_watermark_") { // these move
			continue
		}
		if _, err := expfmt.MetricFamilyToText(&got, f); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "testdata/metrics.txt", strings.ReplaceAll(got.String(), runtime.Version(), "GOVERSION"))
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}

// TestEveryMetricIsInTheTable: what is served is what Metrics lists, and the page has all of it.
func TestEveryMetricIsInTheTable(t *testing.T) {
	served := make(map[string]*dto.MetricFamily)
	for _, f := range gather(t, knowing()) {
		served[f.GetName()] = f
	}
	for _, m := range Metrics() {
		f := served[m.Name]
		if f == nil {
			t.Errorf("%s is in the table, and a process that knows everything does not serve it", m.Name)
			continue
		}
		delete(served, m.Name)
		if f.GetHelp() != m.Help || strings.ToLower(f.GetType().String()) != m.Type {
			t.Errorf("%s is served as %s %q, the table has %s %q", m.Name, f.GetType(), f.GetHelp(), m.Type, m.Help)
		}
		if total := strings.HasSuffix(m.Name, "_total"); total != (m.Type == "counter") {
			t.Errorf("%s is a %s", m.Name, m.Type)
		}
		for _, v := range f.Metric {
			var labels []string
			for _, l := range v.Label {
				labels = append(labels, l.GetName())
			}
			if d := cmp.Diff(slices.Sorted(slices.Values(m.Labels)), labels); d != "" {
				t.Errorf("labels of %s: %s", m.Name, d)
			}
		}
	}
	for name := range served {
		t.Errorf("%s is served and not in the table", name)
	}
	golden(t, "../../docs/metrics.md", page())
}

// page is docs/metrics.md.
func page() string {
	var b strings.Builder
	b.WriteString(`# Metrics

Every waltap process serves ` + "`/metrics`" + ` in Prometheus' text format on its port (` + "`listeners`" + `), where also ` + "`/status`" + ` has the same numbers as JSON. This page is
written from the code (` + "`go test ./connector/status -update`" + `); a test keeps the two equal. Beside these a process serves those of the Go
runtime (` + "`go_…`" + `) and of the operating system (` + "`process_…`" + `). Dashboard and alerts: [operations.md](operations.md).

- Counters count since the process was started. A value that is not known, such as the lag before the first record, is left out; so is what a process does not do any more:
  a connector that was deleted or has moved to another process is not shown at all, one that is paused or has ended keeps its counters, and its state, and has no lag that grows.
- Several processes may run parts of one connector: add its counters up (` + "`sum by (connector)`" + `), and take the largest of its gauges
  (` + "`max by (connector)`" + `). What is "of a source's peer" is shown by the one process that looks after the source: every 10 s it asks ZooKeeper or the master
  what the peer is, every 30 s what is in the queues, and the master what the region servers have reported (as the HBase shell's ` + "`status 'replication'`" + ` does).
- Labels: ` + "`connector`" + ` and ` + "`table`" + ` are as many as you configure; no row, offset, host or error text is ever a label.

| metric | type | labels | of | meaning |
|---|---|---|---|---|
`)
	for _, m := range Metrics() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", m.Name, m.Type, strings.Join(m.Labels, ", "), m.Of, strings.ReplaceAll(m.Help, "|", "\\|"))
	}
	return b.String()
}

// values are those of one metric, by connector.
func values(t *testing.T, p *Process, name string) map[string]float64 {
	t.Helper()
	out := make(map[string]float64)
	for _, f := range gather(t, p) {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if l.GetName() == "connector" {
					out[l.GetValue()] = m.GetGauge().GetValue()
				}
			}
		}
	}
	return out
}

func TestPeerIsHeld(t *testing.T) {
	p := new(Process)
	hour, now := time.Now().Add(-time.Hour), time.Now()
	seen := float64(now.UnixMilli()) / 1000
	p.SetPeer(PeerView{Connector: "held", State: "disabled", HeldSince: &hour, Looked: now, Backlog: &BacklogView{OldestWAL: &hour, OthersOldest: &hour, Queued: true}})
	p.SetPeer(PeerView{Connector: "never", State: peerUnknown, Error: "no route"})
	p.SetPeer(PeerView{Connector: "removed", State: peerAbsent, Looked: now})
	p.SetPeer(PeerView{Connector: "removed-long-ago", State: peerAbsent, Looked: time.Now().Add(-73 * time.Hour)})
	for name, want := range map[string]map[string]float64{
		"waltap_source_peer_present":                     {"held": 1, "removed": 0},
		"waltap_source_peer_enabled":                     {"held": 0},
		"waltap_source_peer_absent_timestamp_seconds":    {"held": 0, "removed": seen},
		"waltap_source_peer_last_look_timestamp_seconds": {"held": seen},
	} {
		if d := cmp.Diff(want, values(t, p, name)); d != "" {
			t.Errorf("%s: -want +got:\n%s", name, d)
		}
	}
	for _, name := range []string{"waltap_source_peer_held_seconds", "waltap_source_wal_oldest_age_seconds", "waltap_source_other_peers_wal_oldest_age_seconds"} {
		if got := values(t, p, name)["held"]; got < 3600 || got > 3700 {
			t.Errorf("%s is %v after an hour", name, got)
		}
	}
	if got := values(t, p, "waltap_source_age_of_last_shipped_op_seconds"); len(got) > 0 {
		t.Errorf("age that no server has reported: %v", got)
	}
	p.Forget("held")
	p.Forget("removed")
	if d := cmp.Diff(map[string]float64{"removed": 0}, values(t, p, "waltap_source_peer_present")); d != "" {
		t.Errorf("forgotten: -want +got:\n%s", d)
	}
}

// TestWhatStandsStillIsNotShown: a source that is paused or at its end has no lag that grows, a sink that applies nothing no lag at all; a scan whose end is
// not known no time that it takes.
func TestWhatStandsStillIsNotShown(t *testing.T) {
	p := knowing()
	source, sink := p.Connectors[0], p.Connectors[1]
	names := map[string]string{"waltap_watermark_lag_seconds": "orders-source", "waltap_watermark_timestamp_seconds": "orders-source", "waltap_watermark_estimated": "orders-source", "waltap_lag_records": sink.Name}
	shown := func(want bool) {
		t.Helper()
		for name, connector := range names {
			if _, got := values(t, p, name)[connector]; got != want {
				t.Errorf("%s of %s is shown: %v", name, connector, got)
			}
		}
	}
	source.Set(Running, "")
	sink.Set(Waiting, "")
	shown(true)
	source.Set(Stopped, "")
	sink.Set(Stopped, "")
	shown(false)
	source.Set(Running, "")
	sink.Set(Running, "")
	shown(true)
	source.SetWatermark(0, false)
	sink.Fail(errors.New("gone"))
	shown(false)

	const left = "waltap_snapshot_remaining_seconds"
	source.SnapshotLeft.Store(7)
	if got := values(t, p, left); got["orders-source"] != 7 {
		t.Errorf("%s: %v", left, got)
	}
	source.SnapshotLeft.Store(0)
	if got := values(t, p, left); len(got) > 0 {
		t.Errorf("%s that is not known: %v", left, got)
	}
	source.SnapshotShardsDone.Store(source.SnapshotShardsTotal.Load())
	if got, known := values(t, p, left)["orders-source"]; got != 0 || !known {
		t.Errorf("%s of a complete scan: %v %v", left, got, known)
	}
}
