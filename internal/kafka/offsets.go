package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go/protocol/listoffsets"
)

// StartOffsets returns the offset of the first record of each partition.
func (c *Client) StartOffsets(ctx context.Context, topic string) (map[int32]int64, error) {
	return c.topicOffsets(ctx, topic, FirstOffset)
}

// EndOffsets returns the offset after the last record of each partition: the high watermark, transaction markers and
// records of open transactions included.
func (c *Client) EndOffsets(ctx context.Context, topic string) (map[int32]int64, error) {
	return c.topicOffsets(ctx, topic, LastOffset)
}

// OffsetsAt returns for each partition the offset of the first record whose timestamp is t or later, or the partition's
// end offset when it has none. Kafka keeps milliseconds, and takes negative ones for FirstOffset and LastOffset: a time
// before 1970 is 1970.
func (c *Client) OffsetsAt(ctx context.Context, topic string, t time.Time) (map[int32]int64, error) {
	// The ends come first: read afterwards they would lie behind a record that was written between the two calls.
	ends, err := c.EndOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	offs, err := c.topicOffsets(ctx, topic, max(0, t.UnixMilli()))
	if err != nil {
		return nil, err
	}
	for p, o := range offs {
		if o < 0 {
			offs[p] = ends[p]
		}
	}
	return offs, nil
}

func (c *Client) topicOffsets(ctx context.Context, topic string, timestamp int64) (map[int32]int64, error) {
	offs := make(map[int32]int64)
	err := c.retry(ctx, func(ctx context.Context, _ time.Time) error {
		t, err := c.topicMetadata(ctx, topic)
		if err != nil {
			return err
		}
		byLeader := make(map[string][]int32)
		for p := range int32(len(t.Partitions)) {
			if _, done := offs[p]; done {
				continue
			}
			addr, err := c.leader(ctx, TopicPartition{topic, p}, time.Time{})
			if err != nil {
				return err
			}
			byLeader[addr] = append(byLeader[addr], p)
		}
		var errs []error
		for addr, ps := range byLeader {
			if err := c.listOffsets(ctx, addr, topic, ps, timestamp, offs); err != nil {
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	})
	if err != nil {
		return nil, fmt.Errorf("list offsets of topic %s: %w", topic, err)
	}
	return offs, nil
}

// listOffsets asks one leader and adds what it answers to offs.
func (c *Client) listOffsets(ctx context.Context, addr, topic string, partitions []int32, timestamp int64, offs map[int32]int64) error {
	req := listoffsets.RequestTopic{Topic: topic}
	for _, p := range partitions {
		req.Partitions = append(req.Partitions, listoffsets.RequestPartition{Partition: p, CurrentLeaderEpoch: -1, Timestamp: timestamp})
	}
	m, err := c.exchange(ctx, addr, &listoffsets.Request{ReplicaID: -1, Topics: []listoffsets.RequestTopic{req}})
	if err != nil {
		return err
	}
	for _, t := range m.(*listoffsets.Response).Topics {
		for _, p := range t.Partitions {
			if err := brokerError(p.ErrorCode, ""); err != nil {
				return fmt.Errorf("partition %d: %w", p.Partition, c.deniedTopic(err, OpDescribe, topic))
			}
			offs[p.Partition] = p.Offset
		}
	}
	for _, p := range partitions {
		if _, ok := offs[p]; !ok {
			return fmt.Errorf("broker %s left partition %d out of its answer: %w", addr, p, brokerError(int16(codeUnknown), ""))
		}
	}
	return nil
}

// logRange reads the start and the end of one log.
func (c *Client) logRange(ctx context.Context, tp TopicPartition, stale time.Time) (start, end int64, err error) {
	addr, err := c.leader(ctx, tp, stale)
	if err != nil {
		return -1, -1, err
	}
	var at [2]int64
	for i, ts := range []int64{FirstOffset, LastOffset} {
		offs := make(map[int32]int64, 1)
		if err := c.listOffsets(ctx, addr, tp.Topic, []int32{tp.Partition}, ts, offs); err != nil {
			return -1, -1, err
		}
		at[i] = offs[tp.Partition]
	}
	return at[0], at[1], nil
}
