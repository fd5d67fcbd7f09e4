package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"syscall"
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
	if err := newTable(ctx, b.env.Src, table, nil); err != nil {
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
	before, err := cpuOf(b.servers())
	if err != nil {
		return nil, err
	}
	mine, err := rusage(syscall.RUSAGE_SELF)
	if err != nil {
		return nil, err
	}
	network, start := loopback(), time.Now()
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
	took := time.Since(start).Seconds()
	d := &Drain{Cells: cells, Seconds: took, CPUOver: took, Network: loopback() - network}
	if d.CPU, err = cpuSince(before, b.servers()); err != nil {
		return nil, err
	}
	mineNow, err := rusage(syscall.RUSAGE_SELF)
	d.CPU[discarder] = mineNow - mine
	return d, err
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
func (b *bench) scanToKafka(ctx context.Context, table string, cells int64, profile string, more keys) (*Drain, error) {
	id := b.name("scan")
	mode := "initial_only"
	if profile != "" {
		mode = "initial" // it goes on behind the scan, so that the profile can be fetched
	}
	w, err := b.startWaltap(id, b.sourceKeys(id, table, with(more, keys{"snapshot.mode": mode})))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var start, end time.Time
	finish := func() error { return nil }
	pids := b.servers()
	pids[source] = w.PID()
	var before map[string]float64
	err = w.await(ctx, pollInterval, func(v *status.ProcessView) (bool, error) {
		c := &v.Connectors[0]
		if start.IsZero() && (c.State == status.Snapshot || c.Cells > 0) {
			start = time.Now()
			if before, err = cpuOf(pids); err != nil {
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
	d := &Drain{Cells: cells, Seconds: end.Sub(start).Seconds(), CPUOver: end.Sub(start).Seconds()}
	if d.CPU, err = cpuSince(before, pids); err != nil {
		return nil, err
	}
	peak, err := peakMemory(w.PID())
	d.Peak = map[string]float64{source: peak}
	err = errors.Join(err, finish(), w.stop())
	if profile != "" {
		err = errors.Join(err, b.env.Src.RemovePeer(ctx, id))
	}
	return d, err
}

func runScanToKafka(ctx context.Context, b *bench, s Shape) ([]Line, error) {
	table, cells, err := b.fullTable(ctx, s)
	if err != nil {
		return nil, err
	}
	ours, theirs, err := b.alternate(ctx, b.warmUps(), "kafka", "discard",
		func() (*Drain, error) { return b.scanToKafka(ctx, table, cells, "", nil) },
		func() (*Drain, error) { return b.discard(ctx, table, cells) })
	if err == nil && b.profiles != "" {
		_, err = b.scanToKafka(ctx, table, cells, "scan-kafka."+fileName(s.Name), nil)
	}
	if err != nil {
		return nil, err
	}
	return []Line{{
		ID: "scan-kafka", Shape: s.Name, Work: "scan → Kafka", Against: "the same scan, discarded", Unit: "cells/s",
		Ours: each(ours, (*Drain).rate), Theirs: each(theirs, (*Drain).rate), OurRounds: ours, TheirRounds: theirs,
		Criterion: Criterion{Rule: RatioAtLeast, Gate: 0.8, Aim: aim(0.9)},
	}}, b.env.Src.DropTable(ctx, table)
}
