package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
	"github.com/segmentio/kafka-go/protocol/produce"
)

// producerState is what the batches of one partition carry so that the broker can tell a repeated one, and refuse one that
// was given up. Each partition has a producer id of its own: an epoch that rises at one partition does not touch others.
type producerState struct {
	id       int64
	epoch    int16
	sequence int32 // of the next record
}

var noProducer = producerState{id: -1, epoch: -1, sequence: -1}

// advance counts n acknowledged records; sequence numbers wrap from 2^31-1 to 0.
func (s *producerState) advance(n int) {
	if s.id >= 0 {
		s.sequence = int32((int64(s.sequence) + int64(n)) & math.MaxInt32)
	}
}

// raise begins a new epoch, in which the broker refuses every batch of the epochs before.
func (s *producerState) raise() {
	switch {
	case s.id < 0:
	case s.epoch == math.MaxInt16:
		*s = noProducer
	default:
		s.epoch, s.sequence = s.epoch+1, 0
	}
}

// deliver sends b until it is acknowledged, has failed for good, or nobody waits for it.
func (q *partition) deliver(b *batch) {
	if b.records == 0 {
		q.acknowledge(b)
		return
	}
	var err error
	if b.bytes, err = b.builder.finish(); err != nil {
		q.fail(b, fmt.Errorf("produce to %s: %w", q.tp, err))
		return
	}
	if err := q.checkSize(b); err != nil {
		q.fail(b, err)
		return
	}
	b.started = time.Now()
	var unknownTopicSince time.Time
	for n := 0; ; n++ {
		if !q.wanted(b) {
			q.abandon(b)
			return
		}
		err := q.attempt(b)
		if err == nil || hasCode(err, codeDuplicateSequence) {
			q.state.advance(b.records)
			q.maxRecords *= 2
			if q.maxRecords > 1<<16 {
				q.maxRecords = 0
			}
			if f := q.p.cfg.Observer.Produced; f != nil {
				f(q.tp, b.records, len(b.bytes), time.Since(b.started))
			}
			q.acknowledge(b)
			return
		}
		if q.p.life.Err() != nil {
			q.failQueued(ErrClosed)
			return
		}
		if !hasCode(err, codeUnknownTopic) {
			unknownTopicSince = time.Time{}
		} else if unknownTopicSince.IsZero() {
			unknownTopicSince = time.Now()
		}
		gone := !unknownTopicSince.IsZero() && time.Since(unknownTopicSince) > q.p.cfg.UnknownTopicTimeout
		if !q.sendAgain(b, err, gone) {
			return
		}
		if f := q.p.cfg.Observer.Retried; f != nil {
			f(q.tp, err)
		}
		q.pause(backoff(n, q.p.cfg.RetryBackoff, q.p.cfg.MaxRetryBackoff))
	}
}

// sendAgain decides what a failed attempt means. It returns false when b is done with: either its calls have failed, or its
// records are still queued and go into other batches. topicGone turns "unknown topic" into a final answer.
func (q *partition) sendAgain(b *batch, err error, topicGone bool) bool {
	switch {
	case errors.Is(err, ErrClosed):
		q.failQueued(ErrClosed)
		return false
	case errors.As(err, new(*fencedError)):
		q.failQueued(err)
		q.abandon(b)
		return false
	case hasCode(err, codeMessageTooLarge, codeRecordListTooLarge) && b.records > 1:
		q.maxBytes = b.builder.size() / 2
		return false
	case hasCode(err, codeInvalidRecord, codeInvalidTimestamp, codePolicyViolation) && b.records > 1:
		// One record spoils the batch, perhaps of one call among many: halve until it is found.
		q.maxRecords = b.records / 2
		return false
	case hasCode(err, codeMessageTooLarge, codeRecordListTooLarge, codeInvalidRecord, codeInvalidTimestamp, codePolicyViolation):
		q.fail(b, q.produceError(err, len(b.bytes)))
		return false
	case hasCode(err, codeOutOfOrderSequence):
		// The broker has lost track of this producer (unclean leader election, deleted records). It did not append b.
		q.state.raise()
		return true
	case hasCode(err, codeUnknownProducerID, codeInvalidProducerEpoch, codeInvalidProducerID):
		q.state = noProducer
		return true
	case hasCode(err, codeRequestTimedOut, codeNotEnoughAfterAppend, codeUnknown, codeStorageError):
		b.maybeAppended = true
		return true
	case Retriable(err) && !topicGone:
		return true
	default:
		q.failQueued(q.produceError(err, len(b.bytes)))
		return false
	}
}

