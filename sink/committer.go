package sink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/waltap/waltap/internal/kafka"
)

// committer commits, once a second and at the end of the generation, how far every partition was applied.
type committer struct {
	assignment *kafka.Assignment

	mu      sync.Mutex
	applied map[kafka.TopicPartition]kafka.Position // not committed yet
}

func newCommitter(a *kafka.Assignment) *committer {
	return &committer{assignment: a, applied: make(map[kafka.TopicPartition]kafka.Position)}
}

// done: everything of tp below next is dealt with, and everything from from on is durable at the target.
func (c *committer) done(tp kafka.TopicPartition, next, from int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.applied[tp] = kafka.Position{Offset: next, Note: note(from)}
}

// run commits until ctx ends. Kafka being away for a while is no error: the offsets wait.
func (c *committer) run(ctx context.Context) error {
	for sleep(ctx, commitInterval) == nil {
		if err := c.flush(ctx); err != nil && ctx.Err() == nil && !kafka.Retriable(err) {
			var rebalance *kafka.RebalanceError
			if errors.As(err, &rebalance) {
				continue // a rebalance is under way: ctx ends soon
			}
			return fmt.Errorf("commit offsets: %w", err)
		}
	}
	return nil
}

func (c *committer) flush(ctx context.Context) error {
	c.mu.Lock()
	offsets := maps.Clone(c.applied)
	c.mu.Unlock()
	if len(offsets) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := c.assignment.Commit(ctx, offsets); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for tp, next := range offsets {
		if c.applied[tp] == next {
			delete(c.applied, tp)
		}
	}
	return nil
}
