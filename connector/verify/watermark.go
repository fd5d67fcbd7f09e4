package verify

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

// markPoll is the pipe's poll: how often the watermarks and the sink's offsets are looked at.
const markPoll = 200 * time.Millisecond

// pipe knows from a pipeline what the target must have.
type pipe struct {
	Pipeline
	topics  []string // of the tables that are compared
	timeout time.Duration
	poll    time.Duration
	waits   func(string)

	mu        sync.Mutex
	estimated bool
}

// proved tells whether what caughtUp returns for is a proof, not an estimate.
func (p *pipe) proved() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.estimated && !p.NoWatermark
}

func (p *pipe) tp() kafka.TopicPartition {
	return kafka.TopicPartition{Topic: schema.WatermarksTopic(p.Prefix)}
}

// read returns the watermarks of the source behind from, and where to go on.
func (p *pipe) read(ctx context.Context, from int64) (marks []*checkpoint.Watermark, next int64, err error) {
	ends, err := p.Kafka.EndOffsets(ctx, p.tp().Topic)
	if err != nil {
		return nil, from, err
	}
	err = p.Kafka.ReadRange(ctx, p.tp(), from, ends[0], func(r kafka.Record) error {
		if len(r.Value) == 0 || string(r.Key) != p.Connector {
			return nil
		}
		w, err := checkpoint.ParseWatermark(r.Value)
		if err != nil {
			return fmt.Errorf("%s offset %d: %w", r.Topic, r.Offset, err)
		}
		marks = append(marks, w)
		return nil
	})
	if err != nil {
		return nil, from, err
	}
	return marks, max(from, ends[0]), nil
}

// caughtUp returns when the target has everything that the source had acknowledged to its writers when caughtUp was called.
//
// No clock of ours is asked. A source publishes one watermark after the other: of those that come after the call, the second was made, at P by
// the source connector's clock, when the first was there already, so after the call. A watermark of P or later covers what was
// acknowledged before P, and its offsets hold it.
func (p *pipe) caughtUp(ctx context.Context) error {
	defer p.waits("")
	next, err := p.endOffset(ctx)
	if err != nil {
		return err
	}
	var after int64 // P
	come, moved := 0, time.Now()
	for {
		marks, n, err := p.read(ctx, next)
		if err != nil && !kafka.Retriable(err) {
			return fmt.Errorf("read the watermarks of %s: %w", p.Connector, err)
		}
		next = n
		for _, m := range marks {
			moved = time.Now()
			if come++; come == 2 {
				after = m.Published
			}
			if come >= 2 && m.Time >= after {
				p.mu.Lock()
				p.estimated = m.Estimated
				p.mu.Unlock()
				return p.applied(ctx, m)
			}
		}
		p.waits("the watermark of " + p.Connector)
		if time.Since(moved) > p.timeout {
			return fmt.Errorf("no watermark of connector %s has come on %s for %s: rows that differ cannot be judged; see that the source runs, or say that the pipeline is stopped (--no-watermark)", p.Connector, p.tp().Topic, p.timeout)
		}
		if err := sleep(ctx, p.poll); err != nil {
			return err
		}
	}
}

func (p *pipe) endOffset(ctx context.Context) (int64, error) {
	for {
		ends, err := p.Kafka.EndOffsets(ctx, p.tp().Topic)
		switch {
		case err == nil:
			return ends[0], nil
		case ctx.Err() != nil:
			return 0, context.Cause(ctx)
		case !kafka.Retriable(err):
			return 0, fmt.Errorf("read the watermarks of %s: %w", p.Connector, err)
		}
		if err := sleep(ctx, p.poll); err != nil {
			return 0, err
		}
	}
}

// applied waits until the sink has committed what w covers.
func (p *pipe) applied(ctx context.Context, w *checkpoint.Watermark) error {
	need := make(map[kafka.TopicPartition]int64)
	var all []kafka.TopicPartition
	for _, topic := range p.topics {
		for n, offset := range w.Offsets[topic] {
			if offset > 0 {
				tp := kafka.TopicPartition{Topic: topic, Partition: n}
				need[tp], all = offset, append(all, tp)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	moved, last := time.Now(), ""
	for {
		committed, err := p.Kafka.CommittedOffsets(ctx, p.Group, all)
		if err != nil && !kafka.Retriable(err) {
			return fmt.Errorf("read the offsets of group %s: %w", p.Group, err)
		}
		var behind []string
		if err == nil {
			for tp, offset := range need {
				if committed[tp] < offset {
					behind = append(behind, fmt.Sprintf("%s at %d of %d", tp, max(0, committed[tp]), offset))
				}
			}
			if len(behind) == 0 {
				return nil
			}
		}
		p.waits("the sink's group " + p.Group)
		if now := fmt.Sprint(committed); now != last {
			moved, last = time.Now(), now
		}
		if time.Since(moved) > p.timeout {
			return fmt.Errorf("group %s has committed nothing for %s (%s): rows that differ cannot be judged; see that the sink runs, then resume",
				p.Group, p.timeout, strings.Join(behind, ", "))
		}
		if err := sleep(ctx, p.poll); err != nil {
			return err
		}
	}
}

// ends are the ends of the data topics.
func (p *pipe) ends(ctx context.Context) (Offsets, error) {
	out := make(Offsets)
	for _, topic := range p.topics {
		ends, err := p.Kafka.EndOffsets(ctx, topic)
		if err != nil {
			return nil, fmt.Errorf("read the end of topic %s: %w", topic, err)
		}
		out[topic] = ends
	}
	return out, nil
}
