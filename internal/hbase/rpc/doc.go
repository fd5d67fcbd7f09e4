// Package rpc speaks HBase's RPC, as client and as server, with SIMPLE
// authentication, protocol buffers and plain (uncompressed) cell blocks: what
// HBase 0.96 and every later version understands.
//
// The bytes of a connection; integers are big-endian, varints are protobuf's:
//
//	client: "HBas" | version 0 | auth 80 (SIMPLE)
//	        int32 len | ConnectionHeader
//	        then, for each call
//	        int32 total | varint len, RequestHeader | [varint len, parameter] | [cell block]
//	server: for each call, in any order
//	        int32 total | varint len, ResponseHeader | [varint len, message] | [cell block]
//
// A server says nothing to a connection header it accepts. An answer that is
// an exception has no message. An error that concerns the whole connection is
// an exception for call id -1, after which the server closes.
// (HBase: RPC.proto, NettyRpcServer, ServerRpcConnection.)
package rpc

import (
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/cell"
)

const (
	preambleMagic = "HBas"
	preambleLen   = 6
	wireVersion   = 0

	authSimple   = 80
	authKerberos = 81
	authDigest   = 82

	// connectionCallID is the call id of an error about the whole connection:
	// -1 as HBase's unsigned field has it.
	connectionCallID = math.MaxUint32

	// maxHeaderBytes bounds connection, request and response headers, which
	// have some tens of bytes in practice.
	maxHeaderBytes = 1 << 20
)

// appendFrame appends the start of a frame: total length, header and message,
// which is left out when nil. So many bytes that follow are counted but not
// appended.
func appendFrame(dst []byte, header, message proto.Message, follow int) ([]byte, error) {
	opts := proto.MarshalOptions{UseCachedSize: true}
	total := sizeDelimited(header)
	if message != nil {
		total += sizeDelimited(message)
	}
	total += follow
	if total > math.MaxInt32 {
		return nil, fmt.Errorf("encode frame: %d bytes: a frame has at most %d", total, math.MaxInt32)
	}
	dst = append(dst, byte(total>>24), byte(total>>16), byte(total>>8), byte(total))
	for _, m := range []proto.Message{header, message} {
		if m == nil {
			continue
		}
		dst = protowire.AppendVarint(dst, uint64(opts.Size(m)))
		var err error
		if dst, err = opts.MarshalAppend(dst, m); err != nil {
			return nil, fmt.Errorf("encode frame: %s: %w", m.ProtoReflect().Descriptor().Name(), err)
		}
	}
	return dst, nil
}

func sizeDelimited(m proto.Message) int {
	n := proto.Size(m)
	return protowire.SizeVarint(uint64(n)) + n
}

// byteReader is what frames are read from: a bufio.Reader in practice.
type byteReader interface {
	io.Reader
	io.ByteReader
}

// readDelimited reads one varint-delimited message that may use up to left
// bytes of a frame, of which the message itself may have limit. It returns the
// message and the bytes used; when err is a *sizeError only the length has
// been read.
func readDelimited(r byteReader, what string, left, limit int64) (msg []byte, used int64, err error) {
	return appendDelimited(nil, r, what, left, limit)
}

// appendDelimited is readDelimited into the room that dst has, from its beginning.
func appendDelimited(dst []byte, r byteReader, what string, left, limit int64) (msg []byte, used int64, err error) {
	n, used, err := readUvarint(r, what, left)
	if err != nil {
		return nil, used, err
	}
	if n > uint64(left-used) {
		return nil, used, &frameError{what: what, claimed: n, left: left - used}
	}
	if int64(n) > limit {
		return nil, used, &sizeError{what: what, size: int64(n), limit: limit}
	}
	msg, err = cell.AppendFrom(dst[:0], r, int64(n))
	used += int64(len(msg))
	if err != nil {
		return nil, used, fmt.Errorf("read %s: %w", what, err)
	}
	return msg, used, nil
}

// readUvarint reads a varint of at most 5 bytes, as Java writes an int.
func readUvarint(r io.ByteReader, what string, left int64) (n uint64, used int64, err error) {
	for shift := 0; ; shift += 7 {
		if used == left || shift == 35 {
			return 0, used, &frameError{what: what + " length", left: left}
		}
		b, err := r.ReadByte()
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, used, fmt.Errorf("read %s length: %w", what, err)
		}
		used++
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n, used, nil
		}
	}
}

// frameError is a frame whose parts contradict its length: nothing after it on
// the connection can be trusted.
type frameError struct {
	what    string
	claimed uint64
	left    int64
}

func (e *frameError) Error() string {
	if e.claimed == 0 {
		return fmt.Sprintf("read %s: no varint in the %d bytes left of the frame", e.what, e.left)
	}
	return fmt.Sprintf("read %s: length %d with %d bytes left of the frame", e.what, e.claimed, e.left)
}

// sizeError is a part of a frame that is well-formed but longer than allowed.
type sizeError struct {
	what        string
	size, limit int64
}

func (e *sizeError) Error() string {
	return fmt.Sprintf("read %s: %d bytes: at most %d are allowed", e.what, e.size, e.limit)
}
