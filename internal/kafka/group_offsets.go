package kafka

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/offsetcommit"
	"github.com/segmentio/kafka-go/protocol/offsetfetch"
)

// coordinators remembers the coordinator of each group until it turns out wrong.
type coordinators struct {
	mu    sync.Mutex
	addrs map[string]string
}

// coordinate does one exchange with the coordinator of group; code finds the error in the answer.
func (c *Client) coordinate(ctx context.Context, group string, msg protocol.Message, code func(protocol.Message) error) error {
	return c.retry(ctx, func(ctx context.Context, _ time.Time) error {
		addr, err := c.coordinator(ctx, group)
		if err != nil {
			return fmt.Errorf("find coordinator of group %s: %w", group, err)
		}
		m, err := c.exchange(ctx, addr, msg)
		if err == nil {
			err = code(m)
		}
		if err != nil {
			c.groups.mu.Lock()
			delete(c.groups.addrs, group)
			c.groups.mu.Unlock()
		}
		return err
	})
}

func (c *Client) coordinator(ctx context.Context, group string) (string, error) {
	c.groups.mu.Lock()
	addr := c.groups.addrs[group]
	c.groups.mu.Unlock()
	if addr != "" {
		return addr, nil
	}
	m, err := c.exchangeAny(ctx, &findcoordinator.Request{Key: group})
	if err != nil {
		return "", err
	}
	res := m.(*findcoordinator.Response)
	if err := brokerError(res.ErrorCode, res.ErrorMessage); err != nil {
		return "", c.denied(err, OpDescribe, Group, group)
	}
	addr = net.JoinHostPort(res.Host, strconv.Itoa(int(res.Port)))
	c.groups.mu.Lock()
	defer c.groups.mu.Unlock()
	if c.groups.addrs == nil {
		c.groups.addrs = make(map[string]string)
	}
	c.groups.addrs[group] = addr
	return addr, nil
}

// Position is where a group stands on a partition.
type Position struct {
	Offset int64  // the next to read, -1 for none
	Note   string // what the committer left with it, at most 4 KiB; any other commit of the partition drops it
}

// CommittedOffsets returns the group's committed offset of each of tps, -1 where nothing is committed.
func (c *Client) CommittedOffsets(ctx context.Context, group string, tps []TopicPartition) (map[TopicPartition]int64, error) {
	positions, err := c.CommittedPositions(ctx, group, tps)
	if err != nil {
		return nil, err
	}
	offs := make(map[TopicPartition]int64, len(positions))
	for tp, p := range positions {
		offs[tp] = p.Offset
	}
	return offs, nil
}

// CommittedPositions is CommittedOffsets with what was committed beside them.
func (c *Client) CommittedPositions(ctx context.Context, group string, tps []TopicPartition) (map[TopicPartition]Position, error) {
	req := &offsetfetch.Request{GroupID: group}
	at := make(map[string]int)
	offs := make(map[TopicPartition]Position, len(tps))
	for _, tp := range tps {
		offs[tp] = Position{Offset: -1}
		i, ok := at[tp.Topic]
		if !ok {
			i = len(req.Topics)
			at[tp.Topic] = i
			req.Topics = append(req.Topics, offsetfetch.RequestTopic{Name: tp.Topic})
		}
		req.Topics[i].PartitionIndexes = append(req.Topics[i].PartitionIndexes, tp.Partition)
	}
	if len(tps) == 0 {
		return offs, nil
	}
	err := c.coordinate(ctx, group, req, func(m protocol.Message) error {
		res := m.(*offsetfetch.Response)
		if ErrorCode(res.ErrorCode) == codeGroupIDNotFound { // some brokers say so where nothing was ever committed
			return nil
		}
		if err := brokerError(res.ErrorCode, ""); err != nil {
			return c.denied(err, OpDescribe, Group, group)
		}
		for _, t := range res.Topics {
			for _, p := range t.Partitions {
				tp := TopicPartition{t.Name, p.PartitionIndex}
				if err := brokerError(p.ErrorCode, ""); err != nil {
					return fmt.Errorf("%s: %w", tp, c.deniedTopic(err, OpDescribe, t.Name))
				}
				offs[tp] = Position{p.CommittedOffset, p.Metadata}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("fetch committed offsets of group %s: %w", group, err)
	}
	return offs, nil
}

// CommitOffsets stores offsets (the next to read) for a group that has no running members; with running members it fails
// with a *RebalanceError and stores nothing.
func (c *Client) CommitOffsets(ctx context.Context, group string, offs map[TopicPartition]int64) error {
	return c.commit(ctx, group, -1, "", positions(offs))
}

func positions(offs map[TopicPartition]int64) map[TopicPartition]Position {
	all := make(map[TopicPartition]Position, len(offs))
	for tp, o := range offs {
		all[tp] = Position{Offset: o}
	}
	return all
}

func (c *Client) commit(ctx context.Context, group string, generation int32, member string, offs map[TopicPartition]Position) error {
	if len(offs) == 0 {
		return nil
	}
	req := &offsetcommit.Request{GroupID: group, GenerationID: generation, MemberID: member, RetentionTimeMs: -1}
	at := make(map[string]int)
	for tp, o := range offs {
		i, ok := at[tp.Topic]
		if !ok {
			i = len(req.Topics)
			at[tp.Topic] = i
			req.Topics = append(req.Topics, offsetcommit.RequestTopic{Name: tp.Topic})
		}
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, offsetcommit.RequestPartition{
			PartitionIndex: tp.Partition, CommittedOffset: o.Offset, CommittedLeaderEpoch: -1, CommittedMetadata: o.Note,
		})
	}
	err := c.coordinate(ctx, group, req, func(m protocol.Message) error {
		answered := 0
		for _, t := range m.(*offsetcommit.Response).Topics {
			for _, p := range t.Partitions {
				if err := brokerError(p.ErrorCode, ""); hasCode(err, codeGroupAuthorization) {
					return c.denied(err, OpRead, Group, group)
				} else if err != nil {
					return fmt.Errorf("%s: %w", TopicPartition{t.Name, p.PartitionIndex}, c.deniedTopic(err, OpRead, t.Name))
				}
				answered++
			}
		}
		if answered != len(offs) {
			return brokerError(int16(codeUnknown), fmt.Sprintf("%d of %d partitions answered", answered, len(offs)))
		}
		return nil
	})
	switch {
	case err == nil:
		return nil
	case hasCode(err, codeIllegalGeneration, codeUnknownMember, codeRebalanceInProgress, codeFencedInstance):
		return &RebalanceError{Group: group, Err: err}
	default:
		return fmt.Errorf("commit offsets of group %s: %w", group, err)
	}
}
