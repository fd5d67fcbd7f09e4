package connector

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/connector/tail"
	"github.com/waltap/waltap/connector/worker"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/source"
	"github.com/waltap/waltap/source/capture"
	"github.com/waltap/waltap/source/replication"
	"github.com/waltap/waltap/source/scan"
)

func adminConfig(h config.HBase, log *slog.Logger) admin.Config {
	return admin.Config{Quorum: h.ZooKeeperQuorum, Root: h.ZNodeParent, DialTimeout: h.ConnectionTimeout, Logger: log}
}

func (p *process) source(ctx context.Context, c *config.Connector, st *status.Connector, o worker.Options, log *slog.Logger) (err error) {
	s := c.Source
	encodings, err := newEncodings(s, log)
	if err != nil {
		return err
	}
	defer encodings.close()
	dead, missing, err := p.deadLetters(ctx, c.Name, &s.Errors, &s.TopicCreation, s.Errors.Tolerance == config.ToleranceAll || s.Oversized == config.OversizedDeadLetter)
	if err != nil {
		return err
	}
	if dead != nil {
		defer func() { err = errors.Join(err, dead.Close()) }()
	}
	cfg := CaptureConfig(c, p.kafka, log)
	cfg.MissingTopics, cfg.Encodings, cfg.Limiter, cfg.Undeliverable.DeadLetters = missing, encodings, p.limits.starts(c, o.Revision), dead
	cfg.Successors, cfg.Owned, cfg.OffsetsTopic = o.Successors, o.Owned, o.OffsetsTopic
	st.SetScanLimits(func() status.ScanLimits { return scanLimits(cfg.Limiter) })
	cfg.Stats = &sourceStats{status: st, log: log}
	st.RescanRequired.Store(false)
	err = p.withSignals(ctx, c, o, log, func(ctx context.Context) error { return capture.Run(ctx, cfg) })
	st.RescanRequired.Store(errors.Is(err, capture.ErrRescanRequired))
	return err
}

// CaptureConfig is what the configuration of a source says to package capture; client may be nil where nothing is run.
func CaptureConfig(c *config.Connector, client *kafka.Client, log *slog.Logger) capture.Config {
	s := c.Source
	return capture.Config{
		Connector: c.Name, Version: Version, Source: adminConfig(s.HBase, log), Kafka: client,
		Tasks: int32(s.TasksMax), TopicPrefix: s.TopicPrefix, TopicCreate: s.TopicCreation.Enable, Partitions: s.TopicCreation.Partitions,
		ReplicationFactor: s.TopicCreation.ReplicationFactor, MaxMessageBytes: s.TopicCreation.MaxMessageBytes,
		TopicConfigs: s.TopicCreation.Configs, AllowCompacted: s.TopicCreation.AllowCompacted, Producer: producerConfig(s.Producer),
		Tables: s.Tables, Scope: s.Scope, SetScope: s.ReplicationScope == config.ScopeSet, ScopeAllowPeers: s.ReplicationScopeAllowPeers, TableRefresh: s.TableRefresh,
		PeerID: s.Peer.ID, PeerCreate: s.Peer.Create, PeerSerial: s.Peer.Serial, PeerQuorum: s.Peer.ZooKeeperQuorum, PeerRoot: s.Peer.ZNodeParent,
		PeerSessionTimeout: s.Peer.SessionTimeout, Listen: s.Peer.Listen, AdvertisedHost: s.Peer.AdvertisedHost,
		Allow: s.Peer.Allow, MaxBytesInFlight: s.Peer.MaxBytesInFlight,
		SnapshotMode: string(s.Snapshot.Mode), SnapshotOrder: string(s.Snapshot.Order), ConcurrentOverHold: s.Snapshot.OnWALHold == config.OnWALHoldConcurrent,
		SnapshotThreads: s.Snapshot.MaxThreads, ScannersPerServer: s.Snapshot.ScannersPerServer, FetchBytes: s.Snapshot.FetchSize,
		ProgressInterval: s.Snapshot.ProgressInterval, ShardBytes: s.Snapshot.ShardMaxBytes, MaxWALHold: s.Snapshot.MaxWALHold, AcceptGaps: s.Snapshot.AcceptGaps,
		SnapshotReader: string(s.Files.Reader), Snapshots: s.Files.Snapshots, Root: s.Files.Root, RootUser: s.Files.User,
		WatermarkMode: string(s.Watermark.Mode), WatermarkMargin: s.Watermark.Margin, WatermarkPatience: s.Watermark.Patience, WatermarkSlack: s.Watermark.Slack,
		EndTime: s.EndTime, RemovePeer: s.PeerOnEnd == config.PeerRemove,
		Undeliverable:  source.Policy{Oversized: string(s.Oversized), Tolerate: s.Errors.Tolerance == config.ToleranceAll},
		ConnectTimeout: s.HBase.ConnectionTimeout, Log: log,
	}
}

