package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/internal/crash"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/descriptor"
	"github.com/waltap/waltap/internal/hbase/zookeeper"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
	"github.com/waltap/waltap/source/capture"
	"github.com/waltap/waltap/source/tasks"
	"github.com/waltap/waltap/source/watermark"
)

// stopTimeout bounds how long a clean-up waits for the processes of the wave to stop.
const stopTimeout = 2 * time.Minute

// CleanupOptions of Cleanup.
type CleanupOptions struct {
	Topics  bool // delete the topics of the wave and what is kept of it, too
	Unfence bool // open the source's tables, if the cut-over has closed them
	Abandon bool // clean up a wave that is not cut over: its copy stays behind from then on
}

// Cleanup removes what the wave has made and puts back what it has altered, on both sides. It lists what it leaves.
func (m *Migration) Cleanup(ctx context.Context, e Env, wave string, o CleanupOptions) (err error) {
	s, w, st, err := m.on(ctx, e, wave)
	if errors.Is(err, ErrNotStarted) {
		fmt.Fprintln(e.Out, "nothing is known of the wave: there is nothing to clean up")
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := mayClean(w, st, o); err != nil {
		return err
	}
	if st.Phase != PhaseCleaned {
		if err := s.clean(ctx, w, st); err != nil {
			return err
		}
	}
	if o.Unfence {
		if err := s.openTables(ctx, st); err != nil {
			return err
		}
	}
	left, err := s.left(ctx, w, st)
	if err != nil {
		return err
	}
	if o.Topics {
		if err := s.deleteTopics(ctx, w, st); err != nil {
			return err
		}
		if err := s.store.forget(ctx, w.Name); err != nil {
			return err
		}
	} else {
		left = add(left, s.leftTopics(w, st)...)
		st.Phase = PhaseCleaned
		if err := s.store.save(ctx, w.Name, st); err != nil {
			return err
		}
	}
	s.say("wave %s is cleaned up", w.Name)
	for _, l := range left {
		s.say("left: %s", l)
	}
	return nil
}

func mayClean(w *Wave, st *State, o CleanupOptions) error {
	switch st.Phase {
	case PhaseCutOver, PhaseReverse, PhaseCleaning, PhaseCleaned:
		return nil
	case PhaseStarted:
		if o.Abandon {
			return nil
		}
		return fmt.Errorf("wave %s is not cut over: cleaning it up ends the copy, which stays behind from then on; --abandon does so", w.Name)
	}
	return fmt.Errorf("wave %s is %s: let waltap migrate cutover end, or undo it with: waltap migrate cutover --undo", w.Name, st.Phase)
}

// clean removes and puts back everything but topics and the fence.
func (s *session) clean(ctx context.Context, w *Wave, st *State) error {
	if st.Phase != PhaseCleaning {
		st.Phase = PhaseCleaning
		if err := s.store.save(ctx, w.Name, st); err != nil {
			return err
		}
	}
	p, err := s.forwardPair(w, st)
	if err != nil {
		return err
	}
	if err := s.dismiss(ctx, s.src, p); err != nil {
		return err
	}
	if st.Reverse != nil {
		p, err := s.reversePair(w, st)
		if err != nil {
			return err
		}
		if err := s.dismiss(ctx, s.dst, p); err != nil {
			return err
		}
	}
	if err := s.restoreScopes(ctx, s.src, st, func(t *Table) (string, map[string]string) { return t.Source, t.Scopes }); err != nil {
		return err
	}
	if err := s.restoreTargetScopes(ctx, st); err != nil {
		return err
	}
	return s.restorePurges(ctx, st)
}

// restorePurges gives the destination's tables back how long they keep delete markers.
func (s *session) restorePurges(ctx context.Context, st *State) error {
	return eachTable(st.Tables, func(name *Table) error {
		t, err := s.dst.Table(ctx, name.Target)
		if errors.Is(err, admin.ErrTableNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if !descriptor.RestorePurge(t) {
			return nil
		}
		if err := s.dst.ModifyTable(ctx, *t); err != nil {
			return fmt.Errorf("put %s of table %s back: %w", descriptor.PurgeKey, name.Target, err)
		}
		s.say("table %s at the destination: %s is as it was", name.Target, descriptor.PurgeKey)
		crash.Point(crash.AttributesPartly)
		return nil
	})
}

// dismiss waits until nobody runs a pair's connectors any more, then removes its snapshots, its peer, its heartbeat table and its znodes.
func (s *session) dismiss(ctx context.Context, c *admin.Cluster, p *pair) error {
	if err := s.awaitStopped(ctx, p); err != nil {
		return err
	}
	source := p.source.Source
	dropped, err := capture.DropSnapshots(ctx, c, p.source.Name, source.TopicPrefix, source.Peer.ZNodeParent)
	for _, name := range dropped {
		s.say("snapshot %s is deleted, which was left of the reading from files", name)
	}
	if err != nil {
		return err
	}
	id := source.Peer.ID
	peer, err := c.Peer(ctx, id)
	switch {
	case errors.Is(err, admin.ErrPeerNotFound):
	case err != nil:
		return err
	case peer.Config[capture.MarkKey] != p.source.Name:
		return fmt.Errorf("peer %s is not connector %s's, and was not touched: if it is in the way remove it yourself, then clean up again", id, p.source.Name)
	default:
		lock := admin.PeerLock{
			Owner: "waltap migrate, of peer " + id, Fallback: source.Peer.ZooKeeperQuorum,
			Waiting: func(holder string) { s.say("waiting for another peer change: %s", holder) },
		}
		err := c.Alone(ctx, lock, func(ctx context.Context) error { return c.RemovePeer(ctx, id) })
		if err != nil && !errors.Is(err, admin.ErrPeerNotFound) {
			return err
		}
		s.say("peer %s is removed", id)
	}
	probes, err := c.RemoveProbes(ctx, id)
	if err != nil {
		return err
	}
	for _, probe := range probes {
		s.say("peer %s is removed, which a process that was killed has left", probe)
	}
	crash.Point(crash.PeerRemoved)
	heartbeats, err := watermark.DropTable(ctx, c, id)
	if err != nil {
		return err
	}
	if heartbeats {
		s.say("table %s is dropped", watermark.TableName(id))
	}
	return s.removeZNodes(ctx, source)
}

// awaitStopped waits until the groups of a pair have no member.
func (s *session) awaitStopped(ctx context.Context, p *pair) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	groups := []string{tasks.Group(p.source.Name), p.sink.Sink.GroupID}
	at := ""
	err := s.await(ctx, "the wave's processes to stop", func() (bool, error) {
		for _, g := range groups {
			members, err := s.kafka.GroupMembers(ctx, g)
			if err != nil {
				return false, err
			}
			if len(members) > 0 {
				at = fmt.Sprintf("group %s has a member at %s", g, members[0].Host)
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil && at != "" {
		return fmt.Errorf("%w: %s: stop that process, then run this again", err, at)
	}
	return err
}

// removeZNodes removes the cluster that the peer replicated to.
func (s *session) removeZNodes(ctx context.Context, source *config.Source) error {
	cctx, cancel := context.WithTimeout(ctx, connectTimeout)
	zk, err := zookeeper.Connect(cctx, source.Peer.ZooKeeperQuorum, 0, s.log)
	cancel()
	if err != nil {
		return err
	}
	// One that was killed stays registered until its session ends.
	cctx, cancel = context.WithTimeout(ctx, 2*source.Peer.SessionTimeout)
	defer cancel()
	removed := false
	err = s.await(cctx, "a killed process's registration to end", func() (bool, error) {
		removed, err = zookeeper.RemoveCluster(cctx, zk, source.Peer.ZNodeParent)
		if errors.Is(err, zookeeper.ErrServed) {
			return false, nil
		}
		return true, err
	})
	if removed {
		s.say("znode %s is removed", source.Peer.ZNodeParent)
	}
	return errors.Join(err, zk.Close())
}

// topicsOfWave lists the topics that the wave has made for itself.
func (s *session) topicsOfWave(w *Wave, st *State) []string {
	var out []string
	add := func(prefix string, tables []string) {
		for _, t := range tables {
			if topic, err := schema.DataTopic(prefix, t); err == nil {
				out = append(out, topic)
			}
		}
		out = append(out, schema.TasksTopic(prefix), schema.TablesTopic(prefix), schema.SchemaTopic(prefix), schema.WatermarksTopic(prefix))
		if offsets, shared := s.cfg.OffsetsTopic(prefix); !shared {
			out = append(out, offsets)
		}
	}
	add(w.prefix(), st.names())
	var targets []string
	for _, t := range st.Tables {
		targets = append(targets, t.Target)
	}
	for n := 1; n <= st.Reversals; n++ {
		add(w.reversePrefix(n), targets)
	}
	return out
}

func (s *session) deleteTopics(ctx context.Context, w *Wave, st *State) error {
	for _, topic := range s.topicsOfWave(w, st) {
		if _, err := s.kafka.Topic(ctx, topic); errors.Is(err, kafka.ErrUnknownTopic) {
			continue
		}
		if err := s.kafka.DeleteTopics(ctx, topic); err != nil {
			return err
		}
		s.say("topic %s is deleted", topic)
		crash.Point(crash.TopicDeleted)
	}
	return s.forgetProgress(ctx, w, st)
}

// forgetProgress removes the progress of the wave's sources from a topic that others use, too (offset.storage.topic).
func (s *session) forgetProgress(ctx context.Context, w *Wave, st *State) (err error) {
	topic, shared := s.cfg.OffsetsTopic(w.prefix())
	if !shared {
		return nil
	}
	if _, err := s.kafka.Topic(ctx, topic); errors.Is(err, kafka.ErrUnknownTopic) {
		return nil
	}
	store, err := checkpoint.Open(ctx, s.kafka, topic)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	names := []string{w.Source.Name}
	for n := 1; n <= st.Reversals; n++ {
		names = append(names, reverseName(w.Source.Name, n))
	}
	for _, name := range names {
		var keys []map[string]string
		err := store.Each(name, func(partition map[string]string, _ json.RawMessage) error {
			keys = append(keys, partition)
			return nil
		})
		for _, k := range keys {
			if err == nil {
				err = store.Delete(ctx, name, k)
			}
		}
		if err != nil {
			return err
		}
		s.say("the progress of connector %s is removed from topic %s", name, topic)
	}
	return nil
}

// left lists what a clean-up leaves beside topics, and why.
func (s *session) left(ctx context.Context, w *Wave, st *State) ([]string, error) {
	left := slices.Clone(st.Left)
	states, err := s.src.TableStates(ctx)
	if err != nil {
		return nil, err
	}
	var disabled, closed, open, all []string
	for _, t := range st.Tables {
		now, err := s.src.Table(ctx, t.Source)
		if errors.Is(err, admin.ErrTableNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, t.Source)
		state, known := states[t.Source]
		switch {
		case known && !state.Enabled:
			disabled = append(disabled, t.Source)
		case isReadOnly(now) && t.ReadOnly != now.Attributes[readOnlyAttribute]:
			closed = append(closed, t.Source)
		case st.Fence != nil:
			open = append(open, t.Source)
		}
	}
	left = addNames(left, "table", disabled, "disabled at the source, so that nobody writes there; enabled by --unfence")
	left = addNames(left, "table", closed, "read-only at the source, so that nobody writes there; opened by --unfence")
	left = addNames(left, "table", open, "open to writers at the source; what they write goes nowhere from now on")
	left = addNames(left, "table", all, "still at the source, with all data; yours to drop")
	for _, c := range []*config.Errors{&w.Source.Source.Errors, &w.Sink.Sink.Errors} {
		if c.DeadLetterTopic != "" {
			left = add(left, fmt.Sprintf("topic %s: dead letters are yours to judge", c.DeadLetterTopic))
		}
	}
	return add(left, fmt.Sprintf("group %s on topic %s: what the sink knew of its topics; waltap offsets forget removes it", w.Sink.Sink.GroupID, sink.SeenTopic)), nil
}

// leftTopics lists topics that stay because nobody asked to delete them.
func (s *session) leftTopics(w *Wave, st *State) []string {
	left := []string{fmt.Sprintf("the state of wave %s on topic %s: --topics removes it", w.Name, StateTopic)}
	return addNames(left, "topic", s.topicsOfWave(w, st), "still there; deleted by --topics")
}

// addNames appends a line about things of one kind, if there are any: a wave may have many tables.
func addNames(to []string, kind string, names []string, text string) []string {
	switch len(names) {
	case 0:
		return to
	case 1:
		return append(to, fmt.Sprintf("%s %s: %s", kind, names[0], text))
	}
	return append(to, fmt.Sprintf("%d %ss (%s): %s", len(names), kind, strings.Join(names, ", "), text))
}
