package rpc

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
)

const (
	defaultDialTimeout      = 10 * time.Second
	defaultMaxResponseBytes = 1 << 30
	defaultUser             = "waltap"

	// clientStall is how long a server may pause inside a response.
	clientStall = 60 * time.Second
	// writeGrace is how long a request that is partly sent may take on after
	// its context has ended. Only then is the connection given up, for a
	// frame left unfinished would make the rest of the stream unreadable.
	writeGrace = 2 * time.Second

	clientBuffer = 64 << 10
)

// DialOptions says what a connection is for. Service is required.
type DialOptions struct {
	// Service is the protocol's name: "ClientService", "AdminService",
	// "MasterService".
	Service string
	// User is the effective user the server is told; default "waltap".
	User string
	// Codec of the cell blocks in both directions; default KeyValueCodec.
	Codec cell.Codec
	// Timeout bounds connecting and sending the handshake; default 10s.
	Timeout time.Duration
	// MaxResponseBytes bounds a response frame; a longer one breaks the
	// connection. Default 1 GiB.
	MaxResponseBytes int64
	// NetDial replaces the TCP dialler, for TLS or tests.
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Conn is a connection to one service of one server. Calls are multiplexed;
// all methods may be used concurrently. A Conn does not reconnect: once Err
// returns non-nil, dial again.
type Conn struct {
	addr    string
	conn    net.Conn
	reader  *stallReader
	br      *bufio.Reader
	maxResp int64

	// writing holds a token while a frame is written.
	writing chan struct{}
	frame   []byte // its memory, up to maxKeptFrame
	// broken is closed when err is set.
	broken chan struct{}
	// done is closed when the reading goroutine has ended.
	done chan struct{}

	mu      sync.Mutex
	pending map[uint32]*pendingCall
	nextID  uint32
	err     *ConnError
}

type pendingCall struct {
	method string
	room   []byte          // for the answer's message
	result chan callResult // room for one, so that the reader never waits
}

// outgoing is what a call sends: no parameter, or one as a message or encoded.
type outgoing struct {
	method  string
	message proto.Message
	encoded []byte // of a message that is nil; nil: none
	cells   []byte
}

type callResult struct {
	message, cells []byte
	err            error
}

// Dial connects to addr ("host:port") and sends the handshake. HBase does not
// answer a handshake it accepts; one it refuses fails the first call.
func Dial(ctx context.Context, addr string, o DialOptions) (*Conn, error) {
	if o.Timeout <= 0 {
		o.Timeout = defaultDialTimeout
	}
	if o.MaxResponseBytes <= 0 {
		o.MaxResponseBytes = defaultMaxResponseBytes
	}
	if o.User == "" {
		o.User = defaultUser
	}
	if o.NetDial == nil {
		o.NetDial = new(net.Dialer).DialContext
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()

	hello, err := appendHello(nil, o)
	if err != nil {
		return nil, err
	}
	conn, err := o.NetDial(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("dial %s at %s: %w", o.Service, addr, err)
	}
	deadline, _ := ctx.Deadline()
	if err := sendHello(conn, hello, deadline); err != nil {
		conn.Close()
		return nil, fmt.Errorf("dial %s at %s: send handshake: %w", o.Service, addr, err)
	}
	c := &Conn{
		addr:    addr,
		conn:    conn,
		reader:  &stallReader{conn: conn},
		maxResp: o.MaxResponseBytes,
		writing: make(chan struct{}, 1),
		broken:  make(chan struct{}),
		done:    make(chan struct{}),
		pending: make(map[uint32]*pendingCall),
	}
	c.br = bufio.NewReaderSize(c.reader, clientBuffer)
	go c.readLoop()
	return c, nil
}

// appendHello appends preamble and connection header.
func appendHello(dst []byte, o DialOptions) ([]byte, error) {
	header := &pb.ConnectionHeader{
		UserInfo:            &pb.UserInformation{EffectiveUser: &o.User},
		ServiceName:         &o.Service,
		CellBlockCodecClass: proto.String(o.Codec.Class()),
	}
	msg, err := proto.Marshal(header)
	if err != nil {
		return nil, fmt.Errorf("encode connection header: %w", err)
	}
	dst = append(dst, preambleMagic...)
	dst = append(dst, wireVersion, authSimple)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(msg)))
	return append(dst, msg...), nil
}

func sendHello(conn net.Conn, hello []byte, deadline time.Time) error {
	if err := conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	if _, err := conn.Write(hello); err != nil {
		return err
	}
	return conn.SetWriteDeadline(time.Time{})
}

// Addr returns the address that was dialled.
func (c *Conn) Addr() string { return c.addr }

// Err returns nil while the connection works, then the *[ConnError] all its
// calls fail with.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		return nil
	}
	return c.err
}

// Close breaks the connection: calls in flight fail with a *[ConnError] that
// wraps [net.ErrClosed]. It returns when the connection's goroutine has ended,
// always nil.
func (c *Conn) Close() error {
	c.fail(net.ErrClosed)
	<-c.done
	return nil
}

