package rpc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
)

// switchToSimpleAuth is what a server without security answers to a client
// that wants SASL: status SUCCESS, then -88. (HBase: SaslUtil.)
var switchToSimpleAuth = []byte{0, 0, 0, 0, 0xff, 0xff, 0xff, 0xa8}

// peerInfo is what a connection's handshake says.
type peerInfo struct {
	service  string
	user     string
	version  string
	codec    cell.Codec
	hasCodec bool
}

// rejection ends a connection with an exception.
type rejection struct {
	class, message string
	callID         uint32
}

func (r *rejection) Error() string { return r.class + ": " + r.message }

func reject(class, format string, args ...any) *rejection {
	return &rejection{class: class, message: fmt.Sprintf(format, args...), callID: connectionCallID}
}

// rejectMalformed makes a rejection of err unless it comes from the network.
func rejectMalformed(err error) error {
	var frame *frameError
	var size *sizeError
	if errors.As(err, &frame) || errors.As(err, &size) || errors.Is(err, proto.Error) {
		return reject(classFatalConnection, "%s", err)
	}
	return err
}

// reject sends the rejection's exception.
func (c *serverConn) reject(r *rejection) {
	remote := c.conn.RemoteAddr()
	if f := c.server.cfg.Observer.Rejected; f != nil {
		f(remote, r.class, r.message)
	}
	if c.server.notice.allow(remote) {
		c.server.log.Warn("connection rejected", "remote", remote, "exception", r.class, "reason", r.message)
	}
	c.out.send(exceptionFrame(r.callID, r.class, r.message, true))
}

// handshake reads preamble and connection header. A peer that goes away
// before it has sent a byte, as a port check does, gives io.EOF.
func (c *serverConn) handshake() error {
	if err := c.wait(time.Now().Add(handshakeTimeout)); err != nil {
		return err
	}
	return c.waited(c.readHandshake())
}

func (c *serverConn) readHandshake() error {
	simple, err := c.readPreamble()
	if err != nil {
		return err
	}
	if !simple {
		// The client has sent its first SASL token without waiting.
		if _, err := c.readHandshakeFrame("SASL token"); err != nil {
			return err
		}
		c.out.send(switchToSimpleAuth)
	}
	raw, err := c.readHandshakeFrame("connection header")
	if err != nil {
		return err
	}
	var header pb.ConnectionHeader
	if err := proto.Unmarshal(raw, &header); err != nil {
		return reject(classFatalConnection, "decode connection header: %s", err)
	}
	c.peer, err = checkConnectionHeader(&header)
	return err
}

// readPreamble reads and checks the first six bytes; simple is false when the
// client wants SASL.
func (c *serverConn) readPreamble() (simple bool, err error) {
	var b [preambleLen]byte
	if _, err := io.ReadFull(c.br, b[:]); err != nil {
		return false, err
	}
	if b[0] == 0x16 {
		return false, reject(classFatalConnection, "TLS is not served here: unset hbase.client.netty.tls.enabled for this peer")
	}
	if string(b[:len(preambleMagic)]) != preambleMagic {
		return false, reject(classFatalConnection, "Expected HEADER='%s' but received HEADER='%q'", preambleMagic, b[:])
	}
	if b[4] != wireVersion {
		return false, reject(classWrongVersion, "serverVersion=%d, clientVersion=%d", wireVersion, b[4])
	}
	switch b[5] {
	case authSimple:
		return true, nil
	case authKerberos, authDigest:
		return false, nil
	}
	return false, reject(classBadAuth, "authentication %d is not served here: only SIMPLE (%d)", b[5], authSimple)
}

// readHandshakeFrame reads a length-prefixed message.
func (c *serverConn) readHandshakeFrame(what string) ([]byte, error) {
	var prefix [4]byte
	if _, err := io.ReadFull(c.br, prefix[:]); err != nil {
		return nil, fmt.Errorf("read %s: %w", what, noEOF(err))
	}
	n := binary.BigEndian.Uint32(prefix[:])
	if n > math.MaxInt32 || n > maxHeaderBytes {
		return nil, reject(classFatalConnection, "%s of %d bytes: at most %d are accepted", what, int32(n), maxHeaderBytes)
	}
	raw, err := cell.AppendFrom(nil, c.br, int64(n))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	return raw, nil
}

// noEOF turns io.EOF, which stands for a clean end, into a broken one.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func checkConnectionHeader(h *pb.ConnectionHeader) (peerInfo, error) {
	peer := peerInfo{
		service: h.GetServiceName(),
		user:    h.GetUserInfo().GetEffectiveUser(),
		version: h.GetVersionInfo().GetVersion(),
	}
	if class := h.GetCellBlockCodecClass(); class != "" {
		var err error
		if peer.codec, err = cell.ParseCodec(class); err != nil {
			return peer, reject(classUnsupportedCodec, "%s", err)
		}
		peer.hasCodec = true
	}
	if class := h.GetCellBlockCompressorClass(); class != "" {
		return peer, reject(classUnsupportedCompression,
			"compressor %.200q is not served here: set hbase.client.rpc.compressor of the peer to an empty value", class)
	}
	if cipher := h.GetRpcCryptoCipherTransformation(); cipher != "" {
		return peer, reject(classUnsupportedCrypto, "cipher %.200q is not served here: unset hbase.rpc.crypto.encryption.aes.enabled", cipher)
	}
	return peer, nil
}
