//go:build e2e

package browser

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/dlq"
	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/connector/herder/herdertest"
	"github.com/waltap/waltap/connector/migrate"
	"github.com/waltap/waltap/connector/rest"
	"github.com/waltap/waltap/connector/samples"
	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/connector/verify"
	"github.com/waltap/waltap/connector/web"
	"github.com/waltap/waltap/internal/deadletter"
	"github.com/waltap/waltap/internal/secret"
)

// port is the port of a worker, with a memory for a herder.
type port struct {
	*herdertest.Memory
	server *httptest.Server
	away   atomic.Bool // it breaks each connection: a port that was closed another process may take

	mu         sync.Mutex
	migrations []rest.Migration
	letters    *dlq.Look
}

func open(t *testing.T, credentials config.REST) *port {
	t.Helper()
	credentials.MaxBody = 1 << 20
	process := &config.Process{REST: credentials}
	loggers := herder.NewLoggers(slog.NewTextHandler(t.Output(), nil), slog.LevelError)
	p := &port{Memory: herdertest.New(process, loggers), letters: new(dlq.Look)}
	keeper := samples.New(p.Memory)
	sampling, stopSampling := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { keeper.Run(sampling) })
	api, err := rest.New(rest.Config{Herder: p.Memory, Process: process, Loggers: loggers, Samples: keeper, Next: web.New(http.NotFoundHandler()), Log: slog.New(slog.DiscardHandler),
		Migrations: func(context.Context) ([]rest.Migration, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.migrations, nil
		},
		DeadLetters: func(context.Context, string, string, int) (*dlq.Look, error) { return p.letters, nil }})
	if err != nil {
		t.Fatal(err)
	}
	handler := web.Front(api)
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.away.Load() {
			panic(http.ErrAbortHandler)
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		p.goAway()
		p.server.Close()
		stopSampling()
		done.Wait()
	})
	return p
}

// goAway ends all connections, and has every new one broken.
func (p *port) goAway() {
	p.away.Store(true)
	p.server.CloseClientConnections()
}

func (p *port) url() string { return p.server.URL + "/ui/" }

func (p *port) add(t *testing.T, name, class string) {
	t.Helper()
	props := map[string]string{"name": name, "connector.class": class, "hbase.zookeeper.quorum": "zk", "tasks.max": "1", "errors.deadletterqueue.topic.name": "dead", "errors.tolerance": "all"}
	if class == "HBaseSource" {
		props["topic.prefix"], props["table.include.list"] = "p", "t"
	} else {
		props["topics"] = "t"
	}
	if _, err := p.Create(t.Context(), name, props, ""); err != nil {
		t.Fatal(err)
	}
}

func said(c *status.Connector) herder.Progress {
	return herder.Progress{WorkerID: "127.0.0.1:8083", At: time.Now().UnixMilli(), Status: c.View()}
}

// tab opens the page.
func tab(t *testing.T, b *Browser, p *port, o Options) (context.Context, *Page) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	page, err := b.Open(ctx, p.url(), o)
	if err != nil {
		t.Fatal(err)
	}
	return ctx, page
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func noFaults(t *testing.T, page *Page) {
	t.Helper()
	if faults := page.Faults(); len(faults) > 0 {
		t.Errorf("in the console: %s", strings.Join(faults, "\n"))
	}
}

// picture keeps a screenshot in the folder WALTAP_PICTURES, if that is set.
func picture(ctx context.Context, t *testing.T, page *Page, name string) {
	t.Helper()
	png, err := page.Screenshot(ctx, true)
	must(t, err)
	if dir := os.Getenv("WALTAP_PICTURES"); dir != "" {
		small, err := Small(png)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, name+".png"), small, 0o644))
	}
}

// hostile is what a name, a row key or an error may hold.
const hostile = `<img src=x onerror="window.hit=1"><script>window.hit=1</script>'"&amp;`

