package kafka

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
	"github.com/segmentio/kafka-go/sasl"
)

// conn is one connection to a broker that carries one exchange at a time.
//
// kafka-go's own Transport is not used, because it hides the connection behind a request. A request whose context has a
// deadline ends with it there, one whose context is cancelled goes on in the background for as long as the broker likes,
// and in neither case can the caller know when the connection is gone. Here the goroutine that sends a request owns its
// connection: when exchange has returned an error, the connection is closed.
type conn struct {
	nc       net.Conn
	br       *bufio.Reader
	addr     string
	cfg      *Config
	versions map[protocol.ApiKey][2]int16 // what the broker supports
	nextID   int32
	idle     time.Time // since when
	expires  time.Time // the broker closes it then, when it is used (connections.max.reauth.ms); zero: never
	fresh    bool      // no request was answered since the handshake
	dirty    bool      // an exchange failed: the stream's position is unknown
}

// connError is a failed exchange.
type connError struct {
	addr string
	// sent: the whole request was handed to the operating system, so the broker may act on it. A broker never acts on a
	// part of a request.
	sent bool
	err  error
}

func (e *connError) Error() string { return fmt.Sprintf("broker %s: %v", e.addr, e.err) }
func (e *connError) Unwrap() error { return e.err }

// maxVersions are the newest request versions this package uses, where that is older than the newest kafka-go has.
// InitProducerId, CreateTopics, JoinGroup and SyncGroup of kafka-go are malformed in their flexible versions (strings or lists are not compact).
var maxVersions = map[protocol.ApiKey]int16{
	protocol.JoinGroup:      5,
	protocol.SyncGroup:      3,
	protocol.Heartbeat:      0, // kafka-go reads the later answers' throttle time as the error code
	protocol.InitProducerId: 1,
	protocol.CreateTopics:   4,
	protocol.SaslHandshake:  1,
	protocol.LeaveGroup:     2,
	protocol.DescribeGroups: 4,
}

var longAgo = time.Unix(1, 0)

// maxResponseBytes refuses a frame length that cannot be a Kafka response, e.g. from a port that speaks TLS or HTTP.
const maxResponseBytes = 1<<31 - 1

// maxHelloBytes is more than any answer to ApiVersions has.
const maxHelloBytes = 1 << 20

// dial opens a connection that is ready for requests.
func dial(ctx context.Context, cfg *Config, addr string) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.DialTimeout)
	defer cancel()
	nc, err := cfg.dialBroker(ctx, "tcp", addr)
	if err != nil {
		return nil, &connError{addr: addr, err: err}
	}
	c := &conn{nc: nc, br: bufio.NewReader(nc), addr: addr, cfg: cfg}
	if err := c.handshake(ctx); err != nil {
		c.close()
		if ctxErr := ctx.Err(); ctxErr != nil && !errors.Is(err, ctxErr) {
			err = fmt.Errorf("%w (%w)", err, ctxErr)
		}
		return nil, err
	}
	c.fresh = true
	return c, nil
}

func (c *conn) handshake(ctx context.Context) error {
	res, err := c.hello(ctx)
	if err != nil {
		return fmt.Errorf("negotiate API versions: %w", err)
	}
	if err := brokerError(res.ErrorCode, ""); err != nil {
		return fmt.Errorf("negotiate API versions with broker %s: %w", c.addr, err)
	}
	c.versions = make(map[protocol.ApiKey][2]int16, len(res.ApiKeys))
	for _, k := range res.ApiKeys {
		c.versions[protocol.ApiKey(k.ApiKey)] = [2]int16{k.MinVersion, k.MaxVersion}
	}
	if c.cfg.SASL == nil {
		return nil
	}
	if offered, err := c.authenticate(ctx, c.cfg.SASL); err != nil {
		return fmt.Errorf("authenticate with sasl.mechanism %s at broker %s: %w%s", c.cfg.SASL.Mechanism, c.addr, err, c.cfg.saslRemedy(err, offered))
	}
	return nil
}

