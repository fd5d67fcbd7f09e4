//go:build e2e

// Package e2e tests waltap against real HBase and Kafka servers. Each test is named after what goes wrong in it, and
// ends by comparing both ends cell by cell with HBase's own Java client.
package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
)

// env is shared by all tests. Those that stop or pause its servers, or add a peer for all tables, run one after the other;
// the others call t.Parallel and run when those are through.
var env *testenv.Env

func TestMain(m *testing.M) {
	os.Exit(testenv.Main(m, testenv.Options{
		Kafka: true, Destination: true,
		// A region that was split or merged can be so again only when the files it was compacted from are gone.
		SourceSite: map[string]string{"hbase.hfile.compaction.discharger.interval": "2000",
			// A serial source looks only so often whether the region before a split, merge or move is through: every 10 s by default.
			"hbase.serial.replication.waiting.ms": "500"},
	}, &env))
}

// seed of everything random in these tests; SEED=n repeats a run.
func seed(t testing.TB) int64 {
	n, err := strconv.ParseInt(os.Getenv("SEED"), 10, 64)
	if err != nil {
		n = time.Now().Unix()
	}
	t.Logf("SEED=%d", n)
	return n
}

func random(t testing.TB) *rand.Rand { return rand.New(rand.NewPCG(uint64(seed(t)), 1)) }

type keys map[string]string

// pipe describes a source and a sink connector.
type pipe struct {
	name         string
	tables       string // table.include.list
	source, sink keys   // beyond the usual ones; "-" takes a usual one away
	build        testenv.BuildOptions
	process      func(connectors ...string) string // the file of both; default processYAML
	from         *judge.Cluster                    // the source; default env.Src
}

func (p *pipe) sourceConfig() string {
	return connectorYAML(keys{
		"name": p.name + "_source", "connector.class": "HBaseSource",
		"hbase.zookeeper.quorum": env.Source.ZKQuorum(), "hbase.peer.id": p.name,
		"hbase.peer.listen": "127.0.0.1:0", "hbase.peer.advertised.host": "localhost", "hbase.peer.znode.parent": "/" + p.name,
		"topic.prefix": p.name, "table.include.list": p.tables, "topic.creation.default.partitions": "4",
	}, p.source)
}

func (p *pipe) sinkConfig() string {
	return connectorYAML(keys{
		"name": p.name + "_sink", "connector.class": "HBaseSink",
		"hbase.zookeeper.quorum": env.Destination.ZKQuorum(), "topics.regex": p.name + `\..*`,
	}, p.sink)
}

func connectorYAML(base, more keys) string {
	maps.Copy(base, more)
	var b strings.Builder
	lead := "  - "
	for _, k := range slices.Sorted(maps.Keys(base)) {
		if base[k] != "-" {
			fmt.Fprintf(&b, "%s%s: %s\n", lead, k, strconv.Quote(base[k]))
			lead = "    "
		}
	}
	return b.String()
}

func processYAML(connectors ...string) string {
	return kafkaYAML(env.Kafka.Bootstrap(), nil, connectors...)
}

// kafkaYAML is processYAML for another Kafka, and the keys by which it is reached.
func kafkaYAML(bootstrap string, more keys, connectors ...string) string {
	head := fmt.Sprintf("bootstrap.servers: %s\nlisteners: http://127.0.0.1:${PORT}\n", bootstrap)
	for _, k := range slices.Sorted(maps.Keys(more)) {
		head += fmt.Sprintf("%s: %s\n", k, strconv.Quote(more[k]))
	}
	return head + "connectors:\n" + strings.Join(connectors, "")
}

// start runs both connectors in one process. Its peer is removed when the test ends, so that it holds no WAL.
func (p *pipe) start(t *testing.T) *testenv.Waltap {
	t.Helper()
	p.cleanUp(t)
	return env.StartWaltap(t, testenv.WaltapOptions{Config: p.config(), Build: p.build})
}

func (p *pipe) config() string {
	if p.process == nil {
		return processYAML(p.sourceConfig(), p.sinkConfig())
	}
	return p.process(p.sourceConfig(), p.sinkConfig())
}

func (p *pipe) cleanUp(t *testing.T) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testenv.Patience*30*time.Second)
		defer cancel()
		from := cmp.Or(p.from, env.Src)
		peers, err := from.Peers(ctx)
		if err != nil {
			t.Error(err)
		}
		if slices.ContainsFunc(peers, func(x judge.Peer) bool { return x.ID == p.name }) {
			if err := from.RemovePeer(ctx, p.name); err != nil {
				t.Error(err)
			}
		}
	})
}

// view reads the status of the connector whose name ends so.
func view(ctx context.Context, w *testenv.Waltap, suffix string) (status.ConnectorView, error) {
	_, body, err := w.Get(ctx, "/status")
	if err != nil {
		return status.ConnectorView{}, err
	}
	var p status.ProcessView
	if err := json.Unmarshal(body, &p); err != nil {
		return status.ConnectorView{}, fmt.Errorf("read /status: %w", err)
	}
	for _, c := range p.Connectors {
		if strings.HasSuffix(c.Name, suffix) {
			return c, nil
		}
	}
	return status.ConnectorView{}, fmt.Errorf("/status shows no connector %s: %s", suffix, body)
}

