package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/waltap/waltap/e2e/hfile"
	"github.com/waltap/waltap/internal/filesystem"
	hscan "github.com/waltap/waltap/internal/hbase/scan"
	hfiles "github.com/waltap/waltap/internal/hfile"
	snapshots "github.com/waltap/waltap/source/hfile"
)

// filesReader is what it reads of, beside a Drain.
type filesReader struct {
	logical int64 // bytes of the parts of all cells, timestamp and type as 12
	files   int64 // bytes of the files
}

// fromFiles are the keys of a source that reads the files of a snapshot.
func (b *bench) fromFiles() keys {
	return keys{"snapshot.reader": "hfiles", "hbase.rootdir": "file://" + b.env.Source.RootDir()}
}

// countFiles reads a snapshot of a table as waltap's source does, one region after the other, and throws the cells away. The snapshot is
// made before the clock starts: it takes the same time for any size.
func (b *bench) countFiles(ctx context.Context, table string, want int64) (*Drain, filesReader, error) {
	var r filesReader
	name := b.name("snap")
	if err := b.env.Src.Snapshot(ctx, table, name); err != nil {
		return nil, r, err
	}
	s := snapshots.New(snapshots.Config{FS: filesystem.Local{}, Root: b.env.Source.RootDir(), Snapshot: func(string) (string, error) { return name, nil }})
	before, err := cpuOf(b.servers())
	if err != nil {
		return nil, r, err
	}
	mine, err := rusage(syscall.RUSAGE_SELF)
	if err != nil {
		return nil, r, err
	}
	network, start := loopback(), time.Now()
	regions, err := s.Regions(ctx, "default:"+table)
	if err != nil {
		return nil, r, err
	}
	cells := int64(0)
	for _, region := range regions {
		n, bytes, err := countRegion(ctx, s, hscan.Request{Table: "default:" + table, Region: region, Start: region.Start, Stop: region.End, MaxResultBytes: fetchBytes})
		if err != nil {
			return nil, r, err
		}
		cells, r.logical = cells+n, r.logical+bytes
	}
	if cells != want {
		return nil, r, fmt.Errorf("the snapshot of %s has %d cells, want %d", table, cells, want)
	}
	took := time.Since(start).Seconds()
	d := &Drain{Cells: cells, Seconds: took, CPUOver: took, Network: loopback() - network}
	if d.CPU, err = cpuSince(before, b.servers()); err != nil {
		return nil, r, err
	}
	mineNow, err := rusage(syscall.RUSAGE_SELF)
	d.CPU[discarder] = mineNow - mine
	sizes, serr := s.Sizes(ctx)
	for _, n := range sizes {
		r.files += n
	}
	return d, r, errors.Join(err, serr, b.env.Src.DeleteSnapshot(ctx, name))
}

func countRegion(ctx context.Context, s *snapshots.Source, req hscan.Request) (cells, bytes int64, err error) {
	st, err := s.Open(ctx, req)
	if err != nil {
		return 0, 0, err
	}
	defer st.Close(ctx)
	for {
		batch, err := st.Next(ctx)
		if errors.Is(err, io.EOF) {
			return cells, bytes, nil
		}
		if err != nil {
			return 0, 0, err
		}
		cells += int64(len(batch.Cells))
		for i := range batch.Cells {
			c := &batch.Cells[i]
			bytes += int64(len(c.Row) + len(c.Family) + len(c.Qualifier) + len(c.Value) + len(c.Tags) + 12)
		}
	}
}

// runFilesCounted reads the same table from the files of a snapshot, and by the scan that discards.
func runFilesCounted(ctx context.Context, b *bench, s Shape) ([]Line, error) {
	table, cells, err := b.fullTable(ctx, s)
	if err != nil {
		return nil, err
	}
	var read filesReader
	o, t, err := b.alternate(ctx, b.warmUp, "files", "scan",
		func() (d *Drain, err error) { d, read, err = b.countFiles(ctx, table, cells); return d, err },
		func() (*Drain, error) { return b.discard(ctx, table, cells) })
	if err != nil {
		return nil, err
	}
	perLogical := func(d *Drain) float64 { return float64(d.Network) / float64(read.logical) }
	return []Line{
		{
			ID: "files-count", Shape: s.Name, Work: "files of a snapshot, counted and discarded", Against: "the same scan, discarded", Unit: "cells/s",
			Ours: each(o, (*Drain).rate), Theirs: each(t, (*Drain).rate), OurRounds: o, TheirRounds: t, Criterion: Criterion{Rule: Reported},
		},
		{
			ID: "files-bytes", Shape: s.Name, Work: "bytes of the files by logical bytes", Unit: "x",
			Ours: []float64{float64(read.files) / float64(read.logical)}, Criterion: Criterion{Rule: Reported},
		},
		{
			ID: "files-network", Shape: s.Name, Work: "files of a snapshot, bytes over the network by logical bytes", Against: "the same scan", Unit: "x",
			Ours: each(o, perLogical), Theirs: each(t, perLogical), Criterion: Criterion{Rule: Reported},
			Note: "the files are read from the local file system; from HDFS their bytes go over the network. On the loopback every byte counts once, with the headers of TCP and what the servers say to each other meanwhile",
		},
	}, b.env.Src.DropTable(ctx, table)
}

