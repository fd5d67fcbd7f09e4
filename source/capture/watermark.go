package capture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source/watermark"
)

// endTimeout bounds what is cleaned up at the source when the end time has come.
const endTimeout = time.Minute

// prepareWatermark decides how the watermark is found, before the peer is made: it ships the heartbeat table.
func (c *Capture) prepareWatermark(ctx context.Context) error {
	mode := c.cfg.WatermarkMode
	if mode == watermark.Off {
		return nil
	}
	reason := ""
	if mode == watermark.Heartbeat {
		why, err := c.prepareHeartbeats(ctx)
		if err != nil {
			return err
		}
		if why != "" {
			mode, reason = watermark.Metrics, why
		}
	}
	last, estimated, err := c.lastWatermark(ctx)
	if err != nil {
		return err
	}
	if last > 0 { // it holds; were it not shown, nobody would see that it does not move any more
		c.cfg.Stats.Watermark(last, estimated)
	}
	c.watermark = watermark.New(watermark.Config{
		Connector: c.cfg.Connector, Cluster: c.cluster, PeerID: c.cfg.PeerID, Mode: mode, Reason: reason, Table: watermark.TableName(c.cfg.PeerID),
		Last: last, Margin: c.cfg.WatermarkMargin, Patience: c.cfg.WatermarkPatience, Slack: c.cfg.WatermarkSlack, End: c.cfg.EndTime,
		Offsets: c.endOffsets, Publish: c.publishWatermark, Stats: c.cfg.Stats, Log: c.cfg.Log,
	})
	return nil
}

// prepareHeartbeats sees to the heartbeat table; why says what keeps us from having one that our peer alone ships.
func (c *Capture) prepareHeartbeats(ctx context.Context) (why string, err error) {
	if _, err := c.findPeer(ctx); err != nil { // someone else's peer: no table for it
		return "", err
	}
	name := watermark.TableName(c.cfg.PeerID)
	peers, err := c.cluster.Peers(ctx)
	if err != nil {
		return "", fmt.Errorf("list the source's peers: %w", err)
	}
	t, err := c.cluster.Table(ctx, name)
	switch {
	case errors.Is(err, admin.ErrTableNotFound):
		why, err = c.createHeartbeats(ctx, peers)
	case err == nil && !slices.Contains(scopedFamilies(*t), watermark.Family):
		why = fmt.Sprintf("table %s exists and has no family %s with %s 1: drop it", name, watermark.Family, scopeAttribute)
	}
	if err != nil || why != "" {
		return why, err
	}
	if !c.cfg.PeerCreate && !slices.ContainsFunc(peers, func(p admin.Peer) bool { return p.ID == c.cfg.PeerID && p.Ships(name, watermark.Family) }) {
		return fmt.Sprintf("peer %s is yours and does not list table %s: add it", c.cfg.PeerID, name), nil
	}
	c.heartbeats = name
	return "", nil
}

// createHeartbeats creates the table, unless another peer would begin to ship it: where that peer's target lacks it, its
// replication would stall for ever.
func (c *Capture) createHeartbeats(ctx context.Context, peers []admin.Peer) (why string, err error) {
	name := watermark.TableName(c.cfg.PeerID)
	for _, p := range peers {
		if p.ID != c.cfg.PeerID && p.Ships(name, watermark.Family) && !slices.Contains(c.cfg.ScopeAllowPeers, p.ID) {
			return fmt.Sprintf("peer %q would ship the heartbeat table %s too; give that peer a table list, or allow it by hbase.replication.scope.allow.peers", p.ID, name), nil
		}
	}
	servers, err := c.cluster.RegionServers(ctx)
	if err != nil {
		return "", fmt.Errorf("list the region servers: %w", err)
	}
	t, splits := watermark.Table(c.cfg.PeerID, len(servers))
	err = c.cluster.CreateTable(ctx, t, splits)
	switch {
	case err == nil, errors.Is(err, admin.ErrTableExists):
		return "", nil
	case ctx.Err() != nil || admin.IsRetriable(err):
		return "", err
	}
	return fmt.Sprintf("the heartbeat table cannot be created: %v", err), nil
}

