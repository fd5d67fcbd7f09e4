package guard

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
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

// TestThePageIsReached: its files are for everybody, who is then asked by the page; the page itself is answered with 401, and the browser asks
// only for what there is.
func TestThePageIsReached(t *testing.T) {
	const basic, bearer = `Basic realm="waltap", charset="UTF-8"`, "Bearer"
	for _, tc := range []struct {
		name      string
		rest      config.REST
		challenge []string
	}{
		{"token", config.REST{Viewer: config.Credentials{Token: secret.New("a-token-of-a-viewer")}}, []string{bearer}},
		{"password", config.REST{Admin: config.Credentials{UserInfo: secret.New("a:b")}}, []string{basic}},
		{"both", config.REST{Admin: config.Credentials{UserInfo: secret.New("a:b")}, Viewer: config.Credentials{Token: secret.New("a-token-of-a-viewer")}}, []string{basic, bearer}},
	} {
		h := New(&tc.rest, slog.New(slog.DiscardHandler), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("If-None-Match") != "" {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			w.Write([]byte("asks for " + RoleOf(r.Context())))
		}))
		ask := func(method, path string, header ...string) *httptest.ResponseRecorder {
			r, w := httptest.NewRequest(method, path, nil), httptest.NewRecorder()
			for i := 0; i+1 < len(header); i += 2 {
				r.Header.Set(header[i], header[i+1])
			}
			h.ServeHTTP(w, r)
			return w
		}
		for _, path := range []string{"/ui/", "/connectors"} {
			if w := ask("GET", path); w.Code != 401 || !slices.Equal(w.Header().Values("WWW-Authenticate"), tc.challenge) || (w.Body.String() == "asks for viewer") != (path == "/ui/") {
				t.Errorf("%s %s: %d %v %s", tc.name, path, w.Code, w.Header(), w.Body)
			}
		}
		if w := ask("GET", "/ui/", "If-None-Match", "x"); w.Code != 401 {
			t.Errorf("%s: a page that the browser has: %d", tc.name, w.Code)
		}
		if w := ask("GET", "/ui/page.js"); w.Code != 200 {
			t.Errorf("%s: a file of the page: %d", tc.name, w.Code)
		}
		for _, path := range []string{"/ui", "/uix", "/x/ui/page.js"} {
			if w := ask("GET", path); w.Code != 401 {
				t.Errorf("%s %s: %d", tc.name, path, w.Code)
			}
		}
		if w := ask("POST", "/ui/page.js"); w.Code != 401 {
			t.Errorf("%s: POST of a file: %d", tc.name, w.Code)
		}
	}
}

// TestOtherSitesAreRefused: a browser sends the user's name and password for pages of other sites, too.
func TestOtherSitesAreRefused(t *testing.T) {
	c := &config.REST{Admin: config.Credentials{UserInfo: secret.New("ann:adm1n")}}
	for _, rest := range []*config.REST{c, {}} {
		h := New(rest, slog.New(slog.DiscardHandler), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if RoleOf(r.Context()) != "admin" {
				t.Error("the role is lost")
			}
		}))
		for _, tc := range []struct {
			method, site, origin string
			code                 int
		}{
			{"PUT", "", "", 200}, // no browser
			{"PUT", "same-origin", "http://worker:8083", 200},
			{"PUT", "same-origin", "https://proxy", 200},
			{"PUT", "none", "", 200},
			{"PUT", "cross-site", "http://evil", 403},
			{"POST", "same-site", "http://other:80", 403},
			{"PUT", "", "http://worker:8083", 200}, // a browser without TLS says no more
			{"POST", "", "http://evil", 403},
			{"POST", "", "http://worker:8084", 403},
			{"POST", "", "null", 403},
			{"GET", "cross-site", "http://evil", 200},
		} {
			r, w := httptest.NewRequest(tc.method, "http://worker:8083/connectors/x/pause", nil), httptest.NewRecorder()
			r.SetBasicAuth("ann", "adm1n")
			for key, value := range map[string]string{"Sec-Fetch-Site": tc.site, "Origin": tc.origin} {
				if value != "" {
					r.Header.Set(key, value)
				}
			}
			if h.ServeHTTP(w, r); w.Code != tc.code {
				t.Errorf("%+v: %d", tc, w.Code)
			}
		}
	}
}
