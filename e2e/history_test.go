//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/e2e/history"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/crash"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

// torture chooses the size the project promises to pass; else what fits into make test.
func torture[T any](small, stated T) T {
	if os.Getenv("TORTURE") == "1" {
		return stated
	}
	return small
}

// historyRun is a pipeline of one table, and what was written to it. The table is written to from before waltap is
// started until finish.
type historyRun struct {
	table   string
	pipe    *pipe
	build   testenv.BuildOptions
	serial  bool
	moved   bool // its regions move between servers: each of their lives has its order
	writers *judge.History
	log     string
	waltap  *testenv.Waltap
	writes  []history.Write
}

func startHistory(t *testing.T, serial bool, tags ...string) *historyRun {
	t.Helper()
	table := testenv.Name(t)
	createTableOf(t, env.Src, judge.Table{Name: table, Splits: judge.HexSplits(8), Attributes: keepMarkers}, "a", "b")
	h := &historyRun{table: table, serial: serial, build: testenv.BuildOptions{Tags: append([]string{"waltap_crash"}, tags...)},
		log: filepath.Join(t.TempDir(), "writes.json")}
	h.pipe = &pipe{name: table, tables: table, source: keys{
		"hbase.peer.serial": fmt.Sprint(serial), "snapshot.fetch.size": "16KiB",
		// How long a source keeps sending to the port of a process that was killed.
		"hbase.peer.zookeeper.session.timeout.ms": "4000",
	}}
	h.pipe.cleanUp(t)
	var err error
	h.writers, err = env.Src.StartHistory(t.Context(), table, judge.HistorySpec{Families: []string{"a", "b"}, Rows: 50, Seed: seed(t), Rate: torture(50, 200), Threads: 3, Log: h.log,
		// With a plain peer HBase may resend an old region's edits behind those of the region that it became. Of two values of
		// one cell and timestamp, the destination then keeps the older one: a stated exception.
		Distinct: serial})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.stopWriting(t) })
	time.Sleep(time.Second) // something to scan
	return h
}

func (h *historyRun) stopWriting(t *testing.T) {
	if h.writers == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Patience*time.Minute)
	defer cancel()
	stats, err := h.writers.Stop(ctx)
	h.writers = nil
	if err != nil {
		t.Error(err)
		return
	}
	t.Logf("%d writes acknowledged, %d failed (%s)", stats.Acked, stats.Failed, stats.LastError)
	f, err := os.Open(h.log)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	if h.writes, err = history.ReadWrites(f); err != nil {
		t.Error(err)
	}
}

// start runs waltap, which is to die at the given point, "" for nowhere.
func (h *historyRun) start(t *testing.T, point string) {
	t.Helper()
	o := testenv.WaltapOptions{Config: processYAML(h.pipe.sourceConfig(), h.pipe.sinkConfig()), Build: h.build}
	if point != "" {
		o.Env = []string{"WALTAP_CRASH=" + point}
	}
	h.waltap = env.StartWaltap(t, o)
}

// crash runs waltap until it has died at the given point.
func (h *historyRun) crash(t *testing.T, point string) {
	t.Helper()
	began := time.Now()
	h.start(t, point)
	code, err := h.waltap.Wait(testenv.Context(t, time.Minute))
	if err != nil {
		t.Fatalf("%s was not reached: %v\n%s", point, err, servers.LogTail(h.waltap.LogPath()))
	}
	name, _, _ := strings.Cut(point, ":")
	if out, err := h.waltap.Output(); err != nil || code != -1 || !strings.Contains(string(out), "killed at "+name) {
		t.Fatalf("waltap ended with %d (%v), not at %s\n%s", code, err, point, out)
	}
	t.Logf("killed at %s after %s", point, time.Since(began).Round(time.Millisecond))
}

// kills lets waltap run for a random time, n times, and kills it.
func (h *historyRun) kills(t *testing.T, rnd *rand.Rand, n int) {
	t.Helper()
	for range n {
		h.start(t, "")
		time.Sleep(300*time.Millisecond + time.Duration(rnd.Int64N(int64(1700*time.Millisecond))))
		if err := h.waltap.Kill(); err != nil {
			t.Fatal(err)
		}
	}
}

