package hbase

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
)

// replicate writes changes by ReplicateWALEntry, one call after the other.
func (a *Applier) replicate(ctx context.Context, changes []mapped) error {
	calls := a.builders.Get().(*callBuilder)
	defer func() {
		calls.reset()
		a.builders.Put(calls)
	}()
	for _, c := range changes {
		calls.add(c)
	}
	for _, call := range calls.finish() {
		if err := a.send(ctx, call); err != nil {
			return err
		}
	}
	return nil
}

// send makes one call to any region server: the one asked hands the cells to the regions' own.
func (a *Applier) send(ctx context.Context, c *call) error {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.CallTimeout)
	defer cancel()
	server, err := a.server(ctx)
	if err != nil {
		return err
	}
	conn, err := a.cluster.Admin(ctx, server)
	if err != nil {
		a.forgetServers()
		return fmt.Errorf("connect to region server %s: %w", server, err)
	}
	_, err = conn.Call(ctx, "ReplicateWALEntry", c.request(), c.cells, &pb.ReplicateWALEntryResponse{})
	if err != nil {
		var remote *rpc.RemoteError
		if !errors.As(err, &remote) {
			a.forgetServers()
		}
		return fmt.Errorf("replicate to region server %s: %w", server, err)
	}
	return nil
}

func (a *Applier) server(ctx context.Context) (admin.ServerName, error) {
	a.mu.Lock()
	servers := a.servers
	a.mu.Unlock()
	if len(servers) == 0 {
		var err error
		if servers, err = a.cluster.RegionServers(ctx); err != nil {
			return admin.ServerName{}, fmt.Errorf("list the destination's region servers: %w", err)
		}
		if len(servers) == 0 {
			return admin.ServerName{}, errors.New("the destination has no live region server")
		}
		a.mu.Lock()
		a.servers = servers
		a.mu.Unlock()
	}
	return servers[rand.IntN(len(servers))], nil
}

func (a *Applier) forgetServers() {
	a.mu.Lock()
	a.servers = nil
	a.mu.Unlock()
}
