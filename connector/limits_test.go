package connector

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/source/scan"
)

func TestLimitsOverHTTP(t *testing.T) {
	limits := newLimiters(&config.Process{Connectors: []config.Connector{
		{Name: "a", Source: &config.Source{Snapshot: config.Snapshot{MaxRowsPerSecond: 5, MaxBytesPerSecond: 1000}}},
		{Name: "copy", Sink: &config.Sink{}},
	}})
	h := limitsHandler(limits.find, http.NotFoundHandler())
	for _, tc := range []struct {
		method, connector, body string
		code                    int
		want                    scan.Limits // of a, after it
	}{
		{"GET", "a", "", 200, scan.Limits{RowsPerSecond: 5, BytesPerSecond: 1000}},
		{"PUT", "a", `{"rowsPerSecond": 7}`, 200, scan.Limits{RowsPerSecond: 7, BytesPerSecond: 1000}},
		{"PUT", "a", `{"rowsPerSecond": 0, "bytesPerSecond": 9}`, 200, scan.Limits{BytesPerSecond: 9}},
		{"PUT", "a", `{"rowsPerSecond": -1}`, 400, scan.Limits{BytesPerSecond: 9}},
		{"PUT", "a", `{"rows": 1}`, 400, scan.Limits{BytesPerSecond: 9}},
		{"PUT", "a", ``, 400, scan.Limits{BytesPerSecond: 9}},
		{"PUT", "copy", `{"rowsPerSecond": 1}`, 404, scan.Limits{BytesPerSecond: 9}},
		{"POST", "a", `{"rowsPerSecond": 1}`, 405, scan.Limits{BytesPerSecond: 9}},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(tc.method, "/v1/connectors/"+tc.connector+"/snapshot/limits", strings.NewReader(tc.body)))
		if w.Code != tc.code && !(tc.code == 405 && w.Code == 404) { // POST falls to the other handler
			t.Errorf("%s %s %s: %d %s, want %d", tc.method, tc.connector, tc.body, w.Code, w.Body, tc.code)
		}
		if got := limits.find("a").Limits(); got != tc.want {
			t.Errorf("%s %s %s: limits %+v, want %+v", tc.method, tc.connector, tc.body, got, tc.want)
		}
	}
}

// A limit that was set holds before the source starts and over its restarts, not for one that is configured anew.
func TestLimitsOutliveARestart(t *testing.T) {
	c := config.Connector{Name: "a", Source: &config.Source{Snapshot: config.Snapshot{MaxRowsPerSecond: 5}}}
	limits := newLimiters(&config.Process{Connectors: []config.Connector{c}})
	configured, set := scan.Limits{RowsPerSecond: 5}, scan.Limits{BytesPerSecond: 9}
	limits.find("a").Set(set)
	for _, start := range []struct {
		revision int64
		want     scan.Limits
	}{{1, set}, {1, set}, {2, configured}, {2, configured}} {
		if got := limits.starts(&c, start.revision).Limits(); got != start.want {
			t.Errorf("revision %d starts with %+v, want %+v", start.revision, got, start.want)
		}
		if got := limits.find("a").Limits(); got != start.want {
			t.Errorf("revision %d is asked for and has %+v, want %+v", start.revision, got, start.want)
		}
	}
	b := config.Connector{Name: "b", Source: c.Source}
	if limits.find("b") != nil {
		t.Error("a connector that nobody has named has limits")
	}
	if got := limits.starts(&b, 7).Limits(); got != configured {
		t.Errorf("a new connector starts with %+v, want %+v", got, configured)
	}
}
