package rpc

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestShutdownWaitsForCalls(t *testing.T) {
	held := make(chan *Call, 1)
	s, addr := startServer(t, ServerConfig{Services: holdOrEcho(held)})
	busy, idle, fresh := dial(t, addr, DialOptions{}), dial(t, addr, DialOptions{}), dialRaw(t, addr)
	if _, err := idle.Call(testContext(t), "Echo", nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() {
		_, err := busy.Call(testContext(t), "Hold", nil, nil, nil)
		result <- err
	}()
	call := <-held

	shut := make(chan error, 1)
	go func() { shut <- s.Shutdown(testContext(t)) }()
	eventually(t, "idle connection closed", func() bool { return idle.Err() != nil })
	fresh.expectEnd()
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("a new connection was accepted")
	}
	select {
	case err := <-shut:
		t.Errorf("Shutdown returned %v with a call in hand", err)
	case err := <-result:
		t.Errorf("the call returned %v before it was answered", err)
	default:
	}
	call.Reply(nil)
	if err := <-result; err != nil {
		t.Errorf("the call in hand: %v", err)
	}
	if err := <-shut; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestShutdownGivesUp(t *testing.T) {
	s, addr := startServer(t, ServerConfig{Services: map[string]Handler{"AdminService": func(ctx context.Context, c *Call) {
		<-ctx.Done()
		c.Fail(ClassIOException, ctx.Err().Error(), false)
	}}})
	c := dial(t, addr, DialOptions{})
	result := make(chan error, 1)
	go func() {
		_, err := c.Call(testContext(t), "M", nil, nil, nil)
		result <- err
	}()
	eventually(t, "call in flight", func() bool { return s.BytesInFlight() > 0 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-result; !errors.As(err, new(*ConnError)) {
		t.Errorf("the call: %v", err)
	}
}

func TestShutdownAnswersCallsThatWaitForRoom(t *testing.T) {
	held := make(chan *Call, 1)
	withFakeClock(t, ServerConfig{Services: holdOrEcho(held), MaxBytesInFlight: 100}, func(t *testing.T, s *Server, ln *pipeListener) {
		holder, c := ln.dial(t), ln.dial(t)
		holder.send(goodHello(t), request(t, 1, "Hold", 60000, nil, make([]byte, 80)))
		call := <-held
		c.send(goodHello(t))
		go c.send(request(t, 2, "Echo", 60000, nil, make([]byte, 80)))
		synctest.Wait()
		go func() {
			c.expectException(2, ClassIOException, errDraining.Error())
			call.Reply(nil)
			holder.response()
		}()
		start := time.Now()
		if err := s.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if d := time.Since(start); d > lingerTimeout {
			t.Errorf("Shutdown took %s", d)
		}
	})
}
