package rpc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
)

func (c *Conn) readLoop() {
	defer close(c.done)
	for {
		if err := c.readResponse(); err != nil {
			c.fail(err)
			return
		}
	}
}

// readResponse waits for a response frame, reads it whole and hands it to its
// call. An error means that the stream cannot be read any further.
func (c *Conn) readResponse() error {
	c.reader.within(0, time.Time{})
	if err := c.conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	if _, err := c.br.Peek(1); err != nil {
		return err
	}
	c.reader.within(clientStall, time.Time{})
	var prefix [4]byte
	if _, err := io.ReadFull(c.br, prefix[:]); err != nil {
		return fmt.Errorf("read response length: %w", err)
	}
	left := int64(int32(binary.BigEndian.Uint32(prefix[:])))
	if left < 0 || left > c.maxResp {
		return fmt.Errorf("read response: length %d: at most %d are allowed", left, c.maxResp)
	}
	raw, used, err := readDelimited(c.br, "response header", left, maxHeaderBytes)
	if err != nil {
		return err
	}
	left -= used
	var header pb.ResponseHeader
	if err := proto.Unmarshal(raw, &header); err != nil {
		return fmt.Errorf("decode response header: %w", err)
	}
	return c.readBody(&header, left)
}

// readBody reads the left bytes of a response that follow its header.
func (c *Conn) readBody(header *pb.ResponseHeader, left int64) error {
	if header.CallId == nil {
		return errors.New("decode response header: no call id")
	}
	id := header.GetCallId()
	if id == connectionCallID {
		if header.Exception == nil {
			return errors.New("decode response header: call id -1 without exception")
		}
		return remoteError("", header.Exception)
	}
	p := c.take(id)
	if p == nil || header.Exception != nil {
		if p != nil {
			p.result <- callResult{err: remoteError(p.method, header.Exception)}
		}
		return c.skip(left)
	}
	r, err := c.readResult(header, left, p.room)
	if err != nil {
		c.putBack(id, p)
		return err
	}
	p.result <- r
	return nil
}

func (c *Conn) readResult(header *pb.ResponseHeader, left int64, room []byte) (r callResult, err error) {
	if left > 0 {
		var used int64
		r.message, used, err = appendDelimited(room, c.br, "response message", left, left)
		if err != nil {
			return r, err
		}
		left -= used
	}
	if cells := int64(header.GetCellBlockMeta().GetLength()); cells != left {
		return r, fmt.Errorf("read response: cell block of %d bytes with %d bytes left of the frame", cells, left)
	}
	if left > 0 {
		if r.cells, err = cell.AppendFrom(nil, c.br, left); err != nil {
			return r, fmt.Errorf("read response cells: %w", err)
		}
	}
	return r, nil
}

// take removes the pending call id; nil when it was cancelled or never made.
func (c *Conn) take(id uint32) *pendingCall {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pending[id]
	delete(c.pending, id)
	return p
}

// putBack makes a call pending again whose answer could not be read, so that
// it fails with the connection.
func (c *Conn) putBack(id uint32, p *pendingCall) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		p.result <- callResult{err: c.err}
		return
	}
	c.pending[id] = p
}

func (c *Conn) skip(n int64) error {
	if _, err := io.CopyN(io.Discard, c.br, n); err != nil {
		return fmt.Errorf("read response: %w", err)
	}
	return nil
}
