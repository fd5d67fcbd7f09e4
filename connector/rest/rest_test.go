package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/connector/herder/herdertest"
	"github.com/waltap/waltap/connector/rest/resttest"
	"github.com/waltap/waltap/internal/secret"
)

const (
	goodSource = `"connector.class":"HBaseSource","tasks.max":"1","hbase.zookeeper.quorum":"zk","topic.prefix":"p","table.include.list":"t"`
	goodSink   = `"connector.class":"HBaseSink","tasks.max":"1","hbase.zookeeper.quorum":"zk","topics":"t"`
)

// port is a server of the API with a memory behind it.
type port struct {
	*httptest.Server
	memory *herdertest.Memory
	log    *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func open(t *testing.T, r config.REST) *port {
	t.Helper()
	p := &port{log: new(lockedBuffer)}
	process := &config.Process{REST: r}
	if r.MaxBody == 0 {
		process.REST.MaxBody = 1 << 20
	}
	loggers := herder.NewLoggers(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug}), slog.LevelInfo)
	p.memory = herdertest.New(process, loggers)
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "names of connectors") })
	h, err := New(Config{Herder: p.memory, Process: process, Loggers: loggers, Next: next, Log: loggers.Logger("waltap.rest"),
		Migrations: func(context.Context) ([]Migration, error) {
			return []Migration{{Name: "to-2.6", Waves: []Wave{{Name: "all"}}}}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	p.Server = httptest.NewServer(h)
	t.Cleanup(p.Close)
	return p
}

func (p *port) do(t *testing.T, method, path, body string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func side(url string) resttest.Side {
	return resttest.Side{URL: url, Vars: map[string]string{
		"source": "{" + goodSource + "}", "source+number": `{` + goodSource + `,"snapshot.max.threads":3}`, "source+name": `{` + goodSource + `,"name":"v"}`,
		"sink": "{" + goodSink + "}", "sourceClass": "HBaseSource", "sinkClass": "HBaseSink", "topic": "t",
		"partition": `{"table":"default:t"}`, "offset": `{"epoch":1}`, "badPartition": `{"nothing":"x"}`, "badOffset": `{"epoch":"x"}`,
	}}
}

// recorded is what a distributed worker of Kafka Connect 4.3.1 has answered to resttest.Script, with FileStreamSource and
// FileStreamSink. TestRESTAnswersAsConnect of package e2e compares with a live one, and writes the file with -update.
func recorded(t *testing.T) []resttest.Answer {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "connect-4.3.1.json"))
	if err != nil {
		t.Fatal(err)
	}
	answers, err := resttest.Read(b, resttest.Script)
	if err != nil {
		t.Fatal(err)
	}
	return answers
}

func TestAnswersAsConnectDid(t *testing.T) {
	p := open(t, config.REST{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got, err := resttest.Replay(ctx, side(p.URL), resttest.Script)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range resttest.Diff(resttest.Script, recorded(t), got) {
		t.Error(d)
	}
}

// TestDiffFindsAWrongAnswer: one thing wrong in one answer is found, each kind of it.
func TestDiffFindsAWrongAnswer(t *testing.T) {
	want := recorded(t)
	if d := resttest.Diff(resttest.Script, want, want); len(d) > 0 {
		t.Fatalf("the same answers differ: %v", d)
	}
	at := func(name string) int {
		i := slices.IndexFunc(resttest.Script, func(s resttest.Step) bool { return s.Name == name })
		if i < 0 {
			t.Fatalf("no step %q", name)
		}
		return i
	}
	for _, tc := range []struct {
		step  string
		wrong func(*resttest.Answer)
		want  string
	}{
		{"create: again", func(a *resttest.Answer) { a.Code = 400 }, "status code 400, want 409"},
		{"create: create", func(a *resttest.Answer) { a.Location = false }, "no Location"},
		{"create: again", func(a *resttest.Answer) { a.ContentType = "text/html" }, "content type"},
		{"create: again", func(a *resttest.Answer) { a.Body = json.RawMessage(`{"error_code":409}`) }, `field "message" is missing`},
		{"create: again", func(a *resttest.Answer) { a.Body = json.RawMessage(`{"error_code":"409","message":""}`) }, "error_code: is a text, want a number"},
		{"create: again", func(a *resttest.Answer) { a.Body = json.RawMessage(`{"error_code":400,"message":""}`) }, "error_code: is 400, want 409"},
		{"read: status", func(a *resttest.Answer) { a.Body = bytes.ReplaceAll(a.Body, []byte("worker_id"), []byte("worker")) }, `field "worker_id" is missing`},
		{"states: paused", func(a *resttest.Answer) { a.Body = bytes.ReplaceAll(a.Body, []byte("PAUSED"), []byte("RUNNING")) }, "is RUNNING, want PAUSED"},
		{"read: list", func(a *resttest.Answer) { a.Body = json.RawMessage(`["one"]`) }, "is [one]"},
		{"plugins: config", func(a *resttest.Answer) { a.Body = bytes.ReplaceAll(a.Body, []byte("display_name"), []byte("name2")) }, `field "display_name" is missing`},
		{"loggers: loggers", func(a *resttest.Answer) { a.Body = json.RawMessage(`{"root":{"level":"INFO"}}`) }, `field "last_modified" is missing`},
	} {
		got := slices.Clone(want)
		tc.wrong(&got[at(tc.step)])
		if d := resttest.Diff(resttest.Script, want, got); len(d) == 0 || !strings.Contains(strings.Join(d, "\n"), tc.want) {
			t.Errorf("%s: found %q, want %q", tc.step, d, tc.want)
		}
	}
}

// TestOwnRoutes: names with a slash, and what Connect does not have.
func TestOwnRoutes(t *testing.T) {
	p := open(t, config.REST{})
	json := []string{"Content-Type", "application/json"}
	if code, body := p.do(t, "POST", "/connectors", `{"name":"a/b c","config":{`+goodSource+`}}`, json...); code != 201 {
		t.Fatal(code, body)
	}
	for _, tc := range []struct {
		method, path, body string
		code               int
		want               string
	}{
		{"GET", "/v1/connectors/a%2Fb%20c", "", 200, `"name":"a/b c"`},
		{"GET", "/v1/connectors/a%2Fb%20c/status", "", 200, `"peer":{"id":"waltap_a/b c","state":"enabled"}`},
		{"PATCH", "/v1/connectors/a%2Fb%20c/config", `{"tasks.max":"2"}`, 200, `"tasks.max":"2"`},
		{"GET", "/v1/connectors/a%2Fb%20c/progress", "", 200, `"worker_id"`},
		{"GET", "/v1/connectors/none/progress", "", 404, `"error_code":404`},
		{"POST", "/v1/connectors/a%2Fb%20c/signals", `{"type":"set-rate","data":{"rows-per-second":5}}`, 202, ""},
		{"POST", "/v1/connectors/a%2Fb%20c/signals", `{"type":"set-rate","data":{"rows-per-second":-5}}`, 400, "0 is no limit"},
		{"POST", "/v1/connectors/a%2Fb%20c/signals", `{"type":"execute-snapshot","data":{"type":"incremental","data-collections":["default:t"]}}`, 202, ""},
		{"POST", "/v1/connectors/a%2Fb%20c/signals", `{"type":"execute-snapshot"}`, 400, "data is missing"},
		{"POST", "/v1/connectors/a%2Fb%20c/signals", `{"type":"log"}`, 400, "is unknown"},
		{"GET", "/v1/migrations", "", 200, `"name":"to-2.6"`},
		{"GET", "/v1/migrations/to-2.6", "", 200, `"name":"all"`},
		{"GET", "/v1/migrations/none", "", 404, `"error_code":404`},
		{"GET", "/openapi.json", "", 200, `"openapi": "3.0.3"`},
		{"GET", "/v1/nothing", "", 404, `"error_code":404`},
		{"GET", "/status", "", 200, "names of connectors"},
		{"DELETE", "/v1/connectors/a%2Fb%20c", "", 204, ""},
	} {
		code, body := p.do(t, tc.method, tc.path, tc.body, json...)
		if code != tc.code || !strings.Contains(body, tc.want) {
			t.Errorf("%s %s: %d %s, want %d %s", tc.method, tc.path, code, body, tc.code, tc.want)
		}
	}
}

// TestErrorsOfTheHerder: a rebalance is 409, a herder that starts 503, what it does not know 500 and logged.
func TestErrorsOfTheHerder(t *testing.T) {
	p := open(t, config.REST{})
	for _, tc := range []struct {
		err  error
		code int
	}{
		{herder.ErrRebalancing(), 409}, {herder.Errorf(herder.NotReady, "it starts"), 503}, {herder.ErrNotStopped("x"), 400}, {io.ErrUnexpectedEOF, 500},
		{context.DeadlineExceeded, 504},
	} {
		p.memory.Fail(tc.err)
		code, body := p.do(t, "GET", "/connectors/x", "")
		if want := fmt.Sprintf(`"error_code":%d,`, tc.code); code != tc.code || !strings.Contains(body, want) {
			t.Errorf("%v: %d %s, want %d", tc.err, code, body, tc.code)
		}
	}
	if !strings.Contains(p.log.String(), io.ErrUnexpectedEOF.Error()) {
		t.Error("an internal error is not in the log")
	}
	p.memory.Fail(herder.Errorf(herder.NotReady, "it starts"))
	if code, body := p.do(t, "GET", "/health", ""); code != 503 || !strings.Contains(body, "it starts") {
		t.Error(code, body)
	}
}

// sentry are texts that may be in no answer and no log.
var sentry = []string{"s3cret-registry", "s3cret-literal", "s3cret-admin", "s3cret-viewer", "s3cret-elsewhere", "s3cret-env"}

func TestWhoMayDoWhat(t *testing.T) {
	p := open(t, config.REST{MaxBody: 2000,
		Admin:  config.Credentials{UserInfo: secret.New("admin:s3cret-admin"), Token: secret.New("s3cret-admin-token")},
		Viewer: config.Credentials{UserInfo: secret.New("viewer:s3cret-viewer")}})
	basic := func(user, password string) []string {
		r := httptest.NewRequest("GET", "/", nil)
		r.SetBasicAuth(user, password)
		return []string{"Authorization", r.Header.Get("Authorization"), "Content-Type", "application/json"}
	}
	bearer := func(token string) []string {
		return []string{"Authorization", "Bearer " + token, "Content-Type", "application/json"}
	}
	create := `{"name":"x","config":{` + goodSource + `}}`
	for _, tc := range []struct {
		who          string
		header       []string
		method, path string
		body         string
		code         int
	}{
		{"nobody", nil, "GET", "/connectors", "", 401},
		{"nobody", nil, "POST", "/connectors", create, 401},
		{"nobody", nil, "GET", "/status", "", 401},
		{"nobody", nil, "GET", "/metrics", "", 401},
		{"nobody", nil, "GET", "/openapi.json", "", 401},
		{"nobody", nil, "GET", "/no/such/path", "", 401},
		{"nobody", nil, "OPTIONS", "/connectors", "", 401},
		{"nobody", nil, "GET", "/healthz", "", 200},
		{"nobody", nil, "GET", "/readyz", "", 200},
		{"wrong password", basic("admin", "wrong"), "GET", "/connectors", "", 401},
		{"wrong user", basic("root", "s3cret-admin"), "GET", "/connectors", "", 401},
		{"no password", basic("admin", ""), "GET", "/connectors", "", 401},
		{"nothing", basic("", ""), "GET", "/connectors", "", 401},
		{"wrong token", bearer("x"), "GET", "/connectors", "", 401},
		{"empty token", bearer(""), "GET", "/connectors", "", 401},
		{"password as a token", bearer("admin:s3cret-admin"), "GET", "/connectors", "", 401},
		{"viewer", basic("viewer", "s3cret-viewer"), "GET", "/connectors", "", 200},
		{"viewer", basic("viewer", "s3cret-viewer"), "HEAD", "/connectors", "", 200},
		{"viewer", basic("viewer", "s3cret-viewer"), "POST", "/connectors", create, 403},
		{"viewer", basic("viewer", "s3cret-viewer"), "PUT", "/connectors/x/pause", "", 403},
		{"viewer", basic("viewer", "s3cret-viewer"), "DELETE", "/connectors/x", "", 403},
		{"viewer", basic("viewer", "s3cret-viewer"), "PATCH", "/connectors/x/config", "{}", 403},
		{"viewer", basic("viewer", "s3cret-viewer"), "PUT", "/connector-plugins/HBaseSource/config/validate", "{}", 403},
		{"viewer", basic("viewer", "s3cret-viewer"), "PUT", "/admin/loggers/root", `{"level":"DEBUG"}`, 403},
		{"viewer", basic("viewer", "s3cret-viewer"), "POST", "/v1/connectors/x/signals", "{}", 403},
		{"viewer", basic("viewer", "s3cret-viewer"), "GET", "/debug/pprof/heap", "", 403},
		{"admin", basic("admin", "s3cret-admin"), "POST", "/connectors", create, 201},
		{"admin", bearer("s3cret-admin-token"), "PUT", "/connectors/x/pause", "", 202},
		{"admin, too large", bearer("s3cret-admin-token"), "POST", "/connectors", `{"name":"y","config":{"a":"` + strings.Repeat("x", 3000) + `"}}`, 413},
		{"admin, too large by blanks", bearer("s3cret-admin-token"), "POST", "/connectors", create + strings.Repeat(" ", 3000), 413},
	} {
		code, body := p.do(t, tc.method, tc.path, tc.body, tc.header...)
		if code != tc.code {
			t.Errorf("%s: %s %s: %d %s, want %d", tc.who, tc.method, tc.path, code, body, tc.code)
		}
		if code >= 400 && !strings.Contains(body, fmt.Sprintf(`"error_code":%d`, code)) {
			t.Errorf("%s: %s %s: the body is %q", tc.who, tc.method, tc.path, body)
		}
		if strings.Contains(body, "names of connectors") {
			t.Errorf("%s: %s %s tells nobody of the connectors", tc.who, tc.method, tc.path)
		}
		for _, s := range sentry {
			if strings.Contains(body, s) {
				t.Errorf("%s: %s %s: a secret is in the answer", tc.who, tc.method, tc.path)
			}
		}
	}
	// A body whose length is not told beforehand.
	req, _ := http.NewRequestWithContext(t.Context(), "POST", p.URL+"/connectors", io.MultiReader(strings.NewReader(create), strings.NewReader(strings.Repeat(" ", 3000))))
	req.Header.Set("Authorization", "Bearer s3cret-admin-token")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 413 {
		t.Errorf("a chunked body that is too large: %d", res.StatusCode)
	}
	for _, s := range sentry {
		if strings.Contains(p.log.String(), s) {
			t.Errorf("a secret is in the log:\n%s", p.log)
		}
	}
}

// TestSitesOfOthers: a page of another site cannot use the browser of who can reach a port without authentication.
func TestSitesOfOthers(t *testing.T) {
	p := open(t, config.REST{})
	if code, _ := p.do(t, "PUT", "/connectors/x/stop", "", "Sec-Fetch-Site", "cross-site"); code != 403 {
		t.Error(code)
	}
	if code, _ := p.do(t, "GET", "/connectors", "", "Sec-Fetch-Site", "cross-site"); code != 200 {
		t.Error(code)
	}
}

// TestNoSecretComesOut sends secrets in every place, and looks for them in every answer and in the log.
func TestNoSecretComesOut(t *testing.T) {
	dir := t.TempDir()
	folder, other := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	for _, d := range []string{folder, other} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write := func(file, text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(folder, "s.properties"), "registry=s3cret-registry\n")
	write(filepath.Join(other, "s.properties"), "registry=s3cret-elsewhere\n")
	write(filepath.Join(other, "token"), "s3cret-elsewhere")
	if err := os.Symlink(filepath.Join(other, "s.properties"), filepath.Join(folder, "link.properties")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("REST_TEST_SECRET", "s3cret-env")
	p := open(t, config.REST{SecretsFolder: folder})
	const registry = `,"value.converter.schema.registry.url":"http://r:8081","value.converter.basic.auth.user.info":`
	header := []string{"Content-Type", "application/json"}
	for i, tc := range []struct {
		keys string
		code int
		want string
	}{
		{registry + `"waltap:${file:` + folder + `/s.properties:registry}"`, 201, ""},
		{registry + `"waltap:${file:` + other + `/s.properties:registry}"`, 400, "rest.secrets.folder"},
		{registry + `"waltap:${file:` + folder + `/../out/s.properties:registry}"`, 400, "rest.secrets.folder"},
		{registry + `"waltap:${file:` + folder + `/link.properties:registry}"`, 400, "rest.secrets.folder"},
		{registry + `"waltap:${directory:` + other + `:token}"`, 400, "rest.secrets.folder"},
		{registry + `"waltap:${env:REST_TEST_SECRET}"`, 400, "rest.secrets.folder"},
		{registry + `"waltap:s3cret-literal"`, 400, "a secret does not stand in the configuration"},
		{`,"hbase.peer.id":"${file:` + folder + `/s.properties:registry}"`, 400, "secrets and certificates only"},
		{`,"hbase.peer.id":"a${file:` + other + `/s.properties:registry}b"`, 400, "secrets and certificates only"},
		{`,"no.such.key":"${file:` + folder + `/s.properties:registry}"`, 400, "secrets and certificates only"},
		{`,"value.converter.bearer.auth.tokens":"s3cret-literal"`, 400, "unknown key"},
	} {
		c := `{` + goodSource + tc.keys + `}`
		name := fmt.Sprintf("c%d", i)
		code, body := p.do(t, "POST", "/connectors", `{"name":"`+name+`","config":`+c+`}`, header...)
		if code != tc.code || !strings.Contains(body, tc.want) {
			t.Errorf("%s: %d %s, want %d", tc.keys, code, body, tc.code)
		}
		all := body
		for _, r := range [][3]string{
			{"PUT", "/connectors/" + name + "/config", c}, {"PATCH", "/connectors/c0/config", `{` + strings.TrimPrefix(tc.keys, ",") + `}`},
			{"PUT", "/connector-plugins/HBaseSource/config/validate", c}, {"GET", "/connectors/" + name, ""}, {"GET", "/connectors?expand=info&expand=status", ""},
			{"GET", "/connectors/" + name + "/tasks", ""}, {"GET", "/connectors/" + name + "/config", ""}, {"GET", "/v1/connectors/" + name + "/progress", ""},
		} {
			code, body := p.do(t, r[0], r[1], r[2], header...)
			if r[0] != "GET" && tc.code == 400 && code < 400 && !strings.Contains(r[1], "validate") {
				t.Errorf("%s %s takes %s: %d %s", r[0], r[1], tc.keys, code, body)
			}
			all += body
		}
		for _, s := range sentry {
			if strings.Contains(all, s) {
				t.Errorf("%s: a secret is in an answer: %s", tc.keys, all)
			}
		}
	}
	for _, s := range sentry {
		if strings.Contains(p.log.String(), s) {
			t.Errorf("a secret is in the log:\n%s", p.log)
		}
	}
	// Without a folder there are no references at all.
	p = open(t, config.REST{})
	code, body := p.do(t, "POST", "/connectors", `{"name":"x","config":{`+goodSource+registry+`"waltap:${file:`+folder+`/s.properties:registry}"}}`, header...)
	if code != 400 || !strings.Contains(body, "set rest.secrets.folder") {
		t.Error(code, body)
	}
}
