// Package sink is the loop that every sink connector runs: consume the topics in a group, collect batches,
// apply them, commit. What a batch is applied to is an Applier's matter, one package per kind of target.
//
// Each partition has one worker and at most one batch in flight, and a row's records are all in one partition: so
// a row is never in two batches at a time. A batch that fails is repeated whole before anything behind it.
// Offsets are committed only after Apply.
package sink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

// Batch is what is applied at once: changes of one partition, in the order of the topic.
type Batch struct {
	Topic     string
	Partition int32
	First     int64 // offset of the first change
	Next      int64 // offset behind the last one
	Changes   []schema.Change
	Skipped   int   // changes between First and Next that were left out because of the end time
	Bytes     int64 // of the encoded records

	origins []origin // of Changes
	dead    []dead   // records between First and Next that are not applied
}

// Applier writes batches to a target.
//
// Apply applies the changes of b in their order. When it returns nil they are durable at the target. It is
// idempotent: the same batch again, or an older one again and then all that followed it, changes nothing in the end. It is called
// by several goroutines at once, never with two batches that share a row. An error means that any part of b may
// have been applied; Apply is called again with the same batch unless the error is a *PermanentError. After a
// *RefusedError it is called again with parts of the batch, in their order. b and all it holds are the caller's again when Apply
// has returned.
type Applier interface {
	Apply(ctx context.Context, b *Batch) error
}

// Stats is told what the sink does; every method may be called from many goroutines.
type Stats interface {
	Applied(table string, changes, cells int, bytes int64)
	Written(lastTimestamp int64)                // Change.Timestamp of the newest applied change, ms
	Lag(topic string, partition int32, n int64) // records behind the log end
	Unassigned(topic string, partition int32)
	Superseded(cells int) // left out of a late replay, see recent
	Skipped(changes int)  // left out because they were written after Config.EndTime
	DeadLettered(n int)   // records that are on the dead-letter topic
	Ending(text string)   // what the end of the run waits for
	Ended(s *Summary)     // the end time is reached
	Retry(err error)      // a fetch or a batch is repeated because of err
	Running()             // partitions are consumed
	Waiting(text string)  // for something outside
}

// Config of a sink. Zero numbers mean the default.
type Config struct {
	Connector   string
	Kafka       *kafka.Client
	Schemas     *Schemas // default: those on the topics of Kafka
	Group       string
	Topics      []string       // these, or
	TopicsRegex *regexp.Regexp // all that match, also those created later
	Start       Start          // where to begin

	// EndTime, unless zero, ends the run: what was written at the source after it is left out, and Run returns when every
	// source that feeds the topics has published a watermark of EndTime and Margin or later, and the group has
	// committed all that the watermark covers.
	EndTime time.Time
	Margin  time.Duration

	// Each partition has that much, and less when more than fullPartitions are assigned, see limits.
	BatchRecords int           // default 4000
	BatchBytes   int64         // default 4 MiB
	Linger       time.Duration // how long a batch waits to fill; default 50ms

	FetchMinBytes int           // default 1
	FetchMaxBytes int           // default 256 KiB, or BatchBytes if that is less
	FetchWait     time.Duration // for FetchMinBytes; default 500ms

	SessionTimeout    time.Duration // how long the partitions of a member that died stay with it; default 10s
	HeartbeatInterval time.Duration // default a tenth of SessionTimeout, at most 3s
	RebalanceTimeout  time.Duration // what the group waits for a member to give up its partitions, more than a drain takes; default 30s

	KeepTopics        bool              // SeenTopic is not created, it must be there
	MissingTopics     []kafka.TopicSpec // found missing already: to be named with it
	ReplicationFactor int16             // of SeenTopic when it is created; default the brokers'

	Errors Errors
	Stats  Stats
	Log    *slog.Logger
}

const (
	defaultBatchRecords = 4000

	topicRefresh   = 5 * time.Second
	endRefresh     = time.Second
	commitInterval = time.Second
	// goneAfter is how long a topic must be missing before it is taken for deleted.
	goneAfter = 8 * time.Second
	// defaultFetchBytes is less than a batch of records that a loaded source writes, which is fetched all the same: a fetch brings one, of
	// up to 1 MiB when it is decompressed. With 1 MiB of compressed records a fetch, 8 partitions had 50 MiB more in memory; fetches are
	// then a few hundred per million records either way.
	defaultFetchBytes = 256 << 10
	// drainTimeout is how long the batches in flight may take when partitions are given up or the sink stops.
	drainTimeout = 10 * time.Second
)

// Sink is one sink connector at work.
type Sink struct {
	cfg     Config
	applier Applier

	refresh, endInterval   time.Duration // how often the topics, and the end, are looked at
	patience, gonePatience time.Duration // with a group that is to be moved, with a topic that is not there

	// Written before the group is joined.
	ends  map[kafka.TopicPartition]int64 // of the logs when this process began, for StartLatest
	begun map[kafka.TopicPartition]int64 // where StartEarliest has moved the group

	fetches fetches

	mu     sync.Mutex
	recent map[kafka.TopicPartition]*recent
	counts map[kafka.TopicPartition]counts

	checking sync.Mutex // of the topics; guards what is below
	store    *checkpoint.Store
	seen     map[string]seen
	missing  map[string]time.Time // topics that were seen and are not there, since when
}

