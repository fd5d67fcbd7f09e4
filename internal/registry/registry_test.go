package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const schemaText = `{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}`

// fake answers as a registry does. Its refusals are those of Apicurio 3.0.9 and Confluent 7.
type fake struct {
	*testing.T
	asked []string
	down  atomic.Int32 // answers with 503 so many times
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		f.Error(err)
	}
	f.asked = append(f.asked, r.Method+" "+r.URL.EscapedPath())
	if f.down.Add(-1) >= 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	answer := func(status int, text string) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		io.WriteString(w, text)
	}
	if user, password, ok := r.BasicAuth(); r.URL.Path == "/schemas/ids/50" && (!ok || user != "waltap" || password != "se:cret") {
		answer(http.StatusUnauthorized, "")
		return
	}
	if r.URL.Path == "/schemas/ids/51" && r.Header.Get("Authorization") != "Bearer token" {
		answer(http.StatusForbidden, "<html>no</html>")
		return
	}
	switch r.URL.Path {
	case "/subjects/p.default.t-value/versions":
		var in map[string]string
		if err := json.Unmarshal(body, &in); err != nil || in["schema"] != schemaText || r.Header.Get("Content-Type") != contentType {
			f.Errorf("asked with %s (%s)", body, r.Header)
		}
		answer(http.StatusOK, `{"id":7}`)
	case "/subjects/a b/versions":
		answer(http.StatusOK, `{"id":8}`)
	case "/subjects/refused-value/versions":
		answer(http.StatusConflict, `{"message":"Incompatible artifact: t-value [AVRO], num of incompatible diffs: {1}, list of diff types: [b at /fields/0]","error_code":409}`)
	case "/subjects/refused-value":
		answer(http.StatusNotFound, `{"error_code":40403,"message":"Schema not found"}`)
	case "/subjects/odd/versions":
		answer(http.StatusOK, `{}`)
	case "/subjects/page/versions":
		answer(http.StatusOK, `<html>`)
	case "/schemas/ids/7", "/schemas/ids/50", "/schemas/ids/51":
		out, err := json.Marshal(map[string]any{"schema": schemaText, "schemaType": "AVRO", "references": []string{}})
		if err != nil {
			f.Error(err)
		}
		answer(http.StatusOK, string(out))
	case "/schemas/ids/9":
		answer(http.StatusOK, `{"schema":"{}","schemaType":"JSON"}`)
	case "/schemas/ids/10":
		answer(http.StatusOK, `{"schema":"{}","references":[{"name":"x"}]}`)
	default:
		answer(http.StatusNotFound, `{"error_code":40403,"message":"Schema not found"}`)
	}
}

func serve(t *testing.T, cfg Config) (*fake, *httptest.Server, *Client) {
	t.Helper()
	f := &fake{T: t}
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	cfg.URLs = append(cfg.URLs, s.URL+"/")
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return f, s, c
}

func TestRegisterAsksOnce(t *testing.T) {
	f, _, c := serve(t, Config{})
	for range 2 {
		if id, err := c.Register(t.Context(), "p.default.t-value", schemaText); id != 7 || err != nil {
			t.Fatalf("%d, %v", id, err)
		}
	}
	if id, err := c.Register(t.Context(), "a b", schemaText); id != 8 || err != nil {
		t.Fatalf("%d, %v", id, err)
	}
	if got := fmt.Sprint(f.asked); got != "[POST /subjects/p.default.t-value/versions POST /subjects/a%20b/versions]" {
		t.Error(got)
	}
	if text, err := c.Schema(t.Context(), 7); text != schemaText || err != nil {
		t.Errorf("%s, %v", text, err)
	}
}

func TestRefusals(t *testing.T) {
	_, s, c := serve(t, Config{})
	at := "schema registry: POST " + s.URL
	for _, tc := range []struct {
		call   func(context.Context) error
		status int
		want   string
	}{
		{register(c, "refused-value"), 409, at + "/subjects/refused-value/versions: 409: Incompatible artifact: t-value [AVRO], num of incompatible diffs: {1}, list of diff types: [b at /fields/0]"},
		{func(ctx context.Context) error { _, err := c.Lookup(ctx, "refused-value", schemaText); return err }, 404, at + "/subjects/refused-value: 404 (code 40403): Schema not found"},
		{register(c, "odd"), 0, "schema registry: the answer of " + s.URL + " holds no id"},
		{register(c, "page"), 200, at + "/subjects/page/versions: 200: the answer is no JSON: is this a schema registry?"},
		{schemaOf(c, 9), 200, "schema registry: schema 9 is of type JSON, not AVRO"},
		{schemaOf(c, 10), 200, "schema registry: schema 10 refers to other schemas, which waltap's never does"},
		{schemaOf(c, 11), 404, "schema registry: GET " + s.URL + "/schemas/ids/11: 404 (code 40403): Schema not found"},
		{schemaOf(c, 50), 401, "schema registry: GET " + s.URL + "/schemas/ids/50: 401: Unauthorized"},
		{schemaOf(c, 51), 403, "schema registry: GET " + s.URL + "/schemas/ids/51: 403: Forbidden"},
	} {
		err := tc.call(t.Context())
		if err == nil || err.Error() != tc.want || Status(err) != tc.status || Retriable(err) {
			t.Errorf("%v (status %d, retriable %v)\nwant %s", err, Status(err), Retriable(err), tc.want)
		}
	}
}

