// Package migrate moves tables from one HBase cluster to another: plan, start, status, pause, resume, verify, repair,
// cutover, cleanup.
//
// A migration is a file with one source and one sink connector. It has waves of tables; each wave has a pair of connectors
// of its own, with their peer, topics and consumer group, so that it is scanned in exact order, cut over and cleaned up
// by itself. What was decided and done is kept on a compacted topic (state.go): any machine goes on with it. Each step looks at what
// is there and does what is left, so that it may be repeated after it was killed at any place.
package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/waltap/waltap/connector"
	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/source/capture"
)

const (
	// onlyWave is the name of the one wave of a migration without migration.waves.
	onlyWave = "all"
	// latePutWindow of the destination's tables when hbase.table.late.put.window.ms is not given, ms: 7 days.
	latePutWindow = "604800000"
	// reversePorts is how far the port of a wave's reverse source is above that of the file.
	reversePorts = 100
	// connectTimeout bounds the first contact with Kafka and with each cluster.
	connectTimeout = 30 * time.Second
)

// Migration is what a file describes.
type Migration struct {
	Name  string
	Waves []*Wave

	cfg       *config.Process
	maxFreeze time.Duration
	fence     config.FenceMode
}

// Wave is a part of a migration, with its connectors.
type Wave struct {
	Name         string
	Source, Sink *config.Connector

	index int // of all waves
	whole bool
}

// New reads the migration out of a file's configuration. The error says what the file lacks.
func New(cfg *config.Process) (*Migration, error) {
	m := &Migration{Name: cfg.Migration.Name, cfg: cfg, maxFreeze: cfg.Migration.MaxFreeze, fence: cfg.Migration.Fence}
	var source, sink *config.Connector
	for i := range cfg.Connectors {
		c := &cfg.Connectors[i]
		switch {
		case c.Source != nil && source == nil:
			source = c
		case c.Sink != nil && sink == nil:
			sink = c
		default:
			return nil, fmt.Errorf("connector %s: a migration has one connector of class HBaseSource and one of class HBaseSink; take the others out of its file", c.Name)
		}
	}
	if source == nil || sink == nil {
		return nil, errors.New("a migration needs one connector of class HBaseSource and one of class HBaseSink in its file")
	}
	if err := checkPair(source, sink); err != nil {
		return nil, err
	}
	if m.Name == "" {
		m.Name = source.Name
	}
	waves := cfg.Migration.Waves
	if len(waves) == 0 {
		waves = []config.Wave{{Name: onlyWave}}
	}
	var errs []error
	for i, w := range waves {
		wave, err := m.wave(i, w, source, sink)
		if err != nil {
			errs = append(errs, fmt.Errorf("wave %s: %w", w.Name, err))
		}
		m.Waves = append(m.Waves, wave)
	}
	return m, errors.Join(errs...)
}

// checkPair refuses what a migration cannot be made with.
func checkPair(source, sink *config.Connector) error {
	s := source.Source
	var errs []error
	fault := func(key, why string) { errs = append(errs, fmt.Errorf("connector %s: %s: %s", source.Name, key, why)) }
	if !s.Peer.Create {
		fault("hbase.peer.create", "a migration makes its peer, so that it can hold it during the scan: remove the key")
	}
	if s.Snapshot.Mode != config.SnapshotInitial {
		fault("snapshot.mode", "a migration copies what is there, then what changes: set initial, or remove the key")
	}
	if s.Watermark.Mode == config.WatermarkOff {
		fault("watermark.mode", "a cut-over waits for the watermark: set heartbeat, or remove the key")
	}
	if !s.EndTime.IsZero() || !sink.Sink.EndTime.IsZero() {
		fault("end.time", "the cut-over ends a migration: remove the key")
	}
	if sink.Sink.NoOverwrite {
		errs = append(errs, fmt.Errorf("connector %s: hbase.no.overwrite: the copy would differ from the source by design, and never verify: remove the key", sink.Name))
	}
	return errors.Join(errs...)
}

// wave derives a wave's connectors from those of the file.
func (m *Migration) wave(i int, w config.Wave, source, sink *config.Connector) (*Wave, error) {
	wave := &Wave{Name: w.Name, index: i, whole: w.List == ""}
	from, to := maps.Clone(source.Raw), maps.Clone(sink.Raw)
	if _, given := to["hbase.table.late.put.window.ms"]; !given {
		to["hbase.table.late.put.window.ms"] = latePutWindow
	}
	sourceName, sinkName, prefix := source.Name, sink.Name, source.Source.TopicPrefix
	if !wave.whole {
		sourceName, sinkName, prefix = sourceName+"-"+w.Name, sinkName+"-"+w.Name, prefix+"-"+w.Name
		from["topic.prefix"], from["table.include.list"] = prefix, w.List
		suffix(from, "_"+notInPeerID.ReplaceAllString(w.Name, "_"), "hbase.peer.id", "hbase.peer.znode.parent")
		suffix(to, "-"+w.Name, "consumer.group.id")
		suffix(from, "-"+w.Name, deadLetterTopic)
		suffix(to, "-"+w.Name, deadLetterTopic)
	}
	if !wave.whole || !consumesAll(sink.Sink, prefix) {
		delete(to, "topics")
		to["topics.regex"] = topicsOf(prefix)
	}
	from["hbase.peer.listen"] = shiftPort(source.Source.Peer.Listen, i)
	var errs [2]error
	wave.Source, errs[0] = m.cfg.ParseConnector(sourceName, from)
	wave.Sink, errs[1] = m.cfg.ParseConnector(sinkName, to)
	return wave, errors.Join(errs[:]...)
}

