package kafka

import (
	"context"
	"sync"
	"time"
)

// partition is the queue of one partition and, while there is work, the goroutine that sends it.
//
// Ownership: mu guards queue, running and the fields of the calls in the queue that say so. Everything else belongs to the
// goroutine, of which there is at most one.
type partition struct {
	p    *Producer
	tp   TopicPartition
	wake chan struct{} // a caller has given up
	more chan struct{} // a call was queued

	mu      sync.Mutex
	queue   []*call // in order of Produce; a call stays until it is settled
	running bool

	state      producerState
	fenced     bool      // a request of unknown outcome is out: read the log end back before anything is sent
	stale      time.Time // metadata read before this is not to be believed
	maxBytes   int       // batch limit, lowered by MESSAGE_TOO_LARGE
	maxRecords int       // batch limit while the broken record of a batch is searched; 0: none
}

// recordOverhead is about what a record has in a request beside what Records have of it.
const recordOverhead = 6

// call is one Produce.
type call struct {
	ctx  context.Context
	recs Records
	done func(error)

	acked int // recs acknowledged; the goroutine's

	queued time.Time
	size   int // about the bytes of recs in a request

	// Guarded by partition.mu.
	settled  bool
	encoding bool  // the goroutine reads recs
	gaveUp   error // ctx ended while encoding
	unwatch  func() bool
}

// segment is the part of a call that is in a batch: the records from call.acked up to to.
type segment struct {
	call *call
	to   int
}

// batch is one request.
type batch struct {
	segments []segment
	builder  *batchBuilder
	bytes    []byte
	records  int
	// maybeAppended: an attempt's outcome was unknown, or the broker said that it appended the batch without the replicas.
	maybeAppended bool
	started       time.Time
}

func newPartition(p *Producer, tp TopicPartition) *partition {
	return &partition{p: p, tp: tp, wake: make(chan struct{}, 1), more: make(chan struct{}, 1), state: noProducer, maxBytes: p.cfg.MaxBatchBytes}
}

func (q *partition) enqueue(c *call) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue = append(q.queue, c)
	select {
	case q.more <- struct{}{}:
	default:
	}
	if !q.running {
		q.running = true
		q.p.wg.Add(1)
		go q.run()
	}
}

// watch settles c when its context ends.
func (q *partition) watch(c *call) {
	unwatch := context.AfterFunc(c.ctx, func() { q.giveUp(c, context.Cause(c.ctx)) })
	q.mu.Lock()
	settled := c.settled
	c.unwatch = unwatch
	q.mu.Unlock()
	if settled {
		unwatch()
	}
}

