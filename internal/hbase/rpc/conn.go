package rpc

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/pb"
)

const (
	serverBuffer = 64 << 10

	handshakeTimeout = 30 * time.Second
	// headerTimeout bounds the arrival of a frame's length and header, and
	// discardTimeout that of the bytes nobody wants.
	headerTimeout  = 60 * time.Second
	discardTimeout = 60 * time.Second
	// lingerTimeout is how long a connection stays open behind its last
	// answer: closing it with unread bytes would reset it, and the answer
	// could be lost.
	lingerTimeout = time.Second
)

// errDraining ends a connection's loop because of Shutdown.
var errDraining = errors.New("server is shutting down")

// serverConn is an accepted connection. Its goroutine runs serve; the fields
// up to out belong to it alone.
type serverConn struct {
	server *Server
	conn   net.Conn
	reader *stallReader
	br     *bufio.Reader
	peer   peerInfo

	out *responseWriter

	// ctx is what its calls live under.
	ctx    context.Context
	cancel context.CancelFunc

	mu          sync.Mutex
	draining    bool
	waiting     bool // for the next frame, or in the handshake
	outstanding int  // calls not answered
	allAnswered chan struct{}
}

func newServerConn(s *Server, conn net.Conn) *serverConn {
	c := &serverConn{server: s, conn: conn, reader: &stallReader{conn: conn}}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	return c
}

// close ends the connection at once, from any goroutine.
func (c *serverConn) close() {
	c.cancel()
	c.conn.Close()
}

