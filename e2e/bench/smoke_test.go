//go:build e2e && bench

package main

import (
	"context"
	"math"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/testenv"
)

// TestEveryLineYieldsItsFigures runs each kind of line at a tiny size: that it works, not how fast. It has servers of its own and
// takes about a minute: make bench-test runs it, not make test.
func TestEveryLineYieldsItsFigures(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel) // not deferred: the lines that run side by side do so when this function has returned
	env, err := testenv.Start(ctx, testenv.Options{Kafka: true, Destination: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := env.Close(ctx, t.Failed()); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log("logs are kept in", env.Dir)
		}
	})
	binary, err := testenv.Build(ctx, testenv.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	names := new(atomic.Int64)
	run := func(t *testing.T, l *lineSpec, scale float64) *Report {
		b := &bench{
			env: env, binary: binary, names: names, options: options{rounds: 1}, scale: scale,
			report: &Report{Machine: machine(), Scale: scale, Rounds: 1},
		}
		if err := b.line(ctx, l); err != nil {
			t.Fatal(err)
		}
		if len(b.report.Lines) == 0 {
			t.Fatal("no line")
		}
		for i := range b.report.Lines {
			checkFigures(t, &b.report.Lines[i])
		}
		return b.report
	}

	// The control is of time, and alone: a side that is held to half the rate by sleeping.
	aa := run(t, &lines[0], 0.007).AA
	if aa == nil || aa.Control < 0.3 || aa.Control > 0.7 {
		t.Errorf("a side held to half the rate is reported as %+v", aa)
	}

	tiny := regexp.MustCompile(`^(wal-kafka/100 B, single puts|scan-kafka/20 columns of 100 B|wal-hbase/100 B|copy/20 columns of 100 B|latency|growth/.*|files-.*|hfile)$`)
	for i := range lines {
		if tiny.MatchString(lines[i].name()) {
			t.Run(lines[i].name(), func(t *testing.T) {
				t.Parallel()
				run(t, &lines[i], 0.0001)
			})
		}
	}
}

func checkFigures(t *testing.T, l *Line) {
	t.Helper()
	for _, v := range append(l.Ours, l.Theirs...) {
		// CPU times of a tiny round may be 0, and a watcher may see a row before its writer knows that it is there.
		if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 && l.Unit != "ms" {
			t.Errorf("%s: %v %s", l.title(), v, l.Unit)
		}
	}
	if len(l.Ours) == 0 || l.Unit == "cells/s" && l.OurSpread.Min <= 0 {
		t.Errorf("%s: no figures: %+v", l.title(), l)
	}
	if math.IsNaN(l.Value.Median) {
		t.Errorf("%s: %v", l.title(), l.Value)
	}
}
