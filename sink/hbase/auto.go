package hbase

import (
	"context"
	"errors"

	"github.com/waltap/waltap/internal/hbase/rpc"
)

// auto writes changes, in their order, by mutations; those with tags that servers take from no client, by replication. A region server
// that takes a replication call makes mutations of it, and sends them to their regions' servers, itself included, as a client would: that
// took 12.9 of its CPU seconds per million cells of 100 B; with mutations of our own it takes 6.2.
func (a *Applier) auto(ctx context.Context, changes []mapped) error {
	for len(changes) > 0 {
		n, reserved := 1, changes[0].reserved
		for n < len(changes) && changes[n].reserved == reserved {
			n++
		}
		write := a.mutate
		if reserved && a.way.Load() != byMutation {
			write = a.tryReplication
		}
		if err := write(ctx, changes[:n]); err != nil {
			return err
		}
		changes = changes[n:]
	}
	return nil
}

// What is known of a target in mode Auto.
const (
	unknownWay int32 = iota
	byReplication
	byMutation
)

// hangUps is how many connections a target may close before its first answer to a replication call.
const hangUps = 3

// tryReplication writes changes by replication, as long as the target takes that, else by mutations: to write by both does no harm.
//
// A region server that does not know the service AdminService closes the connection without a word (run on 2.6.4). So does one that
// dies; but that one does not take mutations then.
func (a *Applier) tryReplication(ctx context.Context, changes []mapped) error {
	for try := 1; ; try++ {
		err := a.replicate(ctx, changes)
		switch {
		case err == nil:
			a.way.CompareAndSwap(unknownWay, byReplication)
			return nil
		case refusesReplication(err):
			a.fallBack(err)
			return a.mutate(ctx, changes)
		case !hungUp(err) || a.way.Load() != unknownWay:
			return err
		case try < hangUps:
			continue
		}
		if merr := a.mutate(ctx, changes); merr != nil {
			return errors.Join(err, merr)
		}
		a.fallBack(err)
		return nil
	}
}

// fallBack makes mutations the way, and says so once.
func (a *Applier) fallBack(err error) {
	if a.way.Swap(byMutation) != byMutation {
		a.cfg.Log.Warn("the destination does not take replication calls from us: going on with mutations", "error", err)
	}
}

// refusesReplication tells whether err says that the target does not take replication calls, or not from us: it does not know the
// method, has replication switched off (HBase 1.x), or does not permit it.
func refusesReplication(err error) bool {
	switch {
	case rpc.IsRemote(err, "UnsupportedOperationException"), rpc.IsRemote(err, "UnknownServiceException"), rpc.IsRemote(err, "AccessDeniedException"):
		return true
	case rpc.IsRemote(err, "DoNotRetryIOException"):
		return mentions(err, "java.lang.UnsupportedOperationException")
	case rpc.IsRemote(err, "ServiceException"):
		return mentions(err, "Replication services are not initialized")
	}
	return false
}

// hungUp tells whether the other side has closed the connection.
func hungUp(err error) bool {
	var broken *rpc.ConnError
	return errors.As(err, &broken)
}
