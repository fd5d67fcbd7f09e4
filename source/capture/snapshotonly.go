package capture

import (
	"context"
	"fmt"
	"time"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/source/watermark"
)

// snapshotOnly scans the tables and publishes the watermark that this makes true.
func (c *Capture) snapshotOnly(ctx context.Context) error {
	if err := c.beginSnapshot(ctx); err != nil {
		return err
	}
	if err := c.scan(ctx); err != nil {
		return err
	}
	for c.unswept { // nobody looks later
		if err := sleep(ctx, snapshotPause); err != nil {
			return err
		}
		if err := c.sweepAgain(ctx); err != nil {
			return err
		}
	}
	if c.cfg.WatermarkMode == watermark.Off {
		return nil
	}
	return c.publishSnapshot(ctx)
}

// beginSnapshot keeps when the scan of each table begins, before it does. A process that goes on with it later leaves that
// as it is.
func (c *Capture) beginSnapshot(ctx context.Context) error {
	for i := range c.tables {
		t := &c.tables[i]
		ranges, err := c.state.Ranges(t.name, t.state.Epoch)
		if err != nil {
			return err
		}
		if t.state.Captured || t.state.Began != 0 || len(ranges) > 0 {
			continue
		}
		if c.cfg.Snapshots[t.name] == "" { // else waiting puts nothing into it
			if err := c.awaitEndTime(ctx); err != nil {
				return err
			}
		}
		began, err := c.began(t.name)
		if err != nil {
			return err
		}
		if end := c.cfg.EndTime; c.cfg.Snapshots[t.name] != "" && began.Before(end) {
			return fmt.Errorf("end.time: %s is later than what snapshot %s of table %s is sure to hold (%s): take end.time out, or set an earlier one", end.UTC().Format(time.RFC3339),
				c.cfg.Snapshots[t.name], t.name, heldUpTo(began))
		}
		if began.IsZero() {
			continue
		}
		t.state.Began = began.UnixMilli()
		if err := c.state.saveTable(ctx, t.name, t.state); err != nil {
			return err
		}
	}
	return nil
}

// heldUpTo is what began has found, in words.
func heldUpTo(began time.Time) string {
	if began.IsZero() {
		return "not known, as it was made without a flush"
	}
	return "all up to " + began.UTC().Format(time.RFC3339Nano)
}

// awaitEndTime waits until a scan that begins now holds everything that was written up to the end time.
func (c *Capture) awaitEndTime(ctx context.Context) error {
	if c.cfg.EndTime.IsZero() {
		return nil
	}
	at := c.cfg.EndTime.Add(c.cfg.WatermarkMargin)
	if time.Now().Before(at) {
		c.cfg.Stats.Waiting("the scan begins at " + at.UTC().Format(time.RFC3339) + ", as it is to hold everything up to end.time (snapshot.mode: initial_only)")
		c.cfg.Log.Info("the scan waits for end.time, as it is to hold everything up to then", "begins", at.UTC().Format(time.RFC3339Nano))
	}
	return sleep(ctx, time.Until(at))
}

// scannedAt is the time, ms, before which every acknowledged change of the tables is in what their scans have delivered: when
// the first of them began. A scan sees what was acknowledged before it. unknown names a table of which that is not known.
func scannedAt(tables []captured) (ms int64, unknown string) {
	for _, t := range tables {
		if t.state.Began == 0 {
			return 0, t.name
		}
		if ms == 0 || t.state.Began < ms {
			ms = t.state.Began
		}
	}
	return ms, ""
}

// publishSnapshot publishes the watermark of a complete scan, with the ends of all data topics.
func (c *Capture) publishSnapshot(ctx context.Context) error {
	at, unknown := scannedAt(c.tables)
	if unknown != "" {
		c.cfg.Log.Warn("no watermark is published: up to when a table was read is not known, it was captured in another snapshot.mode or from a snapshot that was made without a flush", "table", unknown)
		return nil
	}
	last, _, err := c.lastWatermark(ctx)
	if err != nil {
		return err
	}
	if at < last {
		c.cfg.Log.Info("no watermark is published: a later one is there already", "published", time.UnixMilli(last).UTC().Format(time.RFC3339Nano))
		return nil
	}
	w := checkpoint.Watermark{FormatVersion: checkpoint.WatermarkFormatVersion, Connector: c.cfg.Connector, Time: at, Offsets: make(map[string]map[int32]int64)}
	for _, t := range c.tables {
		if w.Offsets[t.topic], err = c.cfg.Kafka.EndOffsets(ctx, t.topic); err != nil {
			return fmt.Errorf("read the end offsets: %w", err)
		}
	}
	w.Published = time.Now().UnixMilli()
	if err := c.publishWatermark(ctx, w); err != nil {
		return fmt.Errorf("publish the watermark: %w", err)
	}
	c.cfg.Stats.Watermark(at, false)
	c.cfg.Log.Info("the scan is complete: everything acknowledged before the watermark is in Kafka, below these offsets",
		"watermark", time.UnixMilli(at).UTC().Format(time.RFC3339Nano), "offsets", offsetsText(w.Offsets))
	return nil
}