// hello asks for the API versions of a broker, if it is one.
func (c *conn) hello(ctx context.Context) (*apiversions.Response, error) {
	c.versions = map[protocol.ApiKey][2]int16{protocol.ApiVersions: {0, 0}}
	var res *apiversions.Response
	var head []byte
	err := c.roundTrip(ctx, 0, new(apiversions.Request), func(v int16) (int32, error) {
		b, err := c.br.Peek(4)
		if head = slices.Clone(b); err != nil {
			return 0, err
		}
		if size := binary.BigEndian.Uint32(head); size > maxHelloBytes {
			return 0, fmt.Errorf("the answer is not one of Kafka's, it begins with %q", head)
		}
		id, m, err := protocol.ReadResponse(c.br, protocol.ApiVersions, v)
		if err == nil {
			res = m.(*apiversions.Response)
		}
		return id, err
	})
	if err != nil {
		return nil, fmt.Errorf("%w%s", err, c.cfg.helloRemedy(err, head))
	}
	return res, nil
}

// authenticate returns the mechanisms that the broker offers, when it does not take ours.
func (c *conn) authenticate(ctx context.Context, cfg *SASL) (offered []string, err error) {
	mech, err := cfg.mechanism()
	if err != nil {
		return nil, err
	}
	m, err := c.exchange(ctx, 0, &saslhandshake.Request{Mechanism: mech.Name()})
	if err != nil {
		return nil, err
	}
	if hs := m.(*saslhandshake.Response); hs.ErrorCode != 0 {
		return hs.Mechanisms, brokerError(hs.ErrorCode, "")
	}
	host, port, _ := net.SplitHostPort(c.addr)
	portNumber, _ := strconv.Atoi(port)
	ctx = sasl.WithMetadata(ctx, &sasl.Metadata{Host: host, Port: portNumber})
	session, token, err := mech.Start(ctx)
	for done := false; err == nil && !done; {
		if m, err = c.exchange(ctx, 0, &saslauthenticate.Request{AuthBytes: token}); err != nil {
			return nil, err
		}
		res := m.(*saslauthenticate.Response)
		if err := brokerError(res.ErrorCode, res.ErrorMessage); err != nil {
			return nil, err
		}
		if life := time.Duration(res.SessionLifetimeMs) * time.Millisecond; life > 0 {
			c.expires = time.Now().Add(life * 4 / 5)
		}
		done, token, err = session.Next(ctx, res.AuthBytes)
	}
	return nil, err
}

// version picks the request version for key.
func (c *conn) version(key protocol.ApiKey) (int16, error) {
	broker, ok := c.versions[key]
	if !ok {
		return 0, fmt.Errorf("broker %s does not support %s: %w", c.addr, key, brokerError(int16(codeUnsupportedVersion), ""))
	}
	ours := key.MaxVersion()
	if v, ok := maxVersions[key]; ok {
		ours = v
	}
	v := min(ours, broker[1])
	if v < broker[0] || v < key.MinVersion() {
		return 0, fmt.Errorf("broker %s supports %s versions %d to %d, waltap %d to %d: %w", c.addr, key,
			broker[0], broker[1], key.MinVersion(), ours, brokerError(int16(codeUnsupportedVersion), ""))
	}
	return v, nil
}

// exchange sends msg and returns the broker's answer. The exchange ends with ctx, with the timeout (0: none) or with the
// answer. After an error the connection is closed, unless nothing was sent at all for want of a common version.
func (c *conn) exchange(ctx context.Context, timeout time.Duration, msg protocol.Message) (protocol.Message, error) {
	key := msg.ApiKey()
	var res protocol.Message
	err := c.roundTrip(ctx, timeout, msg, func(v int16) (id int32, err error) {
		id, res, err = protocol.ReadResponse(c.br, key, v)
		return id, err
	})
	if err != nil {
		return nil, err
	}
	return res, nil
}

