package capture

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/waltap/waltap/internal/filesystem"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/source/scan"
)

// planWriters is how many shards of a plan are written at once.
const planWriters = 32

// The parts of a scan that are told of: for all tables together, and for one.
const (
	mostParts = 120
	tableMost = 40
)

// partsOf is in how many parts the scan of one of so many tables is told.
func partsOf(tables int) int { return max(1, min(tableMost, mostParts/max(1, tables))) }

// scanTables has tables scanned by all processes of the connector, this one included, and returns when nothing of it is under way
// any more. It runs beside the watch loop, so it uses nothing of c that belongs to that.
func (c *Capture) scanTables(ctx context.Context, tables []scan.Table) error {
	for {
		err := c.plan(ctx, tables)
		if err == nil {
			break
		}
		if !retriable(err) || ctx.Err() != nil {
			return err
		}
		c.cfg.Stats.Retry(err)
		if err := sleep(ctx, lookInterval); err != nil {
			return err
		}
	}
	c.plans.tell()
	return c.awaitShards(ctx, tables)
}

// retriable tells whether the source may answer later: its servers, or its file system.
func retriable(err error) bool {
	return admin.IsRetriable(err) || errors.Is(err, filesystem.ErrUnavailable)
}

// plan writes down the shards of what is neither scanned nor planned yet.
func (c *Capture) plan(ctx context.Context, tables []scan.Table) error {
	if err := c.makeSnapshots(ctx, tables); err != nil {
		return err
	}
	there, err := c.planned(tables)
	if err != nil {
		return err
	}
	more, err := c.scanner(0).Plan(ctx, tables, there, c.tasks)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(planWriters)
	for _, sh := range more {
		g.Go(func() error { return c.state.saveShard(ctx, sh) })
	}
	return g.Wait()
}

// planned lists the shards of tables, of their epochs only.
func (c *Capture) planned(tables []scan.Table) ([]scan.Shard, error) {
	plans, err := c.state.shards()
	if err != nil {
		return nil, err
	}
	var out []scan.Shard
	for _, t := range tables {
		for _, sh := range plans[t.Name] {
			if sh.Epoch == t.Epoch {
				out = append(out, sh)
			}
		}
	}
	return out, nil
}

// awaitShards returns when all shards of tables are scanned and no process has any of the work in hand.
func (c *Capture) awaitShards(ctx context.Context, tables []scan.Table) error {
	checked := time.Now()
	for {
		changed := c.idle.wait()
		why, err := c.unscanned(ctx, tables)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !kafka.Retriable(err):
			return err
		case err != nil:
			c.cfg.Stats.Retry(err)
		case why == "":
			return nil
		}
		if time.Since(checked) >= watchInterval {
			checked = time.Now()
			for _, t := range tables {
				if c.wasDropped(ctx, t.Name) {
					return &scan.TableError{Table: t.Name, Err: errors.New("the table was dropped while it was scanned")}
				}
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-time.After(lookInterval):
		}
	}
}

// unscanned says why the scan of tables is not complete; "" when it is.
func (c *Capture) unscanned(ctx context.Context, tables []scan.Table) (string, error) {
	if err := c.state.store.Refresh(ctx); err != nil {
		return "", err
	}
	shards, err := c.planned(tables)
	if err != nil {
		return "", err
	}
	left := 0
	for _, t := range tables {
		ranges, err := c.state.Ranges(t.Name, t.Epoch)
		if err != nil {
			return "", err
		}
		var of []scan.Shard
		for _, sh := range shards {
			if sh.Table == t.Name {
				of = append(of, sh)
			}
		}
		left += len(scan.Left(of, ranges))
		c.cfg.Stats.Parts(t.Name, scan.Parts(of, ranges, partsOf(len(tables))))
	}
	c.cfg.Stats.Shards(len(shards)-left, len(shards))
	if left > 0 {
		return fmt.Sprintf("%d of %d shards are left", left, len(shards)), nil
	}
	why, err := c.leadership.Unsettled(ctx)
	if err == nil && why != "" && why != c.waits {
		c.waits = why
		c.cfg.Log.Info("the scan is complete, but for what may still be on its way", "waits_for", why)
	}
	return why, err
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
