package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/leavegroup"
)

// GroupConfig says how to be a member of a consumer group. GroupID and Topics are required.
type GroupConfig struct {
	GroupID string
	Topics  []string
	// StartOffset is what an Assignment holds for a partition without a committed offset: FirstOffset (default) or
	// LastOffset.
	StartOffset int64
	// SessionTimeout is how long the group waits for a silent member (session.timeout.ms). Default 30s.
	SessionTimeout time.Duration
	// RebalanceTimeout is how long the group waits for handle to return in a rebalance (max.poll.interval.ms). Default 60s.
	RebalanceTimeout time.Duration
	// HeartbeatInterval defaults to a tenth of SessionTimeout, at most 3s. A member learns of a rebalance by it.
	HeartbeatInterval time.Duration
	// JoinBackoff is the wait after a failed attempt to join. Default 500ms.
	JoinBackoff time.Duration
	// StopTimeout bounds the wait for a join that is under way when ConsumeGroup is told to stop. Default 5s.
	StopTimeout time.Duration
	// PartitionCheckInterval is how often the topics are looked at: a changed number of partitions begins a new
	// generation, a deleted topic ends the group with ErrUnknownTopic. Default 30s.
	PartitionCheckInterval time.Duration
	// Balancer shares out the partitions; nil: in contiguous ranges. All members must have the same.
	Balancer Balancer
	// OnState, if set, is told of each change. It must not block.
	OnState func(GroupState)
}

// GroupPhase is where a member stands.
type GroupPhase int

const (
	GroupJoining     GroupPhase = iota // waiting for the group to agree on a generation
	GroupRunning                       // handle has partitions (or none, when the group has more members than partitions)
	GroupUnavailable                   // the last attempt failed, GroupState.Err says why; it is made again
	GroupStopped
)

func (p GroupPhase) String() string {
	return [...]string{"joining", "running", "unavailable", "stopped"}[p]
}

// GroupState is what OnState gets.
type GroupState struct {
	Phase      GroupPhase
	Generation int32 // of GroupRunning
	Partitions int   // of GroupRunning
	Err        error // of GroupUnavailable; of GroupStopped if it stopped with an error
}

// PartitionOffset is an assigned partition and where to begin: the committed offset, or GroupConfig.StartOffset when there
// is none.
type PartitionOffset struct {
	TopicPartition
	Offset int64
}

// Assignment is what one member has to do in one generation of the group.
type Assignment struct {
	Generation int32
	MemberID   string
	Partitions []PartitionOffset // sorted by topic and partition

	client *Client
	group  string
}

// ErrGenerationEnded is the cause of the end of handle's context in a rebalance.
var ErrGenerationEnded = errors.New("consumer group generation has ended")

// Commit stores offsets, each the next to read, for this generation. It works until handle has returned, also while the
// group is rebalancing. A *RebalanceError says that the group has gone on without this member.
func (a *Assignment) Commit(ctx context.Context, offs map[TopicPartition]Position) error {
	return a.client.commit(ctx, a.group, a.Generation, a.MemberID, offs)
}

// ConsumeGroup is a member of a group until ctx ends (it returns ctx's error then), handle returns an error (which it
// returns), or the group cannot be a member for good: no right, unknown topic, bad group id or timeouts. Brokers that are
// down, moving coordinators and rebalances are ridden out, for as long as it takes; OnState shows them.
//
// handle is called once per generation, never twice at a time. Its context ends when the generation ends (cause
// ErrGenerationEnded), when ctx ends, or when this member has lost the coordinator; it should then finish what it has in
// hand, commit and return within RebalanceTimeout: no other member gets its partitions before. A handle that returns nil
// sooner has nothing more to do until the next generation; the member keeps its partitions.
//
// All goroutines have ended and the member has left the group when ConsumeGroup returns.
func (c *Client) ConsumeGroup(ctx context.Context, cfg GroupConfig, handle func(ctx context.Context, a *Assignment) error) (err error) {
	if err := cfg.check(); err != nil {
		return fmt.Errorf("consume with group %s: %w", cfg.GroupID, err)
	}
	m := &member{c: c, cfg: cfg, handle: handle}
	defer func() { cfg.OnState(GroupState{Phase: GroupStopped, Err: err}) }()
	cfg.OnState(GroupState{Phase: GroupJoining})
	if err := m.awaitTopics(ctx); err != nil {
		return fmt.Errorf("consume with group %s: %w", cfg.GroupID, err)
	}
	return m.run(ctx)
}

func (cfg *GroupConfig) check() error {
	if cfg.GroupID == "" {
		return errors.New("the group id is empty")
	}
	if len(cfg.Topics) == 0 {
		return errors.New("no topics")
	}
	if cfg.StartOffset == 0 {
		cfg.StartOffset = FirstOffset
	}
	if cfg.StartOffset != FirstOffset && cfg.StartOffset != LastOffset {
		return fmt.Errorf("start offset %d is neither FirstOffset nor LastOffset", cfg.StartOffset)
	}
	set := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	set(&cfg.SessionTimeout, 30*time.Second)
	set(&cfg.RebalanceTimeout, time.Minute)
	set(&cfg.HeartbeatInterval, min(cfg.SessionTimeout/10, 3*time.Second))
	set(&cfg.JoinBackoff, 500*time.Millisecond)
	set(&cfg.StopTimeout, 5*time.Second)
	set(&cfg.PartitionCheckInterval, 30*time.Second)
	if cfg.OnState == nil {
		cfg.OnState = func(GroupState) {}
	}
	return nil
}

