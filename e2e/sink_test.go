//go:build e2e

package e2e

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
	"github.com/waltap/waltap/sink/hbase"
)

// Two sinks read the same topics at their own pace, into two tables. One stops half way, the log goes on without it, and it
// is started again from a time before its stop: what it applies again changes nothing.
func TestFanOut(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 4*time.Minute)
	table := testenv.Name(t)
	createTable(t, table, "a", "b")
	load(t, table, 2000, "a", "b")
	p := &pipe{name: table, tables: table}
	p.cleanUp(t)
	sinkTo := func(copy string, more keys) string {
		q := *p
		q.sink = keys{"name": table + "_" + copy, "hbase.table.rename": table + "=" + table + "_ns:" + copy}
		for k, v := range more {
			q.sink[k] = v
		}
		return processYAML(q.sinkConfig())
	}
	source := env.StartWaltap(t, testenv.WaltapOptions{Name: "source", Config: processYAML(p.sourceConfig())})
	env.StartWaltap(t, testenv.WaltapOptions{Name: "one", Config: sinkTo("one", nil)})
	two := env.StartWaltap(t, testenv.WaltapOptions{Name: "two", Config: sinkTo("two", keys{"batch.max.records": "100"})})
	awaitStreaming(t, source)
	stop := mutate(t, table, 500, "a", "b")
	await(t, two, "_two", "more than the scan", func(v status.ConnectorView) bool { return v.Records > 2200 })
	before := time.Now()
	time.Sleep(time.Second)
	if code, err := two.Stop(ctx); err != nil || code != 0 {
		t.Fatalf("SIGTERM: exit code %d, %v\n%s", code, err, servers.LogTail(two.LogPath()))
	}
	time.Sleep(3 * time.Second)
	stop()
	config := sinkTo("two", keys{"consumer.start": "timestamp:" + before.UTC().Format(time.RFC3339)})
	again := env.StartWaltap(t, testenv.WaltapOptions{Name: "two_again", Config: config})
	for _, copy := range []string{"one", "two"} {
		awaitTable(t, table+"_ns:"+copy)
		if err := env.Src.AwaitEqual(testenv.Context(t, time.Minute), table, env.Dst, table+"_ns:"+copy, judge.ScanOptions{}); err != nil {
			t.Fatalf("%s: %v", copy, err)
		}
	}
	v := await(t, again, "_two", "the end of the topic", func(v status.ConnectorView) bool { return v.Records > 0 && v.LagRecords == 0 })
	t.Logf("the sink that was stopped applied %d records when it was started again", v.Records)
	r := testenv.RunWaltap(ctx, t, "offsets", "--bootstrap-server", env.Kafka.Bootstrap(), "--group", "connect-"+table+"_two", "get")
	if r.ExitCode != 0 || !strings.Contains(r.Stdout, "1 running members") || strings.Count(r.Stdout, p.name+".default."+table) != 4 {
		t.Errorf("waltap offsets get: exit code %d\n%s%s", r.ExitCode, r.Stdout, r.Stderr)
	}
}

