package hbase

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
)

func TestCheckChange(t *testing.T) {
	cell := func(change func(*schema.Cell)) *schema.Change {
		c := change0()
		change(&c.Cells[1])
		return c
	}
	for _, tc := range []struct {
		name string
		c    *schema.Change
		want string // "": taken
	}{
		{"as captured", change0(), ""},
		{"longest row", &schema.Change{Row: make([]byte, math.MaxInt16)}, ""},
		{"no row", &schema.Change{}, "a row key of 0 bytes"},
		{"row too long", &schema.Change{Row: make([]byte, math.MaxInt16+1)}, "a row key of 32768 bytes"},
		{"longest family", cell(func(k *schema.Cell) { k.Family = make([]byte, 127) }), ""},
		{"family too long", cell(func(k *schema.Cell) { k.Family = make([]byte, 300) }), "cell 1: a family name of 300 bytes"},
		{"no family", cell(func(k *schema.Cell) { k.Family = nil }), "cell 1: a family name of 0 bytes"},
		{"negative timestamp", cell(func(k *schema.Cell) { k.Timestamp = -1 }), ""},
		{"no timestamp", cell(func(k *schema.Cell) { k.Timestamp = math.MaxInt64 }), "cell 1: it has no timestamp"},
		{"unknown type", cell(func(k *schema.Cell) { k.Type = 99 }), "cell 1: HBase stores no cells of type 99"},
		{"tags too long", cell(func(k *schema.Cell) { k.Tags = make([]byte, 1<<16) }), "cell 1: 65536 bytes of tags"},
	} {
		err := checkChange(tc.c)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}

func change0() *schema.Change { return change("r", schema.Put, schema.Delete).Change }

// The messages are those of HBase 2.6.4, as its region servers answered them.
func TestWhatIsTheRecordsFault(t *testing.T) {
	const exhausted = "org.apache.hadoop.hbase.client.RetriesExhaustedException"
	for _, tc := range []struct {
		class, message string
		refused        bool
	}{
		{"java.io.IOException", "KeyValue size too large", true},
		{"java.io.IOException", "Row length is 0", true},
		{"java.io.IOException", "startRow's length must be less than or equal to 32767 to meet the criteria for a row key.", true},
		{exhausted, "Failed after attempts=1, exceptions:\n2026-11-21T08:47:20Z, h,1,2, org.apache.hadoop.hbase.DoNotRetryIOException: Cell[r/f:q/5/Put/vlen=9/seqid=0] with size 11534360 exceeds limit of 10485760 bytes", true},
		{exhausted, "Failed after attempts=4, exceptions:\n2026-11-21T08:47:20Z, h,1,2, org.apache.hadoop.hbase.NotServingRegionException: t,,1 is not online on h", false},
		{exhausted, "org.apache.hadoop.hbase.regionserver.NoSuchColumnFamilyException: Column family zz does not exist in region t,,1", false}, // looked at again, then refused by name
		{"org.apache.hadoop.hbase.security.AccessDeniedException", "Insufficient permissions (user=u, scope=t, action=WRITE)", false},
		{"org.apache.hadoop.hbase.regionserver.RegionServerStoppedException", "Server h not running", false},
	} {
		err := fmt.Errorf("replicate: %w", &rpc.RemoteError{Class: tc.class, Message: tc.message})
		a := &Applier{ready: map[string]*table{"default:t": {}}}
		err = a.explain(&sink.Batch{Changes: []schema.Change{{Table: "default:t"}}}, err)
		var refused *sink.RefusedError
		if errors.As(err, &refused) != tc.refused || tc.refused && refused.Change >= 0 {
			t.Errorf("%s: %s: %#v, want it refused: %v", tc.class, tc.message, err, tc.refused)
		}
		if gone := a.ready["default:t"] == nil; gone != strings.Contains(tc.message, "NoSuchColumnFamily") {
			t.Errorf("%s: the table is looked at again: %v", tc.message, gone)
		}
	}
	if _, refused := refusedByServer(errors.New("KeyValue size too large")); refused {
		t.Error("an error of our own was taken for a server's answer")
	}
}

// A dead letter's reason is one line, and what it was taken from can be had, too.
func TestRefusalIsShort(t *testing.T) {
	const cell = "org.apache.hadoop.hbase.DoNotRetryIOException: Cell[r/f:q/5/Put/vlen=9/seqid=0] with size 11534360 exceeds limit of 10485760 bytes"
	for message, want := range map[string]string{
		"KeyValue size too large": "KeyValue size too large",
		"Failed after attempts=1, exceptions:\n2026-11-21T08:47:20Z, h,1,2, org.apache.hadoop.hbase.DoNotRetryIOException: " + cell + "\n\tat x": cell,
	} {
		remote := &rpc.RemoteError{Class: "java.io.IOException", Message: message}
		err, refused := refusedByServer(fmt.Errorf("replicate to region server h: %w", remote))
		if !refused || err.Error() != want || !errors.Is(err, remote) {
			t.Errorf("%v, %v; want %q", err, refused, want)
		}
	}
}

func TestChangeWithoutAPlaceForItsFamily(t *testing.T) {
	for _, evolve := range []bool{true, false} {
		a := &Applier{cfg: Config{Evolve: evolve}, ready: map[string]*table{"default:t": {name: "default:t", families: map[string]bool{"f": true},
			absent: map[string]bool{"z": true}, seen: time.Now()}}} // looked for just now
		c := change0()
		if _, err := a.table(t.Context(), "p.default.t", c); err != nil {
			t.Error(err)
		}
		c.Cells[1].Family = []byte("z")
		var refused *refusal
		_, err := a.table(t.Context(), "p.default.t", c)
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), "table default:t at the destination") || strings.Contains(err.Error(), "set schema.evolution: basic") == evolve {
			t.Errorf("evolve %v: %v", evolve, err)
		}
	}
	if err := strange("p.default.t", "default:t"); err != nil {
		t.Error(err)
	}
	if err := strange("p.default.t", "default:u"); err == nil {
		t.Error("a change of another topic's table was taken")
	}
}
