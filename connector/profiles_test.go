package connector

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestProfilesOverHTTP(t *testing.T) {
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "next") })
	h := profilesHandler(next)
	for _, tc := range []struct {
		method, path string
		code         int
		next         bool
	}{
		{"GET", "/debug/pprof/", 200, false},
		{"GET", "/debug/pprof/heap", 200, false},
		{"GET", "/debug/pprof/allocs", 200, false},
		{"GET", "/debug/pprof/goroutine", 200, false},
		{"GET", "/debug/pprof/profile?seconds=1", 200, false},
		{"GET", "/debug/pprof/cmdline", 200, true},
		{"POST", "/debug/pprof/symbol", 200, true},
		{"GET", "/status", 200, true},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(tc.method, tc.path, nil))
		if w.Code != tc.code || (w.Body.String() == "next") != tc.next || w.Body.Len() == 0 {
			t.Errorf("%s %s: %d, %d bytes, want %d and next %v", tc.method, tc.path, w.Code, w.Body.Len(), tc.code, tc.next)
		}
	}
}
