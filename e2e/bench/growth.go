package main

import "context"

// runGrowth drains a backlog of the shape, and one of a twentieth of it several times: what a cell costs must not grow.
func runGrowth(ctx context.Context, b *bench, s Shape) ([]Line, error) {
	small := s
	small.Name, small.Cells = twentyColumns.Name, s.Cells/20
	few, err := b.walToKafka(ctx, small, b.rounds, b.warmUp)
	if err != nil {
		return nil, err
	}
	many, err := b.walToKafka(ctx, s, 1, 0)
	if err != nil {
		return nil, err
	}
	line := func(id, work string, cost func(*Drain) float64) Line {
		return Line{
			ID: id, Shape: s.Name, Work: work, Against: "1 M cells", Unit: "s",
			Ours: each(many, cost), Theirs: []float64{median(each(few, cost))},
			Criterion: Criterion{Rule: GrowsAtMost, Gate: 0.1},
		}
	}
	lines := []Line{
		line("growth-time", "WAL backlog → Kafka, time per million cells", func(d *Drain) float64 { return 1e6 / d.rate() }),
		line("growth-cpu", "CPU per million cells, source", func(d *Drain) float64 { return d.perMillion(source) }),
		sourceMemory(s, many),
	}
	lines[0].OurRounds, lines[0].TheirRounds = many, few
	return lines, nil
}

// walToKafka has waltap alone drain a backlog several times.
func (b *bench) walToKafka(ctx context.Context, s Shape, rounds, warm int) (drains []*Drain, err error) {
	sides := repeat(rounds+warm, func() side { return b.kafkaSide("") })
	bl, err := b.newBacklog(ctx, s, receivers(sides)...)
	if err != nil {
		return nil, err
	}
	for _, s := range sides {
		d, err := b.measured(ctx, "waltap", func() (*Drain, error) { return b.drain(ctx, bl, s, s.id) })
		if err != nil {
			return nil, err
		}
		drains = append(drains, d)
	}
	return drains[warm:], b.env.Src.DropTable(ctx, bl.table)
}
