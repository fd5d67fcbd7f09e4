package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/servers"
)

// copyTable runs HBase's CopyTable, with MapReduce's local runner and as many mappers at once as there are cores.
func (b *bench) copyTable(ctx context.Context, table string, cells int64) (*Drain, error) {
	as := b.name(table + "_ct")
	if err := newTable(ctx, b.env.Dst, as, nil); err != nil {
		return nil, err
	}
	jars, err := servers.HBaseJars(ctx)
	if err != nil {
		return nil, err
	}
	java, err := servers.Java()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.env.Dir, "copytable")
	args := append([]string{"-Xmx1g", "-Djava.io.tmpdir=" + b.env.Dir, "-Dlog4j2.configurationFile=" + filepath.Join(b.env.Source.ConfDir(), "log4j2.properties")},
		servers.HBaseJVMFlags()...)
	args = append(args, "-cp", b.env.Source.ConfDir()+":"+jars+"/*", "org.apache.hadoop.hbase.mapreduce.CopyTable",
		"-Dmapreduce.framework.name=local", fmt.Sprintf("-Dmapreduce.local.map.tasks.maximum=%d", b.report.Machine.Cores), "-Dhadoop.tmp.dir="+dir, "-Dhbase.fs.tmp.dir="+dir,
		"--peer.adr="+b.env.Destination.ClusterKey(), "--new.name="+as, table)
	before, err := cpuOf(b.servers())
	if err != nil {
		return nil, err
	}
	ended, err := rusage(syscall.RUSAGE_CHILDREN)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	p, err := servers.StartProcess(servers.ProcessSpec{Name: "CopyTable", Path: java, Args: args, Dir: b.env.Dir, LogPath: filepath.Join(b.env.Dir, "copytable.log")})
	if err != nil {
		return nil, err
	}
	code, err := p.Wait(ctx)
	took := time.Since(start)
	if err != nil {
		return nil, errors.Join(err, p.Kill())
	}
	if code != 0 {
		return nil, fmt.Errorf("CopyTable: exit code %d\n%s", code, servers.LogTail(p.LogPath()))
	}
	d := &Drain{Cells: cells, Seconds: took.Seconds(), Enabled: took.Seconds(), CPUOver: took.Seconds()}
	if d.CPU, err = cpuSince(before, b.servers()); err != nil {
		return nil, err
	}
	endedNow, err := rusage(syscall.RUSAGE_CHILDREN)
	d.CPU[copyTableTool] = endedNow - ended
	return d, errors.Join(err, b.complete(ctx, as, cells))
}

// fullCopy has one waltap process copy the table, as a user would: the time is from its start to the acknowledgement of the last
// cell by the destination.
func (b *bench) fullCopy(ctx context.Context, table string, cells int64, more keys) (*Drain, error) {
	id := b.name("copy")
	as := table + "_" + id
	if err := newTable(ctx, b.env.Dst, as, nil); err != nil {
		return nil, err
	}
	before, err := cpuOf(b.servers())
	if err != nil {
		return nil, err
	}
	start := time.Now()
	w, err := b.startWaltap(id, b.sourceKeys(id, table, with(more, keys{"snapshot.mode": "initial_only"})), b.sinkKeys(id+"_sink", id, table, as))
	if err != nil {
		return nil, err
	}
	var took, began time.Duration
	err = w.await(ctx, longPoll, func(v *status.ProcessView) (bool, error) {
		src, dst := &v.Connectors[0], &v.Connectors[1]
		took = time.Since(start)
		if began == 0 && src.Cells > 0 {
			began = took
		}
		return dst.Cells >= cells, errors.Join(undisturbed(src), undisturbed(dst))
	})
	if err != nil {
		return nil, err
	}
	d := &Drain{Cells: cells, Seconds: took.Seconds(), Enabled: (took - began).Seconds(), CPUOver: took.Seconds(), Peak: map[string]float64{}}
	pids := b.servers()
	pids[both] = w.PID()
	if d.CPU, err = cpuSince(before, pids); err != nil {
		return nil, err
	}
	if d.Peak[both], err = peakMemory(w.PID()); err != nil {
		return nil, err
	}
	return d, errors.Join(w.stop(), b.complete(ctx, as, cells))
}

func runFullCopy(ctx context.Context, b *bench, s Shape) ([]Line, error) {
	table, cells, err := b.fullTable(ctx, s)
	if err != nil {
		return nil, err
	}
	o, t, err := b.alternate(ctx, b.warmUp, "waltap", "CopyTable",
		func() (*Drain, error) { return b.fullCopy(ctx, table, cells, nil) },
		func() (*Drain, error) { return b.copyTable(ctx, table, cells) })
	if err != nil {
		return nil, err
	}
	return []Line{{
		ID: "copy", Shape: s.Name, Work: "full copy HBase → Kafka → HBase", Against: "CopyTable", Unit: "cells/s",
		Ours: each(o, (*Drain).rate), Theirs: each(t, (*Drain).rate), OurRounds: o, TheirRounds: t,
		Criterion: Criterion{Rule: RatioAtLeast, Gate: 2, Aim: aim(3)},
		Note:      "the start of the process is part of both times: a JVM and a job, or waltap's joining of its Kafka groups",
	}}, b.env.Src.DropTable(ctx, table)
}
