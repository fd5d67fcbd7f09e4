package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
	"unsafe"

	"github.com/segmentio/kafka-go/protocol/fetch"
)

// FetchResult is what one Fetch brought.
type FetchResult struct {
	Records       []Record // in offset order; empty when nothing came within maxWait
	HighWatermark int64    // the offset after the last record that consumers may see
	LogStart      int64    // the offset of the first record of the log, -1 if the broker does not say (before Kafka 1.0)
	NextOffset    int64    // where to go on; beyond the last record over compaction holes and transaction markers
}

// Fetch reads records of tp from offset on, in one request: it returns as soon as there are any, or after maxWait. About
// maxBytes are read; a single batch that is larger is returned all the same. Records of aborted transactions are returned,
// transaction markers are not. A new leader and a lost connection are retried; a batch that fails its checksum is an error.
// An offset that is not in the log gives an *OffsetOutOfRangeError.
func (c *Client) Fetch(ctx context.Context, tp TopicPartition, offset int64, maxBytes int, maxWait time.Duration) (FetchResult, error) {
	var raw RawFetch
	if err := c.FetchRaw(ctx, tp, FetchSpec{Offset: offset, MaxBytes: maxBytes, MaxWait: maxWait}, &raw); err != nil {
		return FetchResult{}, err
	}
	res := FetchResult{HighWatermark: raw.HighWatermark, LogStart: raw.LogStart, NextOffset: raw.NextOffset}
	var names headerNames
	res.Records = make([]Record, len(raw.Records))
	for i := range raw.Records {
		res.Records[i] = names.record(&raw.Records[i], tp)
	}
	return res, nil
}

// FetchSpec is what FetchRaw asks for.
type FetchSpec struct {
	Offset   int64
	MinBytes int // to wait for; default 1
	MaxBytes int
	MaxWait  time.Duration
}

// RawFetch is what one FetchRaw brought: as FetchResult, with records that are not decoded any further. The zero value is ready for use.
type RawFetch struct {
	Records                             []RawRecord
	HighWatermark, LogStart, NextOffset int64

	// Which the records alias: the body of the answer, unless all of it is compressed, and what was compressed in it.
	body, plain []byte
}

const (
	// keptBodies is how many are kept for other fetches, up to keptBodyBytes each: as many as are decoded at the same time, and some.
	keptBodies    = 16
	keptBodyBytes = 4 << 20
)

// bodies is memory of answers which no record aliases. Left to their fetches, of which most wait to be applied, they
// were 20 of the 180 MiB that a sink had resident (snappy, cells of 100 B).
type bodies struct {
	mu   sync.Mutex
	free [][]byte
}

// get returns room for an answer, or nil.
func (f *bodies) get() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.free) - 1
	if n < 0 {
		return nil
	}
	b := f.free[n]
	f.free = f.free[:n]
	return b
}

func (f *bodies) put(b []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if cap(b) <= keptBodyBytes && len(f.free) < keptBodies {
		f.free = append(f.free, b)
	}
}

// Size is how many bytes of memory it has for records, whether they are in use or not.
func (f *RawFetch) Size() int {
	return cap(f.body) + cap(f.plain) + cap(f.Records)*int(unsafe.Sizeof(RawRecord{}))
}

// FetchRaw is Fetch, into the memory of res: what was fetched into it before must be done with. It waits until there are
// spec.MinBytes, or for spec.MaxWait. After an error there is nothing in res.
func (c *Client) FetchRaw(ctx context.Context, tp TopicPartition, spec FetchSpec, res *RawFetch) error {
	err := c.retry(ctx, func(ctx context.Context, stale time.Time) error {
		return c.fetchOnce(ctx, tp, spec, res, stale)
	})
	if err != nil {
		*res = RawFetch{Records: res.Records[:0], body: res.body, plain: res.plain}
	}
	if _, ok := errors.AsType[*OffsetOutOfRangeError](err); ok || err == nil {
		return err
	}
	return fmt.Errorf("fetch %s from offset %d: %w", tp, spec.Offset, err)
}

