//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/deploy"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/testenv"
)

// TestMetricsOfARunningPipe: a source and a sink serve every metric of docs/metrics.md and all that dashboard and alerts ask for; those of
// the peer tell what the source keeps, also while the connector is paused.
func TestMetricsOfARunningPipe(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	createTable(t, table, "a")
	write(t, table, judge.Put("scanned", "a", "q", "v"))
	p := &pipe{name: table, tables: table}
	w := p.start(t)
	awaitStreaming(t, w)
	write(t, table, judge.Put("shipped", "a", "q", "v"))
	await(t, w, "_sink", "both rows", func(v status.ConnectorView) bool { return v.Records >= 2 })

	var missing []string
	awaitMetrics(t, w, "everything to be served", func(served map[string]*dto.MetricFamily) bool {
		missing = nil
		for _, m := range status.Metrics() {
			if served[m.Name] == nil {
				missing = append(missing, m.Name)
			}
		}
		return len(missing) == 0
	}, &missing)
	// The peer is looked at, and the source's servers report, only so often.
	source := p.name + "_source"
	var differ []string
	awaitMetrics(t, w, "the peer to be told of", func(served map[string]*dto.MetricFamily) bool {
		differ = nil
		for name, want := range map[string]float64{"waltap_source_peer_present": 1, "waltap_source_peer_enabled": 1, "waltap_source_peer_held_seconds": 0, "waltap_source_wal_hold_limit_seconds": 21600} {
			if got := gaugeOf(served, name, source); got != want {
				differ = append(differ, fmt.Sprintf("%s is %v, want %v", name, got, want))
			}
		}
		for _, name := range []string{"waltap_source_size_of_log_queue", "waltap_source_wal_retained_bytes"} {
			if got := gaugeOf(served, name, source); got < 1 {
				differ = append(differ, fmt.Sprintf("%s is %v: the WAL that is being written is missing", name, got))
			}
		}
		return len(differ) == 0
	}, &differ)
	queries, err := deploy.Queries()
	if err != nil {
		t.Fatal(err)
	}
	served := metrics(t.Context(), t, w)
	for _, q := range queries {
		for _, name := range q.Metrics() {
			if served[name] == nil {
				t.Errorf("%s asks for %s, which is not served", q.Where, name)
			}
		}
	}
	if code, body, err := w.Do(t.Context(), http.MethodPut, "/connectors/"+source+"/pause", nil); err != nil || code != http.StatusAccepted {
		t.Fatalf("pause: %d %s %v", code, body, err)
	}
	awaitMetrics(t, w, "the peer to be held", func(served map[string]*dto.MetricFamily) bool {
		return gaugeOf(served, "waltap_source_peer_enabled", source) == 0 && gaugeOf(served, "waltap_source_peer_held_seconds", source) > 0
	}, nil)
}

func metrics(ctx context.Context, t *testing.T, w *testenv.Waltap) map[string]*dto.MetricFamily {
	t.Helper()
	code, body, err := w.Get(ctx, "/metrics")
	if err != nil || code != http.StatusOK {
		t.Fatalf("/metrics: %d %v", code, err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// gaugeOf is a gauge of a connector, -1 when it is not served.
func gaugeOf(served map[string]*dto.MetricFamily, name, connector string) float64 {
	for _, m := range served[name].GetMetric() {
		for _, l := range m.Label {
			if l.GetName() == "connector" && l.GetValue() == connector {
				return m.GetGauge().GetValue()
			}
		}
	}
	return -1
}

func awaitMetrics(t *testing.T, w *testenv.Waltap, what string, ok func(map[string]*dto.MetricFamily) bool, missing *[]string) {
	t.Helper()
	ctx := testenv.Context(t, 2*time.Minute)
	for !ok(metrics(ctx, t, w)) {
		select {
		case <-ctx.Done():
			if missing != nil {
				t.Fatalf("waited for %s: %v", what, *missing)
			}
			t.Fatalf("waited for %s", what)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