// TestNamesAreText: whatever is shown is text, wherever it comes from.
func TestNamesAreText(t *testing.T) {
	t.Parallel()
	p := open(t, config.REST{})
	b := Start(t)
	p.add(t, hostile, "HBaseSource")
	c := status.NewConnector(hostile, "HBaseSource")
	c.Fail(errors.New("open " + hostile))
	c.Table(hostile).Add(7, 7, 7, 1)
	c.SnapshotShardsTotal.Store(2)
	c.DeadLettered.Store(1)
	c.SetParts(hostile, []status.PartView{{Start: hostile, Shards: 2}})
	c.SetWatermarkWaits(hostile)
	p.Say(hostile, said(c))
	p.letters = &dlq.Look{Records: 1, Latest: []*dlq.Entry{{Letter: deadletter.Letter{Key: []byte(hostile), Topic: hostile, Connector: hostile, Stage: hostile, Message: hostile}}}}
	gate := migrate.Gate{{Name: hostile, Text: hostile}}
	p.migrations = []rest.Migration{{Name: hostile, Waves: []rest.Wave{{Name: hostile, State: migrate.State{
		Phase: migrate.Phase(hostile), Tables: []migrate.Table{{Source: hostile, Target: hostile}}, Left: []string{hostile},
		Verified: &migrate.Verified{Base: &migrate.Pass{Bad: 1, Mode: hostile, Differences: map[verify.Kind]int64{verify.Kind(hostile): 1}, ByTable: []migrate.PassTable{{Table: hostile, Target: hostile, Bad: 1}},
			First: []migrate.FirstDifference{{Table: hostile, Kind: verify.Kind(hostile), Text: hostile}}}},
	}, Processes: []migrate.Progress{{At: time.Now().UnixMilli(), Host: hostile, Connectors: []status.ConnectorView{c.View()}}}, Gate: &migrate.JudgedGate{Conditions: gate}}}}}
	ctx, page := tab(t, b, p, Options{})
	must(t, page.Wait(ctx, "document.querySelector('[data-entry]') && document.querySelector('[data-condition]') && document.querySelector('[data-difference]')"))
	var found struct {
		Hit, Images, Scripts int
		Name, Error, Row     string
		Text                 string
	}
	must(t, page.Eval(ctx, `({Hit: window.hit || 0, Images: document.querySelectorAll('img').length, Scripts: document.querySelectorAll('script').length,
		Name: document.querySelector('section[data-connector] h2').textContent, Error: document.querySelector('[data-field=error]').textContent,
		Row: document.querySelector('[data-difference] td:last-child').textContent, Text: document.body.textContent})`, &found))
	if found.Hit != 0 || found.Images != 0 || found.Scripts != 2 {
		t.Errorf("something was taken for markup: %+v", found)
	}
	if found.Name != hostile || found.Error != "open "+hostile || found.Row != hostile {
		t.Errorf("the text is not what it was: %q %q %q", found.Name, found.Error, found.Row)
	}
	if n := strings.Count(found.Text, "<img src=x"); n < 15 {
		t.Errorf("the text is there %d times only:\n%s", n, found.Text)
	}
	// The path of its actions is its own name.
	must(t, page.Click(ctx, "[data-action=pause]"))
	must(t, page.Click(ctx, "[data-action=confirm]"))
	must(t, page.Wait(ctx, "document.querySelector('section[data-connector] [data-field=state]').dataset.value === 'PAUSED'"))
	s, err := p.Status(ctx, hostile)
	if err != nil || s.Connector.State != herder.Paused {
		t.Errorf("%+v, %v", s, err)
	}
	picture(ctx, t, page, "hostile")
	noFaults(t, page)
}

