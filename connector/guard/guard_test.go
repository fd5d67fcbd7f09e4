package guard

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/internal/secret"
)

// TestProbesSayNoMore: what a probe is answered with is for those who have authenticated.
func TestProbesSayNoMore(t *testing.T) {
	c := &config.REST{Viewer: config.Credentials{Token: secret.New("a-token-of-a-viewer")}}
	h := New(c, slog.New(slog.DiscardHandler), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		w.Write([]byte("connector orders has failed"))
	}))
	ask := func(path, token string) (int, string) {
		r, w := httptest.NewRequest("GET", path, nil), httptest.NewRecorder()
		if token != "" {
			r.Header.Set("Authorization", "bearer "+token)
		}
		h.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	if code, body := ask("/readyz", ""); code != 503 || body != "" {
		t.Error(code, body)
	}
	if code, body := ask("/readyz", "a-token-of-a-viewer"); code != 503 || body == "" {
		t.Error(code, body)
	}
	if code, _ := ask("/readyz/", ""); code != 401 {
		t.Error(code)
	}
	if code, _ := ask("/status", "a-token-of-a-viewe"); code != 401 {
		t.Error(code)
	}
}

func TestOpenPorts(t *testing.T) {
	for _, tc := range []struct {
		ip   string
		auth bool
		open bool
	}{{"127.0.0.1", false, false}, {"::1", false, false}, {"0.0.0.0", false, true}, {"10.0.0.1", false, true}, {"10.0.0.1", true, false}} {
		c := new(config.REST)
		if tc.auth {
			c.Admin.Token = secret.New("x")
		}
		if got := Open(c, &net.TCPAddr{IP: net.ParseIP(tc.ip)}); got != tc.open {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}
