// Package browser drives a headless Chromium by the DevTools protocol, over a pipe: for tests of the web page.
package browser

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// names that a Chromium may have.
var names = []string{"chromium", "chromium-browser", "google-chrome-stable", "google-chrome"}

// Browser is a Chromium with pages.
type Browser struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	last atomic.Int64
	gone chan struct{}

	mu       sync.Mutex
	waiting  map[int64]chan reply
	sessions map[string]*Page
}

type reply struct {
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

type message struct {
	reply
	ID        int64           `json:"id"`
	Method    string          `json:"method"`
	Params    json.RawMessage `json:"params"`
	SessionID string          `json:"sessionId"`
}

// Start starts a Chromium that ends with the test. Where there is none the test fails: e2e/deps.sh chromium installs it.
func Start(t testing.TB) *Browser {
	t.Helper()
	path := os.Getenv("CHROMIUM")
	for _, name := range names {
		if path == "" {
			path, _ = exec.LookPath(name)
		}
	}
	if path == "" {
		t.Fatal("there is no Chromium: as root on Debian, e2e/deps.sh chromium installs it")
	}
	b, err := start(path, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.close)
	return b
}

func start(path, dir string) (*Browser, error) {
	args := []string{"--headless=new", "--remote-debugging-pipe", "--user-data-dir=" + dir, "--no-first-run", "--no-default-browser-check", "--disable-gpu",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio", "--hide-scrollbars", "--disable-dev-shm-usage", "--force-color-profile=srgb"}
	if os.Getuid() == 0 {
		args = append(args, "--no-sandbox")
	}
	toRead, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, toWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "chromium.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(path, append(args, "about:blank")...)
	cmd.ExtraFiles = []*os.File{toRead, toWrite} // 3 and 4
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "HOME="+dir, "TZ=UTC", "LANG=C.UTF-8")
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	toRead.Close()
	toWrite.Close()
	b := &Browser{cmd: cmd, in: in, gone: make(chan struct{}), waiting: make(map[int64]chan reply), sessions: make(map[string]*Page)}
	go b.read(out)
	return b, nil
}

// close ends the browser: it closes itself when its pipe does.
func (b *Browser) close() {
	b.in.Close()
	ended := make(chan struct{})
	go func() { b.cmd.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		b.cmd.Process.Kill()
		<-ended
	}
	<-b.gone
}

// read reads what the browser says: JSON, each message ended by a zero.
func (b *Browser) read(out io.ReadCloser) {
	defer close(b.gone)
	defer out.Close()
	r := bufio.NewReader(out)
	for {
		raw, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(raw[:len(raw)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		waits, page := b.waiting[m.ID], b.sessions[m.SessionID]
		delete(b.waiting, m.ID)
		b.mu.Unlock()
		switch {
		case waits != nil:
			waits <- m.reply
		case page != nil && m.Method != "":
			page.event(m.Method, m.Params)
		}
	}
}

// send sends a command and does not wait for its answer.
func (b *Browser) send(session, method string, params any, answer chan reply) error {
	id := b.last.Add(1)
	raw, err := json.Marshal(struct {
		ID        int64  `json:"id"`
		SessionID string `json:"sessionId,omitempty"`
		Method    string `json:"method"`
		Params    any    `json:"params"`
	}{id, session, method, params})
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if answer != nil {
		b.waiting[id] = answer
	}
	_, err = b.in.Write(append(raw, 0))
	return err
}

// call sends a command and reads its answer into into, unless that is nil.
func (b *Browser) call(ctx context.Context, session, method string, params, into any) error {
	answer := make(chan reply, 1)
	if err := b.send(session, method, params, answer); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case r := <-answer:
		if r.Error != nil {
			return fmt.Errorf("%s: %s", method, r.Error.Message)
		}
		if into == nil {
			return nil
		}
		return json.Unmarshal(r.Result, into)
	case <-b.gone:
		return fmt.Errorf("%s: the browser has ended", method)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, context.Cause(ctx))
	}
}

// Options of a page.
type Options struct {
	Width, Height int    // default 1400 by 900
	Scheme        string // prefers-color-scheme: "light" (default) or "dark"
	// User and Password answer the browser's own question for them; "": it is cancelled.
	User, Password string
}

// Page is a tab.
type Page struct {
	b       *Browser
	session string
	o       Options

	mu     sync.Mutex
	faults []string
	asked  int
}

type object = map[string]any

// Open opens a tab at a URL and waits until it is loaded.
func (b *Browser) Open(ctx context.Context, url string, o Options) (*Page, error) {
	if o.Width == 0 {
		o.Width, o.Height = 1400, 900
	}
	if o.Scheme == "" {
		o.Scheme = "light"
	}
	var box struct{ BrowserContextID string }
	if err := b.call(ctx, "", "Target.createBrowserContext", object{}, &box); err != nil {
		return nil, err
	}
	var target struct{ TargetID string }
	if err := b.call(ctx, "", "Target.createTarget", object{"url": "about:blank", "browserContextId": box.BrowserContextID}, &target); err != nil {
		return nil, err
	}
	var attached struct{ SessionID string }
	if err := b.call(ctx, "", "Target.attachToTarget", object{"targetId": target.TargetID, "flatten": true}, &attached); err != nil {
		return nil, err
	}
	p := &Page{b: b, session: attached.SessionID, o: o}
	b.mu.Lock()
	b.sessions[p.session] = p
	b.mu.Unlock()
	for _, c := range []struct {
		method string
		params object
	}{
		{"Page.enable", object{}}, {"Runtime.enable", object{}}, {"Log.enable", object{}}, {"Fetch.enable", object{"handleAuthRequests": true}},
		{"Emulation.setEmulatedMedia", object{"features": []object{{"name": "prefers-color-scheme", "value": o.Scheme}}}},
	} {
		if err := p.call(ctx, c.method, c.params, nil); err != nil {
			return nil, err
		}
	}
	if err := p.Resize(ctx, o.Width, o.Height); err != nil {
		return nil, err
	}
	return p, p.Go(ctx, url)
}

func (p *Page) call(ctx context.Context, method string, params, into any) error {
	return p.b.call(ctx, p.session, method, params, into)
}

// Go goes to a URL and waits until its document is there.
func (p *Page) Go(ctx context.Context, url string) error {
	var res struct{ ErrorText string }
	if err := p.call(ctx, "Page.navigate", object{"url": url}, &res); err != nil {
		return err
	}
	if res.ErrorText != "" {
		return fmt.Errorf("open %s: %s", url, res.ErrorText)
	}
	return p.Wait(ctx, "document.readyState === 'complete' && location.href !== 'about:blank'")
}

// Resize makes the window as wide and as high as that, in CSS pixels.
func (p *Page) Resize(ctx context.Context, width, height int) error {
	return p.call(ctx, "Emulation.setDeviceMetricsOverride", object{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}, nil)
}

// event is told of what happens in the page.
func (p *Page) event(method string, params json.RawMessage) {
	var e struct {
		RequestID string `json:"requestId"`
		Type      string `json:"type"`
		Args      []struct {
			Value       any    `json:"value"`
			Description string `json:"description"`
		} `json:"args"`
		Entry struct {
			Level, Text, URL string
		} `json:"entry"`
		Details struct {
			Text      string
			Exception struct{ Description string }
		} `json:"exceptionDetails"`
	}
	if json.Unmarshal(params, &e) != nil {
		return
	}
	switch method {
	case "Runtime.consoleAPICalled":
		if e.Type == "error" || e.Type == "warning" || e.Type == "assert" {
			p.fault(fmt.Sprintf("console.%s: %+v", e.Type, e.Args))
		}
	case "Runtime.exceptionThrown":
		p.fault(e.Details.Text + " " + e.Details.Exception.Description)
	case "Log.entryAdded":
		if e.Entry.Level == "error" || e.Entry.Level == "warning" {
			p.fault(e.Entry.Text + " " + e.Entry.URL)
		}
	case "Fetch.requestPaused":
		p.answer("Fetch.continueRequest", object{"requestId": e.RequestID})
	case "Fetch.authRequired":
		p.mu.Lock()
		p.asked++
		p.mu.Unlock()
		response := object{"response": "CancelAuth"}
		if p.o.User != "" {
			response = object{"response": "ProvideCredentials", "username": p.o.User, "password": p.o.Password}
		}
		p.answer("Fetch.continueWithAuth", object{"requestId": e.RequestID, "authChallengeResponse": response})
	}
}

func (p *Page) answer(method string, params object) {
	if err := p.b.send(p.session, method, params, nil); err != nil {
		p.fault(method + ": " + err.Error())
	}
}

func (p *Page) fault(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, text)
}