func (q *partition) produceError(err error, size int) error {
	e := &ProduceError{Topic: q.tp.Topic, Partition: q.tp.Partition, Err: err}
	if be, ok := errors.AsType[*BrokerError](err); ok {
		e.Code = be.Code
	}
	switch e.Code {
	case codeMessageTooLarge, codeRecordListTooLarge:
		e.Remedy = fmt.Sprintf("raise max.message.bytes of the topic over %d (and replica.fetch.max.bytes of the brokers and the "+
			"fetch sizes of the consumers with it), or send such records elsewhere", size)
	case codeTopicAuthorization, codeClusterAuthorization:
		e.Err = q.p.c.deniedTopic(err, OpWrite, q.tp.Topic) // which leaves one that says what is lacking
	case codeUnknownTopic:
		e.Remedy = "create the topic, or give this user the right Describe on it"
	case codeInvalidRecord:
		e.Remedy = "a compacted topic takes no record without a key: check cleanup.policy of the topic"
	case codeInvalidTimestamp:
		e.Remedy = "the record's time is outside of what the topic allows: check message.timestamp.before.max.ms and " +
			"message.timestamp.after.max.ms of the topic"
	default:
		e.Remedy = "see the brokers' logs"
	}
	return e
}

// pause waits, but not when a caller gives up or the producer is closed.
func (q *partition) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-q.wake:
	case <-q.p.life.Done():
	}
}

// checkSize refuses a record that is over the topic's max.message.bytes before it is sent: one over the broker's
// socket.request.max.bytes would make the broker close the connection, which looks like any lost connection.
func (q *partition) checkSize(b *batch) error {
	if limit := q.p.cfg.MaxRequestBytes; limit > 0 && len(b.bytes) > limit {
		return &ProduceError{Topic: q.tp.Topic, Partition: q.tp.Partition, Code: codeMessageTooLarge,
			Err:    brokerError(int16(codeMessageTooLarge), fmt.Sprintf("a record of %d bytes, max.request.size is %d", len(b.bytes), limit)),
			Remedy: fmt.Sprintf("raise producer.override.max.request.size over %d, or send such records elsewhere", len(b.bytes))}
	}
	if len(b.bytes) <= q.p.cfg.MaxBatchBytes {
		return nil
	}
	if limit := q.p.maxMessageBytes(q.tp.Topic); limit > 0 && len(b.bytes) > limit {
		return q.produceError(brokerError(int16(codeMessageTooLarge), fmt.Sprintf("a record of %d bytes, max.message.bytes of the topic is %d", len(b.bytes), limit)), len(b.bytes))
	}
	return nil
}

// abandon drops b. Its records may or may not be in the log, now or later, so the sequence numbers it used are burnt.
func (q *partition) abandon(b *batch) {
	if b.maybeAppended {
		q.state.raise()
	}
	if f := q.p.cfg.Observer.Abandoned; f != nil {
		f(q.tp, b.records, b.maybeAppended)
	}
}

// attempt sends b once. Whatever of it fails, nothing of it is going on when attempt returns, but that a broker may still
// hold the request (q.fenced, b.maybeAppended).
func (q *partition) attempt(b *batch) error {
	p := q.p
	started := time.Now()
	addr, err := p.c.leader(p.life, q.tp, q.stale)
	if err != nil {
		q.stale = started
		return err
	}
	if q.fenced {
		if err := q.readBack(addr); err != nil {
			q.stale = started
			return err
		}
		q.fenced = false
	}
	if q.state.id < 0 && !p.plain.Load() {
		if err := q.initProducer(); err != nil {
			return err
		}
	}
	stamp(b.bytes, q.state)
	cn, err := p.c.pool.get(p.life, addr)
	if err != nil {
		q.stale = started
		return err
	}
	if err := p.cfg.Fence(); err != nil {
		p.c.pool.put(cn)
		return &fencedError{err}
	}
	res, err := q.exchange(cn, b.bytes)
	p.c.pool.put(cn) // closes the connection if the exchange failed
	if err != nil {
		q.stale = started
		p.c.pool.forget(addr)
		if ce, ok := errors.AsType[*connError](err); ok && ce.sent {
			q.fenced, b.maybeAppended = true, true
			if f := p.cfg.Observer.UnknownOutcome; f != nil {
				f(q.tp, err)
			}
		}
		return err
	}
	err = produceAnswer(res, q.tp)
	if hasCode(err, codeNotLeader, codeLeaderNotAvailable, codeUnknownTopic, codeFencedLeaderEpoch, codeStorageError) {
		q.stale = started
	}
	return err
}

// fencedError is what ProducerConfig.Fence said.
type fencedError struct{ err error }

func (e *fencedError) Error() string { return "not sent: " + e.err.Error() }
func (e *fencedError) Unwrap() error { return e.err }

