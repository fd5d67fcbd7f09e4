//go:build e2e

package e2e

import (
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
)

// Three workers of a source whose region server looks for new edits every 20 ms, not every second: so what a rolling restart adds can be
// seen. Windows in which nothing is done take turns with those in which the receiving worker is stopped, and is started again.
func TestRollingRestartAddsLittle(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, torture(4*time.Minute, 15*time.Minute))
	h, err := servers.StartHBase(ctx, servers.HBaseOptions{Name: "eager", Dir: filepath.Join(env.Dir, testenv.Name(t)), HeapMB: 512, JVMFlags: servers.FastStart,
		ExtraSite: map[string]string{"replication.source.sleepforretries": "10"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Kill(); err != nil {
			t.Error(err)
		}
	})
	from, name := env.Judge.Cluster(h.ClusterKey()), testenv.Name(t)
	createTableAt(t, from, name, "a")
	p := &pipe{name: name, tables: name, from: from, source: keys{"hbase.zookeeper.quorum": h.ZKQuorum()}}
	p.cleanUp(t)
	g := startWorkers(t, name)
	g.create(p, "3")
	g.settle(p)
	stop := mutateAt(t, from, name, judge.MutatorSpec{Families: []string{"a"}, Keys: 2000, Rate: 300})
	var quiet, restarted []window
	var handed []time.Duration
	for range torture(3, 12) {
		w := receiving(t, g, p)
		least := torture(time.Second, 4*time.Second)
		from := time.Now()
		time.Sleep(least)
		quiet = append(quiet, window{"nothing is done", from, time.Now()})
		from = time.Now()
		if code, err := w.Stop(ctx); err != nil || code != 0 {
			t.Fatalf("stopped with exit code %d, %v", code, err)
		}
		next := receiving(t, g, p)
		handed = append(handed, between(t, w, next))
		time.Sleep(time.Until(from.Add(least)))
		restarted = append(restarted, window{"the receiving worker was stopped", from, time.Now()})
		if err := w.Restart(); err != nil {
			t.Fatal(err)
		}
		g.settle(p)
	}
	stop()
	g.ask(http.MethodGet, "/connectors/"+name+"_source/status", nil, http.StatusOK)
	awaitTable(t, name)
	if err := from.AwaitEqual(ctx, name, env.Dst, name, judge.ScanOptions{}); err != nil {
		t.Fatal(err)
	}
	came := readGaps(t, name, name)
	longest := func(windows []window) (all []time.Duration) {
		for _, w := range windows {
			all = append(all, came.longest(w.from, w.to))
		}
		slices.Sort(all)
		return all
	}
	t.Logf("longest time without a change on the topic, of windows in which nothing is done: %v", longest(quiet))
	t.Logf("of windows in which the receiving worker is stopped: %v", longest(restarted))
	slices.Sort(handed)
	t.Logf("from the last call that the old worker answered to the first that came to the new one: %v", handed)
}

// receiving waits until one worker receives changes, and finds it.
func receiving(t *testing.T, g *workers, p *pipe) *testenv.Waltap {
	t.Helper()
	ctx := testenv.Context(t, 90*time.Second)
	for {
		for _, w := range g.alive() {
			if v, err := view(ctx, w, p.name+"_source"); err == nil && v.State == status.Running && v.Calls > 0 && leads(ctx, w, p) {
				return w
			}
		}
		select {
		case <-ctx.Done():
			t.Fatal("no worker receives changes")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

var (
	answeredAt = regexp.MustCompile(`last_call_answered=(\S+)`)
	cameAt     = regexp.MustCompile(`the first call of a region server.* came=(\S+)`)
)

// between is the time from the last call that old has answered to the first that came to next, by their logs.
func between(t *testing.T, old, next *testenv.Waltap) time.Duration {
	t.Helper()
	at := func(w *testenv.Waltap, re *regexp.Regexp) time.Time {
		t.Helper()
		line, err := w.WaitLog(testenv.Context(t, time.Minute), re.String())
		if err != nil {
			t.Fatal(err)
		}
		m := re.FindStringSubmatch(line)
		when, err := time.Parse(time.RFC3339Nano, m[1])
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	return at(next, cameAt).Sub(at(old, answeredAt))
}