// await polls a connector's status until ok holds.
func await(t *testing.T, w *testenv.Waltap, suffix, what string, ok func(status.ConnectorView) bool) status.ConnectorView {
	t.Helper()
	ctx := testenv.Context(t, 90*time.Second)
	for {
		v, err := view(ctx, w, suffix)
		if err == nil && ok(v) {
			return v
		}
		if !w.Running() {
			t.Fatalf("waltap ended while waiting for %s\n%s", what, servers.LogTail(w.LogPath()))
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waiting for %s: last status %+v, %v\n%s", what, v, err, servers.LogTail(w.LogPath()))
		case <-time.After(50 * time.Millisecond): // several tests wait at a time, each in two processes
		}
	}
}

func awaitStreaming(t *testing.T, w *testenv.Waltap) {
	t.Helper()
	await(t, w, "_source", "the source to stream", func(v status.ConnectorView) bool { return v.State == status.Running })
}

// createTable makes a source table that keeps what is deleted, too: a flush, such as a restarted server makes, would
// else drop hidden cells at one end only, and the ends could not be compared marker by marker.
func createTable(t *testing.T, name string, families ...string) {
	t.Helper()
	createTableAt(t, env.Src, name, families...)
}

func createTableAt(t *testing.T, c *judge.Cluster, name string, families ...string) {
	t.Helper()
	createTableOf(t, c, judge.Table{Name: name, Splits: judge.HexSplits(4)}, families...)
}

// keepMarkers are the attributes of a table that keeps delete markers for ever. A compaction, as of a region that was split or opened
// anew, else drops those that are older than every put of the store, at one end only; a delete of a whole row leaves such a one in each
// family that nothing was put to.
var keepMarkers = map[string]string{"hbase.hstore.time.to.purge.deletes": "1000000000000"}

// createTableToAlter is createTableAt for a table whose regions are split, merged or opened anew.
func createTableToAlter(t *testing.T, c *judge.Cluster, name string, families ...string) {
	t.Helper()
	createTableOf(t, c, judge.Table{Name: name, Splits: judge.HexSplits(4), Attributes: keepMarkers}, families...)
}

func createTableOf(t *testing.T, c *judge.Cluster, table judge.Table, families ...string) {
	t.Helper()
	for _, f := range families {
		table.Families = append(table.Families, judge.Family{Name: f, Versions: 1000, Scope: 1, Attributes: map[string]string{"KEEP_DELETED_CELLS": "TRUE"}})
	}
	if err := c.CreateTable(testenv.Context(t, time.Minute), table); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, table string, m ...judge.Mutation) {
	t.Helper()
	if err := env.Src.Write(testenv.Context(t, time.Minute), table, m...); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, table string, rows int64, families ...string) {
	t.Helper()
	_, err := env.Src.Load(testenv.Context(t, 2*time.Minute), table, judge.LoadSpec{Rows: rows, Seed: 7, Families: families, Versions: 2, ValueSize: 20})
	if err != nil {
		t.Fatal(err)
	}
}

// mutate writes at random until the returned function is called; it returns the number of writes. The rate is that of TORTURE; else a
// third is written: each write costs CPU in seven processes.
func mutate(t *testing.T, table string, rate int, families ...string) (stop func() int64) {
	t.Helper()
	return mutateAt(t, env.Src, table, judge.MutatorSpec{Families: families, Keys: 2000, Rate: rate})
}

func mutateAt(t *testing.T, c *judge.Cluster, table string, spec judge.MutatorSpec) (stop func() int64) {
	t.Helper()
	spec.Seed, spec.Threads, spec.ValueSize = seed(t), 2, 20
	spec.Rate = torture((spec.Rate+5)/6, spec.Rate) // a write costs all the servers together 4 ms of CPU
	m, err := c.StartMutator(t.Context(), table, spec)
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() int64 {
		if stopped {
			return 0
		}
		stopped = true
		ctx, cancel := context.WithTimeout(context.Background(), testenv.Patience*2*time.Minute)
		defer cancel()
		s, err := m.Stop(ctx)
		if err != nil {
			t.Error(err)
		}
		t.Logf("%d writes acknowledged, %d failed: %v", s.Acked, s.Failed, s.ByKind)
		return s.Acked
	}
	t.Cleanup(func() { stop() })
	return stop
}

// identical waits until both ends are: all versions, delete markers and tags.
func identical(t *testing.T, table string, o judge.ScanOptions) {
	t.Helper()
	awaitTable(t, table)
	ctx := testenv.Context(t, 2*time.Minute)
	if err := env.Src.AwaitEqual(ctx, table, env.Dst, table, o); err != nil {
		t.Fatal(err)
	}
	sum, err := env.Dst.Checksum(ctx, table, o)
	if err != nil {
		t.Fatal(err)
	}
	if sum.Cells == 0 {
		t.Fatal("both ends are empty: nothing was compared")
	}
	t.Logf("identical: %s", sum)
}

// awaitTable waits until the sink has created the table.
func awaitTable(t *testing.T, table string) {
	t.Helper()
	ctx := testenv.Context(t, time.Minute)
	for {
		there, err := env.Dst.TableExists(ctx, table)
		if err != nil {
			t.Fatalf("the sink has not created table %s: %v", table, err)
		}
		if there {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
}
