//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

// ackedWrites are rows, each written once, with a time at which the write was certainly acknowledged.
type ackedWrites struct {
	mu sync.Mutex
	at map[string]int64 // row to ms
}

// await waits until so many are acknowledged.
func (a *ackedWrites) await(ctx context.Context, t *testing.T, n int) {
	t.Helper()
	for {
		a.mu.Lock()
		there := len(a.at)
		a.mu.Unlock()
		if there >= n {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%d writes are acknowledged, waiting for %d", there, n)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// compares is how many writes a test awaits that compares them with watermarks: the last one is later than all of them.
const compares = 400

// writeRows writes until ctx ends, each row once, in four threads, of which each waits for a moment between two writes.
func writeRows(ctx context.Context, t *testing.T, table string) (acked *ackedWrites, wait func()) {
	acked = &ackedWrites{at: make(map[string]int64)}
	var all sync.WaitGroup
	for thread := range 4 {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				row := fmt.Sprintf("%x-%d-%d", (i*7+thread)%16, thread, i) // over all regions
				if err := env.Src.Write(t.Context(), table, judge.Put(row, "a", "q", "v")); err != nil {
					t.Errorf("write %s: %v", row, err)
					return
				}
				acked.mu.Lock()
				acked.at[row] = time.Now().UnixMilli()
				acked.mu.Unlock()
				time.Sleep(torture(15*time.Millisecond, 0))
			}
		})
	}
	return acked, all.Wait
}

