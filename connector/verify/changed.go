package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
)

// openPipe prepares what the pipeline tells; the ends of its topics are read before any row is.
func (c *comparison) openPipe(ctx context.Context) error {
	if c.Pipeline == nil {
		return nil
	}
	c.pipe = &pipe{Pipeline: *c.Pipeline, timeout: c.WatermarkTimeout, poll: markPoll, waits: func(s string) { c.waitingFor.Store(s) }}
	for _, t := range c.tables {
		topic, err := schema.DataTopic(c.Pipeline.Prefix, t.name)
		if err != nil {
			return err
		}
		c.pipe.topics = append(c.pipe.topics, topic)
	}
	if c.Mode == Changed && !c.pipe.NoWatermark {
		// What the source has acknowledged up to now is to be among the changes.
		if err := c.pipe.caughtUp(ctx); err != nil {
			return err
		}
	}
	var err error
	c.since, err = c.pipe.ends(ctx)
	return err
}

// compareChanged compares the rows that the topics name between ChangedSince and their present ends.
func (c *comparison) compareChanged(ctx context.Context) error {
	schemas := c.Pipeline.Schemas
	if schemas == nil {
		schemas = sink.NewSchemas(c.Pipeline.Kafka, nil)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.Parallel)
	for i, u := range c.units {
		g.Go(func() error {
			r := &changedRows{comparison: c, unit: u, part: u.begin(&c.live), topic: c.pipe.topics[i], seen: make(map[[2]uint64]bool), decoder: schemas.NewDecoder()}
			if err := r.read(ctx); err != nil {
				return fmt.Errorf("read the changed rows of %s: %w", u.table.name, err)
			}
			r.part.close(nil, true)
			return nil
		})
	}
	return g.Wait()
}

// compareGiven compares the rows that are given.
func (c *comparison) compareGiven(ctx context.Context) error {
	units, parts := make(map[string]*unit), make(map[string]*part)
	for _, u := range c.units {
		units[u.table.name], parts[u.table.name] = u, u.begin(&c.live)
	}
	err := c.given(func(table string, key []byte) error {
		u := units[table]
		if u == nil {
			return fmt.Errorf("table %s is not among those that are compared", table)
		}
		parts[table].suspect()
		return c.settler.add(ctx, u.table, bytes.Clone(key), parts[table], place{})
	})
	for _, p := range parts {
		p.close(nil, true)
	}
	return err
}

// changedRows are those of one table.
type changedRows struct {
	*comparison
	unit    *unit
	part    *part
	topic   string
	seen    map[[2]uint64]bool // hashes of the keys
	decoder *sink.Decoder
	change  schema.Change
}

// secondSeed makes 128 bits of two hashes: no two keys are taken for one.
var secondSeed = maphash.MakeSeed()

func (r *changedRows) read(ctx context.Context) error {
	starts, err := r.pipe.Kafka.StartOffsets(ctx, r.topic)
	if err != nil {
		return err
	}
	ends := r.since[r.topic]
	for _, p := range slices.Sorted(maps.Keys(ends)) {
		from := r.ChangedSince[r.topic][p]
		if starts[p] > from {
			return fmt.Errorf("the changes in %s/%d from offset %d to %d are not there any more: retention has removed them; compare in full", r.topic, p, from, starts[p]-1)
		}
		if from > ends[p] {
			return fmt.Errorf("%s/%d ends at offset %d, before %d, where the earlier pass began: the topic was created anew; compare in full", r.topic, p, ends[p], from)
		}
		tp := kafka.TopicPartition{Topic: r.topic, Partition: p}
		if err := r.pipe.Kafka.ReadRange(ctx, tp, from, ends[p], func(rec kafka.Record) error { return r.record(ctx, &rec) }); err != nil {
			return err
		}
	}
	return nil
}

func (r *changedRows) record(ctx context.Context, rec *kafka.Record) error {
	if rec.Value == nil {
		return nil // a tombstone; the delete itself came before it
	}
	if err := r.decoder.Decode(ctx, r.topic, rec.Value, &r.change); err != nil {
		var unreadable *sink.UnreadableError
		if errors.As(err, &unreadable) {
			return fmt.Errorf("offset %d of %s/%d cannot be read, so its row is not known: %w; compare in full", rec.Offset, r.topic, rec.Partition, err)
		}
		return err
	}
	key := r.change.Row
	if !r.inScope(key) {
		return nil
	}
	id := [2]uint64{maphash.Bytes(seed, key), maphash.Bytes(secondSeed, key)}
	if r.seen[id] {
		return nil
	}
	r.seen[id] = true
	r.keys.Add(1)
	r.part.suspect()
	if err := r.settler.add(ctx, r.unit.table, bytes.Clone(key), r.part, place{}); err != nil {
		return err
	}
	return r.limiters[0].Wait(ctx, 1, 0)
}

func (r *changedRows) inScope(key []byte) bool {
	return span{r.RowStart, r.RowStop}.holds(key) && (r.Scope == nil || r.Scope.Row(key))
}

// OffsetsAt are the places in the pipeline's data topics where what was produced at t or later begins.
func (p *Pipeline) OffsetsAt(ctx context.Context, t time.Time) (Offsets, error) {
	infos, err := p.Kafka.Topics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the topics: %w", err)
	}
	out := make(Offsets)
	for _, info := range infos {
		if !strings.HasPrefix(info.Name, p.Prefix+".") {
			continue
		}
		if out[info.Name], err = p.Kafka.OffsetsAt(ctx, info.Name, t); err != nil {
			return nil, err
		}
	}
	return out, nil
}
