package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
)

const (
	// defaultCallTimeout is for calls that name none: HBase's hbase.rpc.timeout.
	defaultCallTimeout = 60 * time.Second
	// maxCallTimeout bounds what a call can ask for, so that nobody occupies
	// room for days.
	maxCallTimeout = 10 * time.Minute
	// maxAnswerMargin bounds the tenth of the timeout kept for the answer.
	maxAnswerMargin = 5 * time.Second
)

// ErrCallDeadline is wrapped by the error of Call.Cells when the call's
// deadline passes before its cell block has been read.
var ErrCallDeadline = errors.New("deadline of the call has passed")

// Call is a request. A handler answers it with one of Reply, ReplyCells, Fail
// and Unsupported, once; later answers are ignored. These may be called from
// any goroutine and do not wait for the network.
type Call struct {
	// Service the connection is for, and the method asked of it.
	Service, Method string
	// Param is the encoded parameter message; nil when there is none. It is
	// the handler's until that returns.
	Param []byte
	// Cells streams the cell block from the socket, CellBytes long. It fails
	// with io.ErrUnexpectedEOF when the connection ends inside the block, with
	// an error wrapping [ErrCallDeadline] once Deadline has passed, with a
	// timeout when the peer pauses for too long.
	Cells     io.Reader
	CellBytes int64
	// Codec of the cell block.
	Codec cell.Codec
	// Received is when the server began to read the frame. The caller may have
	// sent it earlier if it had to wait behind other calls of the connection.
	Received time.Time
	// Deadline is when to answer at the latest: the caller's timeout less a
	// tenth, at most 5s, for the way back. Without a timeout 60s are assumed;
	// more than ten minutes are not granted.
	Deadline time.Time
	Remote   net.Addr
	// User the connection claims to be; nothing proves it.
	User string
	// ClientVersion is the peer's HBase version, as "2.6.4"; may be empty.
	ClientVersion string

	conn     *serverConn
	id       uint32
	room     int64 // held of the server's byte budget
	cancel   context.CancelFunc
	answered atomic.Bool
}

// callDeadline returns the latest time for an answer to a call with the given
// timeout in ms, 0 for none.
func callDeadline(received time.Time, ms uint32) time.Time {
	timeout := time.Duration(ms) * time.Millisecond
	if ms == 0 {
		timeout = defaultCallTimeout
	}
	timeout = min(timeout, maxCallTimeout)
	return received.Add(timeout - min(timeout/10, maxAnswerMargin))
}

// Reply answers with a message; nil stands for one without fields.
func (c *Call) Reply(resp proto.Message) { c.ReplyCells(resp, nil) }

// ReplyCells answers with a message and a cell block in the call's codec,
// which the connection must have.
// cells are not copied: they belong to the server from now on.
func (c *Call) ReplyCells(resp proto.Message, cells []byte) {
	if !c.answered.CompareAndSwap(false, true) {
		return
	}
	if resp == nil {
		resp = &emptypb.Empty{}
	}
	header := &pb.ResponseHeader{CallId: &c.id}
	if len(cells) > 0 {
		header.CellBlockMeta = &pb.CellBlockMeta{Length: proto.Uint32(uint32(len(cells)))}
	}
	frame, err := appendFrame(nil, header, resp, len(cells))
	if err != nil {
		c.conn.server.log.Error("answer replaced by an exception", "service", c.Service, "method", c.Method, "error", err)
		c.finish(ClassIOException, exceptionFrame(c.id, ClassIOException, err.Error(), false), nil)
		return
	}
	c.finish("", frame, cells)
}

// Fail answers with an exception of a Java class, as [ClassIOException].
// HBase's replication repeats a failed call whatever doNotRetry says.
func (c *Call) Fail(class, message string, doNotRetry bool) {
	if !c.answered.CompareAndSwap(false, true) {
		return
	}
	c.finish(class, exceptionFrame(c.id, class, message, doNotRetry), nil)
}

// Unsupported answers that the method is not served here.
func (c *Call) Unsupported() {
	c.Fail(ClassUnsupportedOperation, fmt.Sprintf("%.100s.%.100s is not served here", c.Service, c.Method), true)
}

func (c *Call) finish(class string, frame, cells []byte) {
	c.conn.out.send(frame, cells)
	c.release()
	if f := c.conn.server.cfg.Observer.Answered; f != nil {
		f(c, class, time.Since(c.Received))
	}
	c.conn.callDone()
}

// abandon ends a call that no handler has seen and whose connection is about
// to end because of it.
func (c *Call) abandon() {
	if c.answered.CompareAndSwap(false, true) {
		c.release()
		c.conn.callDone()
	}
}

func (c *Call) release() {
	if c.room > 0 {
		c.conn.server.release(c.room)
	}
	c.cancel()
}

// maxExceptionText bounds the text of an exception on the wire.
const maxExceptionText = 64 << 10

// exceptionFrame returns a whole response frame.
func exceptionFrame(id uint32, class, message string, doNotRetry bool) []byte {
	message = message[:min(len(message), maxExceptionText)]
	header := &pb.ResponseHeader{CallId: &id, Exception: exceptionResponse(class, message, doNotRetry)}
	frame, err := appendFrame(nil, header, nil, 0)
	if err != nil {
		// Not possible: no field is required, and the text is bounded. The
		// caller would run into its timeout.
		return nil
	}
	return frame
}

// cellStream reads what is left of a request's frame, its cell block.
type cellStream struct {
	conn     *serverConn
	left     int64
	deadline time.Time
	// ended is set when the handler has returned.
	ended atomic.Bool
}

func (s *cellStream) Read(p []byte) (int, error) {
	if s.ended.Load() {
		return 0, errors.New("read cells: the handler has returned")
	}
	if s.left == 0 {
		return 0, io.EOF
	}
	n, err := s.conn.br.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	if err == nil {
		return n, nil
	}
	if timedOut(err, s.deadline) {
		return n, fmt.Errorf("read cells: %d bytes missing: %w", s.left, ErrCallDeadline)
	}
	return n, noEOF(err)
}
