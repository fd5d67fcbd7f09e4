package sinktest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
)

// Cases are the cases of Run, for those who want to run them one by one.
func Cases() []Case {
	return []Case{
		{"ApplyTwice", play(applyTwice)},
		{"ReplayAnOlderBatchAndAllThatFollowed", play(replayOlder)},
		{"EveryKindOfDelete", play(everyDelete)},
		{"MixedBatchOfOneRow", play(mixedRow)},
		{"ThousandsOfRowsWithTies", play(manyTies)},
		{"BigCell", play(bigCell)},
		{"Tags", play(tags)},
		{"AwkwardBytes", play(awkward)},
		{"CancelInTheMiddle", play(cancelled)},
		{"TargetDownAndBack", play(downAndBack)},
	}
}

// change of one row; the batch fills in the rest.
func change(row string, cells ...schema.Cell) schema.Change {
	return schema.Change{Row: []byte(row), Cells: cells}
}

func put(qualifier string, ts int64, value string) schema.Cell {
	return schema.Cell{Family: []byte(Family), Qualifier: []byte(qualifier), Timestamp: ts, Type: schema.Put, Value: []byte(value)}
}

func marker(typ schema.CellType, qualifier string, ts int64) schema.Cell {
	return schema.Cell{Family: []byte(Family), Qualifier: []byte(qualifier), Timestamp: ts, Type: typ}
}

// rounds are three batches that rewrite the same cells.
func rounds(s *scene) []*sink.Batch {
	var all []*sink.Batch
	for round := range 3 {
		v := fmt.Sprintf("round %d", round)
		all = append(all, s.batch(
			change("a", put("q", 100, v), put("p", int64(100+round), v)),
			change("b", put("q", int64(100+round), v)),
			change("a", put("q", 100, v+", second time")),
			change("c", marker(schema.DeleteColumn, "q", int64(100+round)), put("q", int64(101+round), v)),
		))
	}
	return all
}

// applyTwice: a repeated batch changes nothing.
func applyTwice(ctx context.Context, s *scene) error {
	for _, b := range rounds(s) {
		if err := s.apply(ctx, b, b); err != nil {
			return err
		}
	}
	return nil
}

// replayOlder: a worker that died had not committed the last batches; the next one applies them again.
func replayOlder(ctx context.Context, s *scene) error {
	all := rounds(s)
	return s.apply(ctx, append(all, all[1:]...)...)
}

func everyDelete(ctx context.Context, s *scene) error {
	var puts, deletes []schema.Change
	for _, row := range []string{"one version", "column", "family", "version of the family", "whole row"} {
		for ts := int64(100); ts <= 300; ts += 100 {
			puts = append(puts, change(row, put("p", ts, "v"), put("q", ts, "v")))
		}
	}
	deletes = append(deletes,
		change("one version", marker(schema.Delete, "q", 200)),
		change("column", marker(schema.DeleteColumn, "q", 200)),
		change("family", marker(schema.DeleteFamily, "", 200)),
		change("version of the family", marker(schema.DeleteFamilyVersion, "", 200)),
		change("whole row", marker(schema.DeleteFamily, "", 1_700_000_000_000)),
		change("never written", marker(schema.DeleteColumn, "q", 5)),
		change("column", put("q", 250, "after the delete")),
	)
	return s.apply(ctx, s.batch(puts...), s.batch(deletes...))
}

// mixedRow: what HBase writes within one millisecond, in one record and in several.
func mixedRow(ctx context.Context, s *scene) error {
	return s.apply(ctx, s.batch(
		change("one record", put("q", 5, "first"), marker(schema.DeleteColumn, "q", 5), put("q", 5, "last"), marker(schema.Delete, "p", 5), put("p", 5, "v")),
		change("records", put("q", 5, "first")),
		change("records", marker(schema.DeleteColumn, "q", 5)),
		change("records", put("q", 5, "last")),
		change("records", marker(schema.DeleteFamily, "", 5), put("r", 5, "v")),
		change("one record", put("q", 5, "really last")),
	))
}

