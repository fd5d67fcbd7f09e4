package capture

import (
	"testing"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source/scan"
)

// TestInspectCountsRowsOnce: of a scan that was begun anew each row counts once, those of an earlier epoch and of a table that is not kept do not.
func TestInspectCountsRowsOnce(t *testing.T) {
	c, ctx := topicCapture(t, func(*Config) {})
	store, err := checkpoint.Open(ctx, c.cfg.Kafka, schema.OffsetsTopic("p"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	s := &state{store: store, connector: "s"}
	if k, err := Inspect(ctx, c.cfg.Kafka, c.cfg.offsetsTopic(), "s"); err != nil || k != nil {
		t.Fatalf("nothing is kept: %+v, %v", k, err)
	}
	if err := s.saveTable(ctx, "default:a", tableState{Epoch: 2, Captured: true, Scanned: 77}); err != nil {
		t.Fatal(err)
	}
	for _, r := range []scan.Range{
		{Table: "default:a", Epoch: 1, Region: "r", Rows: 1000, Done: true},
		{Table: "default:a", Epoch: 2, Region: "r", Rows: 10, Bytes: 100, Upto: []byte("k")}, // killed; the next one begins where Kafka had it
		{Table: "default:a", Epoch: 2, Region: "r", Start: []byte("k"), Rows: 5, Bytes: 50, Done: true, Generation: 1},
		{Table: "default:b", Epoch: 2, Region: "r", Rows: 1000},
	} {
		if err := s.Save(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	k, err := Inspect(ctx, c.cfg.Kafka, c.cfg.offsetsTopic(), "s")
	if err != nil {
		t.Fatal(err)
	}
	if a := k.Tables["default:a"]; len(k.Tables) != 1 || a.Rows != 15 || a.Bytes != 150 || a.Scanned != 77 || !a.Captured {
		t.Errorf("kept is %+v", k.Tables)
	}
}
