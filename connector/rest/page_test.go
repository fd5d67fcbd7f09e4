package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/dlq"
	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/connector/herder/herdertest"
	"github.com/waltap/waltap/connector/samples"
	views "github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/connector/web"
	"github.com/waltap/waltap/internal/deadletter"
	"github.com/waltap/waltap/internal/secret"
)

// pagePort is a port with all that the page asks for.
func pagePort(t *testing.T, r config.REST, letters func(context.Context, string, string, int) (*dlq.Look, error)) (*port, *samples.Keeper) {
	t.Helper()
	p := &port{log: new(lockedBuffer)}
	r.MaxBody = 1 << 20
	process := &config.Process{REST: r}
	loggers := herder.NewLoggers(slog.NewTextHandler(p.log, nil), slog.LevelInfo)
	p.memory = herdertest.New(process, loggers)
	keeper := samples.New(p.memory)
	h, err := New(Config{Herder: p.memory, Process: process, Loggers: loggers, Samples: keeper, DeadLetters: letters, Next: web.New(http.NotFoundHandler()), Log: loggers.Logger("waltap.rest")})
	if err != nil {
		t.Fatal(err)
	}
	p.Server = httptest.NewServer(h)
	t.Cleanup(p.Close)
	return p, keeper
}

func (p *port) read(t *testing.T, path string, code int, into any, header ...string) {
	t.Helper()
	got, body := p.do(t, "GET", path, "", header...)
	if got != code {
		t.Fatalf("%s: %d %s, want %d", path, got, body, code)
	}
	if err := json.Unmarshal([]byte(body), into); err != nil {
		t.Fatalf("%s: %v: %s", path, err, body)
	}
}

func TestSession(t *testing.T) {
	var s sessionBody
	p, _ := pagePort(t, config.REST{}, nil)
	if p.read(t, "/v1/session", 200, &s); s != (sessionBody{"admin", false}) {
		t.Errorf("without authentication: %+v", s)
	}
	p, _ = pagePort(t, config.REST{Admin: config.Credentials{Token: secret.New("a-token-of-admin")}, Viewer: config.Credentials{Token: secret.New("a-token-of-viewer")}}, nil)
	for _, role := range []string{"admin", "viewer"} {
		if p.read(t, "/v1/session", 200, &s, "Authorization", "Bearer a-token-of-"+role); s != (sessionBody{role, true}) {
			t.Errorf("%s: %+v", role, s)
		}
	}
}

