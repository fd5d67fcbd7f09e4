//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/crash"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

// workers is a group of waltap workers.
type workers struct {
	*testing.T
	name string
	all  []*testenv.Waltap
}

// startWorkers starts a group of three, and returns when all have met: the tasks of a connector that is created then are shared out among all.
func startWorkers(t *testing.T, name string) *workers {
	t.Helper()
	g := &workers{T: t, name: name}
	for range 3 {
		g.start(testenv.BuildOptions{})
	}
	ctx := testenv.Context(t, time.Minute)
	for _, w := range g.all {
		if _, err := w.WaitLog(ctx, `tasks shared out among the workers.*workers="\[\S+ \S+ \S+\]"`); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// start starts one more worker.
func (g *workers) start(build testenv.BuildOptions, env ...string) *testenv.Waltap {
	g.Helper()
	w := startOf(g.T, testenv.WaltapOptions{Name: fmt.Sprintf("worker%d", len(g.all)), Build: build, Env: env, Args: []string{"worker", "-f", "${CONFIG}"}}, g.name)
	g.all = append(g.all, w)
	return w
}

func startOf(t *testing.T, o testenv.WaltapOptions, group string) *testenv.Waltap {
	t.Helper()
	o.Config = fmt.Sprintf("bootstrap.servers: %s\nlisteners: http://127.0.0.1:${PORT}\ngroup.id: %s\nsession.timeout.ms: 6000\n", env.Kafka.Bootstrap(), group)
	return env.StartWaltap(t, o)
}

// alive are the workers that run.
func (g *workers) alive() []*testenv.Waltap {
	return slices.DeleteFunc(slices.Clone(g.all), func(w *testenv.Waltap) bool { return !w.Running() })
}

// holders are the workers that have tasks of a connector.
func (g *workers) holders(connector string) []*testenv.Waltap {
	g.Helper()
	var st herder.Status
	if err := json.Unmarshal(g.ask(http.MethodGet, "/connectors/"+connector+"/status", nil, http.StatusOK), &st); err != nil {
		g.Fatal(err)
	}
	return slices.DeleteFunc(g.alive(), func(w *testenv.Waltap) bool {
		return !slices.ContainsFunc(st.Tasks, func(task herder.TaskStatus) bool { return task.WorkerID == fmt.Sprintf("127.0.0.1:%d", w.Port()) })
	})
}

// ask sends a request to any worker that answers, until one does so with a code that is wanted.
func (g *workers) ask(method, path string, body any, want ...int) []byte {
	g.Helper()
	var b []byte
	if body != nil {
		var err error
		if b, err = json.Marshal(body); err != nil {
			g.Fatal(err)
		}
	}
	ctx := testenv.Context(g.T, time.Minute)
	for {
		var last string
		for _, w := range g.alive() {
			code, answer, err := w.Do(ctx, method, path, b)
			if err == nil && slices.Contains(want, code) {
				return answer
			}
			last = fmt.Sprintf("%d %s %v", code, answer, err)
		}
		select {
		case <-ctx.Done():
			g.Fatalf("%s %s: want %v, the last answer is %s", method, path, want, last)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// create creates the pipe's connectors over REST.
func (g *workers) create(p *pipe, tasks string) {
	g.Helper()
	for _, props := range []keys{
		{"name": p.name + "_source", "connector.class": "HBaseSource", "tasks.max": tasks,
			"hbase.zookeeper.quorum": env.Source.ZKQuorum(), "hbase.peer.id": p.name,
			"hbase.peer.listen": "127.0.0.1:0", "hbase.peer.advertised.host": "localhost", "hbase.peer.znode.parent": "/" + p.name,
			"topic.prefix": p.name, "table.include.list": p.tables, "topic.creation.default.partitions": "4"},
		{"name": p.name + "_sink", "connector.class": "HBaseSink", "tasks.max": tasks,
			"hbase.zookeeper.quorum": env.Destination.ZKQuorum(), "topics.regex": p.name + `\..*`},
	} {
		more := p.source
		if strings.HasSuffix(props["name"], "_sink") {
			more = p.sink
		}
		for k, v := range more {
			props[k] = v
		}
		g.ask(http.MethodPost, "/connectors", map[string]any{"name": props["name"], "config": props}, http.StatusCreated)
	}
}

// settle waits until every task runs, each on one worker that is there, all that are there agree on it, and the groups of the
// connectors themselves have settled: one process of the source receives.
func (g *workers) settle(p *pipe, states ...herder.State) map[string]int {
	g.Helper()
	if len(states) == 0 {
		states = []herder.State{herder.Running}
	}
	ctx := testenv.Context(g.T, 90*time.Second)
	var last string
	for {
		load, ok := map[string]int{}, true
		alive := g.alive()
		there := make(map[string]bool)
		for _, w := range alive {
			there[fmt.Sprintf("127.0.0.1:%d", w.Port())] = true
		}
		last = ""
		for _, name := range []string{p.name + "_source", p.name + "_sink"} {
			var said []string
			for _, w := range alive {
				code, body, err := w.Get(ctx, "/connectors/"+name+"/status")
				var st herder.Status
				if err != nil || code != http.StatusOK || json.Unmarshal(body, &st) != nil {
					ok = false
					last += fmt.Sprintf("%s: %d %s %v\n", name, code, body, err)
					continue
				}
				text := ""
				for _, task := range st.Tasks {
					ok = ok && slices.Contains(states, task.State) && there[task.WorkerID]
					text += fmt.Sprintf(" %d:%s@%s", task.ID, task.State, task.WorkerID)
					if w == alive[0] {
						load[task.WorkerID]++
					}
				}
				said = append(said, text)
				last += name + text + "\n"
			}
			slices.Sort(said)
			ok = ok && len(slices.Compact(said)) == 1
		}
		if ok && slices.Equal(states, []herder.State{herder.Running}) {
			ok = g.receivers(ctx, p) == 1
			last += fmt.Sprintf("%d receive\n", g.receivers(ctx, p))
		}
		if ok {
			return load
		}
		select {
		case <-ctx.Done():
			g.Fatalf("the group does not settle:\n%s", last)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// standsBy tells a process of a source that does not lead it: it stands by, or scans for the one that leads.
func standsBy(v status.ConnectorView) bool {
	return strings.HasPrefix(v.Phase, "standing by") || strings.HasSuffix(v.Phase, "for the leading process")
}

// receivers counts the processes that lead the source.
func (g *workers) receivers(ctx context.Context, p *pipe) int {
	n := 0
	for _, w := range g.alive() {
		v, err := view(ctx, w, p.name+"_source")
		if err == nil && v.State.Running() && !standsBy(v) {
			n++
		}
	}
	return n
}

// gaps watches a topic: when its records came, and the longest time without one between two moments.
type gaps struct {
	*testing.T
	topic string
	came  []int64 // write time of Kafka, ms, sorted
}

// read reads when the records came. The topic's timestamps are those of their production.
func readGaps(t *testing.T, prefix, table string) *gaps {
	t.Helper()
	ctx := testenv.Context(t, time.Minute)
	client, err := kafka.Connect(ctx, kafka.Config{BootstrapServers: []string{env.Kafka.Bootstrap()}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	topic, err := schema.DataTopic(prefix, "default:"+table)
	if err != nil {
		t.Fatal(err)
	}
	g := &gaps{T: t, topic: topic}
	if err := client.ReadAll(ctx, topic, func(r kafka.Record) error {
		g.came = append(g.came, r.Time.UnixMilli())
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(g.came)
	return g
}

// longest is the longest time without a record that ends or begins in [from, to).
func (g *gaps) longest(from, to time.Time) time.Duration {
	most := int64(0)
	for i := 1; i < len(g.came); i++ {
		if g.came[i] > from.UnixMilli() && g.came[i-1] < to.UnixMilli() {
			most = max(most, g.came[i]-g.came[i-1])
		}
	}
	return time.Duration(most) * time.Millisecond
}

type window struct {
	what     string
	from, to time.Time
}

// Three workers under write load: a rolling restart, kills at random, and restarts. Nothing is lost, each task runs once after each
// settling, and how long changes did not flow is printed.
func TestWorkersAreRestartedAndKilled(t *testing.T) {
	t.Parallel()
	name := testenv.Name(t)
	createTable(t, name, "a", "b")
	load(t, name, 2000, "a", "b")
	p := &pipe{name: name, tables: name}
	p.cleanUp(t)
	g := startWorkers(t, name)
	g.create(p, "3")
	loads := g.settle(p)
	for ctx := testenv.Context(t, time.Minute); len(loads) != 3; loads = g.settle(p) { // one that stood still for too long is out of the group for a while
		if ctx.Err() != nil {
			t.Fatalf("6 tasks are on %d of 3 workers: %v", len(loads), loads)
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Logf("tasks by worker: %v", loads)
	stop := mutate(t, name, 300, "a", "b")
	receiving(t, g, p) // records of the scan would fill the gaps
	undisturbed := window{"nothing is done", time.Now(), time.Now().Add(torture(2*time.Second, 5*time.Second))}
	time.Sleep(time.Until(undisturbed.to))
	var clean, killed []window
	for i, w := range g.all {
		from, receives := time.Now(), leads(t.Context(), w, p)
		code, err := w.Stop(testenv.Context(t, time.Minute))
		if err != nil || code != 0 {
			t.Fatalf("worker %d stopped with exit code %d, %v", i, code, err)
		}
		stopped := time.Since(from)
		g.settle(p)
		clean = append(clean, window{fmt.Sprintf("worker %d (received: %t) stopped in %.1f s", i, receives, stopped.Seconds()), from, time.Now()})
		if err := w.Restart(); err != nil {
			t.Fatal(err)
		}
		g.settle(p)
		clean[i].to = time.Now()
	}
	rnd := random(t)
	for i := range torture(2, 20) {
		w := g.all[rnd.IntN(len(g.all))]
		time.Sleep(time.Duration(rnd.Int64N(int64(time.Second))))
		from := time.Now()
		receives := leads(t.Context(), w, p)
		if err := w.Kill(); err != nil {
			t.Fatal(err)
		}
		if rnd.IntN(2) == 0 { // it stays away until others have its tasks
			g.settle(p)
		}
		if err := w.Restart(); err != nil {
			t.Fatal(err)
		}
		g.settle(p)
		killed = append(killed, window{fmt.Sprintf("kill %d (received: %t)", i, receives), from, time.Now()})
	}
	stop()
	identical(t, name, judge.ScanOptions{})
	came := readGaps(t, name, name)
	// HBase's reader sleeps for a second at the end of a WAL: so long is a gap in which nothing happens.
	t.Logf("%s: no change on the topic for %s at most", undisturbed.what, came.longest(undisturbed.from, undisturbed.to))
	for what, windows := range map[string][]window{"stopped cleanly": clean, "killed": killed} {
		longest := time.Duration(0)
		for _, w := range windows {
			gap := came.longest(w.from, w.to)
			t.Logf("%s: no change on the topic for %s at most", w.what, gap)
			longest = max(longest, gap)
		}
		t.Logf("longest capture gap of workers that are %s: %s (with HBase's own pauses)", what, longest)
	}
}

func leads(ctx context.Context, w *testenv.Waltap, p *pipe) bool {
	v, err := view(ctx, w, p.name+"_source")
	return err == nil && v.State == status.Running && !standsBy(v)
}

// One worker after the other takes over and dies at a named place of a source's or a sink's life; then three live on.
func TestWorkersDieAtNamedPlaces(t *testing.T) {
	t.Parallel()
	name := testenv.Name(t)
	createTable(t, name, "a", "b")
	load(t, name, 3000, "a", "b")
	p := &pipe{name: name, tables: name, source: keys{"snapshot.fetch.size": "16KiB"}}
	p.cleanUp(t)
	build := testenv.BuildOptions{Tags: []string{"waltap_crash"}}
	points := []string{crash.PeerAdded, crash.Unanswered, crash.AppliedUnmarked}
	if torture(false, true) {
		points = []string{crash.HoldUnsaved, crash.PeerNotAdded, crash.PeerAdded, crash.MidShard + ":20", crash.ShardUnsaved, crash.Scanned, crash.EnabledUnsaved,
			crash.BeforeProduce, crash.Produced, crash.Unanswered, crash.AppliedUnmarked}
	}
	g := &workers{T: t, name: name}
	var stop func() int64
	for i, point := range points {
		w := g.start(build, "WALTAP_CRASH="+point)
		if i == 0 {
			g.create(p, "3")
			stop = mutate(t, name, 200, "a", "b")
		}
		ctx := testenv.Context(t, 90*time.Second)
		select {
		case <-w.Done():
		case <-ctx.Done():
			t.Fatalf("the worker does not come to %s", point)
		}
		t.Logf("died at %s", point)
	}
	for range 3 {
		g.start(build)
	}
	g.settle(p)
	stop()
	identical(t, name, judge.ScanOptions{})
}

// Pausing disables the peer and says so, resuming enables it, deleting removes it; nothing is lost on the way.
func TestWorkerPausesStopsAndDeletes(t *testing.T) {
	t.Parallel()
	name := testenv.Name(t)
	createTable(t, name, "a")
	load(t, name, 200, "a")
	p := &pipe{name: name, tables: name}
	p.cleanUp(t)
	g := startWorkers(t, name)
	g.create(p, "2")
	g.settle(p)
	source := "/connectors/" + name + "_source"
	peer := func(state string, held bool) {
		t.Helper()
		ctx := testenv.Context(t, time.Minute)
		for {
			var st herder.Status
			body := g.ask(http.MethodGet, source+"/status", nil, http.StatusOK)
			if err := json.Unmarshal(body, &st); err != nil {
				t.Fatal(err)
			}
			if st.Peer != nil && st.Peer.State == state && (st.Peer.HeldSince > 0) == held {
				return
			}
			select {
			case <-ctx.Done():
				t.Fatalf("want the peer %s, held %t: %s", state, held, body)
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	peer("enabled", false)
	for _, verb := range []string{"pause", "stop"} {
		g.ask(http.MethodPut, source+"/"+verb, nil, http.StatusAccepted, http.StatusNoContent)
		peer("disabled", true)
		write(t, name, judge.Put("held by "+verb, "a", "q", "v"))
		g.ask(http.MethodPut, source+"/resume", nil, http.StatusAccepted)
		g.settle(p)
		peer("enabled", false)
	}
	identical(t, name, judge.ScanOptions{})
	g.ask(http.MethodDelete, source, nil, http.StatusNoContent)
	peers, err := env.Src.Peers(testenv.Context(t, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(peers, func(x judge.Peer) bool { return x.ID == name }) {
		t.Error("the peer of the deleted source is there")
	}
	g.ask(http.MethodGet, source, nil, http.StatusNotFound)
}
