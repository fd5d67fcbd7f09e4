//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

// startTwo runs the sink, and the source in two processes: the first to start leads, the second follows when the first is in that state.
// With status.Snapshot their scan is held until both read, and goes on at a rate, rows a second of each.
func (p *pipe) startTwo(t *testing.T, when status.State, rate int64) (leads, follows *testenv.Waltap) {
	t.Helper()
	p.cleanUp(t)
	if when == status.Snapshot {
		p.source["snapshot.max.rows.per.second"] = slow
	}
	env.StartWaltap(t, testenv.WaltapOptions{Name: "sink", Config: processYAML(p.sinkConfig())})
	start := func(name string) *testenv.Waltap {
		return env.StartWaltap(t, testenv.WaltapOptions{Name: name, Config: processYAML(p.sourceConfig()), Build: p.build})
	}
	leads = start("leads")
	await(t, leads, "_source", "the first process to lead", func(v status.ConnectorView) bool { return v.State == when })
	follows = start("follows")
	if when == status.Snapshot {
		await(t, follows, "_source", "its part of the scan", func(v status.ConnectorView) bool { return v.Snapshot != nil && v.Snapshot.Rows > 0 })
		limit(t, leads, p.name+"_source", rate)
		limit(t, follows, p.name+"_source", rate)
	}
	return leads, follows
}

