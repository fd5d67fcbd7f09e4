package admin

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/internal/hbase/zookeeper"
)

const (
	retryMin = 100 * time.Millisecond
	retryMax = 3 * time.Second
	pollMin  = 25 * time.Millisecond
	pollMax  = time.Second
)

// notActive are the exceptions of a master that is starting, stopping or only a backup.
var notActive = []string{
	"PleaseHoldException",
	"MasterNotRunningException",
	"MasterStoppedException",
	"ServerNotRunningYetException",
	"ServerNotActiveException",
}

// A masterCall is one call of the master.
type masterCall struct {
	method    string
	req, resp proto.Message
	// repeatable says that the call may be sent again when its outcome is unknown: it only reads, or it carries a
	// nonce by which the master recognises it.
	repeatable bool
}

// callMaster sends a call to the active master, which it locates again when it has changed, until it is answered or
// ctx ends.
func (c *Cluster) callMaster(ctx context.Context, call masterCall) error {
	ctx, cancel := withDefaultTimeout(ctx, c.cfg.OperationTimeout)
	defer cancel()
	start := time.Now()
	for pause := retryMin; ; pause = min(2*pause, retryMax) {
		err := c.tryMaster(ctx, call)
		var again *masterUnavailable
		if err == nil || !errors.As(err, &again) {
			return err
		}
		c.cfg.Logger.Debug("master call will be repeated", "method", call.method, "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("call %s: no answer from an active master within %s: %w: %w",
				call.method, time.Since(start).Round(time.Millisecond), again.err, ctx.Err())
		}
	}
}

// masterUnavailable wraps the cause of an attempt that did not get through and may be repeated.
type masterUnavailable struct{ err error }

func (e *masterUnavailable) Error() string { return e.err.Error() }
func (e *masterUnavailable) Unwrap() error { return e.err }

func (c *Cluster) tryMaster(ctx context.Context, call masterCall) error {
	conn, err := c.masterConn(ctx)
	if errors.Is(err, errClosed) {
		return err
	}
	if err != nil {
		c.forgetMaster()
		return &masterUnavailable{err}
	}
	timeout := singleCallTimeout
	if call.repeatable {
		timeout = callTimeout
	}
	cctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err = conn.Call(cctx, call.method, call.req, nil, call.resp)
	if err == nil {
		return nil
	}
	for _, class := range notActive {
		if rpc.IsRemote(err, class) {
			c.forgetMaster()
			return &masterUnavailable{err}
		}
	}
	var remote *rpc.RemoteError
	if errors.As(err, &remote) {
		return classify(err)
	}
	c.forgetMaster()
	if call.repeatable && ctx.Err() == nil {
		return &masterUnavailable{err}
	}
	return fmt.Errorf("%w: whether the master carried it out is unknown: look before repeating it", err)
}

func (c *Cluster) masterConn(ctx context.Context) (*rpc.Conn, error) {
	c.mu.Lock()
	addr := c.master
	c.mu.Unlock()
	if addr == "" {
		payload, err := c.zk.Get(ctx, c.znode("master"))
		if errors.Is(err, zookeeper.ErrNoNode) {
			return nil, fmt.Errorf("locate master: %w: no master is active on %s: start it, or check %s and %s",
				err, strings.Join(c.zk.Servers(), ","), c.cfg.Keys.Quorum, c.cfg.Keys.Root)
		}
		if err != nil {
			return nil, fmt.Errorf("locate master: %w", err)
		}
		name, err := zookeeper.ParseMaster(payload)
		if err != nil {
			return nil, fmt.Errorf("locate master: %s: %w", c.znode("master"), err)
		}
		addr = serverNameOf(name).Addr()
		c.mu.Lock()
		c.master = addr
		c.mu.Unlock()
	}
	return c.conn(ctx, serviceMaster, addr)
}

func (c *Cluster) forgetMaster() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.master, c.old = "", false // the next one may be of another version
}

// awaitProcedure waits until a procedure of the master has finished and returns its exception. what names it in
// errors.
func (c *Cluster) awaitProcedure(ctx context.Context, what string, id uint64) error {
	ctx, cancel := withDefaultTimeout(ctx, c.cfg.OperationTimeout)
	defer cancel()
	for pause := pollMin; ; pause = min(pause*3/2, pollMax) {
		var resp pb.GetProcedureResultResponse
		err := c.callMaster(ctx, masterCall{
			method:     "getProcedureResult",
			req:        &pb.GetProcedureResultRequest{ProcId: &id},
			resp:       &resp,
			repeatable: true,
		})
		if err != nil {
			return fmt.Errorf("wait for procedure %d: %w", id, err)
		}
		if done, err := procedureOutcome(&resp); done {
			if err != nil {
				return fmt.Errorf("procedure %d: %w", id, err)
			}
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("wait for procedure %d (%s): still running, and goes on without us: %w", id, what, ctx.Err())
		}
	}
}

func procedureOutcome(resp *pb.GetProcedureResultResponse) (done bool, err error) {
	if x := resp.GetException(); x != nil {
		g := x.GetGenericException()
		return true, classify(&rpc.RemoteError{
			Method:  "getProcedureResult",
			Class:   g.GetClassName(),
			Message: g.GetMessage(),
			Host:    x.GetSource(),
		})
	}
	switch resp.GetState() {
	case pb.GetProcedureResultResponse_RUNNING:
		return false, nil
	case pb.GetProcedureResultResponse_FINISHED:
		return true, nil
	}
	return true, errors.New("the master does not know it (any more): look whether the change was made")
}

// procedureCall is a call that starts a procedure; it waits for its end. A master without procedures (before 1.1)
// gives no id: there the call itself is all there is to wait for.
func (c *Cluster) procedureCall(ctx context.Context, call masterCall, procID func() *uint64) error {
	ctx, cancel := withDefaultTimeout(ctx, c.cfg.OperationTimeout)
	defer cancel()
	if err := c.callMaster(ctx, call); err != nil {
		return err
	}
	if id := procID(); id != nil {
		return c.awaitProcedure(ctx, call.method, *id)
	}
	return nil
}

// nonce returns a group and a nonce by which the master recognises a repeated call.
func nonce() (group, n *uint64) {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return proto.Uint64(binary.BigEndian.Uint64(b[:8]) | 1), proto.Uint64(binary.BigEndian.Uint64(b[8:]) | 1)
}

func rollWAL(ctx context.Context, conn *rpc.Conn) error {
	_, err := conn.Call(ctx, "RollWALWriter", &pb.RollWALWriterRequest{}, nil, &pb.RollWALWriterResponse{})
	return classify(err)
}
