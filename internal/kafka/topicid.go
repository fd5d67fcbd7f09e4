package kafka

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

// Metadata version 10 is the first with topic ids, and version 9 the first with compact lengths; kafka-go speaks up to 8.
const metadataWithIDs = 10

// TopicIDs returns the ids of the named topics: a topic that is deleted and created anew has another one. Topics that do not
// exist are left out; the id is "" when the brokers give none (before Kafka 2.8).
func (c *Client) TopicIDs(ctx context.Context, names ...string) (map[string]string, error) {
	var ids map[string]string
	err := c.retry(ctx, func(ctx context.Context, _ time.Time) (err error) {
		var errs []error
		for _, addr := range c.addresses() {
			if ids, err = c.topicIDs(ctx, addr, names); err == nil || errors.Is(err, ErrClosed) {
				return err
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
	if err != nil {
		return nil, fmt.Errorf("read topic ids: %w", err)
	}
	return ids, nil
}

func (c *Client) topicIDs(ctx context.Context, addr string, names []string) (map[string]string, error) {
	cn, err := c.pool.get(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer c.pool.put(cn)
	if cn.versions[protocol.Metadata][1] < metadataWithIDs {
		ids := make(map[string]string, len(names))
		for _, name := range names {
			ids[name] = ""
		}
		return ids, nil
	}
	body, err := cn.exchangeBytes(ctx, c.cfg.RequestTimeout, protocol.Metadata, metadataWithIDs, metadataRequest(names))
	if c.pool.ctx.Err() != nil {
		return nil, ErrClosed
	}
	if err != nil {
		return nil, err
	}
	ids, failed, err := decodeTopicIDs(body)
	if err != nil && failed != "" {
		err = fmt.Errorf("topic %s: %w", failed, c.deniedTopic(err, OpDescribe, failed))
	}
	return ids, err
}

// metadataRequest encodes a version 10 request that creates no topic:
//
//	topics: compact array of (id 16 bytes, name compact string, tags) | create, cluster rights, topic rights: bool | tags
func metadataRequest(names []string) []byte {
	b := binary.AppendUvarint(nil, uint64(len(names)+1))
	for _, name := range names {
		b = append(b, make([]byte, 16)...)
		b = binary.AppendUvarint(b, uint64(len(name)+1))
		b = append(b, name...)
		b = append(b, 0)
	}
	return append(b, 0, 0, 0, 0)
}

// decodeTopicIDs decodes the part of a version 10 response, behind the correlation id, up to the ids:
//
//	tags | throttle int32 | brokers: compact array of (node int32, host string, port int32, rack string, tags) |
//	cluster id string | controller int32 | topics: compact array of
//	  error int16, name string, id 16 bytes, internal bool, partitions: compact array of (error int16, index, leader,
//	  leader epoch int32, replicas, in-sync, offline: compact arrays of int32, tags), rights int32, tags
//
// Strings are compact and may be null; lengths are unsigned varints, one more than the length, 0 for null. failed is the topic
// that an error is about, "" when it is about none.
func decodeTopicIDs(b []byte) (ids map[string]string, failed string, err error) {
	d := fieldDecoder{b: b}
	d.tags()
	d.int32()
	for range d.compactLen() {
		d.int32()
		d.take(d.compactLen())
		d.int32()
		d.take(d.compactLen())
		d.tags()
	}
	d.take(d.compactLen())
	d.int32()
	ids = make(map[string]string)
	for range d.compactLen() {
		code := ErrorCode(d.int16())
		name := string(d.take(d.compactLen()))
		id := d.take(16)
		d.take(1)
		for range d.compactLen() {
			d.take(2 + 4 + 4 + 4)
			for range 3 {
				d.take(4 * d.compactLen())
			}
			d.tags()
		}
		d.int32()
		d.tags()
		switch {
		case d.failed:
			return nil, "", fmt.Errorf("decode Metadata response: it ends early or has an impossible length")
		case code == codeUnknownTopic:
		case code != 0 && code != codeLeaderNotAvailable:
			return nil, name, brokerError(int16(code), "")
		default:
			ids[name] = idText(id)
		}
	}
	if d.failed {
		return nil, "", fmt.Errorf("decode Metadata response: it ends early or has an impossible length")
	}
	return ids, "", nil
}

func idText(id []byte) string {
	for _, b := range id {
		if b != 0 {
			return hex.EncodeToString(id)
		}
	}
	return ""
}

// compactLen reads the length of a compact string or array, 0 for null.
func (d *fieldDecoder) compactLen() int {
	n := d.uvarint()
	if n > len(d.b)+1 {
		d.b, d.failed = nil, true
		return 0
	}
	return max(0, n-1)
}

// tags passes over tagged fields: their number, then for each its tag, its length and its value.
func (d *fieldDecoder) tags() {
	for n := d.uvarint(); n > 0 && !d.failed; n-- {
		d.uvarint()
		d.take(d.uvarint())
	}
}

func (d *fieldDecoder) uvarint() int {
	n, size := binary.Uvarint(d.b)
	if size <= 0 || n > math.MaxInt32 {
		d.b, d.failed = nil, true
		return 0
	}
	d.b = d.b[size:]
	return int(n)
}

// exchangeBytes sends a request of a flexible version that kafka-go does not speak and returns the answer's bytes behind
// the correlation id.
func (c *conn) exchangeBytes(ctx context.Context, timeout time.Duration, key protocol.ApiKey, version int16, body []byte) ([]byte, error) {
	var answer []byte
	write := func(w io.Writer, id int32) error {
		b := make([]byte, 4, 64+len(body))
		b = binary.BigEndian.AppendUint16(b, uint16(key))
		b = binary.BigEndian.AppendUint16(b, uint16(version))
		b = binary.BigEndian.AppendUint32(b, uint32(id))
		b = binary.BigEndian.AppendUint16(b, uint16(len(c.cfg.ClientID)))
		b = append(b, c.cfg.ClientID...)
		b = append(b, 0) // no tags
		b = append(b, body...)
		binary.BigEndian.PutUint32(b, uint32(len(b)-4))
		_, err := w.Write(b)
		return err
	}
	err := c.roundTripBytes(ctx, timeout, key, write, func() (id int32, err error) {
		id, answer, err = c.readFrame(nil)
		return id, err
	})
	return answer, err
}