// giveUp settles c for a caller that does not wait any more. While the goroutine reads c.recs, which the caller may change
// after done, it is left to the goroutine.
func (q *partition) giveUp(c *call, err error) {
	q.mu.Lock()
	if c.encoding {
		c.gaveUp = err
		q.mu.Unlock()
		return
	}
	q.settleLocked(c, err)
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// settle calls c.done unless it was called before.
func (q *partition) settle(c *call, err error) {
	q.mu.Lock()
	q.settleLocked(c, err)
}

// settleLocked is settle for a caller that holds mu; it unlocks it.
func (q *partition) settleLocked(c *call, err error) {
	if c.settled {
		q.mu.Unlock()
		return
	}
	c.settled = true
	c.recs = Records{} // what is in flight has a copy
	unwatch := c.unwatch
	q.mu.Unlock()
	if unwatch != nil {
		unwatch()
	}
	c.done(err)
}

// run sends until the queue is empty.
func (q *partition) run() {
	defer q.p.wg.Done()
	builder := q.p.bufs.Get().(*batchBuilder)
	defer q.p.bufs.Put(builder)
	for {
		if q.p.life.Err() != nil {
			q.failQueued(ErrClosed)
		}
		q.linger()
		b := q.nextBatch(builder)
		if b == nil {
			return
		}
		q.deliver(b)
	}
}

// linger waits until the queue fills a request, or its oldest call has waited for long enough.
func (q *partition) linger() {
	if q.p.cfg.Linger <= 0 {
		return
	}
	for {
		left, full := q.waiting()
		if left <= 0 || full {
			return
		}
		t := time.NewTimer(left)
		select {
		case <-t.C:
		case <-q.more:
		case <-q.wake:
		case <-q.p.life.Done():
			t.Stop()
			return
		}
		t.Stop()
	}
}

// waiting tells for how long the oldest call in the queue may wait yet, and whether the queue fills a request.
func (q *partition) waiting() (left time.Duration, full bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	size := batchOverhead
	for _, c := range q.queue {
		if c.settled {
			continue
		}
		if size == batchOverhead {
			left = q.p.cfg.Linger - time.Since(c.queued)
		}
		size += max(1, c.size)
	}
	return left, size >= q.maxBytes
}

// nextBatch encodes as many queued records as go into one request. It returns nil, and the goroutine must end, when there
// is nothing to do.
func (q *partition) nextBatch(builder *batchBuilder) *batch {
	b := &batch{builder: builder}
	builder.reset()
	q.dropSettled()
	for i, full := 0, false; !full; i++ {
		c := q.startEncoding(i)
		if c == nil {
			break
		}
		to := c.acked
		for to < c.recs.Len() && (q.maxRecords == 0 || int(builder.count) < q.maxRecords) && builder.add(&c.recs, to, q.maxBytes) {
			to++
		}
		if full = to < c.recs.Len(); to > c.acked || !full {
			b.segments = append(b.segments, segment{c, to})
		}
		q.endEncoding(c)
	}
	b.records = int(builder.count)
	if len(b.segments) == 0 && q.stop() {
		return nil
	}
	return b
}

// dropSettled removes the settled calls at the head of the queue.
func (q *partition) dropSettled() {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for n < len(q.queue) && q.queue[n].settled {
		q.queue[n] = nil
		n++
	}
	q.queue = q.queue[n:]
}

// stop ends the goroutine's duty unless there is something in the queue.
func (q *partition) stop() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range q.queue {
		if !c.settled {
			return false
		}
	}
	q.queue, q.running = nil, false
	return true
}

// startEncoding returns the i-th call of the queue, marked as being read, or nil if there is none. A settled one has no
// records.
func (q *partition) startEncoding(i int) *call {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i >= len(q.queue) {
		return nil
	}
	c := q.queue[i]
	// A call whose context has ended is not sent, also when its turn to give up has not come yet. For two calls of one
	// context: it ends, the earlier call is given up, the later one not yet, and would be sent without the earlier.
	if !c.settled && c.ctx.Err() != nil {
		c.recs, c.gaveUp = Records{}, context.Cause(c.ctx)
	}
	c.encoding = !c.settled
	return c
}

func (q *partition) endEncoding(c *call) {
	q.mu.Lock()
	c.encoding = false
	if c.gaveUp != nil {
		q.settleLocked(c, c.gaveUp)
		return
	}
	q.mu.Unlock()
}

// wanted reports whether a caller still waits for b.
func (q *partition) wanted(b *batch) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range b.segments {
		if !s.call.settled {
			return true
		}
	}
	return false
}

// acknowledge settles the calls of which b carries the end.
func (q *partition) acknowledge(b *batch) {
	for _, s := range b.segments {
		q.mu.Lock()
		last := s.to == s.call.recs.Len()
		q.mu.Unlock()
		if s.call.acked = s.to; last {
			q.settle(s.call, nil)
		}
	}
}

// fail settles the calls of b.
func (q *partition) fail(b *batch, err error) {
	for _, s := range b.segments {
		q.settle(s.call, err)
	}
}

// failQueued settles everything in the queue.
func (q *partition) failQueued(err error) {
	q.mu.Lock()
	calls := q.queue[:len(q.queue):len(q.queue)]
	q.mu.Unlock()
	for _, c := range calls {
		q.settle(c, err)
	}
}