var (
	errTopicsChanged = errors.New("the set of topics has changed")
	errEnded         = errors.New("the end time is reached")
)

// Run consumes until ctx ends (nil) or it cannot go on (an error that says what to do).
func Run(ctx context.Context, cfg Config, applier Applier) error {
	return newSink(cfg, applier).runUntil(ctx)
}

func newSink(cfg Config, applier Applier) *Sink {
	if cfg.BatchRecords <= 0 {
		cfg.BatchRecords = defaultBatchRecords
	}
	if cfg.BatchBytes <= 0 {
		cfg.BatchBytes = 4 << 20
	}
	if cfg.Linger <= 0 {
		cfg.Linger = 50 * time.Millisecond
	}
	if cfg.Errors.RetryDelayMax <= 0 {
		cfg.Errors.RetryDelayMax = maxBackoff
	}
	if cfg.Start.Mode == "" {
		cfg.Start.Mode = StartCommitted
	}
	if cfg.Schemas == nil {
		cfg.Schemas = NewSchemas(cfg.Kafka, nil)
	}
	cfg.FetchMinBytes = cmp.Or(cfg.FetchMinBytes, 1)
	cfg.FetchMaxBytes = cmp.Or(cfg.FetchMaxBytes, int(min(cfg.BatchBytes, defaultFetchBytes)))
	cfg.FetchWait = cmp.Or(cfg.FetchWait, 500*time.Millisecond)
	cfg.SessionTimeout = cmp.Or(cfg.SessionTimeout, 10*time.Second)
	cfg.RebalanceTimeout = cmp.Or(cfg.RebalanceTimeout, 30*time.Second)
	cfg.ReplicationFactor = cmp.Or(cfg.ReplicationFactor, -1)
	return &Sink{cfg: cfg, applier: applier, refresh: topicRefresh, endInterval: endRefresh, patience: cfg.SessionTimeout + beginSlack, gonePatience: goneAfter,
		counts: make(map[kafka.TopicPartition]counts), seen: make(map[string]seen), missing: make(map[string]time.Time)}
}

