//go:build live

package kafka

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Run against a real cluster:
//
//	WALTAP_KAFKA=127.0.0.1:9092 go test -tags live -run Live -v ./internal/kafka

func liveClient(t testing.TB) *Client {
	t.Helper()
	c, err := Connect(testContext(t), Config{BootstrapServers: []string{os.Getenv("WALTAP_KAFKA")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func cpu() time.Duration {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func TestLiveThroughput(t *testing.T) {
	for _, compression := range []string{"none", "lz4", "zstd"} {
		t.Run(compression, func(t *testing.T) { throughput(t, compression) })
	}
}

func throughput(t *testing.T, compression string) {
	const partitions, total, perCall = 8, 1_000_000, 500
	c := liveClient(t)
	ctx := context.Background()
	topic := fmt.Sprintf("live-%s-%d", compression, time.Now().UnixNano())
	if err := c.EnsureTopics(ctx, TopicSpec{Name: topic, Partitions: partitions, ReplicationFactor: 1}); err != nil {
		t.Fatal(err)
	}
	var requests, unknown int
	var mu sync.Mutex
	p := c.NewProducer(ProducerConfig{Compression: compression, Observer: &ProducerObserver{
		Produced:       func(TopicPartition, int, int, time.Duration) { mu.Lock(); requests++; mu.Unlock() },
		UnknownOutcome: func(TopicPartition, error) { mu.Lock(); unknown++; mu.Unlock() },
	}})
	defer p.Close()
	value := make([]byte, 184)
	for i := range value {
		value[i] = byte("abcdefgh"[i*7%8])
	}
	recs := make([]Record, perCall)
	for i := range recs {
		recs[i] = Record{Key: fmt.Appendf(nil, "key-%012d", i), Value: value}
	}
	start, cpu0 := time.Now(), cpu()
	slots := make(chan struct{}, 400)
	var wg sync.WaitGroup
	for i := range total / perCall {
		slots <- struct{}{}
		wg.Add(1)
		p.Produce(ctx, TopicPartition{topic, int32(i % partitions)}, recs, func(err error) {
			if err != nil {
				t.Error(err)
			}
			<-slots
			wg.Done()
		})
	}
	wg.Wait()
	d, used := time.Since(start), cpu()-cpu0
	t.Logf("%s: produced %d records of 200 B: %.0f records/s, %.2f CPU s, %d requests, unknown outcomes %d", compression, total, total/d.Seconds(), used.Seconds(), requests, unknown)
	start, cpu0 = time.Now(), cpu()
	n := 0
	if err := c.ReadAll(ctx, topic, func(Record) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	d, used = time.Since(start), cpu()-cpu0
	t.Logf("%s: read back %d records: %.0f records/s, %.2f CPU s", compression, n, float64(n)/d.Seconds(), used.Seconds())
	if n != total {
		t.Fatalf("read %d records, want %d", n, total)
	}
}

// TestLiveBrokerDies produces numbered records while WALTAP_KAFKA_CRASH, a command that kills and restarts the broker, runs
// three times. Nothing may be lost or reordered.
func TestLiveBrokerDies(t *testing.T) {
	const partitions = 8
	c := liveClient(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	topic := fmt.Sprintf("crash-%d", time.Now().UnixNano())
	if err := c.EnsureTopics(ctx, TopicSpec{Name: topic, Partitions: partitions, ReplicationFactor: 1}); err != nil {
		t.Fatal(err)
	}
	var e events
	p := c.NewProducer(ProducerConfig{Observer: e.observer()})
	var acked [partitions]uint32
	var wg sync.WaitGroup
	for part := range partitions {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for number := uint32(0); ctx.Err() == nil; {
				recs := make([]Record, 500)
				for i := range recs {
					recs[i].Value = append(binary.BigEndian.AppendUint32(nil, number), make([]byte, 196)...)
					number++
				}
				if err := produceWait(context.Background(), p, TopicPartition{topic, int32(part)}, recs); err != nil {
					t.Error(err)
					return
				}
				acked[part] = number
			}
		}()
	}
	for range 3 {
		time.Sleep(2 * time.Second)
		if out, err := exec.Command("sh", "-c", os.Getenv("WALTAP_KAFKA_CRASH")).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		time.Sleep(5 * time.Second)
	}
	cancel()
	wg.Wait()
	p.Close()
	var last [partitions]int64
	var replays int
	for i := range last {
		last[i] = -1
	}
	err := c.ReadAll(context.Background(), topic, func(r Record) error {
		v := int64(binary.BigEndian.Uint32(r.Value))
		if v > last[r.Partition]+1 {
			return fmt.Errorf("partition %d offset %d: %d follows %d", r.Partition, r.Offset, v, last[r.Partition])
		}
		if v <= last[r.Partition] {
			replays++
		}
		last[r.Partition] = v
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	for i, n := range acked {
		total += int64(n)
		if last[i]+1 < int64(n) {
			t.Errorf("partition %d: %d records acknowledged, %d in the log", i, n, last[i]+1)
		}
	}
	t.Logf("%d records acknowledged, %d replayed; requests %d, retried %d, unknown outcomes %d", total, replays, e.produced, e.retried, e.unknown)
}

func TestLiveGroup(t *testing.T) {
	c := liveClient(t)
	ctx := testContext(t)
	name := fmt.Sprintf("group-%d", time.Now().UnixNano())
	if err := c.EnsureTopics(ctx, TopicSpec{Name: name, Partitions: 4, ReplicationFactor: 1}); err != nil {
		t.Fatal(err)
	}
	cfg := func(cfg *GroupConfig) {
		*cfg = GroupConfig{GroupID: name, Topics: []string{name}, OnState: cfg.OnState, HeartbeatInterval: 200 * time.Millisecond}
	}
	start := time.Now()
	first := startMember(t, c, cfg)
	first.await(t, 4)
	t.Logf("first member runs after %v", time.Since(start))
	start = time.Now()
	second := startMember(t, c, cfg)
	b2, b1 := second.await(t, 2), first.await(t, 2)
	t.Logf("two members run after %v", time.Since(start))
	if err := <-first.commits; err != nil {
		t.Errorf("commit in the rebalance: %v", err)
	}
	for _, p := range append(b1.Partitions, b2.Partitions...) {
		if p.Offset != 100+int64(p.Partition) {
			t.Errorf("%s begins at %d", p.TopicPartition, p.Offset)
		}
	}
	start = time.Now()
	first.stop(t)
	second.await(t, 4)
	t.Logf("one member again after %v", time.Since(start))
	if cmd := os.Getenv("WALTAP_KAFKA_CRASH"); cmd != "" {
		start = time.Now()
		if out, err := exec.Command("sh", "-c", cmd).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		second.await(t, 4)
		t.Logf("the member runs again %v after the crash of the broker", time.Since(start))
	}
	second.stop(t)
}
