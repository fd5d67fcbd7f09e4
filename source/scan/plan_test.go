package scan

import (
	"context"
	"errors"
	"testing"

	"github.com/waltap/waltap/internal/hbase/admin"
)

var thirds = []admin.Region{{Encoded: "a", Name: []byte("t,,2.a."), End: []byte("030")},
	{Encoded: "b", Name: []byte("t,030,2.b."), Start: []byte("030"), End: []byte("060")},
	{Encoded: "c", Name: []byte("t,060,2.c."), Start: []byte("060")}}

// Two processes scan the shards of their tasks; one dies, and the other one takes over what it has left.
func TestAShardIsTakenOver(t *testing.T) {
	w := newWorld(90, thirds...)
	plan, err := w.scanner(Config{}).Plan(t.Context(), tables, nil, 2)
	if err != nil {
		t.Fatal(err)
	}
	var of [2][]Shard
	for _, sh := range plan {
		of[sh.Task] = append(of[sh.Task], sh)
	}
	if len(of[0]) != 2 || len(of[1]) != 1 {
		t.Fatalf("planned %+v", plan)
	}
	if err := w.scanner(Config{Generation: 1}).Scan(t.Context(), tables, of[1]); err != nil {
		t.Fatal(err)
	}
	if len(w.produced) != 30 || w.produced["030"] != 1 {
		t.Fatalf("task 1 delivered %d rows, want the middle third", len(w.produced))
	}
	w.failAfter, w.fail = 41, errors.New("killed")
	err = w.scanner(Config{Generation: 1, Threads: 1, ProgressBytes: 500}).Scan(t.Context(), tables, of[0])
	if te := new(TableError); !errors.As(err, &te) || te.Table != "default:t" {
		t.Fatalf("ended with %v", err)
	}
	ranges, _ := w.Ranges("default:t", 1)
	left := Left(plan, ranges)
	if len(left) != 1 || string(left[0].Start) != "060" {
		t.Fatalf("left %+v", left)
	}
	w.readPoint, w.failAfter = 20, 0
	if err := w.scanner(Config{Generation: 2, Threads: 1}).Scan(t.Context(), tables, left); err != nil {
		t.Fatal(err)
	}
	w.check(t, 5)
	ranges, _ = w.Ranges("default:t", 1)
	if left := Left(plan, ranges); len(left) > 0 || len(ranges) != 4 {
		t.Errorf("left %+v of %d ranges", left, len(ranges))
	}
	points := NewReadPoints(ranges)
	for row, want := range map[string]uint64{"000": 10, "030": 10, "065": 10, "089": 10} {
		if p := points.Of([]byte(row)); p != want {
			t.Errorf("read point of %s = %d, want %d, the lowest", row, p, want)
		}
	}
}

// What is saved late by a process that has dropped out touches nothing of those that came after it.
func TestGenerationsSaveApart(t *testing.T) {
	w := newWorld(10, whole)
	if err := w.scanner(Config{Generation: 2}).run(t.Context(), tables); err != nil {
		t.Fatal(err)
	}
	if err := w.Save(t.Context(), Range{Table: "default:t", Epoch: 1, Region: "r", ReadPoint: 99, Generation: 1}); err != nil {
		t.Fatal(err)
	}
	ranges, _ := w.Ranges("default:t", 1)
	if left := Left([]Shard{{Table: "default:t", Epoch: 1}}, ranges); len(left) > 0 || NewReadPoints(ranges).Of([]byte("005")) != 10 {
		t.Errorf("left %+v, read point %d", left, NewReadPoints(ranges).Of([]byte("005")))
	}
}

// A leader that takes over plans what its predecessor has neither planned nor seen scanned.
func TestAPlanIsCompleted(t *testing.T) {
	w := newWorld(90, thirds...)
	s := w.scanner(Config{})
	all, err := s.Plan(t.Context(), tables, nil, 8)
	if err != nil || len(all) != 3 {
		t.Fatalf("planned %+v, %v", all, err)
	}
	more, err := s.Plan(t.Context(), tables, all[:1], 8)
	if err != nil || len(more) != 2 || string(more[0].Start) != "030" || more[0].Order != 1 || more[0].Task != 1 {
		t.Errorf("planned %+v beside the first, %v", more, err)
	}
	if err := s.Scan(t.Context(), tables, all[1:2]); err != nil {
		t.Fatal(err)
	}
	if more, err = s.Plan(t.Context(), tables, all[:1], 8); err != nil || len(more) != 1 || string(more[0].Start) != "060" {
		t.Errorf("planned %+v, %v", more, err)
	}
	if more, err = s.Plan(t.Context(), tables, all, 8); err != nil || len(more) != 0 {
		t.Errorf("planned %+v, %v, with nothing left", more, err)
	}
	s.regions = func(context.Context, string) ([]admin.Region, error) { return nil, errors.New("no meta") }
	if _, err := s.Plan(t.Context(), tables, nil, 8); err == nil {
		t.Error("planned without regions")
	}
}
