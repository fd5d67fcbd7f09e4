package connector

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/internal/secret"
	"github.com/waltap/waltap/source/scan"
)

// TestPortWithoutAPIIsGuarded: a process that serves status and metrics only, such as waltap migrate start, asks for credentials all the same.
func TestPortWithoutAPIIsGuarded(t *testing.T) {
	cfg := &config.Process{Listeners: "http://127.0.0.1:0", REST: config.REST{Admin: config.Credentials{Token: secret.New("a-token-of-admin")}}}
	p := &process{cfg: cfg, status: new(status.Process), log: slog.New(slog.DiscardHandler)}
	l, err := net.Listen("tcp", cfg.ListenAddress())
	if err != nil {
		t.Fatal(err)
	}
	stop, err := p.serveOn(l)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for path, want := range map[string]int{"/status": 401, "/metrics": 401, "/healthz": 200, "/v1/connectors/x/snapshot/limits": 401} {
		res, err := http.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, want)
		}
	}
}

// serving is a process that serves its port, with that much patience for the header of a request.
func serving(t *testing.T, rest config.REST, patience time.Duration) (p *process, address string) {
	t.Helper()
	header, read := headerTimeout, readTimeout
	headerTimeout, readTimeout = patience, 2*patience
	t.Cleanup(func() { headerTimeout, readTimeout = header, read })
	p = &process{cfg: &config.Process{Listeners: "http://127.0.0.1:0", REST: rest}, status: new(status.Process), log: slog.New(slog.DiscardHandler)}
	p.limits = &limiters{of: map[string]*limited{"x": {Limiter: new(scan.Limiter)}}}
	l, err := net.Listen("tcp", p.cfg.ListenAddress())
	if err != nil {
		t.Fatal(err)
	}
	stop, err := p.serveOn(l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return p, l.Addr().String()
}

func dial(t *testing.T, address, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte(text)); err != nil && text != "" {
		t.Fatal(err)
	}
	return c
}

const limitsOfX = "/v1/connectors/x/snapshot/limits"

// answers asks for something that works.
func answers(t *testing.T, address string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	for began := time.Now(); time.Since(began) < time.Minute; { // connections that were given up may still be counted
		res, err := client.Get("http://" + address + limitsOfX)
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
			err = errors.New(res.Status)
		}
		t.Log(err)
		time.Sleep(100 * time.Millisecond)
	}
	t.Error("the port does not answer")
}

// Requests that come byte by byte are cut off, of which ever part: others are answered meanwhile and afterwards.
func TestSlowRequestsAreCutOff(t *testing.T) {
	_, address := serving(t, config.REST{MaxBody: 1 << 20, MaxConnections: 100}, 200*time.Millisecond)
	begin := "PUT " + limitsOfX + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	texts := []string{"", "P", begin, begin + "Content-Length: 100\r\n\r\n{", begin + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"}
	var slow []net.Conn
	for range 10 {
		for _, text := range texts {
			slow = append(slow, dial(t, address, text))
		}
	}
	answers(t, address)
	for i, c := range slow {
		b, err := io.ReadAll(c) // to the end: the port has closed it
		if errors.Is(err, os.ErrDeadlineExceeded) || strings.Contains(string(b), " 200 ") {
			t.Errorf("%q: %q, %v; want it cut off", texts[i%len(texts)], b, err)
		}
	}
	answers(t, address)
}

// Who opens more connections than there may be is refused; those that were there first go on, and when they are gone others are served.
func TestTooManyConnectionsAreRefused(t *testing.T) {
	_, address := serving(t, config.REST{MaxBody: 1 << 20, MaxConnections: 10}, time.Minute)
	var all []net.Conn
	for range 200 {
		all = append(all, dial(t, address, ""))
	}
	for _, c := range all[10:] {
		if b, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) || len(b) > 0 {
			t.Errorf("%q, %v: want it closed", b, err)
		}
	}
	for _, c := range all[:10] {
		if _, err := io.WriteString(c, "GET "+limitsOfX+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200 ") {
			t.Errorf("%q, %v: want an answer on a connection that was there first", b, err)
		}
	}
	answers(t, address)
}

// A body over the limit is refused, with and without its length.
func TestLargeBodiesAreRefused(t *testing.T) {
	_, address := serving(t, config.REST{MaxBody: 1 << 10, MaxConnections: 100}, time.Minute)
	body := strings.Repeat("x", 1<<20)
	for what, r := range map[string]io.Reader{"of a length that is told": strings.NewReader(body), "of a length that is not told": io.MultiReader(strings.NewReader(body))} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+address+limitsOfX, r)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Logf("%s: %v", what, err) // closed while the body was sent
			continue
		}
		res.Body.Close()
		if res.StatusCode < 400 {
			t.Errorf("a body %s: %s", what, res.Status)
		}
	}
	answers(t, address)
}
