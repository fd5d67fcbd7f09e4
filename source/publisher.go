// Package source holds what every source room shares: the way from a change that was read to the
// Kafka topic of its table.
//
// A room (replication, scan) opens a Batch for one unit of acknowledgement (a ReplicateWALEntry call, a
// part of a scan shard), adds changes to it while it still reads, and learns by Commit when Kafka has
// acknowledged all of them. Nothing of the source may be given up (a WAL position, a scan position) before.
package source

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/waltap/waltap/internal/crash"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

const (
	// chunkBytes is how much of one partition a Batch collects before it hands it to the producer.
	chunkBytes = 256 << 10
	// recordOverhead is what a record costs in memory beside its bytes (slice headers, header list).
	recordOverhead = 320
	// DefaultMaxUnacked bounds the encoded bytes that wait for Kafka, over all batches of a Publisher.
	DefaultMaxUnacked = 48 << 20
)

// Producer is the part of kafka.Producer that a Publisher needs; its contract is stated there.
type Producer interface {
	Produce(ctx context.Context, tp kafka.TopicPartition, recs []kafka.Record, done func(error))
}

// ErrUnknownTable is returned by Batch.Add for a table that the connector does not capture.
var ErrUnknownTable = errors.New("table is not captured by this connector")

// Encoding is how the records of a topic are written. The partition of a change does not depend on it: it follows from the
// row's bytes, so a row stays in one partition whatever its key looks like.
type Encoding struct {
	Key   schema.Encoder // nil: the row's bytes
	Value schema.Encoder // nil: Avro in single-object encoding
}

type route struct {
	topic      string
	partitions int32
	encoding   Encoding
}

// Tally counts records that Kafka has acknowledged.
type Tally struct {
	Records, Cells int64
	Bytes          int64 // of keys and values
	// Written is the newest WAL write time among them, ms; 0 for scan records.
	Written int64
}

// Publisher encodes changes and routes them to the data topics. It is safe for concurrent use.
type Publisher struct {
	producer Producer
	routes   atomic.Pointer[map[string]route]
	routesMu sync.Mutex
	budget   *budget
	acked    func(table string, t Tally)
	policy   Policy
}

// NewPublisher returns a Publisher over producer that tells acked, from many goroutines, what Kafka has acknowledged. At most maxUnacked encoded bytes (0: DefaultMaxUnacked)
// wait for acknowledgement at a time; Batch.Add blocks above that, which in turn stops the reading of the source.
func NewPublisher(producer Producer, maxUnacked int64, acked func(table string, t Tally)) *Publisher {
	if maxUnacked <= 0 {
		maxUnacked = DefaultMaxUnacked
	}
	p := &Publisher{producer: producer, budget: newBudget(maxUnacked), acked: acked}
	p.routes.Store(&map[string]route{})
	return p
}

// Route sends the changes of table ("namespace:qualifier") to topic, which has that many partitions.
func (p *Publisher) Route(table, topic string, partitions int32, encoding Encoding) {
	if encoding.Value == nil {
		encoding.Value = schema.AvroEncoder{Head: schema.SingleObjectHead(schema.AvroSchema)}
	}
	p.routesMu.Lock()
	defer p.routesMu.Unlock()
	next := make(map[string]route, len(*p.routes.Load())+1)
	for t, r := range *p.routes.Load() {
		next[t] = r
	}
	next[table] = route{topic: topic, partitions: partitions, encoding: encoding}
	p.routes.Store(&next)
}

// Batch is one unit of acknowledgement. It is used by one goroutine.
type Batch struct {
	p       *Publisher
	ctx     context.Context
	cancel  context.CancelCauseFunc
	parts   map[kafka.TopicPartition]*chunk
	scratch []byte // of a value
	key     []byte // as encoded, unless it is the row's bytes

	splitting bool // Add is called for a part of a change

	mu      sync.Mutex
	pending int
	err     error
	done    func(error)
}

// chunk is what waits to be sent to one partition; a topic holds one table.
type chunk struct {
	table string
	arena arena
	recs  []kafka.Record
	bytes int64 // in memory
	tally Tally
}

// Begin opens a Batch; Commit must follow. When ctx ends, what has not been sent is dropped and Commit reports the
// context's error.
//
// All chunks of a batch go to the producer under one context of its own, which ends with the first chunk that fails. So
// a later chunk never goes out where an earlier one was dropped, which would put the later changes of a row before
// the earlier ones:
//
//	chunks A and B of one partition are queued; A is refused, or given up because ctx has ended
//	B is sent, HBase's call fails, HBase resends: the topic holds B, A, B
func (p *Publisher) Begin(ctx context.Context) *Batch {
	ctx, cancel := context.WithCancelCause(ctx)
	return &Batch{p: p, ctx: ctx, cancel: cancel, parts: make(map[kafka.TopicPartition]*chunk), pending: 1}
}