// TestOnlyThePageIsPublic: whatever begins like its path, nothing else is reached without credentials.
func TestOnlyThePageIsPublic(t *testing.T) {
	p, _ := pagePort(t, config.REST{Admin: config.Credentials{Token: secret.New("a-token-of-admin")}}, nil)
	p.do(t, "POST", "/connectors", `{"name":"orders","config":{`+goodSink+`}}`, "Content-Type", "application/json", "Authorization", "Bearer a-token-of-admin")
	for path, want := range map[string]int{
		"/ui/": 401, "/ui/page.js": 200, "/ui/../connectors": 404, "/ui/%2e%2e/connectors": 404, "/ui%2F..%2Fconnectors": 404, "/ui/..%2Fconnectors": 404,
		"/ui//connectors": 404, "/connectors": 401, "/v1/session": 401, "/v1/samples": 401, "/v1/../ui/": 401, "//ui/page.js": 401,
	} {
		req, err := http.NewRequest("GET", p.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.URL.Opaque = path // as it is
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != want || strings.Contains(string(body), "orders") && !strings.HasPrefix(path, "/ui/page") {
			t.Errorf("%s: %d %s %v, want %d", path, res.StatusCode, body, err, want)
		}
	}
}

func TestSamples(t *testing.T) {
	p, keeper := pagePort(t, config.REST{}, nil)
	p.do(t, "POST", "/connectors", `{"name":"orders","config":{`+goodSource+`}}`, "Content-Type", "application/json")
	c := views.NewConnector("orders", "HBaseSource")
	p.memory.Say("orders", herder.Progress{WorkerID: "w", At: time.Now().UnixMilli(), Status: c.View()})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { keeper.Run(ctx); close(ended) }()
	defer func() { cancel(); <-ended }()
	var s samplesBody
	for len(s.Connectors) == 0 {
		p.read(t, "/v1/samples", 200, &s)
	}
	if s.StepMS != 2000 || s.Now == 0 || s.Connectors[0].Connector != "orders" || len(s.Connectors[0].Samples) == 0 {
		t.Errorf("%+v", s)
	}
	p.read(t, fmt.Sprintf("/v1/samples?since=%d", s.Now+3_600_000), 200, &s)
	if len(s.Connectors) != 1 || len(s.Connectors[0].Samples) != 0 {
		t.Errorf("since later: %+v", s)
	}
	if p.read(t, "/v1/samples?of=day", 200, &s); s.StepMS != 120_000 {
		t.Errorf("of the day: %+v", s)
	}
	var e errorBody
	for _, query := range []string{"of=year", "since=x", "since=-1"} {
		if p.read(t, "/v1/samples?"+query, 400, &e); !strings.Contains(e.Message, "want") {
			t.Errorf("%s: %+v", query, e)
		}
	}
	var all map[string]struct {
		Progress []herder.Progress `json:"progress"`
		Status   herder.Status     `json:"status"`
	}
	p.read(t, "/connectors?expand=status&expand=progress", 200, &all)
	if o := all["orders"]; len(o.Progress) != 1 || o.Progress[0].WorkerID != "w" || o.Status.Name != "orders" {
		t.Errorf("%+v", all)
	}
	plain := open(t, config.REST{})
	plain.read(t, "/v1/samples", 404, &e)
}

func TestDeadLetters(t *testing.T) {
	at := time.UnixMilli(1_790_000_000_000).UTC()
	var asked string
	var fault error
	p, _ := pagePort(t, config.REST{}, func(_ context.Context, topic, connector string, most int) (*dlq.Look, error) {
		asked = fmt.Sprint(topic, " ", connector, " ", most)
		return &dlq.Look{Records: 9, Latest: []*dlq.Entry{{ID: dlq.ID{Partition: 1, Offset: 7}, Replayed: at, Before: "0/3", Letter: deadletter.Letter{
			Key: []byte("a\x00<b>"), Value: []byte("secret"), Time: at, Topic: "p.default.t", Partition: 2, Offset: 5, Stage: "TASK_PUT", Exception: "x", Message: "too <large>"}}}}, fault
	})
	const more = `,"errors.tolerance":"all","errors.deadletterqueue.topic.name":"dead"`
	for name, config := range map[string]string{"a/b": goodSink + more, "source": goodSource + more, "plain": goodSink} {
		if code, body := p.do(t, "POST", "/connectors", fmt.Sprintf(`{"name":%q,"config":{%s}}`, name, config), "Content-Type", "application/json"); code != 201 {
			t.Fatal(code, body)
		}
	}
	for path, name := range map[string]string{"a%2Fb": "a/b", "source": "source"} {
		code, body := p.do(t, "GET", "/v1/connectors/"+path+"/dead-letters?limit=5", "")
		const want = `{"topic":"dead","records":9,"latest":[{"entry":"1/7","time":"2026-09-21T14:13:20Z","topic":"p.default.t","partition":2,"offset":5,"stage":"TASK_PUT","exception":"x",` +
			`"reason":"too \u003clarge\u003e","key":"a\\x00\u003cb\u003e","replayed":"2026-09-21T14:13:20Z","before":"0/3"}]}`
		if code != 200 || body != want || asked != "dead "+name+" 5" {
			t.Errorf("%s: %d\n%s, want\n%s\nasked for %s", name, code, body, want, asked)
		}
	}
	if code, body := p.do(t, "GET", "/v1/connectors/plain/dead-letters", ""); code != 200 || body != `{"topic":"","records":0,"latest":[]}` {
		t.Error(code, body)
	}
	for path, want := range map[string]int{"none/dead-letters": 404, "source/dead-letters?limit=0": 400, "source/dead-letters?limit=1000": 400, "source/dead-letters?limit=x": 400} {
		if code, body := p.do(t, "GET", "/v1/connectors/"+path, ""); code != want {
			t.Error(path, code, body)
		}
	}
	fault = ErrNoKafka
	if code, body := p.do(t, "GET", "/v1/connectors/source/dead-letters", ""); code != 503 || !strings.Contains(body, "no Kafka") {
		t.Error(code, body)
	}
	fault = errors.New("read topic dead: no route")
	if code, _ := p.do(t, "GET", "/v1/connectors/source/dead-letters", ""); code != 500 {
		t.Error(code)
	}
}

// TestLookOnly: the API of a migration's process answers, and changes nothing.
func TestLookOnly(t *testing.T) {
	process := &config.Process{REST: config.REST{MaxBody: 1 << 20}}
	loggers := herder.NewLoggers(slog.DiscardHandler, slog.LevelInfo)
	p := &port{memory: herdertest.New(process, loggers)}
	if _, err := p.memory.Create(t.Context(), "c", map[string]string{"name": "c", "connector.class": "HBaseSink", "hbase.zookeeper.quorum": "zk", "topics": "t"}, ""); err != nil {
		t.Fatal(err)
	}
	h, err := New(Config{Herder: p.memory, Process: process, Loggers: loggers, LookOnly: "it belongs to a migration", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	p.Server = httptest.NewServer(h)
	t.Cleanup(p.Close)
	var s sessionBody
	if p.read(t, "/v1/session", 200, &s); s.Role != "viewer" {
		t.Errorf("%+v", s)
	}
	if code, body := p.do(t, "GET", "/connectors/c/status", ""); code != 200 {
		t.Error(code, body)
	}
	n := 0
	for _, r := range routes() {
		if r.method == "GET" {
			continue
		}
		n++
		path := strings.NewReplacer("{connector}", "c", "{task}", "0").Replace(r.path)
		if code, body := p.do(t, r.method, path, "{}", "Content-Type", "application/json"); code != 403 || !strings.Contains(body, "it belongs to a migration") {
			t.Errorf("%s %s: %d %s", r.method, path, code, body)
		}
	}
	if n < 12 {
		t.Errorf("%d routes were refused", n)
	}
}
