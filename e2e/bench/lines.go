package main

import "context"

// lineSpec is a line, or several that come from the same rounds.
type lineSpec struct {
	id      string
	shape   Shape
	always  bool    // whatever is chosen
	few     int     // rounds are long: it has that many fewer of 4
	seconds float64 // at scale 1 with 4 rounds on a quiet machine of two cores; for the time left
	run     func(ctx context.Context, b *bench, s Shape) ([]Line, error)
}

func (l *lineSpec) name() string {
	if l.shape.Name == "" {
		return l.id
	}
	return l.id + "/" + l.shape.Name
}

// rounds that count, of n for a line whose rounds are short.
func (l *lineSpec) rounds(n int) int { return max(1, n-n*l.few/4) }

// lines is everything that is measured, in order. A side's part of a round takes some seconds: with drains of less than a second and a
// half A/A differed by a third.
var lines = []lineSpec{
	{id: "aa", shape: sixMillion, always: true, seconds: 160, run: runAA},
	{id: "wal-kafka", shape: fourMillion, seconds: 140, run: runWALToKafka},
	{id: "wal-kafka", shape: singlePuts, seconds: 90, run: runWALToKafka},
	{id: "scan-kafka", shape: threeMillion, seconds: 100, run: runScanToKafka},
	{id: "wal-hbase", shape: oneMillion, few: 1, seconds: 190, run: runWALToHBase},
	{id: "copy", shape: oneMillion, few: 1, seconds: 120, run: runFullCopy},
	{id: "latency", seconds: 60, run: runLatency},
	{id: "files-count", shape: oneMillion, seconds: 40, run: runFilesCounted},
	{id: "files-kafka", shape: oneMillion, few: 2, seconds: 40, run: runFilesToKafka},
	{id: "files-copy", shape: oneMillion, few: 2, seconds: 50, run: runCopyFromFiles},
	{id: "hfile", seconds: 20, run: runDecode},
	{id: "wal-kafka", shape: twentyColumns, few: 2, seconds: 45, run: runWALToKafka},
	{id: "wal-kafka", shape: tenBytes, few: 2, seconds: 45, run: runWALToKafka},
	{id: "wal-kafka", shape: tenKiB, few: 2, seconds: 45, run: runWALToKafka},
	{id: "scan-kafka", shape: twentyColumns, few: 2, seconds: 40, run: runScanToKafka},
	{id: "wal-hbase", shape: halfMillion, few: 2, seconds: 60, run: runWALToHBase},
	{id: "copy", shape: halfMillion, few: 2, seconds: 60, run: runFullCopy},
	{id: "growth", shape: twentyMillion, few: 2, seconds: 200, run: runGrowth},
}

func aim(v float64) *float64 { return &v }