// runFilesToKafka has waltap read the same table from the files of a snapshot that it makes, and by scan.
func runFilesToKafka(ctx context.Context, b *bench, s Shape) ([]Line, error) {
	table, cells, err := b.fullTable(ctx, s)
	if err != nil {
		return nil, err
	}
	o, t, err := b.alternate(ctx, b.warmUps(), "files", "scan",
		func() (*Drain, error) { return b.scanToKafka(ctx, table, cells, "", b.fromFiles()) },
		func() (*Drain, error) { return b.scanToKafka(ctx, table, cells, "", nil) })
	if err != nil {
		return nil, err
	}
	return []Line{{
		ID: "files-kafka", Shape: s.Name, Work: "files of a snapshot → Kafka", Against: "waltap's scan → Kafka", Unit: "cells/s",
		Ours: each(o, (*Drain).rate), Theirs: each(t, (*Drain).rate), OurRounds: o, TheirRounds: t, Criterion: Criterion{Rule: Reported},
	}}, b.env.Src.DropTable(ctx, table)
}

// runCopyFromFiles has waltap copy the same table from the files of a snapshot, and by scan; CopyTable is in runFullCopy.
func runCopyFromFiles(ctx context.Context, b *bench, s Shape) ([]Line, error) {
	table, cells, err := b.fullTable(ctx, s)
	if err != nil {
		return nil, err
	}
	o, t, err := b.alternate(ctx, b.warmUp, "files", "scan",
		func() (*Drain, error) { return b.fullCopy(ctx, table, cells, b.fromFiles()) },
		func() (*Drain, error) { return b.fullCopy(ctx, table, cells, nil) })
	if err != nil {
		return nil, err
	}
	return []Line{{
		ID: "files-copy", Shape: s.Name, Work: "full copy, files of a snapshot → Kafka → HBase", Against: "waltap's full copy by scan", Unit: "cells/s",
		Ours: each(o, (*Drain).rate), Theirs: each(t, (*Drain).rate), OurRounds: o, TheirRounds: t, Criterion: Criterion{Rule: Reported},
	}}, b.env.Src.DropTable(ctx, table)
}

// runDecode reads every cell of a file that HBase's own writer has made, with one goroutine: MB of logical data by second of CPU time.
func runDecode(ctx context.Context, b *bench, _ Shape) ([]Line, error) {
	rows := max(1000, int(200_000*b.scale)) // five cells each
	dir := filepath.Join(b.env.Dir, "hfile")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	files, err := hfile.Generate(ctx, dir, []hfile.Spec{{Name: "bench", Encoding: "FAST_DIFF", Compression: "SNAPPY", Plain: true, Rows: rows, Seed: 7}})
	if err != nil {
		return nil, err
	}
	var speeds []float64
	for i := range b.rounds + b.warmUp {
		before, err := rusage(syscall.RUSAGE_SELF)
		if err != nil {
			return nil, err
		}
		const times = 3
		for range times {
			if err := decodeAll(files[0]); err != nil {
				return nil, err
			}
		}
		used, err := rusage(syscall.RUSAGE_SELF)
		if err != nil {
			return nil, err
		}
		if i >= b.warmUp {
			speeds = append(speeds, times*float64(files[0].Bytes)/1e6/max(used-before, 1e-6))
		}
	}
	return []Line{{
		ID: "hfile", Work: "decode of an HFile, FAST_DIFF and SNAPPY, cells of 100 B", Unit: "MB/s of logical data and core", Ours: speeds,
		Criterion: Criterion{Rule: AtLeast, Gate: 400},
	}}, nil
}

func decodeAll(f hfile.File) error {
	file, err := os.Open(f.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return err
	}
	h, err := hfiles.Open(file, st.Size(), hfiles.Options{Name: f.Name})
	if err != nil {
		return err
	}
	s, err := h.Scan(nil, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	var c hfiles.Cell
	for cells := int64(0); ; cells++ {
		more, err := s.Next(&c)
		switch {
		case err != nil:
			return err
		case !more && cells != f.Cells:
			return fmt.Errorf("%s has %d cells, want %d", f.Path, cells, f.Cells)
		case !more:
			return nil
		}
	}
}
