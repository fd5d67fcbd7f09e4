package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/heartbeat"
	"github.com/segmentio/kafka-go/protocol/joingroup"
	"github.com/segmentio/kafka-go/protocol/syncgroup"
)

// PeerGroupConfig says how to be a member of a group that shares work by a protocol of its own, as Kafka Connect's workers do: what is
// shared is no topic partitions. All but the timeouts and Rejoin is required.
type PeerGroupConfig struct {
	GroupID string
	// ProtocolType keeps groups of other kinds out, Protocol is the version that members must have in common.
	ProtocolType, Protocol string
	// SessionTimeout is how long the group waits for a silent member. Default 10s.
	SessionTimeout time.Duration
	// RebalanceTimeout is how long the group waits for a member to join again. Default 10s.
	RebalanceTimeout time.Duration
	// HeartbeatInterval: a member learns of a rebalance by it. Default a thirtieth of SessionTimeout.
	HeartbeatInterval time.Duration
	// Rejoin, if set: a value makes this member ask for a new generation.
	Rejoin <-chan struct{}
	// Metadata is what the leader learns of this member; it is asked for before each join.
	Metadata func() []byte
	// Assign deals the work out; the leader's is asked at the beginning of a generation. What it returns goes to each member; members
	// that it leaves out get nothing.
	Assign func(generation int32, members []BalanceMember) map[string][]byte
	// Assigned is told what this member has got. Work goes on while the group agrees on a new generation, until Assigned says
	// otherwise. It must not block.
	Assigned func(PeerAssignment)
	// Lost is told that the group does not count this member any more, or has not answered for SessionTimeout: others may have
	// its work. It is followed by Assigned. It must not block.
	Lost func(error)
}

// PeerAssignment is what a member has got.
type PeerAssignment struct {
	Generation int32
	MemberID   string
	Leads      bool
	Data       []byte // what Assign returned for this member
}

