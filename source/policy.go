package source

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/waltap/waltap/internal/deadletter"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

// Values of Policy.Oversized.
const (
	OversizedFail       = "fail"
	OversizedDeadLetter = "dead-letter"
	OversizedSplit      = "split"
)

// Policy says what becomes of what cannot be delivered. The zero Policy fails the batch: the source keeps it.
type Policy struct {
	// Oversized is for records over their topic's max.message.bytes.
	Oversized string
	// Tolerate sends everything else that is undeliverable to DeadLetters, and single cells that cannot be split.
	Tolerate    bool
	DeadLetters *deadletter.Queue
	// MaxBytes is max.message.bytes of a topic, 0 when it is not known. It is asked for large records only, and must be fast.
	MaxBytes    func(topic string) int
	Compression string // of the producer

	// DeadLettered is told of dead letters that Kafka has acknowledged, Split of changes that went in parts; both count what the
	// source sends again once more.
	DeadLettered, Split func(n int)
}

// SetPolicy is to be called before the first Begin.
func (p *Publisher) SetPolicy(policy Policy) { p.policy = policy }

const (
	// small records are taken without a look at the topic's limit.
	small = 4 << 10
	// framing is more than what a record adds to its key, its value and its table's name, alone in a batch.
	framing = 300
)

// oversized returns the limit of topic that c, encoded as key and value, is over, 0 when it is not.
func (p *Publisher) oversized(topic string, c *schema.Change, key, value []byte) int {
	if p.policy.Oversized == "" || p.policy.Oversized == OversizedFail || len(value) < small {
		return 0
	}
	limit := p.policy.MaxBytes(topic)
	if limit <= 0 || len(key)+len(value)+len(c.Table)+framing <= limit {
		return 0
	}
	rec := record(c, key, value)
	if size, err := kafka.BatchBytes(&rec, p.policy.Compression); err == nil && size <= limit {
		return 0
	}
	return limit
}

// record is c as it goes to its topic; it shares the bytes of key and value.
func record(c *schema.Change, key, value []byte) kafka.Record {
	r := kafka.Record{Key: key, Value: value}
	r.Headers, _ = schema.AppendHeaders[kafka.Header](nil, nil, c)
	return r
}

// addOversized deals with c, whose record of key and value is over limit.
func (b *Batch) addOversized(c *schema.Change, tp kafka.TopicPartition, key, value []byte, limit int) error {
	policy := &b.p.policy
	if policy.Oversized == OversizedSplit && len(c.Cells) > 1 {
		if err := b.split(c); err != nil {
			return err
		}
		if !b.splitting {
			policy.Split(1)
		}
		return nil
	}
	err := fmt.Errorf("a change of %d cells of table %s, row %q, makes a record of %d bytes, and topic %s takes %d", len(c.Cells), c.Table, c.Row, len(value), tp.Topic, limit)
	if policy.Oversized == OversizedSplit && !policy.Tolerate {
		return fmt.Errorf("%w; raise max.message.bytes of the topic, or put such cells aside with errors.tolerance: all and errors.deadletterqueue.topic.name", err)
	}
	rec := record(c, key, value)
	rec.Key, rec.Value, rec.Topic, rec.Partition, rec.Offset = clone(rec.Key), clone(rec.Value), tp.Topic, tp.Partition, -1
	return b.deadLetter(rec, deadletter.StageProduce, err)
}

// split adds c as two changes of the same edit, of about as many bytes each, which may be split again.
func (b *Batch) split(c *schema.Change) error {
	total := 0
	for i := range c.Cells {
		total += cellBytes(&c.Cells[i])
	}
	at, size := 1, cellBytes(&c.Cells[0])
	for at < len(c.Cells)-1 && size < total/2 {
		size += cellBytes(&c.Cells[at])
		at++
	}
	outer := b.splitting
	b.splitting = true
	defer func() { b.splitting = outer }()
	for _, cells := range [][]schema.Cell{c.Cells[:at], c.Cells[at:]} {
		part := *c
		part.Cells = cells
		if err := b.Add(&part); err != nil {
			return err
		}
	}
	return nil
}

func cellBytes(k *schema.Cell) int {
	return len(k.Family) + len(k.Qualifier) + len(k.Value) + len(k.Tags) + 16
}

// Undeliverable is for what the source has sent and no record can be made of. It returns err, which fails the batch; unless the
// policy tolerates it: then rec, with what is known of it, becomes a dead letter, which is acknowledged as any record of the batch.
// The bytes of rec must not change any more.
func (b *Batch) Undeliverable(table string, rec kafka.Record, err error) error {
	if !b.p.policy.Tolerate {
		return err
	}
	if r, ok := (*b.p.routes.Load())[table]; ok {
		rec.Topic = r.topic
	}
	rec.Partition, rec.Offset = -1, -1
	return b.deadLetter(rec, deadletter.StagePoll, err)
}

// EditHeaders are those of a record that is no change: where it stood in the source's WAL.
func EditHeaders(op, table string, sequence uint64, timestamp int64) []kafka.Header {
	text := func(key, value string) kafka.Header { return kafka.Header{Key: key, Value: []byte(value)} }
	return []kafka.Header{
		text(schema.HeaderOp, op), text(schema.HeaderTable, table), text(schema.HeaderSequence, strconv.FormatUint(sequence, 10)),
		text(schema.HeaderTimestamp, strconv.FormatInt(timestamp, 10)), text(schema.HeaderSource, schema.KindWAL.String()),
	}
}

func (b *Batch) deadLetter(rec kafka.Record, stage string, cause error) error {
	if err := b.failed(); err != nil {
		return err
	}
	size := int64(len(rec.Key)+len(rec.Value)) + recordOverhead
	if err := b.p.budget.acquire(b.ctx, size); err != nil {
		return err
	}
	letter := deadletter.New(rec, stage, b.p, cause)
	tp, r := b.p.policy.DeadLetters.Record(&letter)
	b.mu.Lock()
	b.pending++
	b.mu.Unlock()
	var recs kafka.Records
	recs.Add(&r)
	b.p.producer.ProduceEncoded(b.ctx, tp, recs, func(err error) {
		b.p.budget.release(size)
		if err != nil {
			err = fmt.Errorf("write a dead letter: %w", err)
		} else {
			b.p.policy.DeadLettered(1)
		}
		b.settle(err)
	})
	return nil
}

// tooLarge adds to an error of the brokers about a record's size what else there is to do.
func tooLarge(err error) error {
	var e *kafka.ProduceError
	if errors.As(err, &e) && e.TooLarge() {
		return fmt.Errorf("%w; or choose an errors.oversized.policy", err)
	}
	return err
}

func clone(b []byte) []byte { return append(make([]byte, 0, len(b)), b...) }
