package connector

import (
	"log/slog"
	"net"
	"net/http"
	"testing"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/internal/secret"
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
