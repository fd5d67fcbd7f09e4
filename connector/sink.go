package connector

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/sink"
	"github.com/waltap/waltap/sink/hbase"
)

func (p *process) sink(ctx context.Context, c *config.Connector, st *status.Connector, log *slog.Logger) (err error) {
	s := c.Sink
	schemas, err := OpenRegistry(&s.Registry, log)
	if err != nil {
		return err
	}
	if schemas != nil {
		defer schemas.Close()
	}
	st.Set(status.Starting, "connecting to the destination")
	stats := &sinkStats{status: st, log: log, behind: make(map[kafka.TopicPartition]int64)}
	octx, cancel := context.WithTimeout(ctx, s.HBase.ConnectionTimeout)
	target := ApplierConfig(s, log)
	target.Descriptors = sink.NewDescriptors(p.kafka)
	target.SchemaChanged = func() { st.SchemaChanges.Add(1) }
	target.Looped, target.Kept = func(n int) { st.Looped.Add(int64(n)) }, func(n int) { st.Kept.Add(int64(n)) }
	applier, err := hbase.Open(octx, target)
	cancel()
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer func() { err = errors.Join(err, applier.Close()) }()
	dead, missing, err := p.deadLetters(ctx, c.Name, &s.Errors, &s.TopicCreation, s.Errors.Tolerance == config.ToleranceAll)
	if err != nil {
		return err
	}
	if dead != nil {
		defer func() { err = errors.Join(err, dead.Close()) }()
	}
	boundHeap()
	return sink.Run(ctx, sink.Config{
		Connector: c.Name, Kafka: p.kafka, Schemas: sink.NewSchemas(p.kafka, schemas), Group: s.GroupID, Topics: s.Topics, TopicsRegex: s.TopicsRegex, Start: sinkStart(s.ConsumerStart),
		EndTime: s.EndTime, Margin: s.WatermarkMargin,
		BatchRecords: s.BatchMaxRecords, BatchBytes: s.BatchMaxBytes, Linger: s.BatchLinger,
		FetchMinBytes: s.Consumer.FetchMinBytes, FetchMaxBytes: fetchMaxBytes(s), FetchWait: s.Consumer.FetchMaxWait,
		SessionTimeout: s.Consumer.SessionTimeout, HeartbeatInterval: s.Consumer.HeartbeatInterval, RebalanceTimeout: s.Consumer.MaxPollInterval,
		KeepTopics: !s.TopicCreation.Enable, MissingTopics: missing, ReplicationFactor: s.TopicCreation.ReplicationFactor, Errors: sinkErrors(&s.Errors, dead), Stats: stats, Log: log,
	}, applier)
}

// ApplierConfig is what the configuration of a sink says to package sink/hbase.
func ApplierConfig(s *config.Sink, log *slog.Logger) hbase.Config {
	return hbase.Config{
		Target: adminConfig(s.HBase, log), Mapping: s.Mapping, Consumes: s.MatchTopic, Create: s.CreateTables, Evolve: s.Evolution == config.EvolutionBasic, LatePutWindow: s.LatePutWindow,
		Mode: hbase.Mode(s.Apply), NoOverwrite: s.NoOverwrite, Log: log,
	}
}

func sinkStart(c config.ConsumerStart) sink.Start {
	s := sink.Start{Mode: string(c.Mode), Time: c.Time, Offsets: make(map[kafka.TopicPartition]int64)}
	for topic, offsets := range c.Offsets {
		for p, offset := range offsets {
			s.Offsets[kafka.TopicPartition{Topic: topic, Partition: p}] = offset
		}
	}
	return s
}

// sinkStats writes what a sink tells into the connector's status.
type sinkStats struct {
	status *status.Connector
	log    *slog.Logger

	warned atomic.Int64 // when the last retry was logged, ms

	mu     sync.Mutex
	behind map[kafka.TopicPartition]int64
}

var _ sink.Stats = (*sinkStats)(nil)

func (s *sinkStats) Running()            { s.status.Set(status.Running, "") }
func (s *sinkStats) Waiting(text string) { s.status.Set(status.Waiting, text) }

func (s *sinkStats) Applied(table string, changes, cells int, bytes int64) {
	s.status.Calls.Add(1)
	s.status.Add(int64(changes), int64(cells), bytes, 0)
	s.status.Table(table).Add(int64(changes), int64(cells), bytes, 0)
}

func (s *sinkStats) Written(lastTimestamp int64) {
	s.status.Add(0, 0, 0, lastTimestamp)
	s.status.LagMillis.Store(max(0, time.Now().UnixMilli()-lastTimestamp))
}

func (s *sinkStats) Superseded(cells int) { s.status.Superseded.Add(int64(cells)) }

func (s *sinkStats) DeadLettered(n int) { s.status.DeadLettered.Add(int64(n)) }

func (s *sinkStats) Skipped(changes int) { s.status.Skipped.Add(int64(changes)) }

// Ending says what the end waits for, unless the sink waits for something nearer.
func (s *sinkStats) Ending(text string) {
	if s.status.State() == status.Running {
		s.status.Set(status.Running, text)
	}
}

// Ended logs where the run has ended: this is what an operator hands on to whoever goes on from there.
func (s *sinkStats) Ended(sum *sink.Summary) {
	var applied, skipped int64
	for _, p := range sum.Partitions {
		s.log.Info("ended", "topic", p.Topic, "partition", p.Partition, "offset", p.Offset, "applied", p.Applied, "skipped", p.Skipped)
		applied += p.Applied
		skipped += p.Skipped
	}
	s.log.Info("the end time is reached", "end.time", sum.EndTime, "applied", applied, "skipped", skipped, "watermark.estimated", sum.Estimated)
}

func (s *sinkStats) Lag(topic string, partition int32, n int64) {
	s.status.Topic(topic)
	s.setLag(kafka.TopicPartition{Topic: topic, Partition: partition}, n)
}

func (s *sinkStats) Unassigned(topic string, partition int32) {
	s.setLag(kafka.TopicPartition{Topic: topic, Partition: partition}, 0)
}

func (s *sinkStats) setLag(tp kafka.TopicPartition, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.LagRecords.Add(n - s.behind[tp])
	if n == 0 {
		delete(s.behind, tp)
		return
	}
	s.behind[tp] = n
}

// Retry shows the error in the status; it is logged once a second at most, and all are counted.
func (s *sinkStats) Retry(err error) {
	s.status.Retries.Add(1)
	s.status.Set(status.Waiting, "retrying: "+err.Error())
	now := time.Now().UnixMilli()
	if last := s.warned.Load(); now-last >= 1000 && s.warned.CompareAndSwap(last, now) {
		s.log.Warn("repeating", "error", err)
	}
}