// runUntil is run, for which the end of ctx is no error.
func (s *Sink) runUntil(ctx context.Context) error {
	err := s.run(ctx)
	if s.store != nil {
		err = errors.Join(err, s.store.Close())
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// run consumes one set of topics after the other: a group's topics are fixed while it lasts.
func (s *Sink) run(ctx context.Context) error {
	for first := true; ; first = false {
		topics, err := s.awaitTopics(ctx)
		if err == nil && first {
			err = s.begin(ctx, topics)
		}
		if err != nil {
			return err
		}
		s.cfg.Stats.Running()
		s.cfg.Log.Info("consuming", "group", s.cfg.Group, "topics", topics)
		switch err := s.consume(ctx, topics); {
		case errors.Is(err, errEnded):
			return nil
		case err != nil && !errors.Is(err, errTopicsChanged):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
}

// consume returns errTopicsChanged, errEnded, or what ended it.
func (s *Sink) consume(ctx context.Context, topics []string) error {
	gctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var watchers sync.WaitGroup
	watchers.Go(func() {
		if err := s.watchTopics(gctx, topics); err != nil {
			cancel(err)
		}
	})
	var summary *Summary
	if !s.cfg.EndTime.IsZero() {
		watchers.Go(func() {
			err := s.watchEnd(gctx, func(found *Summary) { summary = found; cancel(errEnded) })
			if err != nil {
				cancel(err)
			}
		})
	}
	err := s.cfg.Kafka.ConsumeGroup(gctx, kafka.GroupConfig{
		GroupID: s.cfg.Group, Topics: topics, StartOffset: kafka.FirstOffset,
		SessionTimeout: s.cfg.SessionTimeout, HeartbeatInterval: s.cfg.HeartbeatInterval, RebalanceTimeout: s.cfg.RebalanceTimeout,
	}, s.generation)
	cause := context.Cause(gctx)
	cancel(nil)
	watchers.Wait()
	if cause == nil || !errors.Is(err, context.Canceled) && !errors.Is(err, cause) {
		return err
	}
	if errors.Is(cause, errEnded) {
		s.cfg.Stats.Ended(summary)
	}
	return cause
}

// topics lists what is to be consumed now, sorted.
func (s *Sink) topics(ctx context.Context) ([]string, error) {
	infos, err := s.cfg.Kafka.Topics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	var found []string
	for _, t := range infos {
		if s.wants(t.Name) {
			found = append(found, t.Name)
		}
	}
	slices.Sort(found)
	return found, nil
}

func (s *Sink) wants(topic string) bool {
	if s.cfg.TopicsRegex == nil {
		return slices.Contains(s.cfg.Topics, topic)
	}
	m := s.cfg.TopicsRegex.FindStringIndex(topic)
	return m != nil && m[0] == 0 && m[1] == len(topic)
}

// awaitTopics waits until the topics exist: a sink may be started before its source.
func (s *Sink) awaitTopics(ctx context.Context) ([]string, error) {
	for {
		found, err := s.topics(ctx)
		if err == nil {
			err = s.noteEnds(ctx, found)
		}
		if err == nil {
			err = s.checkGone(ctx, found)
		}
		switch {
		case err == nil && len(found) > 0 && (s.cfg.TopicsRegex != nil || len(found) == len(s.cfg.Topics)):
			return found, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil && !kafka.Retriable(err):
			return nil, err
		case err != nil:
			s.cfg.Stats.Retry(err)
		default:
			if err := s.mayRead(ctx, found); err != nil {
				return nil, err
			}
			s.cfg.Stats.Waiting("waiting for the topics to be created (a topic that this user may not describe is not seen)")
		}
		if err := sleep(ctx, time.Second); err != nil {
			return nil, err
		}
	}
}

// mayRead asks for each topic that is wanted by name and was not found whether it is only hidden from this user.
func (s *Sink) mayRead(ctx context.Context, found []string) error {
	for _, topic := range s.cfg.Topics {
		if slices.Contains(found, topic) {
			continue
		}
		if _, err := s.cfg.Kafka.Topic(ctx, topic); errors.As(err, new(*kafka.AuthorizationError)) {
			return err
		}
	}
	return nil
}

// watchTopics returns an error when there are other topics to read, or one of them is not what it was.
func (s *Sink) watchTopics(ctx context.Context, have []string) error {
	for sleep(ctx, s.refresh) == nil {
		// Kafka being away is seen, and told, by those who fetch.
		found, err := s.topics(ctx)
		if err == nil {
			err = s.checkGone(ctx, found)
		}
		if permanent(err) {
			return err
		}
		if err == nil && s.otherTopics(found, have) {
			return errTopicsChanged
		}
		if err := s.checkTopics(ctx, have); permanent(err) {
			return err
		}
	}
	return nil
}

// otherTopics tells whether there are topics that are not read yet, or one of them is gone that the group has never read.
func (s *Sink) otherTopics(found, have []string) bool {
	s.checking.Lock()
	defer s.checking.Unlock()
	return slices.ContainsFunc(found, func(t string) bool { return !slices.Contains(have, t) }) ||
		slices.ContainsFunc(have, func(t string) bool { return !slices.Contains(found, t) && s.seen[t] == seen{} })
}

// generation works on the partitions of one assignment until ctx ends; then it drains and commits.
func (s *Sink) generation(ctx context.Context, a *kafka.Assignment) error {
	wctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c := newCommitter(a)
	if err := s.awaitCheck(ctx, topicsOf(a)); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	var workers sync.WaitGroup
	limits := s.cfg.limitsOf(len(a.Partitions))
	memory := s.remember(a, limits.recentCells)
	for _, p := range a.Partitions {
		w := &worker{Sink: s, tp: p.TopicPartition, commit: c, recent: memory[p.TopicPartition], limits: limits}
		workers.Go(func() {
			if err := w.run(wctx, p.Offset); err != nil && wctx.Err() == nil {
				cancel(err)
			}
			s.cfg.Stats.Unassigned(w.tp.Topic, w.tp.Partition)
		})
	}
	cerr := c.run(wctx)
	if cerr != nil {
		cancel(cerr)
	}
	workers.Wait()
	ferr := c.flush(context.WithoutCancel(ctx))
	if ctx.Err() == nil {
		return context.Cause(wctx) // a worker or the committer ended the generation
	}
	if ferr != nil {
		s.cfg.Log.Warn("the last offsets of a generation could not be committed: their batches are applied again", "error", ferr)
	}
	return nil
}

// awaitCheck is checkTopics, which waits for Kafka to answer: nothing may be applied before.
func (s *Sink) awaitCheck(ctx context.Context, topics []string) error {
	for {
		err := s.checkTopics(ctx, topics)
		if err == nil || !kafka.Retriable(err) {
			return err
		}
		s.cfg.Stats.Retry(err)
		if err := sleep(ctx, minBackoff); err != nil {
			return err
		}
	}
}

// remember keeps what is known of the recent cells of partitions that stay, and forgets the others'; new ones have room for cells.
func (s *Sink) remember(a *kafka.Assignment, cells int) map[kafka.TopicPartition]*recent {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := make(map[kafka.TopicPartition]*recent, len(a.Partitions))
	for _, p := range a.Partitions {
		next[p.TopicPartition] = s.recent[p.TopicPartition]
		if next[p.TopicPartition] == nil {
			next[p.TopicPartition] = newRecent(cells)
		}
	}
	s.recent = next
	return next
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
