package mutate

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
)

// encoding is the memory of one Multi that writes. It is the same on the wire as pb.MultiRequest, without an object for each part:
//
//	MultiRequest:  regionAction = 1, repeated RegionAction
//	RegionAction:  region = 1, RegionSpecifier; action = 3, repeated Action
//	Action:        index = 1, uint32; mutation = 2, MutationProto
//	MutationProto: row = 1, bytes; mutate_type = 2, enum; attribute = 5, repeated NameBytesPair; associated_cell_count = 8, int32
//
// (HBase: Client.proto.)
type encoding struct {
	message    []byte
	attributes []byte // of every mutation
	block      []byte
	answer     []byte // the message of the answer
}

// maxKept is how large a block is kept for the next call, and an answer: there was a very large cell in it, or many failures.
const maxKept = 16 << 20

// encode lays out what s has of b.
func (e *encoding) encode(b *Batch, s *share) error {
	e.message, e.block, e.attributes = e.message[:0], e.block[:0], e.attributes[:0]
	for _, a := range attributesOf(b.Attributes) {
		raw, err := proto.Marshal(a)
		if err != nil {
			return fmt.Errorf("encode attribute %s: %w", a.GetName(), err)
		}
		e.attributes = protowire.AppendBytes(appendTag(e.attributes, 5, protowire.BytesType), raw)
	}
	if part := s.items() * b.Bytes / len(b.Mutations); part > cap(e.block) {
		e.block = make([]byte, 0, part+part/16) // grown as it is filled it took a sixth of the sink's CPU time
	}
	for _, r := range s.regions {
		region, err := proto.Marshal(specifier(r.region))
		if err != nil {
			return fmt.Errorf("encode region %s: %w", r.region.Encoded, err)
		}
		e.message = appendTag(e.message, 1, protowire.BytesType)
		begin := len(e.message)
		e.message = append(e.message, make([]byte, usualLength)...)
		e.message = protowire.AppendBytes(appendTag(e.message, 1, protowire.BytesType), region)
		for n, m := range b.Mutations[r.from:r.end] {
			e.action(n, m)
		}
		e.setLength(begin)
	}
	return nil
}

// usualLength is how many bytes the length of a region's part usually has: it is of 16 KiB to 2 MiB.
const usualLength = 3

// setLength puts the length of what is behind the place that was kept for it at begin into that place, which is made to fit.
func (e *encoding) setLength(begin int) {
	size := len(e.message) - begin - usualLength
	var length [binary.MaxVarintLen64]byte
	e.message = slices.Replace(e.message, begin, begin+usualLength, protowire.AppendVarint(length[:0], uint64(size))...)
}

func (e *encoding) action(index int, m Mutation) {
	row, cells := m.Row(), uint64(m.Len())
	size := 1 + protowire.SizeBytes(len(row)) + 2 + len(e.attributes) + 1 + protowire.SizeVarint(cells)
	dst := e.message
	dst = protowire.AppendVarint(appendTag(dst, 3, protowire.BytesType), uint64(1+protowire.SizeVarint(uint64(index))+1+protowire.SizeBytes(size)))
	dst = protowire.AppendVarint(appendTag(dst, 1, protowire.VarintType), uint64(index))
	dst = protowire.AppendVarint(appendTag(dst, 2, protowire.BytesType), uint64(size))
	dst = protowire.AppendBytes(appendTag(dst, 1, protowire.BytesType), row)
	dst = protowire.AppendVarint(appendTag(dst, 2, protowire.VarintType), uint64(typeOf(m)))
	dst = append(dst, e.attributes...)
	e.message = protowire.AppendVarint(appendTag(dst, 8, protowire.VarintType), cells)
	e.block = m.Append(e.block)
}

func appendTag(dst []byte, num protowire.Number, typ protowire.Type) []byte {
	return append(dst, byte(protowire.EncodeTag(num, typ))) // of fields below 16
}

