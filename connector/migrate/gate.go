package migrate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/source/capture"
)

// Facts are what the gate is judged by.
type Facts struct {
	State *State
	Now   time.Time

	Alive   int  // processes that run the wave's connectors
	PeerOn  bool // our peer is there and enabled
	Peer    string
	Ours    bool // the peer is the one that the capture made
	Kept    *capture.Kept
	Missing []string // tables that the source has no more
	Open    []string // tables at the source that take writes
	Joined  []string // tables that match and are not part of the wave

	// Moment is when the writes were stopped, by the source connector's clock, ms; 0: not known.
	Moment int64
	// Watermark is the newest that covers Moment, or the newest at all.
	Watermark *checkpoint.Watermark
	Behind    []Behind // partitions below the watermark's offsets

	DeadLetters  map[string]int // by topic: those that were not put back
	LastBulkLoad int64          // ms; 0: none was seen
}

// Behind is a partition of which the sink has not applied all that the watermark is about.
type Behind struct {
	kafka.TopicPartition
	Committed, Want int64
}

// Condition is one condition of the gate.
type Condition struct {
	Name  string `json:"name"`
	Green bool   `json:"green"`
	// Text says why it is red, and what to do; or what it was judged by.
	Text string `json:"text"`
}

// Gate is what a cut-over waits for.
type Gate []Condition

// Green tells whether all conditions are.
func (g Gate) Green() bool {
	return !slices.ContainsFunc(g, func(c Condition) bool { return !c.Green })
}

// Red lists the conditions that are not green.
func (g Gate) Red() []Condition {
	return slices.DeleteFunc(slices.Clone(g), func(c Condition) bool { return c.Green })
}

// The conditions.
const (
	CondRunning     = "connectors run"
	CondScan        = "scan complete"
	CondGaps        = "no gap"
	CondFence       = "writes stopped"
	CondWatermark   = "watermark past it"
	CondSink        = "sink past the watermark"
	CondVerify      = "verify clean"
	CondDeadLetters = "no dead letters"
	CondBulkLoads   = "no bulk load"
)

// Judge judges the gate of a wave. It asks nobody: all it knows is in f. Without fenced the gate is that of a rehearsal: writes go on, and the
// last pass of verify over all rows counts.
func Judge(f *Facts, fenced bool) Gate {
	g := Gate{f.running(), f.scan(), f.gaps()}
	if fenced {
		g = append(g, f.fence())
	}
	return append(g, f.watermark(), f.sink(), f.verify(fenced), f.deadLetters(), f.bulkLoads())
}

func green(name, text string, args ...any) Condition {
	return Condition{name, true, fmt.Sprintf(text, args...)}
}
func red(name, text string, args ...any) Condition {
	return Condition{name, false, fmt.Sprintf(text, args...)}
}

