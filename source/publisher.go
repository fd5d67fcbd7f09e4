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
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/waltap/waltap/internal/crash"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

const (
	// chunkBytes is how much of one partition a Batch collects before it hands it to the producer.
	chunkBytes = 256 << 10
	// smallChunk is up to where a chunk has a buffer of its own size; a larger one takes one of chunkBuffer bytes, which are used
	// again. So a batch over many partitions with little for each does not hold chunkBuffer for all of them.
	smallChunk  = 16 << 10
	chunkBuffer = chunkBytes + smallChunk
	// recordOverhead is what a dead letter costs in memory beside its bytes (slice headers, header list).
	recordOverhead = 320
	// DefaultMaxUnacked bounds the encoded bytes that wait for Kafka, over all batches of a Publisher.
	DefaultMaxUnacked = 48 << 20
)

// Producer is the part of kafka.Producer that a Publisher needs; its contract is stated there.
type Producer interface {
	ProduceEncoded(ctx context.Context, tp kafka.TopicPartition, recs kafka.Records, done func(error))
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
	buffers  sync.Pool // *[]byte with room for chunkBuffer
	deliver  Deliver   // takes the batches; nil: Kafka does
}

// NewPublisher returns a Publisher over producer that tells acked, from many goroutines, what Kafka has acknowledged. At most maxUnacked encoded bytes (0: DefaultMaxUnacked)
// wait for acknowledgement at a time; Batch.Add blocks above that, which in turn stops the reading of the source.
func NewPublisher(producer Producer, maxUnacked int64, acked func(table string, t Tally)) *Publisher {
	if maxUnacked <= 0 {
		maxUnacked = DefaultMaxUnacked
	}
	p := &Publisher{producer: producer, budget: newBudget(maxUnacked), acked: acked}
	p.buffers.New = func() any { b := make([]byte, 0, chunkBuffer); return &b }
	p.routes.Store(&map[string]route{})
	return p
}

// Deliver takes the changes of a batch, which are its own, and calls done once, from any goroutine: with nil when they are safe. ctx ends when
// nobody waits for that any more.
type Deliver func(ctx context.Context, changes []schema.Change, done func(error))

// NewDelivery returns a Publisher that hands each batch to deliver, whole, as it was read. It has no topics.
func NewDelivery(deliver Deliver) *Publisher {
	p := NewPublisher(nil, 0, nil)
	p.deliver = deliver
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
	topics  map[string]*topicChunks
	at      *topicChunks // of the change added last
	scratch []byte       // of a value
	key     []byte       // as encoded, unless it is the row's bytes

	splitting bool // Add is called for a part of a change

	changes []schema.Change // for Publisher.deliver

	mu      sync.Mutex
	pending int
	err     error
	done    func(error)
}

// topicChunks is what a batch has for one topic, which holds one table.
type topicChunks struct {
	table  string
	route  route
	routes *map[string]route // in which route was found
	chunks []chunk           // of each partition
	// headers by op.
	headers [schema.OpDelete + 1]headers
}

// chunk is what waits to be sent to one partition.
type chunk struct {
	recs   kafka.Records
	buffer *[]byte // that recs fill, from Publisher.buffers; nil: one of their own
	tally  Tally
}

// headers are those of the records of a topic that have one op, encoded. From edit to edit only the sequence and the time differ, and
// are written anew; from change to change of an edit nothing does. Of the CPU time of single puts, headers made one by one were 18 %.
type headers struct {
	template  *kafka.HeaderTemplate
	kind      schema.Kind
	sequence  uint64
	timestamp int64
	encoded   []byte
	text      []byte
}

func (h *headers) of(c *schema.Change) []byte {
	switch {
	case h.template == nil || h.kind != c.Source.Kind:
		list, _ := schema.AppendHeaders[kafka.Header](nil, nil, c)
		h.template, h.kind = kafka.NewHeaderTemplate(list, schema.HeaderSequence, schema.HeaderTimestamp), c.Source.Kind
	case h.sequence == c.Sequence && h.timestamp == c.Timestamp:
		return h.encoded
	}
	h.sequence, h.timestamp = c.Sequence, c.Timestamp
	h.text = strconv.AppendUint(h.text[:0], c.Sequence, 10)
	n := len(h.text)
	h.text = strconv.AppendInt(h.text, c.Timestamp, 10)
	h.encoded = h.template.Append(h.encoded[:0], h.text[:n], h.text[n:])
	return h.encoded
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
	return &Batch{p: p, ctx: ctx, cancel: cancel, topics: make(map[string]*topicChunks), pending: 1}
}

