package admin

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/waltap/waltap/internal/hbase/zookeeper"
)

// ErrNoQueues says that the cluster keeps its replication queues elsewhere than in ZooKeeper (HBase 3), or has none at all.
var ErrNoQueues = errors.New("the cluster has no replication queues in ZooKeeper")

// Queue is the queue of WALs that wait to be shipped to a peer.
type Queue struct {
	Owner ServerName // the region server that ships it, live or not
	Peer  string
	// Dead lists the servers that the queue was taken over from, oldest first; none for the owner's own queue.
	Dead []ServerName
	id   string
}

// Queues lists a peer's replication queues: <root>/replication/rs/<server>/<peer>, and <peer>-<dead server>… for one that
// was taken over. It is no snapshot: a queue that another server takes over meanwhile may be missing. HBase 3 keeps
// its queues in a table: ErrNoQueues.
func (c *Cluster) Queues(ctx context.Context, peer string) ([]Queue, error) {
	all, err := c.AllQueues(ctx)
	return slices.DeleteFunc(all, func(q Queue) bool { return q.Peer != peer }), err
}

// AllQueues lists the replication queues of all peers, as Queues does those of one.
func (c *Cluster) AllQueues(ctx context.Context) ([]Queue, error) {
	ctx, cancel := withDefaultTimeout(ctx, callTimeout)
	defer cancel()
	root := c.znode("replication/rs")
	owners, err := c.zk.Children(ctx, root)
	if errors.Is(err, zookeeper.ErrNoNode) {
		return nil, fmt.Errorf("list replication queues: %s: %w", root, ErrNoQueues)
	}
	if err != nil {
		return nil, fmt.Errorf("list replication queues: %w", c.explain(ctx, err))
	}
	var queues []Queue
	for _, owner := range owners {
		server, err := ParseServerName(owner)
		if err != nil {
			return nil, fmt.Errorf("list replication queues: %s: %w", root, err)
		}
		ids, err := c.zk.Children(ctx, root+"/"+owner)
		if errors.Is(err, zookeeper.ErrNoNode) { // it had none left
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list replication queues of %s: %w", owner, c.explain(ctx, err))
		}
		for _, id := range ids {
			q, ok := parseQueue(server, id)
			if !ok {
				return nil, fmt.Errorf("list replication queues of %s: %q is no name of a queue", owner, id)
			}
			queues = append(queues, q)
		}
	}
	return queues, nil
}

// deadServer is one server in the name of a queue that was taken over; its host may hold '-'.
var deadServer = regexp.MustCompile(`[^,]+?,\d+,\d+(?:-|$)`)

// parseQueue reads the name of a queue: the peer's id, which holds no '-', and "-host,port,startcode" per dead server.
func parseQueue(owner ServerName, id string) (Queue, bool) {
	peer, rest, _ := strings.Cut(id, "-")
	q := Queue{Owner: owner, Peer: peer, id: id}
	for _, name := range deadServer.FindAllString(rest, -1) {
		s, err := ParseServerName(strings.TrimSuffix(name, "-"))
		if err != nil {
			return Queue{}, false
		}
		q.Dead = append(q.Dead, s)
	}
	return q, peer != "" && (rest == "" || len(q.Dead) > 0)
}

// QueueWALs lists the names of the WALs in a queue; none when the queue is gone.
func (c *Cluster) QueueWALs(ctx context.Context, q Queue) ([]string, error) {
	names, err := c.zk.Children(ctx, c.znode("replication/rs")+"/"+q.Owner.String()+"/"+q.id)
	if errors.Is(err, zookeeper.ErrNoNode) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the WALs of replication queue %s of %s: %w", q.id, q.Owner, c.explain(ctx, err))
	}
	return names, nil
}

// ReplicationOn tells whether the cluster replicates: from 2.0 on always, before when hbase.replication is true.
func (c *Cluster) ReplicationOn(ctx context.Context) (bool, error) {
	_, err := c.zk.Children(ctx, c.znode("replication/peers"))
	switch {
	case err == nil:
		return true, nil
	case !errors.Is(err, zookeeper.ErrNoNode):
		return false, fmt.Errorf("look for replication peers: %w", c.explain(ctx, err))
	}
	st, err := c.Status(ctx)
	if err != nil {
		return false, err
	}
	v, ok := majorMinor(st.Version)
	return ok && v[0] >= 2, nil
}
