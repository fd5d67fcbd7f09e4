//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/connector/rest"
	"github.com/waltap/waltap/connector/status"
	kinds "github.com/waltap/waltap/connector/verify"
	"github.com/waltap/waltap/e2e/browser"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/testenv"
)

// webPage is the web page of a process, in a browser.
type webPage struct {
	*browser.Page
	t   *testing.T
	ctx context.Context
	w   *testenv.Waltap

	migration string // whose pictures are taken
}

func openPage(t *testing.T, w *testenv.Waltap) *webPage {
	t.Helper()
	ctx := testenv.Context(t, 2*time.Minute)
	page, err := browser.Start(t).Open(ctx, w.URL()+"/", browser.Options{Height: 700}) // which sends a browser to the page
	if err != nil {
		t.Fatal(err)
	}
	return &webPage{Page: page, t: t, ctx: ctx, w: w}
}

func (p *webPage) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *webPage) click(selector string) {
	p.t.Helper()
	p.must(p.Click(p.ctx, selector))
}

func (p *webPage) wait(expression string) {
	p.t.Helper()
	p.must(p.Wait(p.ctx, expression))
}

// shownOf is an expression: the value that the page shows of a connector's field.
func shownOf(connector, name string) string {
	return fmt.Sprintf("document.querySelector('section[data-connector=%q] [data-field=%s]')?.dataset.value", connector, name)
}