// Call sends one request and waits for its answer, which it decodes into resp.
// req nil sends no parameter, resp nil discards the message. A non-empty cells
// is sent as the request's cell block, without being copied; the response's
// is returned, nil when there is none.
//
// The deadline of ctx goes along as the call's timeout. When ctx ends, the
// call is forgotten and the connection stays usable; whether the server acts
// on the call is then unknown.
//
// Errors: a *[RemoteError] for an exception the server answered with, an error
// wrapping a *[ConnError] when the connection broke, one wrapping ctx.Err(),
// or one about encoding and decoding.
func (c *Conn) Call(ctx context.Context, method string, req proto.Message, cells []byte, resp proto.Message) ([]byte, error) {
	r, err := c.call(ctx, outgoing{method: method, message: req, cells: cells}, nil)
	if err != nil {
		return nil, err
	}
	if resp != nil {
		if err := proto.Unmarshal(r.message, resp); err != nil {
			return nil, fmt.Errorf("call %s on %s: decode response: %w", method, c.addr, err)
		}
	}
	return r.cells, nil
}

// CallEncoded is Call for a parameter that is encoded, which is sent without
// being copied, and an answer that the caller decodes: its message is read
// into room, from its beginning, or where that is too small into new memory.
// After an error room must not be used again: the answer may still come.
func (c *Conn) CallEncoded(ctx context.Context, method string, param, cells, room []byte) (message, block []byte, err error) {
	r, err := c.call(ctx, outgoing{method: method, encoded: param, cells: cells}, room)
	return r.message, r.cells, err
}

func (c *Conn) call(ctx context.Context, q outgoing, room []byte) (callResult, error) {
	id, p, err := c.register(q.method, room)
	if err != nil {
		return callResult{}, fmt.Errorf("call %s: %w", q.method, err)
	}
	if err := c.send(ctx, id, q); err != nil {
		c.forget(id)
		return callResult{}, fmt.Errorf("call %s on %s: %w", q.method, c.addr, err)
	}
	select {
	case r := <-p.result:
		if r.err == nil {
			return r, nil
		}
		if _, ok := r.err.(*RemoteError); ok {
			return callResult{}, r.err
		}
		return callResult{}, fmt.Errorf("call %s: %w", q.method, r.err)
	case <-ctx.Done():
		c.forget(id)
		return callResult{}, fmt.Errorf("call %s on %s: %w", q.method, c.addr, ctx.Err())
	}
}

func (c *Conn) register(method string, room []byte) (uint32, *pendingCall, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, nil, c.err
	}
	id := c.nextID
	for c.pending[id] != nil {
		id = (id + 1) & math.MaxInt32
	}
	c.nextID = (id + 1) & math.MaxInt32
	p := &pendingCall{method: method, room: room, result: make(chan callResult, 1)}
	c.pending[id] = p
	return id, p, nil
}

func (c *Conn) forget(id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
}

// fail breaks the connection because of cause; only the first cause counts.
func (c *Conn) fail(cause error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = &ConnError{Addr: c.addr, Err: cause}
	pending := c.pending
	c.pending = nil
	close(c.broken)
	c.mu.Unlock()

	c.conn.Close()
	for _, p := range pending {
		p.result <- callResult{err: c.err}
	}
}

// send writes a request frame. An error means that the call will get no
// answer; a broken connection is reported through the pending call.
func (c *Conn) send(ctx context.Context, id uint32, q outgoing) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	default:
	}
	select {
	case c.writing <- struct{}{}:
	case <-c.broken:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.writing }()

	head, err := appendRequest(c.frame[:0], requestHeader(ctx, id, q), q)
	if err != nil {
		return err
	}
	if cap(head) <= maxKeptFrame {
		c.frame = head
	}
	bufs := net.Buffers{head}
	for _, b := range [][]byte{q.encoded, q.cells} {
		if len(b) > 0 {
			bufs = append(bufs, b)
		}
	}
	if err := c.write(ctx, bufs); err != nil {
		c.fail(fmt.Errorf("send request: %w", err))
	}
	return nil
}

// maxKeptFrame is how large the memory of a frame, without its cells, is kept for the next.
const maxKeptFrame = 1 << 20

// appendRequest appends a request's frame as far as it is not sent from where
// it is.
func appendRequest(dst []byte, header *pb.RequestHeader, q outgoing) ([]byte, error) {
	if q.encoded == nil {
		return appendFrame(dst, header, q.message, len(q.cells))
	}
	dst, err := appendFrame(dst, header, nil, protowire.SizeBytes(len(q.encoded))+len(q.cells))
	return protowire.AppendVarint(dst, uint64(len(q.encoded))), err
}

func requestHeader(ctx context.Context, id uint32, q outgoing) *pb.RequestHeader {
	param := q.message != nil || q.encoded != nil
	h := &pb.RequestHeader{CallId: &id, MethodName: &q.method, RequestParam: &param}
	if len(q.cells) > 0 {
		h.CellBlockMeta = &pb.CellBlockMeta{Length: proto.Uint32(uint32(len(q.cells)))}
	}
	if deadline, ok := ctx.Deadline(); ok {
		ms := max(1, time.Until(deadline).Milliseconds())
		h.Timeout = proto.Uint32(uint32(min(ms, math.MaxInt32)))
	}
	return h
}

// write writes bufs whole, or leaves the connection unusable.
func (c *Conn) write(ctx context.Context, bufs net.Buffers) error {
	limited := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(limited)
		// An error here is a closed connection, which the write reports.
		_ = c.conn.SetWriteDeadline(time.Now().Add(writeGrace))
	})
	_, err := bufs.WriteTo(c.conn)
	if stop() {
		return err
	}
	<-limited
	if err == nil {
		err = c.conn.SetWriteDeadline(time.Time{})
	}
	return err
}
