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
	allowed := map[string]bool{"connector": true, "table": true, "state": true, "version": true, "goversion": true}
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