// watermarks reads all that were published under the prefix, in their order.
func watermarks(t *testing.T, client *kafka.Client, prefix string) []checkpoint.Watermark {
	t.Helper()
	var all []checkpoint.Watermark
	err := client.ReadAll(testenv.Context(t, time.Minute), schema.WatermarksTopic(prefix), func(r kafka.Record) error {
		w, err := checkpoint.ParseWatermark(r.Value)
		if err == nil {
			all = append(all, *w)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// falseWatermarks compares every published watermark that is no estimate with the acknowledgements: each write acknowledged
// before it must lie in the topic below its offsets. It returns how many comparisons failed, of how many.
func falseWatermarks(t *testing.T, client *kafka.Client, prefix, table string, acked *ackedWrites) (wrong, compared int) {
	t.Helper()
	topic, err := schema.DataTopic(prefix, schema.NormalizeTable(table))
	if err != nil {
		t.Fatal(err)
	}
	type place struct {
		partition int32
		offset    int64
	}
	first := make(map[string]place)
	err = client.ReadAll(testenv.Context(t, time.Minute), topic, func(r kafka.Record) error {
		if _, seen := first[string(r.Key)]; !seen {
			first[string(r.Key)] = place{r.Partition, r.Offset}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	last := int64(0)
	for _, w := range watermarks(t, client, prefix) {
		if w.Time <= last {
			t.Errorf("watermark %d after %d", w.Time, last)
		}
		last = w.Time
		if w.Estimated {
			continue
		}
		for row, at := range acked.at {
			if at >= w.Time {
				continue
			}
			compared++
			p, there := first[row]
			if !there || p.offset >= w.Offsets[topic][p.partition] {
				wrong++
			}
		}
	}
	return wrong, compared
}

// awaitWatermark waits until the published watermark is later than a time.
func awaitWatermark(t *testing.T, w *testenv.Waltap, after time.Time) status.ConnectorView {
	t.Helper()
	return await(t, w, "_source", "the watermark to pass "+after.Format(time.RFC3339Nano), func(v status.ConnectorView) bool {
		return v.Watermark != nil && v.Watermark.Time != nil && v.Watermark.Time.After(after)
	})
}

func sourceOnly(t *testing.T, p *pipe) *testenv.Waltap {
	t.Helper()
	p.cleanUp(t)
	return env.StartWaltap(t, testenv.WaltapOptions{Config: processYAML(p.sourceConfig()), Build: p.build})
}

// TestWatermarkIsTrue ends with a build that leaves the proof out, of which the same check must find false ones.
func TestWatermarkIsTrue(t *testing.T) {
	t.Parallel()
	client := kafkaClient(t)
	// With hold the source ships nothing for a while, in which the watermark is expected to move all the same.
	check := func(t *testing.T, build testenv.BuildOptions, hold bool) (wrong, compared int) {
		table := testenv.Name(t)
		createTable(t, table, "a")
		p := &pipe{name: table, tables: table, build: build}
		w := sourceOnly(t, p)
		awaitStreaming(t, w)
		writing, stop := context.WithCancel(t.Context())
		acked, wait := writeRows(writing, t, table)
		restarted := false
		for range 2 { // the second time after a kill in the middle of it
			awaitWatermark(t, w, time.Now().Add(2*time.Second))
			if !restarted {
				restarted = true
				if err := w.Kill(); err != nil {
					t.Fatal(err)
				}
				if err := w.Restart(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if hold {
			ctx := testenv.Context(t, time.Minute)
			if err := env.Src.DisablePeer(ctx, p.name); err != nil {
				t.Fatal(err)
			}
			awaitWatermark(t, w, time.Now().Add(2*time.Second))
			if err := env.Src.EnablePeer(ctx, p.name); err != nil {
				t.Fatal(err)
			}
		}
		acked.await(testenv.Context(t, time.Minute), t, compares)
		stop()
		wait()
		// What was not there at a watermark must still come: await it, to tell late from lost.
		v := awaitWatermark(t, w, time.Now())
		for _, m := range append(watermarks(t, client, p.name), checkpoint.Watermark{Estimated: v.Watermark.Estimated}) {
			if m.Estimated {
				t.Errorf("watermark %+v is an estimate", m)
			}
		}
		if code, err := w.Stop(testenv.Context(t, time.Minute)); err != nil || code != 0 {
			t.Errorf("SIGTERM: exit code %d, %v\n%s", code, err, servers.LogTail(w.LogPath()))
		}
		wrong, compared = falseWatermarks(t, client, p.name, table, acked)
		t.Logf("%d writes, %d watermarks, %d comparisons, %d wrong", len(acked.at), len(watermarks(t, client, p.name)), compared, wrong)
		return wrong, compared
	}
	t.Run("proved", func(t *testing.T) {
		if wrong, compared := check(t, testenv.BuildOptions{}, false); wrong > 0 || compared < compares {
			t.Errorf("%d of %d writes acknowledged before a watermark were not below its offsets", wrong, compared)
		}
	})
	t.Run("negative control: without proof", func(t *testing.T) {
		if wrong, _ := check(t, testenv.BuildOptions{Tags: []string{"waltap_watermark_unproved"}}, true); wrong == 0 {
			t.Error("the check found nothing wrong with watermarks that are not proved")
		}
	})
}

func TestWatermarkMovesOnAnIdleCluster(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"heartbeat", "metrics"} {
		t.Run(mode, func(t *testing.T) {
			table := testenv.Name(t)
			createTable(t, table, "a")
			p := &pipe{name: table, tables: table, source: keys{"watermark.mode": mode, "watermark.estimate.slack.ms": "2000"}}
			w := sourceOnly(t, p)
			awaitStreaming(t, w)
			for records := range int64(2) { // nothing is written, then one row and nothing more
				v := awaitWatermark(t, w, time.Now())
				if v.Watermark.Estimated != (mode == "metrics") || v.Records != records {
					t.Errorf("watermark %+v, %d records; want %d", *v.Watermark, v.Records, records)
				}
				if records == 0 {
					write(t, table, judge.Put("r", "a", "q", "v"))
					await(t, w, "_source", "the row", func(v status.ConnectorView) bool { return v.Records == 1 })
				}
			}
			_, metrics, err := w.Get(t.Context(), "/metrics")
			if err != nil || !strings.Contains(string(metrics), `waltap_watermark_timestamp_seconds{connector="`+p.name+`_source"} `) {
				t.Errorf("/metrics lacks the watermark: %v", err)
			}
		})
	}
}

// TestSourceWithAnEndTime ends in the middle of a write load, by itself.
func TestSourceWithAnEndTime(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 2*time.Minute)
	client := kafkaClient(t)
	table := testenv.Name(t)
	createTable(t, table, "a")
	end := time.Now().Add(5 * time.Second).UTC().Truncate(time.Millisecond)
	until := keys{"end.time": end.Format(time.RFC3339Nano), "watermark.margin.ms": "1000"}
	p := &pipe{name: table, tables: table, source: until, sink: until}
	m, err := env.Src.StartMutator(ctx, table, judge.MutatorSpec{Families: []string{"a"}, Keys: 500, Seed: seed(t), Rate: torture(35, 200), Threads: 2, ServerTimes: true, ValueSize: 20})
	if err != nil {
		t.Fatal(err)
	}
	w := p.start(t)
	code, err := w.Wait(ctx)
	if _, merr := m.Stop(ctx); merr != nil {
		t.Error(merr)
	}
	log := readLog(t, w) // all of it: the sink goes on for a while, and says so each second
	if err != nil || code != 0 {
		t.Fatalf("exit code %d, %v\n%s", code, err, log)
	}
	if !strings.Contains(log, "end time reached") || !strings.Contains(log, "peer removed") {
		t.Errorf("the log does not tell the end:\n%s", log)
	}
	peers, err := env.Src.Peers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range peers {
		if x.ID == p.name {
			t.Error("the peer was not removed")
		}
	}
	all := watermarks(t, client, p.name)
	if last := all[len(all)-1].Time; last < end.UnixMilli()+1000 {
		t.Errorf("the last watermark is %d, the end time %d", last, end.UnixMilli())
	}
	diff, err := env.Src.Diff(ctx, table, env.Dst, table, judge.ScanOptions{MaxTime: end.UnixMilli() + 1}, 10)
	if err != nil || len(diff) > 0 {
		t.Errorf("the destination differs from the source as of the end time: %v, %v", diff, err)
	}
	after, err := env.Dst.Checksum(ctx, table, judge.ScanOptions{MinTime: end.UnixMilli() + 1})
	if err != nil || after.Cells > 0 {
		t.Errorf("the destination holds cells of after the end time: %v, %v", after, err)
	}
	t.Run("started again", func(t *testing.T) {
		again := env.StartWaltap(t, testenv.WaltapOptions{Config: processYAML(p.sourceConfig())})
		if code, err := again.Wait(ctx); err != nil || code != 0 {
			t.Errorf("exit code %d, %v\n%s", code, err, servers.LogTail(again.LogPath()))
		}
	})
}

// TestInitialOnlyWithAnEndTime scans once, in the middle of a write load; source and sink end by themselves.
func TestInitialOnlyWithAnEndTime(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 2*time.Minute)
	table := testenv.Name(t)
	createTable(t, table, "a")
	writing, stop := context.WithCancel(ctx)
	defer stop()
	acked, wait := writeRows(writing, t, table)
	acked.await(ctx, t, compares)
	end := time.Now().Add(3 * time.Second).UTC().Truncate(time.Millisecond)
	until := keys{"end.time": end.Format(time.RFC3339Nano), "watermark.margin.ms": "1000"}
	p := &pipe{name: table, tables: table, sink: until, source: keys{"end.time": until["end.time"], "watermark.margin.ms": "1000", "snapshot.mode": "initial_only"}}
	w := p.start(t)
	code, err := w.Wait(ctx)
	stop()
	wait()
	if err != nil || code != 0 {
		t.Fatalf("exit code %d, %v\n%s", code, err, servers.LogTail(w.LogPath()))
	}
	maps.DeleteFunc(acked.at, func(_ string, at int64) bool { return at >= end.UnixMilli() }) // the scan reads nothing newer
	wrong, compared := falseWatermarks(t, kafkaClient(t), p.name, table, acked)
	all := watermarks(t, kafkaClient(t), p.name)
	if wrong > 0 || compared < compares || len(all) != 1 || all[0].Time < end.UnixMilli()+1000 {
		t.Errorf("watermarks %+v, end time %d: %d of %d writes acknowledged before it are not below its offsets", all, end.UnixMilli(), wrong, compared)
	}
	diff, err := env.Src.Diff(ctx, table, env.Dst, table, judge.ScanOptions{MaxTime: end.UnixMilli() + 1}, 10)
	if err != nil || len(diff) > 0 {
		t.Errorf("the destination differs from the source as of the end time: %v, %v", diff, err)
	}
	after, err := env.Dst.Checksum(ctx, table, judge.ScanOptions{MinTime: end.UnixMilli() + 1})
	if err != nil || after.Cells > 0 {
		t.Errorf("the destination holds cells of after the end time: %v, %v", after, err)
	}
	t.Run("started again", func(t *testing.T) {
		again := env.StartWaltap(t, testenv.WaltapOptions{Config: processYAML(p.sourceConfig())})
		if code, err := again.Wait(ctx); err != nil || code != 0 {
			t.Errorf("exit code %d, %v\n%s", code, err, servers.LogTail(again.LogPath()))
		}
		if again := watermarks(t, kafkaClient(t), p.name); again[len(again)-1].Time != all[0].Time {
			t.Errorf("the watermark is at %+v then, was at %+v", again, all)
		}
	})
}
