package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/connector"
	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/dlq"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
	"github.com/waltap/waltap/source/capture"
)

// pair is a source and a sink connector with the clusters between which they stand.
type pair struct {
	source, sink *config.Connector
	from         *admin.Cluster
	tables       []string // at from
}

func (p *pair) prefix() string { return p.source.Source.TopicPrefix }

// marks is the topic of the pair's watermarks.
func (p *pair) marks() kafka.TopicPartition {
	return kafka.TopicPartition{Topic: schema.WatermarksTopic(p.prefix())}
}

func (s *session) forwardPair(w *Wave, st *State) (*pair, error) {
	source, sink, err := s.forward(w, st)
	if err != nil {
		return nil, err
	}
	return &pair{source, sink, s.src, st.names()}, nil
}

func (s *session) reversePair(w *Wave, st *State) (*pair, error) {
	source, sink, err := s.reverse(w, st)
	if err != nil {
		return nil, err
	}
	p := &pair{source: source, sink: sink, from: s.dst}
	for _, t := range st.Tables {
		p.tables = append(p.tables, t.Target)
	}
	return p, nil
}

// facts finds out what the gate is judged by. moment is when writes were stopped, 0 when it is not known; watermarks that cover it are
// not before offset from of their topic.
func (s *session) facts(ctx context.Context, w *Wave, st *State, from, moment int64) (*Facts, error) {
	p, err := s.forwardPair(w, st)
	if err != nil {
		return nil, err
	}
	f := &Facts{State: st, Now: time.Now(), Moment: moment, Peer: p.source.Source.Peer.ID, DeadLetters: make(map[string]int)}
	if err := s.capturedFacts(ctx, w, p, f); err != nil {
		return nil, err
	}
	if f.Watermark, err = s.watermark(ctx, p, from, moment); err != nil {
		return nil, err
	}
	if f.Behind, err = s.behind(ctx, p, f.Watermark); err != nil {
		return nil, err
	}
	progress, err := s.store.progress(w.Name)
	if err != nil {
		return nil, err
	}
	for i := range progress {
		if progress[i].alive(f.Now) {
			f.Alive++
		}
		for _, c := range progress[i].Connectors {
			if c.Name == w.Source.Name {
				f.LastBulkLoad = max(f.LastBulkLoad, c.LastBulkLoad)
			}
		}
	}
	return f, s.deadLetters(ctx, p, f)
}

// capturedFacts are about the source and the capture of it.
func (s *session) capturedFacts(ctx context.Context, w *Wave, p *pair, f *Facts) (err error) {
	if f.Kept, err = s.kept(ctx, p.prefix(), p.source.Name); err != nil {
		return err
	}
	peer, err := p.from.Peer(ctx, f.Peer)
	switch {
	case errors.Is(err, admin.ErrPeerNotFound):
	case err != nil:
		return err
	default:
		f.PeerOn = peer.Enabled
		f.Ours = f.Kept != nil && peer.Config[capture.MarkKey] == p.source.Name && peer.Config[capture.CaptureKey] == f.Kept.CaptureID
	}
	all, err := p.from.Tables(ctx, false)
	if err != nil {
		return err
	}
	states, err := p.from.TableStates(ctx)
	if err != nil {
		return err
	}
	there := make(map[string]bool)
	for _, t := range all {
		name := t.FullName()
		there[name] = true
		disabled := false
		if state, known := states[name]; known {
			disabled = !state.Enabled
		}
		part := slices.Contains(p.tables, name)
		if part && !disabled && !isReadOnly(&t) {
			f.Open = append(f.Open, name)
		}
	}
	chosen, err := w.choose(all)
	if err == nil {
		for _, t := range chosen {
			if !slices.Contains(p.tables, t.FullName()) {
				f.Joined = append(f.Joined, t.FullName())
			}
		}
	}
	for _, name := range p.tables {
		if !there[name] {
			f.Missing = append(f.Missing, name)
		}
	}
	return nil
}

func isReadOnly(t *admin.Table) bool {
	return strings.EqualFold(t.Attributes[readOnlyAttribute], "true")
}

// readMarks hands the watermarks of a pair from an offset on to each, and returns where to go on.
func (s *session) readMarks(ctx context.Context, p *pair, from int64, each func(*checkpoint.Watermark)) (next int64, err error) {
	tp := p.marks()
	ends, err := s.kafka.EndOffsets(ctx, tp.Topic)
	if errors.Is(err, kafka.ErrUnknownTopic) {
		return from, nil
	}
	if err != nil {
		return from, fmt.Errorf("read the watermarks of %s: %w", p.source.Name, err)
	}
	starts, err := s.kafka.StartOffsets(ctx, tp.Topic)
	if err != nil {
		return from, fmt.Errorf("read the watermarks of %s: %w", p.source.Name, err)
	}
	err = s.kafka.ReadRange(ctx, tp, max(from, starts[0]), ends[0], func(r kafka.Record) error {
		if string(r.Key) != p.source.Name || len(r.Value) == 0 {
			return nil
		}
		w, err := checkpoint.ParseWatermark(r.Value)
		if err == nil {
			each(w)
		}
		return err
	})
	if err != nil {
		return from, fmt.Errorf("read the watermarks of %s: %w", p.source.Name, err)
	}
	return max(from, ends[0]), nil
}

