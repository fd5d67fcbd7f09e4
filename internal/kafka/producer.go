package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go/compress"
)

// ProducerConfig tunes a Producer; the zero value is ready for use.
type ProducerConfig struct {
	// MaxBatchBytes bounds one request, before compression. A single larger record goes alone. Default 1 MiB minus 4 KiB,
	// below the brokers' default message.max.bytes; a topic with a smaller max.message.bytes is found out and obeyed.
	MaxBatchBytes int
	// MaxRequestBytes refuses a request that is larger, as it is sent: one record that is over MaxBatchBytes
	// (max.request.size). 0: only the topic's max.message.bytes counts.
	MaxRequestBytes int
	// Linger is for how long records wait for others to go with them, as long as they fill no request (linger.ms). Default 0:
	// they wait only while a request is in flight.
	Linger time.Duration
	// RequestTimeout bounds one produce request, the wait for all in-sync replicas included. Default 10s.
	RequestTimeout time.Duration
	// RetryBackoff is the wait after the first failure; it doubles up to MaxRetryBackoff. Defaults 50ms and 1s.
	RetryBackoff, MaxRetryBackoff time.Duration
	// UnknownTopicTimeout is for how long "unknown topic" is retried before it is believed. Default 15s.
	UnknownTopicTimeout time.Duration
	// Compression of batches: none (default), gzip, snappy, lz4 or zstd.
	Compression string
	// DisableIdempotence stops the producer from asking for producer ids (enable.idempotence=false). A retry can then
	// append a batch again, and a request that the broker still holds when its connection is cut can land late.
	DisableIdempotence bool
	// Fence, if set, is asked right before each request is sent: with its error nothing is sent any more, and all that is
	// queued for the partition fails with it. It must be fast and safe for concurrent use.
	Fence func() error
	// RequireIdempotence makes Produce fail where the cluster grants no producer id; else the producer goes on without one.
	RequireIdempotence bool
	// Observer, if set, sees what happens. Its functions must be fast and safe for concurrent use.
	Observer *ProducerObserver
}

// ProducerObserver receives a producer's events; nil functions are not called.
type ProducerObserver struct {
	// Produced is called for each acknowledged request: its records, its bytes as sent, and the time from the first
	// attempt to the acknowledgement.
	Produced func(tp TopicPartition, records, bytes int, latency time.Duration)
	// Retried is called before a request is sent again, with the reason.
	Retried func(tp TopicPartition, reason error)
	// UnknownOutcome is called when a request was sent and its connection broke before the answer.
	UnknownOutcome func(tp TopicPartition, reason error)
	// Abandoned is called when a request is given up because nobody waits for it any more; sent says whether the broker
	// may have appended it.
	Abandoned func(tp TopicPartition, records int, sent bool)
}

// Producer appends records to partitions in the order of the Produce calls, one request in flight per partition, each
// acknowledged by all in-sync replicas, retried in place.
//
// A request of unknown outcome (timeout, lost connection after it was sent) blocks its partition: its connection is
// closed, the partition's log end is read back from the leader, and only then the same bytes are sent again, if a caller
// still waits for them, or the next ones. Closing the connection alone proves nothing, as this sequence shows:
//
//	waltap                            broker
//	sends batch A                     A lies in a socket buffer or in the request queue (a long pause)
//	times out, closes the connection
//	reads the log end: without A      answered by another thread
//	sends batch B                     appends B
//	                                  gets to A and appends it: A comes after B
//
// So batches carry a producer id, an epoch and a sequence number, as an idempotent producer's do: a batch that is sent
// again is appended once, and when A is given up, B goes out under a higher epoch, after which the broker refuses A for
// ever. Where the cluster does not grant producer ids (or DisableIdempotence is set) the sequence above remains possible
// for as long as a broker holds a request; the close and the read-back make it unlikely, not impossible.
//
// Records that were appended but never acknowledged can appear again when their caller calls again: replays are contiguous
// and in order.
type Producer struct {
	c     *Client
	cfg   ProducerConfig
	codec compress.Compression
	life  context.Context // ends with Close
	end   context.CancelFunc
	plain atomic.Bool // producer ids are not to be had
	wg    sync.WaitGroup
	bufs  sync.Pool // *batchBuilder

	mu         sync.Mutex
	closed     bool
	partitions map[TopicPartition]*partition
	topicMax   map[string]topicLimit
}

// topicLimit remembers a topic's max.message.bytes.
type topicLimit struct {
	bytes int // 0: not known
	read  time.Time
}