// write makes the one call for what a server has of b. With an object for each part of the call and of its answer, a row of one cell
// took 1130 bytes and 8 allocations, and 14 times the time (BenchmarkWrite).
func (w *Writer) write(ctx context.Context, b *Batch, s *share) error {
	e := w.encodings.Get().(*encoding)
	defer func() {
		if cap(e.block) > maxKept {
			e.block = nil
		}
		if cap(e.answer) > maxKept {
			e.answer = nil
		}
		w.encodings.Put(e)
	}()
	if err := e.encode(b, s); err != nil {
		return err
	}
	return w.call(ctx, s.server, func(ctx context.Context, conn *rpc.Conn) error {
		answer, cells, err := conn.CallEncoded(ctx, "Multi", e.message, e.block, e.answer)
		e.answer = answer // nil after an error
		if err != nil {
			return err
		}
		if len(cells) == 0 && s.wroteAll(answer) {
			return nil
		}
		var said pb.MultiResponse
		if err := proto.Unmarshal(answer, &said); err != nil {
			return fmt.Errorf("read the answer to Multi: %w", err)
		}
		return s.read(&said, cells, func(i int, _ []cell.Cell) { s.done[i] = true })
	})
}

// wroteAll tells whether the message of an answer to Multi says of each action that it came through, and nothing else of any: then the
// items of s are done. After a false none is, and the answer is to be read whole.
func (s *share) wroteAll(answer []byte) bool {
	regions := 0
	all := eachField(answer, func(num protowire.Number, _ uint64, b []byte) bool {
		if num != 1 {
			return true // the load of the regions
		}
		regions++
		return regions <= len(s.regions) && s.wroteRegion(s.regions[regions-1], b)
	})
	if all && regions == len(s.regions) {
		return true
	}
	for _, r := range s.regions {
		clear(s.done[r.from:r.end])
	}
	return false
}

// wroteRegion is wroteAll for one RegionActionResult: resultOrException = 1, repeated.
func (s *share) wroteRegion(r regionShare, b []byte) bool {
	done := s.done[r.from:r.end]
	n := 0
	for ; ; n++ {
		index, rest, usual := usualResult(b)
		if !usual || index >= uint64(len(done)) || done[index] {
			break
		}
		done[index], b = true, rest
	}
	all := eachField(b, func(num protowire.Number, _ uint64, b []byte) bool {
		index, plain := plainResult(b)
		if num != 1 || !plain || index >= uint64(len(done)) || done[index] {
			return false
		}
		done[index] = true
		n++
		return true
	})
	return all && n == len(done)
}

// usualResult reads, off the front of a RegionActionResult, a ResultOrException as servers write it where all came through: index, and a
// result that is empty. It says what plainResult says, without a call for each field.
func usualResult(b []byte) (index uint64, rest []byte, usual bool) {
	if len(b) < 6 || b[0] != 1<<3|2 || b[1] < 4 || int(b[1]) > len(b)-2 || b[2] != 1<<3 {
		return 0, nil, false
	}
	field, rest := b[3:2+b[1]], b[2+b[1]:]
	index, n := protowire.ConsumeVarint(field)
	return index, rest, n > 0 && len(field) == n+2 && field[n] == 2<<3|2 && field[n+1] == 0
}

// plainResult reads a ResultOrException that has nothing but index = 1, uint32, and result = 2, a Result that is empty.
func plainResult(b []byte) (index uint64, plain bool) {
	has := 0
	plain = eachField(b, func(num protowire.Number, v uint64, b []byte) bool {
		switch {
		case num == 1 && b == nil:
			index = v
		case num != 2 || b == nil || len(b) > 0:
			return false
		}
		has |= int(num)
		return true
	})
	return index, plain && has == 3
}

// eachField calls f for each field of the message b that is a varint, v, or of bytes, then not nil. It is false when f was, or b
// is malformed.
func eachField(b []byte, f func(num protowire.Number, v uint64, b []byte) bool) bool {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		more := true
		switch typ {
		case protowire.VarintType:
			var v uint64
			if v, n = protowire.ConsumeVarint(b); n >= 0 {
				more = f(num, v, nil)
			}
		case protowire.BytesType:
			var v []byte
			if v, n = protowire.ConsumeBytes(b); n >= 0 {
				more = f(num, 0, v[:len(v):len(v)])
			}
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 || !more {
			return false
		}
		b = b[n:]
	}
	return true
}
