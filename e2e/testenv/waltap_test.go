//go:build e2e

package testenv_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/testenv"
)

func TestWaltapRuns(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 3*time.Minute)
	if r := testenv.RunWaltap(ctx, t, "--help"); r.ExitCode != 0 || !strings.Contains(r.Stdout, "run") {
		t.Errorf("waltap --help: %+v", r)
	}
	if r := testenv.RunWaltap(ctx, t, "no-such-command"); r.ExitCode == 0 || r.Stderr == "" {
		t.Errorf("waltap no-such-command: %+v", r)
	}
	w := env.StartWaltap(t, testenv.WaltapOptions{Config: "no.such.key: ${PORT}\n"})
	code, err := w.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if code == 0 {
		t.Error("waltap accepted a configuration with an unknown key")
	}
	if _, err := w.WaitLog(ctx, `no\.such\.key`); err != nil {
		t.Error(err)
	}
	if err := w.AwaitStatus(ctx, "/readyz", 200); err == nil {
		t.Error("a process that has ended is ready")
	}

	config := fmt.Sprintf(`bootstrap.servers: %s
listeners: http://127.0.0.1:${PORT}
connectors:
  - name: sink
    connector.class: HBaseSink
    topics.regex: %s\..*
    hbase.zookeeper.quorum: %s
`, env.Kafka.Bootstrap(), testenv.Name(t), env.Destination.ZKQuorum())
	w = env.StartWaltap(t, testenv.WaltapOptions{Config: config})
	if err := w.AwaitStatus(ctx, "/healthz", 200); err != nil {
		t.Fatal(err)
	}
	if rss, err := w.PeakRSS(); err != nil || rss < 1<<20 {
		t.Errorf("peak memory %d, %v", rss, err)
	}
	if code, err := w.Stop(ctx); err != nil || code != 0 {
		t.Errorf("exit code %d, %v", code, err)
	}
}