// member is a running ConsumeGroup.
type member struct {
	c      *Client
	cfg    GroupConfig
	handle func(context.Context, *Assignment) error
	lastID string // member id of the last generation
	leaves sync.WaitGroup
	counts map[string]int // partitions of each topic, as read before the last join
}

// awaitTopics waits until the cluster answers and knows all topics. kafka-go's leader of a group asks for the topics in a
// way that makes a broker create missing ones, so this comes before the first join.
func (m *member) awaitTopics(ctx context.Context) error {
	var unknownSince time.Time
	for {
		counts, err := m.partitionCounts(ctx)
		switch {
		case err == nil:
			m.counts = counts
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, ErrUnknownTopic):
			if unknownSince.IsZero() {
				unknownSince = time.Now()
			}
			if time.Since(unknownSince) > unknownTopicPatience {
				return err
			}
		case !Retriable(err):
			return err
		default:
			unknownSince = time.Time{}
		}
		m.cfg.OnState(GroupState{Phase: GroupUnavailable, Err: err})
		sleep(ctx, m.cfg.JoinBackoff)
	}
}

// partitionCounts asks for the number of partitions of each topic.
func (m *member) partitionCounts(ctx context.Context) (map[string]int, error) {
	res, err := m.c.readMetadata(ctx, m.cfg.Topics)
	if err != nil {
		return nil, err
	}
	counts := make(map[string]int, len(res.Topics))
	for _, t := range res.Topics {
		if err := brokerError(t.ErrorCode, ""); err != nil {
			return nil, fmt.Errorf("topic %s: %w", t.Name, m.c.deniedTopic(err, OpDescribe, t.Name))
		}
		counts[t.Name] = len(t.Partitions)
	}
	return counts, nil
}