// Versions of Produce requests: from the first that takes this format of batches to the last that exchange writes.
const (
	minProduceVersion = 3
	maxProduceVersion = 8
)

// exchange sends one produce request and reads its answer. kafka-go's own encoder would copy the batch once more, and write it in
// 16 parts.
//
//	size int32, key int16, version int16, correlation id int32, client id string,
//	transactional id nullable string, acks int16, timeout int32, topics: array of
//	  name string, partitions: array of: index int32, records bytes
func (q *partition) exchange(cn *conn, batch []byte) (*produce.Response, error) {
	version, err := cn.version(protocol.Produce)
	if err != nil {
		return nil, err
	}
	if version = min(version, maxProduceVersion); version < minProduceVersion {
		return nil, fmt.Errorf("broker %s supports Produce up to version %d, waltap needs %d (Kafka 0.11): %w", cn.addr, version, minProduceVersion,
			brokerError(int16(codeUnsupportedVersion), ""))
	}
	timeout := q.p.cfg.RequestTimeout
	write := func(w io.Writer, id int32) error {
		be := binary.BigEndian
		b := be.AppendUint16(make([]byte, 4, 128), uint16(protocol.Produce))
		b = be.AppendUint16(b, uint16(version))
		b = be.AppendUint32(b, uint32(id))
		b = appendString(b, cn.cfg.ClientID)
		b = be.AppendUint16(b, math.MaxUint16) // no transaction
		b = be.AppendUint16(b, math.MaxUint16) // acks by all in-sync replicas
		// The broker gives up waiting for replicas, and says so, before the connection is cut here.
		b = be.AppendUint32(b, uint32(timeout.Milliseconds()*4/5))
		b = be.AppendUint32(b, 1)
		b = appendString(b, q.tp.Topic)
		b = be.AppendUint32(b, 1)
		b = be.AppendUint32(b, uint32(q.tp.Partition))
		b = be.AppendUint32(b, uint32(len(batch)))
		be.PutUint32(b, uint32(len(b)-4+len(batch)))
		_, err := (&net.Buffers{b, batch}).WriteTo(w)
		return err
	}
	var res *produce.Response
	// The request outlives Close on purpose: it is answered, or cut off by its deadline.
	err = cn.roundTripBytes(context.Background(), timeout, protocol.Produce, write, func() (int32, error) {
		id, m, err := protocol.ReadResponse(cn.br, protocol.Produce, version)
		if err == nil {
			res = m.(*produce.Response)
		}
		return id, err
	})
	return res, err
}

func appendString(dst []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(s))), s...)
}

func produceAnswer(res *produce.Response, tp TopicPartition) error {
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			if t.Topic != tp.Topic || p.Partition != tp.Partition {
				continue
			}
			message := p.ErrorMessage
			for _, r := range p.RecordErrors {
				message += fmt.Sprintf(" (record %d: %s)", r.BatchIndex, r.BatchIndexErrorMessage)
			}
			return brokerError(p.ErrorCode, message)
		}
	}
	return brokerError(int16(codeUnknown), "the partition is not in the answer")
}

// readBack reads the log end from the leader over another connection than the one that broke.
func (q *partition) readBack(addr string) error {
	offs := make(map[int32]int64, 1)
	if err := q.p.c.listOffsets(q.p.life, addr, q.tp.Topic, []int32{q.tp.Partition}, LastOffset, offs); err != nil {
		return fmt.Errorf("read back log end of %s: %w", q.tp, err)
	}
	return nil
}

// initProducer asks for a producer id. A cluster that does not grant one is not asked again.
func (q *partition) initProducer() error {
	m, err := q.p.c.exchangeAny(q.p.life, &initproducerid.Request{TransactionTimeoutMs: math.MaxInt32})
	if err == nil {
		res := m.(*initproducerid.Response)
		if err = brokerError(res.ErrorCode, ""); err == nil {
			q.state = producerState{id: res.ProducerID, epoch: res.ProducerEpoch}
			return nil
		}
	}
	if hasCode(err, codeClusterAuthorization, codeTopicAuthorization, codeTxnIDAuthorization, codeUnsupportedVersion) {
		if q.p.cfg.RequireIdempotence {
			return fmt.Errorf("init producer id (enable.idempotence): %w", q.p.c.denied(err, OpIdempotentWrite, Cluster, ""))
		}
		if !q.p.plain.Swap(true) {
			q.p.c.cfg.Logger.Warn("the cluster grants no producer id, retries may append records twice; "+
				"give this user the right Write on the topics, or IdempotentWrite on the cluster", "error", err)
		}
		return nil
	}
	return fmt.Errorf("init producer id: %w", err)
}