// sourceStats writes what a capture tells into the connector's status.
type sourceStats struct {
	status *status.Connector
	log    *slog.Logger

	warned atomic.Int64 // when the last refused call was logged, ms
}

var _ capture.Stats = (*sourceStats)(nil)

func (s *sourceStats) Starting(text string)  { s.status.Set(status.Starting, text) }
func (s *sourceStats) Scanning(text string)  { s.status.Set(status.Snapshot, text) }
func (s *sourceStats) Streaming(text string) { s.status.Set(status.Running, text) }
func (s *sourceStats) Waiting(text string)   { s.status.Set(status.Waiting, text) }

func (s *sourceStats) Acked(table string, t source.Tally) {
	s.status.Add(t.Records, t.Cells, t.Bytes, t.Written)
	s.status.Table(table).Add(t.Records, t.Cells, t.Bytes, t.Written)
	if t.Written > 0 {
		s.status.ShippedOps.Add(t.Records)
		s.status.ShippedBytes.Add(t.Bytes)
		s.status.LagMillis.Store(max(0, time.Now().UnixMilli()-t.Written))
	}
}

func (s *sourceStats) DeadLettered(n int)                 { s.status.DeadLettered.Add(int64(n)) }
func (s *sourceStats) Split(changes int)                  { s.status.Split.Add(int64(changes)) }
func (s *sourceStats) SchemaChanged(tables int)           { s.status.SchemaChanges.Add(int64(tables)) }
func (s *sourceStats) Call()                              { s.status.Calls.Add(1) }
func (s *sourceStats) Answered()                          { s.status.Answered.Add(1) }
func (s *sourceStats) Replay(entries int)                 { s.status.Replays.Add(int64(entries)) }
func (s *sourceStats) BelowReadPoint(changes int)         { s.status.BelowReadPoint.Add(int64(changes)) }
func (s *sourceStats) BeforeEpoch(changes int)            { s.status.BeforeEpoch.Add(int64(changes)) }
func (s *sourceStats) Late(changes int)                   { s.status.LateRecords.Add(int64(changes)) }
func (s *sourceStats) Watermark(ms int64, estimated bool) { s.status.SetWatermark(ms, estimated) }
func (s *sourceStats) WatermarkWaits(text string)         { s.status.SetWatermarkWaits(text) }
func (s *sourceStats) WatermarkEstimated(reason string)   { s.status.SetWatermarkReason(reason) }
func (s *sourceStats) Shards(done, total int) {
	s.status.SnapshotShardsDone.Store(int64(done))
	s.status.SnapshotShardsTotal.Store(int64(total))
}

func (s *sourceStats) Parts(table string, parts []scan.Part) {
	out := make([]status.PartView, len(parts))
	for i, p := range parts {
		out[i] = status.PartView{Start: startOf(p.Start), Shards: p.Shards, Done: p.Done, Rows: p.Rows, Bytes: p.Bytes, BytesTotal: p.Total}
	}
	s.status.SetParts(table, out)
}

// maxStart bounds the row keys that the status shows.
const maxStart = 32

// startOf is a row key for the eye.
func startOf(row []byte) string {
	if len(row) > maxStart {
		return tail.Escape(row[:maxStart]) + "…"
	}
	return tail.Escape(row)
}

func (s *sourceStats) Left(d time.Duration) { s.status.SnapshotLeft.Store(int64(max(1, d.Seconds()))) }

func (s *sourceStats) Row(table string, rows int64, cells int, bytes int64) {
	s.status.SnapshotRows.Add(rows)
	s.status.SnapshotBytes.Add(bytes)
	s.status.Table(table).SnapshotRows.Add(rows)
}

func (s *sourceStats) Reread(rows int64) { s.status.SnapshotReread.Add(rows) }

func (s *sourceStats) Marker(qualifier string) {
	if qualifier == replication.MarkerBulkLoad {
		s.status.BulkLoads.Add(1)
		s.status.LastBulkLoad.Store(time.Now().UnixMilli())
		return
	}
	s.status.Markers.Add(1)
}

// Error: a call was answered with an exception, HBase sends it again. Logged once a second at most; all are counted.
func (s *sourceStats) Error(err error) {
	s.status.Retries.Add(1)
	s.status.Refused.Add(1)
	now := time.Now().UnixMilli()
	if last := s.warned.Load(); now-last >= 1000 && s.warned.CompareAndSwap(last, now) {
		s.log.Warn("a replication call was refused; HBase sends it again", "error", err)
	}
}

// Retry: a scan goes on elsewhere.
func (s *sourceStats) Retry(err error) {
	s.status.Retries.Add(1)
	s.log.Warn("the scan was interrupted and goes on", "error", err)
}
