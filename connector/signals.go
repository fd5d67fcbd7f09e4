package connector

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/connector/signals"
	"github.com/waltap/waltap/connector/worker"
)

// signalsLook is how often a process looks whether the signal topic is its to read.
const signalsLook = time.Second

// withSignals runs a source and, beside it, reads its signal topic, if it has one. A topic that cannot be read at the start ends the source.
func (p *process) withSignals(ctx context.Context, c *config.Connector, o worker.Options, log *slog.Logger, run func(context.Context) error) error {
	if c.Source.SignalTopic == "" || p.worker == nil {
		return run(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cfg := signals.Config{
		Kafka: p.kafka, Topic: c.Source.SignalTopic, Connector: c.Name, Prefix: c.Source.TopicPrefix, Log: log,
		Handle: func(ctx context.Context, s herder.Signal) error { return p.worker.Signal(ctx, c.Name, s) },
	}
	var done sync.WaitGroup
	var fault error
	done.Go(func() {
		if fault = p.readSignals(ctx, cfg, o); fault != nil {
			cancel(fault)
		}
	})
	err := run(ctx)
	cancel(nil)
	done.Wait()
	return errors.Join(err, fault)
}

// readSignals reads the topic while task 0 is this process's: one process of the group reads it, and all are told.
func (p *process) readSignals(ctx context.Context, cfg signals.Config, o worker.Options) error {
	owns := func() bool { return o.Owned == nil || slices.Contains(o.Owned(), 0) }
	for ctx.Err() == nil {
		if !owns() {
			waitFor(ctx, signalsLook)
			continue
		}
		lctx, cancel := context.WithCancel(ctx)
		var watch sync.WaitGroup
		watch.Go(func() {
			for lctx.Err() == nil && owns() {
				waitFor(lctx, signalsLook)
			}
			cancel()
		})
		err := signals.Listen(lctx, cfg)
		cancel()
		watch.Wait()
		if err != nil && ctx.Err() == nil && owns() {
			return err
		}
	}
	return nil
}

func waitFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
