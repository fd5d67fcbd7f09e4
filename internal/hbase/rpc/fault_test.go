package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/pb"
)

// A peer that stops inside a frame is cut off and gives back its room.
func TestPeerStopsMidFrame(t *testing.T) {
	frame := request(t, 1, "Echo", 60000, version("parameter"), make([]byte, 100))
	for name, n := range map[string]int{
		"in the length": 2, "in the header": 8, "in the parameter": len(frame) - 105, "in the cells": len(frame) - 50,
	} {
		t.Run(name, func(t *testing.T) {
			withFakeClock(t, ServerConfig{Services: echoServices(), StallTimeout: 10 * time.Second}, func(t *testing.T, s *Server, ln *pipeListener) {
				c := ln.dial(t)
				c.send(goodHello(t), frame[:n])
				synctest.Wait()
				if n >= len(frame)-105 != (s.BytesInFlight() == int64(len(frame)-4)) {
					t.Errorf("%d bytes in flight", s.BytesInFlight())
				}
				if n == len(frame)-50 {
					// The handler sees the stall and answers; then the rest of
					// the cells is waited for as long again.
					c.expectException(1, ClassIOException, "timeout")
					if s.BytesInFlight() != 0 {
						t.Errorf("%d bytes in flight after the answer", s.BytesInFlight())
					}
				}
				if d := c.expectClosed(); d != 10*time.Second {
					t.Errorf("closed after %s", d)
				}
				synctest.Wait()
				if s.BytesInFlight() != 0 {
					t.Errorf("%d bytes in flight", s.BytesInFlight())
				}
			})
		})
	}
}

// A peer that sends a byte now and then does not outlive its call's deadline,
// nor does its frame outlive the time for discarding.
func TestPeerTrickles(t *testing.T) {
	withFakeClock(t, ServerConfig{Services: echoServices(), StallTimeout: 10 * time.Second}, func(t *testing.T, s *Server, ln *pipeListener) {
		c := ln.dial(t)
		frame := request(t, 1, "Echo", 60000, version("x"), make([]byte, 1000))
		start := time.Now()
		c.send(goodHello(t), frame[:len(frame)-1000])
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			for {
				time.Sleep(5 * time.Second)
				if _, err := c.Write([]byte{0}); err != nil {
					return
				}
			}
		})
		c.expectException(1, ClassIOException, ErrCallDeadline.Error())
		if d := time.Since(start); d != 55*time.Second {
			t.Errorf("answered after %s", d)
		}
		if s.BytesInFlight() != 0 {
			t.Errorf("%d bytes in flight after the answer", s.BytesInFlight())
		}
		if d := c.expectClosed(); d != discardTimeout {
			t.Errorf("closed after %s", d)
		}
	})
}

func TestIdleConnections(t *testing.T) {
	withFakeClock(t, ServerConfig{Services: echoServices()}, func(t *testing.T, _ *Server, ln *pipeListener) {
		c := ln.dial(t)
		c.send(goodHello(t))
		for id := range uint32(3) {
			time.Sleep(time.Hour)
			c.send(request(t, id, "Echo", 1000, nil, nil))
			if h, _ := c.response(); h.GetCallId() != id || h.Exception != nil {
				t.Errorf("answer %v", h)
			}
		}
		c.Close()

		silent := ln.dial(t)
		silent.send([]byte("HBas"))
		if d := silent.expectClosed(); d != handshakeTimeout {
			t.Errorf("half a handshake is closed after %s", d)
		}
	})
}

// holdOrEcho hands calls of the method Hold to the test, unanswered.
func holdOrEcho(held chan<- *Call) map[string]Handler {
	return map[string]Handler{"AdminService": func(ctx context.Context, c *Call) {
		if c.Method != "Hold" {
			echo(ctx, c)
			return
		}
		held <- c
	}}
}

