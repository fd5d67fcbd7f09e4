package status

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func get(t *testing.T, h http.Handler, path string) (code int, contentType, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	b, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, w.Header().Get("Content-Type"), string(b)
}

func handler(t *testing.T, p *Process, extra ...prometheus.Collector) http.Handler {
	t.Helper()
	h, err := NewHandler(p, extra...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestMetricValues(t *testing.T) {
	const want = `
# HELP waltap_before_epoch_changes_total Changes left out because they were written before the table was truncated, restored or created again.
# TYPE waltap_before_epoch_changes_total counter
waltap_before_epoch_changes_total{connector="orders-copy"} 0
waltap_before_epoch_changes_total{connector="orders-source"} 0
# HELP waltap_below_read_point_changes_total Changes left out because the scan had delivered them.
# TYPE waltap_below_read_point_changes_total counter
waltap_below_read_point_changes_total{connector="orders-copy"} 0
waltap_below_read_point_changes_total{connector="orders-source"} 0
# HELP waltap_bytes_total Bytes of the keys and values of these records.
# TYPE waltap_bytes_total counter
waltap_bytes_total{connector="orders-copy"} 0
waltap_bytes_total{connector="orders-source"} 4096
# HELP waltap_calls_total Replication calls answered by a source, batches applied by a sink.
# TYPE waltap_calls_total counter
waltap_calls_total{connector="orders-copy"} 0
waltap_calls_total{connector="orders-source"} 7
# HELP waltap_cells_total Cells of these records.
# TYPE waltap_cells_total counter
waltap_cells_total{connector="orders-copy"} 0
waltap_cells_total{connector="orders-source"} 360
# HELP waltap_connector_failed 1 when the connector gave up (FAILED), else 0.
# TYPE waltap_connector_failed gauge
waltap_connector_failed{connector="orders-copy"} 0
waltap_connector_failed{connector="orders-source"} 0
# HELP waltap_connector_running 1 when the connector moves records (RUNNING or SNAPSHOT), else 0.
# TYPE waltap_connector_running gauge
waltap_connector_running{connector="orders-copy"} 1
waltap_connector_running{connector="orders-source"} 1
# HELP waltap_dead_lettered_records_total Records, and markers of the WAL, that were put on the dead-letter topic.
# TYPE waltap_dead_lettered_records_total counter
waltap_dead_lettered_records_total{connector="orders-copy"} 4
waltap_dead_lettered_records_total{connector="orders-source"} 0
# HELP waltap_kept_cells_total Cells left out because of hbase.no.overwrite.
# TYPE waltap_kept_cells_total counter
waltap_kept_cells_total{connector="orders-copy"} 0
waltap_kept_cells_total{connector="orders-source"} 0
# HELP waltap_lag_records Records of a sink's partitions that are not applied yet.
# TYPE waltap_lag_records gauge
waltap_lag_records{connector="orders-copy"} 0
waltap_lag_records{connector="orders-source"} 0
# HELP waltap_lag_seconds From the write at the source to the acknowledgement by the target, of the latest record.
# TYPE waltap_lag_seconds gauge
waltap_lag_seconds{connector="orders-source"} 1.234
# HELP waltap_last_record_timestamp_seconds Write time of the latest record, seconds since 1970.
# TYPE waltap_last_record_timestamp_seconds gauge
waltap_last_record_timestamp_seconds{connector="orders-source"} 1.7900000005e+09
# HELP waltap_late_records_total Changes with a write time below the watermark, less its margin, that came after it was published.
# TYPE waltap_late_records_total counter
waltap_late_records_total{connector="orders-copy"} 0
waltap_late_records_total{connector="orders-source"} 0
# HELP waltap_looped_changes_total Changes left out because they came from the target.
# TYPE waltap_looped_changes_total counter
waltap_looped_changes_total{connector="orders-copy"} 0
waltap_looped_changes_total{connector="orders-source"} 0
# HELP waltap_records_total Records acknowledged by the target.
# TYPE waltap_records_total counter
waltap_records_total{connector="orders-copy"} 0
waltap_records_total{connector="orders-source"} 120
# HELP waltap_replayed_edits_total WAL edits that HBase shipped again.
# TYPE waltap_replayed_edits_total counter
waltap_replayed_edits_total{connector="orders-copy"} 0
waltap_replayed_edits_total{connector="orders-source"} 0
# HELP waltap_retries_total Attempts that failed and were repeated.
# TYPE waltap_retries_total counter
waltap_retries_total{connector="orders-copy"} 0
waltap_retries_total{connector="orders-source"} 2
# HELP waltap_schema_changes_total Tables that a source has published anew because they were altered; tables that a sink has created or altered at its target.
# TYPE waltap_schema_changes_total counter
waltap_schema_changes_total{connector="orders-copy"} 0
waltap_schema_changes_total{connector="orders-source"} 0
# HELP waltap_skipped_changes_total Changes left out because they were written after the end time.
# TYPE waltap_skipped_changes_total counter
waltap_skipped_changes_total{connector="orders-copy"} 0
waltap_skipped_changes_total{connector="orders-source"} 0
# HELP waltap_snapshot_bytes_total Bytes the scan has read.
# TYPE waltap_snapshot_bytes_total counter
waltap_snapshot_bytes_total{connector="orders-source"} 5000
# HELP waltap_snapshot_reread_rows_total Rows the scan has read once more, as they were not acknowledged.
# TYPE waltap_snapshot_reread_rows_total counter
waltap_snapshot_reread_rows_total{connector="orders-source"} 0
# HELP waltap_snapshot_rows_total Rows the scan has read.
# TYPE waltap_snapshot_rows_total counter
waltap_snapshot_rows_total{connector="orders-source"} 120034
# HELP waltap_snapshot_seconds_left Seconds that the scan is likely to take yet; 0: not known, or complete.
# TYPE waltap_snapshot_seconds_left gauge
waltap_snapshot_seconds_left{connector="orders-source"} 0
# HELP waltap_snapshot_shards Parts of the tables to scan.
# TYPE waltap_snapshot_shards gauge
waltap_snapshot_shards{connector="orders-source"} 8
# HELP waltap_snapshot_shards_done Parts of the tables that are scanned.
# TYPE waltap_snapshot_shards_done gauge
waltap_snapshot_shards_done{connector="orders-source"} 3
# HELP waltap_split_changes_total Changes that were over their topic's limit and went in several records.
# TYPE waltap_split_changes_total counter
waltap_split_changes_total{connector="orders-copy"} 0
waltap_split_changes_total{connector="orders-source"} 5
# HELP waltap_superseded_cells_total Cells left out of late replays, as newer ones had been applied.
# TYPE waltap_superseded_cells_total counter
waltap_superseded_cells_total{connector="orders-copy"} 0
waltap_superseded_cells_total{connector="orders-source"} 0
# HELP waltap_table_bytes_total Bytes of the keys and values of these records.
# TYPE waltap_table_bytes_total counter
waltap_table_bytes_total{connector="orders-source",table="default:items"} 0
waltap_table_bytes_total{connector="orders-source",table="default:orders"} 4000
# HELP waltap_table_cells_total Cells of these records.
# TYPE waltap_table_cells_total counter
waltap_table_cells_total{connector="orders-source",table="default:items"} 0
waltap_table_cells_total{connector="orders-source",table="default:orders"} 300
# HELP waltap_table_last_record_timestamp_seconds Write time of the table's latest record, seconds since 1970.
# TYPE waltap_table_last_record_timestamp_seconds gauge
waltap_table_last_record_timestamp_seconds{connector="orders-source",table="default:orders"} 1.79e+09
# HELP waltap_table_records_total Records of the table acknowledged by the target.
# TYPE waltap_table_records_total counter
waltap_table_records_total{connector="orders-source",table="default:items"} 0
waltap_table_records_total{connector="orders-source",table="default:orders"} 100
# HELP waltap_table_snapshot_rows_total Rows of the table the scan has read.
# TYPE waltap_table_snapshot_rows_total counter
waltap_table_snapshot_rows_total{connector="orders-source",table="default:items"} 0
waltap_table_snapshot_rows_total{connector="orders-source",table="default:orders"} 99
# HELP waltap_wal_markers_total Markers in the WAL that carry no data.
# TYPE waltap_wal_markers_total counter
waltap_wal_markers_total{connector="orders-copy"} 0
waltap_wal_markers_total{connector="orders-source"} 0
`
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(NewCollector(example())); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&got, f); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(strings.TrimLeft(want, "\n"), got.String()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}

func TestMetricsEndpoint(t *testing.T) {
	extra := prometheus.NewCounter(prometheus.CounterOpts{Name: "waltap_extra_total", Help: "Of another package."})
	code, contentType, body := get(t, handler(t, example(), extra), "/metrics")
	if code != http.StatusOK || !strings.HasPrefix(contentType, "text/plain") {
		t.Fatalf("%d %s", code, contentType)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatalf("parse /metrics: %v", err)
	}
	for _, name := range []string{"waltap_records_total", "waltap_table_records_total", "waltap_extra_total", "go_goroutines"} {
		if families[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	allowed := map[string]bool{"connector": true, "task": true, "table": true}
	for name, family := range families {
		if !strings.HasPrefix(name, "waltap_") {
			continue
		}
		for _, m := range family.Metric {
			for _, l := range m.Label {
				if !allowed[l.GetName()] {
					t.Errorf("%s has the label %s", name, l.GetName())
				}
			}
		}
	}
}

func TestMetricTwice(t *testing.T) {
	p := example()
	_, err := NewHandler(p, NewCollector(p))
	var twice prometheus.AlreadyRegisteredError
	if !errors.As(err, &twice) || !strings.HasPrefix(err.Error(), "register metrics: ") {
		t.Errorf("%v", err)
	}
}

func TestHealth(t *testing.T) {
	p := example()
	p.Connectors[0].Fail(errors.New("gone"))
	if code, _, body := get(t, handler(t, p), "/healthz"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("%d %q: a failed connector does not make the process unhealthy", code, body)
	}
}

func TestReadiness(t *testing.T) {
	p := example()
	h := handler(t, p)
	code, contentType, body := get(t, h, "/readyz")
	const ready = `{"ready":true,"connectors":[{"name":"orders-source","state":"SNAPSHOT","phase":"scanning default:orders"},{"name":"orders-copy","state":"RUNNING"}]}`
	if code != http.StatusOK || contentType != "application/json" || compact(t, body) != ready {
		t.Errorf("%d %s %s\nwant %s", code, contentType, compact(t, body), ready)
	}
	p.Connectors[1].Fail(errors.New("open cluster: no route"))
	const failed = `{"ready":false,"connectors":[{"name":"orders-source","state":"SNAPSHOT","phase":"scanning default:orders"},{"name":"orders-copy","state":"FAILED","error":"open cluster: no route"}]}`
	if code, _, body := get(t, h, "/readyz"); code != http.StatusServiceUnavailable || compact(t, body) != failed {
		t.Errorf("%d %s\nwant %s", code, compact(t, body), failed)
	}
	if code, _, body := get(t, handler(t, &Process{}), "/readyz"); code != http.StatusServiceUnavailable || compact(t, body) != `{"ready":false,"connectors":[]}` {
		t.Errorf("no connectors: %d %s", code, body)
	}
}

func TestStatusEndpoint(t *testing.T) {
	p := example()
	code, _, body := get(t, handler(t, p), "/status")
	var got ProcessView
	if err := json.Unmarshal([]byte(body), &got); err != nil || code != http.StatusOK {
		t.Fatalf("%d %v", code, err)
	}
	if d := cmp.Diff(p.View(), got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	for _, part := range []string{`"lagMs": 1234`, `"shardsTotal": 8`, `"lastRecord": "2026-09-21T14:13:20.5Z"`, `"name": "default:orders"`, `"tables": []`} {
		if !strings.Contains(body, part) {
			t.Errorf("no %s in %s", part, body)
		}
	}
}

func TestOtherRequests(t *testing.T) {
	h := handler(t, example())
	if code, _, _ := get(t, h, "/other"); code != http.StatusNotFound {
		t.Errorf("/other: %d", code)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/status", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST /status: %d", w.Code)
	}
}

func compact(t *testing.T, body string) string {
	t.Helper()
	var v readiness
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