// The destination of a run with an end time is the source as of that time.
func TestRunEndsByItselfAtItsEndTime(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 4*time.Minute)
	table := testenv.Name(t)
	createTable(t, table, "a", "b")
	load(t, table, 1000, "a", "b")
	p := &pipe{name: table, tables: table}
	p.cleanUp(t)
	source := env.StartWaltap(t, testenv.WaltapOptions{Name: "source", Config: processYAML(p.sourceConfig())})
	awaitStreaming(t, source)
	m, err := env.Src.StartMutator(t.Context(), table, judge.MutatorSpec{Families: []string{"a", "b"}, Keys: 500, Seed: seed(t), Rate: torture(70, 400), Threads: 2, ServerTimes: true})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	end := time.Now().Truncate(time.Second).Add(2 * time.Second)
	p.sink = keys{"end.time": end.UTC().Format(time.RFC3339), "watermark.margin.ms": "1000"}
	w := env.StartWaltap(t, testenv.WaltapOptions{Name: "sink", Config: processYAML(p.sinkConfig())})
	time.Sleep(time.Until(end.Add(time.Second)))
	write(t, table, judge.Put("0-behind", "a", "q", "v")) // if not the writer's, this one is behind the end
	s, err := m.Stop(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if v := await(t, w, "_sink", "changes behind the end", func(v status.ConnectorView) bool { return v.Skipped > 0 }); v.State != status.Running {
		t.Errorf("status %+v before there is a watermark", v)
	}
	publishWatermark(t, p, table)
	code, err := w.Wait(ctx)
	log := readLog(t, w)
	if err != nil || code != 0 || !strings.Contains(log, "the end time is reached") || strings.Count(log, "msg=ended ") != 4 {
		t.Fatalf("exit code %d, %v; want 0 and a summary of 4 partitions\n%s", code, err, log)
	}
	upTo := judge.ScanOptions{MaxTime: end.UnixMilli() + 1}
	if err := env.Src.AwaitEqual(testenv.Context(t, 10*time.Second), table, env.Dst, table, upTo); err != nil {
		t.Fatal(err)
	}
	before, err := env.Src.Checksum(ctx, table, upTo)
	if err != nil {
		t.Fatal(err)
	}
	all, err := env.Src.Checksum(ctx, table, judge.ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	there, err := env.Dst.Checksum(ctx, table, judge.ScanOptions{})
	if err != nil || all.Cells <= before.Cells || there.Cells != before.Cells {
		t.Errorf("%d cells at the source, %d of them by the end time, %d at the destination (%v), of %d writes", all.Cells, before.Cells, there.Cells, err, s.Acked)
	}
	t.Logf("%d of %d cells are of the time before the end", before.Cells, all.Cells)
}

// publishWatermark publishes one for a source that nobody writes to any more.
func publishWatermark(t *testing.T, p *pipe, table string) {
	t.Helper()
	ctx := testenv.Context(t, time.Minute)
	client := kafkaClient(t)
	topic := p.name + ".default." + table
	sentinels := make(map[string]bool)
	for _, first := range "05af" { // one in each region: its WAL is in order
		row := string(first) + "-last"
		sentinels[row] = true
		write(t, table, judge.Put(row, "a", "q", "v"))
	}
	for len(sentinels) > 0 {
		err := client.ReadAll(ctx, topic, func(r kafka.Record) error { delete(sentinels, string(r.Key)); return nil })
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	ends, err := client.EndOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UnixMilli()
	err = publishJSON(ctx, client, schema.WatermarksTopic(p.name), p.name+"_source", checkpoint.Watermark{FormatVersion: 1, Connector: p.name + "_source",
		Time: now, Published: now, Offsets: map[string]map[int32]int64{topic: ends}})
	if err != nil {
		t.Fatal(err)
	}
}

// kafkaTool runs a class of Kafka's own tools.
func kafkaTool(ctx context.Context, t *testing.T, class string, args ...string) {
	t.Helper()
	java, err := servers.Java()
	if err != nil {
		t.Fatal(err)
	}
	jars, err := servers.KafkaJars(ctx)
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-XX:TieredStopAtLevel=1", "-cp", filepath.Join(jars, "*"), "org.apache.kafka.tools." + class, "--bootstrap-server", env.Kafka.Bootstrap()}, args...)
	if out, err := exec.CommandContext(ctx, java, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", class, err, out)
	}
}

// oneCell is a batch of one change.
func oneCell(topic, table, row string, cell schema.Cell, origins ...schema.UUID) *sink.Batch {
	cell.Family, cell.Qualifier = []byte("a"), []byte("q")
	return &sink.Batch{Topic: topic, Changes: []schema.Change{{Table: "default:" + table, Row: []byte(row), Cells: []schema.Cell{cell},
		Source: schema.Source{Region: "r", Kind: schema.KindWAL, ClusterID: schema.UUID{7}, Origins: origins, Epoch: 1}}}}
}

// A change that has been at the target is not applied there once more; one that came by other clusters is, and keeps its list.
func TestChangeThatHasBeenAtTheTargetIsNotApplied(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, time.Minute)
	client := kafkaClient(t)
	table := testenv.Name(t)
	topic := table + ".default." + table
	err := publishJSON(ctx, client, schema.TablesTopic(table), "default:"+table, schema.Table{Name: "default:" + table, Epoch: 1, Families: []schema.Family{{Name: "a"}}})
	if err != nil {
		t.Fatal(err)
	}
	looped := 0
	a, err := openSink(ctx, client, func(c *hbase.Config) { c.Looped = func(n int) { looped += n } })
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	text, err := env.Dst.ClusterID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	target, err := schema.ParseUUID(text)
	if err != nil {
		t.Fatal(err)
	}
	put := schema.Cell{Timestamp: 5, Type: schema.Put, Value: []byte("v")}
	for _, b := range []*sink.Batch{oneCell(topic, table, "elsewhere", put, schema.UUID{8}), oneCell(topic, table, "here", put, schema.UUID{8}, target), oneCell(topic, table, "nowhere", put)} {
		if err := a.Apply(ctx, b); err != nil {
			t.Fatal(err)
		}
	}
	cells, err := env.Dst.Cells(ctx, table, judge.ScanOptions{})
	if err != nil || len(cells) != 2 || string(cells[0].Row) != "elsewhere" || string(cells[1].Row) != "nowhere" || looped != 1 {
		t.Errorf("cells %+v, %v, %d looped; want all but the one that has been here", cells, err, looped)
	}
}

// A put that comes after a newer delete stays hidden although the target was compacted in between. Without the window it does not:
// that is the negative control.
func TestLatePutStaysHidden(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 3*time.Minute)
	client := kafkaClient(t)
	for _, tc := range []struct {
		name   string
		window time.Duration
		exists bool // the table, before the sink sees it
		hidden bool
	}{
		{"without the window", 0, false, false},
		{"table made by the sink", time.Hour, false, true},
		{"table that was there", time.Hour, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			table := testenv.Name(t)
			topic := table + ".default." + table
			err := publishJSON(ctx, client, schema.TablesTopic(table), "default:"+table, schema.Table{Name: "default:" + table, Epoch: 1, Families: []schema.Family{{Name: "a"}}})
			if err != nil {
				t.Fatal(err)
			}
			const key = "hbase.hstore.time.to.purge.deletes"
			before := hbase.NotSet
			if tc.exists {
				before = "1000"
				if err := env.Dst.CreateTable(ctx, judge.Table{Name: table, Families: []judge.Family{{Name: "a"}}, Attributes: map[string]string{key: before}}); err != nil {
					t.Fatal(err)
				}
			}
			a, err := openSink(ctx, client, func(c *hbase.Config) { c.LatePutWindow = tc.window })
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			now := time.Now().UnixMilli()
			if err := a.Apply(ctx, oneCell(topic, table, "r", schema.Cell{Timestamp: now - 5000, Type: schema.DeleteColumn})); err != nil {
				t.Fatal(err)
			}
			if err := env.Dst.Flush(ctx, table); err != nil {
				t.Fatal(err)
			}
			if err := env.Dst.MajorCompact(ctx, table); err != nil {
				t.Fatal(err)
			}
			if err := a.Apply(ctx, oneCell(topic, table, "r", schema.Cell{Timestamp: now - 10_000, Type: schema.Put, Value: []byte("deleted")})); err != nil {
				t.Fatal(err)
			}
			cells, err := env.Dst.ReadRow(ctx, table, []byte("r"))
			if err != nil || (len(cells) == 0) != tc.hidden {
				t.Errorf("a get returns %+v, %v; want it hidden: %v", cells, err, tc.hidden)
			}
			cluster, err := admin.Open(ctx, admin.Config{Quorum: []string{env.Destination.ZKQuorum()}, Root: env.Destination.ZNodeParent()})
			if err != nil {
				t.Fatal(err)
			}
			defer cluster.Close()
			d, err := cluster.Table(ctx, table)
			if err != nil {
				t.Fatal(err)
			}
			got, kept := d.Attributes[key], d.Attributes[hbase.PurgeBeforeKey]
			if tc.hidden && (got != "3600000" || kept != before) || !tc.hidden && (got != "" || kept != "") {
				t.Errorf("attributes %v", d.Attributes)
			}
		})
	}
}