func TestNoRoom(t *testing.T) {
	held := make(chan *Call, 1)
	withFakeClock(t, ServerConfig{Services: holdOrEcho(held), MaxBytesInFlight: 1000}, func(t *testing.T, s *Server, ln *pipeListener) {
		holder, c := ln.dial(t), ln.dial(t)
		holder.send(goodHello(t), request(t, 1, "Hold", 60000, nil, make([]byte, 600)))
		call := <-held
		start := time.Now()
		c.send(goodHello(t))
		go c.send(request(t, 2, "Echo", 10000, nil, make([]byte, 600)))
		c.expectException(2, ClassIOException, "no room for a call of 6")
		if d := time.Since(start); d != 9*time.Second {
			t.Errorf("answered after %s, the caller waits 10s", d)
		}
		// The connection is still good, and small calls fit.
		go c.send(request(t, 3, "Echo", 10000, version("small"), nil))
		if h, _ := c.response(); h.GetCallId() != 3 || h.Exception != nil {
			t.Errorf("answer %v", h)
		}
		call.Reply(nil)
		if h, _ := holder.response(); h.GetCallId() != 1 || h.Exception != nil {
			t.Errorf("answer %v", h)
		}
		go c.send(request(t, 4, "Echo", 10000, nil, make([]byte, 600)))
		if h, _ := c.response(); h.GetCallId() != 4 || h.Exception != nil {
			t.Errorf("answer %v", h)
		}
		if s.BytesInFlight() != 0 {
			t.Errorf("%d bytes in flight", s.BytesInFlight())
		}
		holder.Close()
		c.Close()
	})
}

// A call over the limit waits until it is alone, then gets through.
func TestOversizedCallAlone(t *testing.T) {
	held := make(chan *Call, 1)
	var peak atomic.Int64
	cfg := ServerConfig{Services: holdOrEcho(held), MaxBytesInFlight: 1000}
	cfg.Observer.BytesInFlight = func(n int64) { peak.Store(max(n, peak.Load())) }
	withFakeClock(t, cfg, func(t *testing.T, s *Server, ln *pipeListener) {
		holder, c := ln.dial(t), ln.dial(t)
		holder.send(goodHello(t), request(t, 1, "Hold", 60000, nil, nil))
		call := <-held
		c.send(goodHello(t))
		start := time.Now()
		go c.send(request(t, 2, "Echo", 60000, nil, make([]byte, 5000)))
		go func() {
			time.Sleep(20 * time.Second)
			call.Reply(nil)
		}()
		if h, cells := c.response(); h.GetCallId() != 2 || h.Exception != nil || len(cells) != 5001 {
			t.Errorf("answer %v, %d bytes", h, len(cells))
		}
		if d := time.Since(start); d != 20*time.Second {
			t.Errorf("answered after %s", d)
		}
		if peak.Load() != 1000 || s.BytesInFlight() != 0 {
			t.Errorf("peak %d, now %d bytes in flight", peak.Load(), s.BytesInFlight())
		}
		holder.response()
		holder.Close()
		c.Close()
	})
}

func TestPeerDoesNotReadAnswers(t *testing.T) {
	services := map[string]Handler{"AdminService": func(_ context.Context, c *Call) {
		c.ReplyCells(nil, make([]byte, 64<<10))
	}}
	withFakeClock(t, ServerConfig{Services: services, StallTimeout: 10 * time.Second}, func(t *testing.T, _ *Server, ln *pipeListener) {
		c := ln.dial(t)
		c.send(goodHello(t))
		start, sent := time.Now(), 0
		for ; ; sent++ {
			if _, err := c.Write(request(t, uint32(sent), "M", 0, nil, nil)); err != nil {
				break
			}
		}
		if d := time.Since(start); d != 10*time.Second {
			t.Errorf("cut off after %s", d)
		}
		// What fits the queue, and the read buffer, and no more.
		if limit := maxQueuedAnswers/(64<<10) + serverBuffer/10 + 10; sent > limit {
			t.Errorf("%d calls were read, want at most %d", sent, limit)
		}
	})
}