func (f *Facts) running() Condition {
	switch {
	case f.State.Paused:
		return red(CondRunning, "the wave is paused: waltap migrate resume")
	case f.Alive == 0:
		return red(CondRunning, "no process runs the wave's connectors: waltap migrate start")
	}
	return green(CondRunning, "in %s", plural(f.Alive, "process", "processes"))
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func (f *Facts) scan() Condition {
	if f.Kept == nil {
		return red(CondScan, "it has not begun")
	}
	var left []string
	for _, t := range f.State.Tables {
		if !f.Kept.Tables[t.Source].Captured {
			left = append(left, t.Source)
		}
	}
	switch {
	case len(left) > 0:
		return red(CondScan, "not of %s: wait, waltap migrate status shows how far it is", strings.Join(left, ", "))
	case !f.Kept.Streaming:
		return red(CondScan, "the changes queued behind it do not flow yet: wait")
	}
	return green(CondScan, "of %s", plural(len(f.State.Tables), "table", "tables"))
}

func (f *Facts) gaps() Condition {
	var found []string
	add := func(text string, args ...any) { found = append(found, fmt.Sprintf(text, args...)) }
	switch {
	case f.Kept == nil:
		return red(CondGaps, "nothing is captured yet")
	case !f.Ours:
		add("peer %s is gone, or was made anew by someone: its changes are lost, see docs/gaps.md", f.Peer)
	case !f.PeerOn:
		add("peer %s is disabled: waltap peer enable %s", f.Peer, f.Peer)
	}
	for _, t := range f.State.Tables {
		switch k := f.Kept.Tables[t.Source]; {
		case k.Gap != "":
			add("table %s %s: see docs/gaps.md", t.Source, k.Gap)
		case k.Dropped || slices.Contains(f.Missing, t.Source):
			add("table %s is gone from the source", t.Source)
		}
	}
	for _, t := range f.Joined {
		add("table %s has come to match and is not part of the wave: run waltap migrate start again, or take it off the file", t)
	}
	if len(found) > 0 {
		return red(CondGaps, "%s", strings.Join(found, "; "))
	}
	return green(CondGaps, "in the capture of %s", plural(len(f.State.Tables), "table", "tables"))
}

func (f *Facts) fence() Condition {
	fence := f.State.Fence
	switch {
	case fence == nil || fence.Closed == 0:
		return red(CondFence, "the source's tables are not closed")
	case len(f.Open) > 0:
		return red(CondFence, "table %s takes writes again: somebody has opened it; waltap migrate cutover --undo, then begin anew", strings.Join(f.Open, ", "))
	case f.Moment == 0:
		return red(CondFence, "when they were is not known yet: the source connector has published no two watermarks since")
	}
	return green(CondFence, "since %s", moment(f.Moment))
}

func (f *Facts) watermark() Condition {
	switch w := f.Watermark; {
	case w == nil:
		return red(CondWatermark, "the source has published none")
	case f.Moment == 0 || w.Time < f.Moment:
		return red(CondWatermark, "it is at %s: wait, waltap migrate status shows what it waits for", moment(w.Time))
	case w.Estimated:
		return green(CondWatermark, "it is at %s, an estimate (docs/watermark.md)", moment(w.Time))
	default:
		return green(CondWatermark, "it is at %s", moment(w.Time))
	}
}

func (f *Facts) sink() Condition {
	switch {
	case f.Watermark == nil || f.Moment == 0 || f.Watermark.Time < f.Moment:
		return red(CondSink, "it waits for the watermark")
	case len(f.Behind) > 0:
		b, left := f.Behind[0], int64(0)
		for _, x := range f.Behind {
			left += x.Want - max(0, x.Committed)
		}
		return red(CondSink, "about %s left on %s, partition %d of %s first: wait", plural(int(left), "record", "records"), plural(len(f.Behind), "partition", "partitions"), b.Partition, b.Topic)
	}
	return green(CondSink, "on all partitions")
}

func (f *Facts) verify(fenced bool) Condition {
	v := f.State.Verified
	base := f.passed("of all rows", v)
	if base != "" {
		return red(CondVerify, "%s", base)
	}
	if !fenced {
		return green(CondVerify, "%s, %s", plural(int(v.Base.Rows), "row", "rows"), moment(v.Base.Ended))
	}
	p := v.Final
	switch {
	case p == nil || f.State.Fence == nil || p.Fence != f.State.Fence.ID:
		return red(CondVerify, "the rows that have changed since %s are not verified behind the fence", moment(v.Base.Began))
	case !p.Clean:
		return red(CondVerify, "%s of those changed since %s differ: waltap migrate cutover --undo, waltap migrate repair", plural(int(p.Bad), "row", "rows"), moment(v.Base.Began))
	}
	return green(CondVerify, "%s in all, then %s changed since", plural(int(v.Base.Rows), "row", "rows"), plural(int(p.Good), "row", "rows"))
}

// passed says why the pass over all rows does not count; "": it does.
func (f *Facts) passed(of string, v *Verified) string {
	if v == nil || v.Base == nil {
		return "no pass " + of + " was made: waltap migrate verify"
	}
	if !v.Base.Clean {
		return fmt.Sprintf("%s of the last pass differ: waltap migrate repair, then verify", plural(int(v.Base.Bad), "row", "rows"))
	}
	for _, t := range f.State.Tables {
		if !slices.Contains(v.Base.Tables, t.Source) {
			return fmt.Sprintf("table %s was not in the last pass: waltap migrate verify", t.Source)
		}
	}
	return ""
}

func (f *Facts) deadLetters() Condition {
	var found []string
	for topic, n := range f.DeadLetters {
		if n > 0 {
			found = append(found, fmt.Sprintf("%d on %s", n, topic))
		}
	}
	if len(found) > 0 {
		slices.Sort(found)
		return red(CondDeadLetters, "%s that were not put back: waltap dlq list, waltap dlq replay", strings.Join(found, ", "))
	}
	return green(CondDeadLetters, "none")
}

func (f *Facts) bulkLoads() Condition {
	switch v := f.State.Verified; {
	case f.LastBulkLoad == 0:
		return green(CondBulkLoads, "none was announced; one that the source does not ship (hbase.replication.bulkload.enabled) only verify finds")
	case v != nil && v.Base != nil && v.Base.Clean && v.Base.Whole > f.LastBulkLoad:
		return green(CondBulkLoads, "none since the last pass of verify over all rows")
	}
	return red(CondBulkLoads, "HFiles were loaded into the source at %s, which are not in its WAL: bring them to the destination (waltap migrate repair), then waltap migrate verify --full", moment(f.LastBulkLoad))
}

func moment(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }
