package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/pb"
)

func TestCallsAreMultiplexed(t *testing.T) {
	_, addr := startServer(t, ServerConfig{Services: echoServices()})
	c := dial(t, addr, DialOptions{})
	ctx := testContext(t)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			cells := bytes.Repeat([]byte{byte(i)}, i*1000)
			var resp pb.VersionInfo
			got, err := c.Call(ctx, "Echo", version(fmt.Sprint(i)), cells, &resp)
			if err != nil || !bytes.Equal(got, cells) || resp.GetVersion() != fmt.Sprint(i) {
				t.Errorf("call %d: %v, %v, %d bytes of cells", i, err, &resp, len(got))
			}
		})
	}
	wg.Wait()
	if c.Err() != nil {
		t.Errorf("connection broken: %v", c.Err())
	}
}

func TestLargeCellBlockBothWays(t *testing.T) {
	_, addr := startServer(t, ServerConfig{Services: echoServices(), MaxBytesInFlight: 1 << 20})
	c := dial(t, addr, DialOptions{})
	cells := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	got, err := c.Call(testContext(t), "Echo", version("big"), cells, nil)
	if err != nil || !bytes.Equal(got, cells) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// An encoded parameter is on the wire what a message is, and the answer comes into the caller's memory where that is large enough.
func TestCallEncoded(t *testing.T) {
	_, addr := startServer(t, ServerConfig{Services: echoServices()})
	c := dial(t, addr, DialOptions{})
	for _, size := range []int{0, 1, 200, 100_000} {
		param, err := proto.Marshal(version(strings.Repeat("v", size)))
		if err != nil {
			t.Fatal(err)
		}
		for _, has := range []int{0, len(param), 2 * len(param)} {
			room := bytes.Repeat([]byte{'x'}, has)
			message, block, err := c.CallEncoded(testContext(t), "Echo", param, []byte("cells"), room)
			if err != nil || !bytes.Equal(message, param) || string(block) != "cells" {
				t.Errorf("%d bytes into %d: %d bytes, %q, %v", len(param), has, len(message), block, err)
			}
			if has > 0 && &message[0] != &room[0] {
				t.Errorf("%d bytes did not come into the %d there were for them", len(param), has)
			}
		}
	}
	if message, _, err := c.CallEncoded(testContext(t), "Other", nil, nil, make([]byte, 10)); !IsRemote(err, ClassUnsupportedOperation) || message != nil {
		t.Errorf("an exception: %q, %v", message, err)
	}
}

// Answers may come in any order and from any goroutine.
func TestAnswersInReverse(t *testing.T) {
	const n = 10
	calls := make(chan *Call, n)
	_, addr := startServer(t, ServerConfig{Services: map[string]Handler{"AdminService": func(_ context.Context, c *Call) {
		if calls <- c; len(calls) < n {
			return
		}
		go func() {
			var all []*Call
			for range n {
				all = append(all, <-calls)
			}
			for i := range all {
				c := all[n-1-i]
				c.Reply(version(c.Method))
				c.Fail(ClassIOException, "a second answer is ignored", false)
			}
		}()
	}}})
	c := dial(t, addr, DialOptions{})
	ctx := testContext(t)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			method := fmt.Sprint("M", i)
			var resp pb.VersionInfo
			if _, err := c.Call(ctx, method, nil, nil, &resp); err != nil || resp.GetVersion() != method {
				t.Errorf("%s: %v, %v", method, &resp, err)
			}
		})
	}
	wg.Wait()
}

func TestDeadlineGoesAlong(t *testing.T) {
	calls := make(chan *Call, 1)
	_, addr := startServer(t, ServerConfig{Services: map[string]Handler{"AdminService": func(_ context.Context, c *Call) {
		calls <- c
		c.Reply(nil)
	}}})
	c := dial(t, addr, DialOptions{})
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Second)
	defer cancel()
	if _, err := c.Call(ctx, "M", nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	call := <-calls
	if d := call.Deadline.Sub(call.Received); d > 295*time.Second || d < 200*time.Second {
		t.Errorf("deadline %s after the call was received; the caller waits 300s", d)
	}
	if call.CellBytes != 0 || call.Param != nil || call.User != "waltap" {
		t.Errorf("call %+v", call)
	}
}

// A cancelled call is forgotten; its late answer does not disturb the stream.
func TestCancelledCall(t *testing.T) {
	held := make(chan *Call, 1)
	_, addr := startServer(t, ServerConfig{Services: map[string]Handler{"AdminService": func(ctx context.Context, c *Call) {
		if c.Method == "Hold" {
			held <- c
			return
		}
		echo(ctx, c)
	}}})
	c := dial(t, addr, DialOptions{})
	ctx, cancel := context.WithCancel(testContext(t))
	result := make(chan error, 1)
	go func() {
		_, err := c.Call(ctx, "Hold", version("x"), nil, nil)
		result <- err
	}()
	call := <-held
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	call.ReplyCells(version("late"), []byte("cells nobody waits for"))

	var resp pb.VersionInfo
	if _, err := c.Call(testContext(t), "Echo", version("next"), nil, &resp); err != nil || resp.GetVersion() != "next" {
		t.Errorf("next call: %v, %v", &resp, err)
	}
	if _, err := c.Call(ctx, "Echo", version("x"), nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("call with an ended context: %v", err)
	}
	if c.Err() != nil || len(c.pending) != 0 {
		t.Errorf("connection %v, %d pending", c.Err(), len(c.pending))
	}
}

