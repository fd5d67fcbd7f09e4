package scan

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/waltap/waltap/internal/hbase/admin"
)

// A region is cut at its rows into parts of about the same size, whatever its keys are made of.
func TestSplitsARegionEvenly(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for name, key := range map[string]func(i int) string{
		"decimal":           func(i int) string { return fmt.Sprintf("user%08d", i) },
		"hex":               func(i int) string { return fmt.Sprintf("%016x", rnd.Uint64()) },
		"binary":            func(int) string { return string(binary.BigEndian.AppendUint64(nil, rnd.Uint64())) },
		"binary, ascending": func(i int) string { return string(binary.BigEndian.AppendUint64(nil, uint64(i))) },
		"all begin with ff": func(int) string { return "\xff\xff\xff" + string(binary.BigEndian.AppendUint32(nil, rnd.Uint32())) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(0, whole)
			for i := range 4000 {
				w.rows = append(w.rows, key(i))
			}
			slices.Sort(w.rows)
			w.sizes = map[string]int64{string(whole.Name): 80 << 20}
			if err := w.scanner(Config{Threads: 4, ScannersPerServer: 4, ShardBytes: 10 << 20}).run(t.Context(), tables); err != nil {
				t.Fatal(err)
			}
			w.check(t, 0)
			var rows []int64
			for _, r := range w.saved {
				if !r.Done {
					t.Errorf("%+v is not done", r)
				}
				rows = append(rows, r.Rows)
			}
			if len(rows) < 7 || len(rows) > 8 || slices.Max(rows) > 1000 {
				t.Errorf("scanned in %d parts of %d rows, want about 8 of 500", len(rows), rows)
			}
		})
	}
}

func TestASmallRegionIsScannedInOnePiece(t *testing.T) {
	w := newWorld(100, whole)
	w.sizes = map[string]int64{string(whole.Name): 10 << 20}
	if err := w.scanner(Config{ShardBytes: 10 << 20}).run(t.Context(), tables); err != nil {
		t.Fatal(err)
	}
	if len(w.saved) != 1 || len(w.opened) != 1 {
		t.Errorf("%d ranges by %d scanners, want 1", len(w.saved), len(w.opened))
	}
	w = newWorld(0, whole)
	w.sizes = map[string]int64{string(whole.Name): 100 << 20}
	if err := w.scanner(Config{ShardBytes: 10 << 20}).run(t.Context(), tables); err != nil {
		t.Fatal(err)
	}
	if len(w.saved) != 1 {
		t.Errorf("an empty region was scanned in %d pieces", len(w.saved))
	}
}

// Cuts never lose or double a row.
func TestCutKeepsEveryRow(t *testing.T) {
	key := rapid.SliceOfN(rapid.ByteRange('a', 'e'), 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		r := genRange(t, key)
		rows := rapid.SliceOfN(key, 0, 6).Draw(t, "rows")
		slices.SortFunc(rows, bytes.Compare)
		parts := cut([]shard{{span: span{r.Start, r.End}}}, slices.CompactFunc(rows, bytes.Equal))
		row, n := key.Draw(t, "row"), 0
		for _, p := range parts {
			if contains(p.span.start, p.span.end, row) {
				n++
			}
		}
		if in := contains(r.Start, r.End, row); (n == 1) != in || n > 1 {
			t.Fatalf("row %q is in %d of the parts of [%q,%q) cut at %q", row, n, r.Start, r.End, rows)
		}
	})
}

func TestShardsOfOneServerLieApart(t *testing.T) {
	on := func(host string, n int) []shard {
		return slices.Repeat([]shard{{region: admin.Region{Server: admin.ServerName{Host: host}}}}, n)
	}
	var hosts string
	for _, sh := range interleave([][]shard{on("a", 2), on("a", 1), on("b", 2), on("c", 1)}) {
		hosts += sh.region.Server.Host
	}
	if hosts != "abcaba" {
		t.Errorf("servers in the order %s", hosts)
	}
}

func TestTheTimeLeft(t *testing.T) {
	e := &estimate{}
	shards := []shard{{left: 100}, {left: 300}}
	e.begin(shards)
	a, b := &share{e, 100}, &share{e, 300}
	e.since, e.told = time.Now().Add(-10*time.Second), time.Time{}
	if d, tell := a.read(200); !tell || d.Round(time.Second) != 15*time.Second { // 200 in 10 s, the other 300 are left
		t.Errorf("left %s, %v", d, tell)
	}
	b.read(100)
	a.end()
	b.end()
	if e.left != 0 {
		t.Errorf("%d bytes left behind the end", e.left)
	}
}