// Add encodes c and queues it behind everything added before for its partition. c may be reused
// when Add has returned. An error means that the batch cannot be acknowledged any more.
func (b *Batch) Add(c *schema.Change) error {
	r, ok := (*b.p.routes.Load())[c.Table]
	if !ok {
		return fmt.Errorf("%s: %w", c.Table, ErrUnknownTable)
	}
	tp := kafka.TopicPartition{Topic: r.topic, Partition: kafka.Partition(c.Row, r.partitions)}
	k := b.parts[tp]
	if k == nil {
		k = &chunk{table: c.Table}
		b.parts[tp] = k
	}
	key := c.Row
	if r.encoding.Key != nil {
		b.key = r.encoding.Key.Append(b.key[:0], c)
		key = b.key
	}
	b.scratch = r.encoding.Value.Append(b.scratch[:0], c)
	if limit := b.p.oversized(r.topic, c, key, b.scratch); limit > 0 {
		return b.addOversized(c, tp, key, b.scratch, limit)
	}
	rec := kafka.Record{Key: k.arena.copy(key), Value: k.arena.copy(b.scratch)}
	rec.Headers, _ = schema.AppendHeaders(make([]kafka.Header, 0, 5), k.arena.reserve(len(c.Table)+48), c)
	k.recs = append(k.recs, rec)
	size := int64(len(rec.Key) + len(rec.Value))
	k.bytes += size + recordOverhead
	k.tally.Records++
	k.tally.Cells += int64(len(c.Cells))
	k.tally.Bytes += size
	if c.Source.Kind == schema.KindWAL {
		k.tally.Written = max(k.tally.Written, c.Timestamp)
	}
	if k.bytes >= chunkBytes {
		return b.send(tp, k)
	}
	return nil
}

func (b *Batch) send(tp kafka.TopicPartition, k *chunk) error {
	if err := b.failed(); err != nil {
		return err
	}
	if err := b.p.budget.acquire(b.ctx, k.bytes); err != nil {
		return err // not the first error where a chunk has failed: settle keeps that
	}
	b.mu.Lock()
	b.pending++
	b.mu.Unlock()
	recs, size, table, tally := k.recs, k.bytes, k.table, k.tally
	*k = chunk{table: table}
	crash.Point(crash.BeforeProduce)
	b.p.producer.Produce(b.ctx, tp, recs, func(err error) {
		b.p.budget.release(size)
		if err == nil {
			crash.Point(crash.Produced)
			b.p.acked(table, tally)
		}
		b.settle(tooLarge(err))
	})
	return nil
}

func (b *Batch) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil && b.ctx.Err() != nil {
		return context.Cause(b.ctx)
	}
	return b.err
}

// settle takes one answer off what Commit waits for.
func (b *Batch) settle(err error) {
	b.mu.Lock()
	if err != nil && b.err == nil {
		b.err = err
		b.cancel(err) // before the producer, whose callback this is, takes up the next chunk
	}
	b.pending--
	last := b.pending == 0
	done, result := b.done, b.err
	b.mu.Unlock()
	if last {
		b.cancel(nil)
		done(result)
	}
}

// Commit sends what is left and calls done exactly once, from any goroutine: with nil when Kafka
// has acknowledged every record of the batch, else with the first error. cause, if not nil, says that the
// reading of the source failed: nothing more is sent and done gets it once the records in flight are settled.
func (b *Batch) Commit(cause error, done func(error)) {
	b.mu.Lock()
	b.done = done
	b.mu.Unlock()
	if cause == nil {
		for tp, k := range b.parts {
			if len(k.recs) == 0 {
				continue
			}
			if cause = b.send(tp, k); cause != nil {
				break
			}
		}
	}
	b.settle(cause)
}

// CommitWait is Commit for a caller that has nothing else to do meanwhile.
func (b *Batch) CommitWait(cause error) error {
	ch := make(chan error, 1)
	b.Commit(cause, func(err error) { ch <- err })
	return <-ch
}

// arena keeps the bytes of many records in few allocations. Slices it has given out stay valid.
type arena struct{ block []byte }

func (a *arena) copy(b []byte) []byte {
	if len(b) > cap(a.block)-len(a.block) {
		size := 32 << 10
		if len(b) > size/4 {
			return append([]byte(nil), b...)
		}
		a.block = make([]byte, 0, size)
	}
	n := len(a.block)
	a.block = append(a.block, b...)
	return a.block[n:len(a.block):len(a.block)]
}

// reserve returns an empty slice with room for n bytes.
func (a *arena) reserve(n int) []byte {
	if n > cap(a.block)-len(a.block) {
		a.block = make([]byte, 0, max(n, 32<<10))
	}
	at := len(a.block)
	a.block = a.block[:at+n]
	return a.block[at : at : at+n]
}