// NewProducer returns a producer; Close it before its client. An unknown compression makes every Produce fail.
func (c *Client) NewProducer(cfg ProducerConfig) *Producer {
	if cfg.MaxBatchBytes <= 0 {
		cfg.MaxBatchBytes = 1<<20 - 4<<10
	}
	if cfg.MaxRequestBytes > 0 {
		cfg.MaxBatchBytes = min(cfg.MaxBatchBytes, cfg.MaxRequestBytes)
	}
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{
		{&cfg.RequestTimeout, 10 * time.Second},
		{&cfg.RetryBackoff, minBackoff},
		{&cfg.MaxRetryBackoff, maxBackoff},
		{&cfg.UnknownTopicTimeout, 15 * time.Second},
	} {
		if *d.v <= 0 {
			*d.v = d.def
		}
	}
	if cfg.Fence == nil {
		cfg.Fence = func() error { return nil }
	}
	if cfg.Observer == nil {
		cfg.Observer = new(ProducerObserver)
	}
	p := &Producer{c: c, cfg: cfg, partitions: make(map[TopicPartition]*partition), topicMax: make(map[string]topicLimit)}
	p.life, p.end = context.WithCancel(context.Background())
	p.plain.Store(cfg.DisableIdempotence)
	if cfg.Compression != "" {
		if err := p.codec.UnmarshalText([]byte(cfg.Compression)); err != nil {
			p.codec = -1
		}
	}
	p.bufs.New = func() any { return &batchBuilder{codec: p.codec} }
	return p
}

// CheckCompression tells whether a ProducerConfig may have this compression.
func CheckCompression(name string) error {
	var c compress.Compression
	if name == "" {
		return nil
	}
	if err := c.UnmarshalText([]byte(name)); err != nil {
		return fmt.Errorf("compression.type: %w", err)
	}
	return nil
}

// Produce queues recs behind everything queued before for tp and returns at once. done is called exactly once, from
// another goroutine: with nil when all in-sync replicas have all of recs; with the context's error soon after ctx ends,
// whatever the broker does; with a *ProduceError when no retry can help; with ErrClosed after Close. After an error any
// part of recs, from the beginning on, may be in the topic or may still get there, but never behind a record that a later
// call queues for tp. Of several calls for tp with one context, once it has ended none is sent but behind those before it.
// done must not block: the partition waits for it.
func (p *Producer) Produce(ctx context.Context, tp TopicPartition, recs []Record, done func(error)) {
	var encoded Records
	for i := range recs {
		encoded.Add(&recs[i])
	}
	p.ProduceEncoded(ctx, tp, encoded, done)
}

// ProduceEncoded is Produce of records that are encoded. recs must not change before done is called; then their memory may be
// used again.
func (p *Producer) ProduceEncoded(ctx context.Context, tp TopicPartition, recs Records, done func(error)) {
	call := &call{ctx: ctx, recs: recs, done: done, queued: time.Now(), size: len(recs.buf) + recs.Len()*recordOverhead}
	if p.codec < 0 {
		go done(&ProduceError{Topic: tp.Topic, Partition: tp.Partition, Err: CheckCompression(p.cfg.Compression),
			Remedy: "use none, gzip, snappy, lz4 or zstd"})
		return
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		go done(ErrClosed)
		return
	}
	q := p.partitions[tp]
	if q == nil {
		q = newPartition(p, tp)
		p.partitions[tp] = q
	}
	// Still under p.mu, so that Close cannot come between and miss the call.
	q.enqueue(call)
	p.mu.Unlock()
	if ctx.Done() != nil {
		q.watch(call)
	}
}

// Close fails what is queued with ErrClosed, waits until nothing is in flight, at most for RequestTimeout, and frees the
// producer. A request in flight that is answered in time is reported to its callers as usual; it is not retried.
func (p *Producer) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.end()
	p.wg.Wait()
	return nil
}

// MaxMessageBytes returns how large a record for the topic may be as it is sent: its max.message.bytes, which is read again once
// a minute, or MaxRequestBytes when that is less; 0 when neither is known.
func (p *Producer) MaxMessageBytes(topic string) int {
	limit := p.maxMessageBytes(topic)
	if most := p.cfg.MaxRequestBytes; most > 0 && (limit == 0 || most < limit) {
		return most
	}
	return limit
}

// maxMessageBytes returns the topic's max.message.bytes, 0 if it cannot be read (it needs the right DESCRIBE_CONFIGS).
func (p *Producer) maxMessageBytes(topic string) int {
	p.mu.Lock()
	limit := p.topicMax[topic]
	p.mu.Unlock()
	if time.Since(limit.read) < time.Minute {
		return limit.bytes
	}
	ctx, cancel := context.WithTimeout(p.life, p.cfg.RequestTimeout)
	defer cancel()
	limit = topicLimit{read: time.Now()}
	if configs, err := p.c.TopicConfig(ctx, topic); err == nil {
		if _, err := fmt.Sscan(configs["max.message.bytes"], &limit.bytes); err != nil {
			limit.bytes = 0
		}
	} else if !errors.Is(err, context.Canceled) {
		p.c.cfg.Logger.Debug("max.message.bytes is not known, a large record is sent unchecked", "topic", topic, "error", err)
	}
	p.mu.Lock()
	p.topicMax[topic] = limit
	p.mu.Unlock()
	return limit.bytes
}
