package kafka

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

// TestProduceSchedules drives random calls through random faults. Each partition has one sender, which makes a call again
// when it fails, as HBase does; its records are numbered. Asserted for every partition:
//   - nothing is lost: the log holds all numbers;
//   - nothing is reordered: a number follows its predecessor, or repeats from an earlier one on (a replay);
//   - with producer ids, nothing is repeated unless a caller gave up.
//
// rapid prints the seed of a failure.
func TestProduceSchedules(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := schedule{
			plain:      rapid.Bool().Draw(rt, "plain"),
			impatient:  rapid.Bool().Draw(rt, "impatient"),
			partitions: rapid.IntRange(1, 3).Draw(rt, "partitions"),
			calls:      rapid.SliceOfN(rapid.IntRange(0, 40), 1, 12).Draw(rt, "calls"),
			network:    rapid.SliceOfN(rapid.IntRange(0, numberFaults-1), 0, 10).Draw(rt, "network"),
			broker:     rapid.SliceOfN(rapid.IntRange(0, len(brokerFaults)-1), 0, 6).Draw(rt, "broker"),
			maxBatch:   rapid.SampledFrom([]int{200, 600, 1 << 20}).Draw(rt, "maxBatch"),
		}
		s.run(rt, t)
	})
}

var brokerFaults = []*kerr.Error{kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.RequestTimedOut,
	kerr.NotLeaderForPartition, kerr.UnknownServerError, kerr.OutOfOrderSequenceNumber}

type schedule struct {
	plain, impatient bool
	partitions       int
	calls            []int // records of each call
	network, broker  []int
	maxBatch         int
}

func (s *schedule) run(rt *rapid.T, t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.SeedTopics(int32(s.partitions), "t"))
	if err != nil {
		rt.Fatal(err)
	}
	defer cluster.Close()
	for _, f := range s.broker {
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: brokerFaults[f]})
	}
	var faults []fault
	for _, f := range s.network {
		faults = append(faults, fault(f))
	}
	n := script(faults...)
	cfg := Config{BootstrapServers: cluster.ListenAddrs()}
	n.install(&cfg)
	c, err := Connect(testContext(t), cfg)
	if err != nil {
		rt.Fatal(err)
	}
	defer c.Close()
	p := c.NewProducer(ProducerConfig{DisableIdempotence: s.plain, MaxBatchBytes: s.maxBatch, RequestTimeout: 15 * time.Millisecond,
		RetryBackoff: time.Millisecond, MaxRetryBackoff: 4 * time.Millisecond})
	var wg sync.WaitGroup
	for part := range s.partitions {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := s.send(p, TopicPartition{"t", int32(part)}); err != nil {
				rt.Errorf("partition %d: %v", part, err)
			}
		}()
	}
	wg.Wait()
	p.Close()
	if !s.plain {
		n.release(t) // requests that were on the way all the time
	}
	s.verify(rt, t, c)
}

// send makes the calls of one partition, each until it succeeds. A patient sender has all in flight together. An impatient
// one makes them one after the other: a call that is given up before it was sent is a gap for what is queued behind it.
func (s *schedule) send(p *Producer, tp TopicPartition) error {
	var calls [][]Record
	number := uint32(0)
	for _, size := range s.calls {
		recs := make([]Record, size)
		for i := range recs {
			recs[i].Value = binary.BigEndian.AppendUint32(nil, number)
			number++
		}
		calls = append(calls, recs)
	}
	for deadline := time.Now().Add(30 * time.Second); len(calls) > 0; {
		if time.Now().After(deadline) {
			return fmt.Errorf("%d calls never succeeded", len(calls))
		}
		patience, together := 30*time.Second, calls
		if s.impatient {
			patience, together = 10*time.Millisecond, calls[:1]
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		errs := make([]error, len(together))
		var wg sync.WaitGroup
		for i, recs := range together {
			wg.Add(1)
			p.Produce(ctx, tp, recs, func(err error) { errs[i] = err; wg.Done() })
		}
		wg.Wait()
		cancel()
		ok := 0
		for ok < len(errs) && errs[ok] == nil {
			ok++
		}
		calls = calls[ok:]
	}
	return nil
}

func (s *schedule) verify(rt *rapid.T, t *testing.T, c *Client) {
	total := 0
	for _, n := range s.calls {
		total += n
	}
	last := make(map[int32]int)
	count := 0
	for part := range s.partitions {
		last[int32(part)] = -1
	}
	seen := make(map[int32]int)
	err := c.ReadAll(testContext(t), "t", func(r Record) error {
		v := int(binary.BigEndian.Uint32(r.Value))
		if v > last[r.Partition]+1 {
			return fmt.Errorf("partition %d: %d follows %d", r.Partition, v, last[r.Partition])
		}
		last[r.Partition] = v
		seen[r.Partition] = max(seen[r.Partition], v+1)
		count++
		return nil
	})
	if err != nil {
		rt.Fatal(err)
	}
	for part := range s.partitions {
		if seen[int32(part)] != total {
			rt.Fatalf("partition %d: %d of %d records", part, seen[int32(part)], total)
		}
	}
	outOfOrder := false
	for _, f := range s.broker {
		outOfOrder = outOfOrder || brokerFaults[f] == kerr.OutOfOrderSequenceNumber
	}
	if !s.plain && !s.impatient && !outOfOrder && count != total*s.partitions {
		rt.Fatalf("%d records, want %d", count, total*s.partitions)
	}
}
