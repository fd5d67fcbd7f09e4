package kafka

import (
	"encoding/binary"
	"errors"
	"iter"
	"time"
)

// Records are records encoded one behind the other, each as it goes into a batch but for what depends on its place there. They
// are two slices, whatever their number: a record costs its bytes and 4 more. The zero value is empty and ready for use.
//
// A Record and its five headers took 320 bytes beside their text, an allocation each, and the garbage collector's time.
type Records struct {
	// buf has of each record: key length, key, value length, value, number of headers, headers.
	buf  []byte
	ends []uint32 // of the records in buf
	// times of the records, ms; nil: that of their batch.
	times []int64
}

// RecordsIn returns empty Records that fill buf first, from its beginning.
func RecordsIn(buf []byte) Records { return Records{buf: buf[:0]} }

// Len is the number of records.
func (r *Records) Len() int { return len(r.ends) }

// Bytes is what they occupy: a slice that may be passed to RecordsIn when they are done with.
func (r *Records) Bytes() []byte { return r.buf }

// Grow replaces the buffer by a larger one, which the caller chooses; what was in the other is copied.
func (r *Records) Grow(buf []byte) { r.buf = append(buf[:0], r.buf...) }

// Append adds a record whose headers are encoded already, see AppendHeaders. Nothing of the arguments is kept.
func (r *Records) Append(key, value, headers []byte) {
	r.buf = appendNullBytes(r.buf, key)
	r.buf = appendNullBytes(r.buf, value)
	r.buf = append(r.buf, headers...)
	r.ends = append(r.ends, uint32(len(r.buf)))
}

// Add adds rec: its Key, Value, Headers and Time.
func (r *Records) Add(rec *Record) {
	if !rec.Time.IsZero() && r.times == nil {
		r.times = make([]int64, len(r.ends), len(r.ends)+1)
		for i := range r.times {
			r.times[i] = noTime
		}
	}
	if r.times != nil {
		t := noTime
		if !rec.Time.IsZero() {
			t = rec.Time.UnixMilli()
		}
		r.times = append(r.times, t)
	}
	r.buf = appendNullBytes(r.buf, rec.Key)
	r.buf = appendNullBytes(r.buf, rec.Value)
	r.buf = AppendHeaders(r.buf, rec.Headers)
	r.ends = append(r.ends, uint32(len(r.buf)))
}

// noTime in Records.times is that of the batch.
const noTime = int64(-1 << 63)

// AppendHeaders appends headers as Records.Append takes them.
func AppendHeaders(dst []byte, headers []Header) []byte {
	dst = binary.AppendVarint(dst, int64(len(headers)))
	for i := range headers {
		h := &headers[i]
		dst = binary.AppendVarint(dst, int64(len(h.Key)))
		dst = append(dst, h.Key...)
		dst = appendNullBytes(dst, h.Value)
	}
	return dst
}

// body is record i, and its time; now when it has none.
func (r *Records) body(i int, now int64) (body []byte, time int64) {
	start := uint32(0)
	if i > 0 {
		start = r.ends[i-1]
	}
	if r.times != nil && r.times[i] != noTime {
		now = r.times[i]
	}
	return r.buf[start:r.ends[i]], now
}

// All are the records, decoded; they share the bytes.
func (r *Records) All() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		var names headerNames
		for i := range r.ends {
			body, t := r.body(i, noTime)
			d := recordDecoder{b: body}
			var raw RawRecord
			if d.fields(&raw); d.err != nil {
				panic(errors.Join(errors.New("what Records has encoded cannot be read"), d.err))
			}
			rec := Record{Key: raw.Key, Value: raw.Value, Headers: names.headers(raw.headers)}
			if t != noTime {
				rec.Time = time.UnixMilli(t)
			}
			if !yield(rec) {
				return
			}
		}
	}
}