// exchangeRaw is exchange for an answer that the caller decodes: it returns the version that was sent and the body after
// the correlation id, in the memory of room if that suffices. Only for request versions whose response header has no tagged fields.
func (c *conn) exchangeRaw(ctx context.Context, timeout time.Duration, room []byte, msg protocol.Message) (version int16, body []byte, err error) {
	err = c.roundTrip(ctx, timeout, msg, func(v int16) (int32, error) {
		version = v
		id, b, err := c.readFrame(room)
		body = b
		return id, err
	})
	return version, body, err
}

// readFrame reads one answer: its correlation id and what follows that, see readN.
func (c *conn) readFrame(room []byte) (id int32, body []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(c.br, head[:]); err != nil {
		return 0, nil, err
	}
	size := int(int32(binary.BigEndian.Uint32(head[:])))
	if size < 4 || size > maxResponseBytes {
		return 0, nil, fmt.Errorf("read response: impossible length %d", size)
	}
	body, err = readN(c.br, size-4, room)
	return int32(binary.BigEndian.Uint32(head[4:])), body, err
}

func (c *conn) roundTrip(ctx context.Context, timeout time.Duration, msg protocol.Message, read func(version int16) (id int32, err error)) error {
	version, err := c.version(msg.ApiKey())
	if err != nil {
		return err
	}
	if p, ok := msg.(protocol.PreparedMessage); ok {
		p.Prepare(version)
	}
	write := func(w io.Writer, id int32) error { return protocol.WriteRequest(w, version, id, c.cfg.ClientID, msg) }
	return c.roundTripBytes(ctx, timeout, msg.ApiKey(), write, func() (int32, error) { return read(version) })
}

// roundTripBytes is one exchange, with whatever write writes and read reads.
func (c *conn) roundTripBytes(ctx context.Context, timeout time.Duration, key protocol.ApiKey, write func(w io.Writer, id int32) error, read func() (id int32, err error)) error {
	var deadline time.Time
	if timeout > 0 {
		deadline = time.Now().Add(timeout)
	}
	sent := false
	fail := func(err error) error {
		c.dirty = true
		c.close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		} else if c.fresh {
			err = fmt.Errorf("%w%s", err, c.cfg.firstRemedy(err))
		}
		return &connError{addr: c.addr, sent: sent, err: err}
	}
	if err := c.nc.SetDeadline(deadline); err != nil {
		return fail(err)
	}
	// The end of ctx is turned into a deadline that has passed, which ends a blocked read or write at once.
	stop := context.AfterFunc(ctx, func() { c.nc.SetDeadline(longAgo) })
	defer stop()

	c.nextID++
	if err := write(c.nc, c.nextID); err != nil {
		return fail(fmt.Errorf("write %s request: %w", key, err))
	}
	sent = true
	id, err := read()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fail(fmt.Errorf("read %s response: %w", key, err))
	}
	if id != c.nextID {
		return fail(fmt.Errorf("read %s response: correlation id is %d, want %d", key, id, c.nextID))
	}
	c.fresh = false
	if !stop() {
		// ctx ended just now and its deadline may or may not be set: the answer is good, the connection is not.
		c.dirty = true
		c.close()
	}
	return nil
}

func (c *conn) close() { _ = c.nc.Close() }

// readN reads n bytes, into the memory of room if that suffices; else it allocates as they come rather than on the word of a peer.
func readN(r io.Reader, n int, room []byte) ([]byte, error) {
	const step = 4 << 20
	if n <= cap(room) {
		_, err := io.ReadFull(r, room[:n])
		return room[:n], err
	}
	first := min(n, step)
	b := make([]byte, first, first+first/8) // so that the next answer, a little larger, fits too
	for have := 0; ; {
		m, err := io.ReadFull(r, b[have:])
		if err != nil {
			return nil, err
		}
		if have += m; have == n {
			return b, nil
		}
		more := min(n-have, max(step, have))
		b = slices.Grow(b, more)[:have+more]
	}
}
