package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/scan"
)

// fetchBytes is snapshot.fetch.size's default.
const fetchBytes = 2 << 20

// fullTable is a table in files, without a WAL that anyone waits for.
func (b *bench) fullTable(ctx context.Context, s Shape) (table string, cells int64, err error) {
	table = b.name("t")
	if err := newTable(ctx, b.env.Src, table); err != nil {
		return "", 0, err
	}
	rows := s.rows(b.scale)
	if err := b.write(ctx, table, s, 0, rows); err != nil {
		return "", 0, err
	}
	if err := b.env.Src.Flush(ctx, table); err != nil {
		return "", 0, err
	}
	return table, rows * int64(s.Columns), b.env.Src.MajorCompact(ctx, table)
}

// discard scans a table as waltap's source does, one region of the server after the other, and throws the cells away.
func (b *bench) discard(ctx context.Context, table string, want int64) (*Drain, error) {
	cluster, err := admin.Open(ctx, admin.Config{
		Quorum: []string{b.env.Source.ZKQuorum()}, Root: b.env.Source.ZNodeParent(), DialTimeout: 10 * time.Second, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	defer cluster.Close()
	start := time.Now()
	all, err := cluster.Regions(ctx, table)
	if err != nil {
		return nil, err
	}
	cells := int64(0)
	for _, r := range all {
		n, err := discardRegion(ctx, cluster, scan.Request{Table: table, Region: r, MaxResultBytes: fetchBytes})
		if err != nil {
			return nil, err
		}
		cells += n
	}
	if cells != want {
		return nil, fmt.Errorf("the scan of %s has %d cells, want %d", table, cells, want)
	}
	return &Drain{Cells: cells, Seconds: time.Since(start).Seconds()}, nil
}

func discardRegion(ctx context.Context, c *admin.Cluster, req scan.Request) (cells int64, err error) {
	s, err := scan.Open(ctx, c, req)
	if err != nil {
		return 0, err
	}
	defer s.Close(ctx)
	for {
		batch, err := s.Next(ctx)
		if errors.Is(err, io.EOF) {
			return cells, nil
		}
		if err != nil {
			return 0, err
		}
		cells += int64(len(batch.Cells))
	}
}

// scanToKafka has waltap scan the table. The clock starts when it begins to scan: what a process takes to start is no matter of
// size.
func (b *bench) scanToKafka(ctx context.Context, table string, cells int64, profile string) (*Drain, error) {
	id := b.name("scan")
	w, err := b.startWaltap(id, b.sourceKeys(id, table, keys{"snapshot.mode": "initial_only"}))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var start, end time.Time
	finish := func() error { return nil }
	cpu := map[string]int{"waltap source": w.PID(), "hbase source": b.env.Source.PID(), "kafka": b.env.Kafka.PID()}
	var before map[string]float64
	err = w.await(ctx, pollInterval/2, func(v *status.ProcessView) (bool, error) {
		c := &v.Connectors[0]
		if start.IsZero() && (c.State == status.Snapshot || c.Cells > 0) {
			start = time.Now()
			if before, err = cpuOf(cpu); err != nil {
				return false, err
			}
			if profile != "" {
				finish = b.profile(ctx, w, profile, profileSeconds(cells))
			}
		}
		end = time.Now()
		return c.Cells >= cells, undisturbed(c)
	})
	if err != nil {
		return nil, err
	}
	d := &Drain{Cells: cells, Seconds: end.Sub(start).Seconds()}
	if d.CPU, err = cpuOf(cpu); err != nil {
		return nil, err
	}
	for name := range d.CPU {
		d.CPU[name] -= before[name]
	}
	peak, err := peakMemory(w.PID())
	d.Peak = map[string]float64{"waltap source": peak}
	return d, errors.Join(err, finish(), w.stop())
}

func runScanToKafka(ctx context.Context, b *bench, s Shape) ([]Line, error) {
	table, cells, err := b.fullTable(ctx, s)
	if err != nil {
		return nil, err
	}
	ours, theirs, err := b.alternate("kafka", "discard",
		func() (*Drain, error) { return b.scanToKafka(ctx, table, cells, "") },
		func() (*Drain, error) { return b.discard(ctx, table, cells) })
	if err == nil && b.profiles != "" {
		_, err = b.scanToKafka(ctx, table, cells, "scan-kafka."+fileName(s.Name))
	}
	if err != nil {
		return nil, err
	}
	return []Line{{
		ID: "scan-kafka", Shape: s.Name, Work: "scan → Kafka", Against: "the same scan, discarded", Unit: "cells/s",
		Ours: each(ours, (*Drain).rate), Theirs: each(theirs, (*Drain).rate), OurRounds: ours, TheirRounds: theirs,
		Criterion: judged(s, Criterion{Rule: RatioAtLeast, Gate: 0.8, Aim: aim(0.9)}),
	}}, b.env.Src.DropTable(ctx, table)
}
