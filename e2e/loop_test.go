//go:build e2e

package e2e

import (
	"maps"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

// TestTwoWaysNeitherLoopNorLose copies a table both ways while the same rows are written to at both ends.
func TestTwoWaysNeitherLoopNorLose(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	createTable(t, table, "a", "b")
	createTableAt(t, env.Dst, table, "a", "b")
	back := &pipe{
		name: table + "_back", tables: table, from: env.Dst,
		source: keys{"hbase.zookeeper.quorum": env.Destination.ZKQuorum()},
		sink:   keys{"hbase.zookeeper.quorum": env.Source.ZKQuorum(), "hbase.apply": "replication"},
	}
	// Each way of writing must hand on where a change has been.
	forth := &pipe{name: table + "_forth", tables: table, sink: keys{"hbase.apply": "mutation"}}
	// Each end writes a family of its own, with the server's timestamps: of two puts to one cell with one timestamp the ends may
	// keep different ones, and a scan, which sees no origins, brings back what came from the other end.
	// Deletes of whole rows go to both families.
	writer := func(family string) judge.MutatorSpec {
		return judge.MutatorSpec{Families: []string{family}, Keys: 50, Rate: 200, ServerTimes: true}
	}
	stops := []func() int64{mutateAt(t, env.Src, table, writer("a")), mutateAt(t, env.Dst, table, writer("b"))}
	time.Sleep(time.Second) // something to scan at both ends
	forth.cleanUp(t)
	back.cleanUp(t)
	w := env.StartWaltap(t, testenv.WaltapOptions{Config: processYAML(forth.sourceConfig(), forth.sinkConfig(), back.sourceConfig(), back.sinkConfig())})
	awaitAll(t, w, forth, back)
	if err := w.Kill(); err != nil { // what was in flight both ways is sent again
		t.Fatal(err)
	}
	if err := w.Restart(); err != nil {
		t.Fatal(err)
	}
	awaitAll(t, w, forth, back)
	time.Sleep(torture(3*time.Second, 30*time.Second))
	written := stops[0]() + stops[1]()
	write(t, table, judge.Put("both ends", "a", "q", "of the source"))
	if err := env.Dst.Write(t.Context(), table, judge.Put("both ends", "b", "q", "of the destination")); err != nil {
		t.Fatal(err)
	}
	identical(t, table, judge.ScanOptions{})

	awaitForeign(t, forth, back)
	ends := settled(t, forth, back)
	t.Logf("%d writes at both ends, log ends %v", written, ends)
	for _, p := range []*pipe{forth, back} {
		own, foreign := origins(t, p)
		t.Logf("%s: %d changes made at its source, %d that came from the other end", p.name, own, foreign)
		if own == 0 || foreign == 0 {
			t.Errorf("%s: %d changes made at its source, %d that came from the other end: want both, else nothing could loop", p.name, own, foreign)
		}
	}
	identical(t, table, judge.ScanOptions{})
}

func awaitAll(t *testing.T, w *testenv.Waltap, pipes ...*pipe) {
	t.Helper()
	for _, p := range pipes {
		await(t, w, p.name+"_source", p.name+" to stream", func(v status.ConnectorView) bool { return v.State == status.Running })
	}
}

// awaitForeign waits until each topic has a change that came from the other end: HBase may look seconds later at a WAL that was quiet.
func awaitForeign(t *testing.T, pipes ...*pipe) {
	t.Helper()
	ctx := testenv.Context(t, time.Minute)
	for _, p := range pipes {
		for {
			if _, foreign := origins(t, p); foreign > 0 {
				break
			}
			select {
			case <-ctx.Done():
				t.Fatalf("%s: no change came from the other end: nothing could loop", p.name)
			case <-time.After(time.Second):
			}
		}
	}
}

// settled waits until the topics of the pipes grow no more, for longer than a change takes to come round.
func settled(t *testing.T, pipes ...*pipe) map[string]map[int32]int64 {
	t.Helper()
	c, ctx := kafkaClient(t), testenv.Context(t, time.Minute)
	ends := func() map[string]map[int32]int64 {
		out := make(map[string]map[int32]int64)
		for _, p := range pipes {
			topic := dataTopic(t, p)
			e, err := c.EndOffsets(ctx, topic)
			if err != nil {
				t.Fatal(err)
			}
			out[topic] = e
		}
		return out
	}
	for before := ends(); ; {
		time.Sleep(4 * time.Second)
		after := ends()
		if maps.EqualFunc(before, after, maps.Equal) {
			return after
		}
		if ctx.Err() != nil {
			t.Fatalf("the topics do not stop to grow, changes go round: %v, 4 s later %v", before, after)
		}
		before = after
	}
}

func dataTopic(t *testing.T, p *pipe) string {
	t.Helper()
	topic, err := schema.DataTopic(p.name, schema.NormalizeTable(p.tables))
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

// origins counts the streamed changes of a topic by where they were written.
func origins(t *testing.T, p *pipe) (own, foreign int) {
	t.Helper()
	var d schema.Decoder
	err := kafkaClient(t).ReadAll(testenv.Context(t, time.Minute), dataTopic(t, p), func(k kafka.Record) error {
		var c schema.Change
		if err := d.Decode(k.Value, &c); err != nil {
			return err
		}
		switch {
		case c.Source.Kind != schema.KindWAL:
		case len(c.Source.Origins) == 0:
			own++
		default:
			foreign++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return own, foreign
}