// manyTies: thousands of mutations, most rewriting a cell at its timestamp. The last one must win, also where a target
// takes a large request apart and applies the parts side by side.
func manyTies(ctx context.Context, s *scene) error {
	const rows, writes = 400, 15
	var changes []schema.Change
	for n := range writes {
		for row := range rows {
			cells := []schema.Cell{put("q", 7, fmt.Sprintf("write %d", n))}
			if n%5 == 4 {
				cells = append(cells, marker(schema.Delete, "other", int64(n)))
			}
			changes = append(changes, change(fmt.Sprintf("row %03d", row), cells...))
		}
	}
	for n := range 4200 {
		changes = append(changes, change("one row", put("q", 7, fmt.Sprintf("write %d", n))))
	}
	return s.apply(ctx, s.batch(changes...))
}

func bigCell(ctx context.Context, s *scene) error {
	value := make([]byte, 1<<20)
	for i := range value {
		value[i] = byte(i * 7 >> 3)
	}
	big := put("q", 5, "")
	big.Value = value
	return s.apply(ctx, s.batch(change("big", put("p", 5, "before"), big), change("big", put("r", 5, "behind"))))
}

// tags: a time to live travels as a tag of its cell. Without it the cell would never expire.
func tags(ctx context.Context, s *scene) error {
	long := put("q", 1_700_000_000_000, "lives long")
	const tagTTL, century = 8, 100 * 365 * 24 * time.Hour
	long.Tags = binary.BigEndian.AppendUint64([]byte{0, 9, tagTTL}, uint64(century.Milliseconds()))
	return s.apply(ctx, s.batch(change("ttl", long, put("p", 1_700_000_000_000, "lives on"))))
}

func awkward(ctx context.Context, s *scene) error {
	return s.apply(ctx, s.batch(
		change("\x00\xff\x80\n", put("\x00\xff", 5, "\x00\xff")),
		change("empty value", put("q", 5, "")),
		change("empty qualifier", put("", 5, "v")),
		change("old and new", put("q", 1, "v"), put("q", 1<<53, "v")),
		change("no cells"),
	))
}

// cancelled: Apply is told to stop after a while, longer from try to try, and the batch is applied again.
func cancelled(ctx context.Context, s *scene) error {
	for try, wait := 0, time.Duration(0); try < 8; try, wait = try+1, 2*wait+500*time.Microsecond {
		var changes []schema.Change
		value := string(bytes.Repeat([]byte{'v'}, 512))
		for n := range 2000 {
			changes = append(changes, change(fmt.Sprintf("try %d row %d", try, n/2), put("q", 5, fmt.Sprint(n, value)), marker(schema.Delete, "p", int64(n))))
		}
		b := s.batch(changes...)
		cctx, cancel := context.WithTimeout(ctx, wait)
		err := s.applier.Apply(cctx, b)
		cancel()
		if err == nil { // then all of it must be there
			continue
		}
		var permanent *sink.PermanentError
		if errors.As(err, &permanent) {
			return fmt.Errorf("a cancelled Apply says that repeating cannot help: %w", err)
		}
		if err := s.apply(ctx, b); err != nil {
			return fmt.Errorf("after a cancelled Apply: %w", err)
		}
	}
	return nil
}

// downAndBack: while the target is away Apply fails, in a way that may heal; after it has come back the same Applier goes on.
func downAndBack(ctx context.Context, s *scene) (err error) {
	if err := s.apply(ctx, s.batch(change("before", put("q", 5, "v")))); err != nil {
		return err
	}
	if err := s.Stop(ctx); err != nil {
		return fmt.Errorf("stop the target: %w", err)
	}
	b := s.batch(change("during", put("q", 5, "v"), marker(schema.DeleteFamily, "", 4)), change("before", put("q", 5, "w")))
	for range 2 {
		actx, cancel := context.WithTimeout(ctx, 3*time.Second)
		aerr := s.applier.Apply(actx, b)
		cancel()
		var permanent *sink.PermanentError
		switch {
		case aerr == nil:
			err = errors.New("a batch was reported as applied while the target was away")
		case errors.As(aerr, &permanent):
			err = fmt.Errorf("while the target is away the sink says that repeating cannot help: %w", aerr)
		}
	}
	if serr := s.Start(ctx); serr != nil {
		return errors.Join(err, fmt.Errorf("start the target: %w", serr))
	}
	if err != nil {
		return err
	}
	if err := s.insist(ctx, b); err != nil {
		return err
	}
	return s.apply(ctx, s.batch(change("after", put("q", 5, "v"))))
}