// TestActions: what changes something asks first, says what it does, and shows what it was refused with.
func TestActions(t *testing.T) {
	t.Parallel()
	p := open(t, config.REST{})
	b := Start(t)
	p.add(t, "orders-source", "HBaseSource")
	c := status.NewConnector("orders-source", "HBaseSource")
	c.Set(status.Snapshot, "scanning")
	c.SnapshotShardsTotal.Store(8)
	c.SnapshotShardsDone.Store(3)
	c.SetScanLimits(func() status.ScanLimits { return status.ScanLimits{RowsPerSecond: 2000} })
	p.Say("orders-source", said(c))
	ctx, page := tab(t, b, p, Options{})
	state := func(want string) {
		t.Helper()
		must(t, page.Wait(ctx, "document.querySelector('section[data-connector] [data-field=state]')?.dataset.value === "+quote(want)))
	}
	state("SNAPSHOT")
	target := func(want herder.State) {
		t.Helper()
		if s, err := p.Status(ctx, "orders-source"); err != nil || s.Connector.State != want {
			t.Errorf("%+v %v, want %s", s, err, want)
		}
	}
	// Asked, and not confirmed.
	must(t, page.Click(ctx, "[data-action=pause]"))
	must(t, page.Wait(ctx, "document.querySelector('dialog').open && document.querySelector('dialog').innerText.includes('HBase keeps all WALs')"))
	target(herder.Running)
	must(t, page.Press(ctx, "Escape"))
	must(t, page.Wait(ctx, "!document.querySelector('dialog').open"))
	target(herder.Running)
	// By keyboard.
	must(t, page.Eval(ctx, "document.querySelector('[data-action=pause]').focus()", nil))
	must(t, page.Press(ctx, "Enter"))
	must(t, page.Wait(ctx, "document.querySelector('dialog').open"))
	must(t, page.Press(ctx, "Tab"))
	must(t, page.Wait(ctx, "document.activeElement.dataset.action === 'confirm'"))
	must(t, page.Press(ctx, "Enter"))
	state("PAUSED")
	target(herder.Paused)
	must(t, page.Click(ctx, "[data-action=resume]"))
	must(t, page.Click(ctx, "[data-action=confirm]"))
	state("SNAPSHOT")
	target(herder.Running)
	// A rate.
	must(t, page.Click(ctx, "[data-action=rate]"))
	must(t, page.Click(ctx, "[name=rows-per-second]"))
	must(t, page.Type(ctx, "12345"))
	must(t, page.Click(ctx, "[data-action=confirm]"))
	must(t, page.Wait(ctx, "!document.querySelector('dialog').open"))
	signals := p.Signals()
	if len(signals) != 1 || signals[0].Type != herder.SetRate || string(signals[0].Data) != `{"rows-per-second":12345}` {
		t.Errorf("sent %+v", signals)
	}
	noFaults(t, page)
	// A refusal is shown, and nothing is lost by it.
	must(t, page.Click(ctx, "[data-action=stop]"))
	must(t, page.Wait(ctx, "document.querySelector('dialog').open"))
	p.Fail(herder.Errorf(herder.Conflict, "the group is rebalancing <b>now</b>"))
	must(t, page.Click(ctx, "[data-action=confirm]"))
	must(t, page.Wait(ctx, "document.querySelector('dialog [data-field=refused]')?.textContent === '409: the group is rebalancing <b>now</b>'"))
	p.Fail(nil)
	must(t, page.Click(ctx, "[data-action=confirm]"))
	state("STOPPED")
	target(herder.Stopped)
}

// TestWorkerGoesAndComesBack: the page says so, keeps what it has, and goes on.
func TestWorkerGoesAndComesBack(t *testing.T) {
	t.Parallel()
	p := open(t, config.REST{})
	b := Start(t)
	p.add(t, "orders-source", "HBaseSource")
	c := status.NewConnector("orders-source", "HBaseSource")
	c.Set(status.Running, "")
	c.Add(1000, 1, 1, 1)
	p.Say("orders-source", said(c))
	ctx, page := tab(t, b, p, Options{})
	records := func(n int) string {
		return fmt.Sprintf("document.querySelector('section [data-field=records]')?.dataset.value === '%d'", n)
	}
	must(t, page.Wait(ctx, records(1000)))
	noFaults(t, page)
	p.goAway()
	must(t, page.Wait(ctx, "document.querySelector('[data-field=outage]') && document.querySelector('[data-field=live]').dataset.value === 'no'"))
	must(t, page.Wait(ctx, records(1000)))
	picture(ctx, t, page, "outage")
	c.Add(234, 1, 1, 1)
	p.Say("orders-source", said(c))
	p.away.Store(false)
	must(t, page.Wait(ctx, records(1234)+" && !document.querySelector('[data-field=outage]') && document.querySelector('[data-field=live]').dataset.value === 'yes'"))
}