// lastWatermark reads what this connector has published before, 0 when nothing: a watermark never goes back.
func (c *Capture) lastWatermark(ctx context.Context) (last int64, estimated bool, err error) {
	topic := schema.WatermarksTopic(c.cfg.TopicPrefix)
	err = c.cfg.Kafka.ReadAll(ctx, topic, func(r kafka.Record) error {
		if string(r.Key) != c.cfg.Connector || r.Value == nil {
			return nil
		}
		w, err := checkpoint.ParseWatermark(r.Value)
		if err == nil && w.Time > last {
			last, estimated = w.Time, w.Estimated
		}
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("read topic %s: %w", topic, err)
	}
	return last, estimated, nil
}

func (c *Capture) endOffsets(ctx context.Context) (map[string]map[int32]int64, error) {
	if err := c.flow.notScanned(); err != nil {
		return nil, err
	}
	out := make(map[string]map[int32]int64)
	for _, topic := range c.flow.dataTopics() {
		ends, err := c.cfg.Kafka.EndOffsets(ctx, topic)
		if err != nil {
			return nil, err
		}
		out[topic] = ends
	}
	return out, nil
}

func (c *Capture) publishWatermark(ctx context.Context, w checkpoint.Watermark) error {
	value, err := json.Marshal(w)
	if err != nil {
		return fmt.Errorf("encode the watermark: %w", err)
	}
	done := make(chan error, 1)
	c.producer.Produce(ctx, kafka.TopicPartition{Topic: schema.WatermarksTopic(c.cfg.TopicPrefix)},
		[]kafka.Record{{Key: []byte(w.Connector), Value: value}}, func(err error) { done <- err })
	return <-done
}

// stream follows the changes until ctx ends, the capture is broken, or its end time has come.
func (c *Capture) stream(ctx context.Context, r *receiver, st captureState) error {
	c.showFlow()
	if c.watermark == nil {
		return c.watch(ctx, r, st)
	}
	wctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		last *checkpoint.Watermark
		err  error
	}
	ended := make(chan result, 1)
	go func() {
		last, err := c.watermark.Run(wctx)
		ended <- result{last, err}
		cancel()
	}()
	err := c.watch(wctx, r, st)
	cancel()
	w := <-ended
	if w.last != nil && ctx.Err() == nil && errors.Is(err, context.Canceled) {
		return c.end(ctx, st, w.last)
	}
	return err
}

// end finishes a capture whose end time has come: its last watermark is published.
func (c *Capture) end(ctx context.Context, st captureState, last *checkpoint.Watermark) error {
	st.Phase, st.EndTime = phaseEnded, c.cfg.EndTime.UnixMilli()
	if err := c.state.saveCapture(ctx, st); err != nil {
		return err
	}
	c.cfg.Log.Info("end time reached: everything up to it is in Kafka, below these offsets",
		"end_time", c.cfg.EndTime.UTC().Format(time.RFC3339Nano), "watermark", time.UnixMilli(last.Time).UTC().Format(time.RFC3339Nano),
		"estimated", last.Estimated, "offsets", offsetsText(last.Offsets))
	return c.dismissPeer(ctx)
}

// endedBefore tells whether this very end time has come in an earlier run, of which the peer may still have to be removed.
func (c *Capture) endedBefore(ctx context.Context) (bool, error) {
	st, known, err := c.state.capture()
	if err != nil || !known || st.Phase != phaseEnded || c.cfg.EndTime.IsZero() || st.EndTime != c.cfg.EndTime.UnixMilli() {
		return false, err
	}
	c.cfg.Log.Info("end time was reached in an earlier run: there is nothing to do", "end_time", c.cfg.EndTime.UTC().Format(time.RFC3339Nano))
	return true, c.dismissPeer(ctx)
}

// dismissPeer removes the peer and the heartbeat table, as configured.
func (c *Capture) dismissPeer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	p, err := c.findPeer(ctx)
	switch {
	case err != nil:
		return err
	case p == nil:
	case !c.cfg.PeerCreate:
		c.cfg.Log.Warn("the peer is yours and stays: HBase keeps its WALs until it is removed", "peer", p.ID)
		return nil
	case !c.cfg.RemovePeer:
		c.cfg.Log.Warn("the peer stays (peer.on.end: keep): HBase keeps its WALs until it is removed, with: waltap peer remove", "peer", p.ID)
		return nil
	default:
		err := c.alone(ctx, "", func(ctx context.Context) error { return c.cluster.RemovePeer(ctx, p.ID) })
		if err != nil && !errors.Is(err, admin.ErrPeerNotFound) {
			return fmt.Errorf("remove peer %s: %w", p.ID, err)
		}
		c.cfg.Log.Info("peer removed, as the end time has come (peer.on.end: remove)", "peer", p.ID)
	}
	_, err = watermark.DropTable(ctx, c.cluster, c.cfg.PeerID)
	return err
}

// offsetsText is such as "p.default.t: 0=17 1=4".
func offsetsText(offsets map[string]map[int32]int64) string {
	var topics []string
	for _, topic := range slices.Sorted(maps.Keys(offsets)) {
		text := topic + ":"
		for _, p := range slices.Sorted(maps.Keys(offsets[topic])) {
			text += fmt.Sprintf(" %d=%d", p, offsets[topic][p])
		}
		topics = append(topics, text)
	}
	return strings.Join(topics, "; ")
}
