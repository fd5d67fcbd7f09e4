package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

const (
	latencyRate  = 200             // puts a second
	latencySlice = 5 * time.Second // at scale 1; slices of both sides alternate
)

// consumer notes when rows are first seen in a topic.
type consumer struct {
	client *kafka.Client
	cancel context.CancelFunc
	all    sync.WaitGroup

	mu   sync.Mutex
	seen map[string]time.Time
	err  error
}

func startConsumer(ctx context.Context, bootstrap, topic string) (*consumer, error) {
	client, err := kafka.Connect(ctx, kafka.Config{BootstrapServers: []string{bootstrap}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	ends, err := client.EndOffsets(ctx, topic)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	c := &consumer{client: client, seen: make(map[string]time.Time)}
	ctx, c.cancel = context.WithCancel(ctx)
	for p, at := range ends {
		c.all.Go(func() {
			if err := c.follow(ctx, kafka.TopicPartition{Topic: topic, Partition: p}, at); err != nil && ctx.Err() == nil {
				c.mu.Lock()
				c.err = errors.Join(c.err, err)
				c.mu.Unlock()
			}
		})
	}
	return c, nil
}

func (c *consumer) follow(ctx context.Context, tp kafka.TopicPartition, at int64) error {
	for {
		res, err := c.client.Fetch(ctx, tp, at, 1<<20, 500*time.Millisecond)
		if err != nil {
			return err
		}
		now := time.Now()
		c.mu.Lock()
		for _, r := range res.Records {
			if _, ok := c.seen[string(r.Key)]; !ok {
				c.seen[string(r.Key)] = now
			}
		}
		c.mu.Unlock()
		at = res.NextOffset
	}
}

// when tells when a row was seen; it waits for it.
func (c *consumer) when(ctx context.Context, row string) (time.Time, error) {
	for {
		c.mu.Lock()
		at, ok := c.seen[row]
		err := c.err
		c.mu.Unlock()
		if ok || err != nil {
			return at, err
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return at, fmt.Errorf("row %s is not in the topic: %w", row, err)
		}
	}
}

func (c *consumer) close() error {
	c.cancel()
	c.all.Wait()
	return c.client.Close()
}

// sample are the milliseconds that puts took from their acknowledgement.
type sample struct{ topic, visible []float64 }

func milliseconds(from, to time.Time) float64 { return float64(to.Sub(from).Microseconds()) / 1000 }

// slice writes for a while into a table, and waits until all of it is at the destination and, with a consumer, in the topic.
func (b *bench) slice(ctx context.Context, table string, c *consumer) (s sample, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	prefix := b.name("p")
	times, err := b.env.Src.PutLatency(ctx, table, judge.LatencySpec{
		Family: "f", Prefix: prefix, Seed: b.names.Load(), Count: max(int(latencySlice.Seconds()*b.scale*latencyRate), latencyRate), Rate: latencyRate, ValueSize: 100,
		Destination: b.env.Dst.Key(), DestinationTable: table, TimeoutMS: 100_000,
	})
	if err != nil {
		return s, err
	}
	for i, acked := range times.Acked {
		s.visible = append(s.visible, milliseconds(acked, times.Visible[i]))
		if c != nil {
			at, err := c.when(ctx, times.Rows[i])
			if err != nil {
				return s, err
			}
			s.topic = append(s.topic, milliseconds(acked, at))
		}
	}
	return s, nil
}

// followed is a table that is followed by both sides' means, from the source into a table of the same name at the destination.
func (b *bench) followed(ctx context.Context) (table string, err error) {
	table = b.name("t")
	return table, errors.Join(newTable(ctx, b.env.Src, table), newTable(ctx, b.env.Dst, table))
}

// runLatency has HBase's replication follow one table and waltap another, and writes to them by turns.
func runLatency(ctx context.Context, b *bench, _ Shape) (out []Line, err error) {
	theirTable, err := b.followed(ctx)
	if err != nil {
		return nil, err
	}
	ourTable, err := b.followed(ctx)
	if err != nil {
		return nil, err
	}
	id := b.name("lat")
	if err := b.env.Src.AddPeer(ctx, judge.Peer{ID: id + "n", ClusterKey: b.env.Destination.ClusterKey(), Tables: map[string][]string{theirTable: {}}}); err != nil {
		return nil, err
	}
	source, err := b.startWaltap(id, b.sourceKeys(id, ourTable, keys{"snapshot.mode": "no_data"}))
	if err != nil {
		return nil, err
	}
	sink, err := b.startWaltap(id+"_sink", b.sinkKeys(id+"_sink", id, ourTable, ourTable))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(source.awaitRunning(ctx), sink.awaitRunning(ctx)); err != nil {
		return nil, err
	}
	topic, err := schema.DataTopic(id, schema.NormalizeTable(ourTable))
	if err != nil {
		return nil, err
	}
	c, err := startConsumer(ctx, b.env.Kafka.Bootstrap(), topic)
	if err != nil {
		return nil, err
	}
	ours, theirs, err := b.slices(ctx, ourTable, theirTable, c)
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return latencyLines(ours, theirs), errors.Join(c.close(), sink.stop(), source.stop(), b.env.Src.RemovePeer(ctx, id), b.env.Src.RemovePeer(ctx, id+"n"))
}

func (b *bench) slices(ctx context.Context, ourTable, theirTable string, c *consumer) (ours, theirs []sample, err error) {
	one := func(to *[]sample, table string, c *consumer) {
		if err == nil {
			var s sample
			s, err = b.slice(ctx, table, c)
			*to = append(*to, s)
		}
	}
	for i := range b.rounds + warmUp {
		if i%2 == 0 {
			one(&theirs, theirTable, nil)
			one(&ours, ourTable, c)
		} else {
			one(&ours, ourTable, c)
			one(&theirs, theirTable, nil)
		}
		if err != nil {
			return nil, nil, err
		}
		b.step("    p99: waltap in the topic %.0f ms, visible %.0f ms; HBase's replication visible %.0f ms",
			percentile(ours[i].topic, 0.99), percentile(ours[i].visible, 0.99), percentile(theirs[i].visible, 0.99))
	}
	return ours[warmUp:], theirs[warmUp:], nil
}

// latencyLines makes a line of each percentile; the p99 is judged.
func latencyLines(ours, theirs []sample) (lines []Line) {
	quantiles := []struct {
		name string
		p    float64
	}{{"p50", 0.5}, {"p99", 0.99}, {"max", 1}}
	of := func(all []sample, p float64, which func(sample) []float64) (v []float64) {
		for _, s := range all {
			v = append(v, percentile(which(s), p))
		}
		return v
	}
	visible := func(s sample) []float64 { return s.visible }
	for _, way := range []struct {
		id, work string
		which    func(sample) []float64
		limit    Criterion
	}{
		{"latency-topic", "put acknowledged → in the topic", func(s sample) []float64 { return s.topic }, Criterion{Rule: AboveAtMost, Gate: 0}},
		{"latency-visible", "put acknowledged → visible at the destination", visible, Criterion{Rule: AboveAtMost, Gate: 200, Aim: aim(50)}},
	} {
		for _, q := range quantiles {
			l := Line{
				ID: way.id, Shape: q.name, Work: way.work, Against: "HBase's replication, visible", Unit: "ms", Criterion: Criterion{Rule: Reported},
				Ours: of(ours, q.p, way.which), Theirs: of(theirs, q.p, visible),
			}
			if q.name == "p99" {
				l.Criterion = way.limit
			}
			lines = append(lines, l)
		}
	}
	return lines
}