// loadBinary makes a table of one region, with keys of all bytes, which is scanned in several shards.
func loadBinary(t *testing.T, table string, rows int64, megabytes uint32) {
	t.Helper()
	err := env.Src.CreateTable(testenv.Context(t, time.Minute), judge.Table{Name: table, Families: []judge.Family{{Name: "a", Versions: 1000, Scope: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = env.Src.Load(testenv.Context(t, 10*time.Minute), table, judge.LoadSpec{Rows: rows, Seed: 7, Families: []string{"a"}, Columns: 1, Versions: 1, ValueSize: torture(200, 40), BinaryKeys: true})
	if err != nil {
		t.Fatal(err)
	}
	awaitSize(t, table, megabytes)
}

// Two processes share a scan; one of them, which leads or does not, is killed when a fifth is read; at full size two.
func TestOneOfTwoScanningProcessesIsKilled(t *testing.T) {
	t.Parallel()
	for name, kill := range map[string]func(leads, follows *testenv.Waltap) (killed, other *testenv.Waltap){
		"Leader":   func(a, b *testenv.Waltap) (*testenv.Waltap, *testenv.Waltap) { return a, b },
		"Follower": func(a, b *testenv.Waltap) (*testenv.Waltap, *testenv.Waltap) { return b, a },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table, rows, rate := testenv.Name(t), torture[int64](20_000, 2_000_000), torture[int64](500, 30_000)
			const interval = 500 * time.Millisecond
			loadBinary(t, table, rows, 4)
			p := &pipe{name: table, tables: table, source: keys{"snapshot.fetch.size": "64KiB", "snapshot.shard.max.bytes": "1MiB",
				"snapshot.progress.interval.ms": "500"}}
			killed, other := kill(p.startTwo(t, status.Snapshot, rate))
			reading := func(w *testenv.Waltap) int64 {
				return await(t, w, "_source", "the scan", func(v status.ConnectorView) bool { return v.Snapshot != nil }).Snapshot.Rows
			}
			var read, lost int64
			for read < rows*torture[int64](1, 2)/5 {
				time.Sleep(20 * time.Millisecond)
				lost = reading(killed)
				read = lost + reading(other)
			}
			if err := killed.Kill(); err != nil {
				t.Fatal(err)
			}
			t.Logf("killed with %d of %d rows read, %d of them by the one that was killed", read, rows, lost)
			if read > rows*3/4 {
				t.Fatalf("%d of %d rows were read before the kill: the table is too small for this test", read, rows)
			}
			limit(t, other, table+"_source", 10*rate)
			read = lost + await(t, other, "_source", "the source to stream", func(v status.ConnectorView) bool { return v.State == status.Running && v.Calls > 0 }).Snapshot.Rows
			write(t, table, judge.Put("the end", "a", "q", "v"))
			identical(t, table, judge.ScanOptions{})
			records, distinct := scanned(t, p.name, table)
			t.Logf("%d rows: %d read, %d records of the scan", distinct, read, records)
			if distinct != rows {
				t.Errorf("the scan delivered %d rows of %d", distinct, rows)
			}
			if most, twice := torture[int64](4, 2)*int64(interval.Seconds()*float64(rate)), max(read, records)-distinct; twice > most {
				t.Errorf("%d rows were read twice, want at most some intervals, %d", twice, most)
			}
		})
	}
}

// A process stands still in the middle of its part of the scan, for long enough that the other one does that part, enables the
// peer and streams. What it still has in hand when it goes on must not come behind the changes.
func scanPausedForLong(t *testing.T, build testenv.BuildOptions) (late int) {
	t.Parallel()
	table := testenv.Name(t)
	loadBinary(t, table, torture[int64](10_000, 30_000), 2)
	p := &pipe{name: table, tables: table, build: build, source: keys{"snapshot.shard.max.bytes": "1MiB"}}
	stop := mutateAt(t, env.Src, table, judge.MutatorSpec{Families: []string{"a"}, Keys: 2000, Rate: 200})
	leads, follows := p.startTwo(t, status.Snapshot, torture[int64](100, 1500))
	await(t, follows, "_source", "its part of the scan", func(v status.ConnectorView) bool { return v.Snapshot.Rows > torture[int64](100, 1000) })
	if err := follows.Pause(); err != nil {
		t.Fatal(err)
	}
	limit(t, leads, table+"_source", 0)
	awaitStreaming(t, leads)
	await(t, leads, "_source", "changes", func(v status.ConnectorView) bool { return v.Calls > 3 })
	time.Sleep(2 * time.Second)
	if err := follows.Resume(); err != nil {
		t.Fatal(err)
	}
	if len(build.Tags) > 0 { // what is late comes as soon as it goes on
		for ctx := testenv.Context(t, time.Minute); late == 0 && ctx.Err() == nil; late = behindChanges(t, p.name, table) {
			time.Sleep(time.Second)
		}
		return late
	}
	time.Sleep(8 * time.Second) // it has 5 s to deliver what it has read
	await(t, follows, "_source", "the second process to stand by", func(v status.ConnectorView) bool { return v.State == status.Running })
	stop()
	identical(t, table, judge.ScanOptions{})
	return behindChanges(t, p.name, table)
}

// behindChanges counts the scan's records that lie behind a change in their partition.
func behindChanges(t *testing.T, prefix, table string) (late int) {
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
	changed := make(map[int32]bool)
	err = client.ReadAll(ctx, topic, func(r kafka.Record) error {
		var c schema.Change
		if err := schema.DecodeAvro(r.Value, &c); err != nil {
			return err
		}
		switch {
		case c.Source.Kind == schema.KindWAL:
			changed[r.Partition] = true
		case changed[r.Partition]:
			late++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(changed) == 0 {
		t.Fatal("no change has come: nothing was shown")
	}
	return late
}

func TestAProcessThatStoodStillSendsNothingLate(t *testing.T) {
	if late := scanPausedForLong(t, testenv.BuildOptions{}); late > 0 {
		t.Errorf("%d records of the scan lie behind changes", late)
	}
}

// The negative control of the test above.
func TestAProcessThatStoodStillSendsLateWhenUnfenced(t *testing.T) {
	late := scanPausedForLong(t, testenv.BuildOptions{Tags: []string{"waltap_unfenced"}})
	if late == 0 {
		t.Fatal("no record came late without the fence: the test it controls proves nothing")
	}
	t.Logf("%d records came late, as they must", late)
}

// The leading process dies, or is stopped, while changes flow: the one that stands by goes on.
func TestAStandbyTakesOver(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	createTable(t, table, "a", "b")
	load(t, table, 2000, "a", "b")
	p := &pipe{name: table, tables: table}
	leads, follows := p.startTwo(t, status.Running, 0)
	stop := mutate(t, table, 300, "a", "b")
	takeOver := func(from, to *testenv.Waltap, end func() error) {
		t.Helper()
		v := await(t, to, "_source", "the second process to stand by", func(v status.ConnectorView) bool { return v.State == status.Running })
		if v.Calls > 0 {
			t.Errorf("the process that stands by has received %d calls", v.Calls)
		}
		started := time.Now()
		if err := end(); err != nil {
			t.Fatal(err)
		}
		await(t, to, "_source", "changes", func(v status.ConnectorView) bool { return v.Calls > 0 })
		t.Logf("changes flow again after %.1f s", time.Since(started).Seconds())
	}
	takeOver(leads, follows, leads.Kill)
	if err := leads.Restart(); err != nil {
		t.Fatal(err)
	}
	takeOver(follows, leads, func() error {
		code, err := follows.Stop(testenv.Context(t, time.Minute))
		if err == nil && code != 0 {
			err = fmt.Errorf("exit code %d", code)
		}
		return err
	})
	stop()
	identical(t, table, judge.ScanOptions{})
}
