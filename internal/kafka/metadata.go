package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// cluster is what is known of the brokers and of the partitions' leaders. A leader is believed until a broker or a
// connection says otherwise; then its topic is read again. There is no background refresh.
type cluster struct {
	refreshing chan struct{} // a semaphore: one refresh at a time

	mu      sync.Mutex
	brokers map[int32]string // node id to address
	topics  map[string]*topicState
}

type topicState struct {
	read    time.Time
	leaders []int32 // by partition; -1: none at the moment
}

func newCluster() *cluster {
	return &cluster{refreshing: make(chan struct{}, 1), brokers: make(map[int32]string), topics: make(map[string]*topicState)}
}

// addresses lists where any broker can be met: those known from metadata in random order, then bootstrap.servers.
func (c *Client) addresses() []string {
	c.cluster.mu.Lock()
	var known []string
	for _, addr := range c.cluster.brokers {
		known = append(known, addr)
	}
	c.cluster.mu.Unlock()
	rand.Shuffle(len(known), func(i, j int) { known[i], known[j] = known[j], known[i] })
	boot := slices.Clone(c.cfg.BootstrapServers)
	rand.Shuffle(len(boot), func(i, j int) { boot[i], boot[j] = boot[j], boot[i] })
	for _, addr := range boot {
		if !slices.Contains(known, addr) {
			known = append(known, addr)
		}
	}
	return known
}

// exchange does one exchange with the broker at addr.
func (c *Client) exchange(ctx context.Context, addr string, msg protocol.Message) (protocol.Message, error) {
	return c.exchangeWithin(ctx, c.cfg.RequestTimeout, addr, msg)
}

// exchangeWithin is exchange with a request that the broker may take that long for.
func (c *Client) exchangeWithin(ctx context.Context, timeout time.Duration, addr string, msg protocol.Message) (protocol.Message, error) {
	cn, err := c.pool.get(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer c.pool.put(cn)
	res, err := cn.exchange(ctx, timeout, msg)
	if c.pool.ctx.Err() != nil {
		return nil, ErrClosed
	}
	if err != nil && cn.dirty {
		c.pool.forget(addr)
	}
	return res, err
}

// exchangeAny does one exchange with the first broker that answers. Only for requests that may be made twice.
func (c *Client) exchangeAny(ctx context.Context, msg protocol.Message) (protocol.Message, error) {
	var errs []error
	for _, addr := range c.addresses() {
		res, err := c.exchange(ctx, addr, msg)
		if err == nil || errors.Is(err, ErrClosed) {
			return res, err
		}
		if errs = append(errs, err); ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("no broker of bootstrap.servers=%s answered: %w", c.cfg.bootstrap(), errors.Join(errs...))
}

// readMetadata asks for the named topics (nil: all) and remembers the answer. It never creates a topic.
func (c *Client) readMetadata(ctx context.Context, topics []string) (*metadata.Response, error) {
	m, err := c.exchangeAny(ctx, &metadata.Request{TopicNames: topics})
	if err != nil {
		return nil, fmt.Errorf("read metadata: %w", err)
	}
	res := m.(*metadata.Response)
	now := time.Now()
	c.cluster.mu.Lock()
	defer c.cluster.mu.Unlock()
	if len(res.Brokers) > 0 {
		clear(c.cluster.brokers)
		for _, b := range res.Brokers {
			c.cluster.brokers[b.NodeID] = net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
		}
	}
	for i := range res.Topics {
		t := &res.Topics[i]
		slices.SortFunc(t.Partitions, func(a, b metadata.ResponsePartition) int { return cmp.Compare(a.PartitionIndex, b.PartitionIndex) })
		if t.ErrorCode != 0 {
			delete(c.cluster.topics, t.Name)
			continue
		}
		st := &topicState{read: now, leaders: make([]int32, len(t.Partitions))}
		for j, p := range t.Partitions {
			if int(p.PartitionIndex) != j {
				return nil, fmt.Errorf("read metadata: topic %s has no partition %d", t.Name, j)
			}
			st.leaders[j] = p.LeaderID
		}
		c.cluster.topics[t.Name] = st
	}
	return res, nil
}

// topicMetadata reads the metadata of one topic.
func (c *Client) topicMetadata(ctx context.Context, topic string) (*metadata.ResponseTopic, error) {
	res, err := c.readMetadata(ctx, []string{topic})
	if err != nil {
		return nil, err
	}
	for i := range res.Topics {
		if t := &res.Topics[i]; t.Name == topic {
			return t, c.deniedTopic(brokerError(t.ErrorCode, ""), OpDescribe, topic)
		}
	}
	return nil, brokerError(int16(codeUnknownTopic), "")
}

// leader returns the address of tp's leader. What was read at or before stale is not believed: pass the zero time, or the
// time of the failed attempt. The error is retriable when the partition has no leader at the moment.
func (c *Client) leader(ctx context.Context, tp TopicPartition, stale time.Time) (string, error) {
	if addr, err := c.knownLeader(tp, stale); addr != "" || err != nil {
		return addr, err
	}
	// Many partitions of a topic lose their leader at once: the first that gets here reads the metadata for all.
	select {
	case c.cluster.refreshing <- struct{}{}:
		defer func() { <-c.cluster.refreshing }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if addr, err := c.knownLeader(tp, stale); addr != "" || err != nil {
		return addr, err
	}
	if _, err := c.topicMetadata(ctx, tp.Topic); err != nil {
		return "", err
	}
	addr, err := c.knownLeader(tp, time.Time{})
	if addr == "" && err == nil {
		err = brokerError(int16(codeUnknownTopic), "")
	}
	return addr, err
}

// knownLeader returns "" when nothing, or nothing newer than stale, is known.
func (c *Client) knownLeader(tp TopicPartition, stale time.Time) (string, error) {
	c.cluster.mu.Lock()
	defer c.cluster.mu.Unlock()
	st := c.cluster.topics[tp.Topic]
	if st == nil || !st.read.After(stale) {
		return "", nil
	}
	if tp.Partition < 0 || int(tp.Partition) >= len(st.leaders) {
		return "", fmt.Errorf("topic %s has %d partitions, no partition %d: %w", tp.Topic, len(st.leaders), tp.Partition,
			brokerError(int16(codeUnknownTopic), ""))
	}
	addr, ok := c.cluster.brokers[st.leaders[tp.Partition]]
	if !ok {
		// Not an answer to keep: the next attempt reads again.
		delete(c.cluster.topics, tp.Topic)
		return "", brokerError(int16(codeLeaderNotAvailable), "")
	}
	return addr, nil
}