// TestWhoMayWhat: a viewer has no buttons; a name and a password are asked for by the browser, a token by the page.
func TestWhoMayWhat(t *testing.T) {
	t.Parallel()
	p := open(t, config.REST{Admin: config.Credentials{UserInfo: secret.New("ann:adm1n")}, Viewer: config.Credentials{UserInfo: secret.New("vic:v1ewer")}})
	b := Start(t)
	p.add(t, "orders-source", "HBaseSource")
	ctx, page := tab(t, b, p, Options{User: "ann", Password: "adm1n"})
	must(t, page.Wait(ctx, "document.querySelector('[data-action=pause]')"))
	if page.Asked() == 0 {
		t.Error("the browser has not asked for a name and a password")
	}
	ctx, page = tab(t, b, p, Options{User: "vic", Password: "v1ewer"})
	must(t, page.Wait(ctx, "document.querySelector('[data-field=role]')?.dataset.value === 'viewer' && document.querySelector('section[data-connector]')"))
	var buttons int
	must(t, page.Eval(ctx, "document.querySelectorAll('[data-action]').length", &buttons))
	if buttons != 0 {
		t.Errorf("a viewer has %d buttons", buttons)
	}
	ctx, page = tab(t, b, p, Options{}) // who does not know
	must(t, page.Wait(ctx, "document.querySelector('#token')"))
	if page.Asked() == 0 {
		t.Error("the browser has not asked for a name and a password")
	}

	p = open(t, config.REST{Admin: config.Credentials{Token: secret.New("a-token-of-admin")}, Viewer: config.Credentials{Token: secret.New("a-token-of-viewer")}})
	p.add(t, "orders-source", "HBaseSource")
	ctx, page = tab(t, b, p, Options{})
	must(t, page.Click(ctx, "#token"))
	must(t, page.Type(ctx, "no-such-token"))
	must(t, page.Press(ctx, "Enter"))
	must(t, page.Wait(ctx, "document.querySelector('[data-field=refused]')?.textContent.includes('credentials are missing or wrong')"))
	must(t, page.Eval(ctx, "document.querySelector('#token').value = ''", nil))
	must(t, page.Click(ctx, "#token"))
	must(t, page.Type(ctx, "a-token-of-viewer"))
	must(t, page.Press(ctx, "Enter"))
	must(t, page.Wait(ctx, "document.querySelector('[data-field=role]')?.dataset.value === 'viewer' && document.querySelector('section[data-connector]')"))
	must(t, page.Go(ctx, p.url())) // it is kept
	must(t, page.Wait(ctx, "document.querySelector('section[data-connector]')"))
	if page.Asked() != 0 {
		t.Error("the browser has asked for a name and a password where there are none")
	}
	picture(ctx, t, page, "viewer")
	var kept string
	must(t, page.Eval(ctx, "JSON.stringify([localStorage.getItem('waltap.token'), sessionStorage.getItem('waltap.token'), document.cookie])", &kept))
	if kept != `[null,"a-token-of-viewer",""]` {
		t.Errorf("the token is kept in %s", kept)
	}
	must(t, page.Click(ctx, "[data-action=sign-out]"))
	must(t, page.Wait(ctx, "document.querySelector('#token') && !document.querySelector('section[data-connector]') && sessionStorage.getItem('waltap.token') === null"))
}

// contrasts lists texts whose colour stands out from their ground by less than 4.5 to 1, which WCAG asks for.
const contrasts = `(() => {
  const parse = (c) => (c.match(/[\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
  const out = [];
  for (const e of document.querySelectorAll('body *')) {
    if (e.closest('.stale, noscript, .skip, [hidden]') || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || !e.getClientRects().length) continue;
    const style = getComputedStyle(e);
    const [a, b] = [light(parse(e.namespaceURI.includes('svg') ? style.fill : style.color)), light(ground(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) out.push(e.localName + '.' + e.className.baseVal + e.className + ' ' + e.textContent + ' ' + style.color);
  }
  return [...new Set(out)];
})()`

