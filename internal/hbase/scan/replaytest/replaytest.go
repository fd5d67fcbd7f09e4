// Package replaytest plays recorded answers of an HBase server back to a client under test.
package replaytest

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/pb"
)

// Serve answers the n-th call of a connection with the n-th frame of a recording, and hangs up after the last. A
// recording is what a server sent over one connection, so the client must make the calls of the recorded one: an
// answer whose call id is not that of its call fails the test. It returns the address to dial.
func Serve(t testing.TB, recording string) string {
	t.Helper()
	data, err := os.ReadFile(recording)
	if err != nil {
		t.Fatal(err)
	}
	frames, err := Frames(data)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			if err := play(conn, frames); err != nil {
				t.Errorf("replay %s: %v", recording, err)
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return ln.Addr().String()
}

// Frames splits a recording into frames, each with its length in front.
func Frames(data []byte) ([][]byte, error) {
	var frames [][]byte
	for len(data) > 0 {
		if len(data) < 4 || uint64(len(data)-4) < uint64(binary.BigEndian.Uint32(data)) {
			return nil, fmt.Errorf("recording ends inside frame %d", len(frames))
		}
		n := 4 + int(binary.BigEndian.Uint32(data))
		frames, data = append(frames, data[:n]), data[n:]
	}
	return frames, nil
}

func play(conn net.Conn, frames [][]byte) error {
	const preamble = 6
	if _, err := io.CopyN(io.Discard, conn, preamble); err != nil {
		return err
	}
	if _, err := readFrame(conn); err != nil { // connection header
		return err
	}
	for _, frame := range frames {
		request, err := readFrame(conn)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var asked pb.RequestHeader
		var answered pb.ResponseHeader
		if err := header(request, &asked); err != nil {
			return err
		}
		if err := header(frame[4:], &answered); err != nil {
			return err
		}
		if asked.GetCallId() != answered.GetCallId() {
			return fmt.Errorf("call %d (%s): the recording answers call %d",
				asked.GetCallId(), asked.GetMethodName(), answered.GetCallId())
		}
		if _, err := conn.Write(frame); err != nil {
			return err
		}
	}
	return nil
}

func header(frame []byte, m proto.Message) error {
	raw, n := protowire.ConsumeBytes(frame)
	if n < 0 {
		return protowire.ParseError(n)
	}
	return proto.Unmarshal(raw, m)
}

func readFrame(r io.Reader) ([]byte, error) {
	var prefix [4]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return nil, err
	}
	frame := make([]byte, binary.BigEndian.Uint32(prefix[:]))
	_, err := io.ReadFull(r, frame)
	return frame, err
}