func register(c *Client, subject string) func(context.Context) error {
	return func(ctx context.Context) error { _, err := c.Register(ctx, subject, schemaText); return err }
}

func schemaOf(c *Client, id uint32) func(context.Context) error {
	return func(ctx context.Context) error { _, err := c.Schema(ctx, id); return err }
}

func TestAuthentication(t *testing.T) {
	for _, cfg := range []Config{{User: "waltap", Password: "se:cret"}, {Token: "token"}} {
		_, _, c := serve(t, cfg)
		id := uint32(50)
		if cfg.Token != "" {
			id = 51
		}
		if text, err := c.Schema(t.Context(), id); text != schemaText || err != nil {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

func TestWrongURLs(t *testing.T) {
	for _, u := range []string{"registry:8081", "ftp://registry", "http://", "://x", "http://u:secret@ho st/", "http://u:secret@host/"} {
		_, err := New(Config{URLs: []string{u}})
		if err == nil || !strings.Contains(err.Error(), "is not a URL such as http://registry:8081") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", u, err)
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("no URL is taken")
	}
}

func TestTheNextURLAnswers(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	f, _, c := serve(t, Config{URLs: []string{gone.URL}})
	for range 2 {
		if _, err := c.Schema(t.Context(), 7); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.asked) != 2 {
		t.Errorf("asked %v", f.asked)
	}
}

// TestADownRegistryIsWaitedForAtTheStart, and only then.
func TestADownRegistryIsWaitedForAtTheStart(t *testing.T) {
	f, _, c := serve(t, Config{Wait: time.Minute})
	f.down.Store(3)
	if _, err := c.Schema(t.Context(), 7); err != nil || len(f.asked) != 4 {
		t.Fatalf("%v after %v", err, f.asked)
	}
	f.down.Store(1)
	if _, err := c.Schema(t.Context(), 7); !Retriable(err) || Status(err) != 503 || len(f.asked) != 5 {
		t.Errorf("%v after %v, want its 503 at once", err, f.asked)
	}
	if _, err := c.Schema(t.Context(), 7); err != nil {
		t.Error(err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTheWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{URLs: []string{"http://registry:8081"}, Wait: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		tries := 0
		refused := errors.New("connection refused")
		c.http.Transport = roundTrip(func(*http.Request) (*http.Response, error) { tries++; return nil, refused })
		start := time.Now()
		_, err = c.Schema(t.Context(), 7)
		if !errors.Is(err, refused) || !Retriable(err) || !strings.HasPrefix(err.Error(), "schema registry: http://registry:8081 cannot be reached: ") {
			t.Errorf("%v", err)
		}
		if took := time.Since(start); took > 20*time.Second || took < 17*time.Second || tries < 10 {
			t.Errorf("%d tries in %s", tries, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start = time.Now()
		if _, err = c.Schema(ctx, 7); !errors.Is(err, refused) || time.Since(start) != 3*time.Second {
			t.Errorf("%v after %s, want the end with the context", err, time.Since(start))
		}
	})
}

func TestCertificates(t *testing.T) {
	s := httptest.NewTLSServer(&fake{T: t})
	defer s.Close()
	s.Config.ErrorLog = nil
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	for _, tc := range []struct {
		tls  *tls.Config
		want bool
	}{{nil, false}, {&tls.Config{RootCAs: roots}, true}, {&tls.Config{RootCAs: x509.NewCertPool()}, false}} {
		c, err := New(Config{URLs: []string{s.URL}, TLS: tc.tls})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Schema(t.Context(), 7)
		if (err == nil) != tc.want || Retriable(err) {
			t.Errorf("%v (retriable %v), want success %v; no certificate becomes trusted by asking again", err, Retriable(err), tc.want)
		}
		c.Close()
	}
}
