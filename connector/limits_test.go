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
	limits := newLimits(&config.Process{Connectors: []config.Connector{
		{Name: "a", Source: &config.Source{Snapshot: config.Snapshot{MaxRowsPerSecond: 5, MaxBytesPerSecond: 1000}}},
		{Name: "copy", Sink: &config.Sink{}},
	}})
	h := limitsHandler(func(name string) *scan.Limiter { return limits[name] }, http.NotFoundHandler())
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
		if got := limits["a"].Limits(); got != tc.want {
			t.Errorf("%s %s %s: limits %+v, want %+v", tc.method, tc.connector, tc.body, got, tc.want)
		}
	}
}
