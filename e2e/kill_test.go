//go:build e2e

package e2e

import (
	"testing"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/testenv"
)

func TestKilledInTheMiddleOfTheScan(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	createTableOf(t, env.Src, judge.Table{Name: table, Splits: smallFirst}, "a", "b")
	rows := torture[int64](4000, 60_000)
	load(t, table, rows, "a", "b")
	p := &pipe{name: table, tables: table, source: keys{"snapshot.fetch.size": "16KiB", "snapshot.max.threads": "1", "snapshot.max.rows.per.second": slow}}
	stop := mutateAt(t, env.Src, table, judge.MutatorSpec{Families: []string{"a", "b"}, Keys: 200, Rate: 500}) // fewer rows than the first region has
	w := p.start(t)
	for _, shards := range []int64{0, 1} { // in the first region, and in a later one
		await(t, w, "_source", "the scan", func(v status.ConnectorView) bool { return v.State == status.Snapshot && v.Snapshot != nil })
		limit(t, w, p.name+"_source", rows/40)
		v := await(t, w, "_source", "the scan", func(v status.ConnectorView) bool {
			return v.State == status.Snapshot && v.Snapshot != nil && v.Snapshot.ShardsDone >= shards && v.Snapshot.Rows > rows/20
		})
		if err := w.Kill(); err != nil {
			t.Fatal(err)
		}
		t.Logf("killed at %+v", *v.Snapshot)
		if v.Snapshot.ShardsDone == v.Snapshot.ShardsTotal {
			t.Fatal("the scan was complete before the kill: the table is too small for this test")
		}
		if err := w.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	await(t, w, "_source", "the scan", func(v status.ConnectorView) bool { return v.State == status.Snapshot })
	limit(t, w, p.name+"_source", 0)
	awaitStreaming(t, w)
	v, err := view(t.Context(), w, "_source")
	if err != nil {
		t.Fatal(err)
	}
	if v.Snapshot == nil || v.Snapshot.ShardsDone != 4 || v.Snapshot.ShardsTotal != 4 || v.Snapshot.Rows >= rows { // of those and what the writer has added
		t.Errorf("the last start scanned %+v, want less than the %d rows of the start, in 4 shards", v.Snapshot, rows)
	}
	stop()
	identical(t, table, judge.ScanOptions{})
}

// killInTheStream kills waltap while changes flow: at random, and when it has read a call from HBase that Kafka
// has not acknowledged.
func killInTheStream(t *testing.T, build testenv.BuildOptions) (table string) {
	table = testenv.Name(t)
	createTable(t, table, "a", "b")
	load(t, table, 1000, "a", "b")
	p := &pipe{name: table, tables: table, build: build}
	w := p.start(t)
	awaitStreaming(t, w)
	stop := mutate(t, table, 800, "a", "b")
	rnd := random(t)
	for range 3 {
		time.Sleep(500*time.Millisecond + time.Duration(rnd.Int64N(int64(time.Second))))
		if err := w.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := w.Restart(); err != nil {
			t.Fatal(err)
		}
		awaitStreaming(t, w)
	}
	// Kafka hangs: a call comes in, nothing is acknowledged, waltap dies.
	if err := env.Kafka.Pause(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Kafka.Resume(); err != nil {
			t.Error(err)
		}
	})
	before, err := view(t.Context(), w, "_source")
	if err != nil {
		t.Fatal(err)
	}
	// After so many kills HBase may pause for seconds before it tries again.
	calls := before.Calls + 1
	if len(build.Tags) > 0 {
		calls++ // the first was answered, early: HBase has one call at a time under way to one region server
	}
	await(t, w, "_source", "a call from HBase", func(v status.ConnectorView) bool { return v.Calls >= calls })
	if err := w.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := env.Kafka.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := w.Restart(); err != nil {
		t.Fatal(err)
	}
	awaitStreaming(t, w)
	stop()
	return table
}

func TestKilledInTheMiddleOfTheStream(t *testing.T) {
	identical(t, killInTheStream(t, testenv.BuildOptions{}), judge.ScanOptions{})
}

// The negative control of the test above: a build that answers HBase before Kafka has acknowledged must lose changes.
func TestKilledInTheStreamLosesChangesWhenAnsweredEarly(t *testing.T) {
	table := killInTheStream(t, testenv.BuildOptions{Tags: []string{"waltap_ack_early"}})
	ctx := testenv.Context(t, 2*time.Minute)
	write(t, table, judge.Put("ffff the end", "a", "q", "v"))
	for {
		cells, err := env.Dst.ReadRow(ctx, table, []byte("ffff the end"))
		if err != nil {
			t.Fatal(err)
		}
		if len(cells) > 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(3 * time.Second) // the other partitions
	diff, err := env.Src.Diff(ctx, table, env.Dst, table, judge.ScanOptions{}, 3)
	if err != nil {
		t.Fatal(err)
	}
	if len(diff) == 0 {
		t.Fatal("answering early has lost nothing: the test it controls proves nothing")
	}
	t.Logf("lost, as it must: %v …", diff)
}