func TestBrokenResponses(t *testing.T) {
	for _, test := range []struct {
		name, answer string
		text         string // part of the error
	}{
		{"negative length", "ffffffff", "length -1"},
		{"too long", "00001001", "length 4097"},
		{"header longer than frame", "00000004 05 0800 00", "length 5 with 3 bytes left"},
		{"header length no varint", "00000005 ffffffffff", "no varint"},
		{"empty frame", "00000000", "no varint"},
		{"header is no message", "00000003 02 ffff", "decode response header"},
		{"no call id", "00000001 00", "no call id"},
		{"call id -1 without exception", "00000007 06 08ffffffff0f", "without exception"},
		{"message longer than frame", "00000005 02 0800 02 00", "length 2 with 1 bytes left"},
		{"bytes behind the message", "00000005 02 0800 00 00", "cell block of 0 bytes with 1 bytes left"},
		{"fewer cells than said", "0000000a 06 0800 1a020805 00 0102", "cell block of 5 bytes with 2 bytes left"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := dial(t, answering(t, unhex(t, test.answer)), DialOptions{MaxResponseBytes: 4096})
			_, err := c.Call(testContext(t), "M", nil, nil, nil)
			var broken *ConnError
			if !errors.As(err, &broken) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %v, want a broken connection with %q", err, test.text)
			}
			if c.Err() == nil {
				t.Error("the connection counts as good")
			}
			if _, again := c.Call(testContext(t), "M", nil, nil, nil); !errors.As(again, &broken) {
				t.Errorf("the next call: %v", again)
			}
		})
	}
}

func TestUndecodableMessageLeavesConnection(t *testing.T) {
	c := dial(t, answering(t, unhex(t, "00000006 02 0800 02 ffff")), DialOptions{})
	_, err := c.Call(testContext(t), "M", nil, nil, &pb.VersionInfo{})
	if err == nil || !strings.Contains(err.Error(), "decode response") || c.Err() != nil {
		t.Errorf("got %v, connection %v", err, c.Err())
	}
}

func TestServerGoesAway(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if skipHello(conn) == nil {
			_, _ = conn.Write(unhex(t, "00000100 02 0800"))
			_, _ = conn.Read(make([]byte, 1<<10))
		}
	}()
	c := dial(t, ln.Addr().String(), DialOptions{})
	if _, err := c.Call(testContext(t), "M", nil, nil, nil); !errors.Is(err, io.ErrUnexpectedEOF) && !errors.As(err, new(*net.OpError)) {
		t.Errorf("got %v", err)
	}

	c = dial(t, answering(t, nil), DialOptions{})
	result := make(chan error, 1)
	go func() {
		_, err := c.Call(context.Background(), "M", nil, nil, nil)
		result <- err
	}()
	eventually(t, "call pending", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.pending) == 1 })
	c.Close()
	if err := <-result; !errors.Is(err, net.ErrClosed) || !errors.As(err, new(*ConnError)) {
		t.Errorf("call on a connection that is closed: %v", err)
	}
	if _, err := c.Call(context.Background(), "M", nil, nil, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("call after Close: %v", err)
	}
}

func TestDialErrors(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	_, err = Dial(testContext(t), addr, DialOptions{Service: "AdminService"})
	if !errors.As(err, new(*net.OpError)) || !strings.Contains(err.Error(), "dial AdminService at "+addr) {
		t.Errorf("got %v", err)
	}
	stuck := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	_, err = Dial(context.Background(), addr, DialOptions{Service: "X", Timeout: time.Millisecond, NetDial: stuck})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// A peer that does not read must not hold a call for long after its context
// has ended; as part of a frame is out, the connection is given up.
func TestWriteStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		go func() { _, _ = io.ReadFull(theirs, make([]byte, 100)) }()
		c, err := Dial(t.Context(), "pipe", DialOptions{Service: "S", NetDial: func(context.Context, string, string) (net.Conn, error) {
			return ours, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err = c.Call(ctx, "M", nil, make([]byte, 1000), nil)
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if d := time.Since(start); d != time.Second+writeGrace {
			t.Errorf("the call took %s", d)
		}
		if !errors.Is(c.Err(), os.ErrDeadlineExceeded) {
			t.Errorf("connection: %v", c.Err())
		}
	})
}

func TestCallIDsAreNotReused(t *testing.T) {
	c := &Conn{pending: map[uint32]*pendingCall{}, nextID: math.MaxInt32 - 1}
	c.pending[math.MaxInt32] = &pendingCall{}
	c.pending[0] = &pendingCall{}
	var got []uint32
	for range 3 {
		id, _, err := c.register("M", nil)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, id)
	}
	if fmt.Sprint(got) != "[2147483646 1 2]" {
		t.Errorf("call ids %v", got)
	}
}