func (c *Client) fetchOnce(ctx context.Context, tp TopicPartition, spec FetchSpec, res *RawFetch, stale time.Time) error {
	offset := spec.Offset
	addr, err := c.leader(ctx, tp, stale)
	if err != nil {
		return err
	}
	limit := int32(min(max(spec.MaxBytes, 1), math.MaxInt32))
	cn, err := c.pool.get(ctx, addr)
	if err != nil {
		return err
	}
	if res.body == nil {
		res.body = c.bodies.get()
	}
	asked := time.Now()
	version, body, err := cn.exchangeRaw(ctx, spec.MaxWait+c.cfg.RequestTimeout, res.body, &fetch.Request{
		ReplicaID:    -1,
		MaxWaitTime:  int32(min(spec.MaxWait.Milliseconds(), math.MaxInt32)),
		MinBytes:     int32(min(max(spec.MinBytes, 1), math.MaxInt32)),
		MaxBytes:     limit,
		SessionID:    0,
		SessionEpoch: -1, // no fetch session
		Topics: []fetch.RequestTopic{{Topic: tp.Topic, Partitions: []fetch.RequestPartition{{
			Partition: tp.Partition, CurrentLeaderEpoch: -1, FetchOffset: offset, LogStartOffset: -1, PartitionMaxBytes: limit,
		}}}},
	})
	c.pool.put(cn)
	if err != nil {
		if c.pool.ctx.Err() != nil {
			return ErrClosed
		}
		if cn.dirty {
			c.pool.forget(addr)
		}
		return err
	}
	res.body = body
	part, err := decodeFetch(body, version, tp)
	if err != nil {
		return err
	}
	switch part.code {
	case 0:
	case codeOffsetOutOfRange:
		start, end, rangeErr := c.logRange(ctx, tp, stale)
		if rangeErr != nil && (ctx.Err() != nil || Retriable(rangeErr)) {
			return fmt.Errorf("offset %d is not in the log; read where it begins and ends: %w", offset, rangeErr)
		}
		if rangeErr == nil && start <= offset && offset <= end {
			// A follower that has just become leader may not know its high watermark yet.
			return brokerError(int16(codeOffsetNotAvailable), "")
		}
		return &OffsetOutOfRangeError{TP: tp, Offset: offset, LogStart: start, LogEnd: end}
	default:
		return c.deniedTopic(brokerError(int16(part.code), ""), OpRead, tp.Topic)
	}
	set, err := decodeBatches(part.records, offset, batchSet{records: res.Records, plain: res.plain})
	if res.Records, res.plain = set.records, set.plain; err != nil {
		return err
	}
	if !set.aliases {
		c.bodies.put(res.body)
		res.body = nil
	}
	if set.truncated && set.next == offset {
		return fmt.Errorf("broker %s sent a part of a batch only, %d bytes with a limit of %d: the batch is "+
			"larger; raise the fetch size", addr, len(part.records), limit)
	}
	if len(part.records) == 0 {
		// A broker that enforces a quota answers at once, with nothing but the time it wants us to stay away.
		sleep(ctx, part.throttle-time.Since(asked))
	}
	res.HighWatermark, res.LogStart, res.NextOffset = part.highWatermark, part.logStart, set.next
	return nil
}

// fetchedPartition is one partition of a Fetch response.
type fetchedPartition struct {
	code          ErrorCode
	throttle      time.Duration
	highWatermark int64
	logStart      int64
	records       []byte
}

// decodeFetch decodes a Fetch response of versions 4 to 11 with the one partition tp:
//
//	throttle int32 | [7+] error int16, session int32 | topics: array of
//	  name string | partitions: array of
//	    index int32, error int16, high watermark int64, last stable offset int64, [5+] log start int64,
//	    aborted transactions: nullable array of (int64, int64), [11+] preferred replica int32, records: nullable bytes
//
// Arrays and bytes have a length of 4 bytes, strings of 2.
func decodeFetch(b []byte, version int16, tp TopicPartition) (fetchedPartition, error) {
	d := fieldDecoder{b: b}
	throttle := time.Duration(d.int32()) * time.Millisecond
	if version >= 7 {
		if code := d.int16(); code != 0 {
			return fetchedPartition{}, brokerError(code, "")
		}
		d.int32()
	}
	for range d.arrayLen() {
		name := d.string()
		for range d.arrayLen() {
			index := d.int32()
			p := fetchedPartition{logStart: -1, throttle: throttle}
			p.code = ErrorCode(d.int16())
			p.highWatermark = d.int64()
			d.int64()
			if version >= 5 {
				p.logStart = d.int64()
			}
			for range d.arrayLen() {
				d.int64()
				d.int64()
			}
			if version >= 11 {
				d.int32()
			}
			p.records = d.bytes()
			if d.failed {
				break
			}
			if name == tp.Topic && index == tp.Partition {
				return p, nil
			}
		}
	}
	if d.failed {
		return fetchedPartition{}, fmt.Errorf("decode Fetch response: it ends early or has an impossible length")
	}
	return fetchedPartition{}, fmt.Errorf("decode Fetch response: %s is not in it", tp)
}

// fieldDecoder reads the fields of a Kafka message; after an error it yields zeros.
type fieldDecoder struct {
	b      []byte
	failed bool
}

func (d *fieldDecoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.b, d.failed = nil, true
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *fieldDecoder) int16() int16 {
	if v := d.take(2); v != nil {
		return int16(binary.BigEndian.Uint16(v))
	}
	return 0
}

func (d *fieldDecoder) int32() int32 {
	if v := d.take(4); v != nil {
		return int32(binary.BigEndian.Uint32(v))
	}
	return 0
}

func (d *fieldDecoder) int64() int64 {
	if v := d.take(8); v != nil {
		return int64(binary.BigEndian.Uint64(v))
	}
	return 0
}

func (d *fieldDecoder) string() string { return string(d.take(int(d.int16()))) }

// arrayLen reads the length of a nullable array whose elements have at least one byte.
func (d *fieldDecoder) arrayLen() int {
	n := int(d.int32())
	if n == -1 {
		return 0
	}
	if n < 0 || n > len(d.b) {
		d.b, d.failed = nil, true
		return 0
	}
	return n
}

func (d *fieldDecoder) bytes() []byte {
	n := int(d.int32())
	if n == -1 {
		return nil
	}
	return d.take(n)
}
