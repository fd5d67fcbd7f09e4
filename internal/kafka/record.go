package kafka

import (
	"fmt"
	"time"
)

// Special offsets, as in the ListOffsets request.
const (
	FirstOffset int64 = -2 // the log's start
	LastOffset  int64 = -1 // the log's end
)

// TopicPartition names one log.
type TopicPartition struct {
	Topic     string
	Partition int32
}

func (tp TopicPartition) String() string { return fmt.Sprintf("%s/%d", tp.Topic, tp.Partition) }

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte
}

// Record is one record. Produce reads Key, Value, Headers and Time (zero: now); a fetched record has all fields, and its
// slices alias the response's memory: they stay valid as long as they are referenced, but hold the whole response.
// A nil Key or Value is Kafka's null, an empty one is not.
type Record struct {
	Key, Value []byte
	Headers    []Header
	Time       time.Time
	Offset     int64
	Partition  int32
	Topic      string
}

// Partition returns the partition of n that the Java client's default partitioner picks for key:
// toPositive(murmur2(key)) % n. n must be positive.
func Partition(key []byte, n int32) int32 {
	return int32((murmur2(key) & 0x7fffffff) % uint32(n))
}

// murmur2 is the 32-bit hash of org.apache.kafka.common.utils.Utils.murmur2, seed 0x9747b28c.
func murmur2(data []byte) uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
		r    = 24
	)
	h := uint32(seed) ^ uint32(len(data))
	for ; len(data) >= 4; data = data[4:] {
		k := uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16 | uint32(data[3])<<24
		k *= m
		k ^= k >> r
		k *= m
		h *= m
		h ^= k
	}
	switch len(data) {
	case 3:
		h ^= uint32(data[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(data[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(data[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return h
}