func TestAnswerAfterConnectionDied(t *testing.T) {
	calls := make(chan *Call, 1)
	ended := make(chan struct{})
	var answered atomic.Int32
	cfg := ServerConfig{Services: map[string]Handler{"AdminService": func(ctx context.Context, c *Call) {
		calls <- c
		context.AfterFunc(ctx, func() { close(ended) })
	}}}
	cfg.Observer.Answered = func(*Call, string, time.Duration) { answered.Add(1) }
	s, addr := startServer(t, cfg)
	c := dialRaw(t, addr)
	c.send(goodHello(t), request(t, 1, "M", 60000, nil, nil))
	call := <-calls
	c.Close()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("the call's context outlives its connection")
	}
	if s.BytesInFlight() == 0 {
		t.Error("the call has given back its room without an answer")
	}
	call.Reply(nil)
	call.Reply(nil)
	if s.BytesInFlight() != 0 || answered.Load() != 1 {
		t.Errorf("%d bytes in flight, answered %d times", s.BytesInFlight(), answered.Load())
	}
}

// A hundred peers that claim gigabytes and send nothing must cost next to
// nothing, and a good one must still be served.
func TestBogusFramesCostNoMemory(t *testing.T) {
	claims := func(total uint32, rest ...byte) []byte {
		return append(binary.BigEndian.AppendUint32(goodHello(t), total), rest...)
	}
	header := func(cells uint32) []byte {
		id, method := uint32(1), "Echo"
		h := &pb.RequestHeader{CallId: &id, MethodName: &method, RequestParam: proto.Bool(cells == 0)}
		if cells > 0 {
			h.CellBlockMeta = &pb.CellBlockMeta{Length: &cells}
		}
		raw, err := proto.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		return append([]byte{byte(len(raw))}, raw...)
	}
	bogus := [][]byte{
		claims(0x7fffffff, 0xff, 0xff, 0xff, 0xff, 0x07),
		claims(0x80000000),
		claims(400<<20, 0x80, 0x80, 0x80, 0xc8, 0x01),
		claims(400<<20, 0xff, 0xff, 0x3f), // a header of just under 1 MiB
		claims(60<<20, append(header(0), 0xff, 0xff, 0xff, 0x1b)...),
		claims(uint32(500<<20+len(header(500<<20))), header(500<<20)...),
		[]byte("HBas\x00P\x7f\xff\xff\xff"),
		[]byte("HBas\x00P\x00\x0f\xff\xff"),
		[]byte("Regist"),
		hello(t, &pb.ConnectionHeader{CellBlockCodecClass: proto.String("org.example.Codec")}),
		append(goodHello(t), request(t, 1, "NoMethod", 0, nil, []byte("cells"))...),
	}
	s, addr := startServer(t, ServerConfig{Services: echoServices(), MaxBytesInFlight: 1 << 40})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 100 {
		dialRaw(t, addr).send(bogus[i%len(bogus)])
	}
	c := dial(t, addr, DialOptions{})
	var resp pb.VersionInfo
	if _, err := c.Call(testContext(t), "Echo", version("good"), nil, &resp); err != nil || resp.GetVersion() != "good" {
		t.Errorf("the good call: %v, %v", &resp, err)
	}
	eventually(t, "the claims to be read", func() bool { return s.BytesInFlight() >= 500<<20 })
	runtime.ReadMemStats(&after)
	if grown := int64(after.TotalAlloc - before.TotalAlloc); grown > 48<<20 {
		t.Errorf("100 bogus peers cost %d MiB", grown>>20)
	}
}

func TestServeReturnsListenerError(t *testing.T) {
	s := NewServer(ServerConfig{})
	ln := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	ln.Close()
	if err := s.Serve(ln); !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), "accept on pipe") {
		t.Errorf("got %v", err)
	}
	if err := s.Shutdown(testContext(t)); err != nil {
		t.Error(err)
	}
	if err := s.Serve(ln); err != nil {
		t.Errorf("Serve after Shutdown: %v", err)
	}
	if !acceptCanHeal(&net.OpError{Err: os.NewSyscallError("accept", syscall.EMFILE)}) || acceptCanHeal(net.ErrClosed) {
		t.Error("acceptCanHeal misjudges")
	}
}