// drain makes the connection take no further calls.
func (c *serverConn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	if c.waiting {
		// An error is a closed connection, whose reads end by themselves.
		_ = c.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

func (c *serverConn) serve() {
	observer, remote := &c.server.cfg.Observer, c.conn.RemoteAddr()
	if observer.ConnOpened != nil {
		observer.ConnOpened(remote)
	}
	c.br = bufio.NewReaderSize(c.reader, serverBuffer)
	c.out = newResponseWriter(c.conn, c.server.cfg.StallTimeout)

	err := c.handshake()
	for err == nil {
		err = c.serveFrame()
	}
	c.end(err)
	if observer.ConnClosed != nil {
		observer.ConnClosed(remote)
	}
}

// end closes the connection in the way that err, the end of its loop, asks
// for.
func (c *serverConn) end(err error) {
	var reject *rejection
	switch {
	case errors.Is(err, errDraining):
		c.awaitAnswers()
		c.out.close()
		c.linger()
	case errors.As(err, &reject):
		c.reject(reject)
		c.out.close()
		c.linger()
	case err != io.EOF:
		c.server.log.Debug("connection ended", "remote", c.conn.RemoteAddr(), "error", err)
	}
	c.out.abort()
	c.close()
	<-c.out.done
}

// linger lets the peer read what it was sent before the connection goes.
func (c *serverConn) linger() {
	if half, ok := c.conn.(interface{ CloseWrite() error }); ok {
		if half.CloseWrite() != nil {
			return
		}
	}
	c.reader.within(0, time.Time{})
	if c.conn.SetReadDeadline(time.Now().Add(lingerTimeout)) == nil {
		// Any end will do.
		_, _ = io.Copy(io.Discard, c.br)
	}
}

// awaitAnswers waits until all calls are answered or the connection is closed.
func (c *serverConn) awaitAnswers() {
	c.mu.Lock()
	if c.outstanding == 0 {
		c.mu.Unlock()
		return
	}
	c.allAnswered = make(chan struct{})
	c.mu.Unlock()
	select {
	case <-c.allAnswered:
	case <-c.ctx.Done():
	}
}

func (c *serverConn) callDone() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outstanding--
	if c.outstanding == 0 && c.allAnswered != nil {
		close(c.allAnswered)
	}
}

// wait begins a read that Shutdown may interrupt; deadline zero for none.
func (c *serverConn) wait(deadline time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining {
		return errDraining
	}
	c.waiting = true
	c.reader.within(0, time.Time{})
	return c.conn.SetReadDeadline(deadline)
}

// waited ends what wait began: from here on Shutdown lets the connection
// finish. err is the outcome of the read.
func (c *serverConn) waited(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = false
	if c.draining {
		return errDraining
	}
	return err
}

// serveFrame waits for a request frame and serves it. An error ends the
// connection.
func (c *serverConn) serveFrame() error {
	c.out.waitForReader()
	if err := c.wait(time.Time{}); err != nil {
		return err
	}
	_, err := c.br.Peek(1)
	if err := c.waited(err); err != nil {
		return err
	}
	received := time.Now()
	c.reader.within(c.server.cfg.StallTimeout, received.Add(headerTimeout))
	header, size, left, err := c.readRequestHeader()
	if err != nil {
		return err
	}
	call := c.newCall(header, received)
	left, err = c.serveCall(call, header, size, left)
	if err != nil {
		call.abandon()
		return err
	}
	return c.discard(left)
}

// readRequestHeader reads the length and header of a frame: its total size and
// how much of it is left.
func (c *serverConn) readRequestHeader() (header *pb.RequestHeader, size, left int64, err error) {
	var prefix [4]byte
	if _, err := io.ReadFull(c.br, prefix[:]); err != nil {
		return nil, 0, 0, fmt.Errorf("read request length: %w", err)
	}
	size = int64(int32(binary.BigEndian.Uint32(prefix[:])))
	if size < 0 {
		return nil, 0, 0, reject(classFatalConnection, "request of %d bytes", size)
	}
	raw, used, err := readDelimited(c.br, "request header", size, maxHeaderBytes)
	if err == nil {
		header = new(pb.RequestHeader)
		err = proto.Unmarshal(raw, header)
	}
	if size > c.server.cfg.MaxFrameBytes {
		r := reject(classRequestTooBig, "request of %d bytes: at most %d are accepted; lower hbase.ipc.max.request.size of the sender",
			size, c.server.cfg.MaxFrameBytes)
		if err == nil {
			r.callID = header.GetCallId()
		}
		return nil, 0, 0, r
	}
	if err != nil {
		return nil, 0, 0, rejectMalformed(err)
	}
	return header, size, size - used, nil
}

func (c *serverConn) newCall(header *pb.RequestHeader, received time.Time) *Call {
	call := &Call{
		Service:       c.peer.service,
		Method:        header.GetMethodName(),
		CellBytes:     int64(header.GetCellBlockMeta().GetLength()),
		Codec:         c.peer.codec,
		Received:      received,
		Deadline:      callDeadline(received, header.GetTimeout()),
		Remote:        c.conn.RemoteAddr(),
		User:          c.peer.user,
		ClientVersion: c.peer.version,
		conn:          c,
		id:            header.GetCallId(),
	}
	c.mu.Lock()
	c.outstanding++
	c.mu.Unlock()
	return call
}

// serveCall serves a call of a frame of size bytes, left of which follow the
// header. It returns how many bytes of the frame it left unread; an error when
// the stream cannot be read any further.
func (c *serverConn) serveCall(call *Call, header *pb.RequestHeader, size, left int64) (int64, error) {
	var ctx context.Context
	ctx, call.cancel = context.WithDeadline(c.ctx, call.Deadline)
	handler := c.server.cfg.Services[call.Service]
	if handler == nil {
		call.Unsupported()
		return left, nil
	}
	room, err := c.server.acquire(ctx, size)
	if err != nil {
		call.Fail(ClassIOException, c.noRoom(call, size), false)
		return left, nil
	}
	call.room = room
	c.reader.within(c.server.cfg.StallTimeout, call.Deadline)
	if header.GetRequestParam() {
		var used int64
		buf := c.server.params.Get().(*[]byte)
		defer c.server.params.Put(buf)
		*buf, used, err = appendDelimited(*buf, c.br, "request parameter", left, c.server.cfg.MaxParamBytes)
		call.Param = *buf
		left -= used
		var tooBig *sizeError
		switch {
		case errors.As(err, &tooBig):
			call.Fail(classRequestTooBig, err.Error(), true)
			return left, nil
		case timedOut(err, call.Deadline):
			call.Fail(ClassIOException, fmt.Sprintf("%s: %d bytes missing", ErrCallDeadline, left), false)
			return left, nil
		case err != nil:
			return left, rejectMalformed(err)
		}
	}
	if call.CellBytes != left {
		return left, reject(classFatalConnection, "cell block of %d bytes with %d bytes left of the request", call.CellBytes, left)
	}
	if left > 0 && !c.peer.hasCodec {
		call.Fail(ClassDoNotRetryIO, "cell block on a connection without cell codec", true)
		return left, nil
	}
	return c.handle(ctx, handler, call), nil
}

// noRoom says why a call of size bytes was not let in.
func (c *serverConn) noRoom(call *Call, size int64) string {
	if c.server.accepting.Err() != nil {
		return errDraining.Error()
	}
	return fmt.Sprintf("no room for a call of %d bytes within %s: %d bytes are in flight; send it again",
		size, time.Since(call.Received).Round(time.Millisecond), c.server.BytesInFlight())
}

// handle runs the handler and returns how many bytes it left unread.
func (c *serverConn) handle(ctx context.Context, handler Handler, call *Call) int64 {
	cells := &cellStream{conn: c, left: call.CellBytes, deadline: call.Deadline}
	call.Cells = cells
	c.run(ctx, handler, call)
	cells.ended.Store(true)
	return cells.left
}

// run calls the handler; if it panics, the call fails and the log says why.
func (c *serverConn) run(ctx context.Context, handler Handler, call *Call) {
	defer func() {
		if v := recover(); v != nil {
			c.server.log.Error("handler panicked: this is a bug", "service", call.Service, "method", call.Method,
				"remote", call.Remote, "panic", v, "stack", string(debug.Stack()))
			call.Fail(ClassIOException, "internal error, see the log of the server", false)
		}
	}()
	handler(ctx, call)
}

// discard reads the n bytes nobody wanted of a frame.
func (c *serverConn) discard(n int64) error {
	if n == 0 {
		return nil
	}
	c.reader.within(c.server.cfg.StallTimeout, time.Now().Add(discardTimeout))
	if _, err := io.CopyN(io.Discard, c.br, n); err != nil {
		return fmt.Errorf("discard rest of request: %w", err)
	}
	return nil
}
