package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
)

// lastRow is the row of table i of the regions that is written behind all others.
func lastRow(region int) string { return fmt.Sprintf("%04x", region*0x10000/regions) + "-last" }

// writeLast puts a row into each region, behind everything: where it is visible, all before it in its queue is.
func (b *bench) writeLast(ctx context.Context, bl *backlog) error {
	var last []judge.Mutation
	for i := range regions {
		last = append(last, judge.Put(lastRow(i), "f", "q0", "v"))
	}
	bl.cells += regions
	return errors.Join(b.env.Src.Write(ctx, bl.table, last...), b.env.Src.RollWALs(ctx))
}

// awaitLast waits until the last rows are visible at the destination.
func (b *bench) awaitLast(ctx context.Context, table string) error {
	for i := range regions {
		for {
			cells, err := b.env.Dst.ReadRow(ctx, table, []byte(lastRow(i)))
			if err != nil {
				return err
			}
			if len(cells) > 0 {
				break
			}
			if err := sleep(ctx, pollInterval); err != nil {
				return fmt.Errorf("wait for the last rows in %s: %w", table, err)
			}
		}
	}
	return nil
}

// complete compares the number of cells at the destination; not part of any time.
func (b *bench) complete(ctx context.Context, table string, cells int64) error {
	sum, err := b.env.Dst.Checksum(ctx, table, judge.ScanOptions{})
	if err != nil {
		return err
	}
	if sum.Cells != cells {
		return fmt.Errorf("table %s at the destination has %d cells, want %d", table, sum.Cells, cells)
	}
	return b.env.Dst.DropTable(ctx, table)
}

// native is HBase's own replication into the destination.
type native struct {
	b  *bench
	id string
	bl *backlog
}

func (s *native) prepare(_ context.Context, bl *backlog) (judge.Peer, error) {
	s.bl = bl
	return judge.Peer{ID: s.id, ClusterKey: s.b.env.Destination.ClusterKey()}, nil
}

func (s *native) ready(ctx context.Context) error { return newTable(ctx, s.b.env.Dst, s.bl.table, nil) }

// drained has no first call to see: the table is asked for any row.
func (s *native) drained(ctx context.Context, _ int64) (span, error) {
	first := time.Now()
	err := s.b.awaitLast(ctx, s.bl.table)
	return span{first: first, last: time.Now()}, err
}

func (s *native) pids() map[string]int { return nil }

func (s *native) close(ctx context.Context) error { return s.b.complete(ctx, s.bl.table, s.bl.cells) }

// toHBase is waltap's source and sink, a process each.
type toHBase struct {
	toKafka
	as      string // the table at the destination
	sink    *waltap
	finish2 func() error
}

func (s *toHBase) ready(ctx context.Context) error {
	s.as = s.bl.table + "_" + s.id
	if err := newTable(ctx, s.b.env.Dst, s.as, nil); err != nil {
		return err
	}
	if err := s.toKafka.ready(ctx); err != nil {
		return err
	}
	var err error
	s.sink, err = s.b.startWaltap(s.id+"_sink", s.b.sinkKeys(s.id+"_sink", s.id, s.bl.table, s.as))
	if err != nil {
		return err
	}
	if err := s.sink.awaitRunning(ctx); err != nil {
		return err
	}
	if s.profile != "" {
		s.finish2 = s.b.profile(ctx, s.sink, s.profile+".sink", 2*profileSeconds(s.bl.cells))
	}
	return nil
}

// drained looks at the destination until the last rows are there, as on the other side, and asks the sink only then whether all others are:
// asked every 200 ms the answers were 0.8 % of its CPU time (perf record), and it was asked every 50.
func (s *toHBase) drained(ctx context.Context, cells int64) (span, error) {
	first := time.Now()
	running, stop := s.sink.whileRunning(ctx)
	defer stop()
	err := s.b.awaitLast(running, s.as)
	if err != nil && running.Err() != nil {
		err = context.Cause(running) // also where a read was interrupted
	}
	if err == nil {
		err = s.sink.await(ctx, pollInterval, func(v *status.ProcessView) (bool, error) {
			c := &v.Connectors[0]
			return c.Cells >= cells, undisturbed(c)
		})
	}
	last := time.Now()
	for _, finish := range []func() error{s.finish, s.finish2} {
		if finish != nil {
			err = errors.Join(err, finish())
		}
	}
	return span{first: first, last: last}, err
}

func (s *toHBase) pids() map[string]int {
	return map[string]int{source: s.w.PID(), sink: s.sink.PID()}
}

func (s *toHBase) close(ctx context.Context) error {
	return errors.Join(s.sink.stop(), s.w.stop(), s.b.complete(ctx, s.as, s.bl.cells))
}

func runWALToHBase(ctx context.Context, b *bench, s Shape) ([]Line, error) {
	rounds := b.rounds + b.targetWarmUps()
	ours := repeat(rounds, func() side { return b.hbaseSide("") })
	theirs := repeat(rounds, func() side {
		id := b.name("native")
		return side{&native{b: b, id: id}, id}
	})
	profiled := b.profileSides(func() side { return b.hbaseSide("wal-hbase." + fileName(s.Name)) })
	bl, err := b.newBacklog(ctx, s, receivers(ours, theirs, profiled)...)
	if err != nil {
		return nil, err
	}
	if err := b.writeLast(ctx, bl); err != nil {
		return nil, err
	}
	o, t, err := b.race(ctx, bl, "waltap", "native", ours, theirs)
	if err != nil {
		return nil, err
	}
	for _, p := range profiled {
		if _, err := b.drain(ctx, bl, p, p.id); err != nil {
			return nil, err
		}
	}
	return []Line{
		{
			ID: "wal-hbase", Shape: s.Name, Work: "WAL backlog → Kafka → HBase", Against: "HBase's replication", Unit: "cells/s",
			Ours: each(o, (*Drain).enabledRate), Theirs: each(t, (*Drain).enabledRate), OurRounds: o, TheirRounds: t,
			Criterion: Criterion{Rule: RatioAtLeast, Gate: 2, Aim: aim(3)},
		},
		{
			ID: "memory-sink", Shape: s.Name, Work: "peak resident memory, sink", Unit: "MiB",
			Ours:      each(o, func(d *Drain) float64 { return d.Peak[sink] }),
			Criterion: Criterion{Rule: MaxAtMost, Gate: 256, Aim: aim(128)},
		},
		{
			ID: "cpu-sink", Shape: s.Name, Work: "CPU per million cells, sink", Unit: "s",
			Ours:      each(o, func(d *Drain) float64 { return d.perMillion(sink) }),
			Criterion: ofHundredBytes(s, Criterion{Rule: AtMost, Gate: 2, Aim: aim(1)}),
		},
	}, b.env.Src.DropTable(ctx, bl.table)
}

func (b *bench) hbaseSide(profile string) side {
	id := b.name("copy")
	return side{&toHBase{toKafka: toKafka{b: b, id: id, profile: profile}}, id}
}