// TestThemesAndWidths: dark and light, by the system and by the switch; nothing is wider than the window; texts can be read; what has to be
// operated has a name.
func TestThemesAndWidths(t *testing.T) {
	t.Parallel()
	p := open(t, config.REST{})
	b := Start(t)
	for name, class := range map[string]string{"orders-source-with-a-long-name-of-its-own": "HBaseSource", "orders-copy": "HBaseSink"} {
		p.add(t, name, class)
		c := status.NewConnector(name, class)
		c.Set(status.Snapshot, "scanning "+strings.Repeat("default:a_table_with_a_long_name, ", 9))
		c.SnapshotShardsTotal.Store(80)
		c.SetParts("default:a_table_with_a_long_name", []status.PartView{{Shards: 40, Done: 40}, {Start: strings.Repeat(`\x00`, 32), Shards: 40, Done: 3, Rows: 10}})
		c.Table("default:a_table_with_a_long_name").Add(123_456_789_012, 1, 1<<50, 1)
		c.Add(123_456_789_012, 1, 1<<50, 1)
		c.DeadLettered.Store(5)
		p.Say(name, said(c))
	}
	p.letters.Latest = []*dlq.Entry{{Letter: deadletter.Letter{Key: []byte(strings.Repeat("long key ", 20)), Topic: strings.Repeat("topic", 20), Message: strings.Repeat("a reason ", 30)}}}
	p.migrations = []rest.Migration{{Name: "to-2.6", Waves: []rest.Wave{{Name: "all", State: migrate.State{Phase: migrate.PhaseStarted, Tables: []migrate.Table{{Source: strings.Repeat("t", 80), Target: strings.Repeat("t", 80)}},
		Verified: &migrate.Verified{Base: &migrate.Pass{Bad: 1, Differences: map[verify.Kind]int64{verify.Missing: 1}, First: []migrate.FirstDifference{{Table: "t", Kind: verify.Missing, Text: strings.Repeat("x", 300)}}}}},
		Gate: &migrate.JudgedGate{Conditions: migrate.Gate{{Name: migrate.CondVerify, Text: strings.Repeat("why ", 40)}, {Name: migrate.CondScan, Green: true, Text: "of 1 table"}}}}}}}
	for _, scheme := range []string{"dark", "light"} {
		ctx, page := tab(t, b, p, Options{Scheme: scheme, Width: 1400, Height: 900})
		must(t, page.Wait(ctx, "document.querySelector('[data-difference]') && document.querySelector('[data-entry]')"))
		ground := func(dark bool) string {
			return fmt.Sprintf("(Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]) < 128) === %v", dark)
		}
		must(t, page.Wait(ctx, ground(scheme == "dark")))
		for _, width := range []int{1400, 700, 400, 320} {
			must(t, page.Resize(ctx, width, 800))
			must(t, page.Wait(ctx, fmt.Sprintf("innerWidth === %d", width)))
			if err := page.Wait(ctx, "document.documentElement.scrollWidth <= innerWidth"); err != nil {
				t.Errorf("%s, %d wide: %v", scheme, width, err)
			}
			var unreadable []string
			must(t, page.Eval(ctx, contrasts, &unreadable))
			if len(unreadable) > 0 {
				t.Errorf("%s, %d wide: cannot be read: %q", scheme, width, unreadable)
			}
			picture(ctx, t, page, fmt.Sprintf("%s-%d", scheme, width))
		}
		var nameless int
		must(t, page.Eval(ctx, "[...document.querySelectorAll('button, input, [role=img], [role=group], table, dialog')].filter((e) => e.localName !== 'table' && !e.textContent.trim() && !e.getAttribute('aria-label') && !e.labels?.length && !e.getAttribute('aria-labelledby')).length", &nameless))
		if nameless != 0 {
			t.Errorf("%d things have no name", nameless)
		}
		other := map[string]string{"dark": "light", "light": "dark"}[scheme]
		must(t, page.Click(ctx, "[data-choice="+other+"]"))
		must(t, page.Wait(ctx, ground(other == "dark")))
		must(t, page.Go(ctx, p.url())) // it is kept
		must(t, page.Wait(ctx, "document.querySelector('[data-choice="+other+"][aria-pressed=true]') && "+ground(other == "dark")))
		noFaults(t, page)
	}
}
