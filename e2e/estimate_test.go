//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/hbase/admin"
)

// TestHeartbeatTableIsDropped: the watermark becomes an estimate, and is proved again when the table is there again.
func TestHeartbeatTableIsDropped(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 2*time.Minute)
	table := testenv.Name(t)
	createTable(t, table, "a")
	p := &pipe{name: table, tables: table, source: keys{"watermark.fallback.ms": "10000", "watermark.estimate.slack.ms": "3000"}}
	w := sourceOnly(t, p)
	awaitStreaming(t, w)
	writing, stop := context.WithCancel(ctx)
	defer stop()
	acked, wait := writeRows(writing, t, table)
	moves := func(estimated bool) {
		t.Helper()
		began := time.Now()
		await(t, w, "_source", fmt.Sprintf("a watermark that moves, estimated %v", estimated), func(v status.ConnectorView) bool {
			return v.Watermark != nil && v.Watermark.Time != nil && v.Watermark.Time.After(began) &&
				v.Watermark.Estimated == estimated && strings.Contains(v.Watermark.Reason, "table not found") == estimated
		})
	}
	moves(false)
	heartbeats := "waltap_heartbeat_" + p.name
	if err := env.Src.DropTable(ctx, heartbeats); err != nil {
		t.Fatal(err)
	}
	moves(true)
	if err := env.Src.CreateTable(ctx, judge.Table{Name: heartbeats, Families: []judge.Family{{Name: "h", Scope: 1}}}); err != nil {
		t.Fatal(err)
	}
	moves(false)
	acked.await(ctx, t, compares)
	stop()
	wait()
	awaitWatermark(t, w, time.Now())
	all := watermarks(t, kafkaClient(t), p.name)
	wrong, compared := falseWatermarks(t, kafkaClient(t), p.name, table, acked)
	t.Logf("%d writes, %d watermarks, %d comparisons, %d wrong", len(acked.at), len(all), compared, wrong)
	if wrong > 0 || compared < compares {
		t.Errorf("%d of %d writes acknowledged before a proved watermark were not below its offsets", wrong, compared)
	}
	log, told := readLog(t, w), 0
	for line := range strings.Lines(log) {
		if strings.Contains(line, "it is an estimate") && strings.Contains(line, "table not found") { // for no other reason, as that the source stood still
			told++
		}
	}
	if told != 1 || strings.Count(log, "proved again") != strings.Count(log, "it is an estimate") {
		t.Errorf("the log must tell once that it is an estimate because of the table, and each time that it is proved again\n%s", log)
	}
}

// TestSourceOfSeveralWALsPerServer has a source of its own, with multiwal: heartbeats prove nothing there.
func TestSourceOfSeveralWALsPerServer(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 2*time.Minute)
	source, err := servers.StartHBase(ctx, servers.HBaseOptions{Name: "multiwal", Dir: filepath.Join(env.Dir, testenv.Name(t)), HeapMB: 512, JVMFlags: servers.FastStart,
		ExtraSite: map[string]string{"hbase.wal.provider": "multiwal", "hbase.wal.regiongrouping.delegate.provider": "filesystem"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := source.Kill(); err != nil {
			t.Error(err)
		}
	})
	from := env.Judge.Cluster(source.ClusterKey())
	table := testenv.Name(t)
	createTableAt(t, from, table, "a")
	p := &pipe{name: table, tables: table, from: from, source: keys{"hbase.zookeeper.quorum": source.ZKQuorum(), "watermark.estimate.slack.ms": "3000"}}
	stop := mutateAt(t, from, table, judge.MutatorSpec{Families: []string{"a"}, Keys: 500, Rate: 500})
	w := p.start(t)
	for range 2 {
		v := awaitWatermark(t, w, time.Now())
		if !v.Watermark.Estimated || !strings.Contains(v.Watermark.Reason, "writes several WALs at a time") {
			t.Errorf("the watermark is %+v, want an estimate, because of several WALs", v.Watermark)
		}
	}
	cluster, err := admin.Open(ctx, admin.Config{Quorum: []string{source.ZKQuorum()}})
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	queues, err := cluster.Queues(ctx, p.name)
	if err != nil || len(queues) != 1 {
		t.Fatalf("queues %+v, %v; want one", queues, err)
	}
	wals, err := cluster.QueueWALs(ctx, queues[0])
	if err != nil || !strings.Contains(strings.Join(wals, " "), ".regiongroup-0.") || !strings.Contains(strings.Join(wals, " "), ".regiongroup-1.") {
		t.Fatalf("WALs %q (%v): the source does not write several at a time, this shows nothing", wals, err)
	}
	t.Logf("WALs in the queue: %q", wals)
	stop()
	awaitTable(t, table)
	if err := from.AwaitEqual(ctx, table, env.Dst, table, judge.ScanOptions{}); err != nil {
		t.Fatal(err)
	}
	sum, err := env.Dst.Checksum(ctx, table, judge.ScanOptions{})
	if err != nil || sum.Cells == 0 {
		t.Fatalf("nothing was compared: %v, %v", sum, err)
	}
	t.Logf("identical: %s", sum)
	for _, m := range watermarks(t, kafkaClient(t), p.name) {
		if !m.Estimated {
			t.Errorf("watermark %+v is no estimate", m)
		}
	}
}
