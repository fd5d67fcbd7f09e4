package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waltap/waltap/internal/hbase/zookeeper"
)

const (
	// rollTimeout bounds the wait for a server's new WAL; HBase itself gives up a roll after 30 s.
	rollTimeout = time.Minute
	rollLook    = 20 * time.Millisecond
	// rollAgain is how long a server may take to begin a new WAL until it is asked again.
	rollAgain = 2 * time.Second
	// rollSettle is waited when all new WALs are in the queues: a server still has to switch to its new one, which takes it
	// milliseconds.
	rollSettle = 250 * time.Millisecond
	// rollUnseen is waited instead when there is no queue to see a roll in.
	rollUnseen = time.Second
)

// RollWALs makes every region server begin a new WAL, and returns when they have.
//
// RollWALWriter only asks for it (1.4.14, 2.1.10, 2.4.18, 2.6.4): the answer comes before the roll is over, with 2.6.4 10 ms. A roll shows only in the replication queues: before a server switches to its new WAL it puts that into the queue of every
// peer. Where there is no peer yet, or (3.0) no queue in ZooKeeper, RollWALs just waits a second.
func (c *Cluster) RollWALs(ctx context.Context) error {
	servers, err := c.RegionServers(ctx)
	if err != nil {
		return err
	}
	before := make(map[ServerName]map[string]string, len(servers))
	for _, s := range servers {
		if before[s], err = c.latestWALs(ctx, s); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, rollTimeout)
	defer cancel()
	settle := rollSettle
	err = c.roll(ctx, servers, func(ctx context.Context) (waiting []ServerName, err error) {
		for _, s := range servers {
			rolled, seen, err := c.rolled(ctx, s, before[s])
			if err != nil {
				return nil, fmt.Errorf("roll WAL of %s: %w", s, err)
			}
			if !rolled {
				waiting = append(waiting, s)
			}
			if !seen {
				settle = rollUnseen
			}
		}
		return waiting, nil
	})
	if err != nil {
		return err
	}
	return sleep(ctx, settle)
}

// roll asks servers for a new WAL and returns when none is waiting for its own any more. Those that still are after a while
// are asked again: an order that comes during a roll is forgotten.
func (c *Cluster) roll(ctx context.Context, servers []ServerName, look func(context.Context) (waiting []ServerName, err error)) error {
	var asked time.Time
	for pause := rollLook; ; pause = min(2*pause, pollMax) {
		if time.Since(asked) > rollAgain {
			asked = time.Now()
			for _, s := range servers {
				if err := c.RollWAL(ctx, s); err != nil {
					return err
				}
			}
		}
		var err error
		if servers, err = look(ctx); err != nil || len(servers) == 0 {
			return err
		}
		if err := sleep(ctx, pause); err != nil {
			return fmt.Errorf("roll WAL of %s: it was asked to, but has begun no new WAL (replication queues: %s): %w", servers[0], c.queues(servers[0]), err)
		}
	}
}

// rolled tells whether the queues of a server hold a newer WAL of each group than before. seen is false when they cannot tell.
func (c *Cluster) rolled(ctx context.Context, s ServerName, before map[string]string) (rolled, seen bool, err error) {
	if len(before) == 0 {
		return true, false, nil
	}
	now, err := c.latestWALs(ctx, s)
	if err != nil || len(now) == 0 {
		return true, false, err // the last peer was removed, or the server is gone
	}
	rolled = true
	for group, wal := range before {
		rolled = rolled && !olderWAL(now[group], wal) && now[group] != wal
	}
	return rolled, true, nil
}

func (c *Cluster) queues(s ServerName) string { return c.znode("replication/rs/" + s.String()) }

// latestWALs returns the newest WAL of each group that is in a server's replication queues, by the name without its time. It is
// empty when there are no queues, or they may not be read. Queues that were taken over from another server ("peer-server") hold
// that one's WALs.
func (c *Cluster) latestWALs(ctx context.Context, s ServerName) (map[string]string, error) {
	names, err := c.zk.Children(ctx, c.queues(s))
	latest := make(map[string]string)
	for _, queue := range names {
		if strings.Contains(queue, "-") {
			continue
		}
		wals, werr := c.zk.Children(ctx, c.queues(s)+"/"+queue)
		if errors.Is(werr, zookeeper.ErrNoNode) {
			continue // the peer was removed meanwhile
		}
		err = errors.Join(err, werr)
		for _, wal := range wals {
			i := strings.LastIndexByte(wal, '.')
			if i < 0 {
				continue
			}
			if group := wal[:i]; latest[group] == "" || olderWAL(latest[group], wal) {
				latest[group] = wal
			}
		}
	}
	if errors.Is(err, zookeeper.ErrNoNode) || errors.Is(err, zookeeper.ErrNoAuth) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the replication queues of %s: %w", s, err)
	}
	return latest, nil
}

// olderWAL compares WALs of one group by the time (ms) at the end of their names; the empty name is older than all.
func olderWAL(a, b string) bool {
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return slices.Compare([]byte(a), []byte(b)) < 0
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