// JoinPeers is a member of a group until ctx ends (nil), or the group refuses it for good. Brokers that are down, and moving
// coordinators, are ridden out. The member has left the group when it returns.
func (c *Client) JoinPeers(ctx context.Context, cfg PeerGroupConfig) error {
	set := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	set(&cfg.SessionTimeout, 10*time.Second)
	set(&cfg.RebalanceTimeout, 10*time.Second)
	set(&cfg.HeartbeatInterval, cfg.SessionTimeout/30)
	p := &peer{c: c, cfg: cfg}
	err := p.run(ctx)
	if p.id != "" {
		lctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if lerr := c.LeaveGroup(lctx, cfg.GroupID, p.id); lerr != nil {
			c.cfg.Logger.Info("the group was not told that this member leaves, it will notice by the session timeout",
				"group", cfg.GroupID, "member", p.id, "error", lerr)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("join group %s: %w", cfg.GroupID, err)
}

// peer is a running JoinPeers.
type peer struct {
	c     *Client
	cfg   PeerGroupConfig
	id    string    // member id, "" for none
	heard time.Time // of the group's last word that this is a member of it; zero: told Lost
}

// run joins, works and joins again.
func (p *peer) run(ctx context.Context) error {
	for n := 0; ; n++ {
		generation, err := p.join(ctx)
		if err == nil {
			n = 0
			err = p.beat(ctx, generation)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil || hasCode(err, codeRebalanceInProgress):
			n = 0
			continue
		case hasCode(err, codeUnknownMember, codeIllegalGeneration, codeFencedInstance):
			if !hasCode(err, codeIllegalGeneration) {
				p.id = ""
			}
			p.lost(err)
		case !Retriable(err):
			return err
		case time.Since(p.heard) > p.cfg.SessionTimeout:
			p.lost(err)
		}
		sleep(ctx, backoff(n, minBackoff, maxBackoff))
	}
}

func (p *peer) lost(err error) {
	if !p.heard.IsZero() {
		p.heard = time.Time{}
		p.cfg.Lost(err)
	}
}

// join takes part in the agreement on a generation.
func (p *peer) join(ctx context.Context) (generation int32, err error) {
	var members []BalanceMember
	var leads bool
	req := &joingroup.Request{
		GroupID: p.cfg.GroupID, SessionTimeoutMS: int32(p.cfg.SessionTimeout.Milliseconds()), RebalanceTimeoutMS: int32(p.cfg.RebalanceTimeout.Milliseconds()),
		MemberID: p.id, ProtocolType: p.cfg.ProtocolType,
		Protocols: []joingroup.RequestProtocol{{Name: p.cfg.Protocol, Metadata: p.cfg.Metadata()}},
	}
	err = p.ask(ctx, p.cfg.RebalanceTimeout+p.cfg.SessionTimeout, req, func(m protocol.Message) error {
		res := m.(*joingroup.Response)
		if ErrorCode(res.ErrorCode) == codeMemberIDRequired {
			p.id = res.MemberID
			return &BrokerError{Code: codeRebalanceInProgress} // join again, with it
		}
		if err := brokerError(res.ErrorCode, ""); err != nil {
			return p.c.denied(err, OpRead, Group, p.cfg.GroupID)
		}
		p.id, generation, leads = res.MemberID, res.GenerationID, res.LeaderID == res.MemberID
		for _, m := range res.Members {
			members = append(members, BalanceMember{ID: m.MemberID, Metadata: m.Metadata})
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	sync := &syncgroup.Request{GroupID: p.cfg.GroupID, GenerationID: generation, MemberID: p.id}
	if leads {
		slices.SortFunc(members, func(a, b BalanceMember) int { return strings.Compare(a.ID, b.ID) })
		for id, data := range p.cfg.Assign(generation, members) {
			sync.Assignments = append(sync.Assignments, syncgroup.RequestAssignment{MemberID: id, Assignment: data})
		}
	}
	a := PeerAssignment{Generation: generation, MemberID: p.id, Leads: leads}
	err = p.ask(ctx, p.cfg.RebalanceTimeout+p.cfg.SessionTimeout, sync, func(m protocol.Message) error {
		res := m.(*syncgroup.Response)
		a.Data = res.Assignments
		return p.c.denied(brokerError(res.ErrorCode, ""), OpRead, Group, p.cfg.GroupID)
	})
	if err != nil {
		return 0, err
	}
	p.heard = time.Now()
	p.cfg.Assigned(a)
	return generation, nil
}

// ask asks the coordinator once, which may take its time.
func (p *peer) ask(ctx context.Context, patience time.Duration, req protocol.Message, answer func(protocol.Message) error) error {
	addr, err := p.c.coordinator(ctx, p.cfg.GroupID)
	if err != nil {
		return fmt.Errorf("find coordinator of group %s: %w", p.cfg.GroupID, err)
	}
	m, err := p.c.exchangeWithin(ctx, patience, addr, req)
	if err == nil {
		err = answer(m)
	}
	if err != nil {
		p.c.groups.mu.Lock()
		delete(p.c.groups.addrs, p.cfg.GroupID)
		p.c.groups.mu.Unlock()
	}
	return err
}

// beat keeps the membership until the generation ends.
func (p *peer) beat(ctx context.Context, generation int32) error {
	req := &heartbeat.Request{GroupID: p.cfg.GroupID, GenerationID: generation, MemberID: p.id}
	tick := time.NewTicker(p.cfg.HeartbeatInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.cfg.Rejoin:
			return nil
		case <-tick.C:
		}
		err := p.ask(ctx, p.cfg.SessionTimeout/3, req, func(m protocol.Message) error {
			return p.c.denied(brokerError(m.(*heartbeat.Response).ErrorCode, ""), OpRead, Group, p.cfg.GroupID)
		})
		switch {
		case err == nil:
			p.heard = time.Now()
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrClosed) || !Retriable(err):
			return err // also the end of the generation
		case time.Since(p.heard) > p.cfg.SessionTimeout:
			p.lost(err)
		}
	}
}
