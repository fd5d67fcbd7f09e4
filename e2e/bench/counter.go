package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/internal/hbase/zookeeper"
	"github.com/waltap/waltap/schema"
)

// counter is a replication peer that counts the cells of a call, throws them away and acknowledges at once: nothing that
// receives can be faster.
type counter struct {
	server       *rpc.Server
	registration *zookeeper.Registration
	served       sync.WaitGroup

	calls, cells atomic.Int64
	first, last  atomic.Int64 // when the first call came in, when the last one was answered; ns

	// pace, when above 0, is the most cells a second that it acknowledges: for the control that shows that the bench sees a
	// slow side.
	pace float64
}

// startCounter listens and registers under the znode root, where HBase finds it.
func startCounter(ctx context.Context, quorum, root string, pace float64) (*counter, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &counter{pace: pace}
	c.server = rpc.NewServer(rpc.ServerConfig{
		Services: map[string]rpc.Handler{"AdminService": c.serve},
		// No limit but memory: it holds nothing.
		MaxBytesInFlight: 1 << 30, Logger: slog.New(slog.DiscardHandler),
	})
	c.served.Go(func() {
		if err := c.server.Serve(l); err != nil {
			slog.Error("counting peer has ended", "error", err)
		}
	})
	c.registration, err = register(ctx, quorum, root, l.Addr().(*net.TCPAddr).Port)
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func register(ctx context.Context, quorum, root string, port int) (*zookeeper.Registration, error) {
	return zookeeper.Register(ctx, zookeeper.RegistrationConfig{
		Quorum: []string{quorum}, Root: root, ClusterID: clusterID(root), Host: "localhost", Port: port, Log: slog.New(slog.DiscardHandler),
	})
}

// clusterID makes a UUID of a name.
func clusterID(name string) string {
	var id schema.UUID
	for i := range name {
		id[i%len(id)] = id[i%len(id)]*31 + name[i]
	}
	return id.String()
}

func (c *counter) serve(_ context.Context, call *rpc.Call) {
	c.first.CompareAndSwap(0, time.Now().UnixNano())
	c.calls.Add(1)
	cells, err := count(call)
	if err != nil {
		call.Fail(rpc.ClassIOException, err.Error(), false)
		return
	}
	all := c.cells.Load() + cells // HBase sends one call after the other
	if c.pace > 0 {
		time.Sleep(time.Until(time.Unix(0, c.first.Load()).Add(time.Duration(float64(all) / c.pace * 1e9))))
	}
	call.Reply(&pb.ReplicateWALEntryResponse{})
	c.cells.Store(all)
	c.last.Store(time.Now().UnixNano())
}

func count(call *rpc.Call) (cells int64, err error) {
	if call.Method != "ReplicateWALEntry" {
		return 0, fmt.Errorf("%s is not served here", call.Method)
	}
	var req pb.ReplicateWALEntryRequest
	if err := proto.Unmarshal(call.Param, &req); err != nil {
		return 0, err
	}
	for _, e := range req.Entry {
		cells += int64(e.GetAssociatedCellCount())
	}
	_, err = io.Copy(io.Discard, call.Cells)
	return cells, err
}

func (c *counter) close() error {
	var errs []error
	if c.registration != nil {
		errs = append(errs, c.registration.Close())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	errs = append(errs, c.server.Shutdown(ctx))
	c.served.Wait()
	return errors.Join(errs...)
}