// finish stops the writers and waits until a last write has come through.
func (h *historyRun) finish(t *testing.T) {
	t.Helper()
	h.stopWriting(t)
	write(t, h.table, judge.PutAt("zz the end", "a", "q", 1, "v"))
	h.writes = append(h.writes, history.Write{Row: "zz the end", Sent: 1, Acked: 1 << 61,
		Cells: []history.Cell{{Family: "a", Qualifier: "q", Timestamp: 1, Type: "Put", Value: "76"}}})
	awaitTable(t, h.table)
	ctx := testenv.Context(t, torture(90*time.Second, 10*time.Minute))
	for {
		cells, err := env.Dst.ReadRow(ctx, h.table, []byte("zz the end")) // then it is in the topic, too
		if err != nil {
			t.Fatal(err)
		}
		if len(cells) > 0 {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the last write does not come\n%s", servers.LogTail(h.waltap.LogPath()))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// records reads the table's topic.
func (h *historyRun) records(t *testing.T) []history.Record {
	t.Helper()
	topic, err := schema.DataTopic(h.pipe.name, schema.NormalizeTable(h.table))
	if err != nil {
		t.Fatal(err)
	}
	var out []history.Record
	var d schema.Decoder
	err = kafkaClient(t).ReadAll(testenv.Context(t, time.Minute), topic, func(k kafka.Record) error {
		r, err := history.DecodeRecord(&d, k)
		out = append(out, r)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (h *historyRun) watermarks(t *testing.T) []checkpoint.Watermark {
	t.Helper()
	c, ctx, topic := kafkaClient(t), testenv.Context(t, time.Minute), schema.WatermarksTopic(h.pipe.name)
	topics, err := c.Topics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var out []checkpoint.Watermark
	if !slices.ContainsFunc(topics, func(i kafka.TopicInfo) bool { return i.Name == topic }) {
		return nil
	}
	err = c.ReadAll(ctx, topic, func(k kafka.Record) error {
		w, err := checkpoint.ParseWatermark(k.Value)
		if err == nil {
			out = append(out, *w)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// check compares the destination with the source and the topic with what the writers say.
func (h *historyRun) check(t *testing.T) {
	t.Helper()
	h.finish(t)
	// The last write came, but those of other regions may come later. Were this watermark false, the check finds them lost.
	awaitWatermark(t, h.waltap, time.Now())
	defer identical(t, h.table, judge.ScanOptions{}) // last: it ends the test when they are not
	records := h.records(t)
	scanned := 0
	for _, r := range records {
		if r.Sequence == 0 {
			scanned++
		}
	}
	t.Logf("%d writes, %d records, %d of them scanned", len(h.writes), len(records), scanned)
	if scanned == 0 || scanned == len(records) {
		t.Error("the topic must hold records of the scan and of the stream, else this shows too little")
	}
	if h.moved {
		openings, err := env.Src.Openings(testenv.Context(t, time.Minute), h.table)
		if err != nil {
			t.Fatal(err)
		}
		lives := 0
		for _, of := range openings {
			lives += len(of)
		}
		t.Logf("%d regions with %d lives", len(openings), lives)
		history.SetOpenings(records, openings)
	}
	if faults := history.Check(h.writes, records, h.serial); len(faults) > 0 {
		t.Error(history.Summary(faults))
	}
	marks := h.watermarks(t)
	if len(marks) == 0 {
		t.Error("no watermark was published")
	}
	if untrue := history.CheckWatermarks(h.writes, records, marks); len(untrue) > 0 {
		t.Error(history.Summary(untrue))
	}
	t.Logf("%d watermarks", len(marks))
}

// churn splits, merges and moves regions of the table, one after the other, until the returned function is called, and
// has done each of them.
func churn(t *testing.T, table string, rnd *rand.Rand) (stop func()) {
	ctx := testenv.Context(t, torture(time.Minute, 10*time.Minute))
	var stopping atomic.Bool
	ended := make(chan struct{})
	done := make(map[string]int)
	var last error
	go func() {
		defer close(ended)
		for step := 0; ctx.Err() == nil && (!stopping.Load() || len(done) < 3); step++ {
			kind := []string{"move", "split", "move", "merge"}[step%4]
			if err := change(ctx, table, kind, rnd); err == nil {
				done[kind]++
			} else if ctx.Err() == nil {
				last = fmt.Errorf("%s: %w", kind, err) // a region may be on its way already
			}
			select {
			case <-ctx.Done():
			case <-time.After(torture(1500*time.Millisecond, 500*time.Millisecond)):
			}
		}
	}()
	return func() {
		stopping.Store(true)
		<-ended
		t.Logf("regions: %v", done)
		if len(done) < 3 {
			t.Errorf("each of split, merge and move must have happened, there were %v; last refusal: %v", done, last)
		}
	}
}

func change(ctx context.Context, table, kind string, rnd *rand.Rand) error {
	regions, err := env.Src.Regions(ctx, table)
	if err != nil {
		return err
	}
	// A region that was split or merged a moment ago refuses, others do not.
	for _, i := range rnd.Perm(len(regions) - 1) {
		switch kind {
		case "move":
			err = env.Src.Move(ctx, regions[i].Encoded, "")
		case "split":
			err = env.Src.Split(ctx, table, fmt.Appendf(nil, "%02x", rnd.IntN(256)))
		default:
			err = env.Src.Merge(ctx, regions[i].Encoded, regions[i+1].Encoded)
		}
		if err == nil {
			break
		}
	}
	return err
}

// TestHistoryIsExactOverEveryKill kills waltap at every named point and at random while regions change.
func TestHistoryIsExactOverEveryKill(t *testing.T) {
	t.Parallel()
	rnd := random(t)
	h := startHistory(t, false)
	for _, point := range []string{crash.HoldUnsaved, crash.PeerNotAdded, crash.PeerAdded, crash.MidShard + ":20", crash.ShardUnsaved,
		crash.Scanned, crash.EnabledUnsaved} {
		h.crash(t, point)
	}
	stop := churn(t, h.table, rand.New(rand.NewPCG(rnd.Uint64(), 2)))
	for _, point := range []string{crash.BeforeProduce, crash.Produced, crash.Unanswered, crash.AppliedUnmarked} {
		h.crash(t, fmt.Sprintf("%s:%d", point, 1+rnd.IntN(torture(2, 6))))
	}
	h.kills(t, rnd, torture(3, 20))
	// A second table joins: the peer is held again.
	second := h.table + "_second"
	createTable(t, second, "a")
	write(t, second, judge.Put("r", "a", "q", "v"))
	h.pipe.tables += ", " + second
	h.crash(t, crash.PeerDisabled)
	h.start(t, "")
	awaitStreaming(t, h.waltap)
	stop()
	h.check(t)
	identical(t, second, judge.ScanOptions{})
}

// TestHistoryOfASerialPeerIsInOrderOverRegions has HBase keep the order over regions, and waltap keep it too.
func TestHistoryOfASerialPeerIsInOrderOverRegions(t *testing.T) {
	t.Parallel()
	rnd := random(t)
	h := startHistory(t, true)
	h.start(t, "")
	awaitStreaming(t, h.waltap)
	if err := h.waltap.Kill(); err != nil {
		t.Fatal(err)
	}
	stop := churn(t, h.table, rand.New(rand.NewPCG(rnd.Uint64(), 2)))
	h.crash(t, fmt.Sprintf("%s:%d", crash.Produced, 1+rnd.IntN(4)))
	h.kills(t, rnd, torture(1, 20))
	h.start(t, "")
	awaitStreaming(t, h.waltap)
	stop()
	h.check(t)
}

// The negative control of the tests above: a build that answers HBase before Kafka has acknowledged.
func TestHistoryFindsWhatAnsweringEarlyLoses(t *testing.T) {
	t.Parallel()
	h := startHistory(t, false, "waltap_ack_early")
	h.start(t, "")
	awaitStreaming(t, h.waltap)
	if err := h.waltap.Kill(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		time.Sleep(time.Second) // a queue, so that a call holds many
		h.crash(t, crash.BeforeProduce)
	}
	h.start(t, "")
	awaitStreaming(t, h.waltap)
	h.finish(t)
	time.Sleep(3 * time.Second) // the other partitions
	faults := history.Check(h.writes, h.records(t), false)
	if !slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, "lost") }) {
		t.Fatalf("answering early has lost nothing: the tests it controls prove nothing; %s", history.Summary(faults))
	}
	t.Logf("lost, as it must: %s", history.Summary(faults[:1]))
}

// The negative control of the watermark check: a build that publishes a time without proof.
func TestHistoryFindsAnUnprovedWatermark(t *testing.T) {
	t.Parallel()
	h := startHistory(t, false, "waltap_watermark_unproved")
	h.start(t, "")
	awaitWatermark(t, h.waltap, time.Time{})
	ctx := testenv.Context(t, time.Minute)
	if err := env.Src.DisablePeer(ctx, h.pipe.name); err != nil { // what is written from here on waits at the source
		t.Fatal(err)
	}
	awaitWatermark(t, h.waltap, time.Now().Add(3*time.Second))
	if err := env.Src.EnablePeer(ctx, h.pipe.name); err != nil {
		t.Fatal(err)
	}
	h.finish(t)
	if untrue := history.CheckWatermarks(h.writes, h.records(t), h.watermarks(t)); len(untrue) == 0 {
		t.Fatal("publishing without proof has made no watermark untrue: the check proves nothing")
	}
}