const deadLetterTopic = "errors.deadletterqueue.topic.name"

var notInPeerID = regexp.MustCompile(`[^A-Za-z0-9_]`)

// suffix lengthens the values of keys that are given.
func suffix(raw map[string]string, with string, keys ...string) {
	for _, k := range keys {
		if v, given := raw[k]; given {
			raw[k] = v + with
		}
	}
}

// consumesAll tells whether the sink of the file takes every topic of the prefix, as far as names tell.
func consumesAll(s *config.Sink, prefix string) bool {
	return s.TopicsRegex != nil && s.MatchTopic(prefix+".default.a") && s.MatchTopic(prefix+".n_s.T-1_x.y")
}

func topicsOf(prefix string) string { return regexp.QuoteMeta(prefix+".") + ".*" }

// shiftPort adds n to the port of host:port; port 0 stays.
func shiftPort(listen string, n int) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	p, err := strconv.Atoi(port)
	if err != nil || p == 0 {
		return listen
	}
	return net.JoinHostPort(host, strconv.Itoa(p+n))
}

// find returns the waves of the given names; none means all.
func (m *Migration) find(names []string) ([]*Wave, error) {
	if len(names) == 0 {
		return m.Waves, nil
	}
	var out []*Wave
	for _, n := range names {
		i := slices.IndexFunc(m.Waves, func(w *Wave) bool { return w.Name == n })
		if i < 0 {
			return nil, fmt.Errorf("the file has no wave %s: it has %s", n, strings.Join(m.waveNames(), ", "))
		}
		out = append(out, m.Waves[i])
	}
	return out, nil
}

func (m *Migration) waveNames() []string {
	var names []string
	for _, w := range m.Waves {
		names = append(names, w.Name)
	}
	return names
}

// Env is what a step works with.
type Env struct {
	Out io.Writer // what its user reads
	Log *slog.Logger
	// API, if it is not nil, serves the REST API on the port of what Start runs.
	API connector.API
}

// session is one command at work.
type session struct {
	*Migration
	kafka    *kafka.Client
	src, dst *admin.Cluster
	out      io.Writer
	log      *slog.Logger
	store    *store

	saying sync.Mutex // of out
}

// open connects to Kafka and to both clusters.
func (m *Migration) open(ctx context.Context, e Env) (*session, error) {
	s, err := m.openKafka(ctx, e)
	if err != nil {
		return nil, err
	}
	if err := s.openClusters(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (m *Migration) openKafka(ctx context.Context, e Env) (*session, error) {
	if e.Log == nil {
		e.Log = slog.New(slog.DiscardHandler)
	}
	s := &session{Migration: m, out: e.Out, log: e.Log}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var err error
	s.kafka, err = kafka.Connect(ctx, connector.KafkaConfig(m.cfg, e.Log))
	return s, err
}

func (s *session) openClusters(ctx context.Context) (err error) {
	w := s.Waves[0]
	if s.src, err = openCluster(ctx, w.Source.Source.HBase, s.log); err != nil {
		return fmt.Errorf("connect to the source: %w", err)
	}
	if s.dst, err = openCluster(ctx, w.Sink.Sink.HBase, s.log); err != nil {
		return fmt.Errorf("connect to the destination: %w", err)
	}
	return nil
}

func openCluster(ctx context.Context, h config.HBase, log *slog.Logger) (*admin.Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return admin.Open(ctx, clusterConfig(h, log))
}

func clusterConfig(h config.HBase, log *slog.Logger) admin.Config {
	return admin.Config{Quorum: h.ZooKeeperQuorum, Root: h.ZNodeParent, DialTimeout: h.ConnectionTimeout, Logger: log}
}

func (s *session) close() error {
	var errs []error
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	for _, c := range []*admin.Cluster{s.src, s.dst} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	if s.kafka != nil {
		s.kafka.Close()
	}
	return errors.Join(errs...)
}

// say tells the user something.
func (s *session) say(format string, args ...any) {
	s.saying.Lock()
	defer s.saying.Unlock()
	fmt.Fprintf(s.out, format+"\n", args...)
}

// targetName is what a table is called at the destination.
func (w *Wave) targetName(table string) string { return w.Sink.Sink.Mapping.Table(table) }

// prefix of the wave's topics.
func (w *Wave) prefix() string { return w.Source.Source.TopicPrefix }

// kept is how far a source of the migration is, nil when it has kept nothing.
func (s *session) kept(ctx context.Context, prefix, connector string) (*capture.Kept, error) {
	topic, _ := s.cfg.OffsetsTopic(prefix)
	return capture.Inspect(ctx, s.kafka, topic, connector)
}