// shows waits until the page shows the same numbers as the REST API, which stand still.
func (p *webPage) shows(connector string, want func(v *status.ConnectorView) map[string]int64) {
	p.t.Helper()
	var differ string
	for {
		_, body, err := p.w.Get(p.ctx, "/v1/connectors/"+connector+"/progress")
		p.must(err)
		var list []herder.Progress
		if err := json.Unmarshal(body, &list); err != nil || len(list) != 1 {
			p.t.Fatalf("%s: %v", body, err)
		}
		differ = ""
		for name, n := range want(&list[0].Status) {
			var shown string
			p.must(p.Eval(p.ctx, shownOf(connector, name)+" || ''", &shown))
			if shown != strconv.FormatInt(n, 10) {
				differ += fmt.Sprintf("%s: %q, want %d; ", name, shown, n)
			}
		}
		if differ == "" {
			return
		}
		select {
		case <-p.ctx.Done():
			p.t.Fatalf("the page of %s shows %s", connector, differ)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// picture looks that the console is empty and, with WALTAP_PICTURES=folder, keeps a picture there: docs/images has those of one run. With
// WALTAP_PICTURES_ALL it keeps also a dark and a narrow one.
func (p *webPage) picture(name string) {
	p.t.Helper()
	if faults := p.Faults(); len(faults) > 0 {
		p.t.Errorf("%s: in the console: %s", name, strings.Join(faults, "\n"))
	}
	keep := func(name string) {
		p.t.Helper()
		// The migrations of other tests are of their pictures.
		p.must(p.Eval(p.ctx, fmt.Sprintf("document.querySelectorAll('section[data-migration]').forEach((s) => { s.hidden = s.dataset.migration !== %q; }); true", p.migration), nil))
		png, err := p.Screenshot(p.ctx, true)
		p.must(err)
		if len(png) < 5000 {
			p.t.Errorf("the picture %s has %d bytes", name, len(png))
		}
		if dir := os.Getenv("WALTAP_PICTURES"); dir != "" {
			small, err := browser.Small(png)
			p.must(err)
			p.must(os.WriteFile(filepath.Join(dir, name+".png"), small, 0o644))
		}
	}
	keep(name)
	if os.Getenv("WALTAP_PICTURES_ALL") == "" {
		return
	}
	p.click("[data-choice=dark]")
	p.wait("document.documentElement.dataset.theme === 'dark'")
	keep(name + "-dark")
	p.must(p.Resize(p.ctx, 400, 800))
	time.Sleep(time.Second)
	keep(name + "-narrow-dark")
	p.click("[data-choice=light]")
	time.Sleep(time.Second)
	keep(name + "-narrow")
	p.must(p.Resize(p.ctx, 1400, 700))
	p.wait("document.documentElement.dataset.theme === 'light'")
}

// pause is for pictures only: plots look better with some past.
func (p *webPage) pause(d time.Duration) {
	if os.Getenv("WALTAP_PICTURES") != "" {
		time.Sleep(d)
	}
}

// TestWebPage looks at a pipeline while it scans, streams and lags: the page shows the numbers of the REST API, and what is clicked is done.
func TestWebPage(t *testing.T) {
	t.Parallel()
	name := testenv.Name(t)
	createTable(t, name, "a")
	const rows = 8000 // at slow, for several minutes
	load(t, name, rows, "a")
	p := pipe{name: name, tables: name, source: keys{"snapshot.max.rows.per.second": slow}}
	w := p.start(t)
	source, sink := name+"_source", name+"_sink"
	page := openPage(t, w)

	// The scan runs, held back, until it is paused on the page.
	page.wait(shownOf(source, "state") + " === 'SNAPSHOT' && Number(" + shownOf(source, "scannedRows") + ") > 0")
	page.wait("document.querySelector('[data-field=limits]').textContent.includes('" + slow + " rows/s')")
	page.pause(15 * time.Second)
	page.wait("document.querySelectorAll('.strip .cell').length === 4")
	page.picture("scan-running")
	page.click("section[data-connector$=_source] [data-action=scan-pause]")
	page.click("dialog [data-action=confirm]")
	page.wait("document.querySelector('[data-action=scan-resume]')")
	page.shows(source, func(v *status.ConnectorView) map[string]int64 {
		if v.Snapshot == nil || !v.Snapshot.Limits.Paused || len(v.Snapshot.Tables) != 1 || len(v.Snapshot.Tables[0].Parts) != 4 {
			t.Fatalf("while it is paused: %+v", v.Snapshot)
		}
		return map[string]int64{"scannedRows": v.Snapshot.Rows, "shardsDone": v.Snapshot.ShardsDone, "shardsTotal": 4, "records": v.Records}
	})
	page.click("section[data-connector$=_source] [data-action=rate]")
	page.click("[name=rows-per-second]")
	page.must(page.Type(page.ctx, "0"))
	page.click("dialog [data-action=confirm]")
	page.wait("!document.querySelector('dialog').open && !document.querySelector('[data-field=limits]')")
	page.click("section[data-connector$=_source] [data-action=scan-resume]")
	page.click("dialog [data-action=confirm]")
	page.wait(shownOf(source, "state") + " === 'RUNNING'")

	// Changes stream, until the plots show it.
	stop := mutate(t, name, 300, "a")
	for _, c := range []string{source, sink} {
		page.wait("Number(" + shownOf(c, "recordsPerSecond") + ") > 0 && " + shownOf(c, "state") + " === 'RUNNING'")
	}
	page.wait("document.querySelectorAll('[data-plot] .line').length >= 5")
	page.wait(shownOf(source, "watermark"))
	page.pause(30 * time.Second)
	page.picture("streaming")
	stop()
	awaitCopy := func() {
		t.Helper()
		if err := env.Src.AwaitEqual(page.ctx, name, env.Dst, name, judge.ScanOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	awaitCopy()
	numbers := func(v *status.ConnectorView) map[string]int64 {
		return map[string]int64{"records": v.Records, "bytes": v.Bytes, "retries": v.Retries, "deadLettered": v.DeadLettered}
	}
	page.shows(source, func(v *status.ConnectorView) map[string]int64 {
		if v.Records <= rows {
			t.Fatalf("%d records of %d rows and changes to them", v.Records, rows)
		}
		return numbers(v)
	})
	page.shows(sink, numbers)
	// A reload does not lose the past.
	page.must(page.Go(page.ctx, w.URL()+"/ui/"))
	page.wait("document.querySelectorAll('[data-plot] .line').length >= 5")

	// The table at the target is closed: the sink waits, and its records.
	if err := env.Dst.DisableTable(page.ctx, name); err != nil {
		t.Fatal(err)
	}
	enable := func() {
		if err := env.Dst.EnableTable(context.WithoutCancel(page.ctx), name); err != nil {
			t.Error(err)
		}
	}
	stop = mutate(t, name, 300, "a")
	page.wait(shownOf(sink, "state") + " === 'WAITING' && Number(" + shownOf(sink, "lagRecords") + ") > 0 && document.querySelector('section[data-connector$=_sink] [data-field=late]')")
	page.pause(15 * time.Second)
	page.picture("lagging")
	stop()
	enable()
	page.wait(shownOf(sink, "state") + " === 'RUNNING' && Number(" + shownOf(sink, "lagRecords") + ") === 0 && !document.querySelector('[data-field=late]')")
	awaitCopy()
	page.shows(sink, numbers)
	page.click("section[data-connector$=_sink] [data-action=pause]")
	page.click("dialog [data-action=confirm]")
	page.wait(shownOf(sink, "state") + " === 'PAUSED'")
	if _, body, err := w.Get(page.ctx, "/connectors/"+sink+"/status"); err != nil || !strings.Contains(string(body), `"PAUSED"`) {
		t.Errorf("%s, %v", body, err)
	}
}

// wave is an expression: what a CSS selector finds of the migration.
func (m *migration) wave(selector string) string {
	return fmt.Sprintf("document.querySelector('section[data-migration=%q] %s')", m.name, selector)
}

// onREST is the one wave of the migration, of which the page shows the same.
func (m *migration) onREST(p *webPage) rest.Wave {
	p.t.Helper()
	_, body, err := p.w.Get(p.ctx, "/v1/migrations/"+m.name)
	p.must(err)
	var out rest.Migration
	if err := json.Unmarshal(body, &out); err != nil || len(out.Waves) != 1 {
		p.t.Fatalf("%s: %v", body, err)
	}
	return out.Waves[0]
}

// differsOnThePage plants rows that the stream does not have: the page shows what verify finds. Then they are repaired.
func (m *migration) differsOnThePage(p *webPage) {
	p.t.Helper()
	for i, x := range m.tables[:2] {
		for n := range 3 + i {
			plant := judge.Put(fmt.Sprintf("planted %d", n), "a", "q", "v")
			plant.SkipWAL = true
			p.must(env.Src.Write(p.ctx, x.source, plant))
		}
	}
	m.run(p.t, 2, "verify", "-q")
	p.wait(m.wave("[data-pass=base] [data-field=clean]") + "?.dataset.value === 'false'")
	base := m.onREST(p).State.Verified.Base
	if base.Bad != 7 || base.Differences[kinds.Missing] != 7 || len(base.First) != 7 || len(base.ByTable) != 3 {
		p.t.Errorf("kept of the pass: %+v", base)
	}
	for selector, want := range map[string]string{"[data-field=badRows]": "7", "[data-field=rows]": strconv.FormatInt(base.Rows, 10), "[data-kind=missing]": "7",
		fmt.Sprintf("tr[data-table=%q] [data-field=badRows]", m.tables[1].source): "4"} {
		p.wait(m.wave("[data-pass=base] "+selector) + "?.dataset.value === " + strconv.Quote(want))
	}
	var texts []string
	p.must(p.Eval(p.ctx, "[..."+strings.Replace(m.wave("[data-difference=missing] td:last-child"), "querySelector", "querySelectorAll", 1)+"].map((e) => e.textContent)", &texts))
	for n, want := range base.First {
		if n >= len(texts) || texts[n] != want.Text || !strings.Contains(want.Text, "planted") {
			p.t.Errorf("difference %d is %q; the page shows %q", n, want.Text, texts)
		}
	}
	p.picture("verify-differs")
	m.run(p.t, 0, "repair", "-q", "--execute")
	p.wait(m.wave("[data-pass=base] [data-field=clean]") + "?.dataset.value === 'true' && !" + m.wave("[data-difference]"))
}

// greenOnThePage: the gate is green, condition by condition.
func (m *migration) greenOnThePage(p *webPage) {
	p.t.Helper()
	p.wait(m.wave("[data-field=gate]") + "?.dataset.value === 'green' && " + m.wave("[data-step=\"Cut over\"]") + "?.dataset.value === 'done'")
	gate := m.onREST(p).Gate
	if gate == nil || !gate.Green || !gate.Fenced || len(gate.Conditions) != 9 {
		p.t.Fatalf("the gate on REST: %+v", gate)
	}
	for _, c := range gate.Conditions {
		var text string
		p.must(p.Eval(p.ctx, m.wave(fmt.Sprintf("[data-condition=%q]", c.Name))+"?.textContent || ''", &text))
		if text != "✓"+c.Name+c.Text {
			p.t.Errorf("condition %s: %q, want %q", c.Name, text, c.Text)
		}
	}
	p.picture("gate-green")
}