// ofHundredBytes judges cells of 100 B, and reports others: what a cell costs depends on its size.
func ofHundredBytes(s Shape, c Criterion) Criterion {
	if s.Value != 100 {
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

// Names of processes.
const (
	source            = "waltap source"
	sink              = "waltap sink"
	both              = "waltap source and sink"
	sourceServer      = "source HBase"
	destinationServer = "destination HBase"
	kafkaServer       = "Kafka"
	copyTableTool     = "CopyTable"
	discarder         = "the scan that discards"
)

// alternate runs both sides, round after round; which one begins alternates, too. The first rounds, warm of them, are not among
// the results. Each side begins when the servers have done with what the one before it has left them.
func (b *bench) alternate(ctx context.Context, warm int, ourName, theirName string, ours, theirs func() (*Drain, error)) (o, t []*Drain, err error) {
	one := func(name string, to *[]*Drain, run func() (*Drain, error)) {
		if err != nil {
			return
		}
		var d *Drain
		if d, err = b.measured(ctx, name, run); err == nil {
			*to = append(*to, d)
		}
	}
	for i := range b.rounds + warm {
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
	o, t = b.undisturbed(o[warm:], t[warm:])
	return o, t, nil
}

// undisturbed leaves out the rounds in which others took more of the machine than othersLimit, unless these are more than half.
func (b *bench) undisturbed(ours, theirs []*Drain) (o, t []*Drain) {
	for i := range ours {
		if max(ours[i].Others, theirs[i].Others) <= othersLimit {
			o, t = append(o, ours[i]), append(t, theirs[i])
		}
	}
	if 2*len(o) < len(ours) {
		return ours, theirs
	}
	b.disturbed = len(ours) - len(o)
	return o, t
}

// race has both sides drain one backlog; there are as many of each as rounds, those of the warm-up included.
func (b *bench) race(ctx context.Context, bl *backlog, ourName, theirName string, ours, theirs []side) (o, t []*Drain, err error) {
	next := func(sides []side) func() (*Drain, error) {
		return func() (*Drain, error) {
			s := sides[0]
			sides = sides[1:]
			return b.drain(ctx, bl, s, s.id)
		}
	}
	return b.alternate(ctx, len(ours)-b.rounds, ourName, theirName, next(ours), next(theirs))
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
	// What a server has ready before the second call, from which a drain is measured, is up to a batch more or less: 7 % of such a backlog.
	b.rounds += b.rounds / 2
	rounds := b.rounds + 2*b.warmUp // the servers have just started
	ours, theirs := repeat(rounds, counter), repeat(rounds, counter)
	full := 0.0
	half := []side{b.countingSide(func() float64 { return full / 2 })}
	bl, err := b.newBacklog(ctx, s, receivers(ours, theirs, half)...)
	if err != nil {
		return nil, err
	}
	o, t, err := b.race(ctx, bl, "A", "A again", ours, theirs)
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
	}}, b.env.Src.DropTable(ctx, bl.table)
}

func runWALToKafka(ctx context.Context, b *bench, s Shape) ([]Line, error) {
	rounds := b.rounds + b.warmUps()
	ours := repeat(rounds, func() side { return b.kafkaSide("") })
	theirs := repeat(rounds, func() side { return b.countingSide(nil) })
	profiled := b.profileSides(func() side { return b.kafkaSide("wal-kafka." + fileName(s.Name)) })
	bl, err := b.newBacklog(ctx, s, receivers(ours, theirs, profiled)...)
	if err != nil {
		return nil, err
	}
	o, t, err := b.race(ctx, bl, "waltap", "counting", ours, theirs)
	if err != nil {
		return nil, err
	}
	for _, p := range profiled {
		if _, err := b.drain(ctx, bl, p, p.id); err != nil {
			return nil, err
		}
	}
	fromEnable := spread(ratios(each(o, (*Drain).enabledRate), each(t, (*Drain).enabledRate)))
	return []Line{
		{
			ID: "wal-kafka", Shape: s.Name, Work: "WAL backlog → Kafka", Against: "a peer that only counts and acks", Unit: "cells/s",
			Ours: each(o, (*Drain).rate), Theirs: each(t, (*Drain).rate), OurRounds: o, TheirRounds: t,
			Criterion:       Criterion{Rule: RatioAtLeast, Gate: 0.9, Aim: aim(0.95)},
			RatioFromEnable: &fromEnable,
		},
		sourceMemory(s, o),
		{
			ID: "cpu-source", Shape: s.Name, Work: "CPU per million cells, source", Unit: "s",
			Ours:      each(o, func(d *Drain) float64 { return d.perMillion(source) }),
			Criterion: ofHundredBytes(s, Criterion{Rule: AtMost, Gate: 2, Aim: aim(1)}),
		},
	}, b.env.Src.DropTable(ctx, bl.table)
}

func sourceMemory(s Shape, drains []*Drain) Line {
	return Line{
		ID: "memory-source", Shape: s.Name, Work: "peak resident memory, source", Unit: "MiB",
		Ours:      each(drains, func(d *Drain) float64 { return d.Peak[source] }),
		Criterion: Criterion{Rule: MaxAtMost, Gate: 256, Aim: aim(128)},
	}
}

// profileSides is one side more when profiles are wanted: a round that is profiled is not counted.
func (b *bench) profileSides(f func() side) []side {
	if b.profiles == "" {
		return nil
	}
	return []side{f()}
}