// Add encodes c and queues it behind everything added before for its partition. c may be reused
// when Add has returned. An error means that the batch cannot be acknowledged any more.
func (b *Batch) Add(c *schema.Change) error {
	if b.p.deliver != nil {
		b.changes = append(b.changes, c.Clone())
		return nil
	}
	t, err := b.topic(c.Table)
	if err != nil {
		return err
	}
	partition := kafka.Partition(c.Row, t.route.partitions)
	key := c.Row
	if t.route.encoding.Key != nil {
		b.key = t.route.encoding.Key.Append(b.key[:0], c)
		key = b.key
	}
	b.scratch = t.route.encoding.Value.Append(b.scratch[:0], c)
	if limit := b.p.oversized(t.route.topic, c, key, b.scratch); limit > 0 {
		return b.addOversized(c, kafka.TopicPartition{Topic: t.route.topic, Partition: partition}, key, b.scratch, limit)
	}
	k := &t.chunks[partition]
	k.recs.Append(key, b.scratch, t.headers[c.Op()].of(c))
	k.tally.Records++
	k.tally.Cells += int64(len(c.Cells))
	k.tally.Bytes += int64(len(key) + len(b.scratch))
	if c.Source.Kind == schema.KindWAL {
		k.tally.Written = max(k.tally.Written, c.Timestamp)
	}
	switch n := len(k.recs.Bytes()); {
	case n >= chunkBytes:
		return b.send(t, partition)
	case n >= smallChunk && k.buffer == nil:
		k.buffer = b.p.buffers.Get().(*[]byte)
		k.recs.Grow(*k.buffer)
	}
	return nil
}

// topic finds the chunks for a table.
func (b *Batch) topic(table string) (*topicChunks, error) {
	routes := b.p.routes.Load()
	if b.at != nil && b.at.routes == routes && b.at.table == table {
		return b.at, nil
	}
	r, ok := (*routes)[table]
	if !ok {
		return nil, fmt.Errorf("%s: %w", table, ErrUnknownTable)
	}
	t := b.topics[r.topic]
	if t == nil {
		t = &topicChunks{table: table}
		b.topics[r.topic] = t
	}
	t.route, t.routes = r, routes
	if more := int(r.partitions) - len(t.chunks); more > 0 {
		t.chunks = append(t.chunks, make([]chunk, more)...)
	}
	b.at = t
	return t, nil
}

func (b *Batch) send(t *topicChunks, partition int32) error {
	if err := b.failed(); err != nil {
		return err
	}
	k := t.chunks[partition]
	size := k.size()
	if err := b.p.budget.acquire(b.ctx, size); err != nil {
		return err // not the first error where a chunk has failed: settle keeps that
	}
	b.mu.Lock()
	b.pending++
	b.mu.Unlock()
	t.chunks[partition] = chunk{}
	table := t.table
	crash.Point(crash.BeforeProduce)
	b.p.producer.ProduceEncoded(b.ctx, kafka.TopicPartition{Topic: t.route.topic, Partition: partition}, k.recs, func(err error) {
		if k.buffer != nil {
			b.p.buffers.Put(k.buffer)
		}
		b.p.budget.release(size)
		if err == nil {
			crash.Point(crash.Produced)
			b.p.acked(table, k.tally)
		}
		b.settle(tooLarge(err))
	})
	return nil
}

// size is what k occupies.
func (k *chunk) size() int64 {
	n := cap(k.recs.Bytes()) + 4*k.recs.Len()
	if k.buffer != nil {
		n = max(n, chunkBuffer)
	}
	return int64(n)
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
	switch {
	case cause == nil && len(b.changes) > 0:
		b.p.deliver(b.ctx, b.changes, b.settle)
		return
	case cause == nil:
		cause = b.sendAll()
	}
	b.settle(cause)
}

func (b *Batch) sendAll() error {
	for _, t := range b.topics {
		for partition := range t.chunks {
			if t.chunks[partition].recs.Len() == 0 {
				continue
			}
			if err := b.send(t, int32(partition)); err != nil {
				return err
			}
		}
	}
	return nil
}

// CommitWait is Commit for a caller that has nothing else to do meanwhile.
func (b *Batch) CommitWait(cause error) error {
	ch := make(chan error, 1)
	b.Commit(cause, func(err error) { ch <- err })
	return <-ch
}