// watermark returns the first watermark of a pair from offset from on that covers moment, the newest of all when none does or moment
// is 0.
func (s *session) watermark(ctx context.Context, p *pair, from, moment int64) (*checkpoint.Watermark, error) {
	if moment == 0 {
		return s.newestMark(ctx, p)
	}
	var last *checkpoint.Watermark
	_, err := s.readMarks(ctx, p, from, func(w *checkpoint.Watermark) {
		if last == nil || last.Time < moment {
			last = w
		}
	})
	if err != nil || last != nil {
		return last, err
	}
	return s.newestMark(ctx, p)
}

// newestMark looks for the newest watermark from the end of the topic backwards: compaction leaves a day's of them at times.
func (s *session) newestMark(ctx context.Context, p *pair) (last *checkpoint.Watermark, err error) {
	ends, err := s.kafka.EndOffsets(ctx, p.marks().Topic)
	if errors.Is(err, kafka.ErrUnknownTopic) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the watermarks of %s: %w", p.source.Name, err)
	}
	for back := int64(32); ; back *= 16 {
		from := max(0, ends[0]-back)
		_, err := s.readMarks(ctx, p, from, func(w *checkpoint.Watermark) { last = w })
		if err != nil || last != nil || from == 0 {
			return last, err
		}
	}
}

// marksEnd is where the pair's watermarks end now.
func (s *session) marksEnd(ctx context.Context, p *pair) (int64, error) {
	ends, err := s.kafka.EndOffsets(ctx, p.marks().Topic)
	if err != nil {
		return 0, fmt.Errorf("read the watermarks of %s: %w", p.source.Name, err)
	}
	return ends[0], nil
}

// momentAfter gives a time of the source connector's clock that is not before the watermarks ended at offset from; 0: not yet.
//
// No clock of ours is asked. A source publishes one watermark after the other: of those behind from, the second was made when the first
// was there already, so after the topic ended at from. What was acknowledged by then is covered by a watermark of that time or later.
func (s *session) momentAfter(ctx context.Context, p *pair, from int64) (int64, error) {
	n, at := 0, int64(0)
	_, err := s.readMarks(ctx, p, from, func(w *checkpoint.Watermark) {
		if n++; n == 2 {
			at = w.Published
		}
	})
	return at, err
}

// behind lists the partitions of which the sink has committed less than the watermark is about.
func (s *session) behind(ctx context.Context, p *pair, mark *checkpoint.Watermark) ([]Behind, error) {
	if mark == nil {
		return nil, nil
	}
	var tps []kafka.TopicPartition
	for topic, partitions := range mark.Offsets {
		if !p.sink.Sink.MatchTopic(topic) {
			continue
		}
		for partition, end := range partitions {
			if end > 0 {
				tps = append(tps, kafka.TopicPartition{Topic: topic, Partition: partition})
			}
		}
	}
	if len(tps) == 0 {
		return nil, nil
	}
	committed, err := s.kafka.CommittedOffsets(ctx, p.sink.Sink.GroupID, tps)
	if err != nil {
		return nil, fmt.Errorf("read the offsets of group %s: %w", p.sink.Sink.GroupID, err)
	}
	var out []Behind
	for _, tp := range tps {
		if want := mark.Offsets[tp.Topic][tp.Partition]; committed[tp] < want {
			out = append(out, Behind{tp, committed[tp], want})
		}
	}
	slices.SortFunc(out, func(a, b Behind) int {
		if c := strings.Compare(a.Topic, b.Topic); c != 0 {
			return c
		}
		return int(a.Partition - b.Partition)
	})
	return out, nil
}

// bulkLoadOp is the waltap.op of a dead letter that announces a bulk load.
const bulkLoadOp = "bulk-load"

// deadLetters counts those of the pair that were not put back. Announcements of bulk loads cannot be: they count as such.
func (s *session) deadLetters(ctx context.Context, p *pair, f *Facts) error {
	found := s.cfg.Registry()
	registry, err := connector.OpenRegistry(&found, s.log)
	if err != nil {
		return err
	}
	if registry != nil {
		defer registry.Close()
	}
	topics := map[string][]string{} // with the connectors that use it
	for _, c := range []struct{ topic, name string }{
		{p.source.Source.Errors.DeadLetterTopic, p.source.Name}, {p.sink.Sink.Errors.DeadLetterTopic, p.sink.Name},
	} {
		if c.topic != "" {
			topics[c.topic] = append(topics[c.topic], c.name)
		}
	}
	for topic, of := range topics {
		if _, err := s.kafka.Topic(ctx, topic); errors.Is(err, kafka.ErrUnknownTopic) {
			continue
		}
		q, err := dlq.Open(ctx, s.kafka, sink.NewSchemas(s.kafka, registry), topic, false)
		if err != nil {
			return err
		}
		err = q.Each(ctx, func(e *dlq.Entry) error {
			switch {
			case e.Explained && !slices.Contains(of, e.Connector) || !e.Replayed.IsZero():
			case headerOf(e, schema.HeaderOp) == bulkLoadOp:
				f.LastBulkLoad = max(f.LastBulkLoad, f.State.Started, e.Time.UnixMilli())
			default:
				f.DeadLetters[topic]++
			}
			return nil
		})
		if err = errors.Join(err, q.Close()); err != nil {
			return err
		}
	}
	return nil
}

func headerOf(e *dlq.Entry, key string) string {
	for _, h := range e.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}