func (m *member) run(ctx context.Context) error {
	conns := &dialTracker{dial: m.c.cfg.dialBroker}
	dialer := &kafkago.Dialer{ClientID: m.c.cfg.ClientID, Timeout: m.c.cfg.DialTimeout, DialFunc: conns.Dial}
	if m.c.cfg.SASL != nil {
		mech, err := m.c.cfg.SASL.mechanism()
		if err != nil {
			return err
		}
		dialer.SASLMechanism = mech
	}
	config := kafkago.ConsumerGroupConfig{
		ID:                m.cfg.GroupID,
		Brokers:           m.c.addresses(),
		Dialer:            dialer,
		Topics:            m.cfg.Topics,
		HeartbeatInterval: m.cfg.HeartbeatInterval,
		SessionTimeout:    m.cfg.SessionTimeout,
		RebalanceTimeout:  m.cfg.RebalanceTimeout,
		JoinGroupBackoff:  m.cfg.JoinBackoff,
		StartOffset:       m.cfg.StartOffset,
		Timeout:           m.c.cfg.DialTimeout,
	}
	if m.cfg.Balancer != nil {
		config.GroupBalancers = []kafkago.GroupBalancer{groupBalancer{m.cfg.Balancer}}
	}
	group, err := kafkago.NewConsumerGroup(config)
	if err != nil {
		return fmt.Errorf("consume with group %s: %w", m.cfg.GroupID, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer m.leaves.Wait()
	defer cancel()
	defer m.stop(group, conns)
	for {
		gen, err := group.Next(ctx)
		switch {
		case err == nil:
			if err := m.runGeneration(ctx, gen); err != nil {
				return err
			}
			if ctx.Err() == nil {
				m.cfg.OnState(GroupState{Phase: GroupJoining})
			}
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case permanentGroupError(err):
			return m.refused(err)
		default:
			m.cfg.OnState(GroupState{Phase: GroupUnavailable, Err: err})
			if !errors.Is(err, kafkago.RebalanceInProgress) {
				m.leaveAgain(ctx)
			}
		}
	}
}

// leaveAgain takes the last member id out of the group as soon as the coordinator can be reached. After a failure kafka-go
// leaves, once, without success if the coordinator is down, and then joins under a new id. The group would wait for the old
// one until its session ends:
//
//	coordinator   down          up again, waits for the old member …        … session timeout: generation
//	kafka-go      leave: fails  joins as a new member, waits …
func (m *member) leaveAgain(ctx context.Context) {
	id := m.lastID
	if m.lastID = ""; id == "" {
		return
	}
	m.leaves.Go(func() {
		for ctx.Err() == nil && Retriable(m.leave(ctx, id)) {
			sleep(ctx, m.cfg.JoinBackoff)
		}
	})
}

func (m *member) leave(ctx context.Context, id string) error {
	return m.c.LeaveGroup(ctx, m.cfg.GroupID, id)
}

// LeaveGroup takes a member out of a group on its behalf, so that the group does not wait for its session to end: for one
// that is known to be dead. That the group does not know the member is no error.
func (c *Client) LeaveGroup(ctx context.Context, group, memberID string) error {
	req := &leavegroup.Request{GroupID: group, Members: []leavegroup.RequestMember{{MemberID: memberID}}}
	err := c.coordinate(ctx, group, req, func(res protocol.Message) error {
		return c.denied(brokerError(res.(*leavegroup.Response).ErrorCode, ""), OpRead, Group, group)
	})
	if hasCode(err, codeUnknownMember) {
		return nil
	}
	return err
}

// runGeneration calls handle and returns when the generation has ended, or with the error that ends the group.
func (m *member) runGeneration(ctx context.Context, gen *kafkago.Generation) error {
	a := &Assignment{Generation: gen.ID, MemberID: gen.MemberID, client: m.c, group: m.cfg.GroupID}
	for topic, ps := range gen.Assignments {
		for _, p := range ps {
			a.Partitions = append(a.Partitions, PartitionOffset{TopicPartition{topic, int32(p.ID)}, p.Offset})
		}
	}
	slices.SortFunc(a.Partitions, func(x, y PartitionOffset) int {
		return cmp.Or(strings.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition, y.Partition))
	})
	m.lastID = gen.MemberID
	m.cfg.OnState(GroupState{Phase: GroupRunning, Generation: gen.ID, Partitions: len(a.Partitions)})

	// kafka-go joins the next generation when all functions begun by Start have returned.
	handled, watched := make(chan error, 1), make(chan error, 1)
	gen.Start(func(genCtx context.Context) {
		hctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		defer context.AfterFunc(genCtx, func() { cancel(ErrGenerationEnded) })()
		stop := m.beat(genCtx, gen)
		err := m.handle(hctx, a)
		stop()
		if err == nil {
			<-hctx.Done()
		}
		handled <- err
	})
	gen.Start(func(genCtx context.Context) { watched <- m.watchTopics(ctx, genCtx) })
	err := <-handled
	if err != nil || ctx.Err() != nil {
		// The watcher ends with the group, which the caller closes.
		return cmp.Or(err, context.Cause(ctx))
	}
	return <-watched
}

// watchTopics returns, and so ends the generation, when the number of partitions changes, and with an error when a topic
// is gone.
func (m *member) watchTopics(ctx, genCtx context.Context) error {
	tick := time.NewTicker(m.cfg.PartitionCheckInterval)
	defer tick.Stop()
	rctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(genCtx, cancel)()
	missing := 0
	for {
		counts, err := m.partitionCounts(rctx)
		switch {
		case err == nil:
			// Compared with what was there before the join, not with the first look after it: the assignment may be older.
			if missing = 0; !maps.Equal(m.counts, counts) {
				m.counts = counts
				return nil
			}
		case rctx.Err() == nil && errors.Is(err, ErrUnknownTopic):
			if missing++; missing > 1 {
				return fmt.Errorf("consume with group %s: %w", m.cfg.GroupID, err)
			}
		}
		select {
		case <-rctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// stop leaves the group. A join that waits for other members would hold Close for the whole rebalance timeout: its
// connection is cut after StopTimeout, and the coordinator told.
func (m *member) stop(group *kafkago.ConsumerGroup, conns *dialTracker) {
	closed := make(chan struct{})
	go func() {
		group.Close()
		close(closed)
	}()
	t := time.NewTimer(m.cfg.StopTimeout)
	defer t.Stop()
	select {
	case <-closed:
		conns.closeAll()
		return
	case <-t.C:
	}
	conns.closeAll()
	<-closed
	conns.closeAll()
	if m.lastID == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), m.cfg.StopTimeout)
	defer cancel()
	if err := m.leave(ctx, m.lastID); err != nil {
		m.c.cfg.Logger.Info("the group was not told that this member leaves, it will notice by the session timeout",
			"group", m.cfg.GroupID, "member", m.lastID, "error", err)
	}
}

// refused says what keeps this member out of the group for good.
func (m *member) refused(err error) error {
	if denied := m.c.denied(err, OpRead, Group, m.cfg.GroupID); errors.As(denied, new(*AuthorizationError)) && !errors.Is(err, kafkago.TopicAuthorizationFailed) {
		return fmt.Errorf("consume with group %s: %w", m.cfg.GroupID, denied)
	}
	return fmt.Errorf("consume with group %s: %w; check the rights of this user on the group and its topics, and the "+
		"group's other members", m.cfg.GroupID, err)
}

// permanentGroupError: joining again cannot help.
func permanentGroupError(err error) bool {
	for _, e := range []kafkago.Error{
		kafkago.GroupAuthorizationFailed, kafkago.TopicAuthorizationFailed, kafkago.ClusterAuthorizationFailed,
		kafkago.InvalidGroupId, kafkago.InconsistentGroupProtocol, kafkago.InvalidSessionTimeout, kafkago.GroupMaxSizeReached,
		kafkago.SASLAuthenticationFailed, kafkago.UnsupportedSASLMechanism, kafkago.UnsupportedVersion, kafkago.InvalidTopic,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