// Faults are the errors and warnings in the console since the last call: those of scripts, of the page's policy, of requests.
func (p *Page) Faults() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.faults
	p.faults = nil
	return out
}

// Asked counts how often the browser would have asked its user for a name and a password.
func (p *Page) Asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// Eval evaluates an expression, or awaits the promise that it is, and reads its value into into, unless that is nil.
func (p *Page) Eval(ctx context.Context, expression string, into any) error {
	var res struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text      string
			Exception struct{ Description string }
		} `json:"exceptionDetails"`
	}
	err := p.call(ctx, "Runtime.evaluate", object{"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true}, &res)
	switch {
	case err != nil:
		return err
	case res.Exception != nil:
		return fmt.Errorf("evaluate %s: %s %s", expression, res.Exception.Text, res.Exception.Exception.Description)
	case into == nil:
		return nil
	case res.Result.Value == nil:
		return fmt.Errorf("evaluate %s: it is undefined", expression)
	}
	return json.Unmarshal(res.Result.Value, into)
}

// Wait waits until an expression is true. One that cannot be evaluated, as its document is going, is evaluated again.
func (p *Page) Wait(ctx context.Context, expression string) error {
	var last error
	for {
		var is bool
		if last = p.Eval(ctx, "Boolean("+expression+")", &is); last == nil && is {
			return nil
		}
		select {
		case <-ctx.Done():
			var text string
			shown := p.Eval(context.WithoutCancel(ctx), "document.body.innerText", &text)
			return errors.Join(fmt.Errorf("wait for %s: %w; the page shows:\n%s", expression, context.Cause(ctx), text), last, shown)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Click clicks what a CSS selector finds, as soon as it is there and nothing covers it. It is found and clicked in one step: a page that is
// drawn anew meanwhile has moved it elsewhere.
func (p *Page) Click(ctx context.Context, selector string) error {
	return p.Wait(ctx, `(() => {
		const e = document.querySelector(`+quote(selector)+`);
		if (!e || e.disabled) return false;
		e.scrollIntoView({block: 'center'});
		const b = e.getBoundingClientRect(), top = document.elementFromPoint(b.x + b.width / 2, b.y + b.height / 2);
		if (!top || !e.contains(top)) return false;
		e.focus();
		e.click();
		return true;
	})()`)
}

// Type types text where the focus is.
func (p *Page) Type(ctx context.Context, text string) error {
	return p.call(ctx, "Input.insertText", object{"text": text}, nil)
}

// Press presses a key, such as Enter, Tab or Escape.
func (p *Page) Press(ctx context.Context, key string) error {
	codes := map[string]int{"Enter": 13, "Tab": 9, "Escape": 27}
	text := ""
	if key == "Enter" {
		text = "\r"
	}
	for _, kind := range []string{"keyDown", "keyUp"} {
		if err := p.call(ctx, "Input.dispatchKeyEvent", object{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": codes[key], "text": text}, nil); err != nil {
			return err
		}
	}
	return nil
}

// Screenshot takes a picture of the window, PNG; with whole, of all of the page.
func (p *Page) Screenshot(ctx context.Context, whole bool) ([]byte, error) {
	if whole { // what sticks to the window's edge is at the page's
		if err := p.Eval(ctx, "scrollTo(0, 0)", nil); err != nil {
			return nil, err
		}
	}
	var res struct{ Data string }
	if err := p.call(ctx, "Page.captureScreenshot", object{"format": "png", "captureBeyondViewport": whole}, &res); err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(res.Data)
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string
	}
	return string(b)
}
