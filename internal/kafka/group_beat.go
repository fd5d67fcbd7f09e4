package kafka

import (
	"context"
	"errors"
	"sync"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/heartbeat"
)

// beat sends heartbeats from the end of the generation until stop is called: kafka-go's own end with it, and without them
// a handle that takes longer than SessionTimeout to finish would be out of the group before it can commit:
//
//	member A      hears of the rebalance, finishes what it has in hand …              … commits: refused
//	coordinator   waits for A; session timeout: A is out, its partitions go to B
//	member B                                                                applies the same once more
func (m *member) beat(genCtx context.Context, gen *kafkago.Generation) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() {
		select {
		case <-genCtx.Done():
		case <-ctx.Done():
		}
		for ctx.Err() == nil {
			err := m.heartbeat(ctx, gen)
			if hasCode(err, codeUnknownMember, codeIllegalGeneration, codeFencedInstance) || errors.Is(err, ErrClosed) {
				return // the group has gone on; the commit will say so
			}
			sleep(ctx, m.cfg.HeartbeatInterval)
		}
	})
	return func() { cancel(); ended.Wait() }
}

func (m *member) heartbeat(ctx context.Context, gen *kafkago.Generation) error {
	req := &heartbeat.Request{GroupID: m.cfg.GroupID, GenerationID: gen.ID, MemberID: gen.MemberID}
	return m.c.coordinate(ctx, m.cfg.GroupID, req, func(res protocol.Message) error {
		if code := ErrorCode(res.(*heartbeat.Response).ErrorCode); code != codeRebalanceInProgress {
			return brokerError(int16(code), "")
		}
		return nil
	})
}
