package kafka

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"
	"time"

	"github.com/segmentio/kafka-go/compress"
)

// A record batch of format 2, the only one written since Kafka 0.11 (https://kafka.apache.org/documentation/#recordbatch).
// All integers are big-endian:
//
//	0   8 base offset            23  4 last offset delta     57  4 number of records
//	8   4 length of what follows 27  8 first timestamp, ms   61    records, compressed together
//	12  4 leader epoch           35  8 max timestamp, ms
//	16  1 magic = 2              43  8 producer id
//	17  4 CRC-32C from 21 on     51  2 producer epoch
//	21  2 attributes             53  4 first sequence
//
// A record, all lengths and deltas as zig-zag varints, -1 for null:
//
//	length, attributes (1 byte, 0), timestamp delta, offset delta, key length, key, value length, value,
//	number of headers, and for each header: key length, key, value length, value
const (
	batchLength        = 8
	batchMagic         = 16
	batchCRC           = 17
	batchAttributes    = 21
	batchLastDelta     = 23
	batchFirstTime     = 27
	batchMaxTime       = 35
	batchProducerID    = 43
	batchProducerEpoch = 51
	batchSequence      = 53
	batchRecords       = 57
	batchOverhead      = 61

	attrCompression   = 0x07
	attrLogAppendTime = 0x08
	attrControl       = 0x20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// batchBuilder encodes one record batch. It is reused from batch to batch.
type batchBuilder struct {
	codec compress.Compression

	buf       []byte // header and records; after finish with compression, the plain records only
	out       bytes.Buffer
	snappy    []byte
	count     int32
	now       int64
	firstTime int64
	maxTime   int64
}

func (b *batchBuilder) reset() {
	if cap(b.buf) < batchOverhead {
		b.buf = make([]byte, batchOverhead, 4096)
	}
	b.buf = b.buf[:batchOverhead]
	clear(b.buf)
	b.count, b.now = 0, time.Now().UnixMilli()
}

// size is the number of bytes of the batch so far, before compression.
func (b *batchBuilder) size() int { return len(b.buf) }

// add appends record i of r, unless the batch has records already and would grow over limit bytes.
func (b *batchBuilder) add(r *Records, i, limit int) bool {
	body, t := r.body(i, b.now)
	if b.count == 0 {
		b.firstTime, b.maxTime = t, t
	}
	size := 1 + varintLen(t-b.firstTime) + varintLen(int64(b.count)) + len(body)
	if b.count > 0 && (len(b.buf)+varintLen(int64(size))+size > limit || b.count == math.MaxInt32) {
		return false
	}
	buf := binary.AppendVarint(b.buf, int64(size))
	buf = append(buf, 0)
	buf = binary.AppendVarint(buf, t-b.firstTime)
	buf = binary.AppendVarint(buf, int64(b.count))
	b.buf = append(buf, body...)
	b.maxTime = max(b.maxTime, t)
	b.count++
	return true
}

// finish completes the batch and returns it, valid until the next reset. The producer's identity is set by stamp.
func (b *batchBuilder) finish() ([]byte, error) {
	batch := b.buf
	switch b.codec {
	case compress.None:
	case compress.Snappy:
		b.snappy = appendSnappy(append(b.snappy[:0], b.buf[:batchOverhead]...), b.buf[batchOverhead:])
		batch = b.snappy
	default:
		b.out.Reset()
		b.out.Write(b.buf[:batchOverhead])
		w := compressor(b.codec, &b.out)
		if _, err := w.Write(b.buf[batchOverhead:]); err != nil {
			return nil, fmt.Errorf("compress records with %s: %w", b.codec, err)
		}
		if err := w.Close(); err != nil {
			return nil, fmt.Errorf("compress records with %s: %w", b.codec, err)
		}
		batch = b.out.Bytes()
	}
	be := binary.BigEndian
	be.PutUint32(batch[batchLength:], uint32(len(batch)-batchLength-4))
	be.PutUint32(batch[batchLength+4:], math.MaxUint32) // leader epoch -1: the broker sets it
	batch[batchMagic] = 2
	be.PutUint16(batch[batchAttributes:], uint16(b.codec))
	be.PutUint32(batch[batchLastDelta:], uint32(b.count-1))
	be.PutUint64(batch[batchFirstTime:], uint64(b.firstTime))
	be.PutUint64(batch[batchMaxTime:], uint64(b.maxTime))
	be.PutUint32(batch[batchRecords:], uint32(b.count))
	return batch, nil
}

// BatchBytes is what a topic's max.message.bytes must be for r: its size alone in a batch, compressed.
func BatchBytes(r *Record, compression string) (int, error) {
	b := batchBuilder{}
	if compression != "" {
		if err := b.codec.UnmarshalText([]byte(compression)); err != nil {
			return 0, fmt.Errorf("compression.type: %w", err)
		}
	}
	b.reset()
	var records Records
	records.Add(r)
	b.add(&records, 0, 0)
	batch, err := b.finish()
	return len(batch), err
}

// stamp writes the producer's identity, -1 for none, and the checksum.
func stamp(batch []byte, id producerState) {
	be := binary.BigEndian
	be.PutUint64(batch[batchProducerID:], uint64(id.id))
	be.PutUint16(batch[batchProducerEpoch:], uint16(id.epoch))
	be.PutUint32(batch[batchSequence:], uint32(id.sequence))
	be.PutUint32(batch[batchCRC:], crc32.Checksum(batch[batchAttributes:], castagnoli))
}

// varintLen is the length of i as a zig-zag varint.
func varintLen(i int64) int {
	return (bits.Len64(uint64(i<<1)^uint64(i>>63)|1) + 6) / 7
}

func appendNullBytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 1) // -1
	}
	return append(binary.AppendVarint(dst, int64(len(b))), b...)
}
