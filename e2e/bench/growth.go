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
	if many[0].Half > 0 {
		lines = append(lines, Line{
			ID: "growth-halves", Shape: s.Name, Work: "WAL backlog → Kafka, time per million cells, second half", Against: "first half", Unit: "s",
			Ours:      each(many, func(d *Drain) float64 { return (d.Seconds - d.Half) / d.halfMillions() }),
			Theirs:    each(many, func(d *Drain) float64 { return d.Half / d.halfMillions() }),
			Criterion: Criterion{Rule: GrowsAtMost, Gate: 0.1},
		})
	}
	lines[0].OurRounds, lines[0].TheirRounds = many, few
	return lines, nil
}

// halfMillions is half of the cells that Seconds is of, in millions.
func (d *Drain) halfMillions() float64 { return float64(d.Cells-d.Before) / 2e6 }

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
