package main

import "context"

// lineSpec is a line, or several that come from the same rounds.
type lineSpec struct {
	id     string
	shape  Shape
	always bool // whatever is chosen
	run    func(ctx context.Context, b *bench, s Shape) ([]Line, error)
}

func (l *lineSpec) name() string {
	if l.shape.Name == "" {
		return l.id
	}
	return l.id + "/" + l.shape.Name
}

// lines is everything that is measured, in order.
var lines = []lineSpec{
	{id: "aa", shape: hundredBytes, always: true, run: runAA},
	{id: "wal-kafka", shape: hundredBytes, run: runWALToKafka},
	{id: "wal-kafka", shape: singlePuts, run: runWALToKafka},
	{id: "scan-kafka", shape: oneMillion, run: runScanToKafka},
	{id: "wal-hbase", shape: oneMillion, run: runWALToHBase},
	{id: "copy", shape: oneMillion, run: runFullCopy},
	{id: "latency", run: runLatency},
	{id: "wal-kafka", shape: twentyColumns, run: runWALToKafka},
	{id: "wal-kafka", shape: tenBytes, run: runWALToKafka},
	{id: "wal-kafka", shape: tenKiB, run: runWALToKafka},
}

func aim(v float64) *float64 { return &v }

// judged gives the shapes of 100 B values the criterion; other shapes are reported beside them.
func judged(s Shape, c Criterion) Criterion {
	if s.Value != 100 || s.Columns != 1 {
		return Criterion{Rule: Reported}
	}
	return c
}

// side is a receiver with the id of its peer.
type side struct {
	receiver
	id string
}

func (b *bench) countingSide(pace func() float64) side {
	id := b.name("count")
	return side{&counting{b: b, id: id, pace: pace}, id}
}

func (b *bench) kafkaSide(profile string) side {
	id := b.name("wal")
	return side{&toKafka{b: b, id: id, profile: profile}, id}
}

// warmUp is how many rounds are not counted: JVMs compile what they run, files come into the page cache.
const warmUp = 1

// alternate runs both sides, round after round; which one begins alternates, too. The first rounds are not among the results.
func (b *bench) alternate(ourName, theirName string, ours, theirs func() (*Drain, error)) (o, t []*Drain, err error) {
	one := func(name string, to *[]*Drain, run func() (*Drain, error)) {
		if err != nil {
			return
		}
		var d *Drain
		if d, err = run(); err == nil {
			*to = append(*to, d)
			b.step("    %-10s %8.0f cells/s (%.2f s)", name, d.rate(), d.Seconds)
		}
	}
	for i := range b.rounds + warmUp {
		if i%2 == 0 {
			one(theirName, &t, theirs)
			one(ourName, &o, ours)
		} else {
			one(ourName, &o, ours)
			one(theirName, &t, theirs)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return o[warmUp:], t[warmUp:], nil
}

// race has both sides drain one backlog.
func (b *bench) race(ctx context.Context, bl *backlog, ours, theirs []side) (o, t []*Drain, err error) {
	next := func(sides []side) func() (*Drain, error) {
		return func() (*Drain, error) {
			s := sides[0]
			sides = sides[1:]
			return b.drain(ctx, bl, s, s.id)
		}
	}
	return b.alternate(ours[0].id, theirs[0].id, next(ours), next(theirs))
}

func receivers(sides ...[]side) (all []receiver) {
	for _, s := range sides {
		for _, r := range s {
			all = append(all, r.receiver)
		}
	}
	return all
}

func repeat(n int, f func() side) (sides []side) {
	for range n {
		sides = append(sides, f())
	}
	return sides
}

func each(drains []*Drain, f func(*Drain) float64) (v []float64) {
	for _, d := range drains {
		v = append(v, f(d))
	}
	return v
}

// runAA drains by the counting peer on both sides, and once more by one that is held to half the rate: a bench that does not
// report 1 for the first and 0.5 for the second measures something else.
func runAA(ctx context.Context, b *bench, s Shape) ([]Line, error) {
	counter := func() side { return b.countingSide(nil) }
	ours, theirs := repeat(b.rounds+warmUp, counter), repeat(b.rounds+warmUp, counter)
	full := 0.0
	half := []side{b.countingSide(func() float64 { return full / 2 })}
	bl, err := b.newBacklog(ctx, s, receivers(ours, theirs, half)...)
	if err != nil {
		return nil, err
	}
	o, t, err := b.race(ctx, bl, ours, theirs)
	if err != nil {
		return nil, err
	}
	rates := each(append(o, t...), (*Drain).rate)
	full = median(rates)
	slow, err := b.drain(ctx, bl, half[0], half[0].id)
	if err != nil {
		return nil, err
	}
	d := differs(each(o, (*Drain).rate), each(t, (*Drain).rate))
	b.report.AA = &AA{Difference: d, TooLarge: d > aaLimit, Control: slow.rate() / full}
	return []Line{{
		ID: "aa", Shape: s.Name, Work: "A/A: a peer that counts and acks", Against: "the same", Unit: "cells/s",
		Ours: each(o, (*Drain).rate), Theirs: each(t, (*Drain).rate), Criterion: Criterion{Rule: FlatWithin, Gate: aaLimit}, OurRounds: o, TheirRounds: t,
	}}, nil
}

func runWALToKafka(ctx context.Context, b *bench, s Shape) ([]Line, error) {
	ours := repeat(b.rounds+warmUp, func() side { return b.kafkaSide("") })
	theirs := repeat(b.rounds+warmUp, func() side { return b.countingSide(nil) })
	profiled := b.profileSides(func() side { return b.kafkaSide("wal-kafka." + fileName(s.Name)) })
	bl, err := b.newBacklog(ctx, s, receivers(ours, theirs, profiled)...)
	if err != nil {
		return nil, err
	}
	o, t, err := b.race(ctx, bl, ours, theirs)
	if err != nil {
		return nil, err
	}
	for _, p := range profiled {
		if _, err := b.drain(ctx, bl, p, p.id); err != nil {
			return nil, err
		}
	}
	const source = "waltap source"
	return []Line{
		{
			ID: "wal-kafka", Shape: s.Name, Work: "WAL backlog → Kafka", Against: "a peer that only counts and acks", Unit: "cells/s",
			Ours: each(o, (*Drain).rate), Theirs: each(t, (*Drain).rate), OurRounds: o, TheirRounds: t,
			Criterion: judged(s, Criterion{Rule: RatioAtLeast, Gate: 0.9, Aim: aim(0.95)}),
		},
		{
			ID: "memory-source", Shape: s.Name, Work: "peak resident memory, source", Unit: "MiB",
			Ours:      each(o, func(d *Drain) float64 { return d.Peak[source] }),
			Criterion: judged(s, Criterion{Rule: MaxAtMost, Gate: 256, Aim: aim(128)}),
		},
		{
			ID: "cpu-source", Shape: s.Name, Work: "CPU per million cells, source", Unit: "s",
			Ours:      each(o, func(d *Drain) float64 { return d.CPU[source] / float64(d.Cells) * 1e6 }),
			Criterion: judged(s, Criterion{Rule: AtMost, Gate: 2, Aim: aim(1)}),
		},
	}, nil
}

// profileSides is one side more when profiles are wanted: a round that is profiled is not counted.
func (b *bench) profileSides(f func() side) []side {
	if b.profiles == "" {
		return nil
	}
	return []side{f()}
}
