package mutate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/rpc"
)

func writer(f *fakeCluster) *Writer {
	w := New(f, 0)
	w.pause = time.Millisecond
	return w
}

// writes are two values for each of rows, one mutation each, the second ones behind all first ones.
func writes(rows ...string) Batch {
	b := Batch{Table: "default:t", Attributes: map[string][]byte{ClusterIDs: []byte("ids")}}
	for _, v := range []string{"1", "2"} {
		for _, row := range rows {
			b.Mutations = append(b.Mutations, Cells{put(row, "q", 5, v)})
		}
	}
	return b
}

func (f *fakeCluster) holds(t *testing.T, rows ...string) {
	t.Helper()
	for _, row := range rows {
		if got := f.cells[row+" f:q 5 Put"]; got != "2" {
			t.Errorf("row %s holds %q, want what was written last", row, got)
		}
	}
}

func TestRowsGoToTheServersOfTheirRegions(t *testing.T) {
	f := newCluster(t)
	b := writes("z", "a", "m")
	b.Mutations = append(b.Mutations, Cells{{Row: []byte("a"), Family: []byte("f"), Timestamp: 4, Type: cell.DeleteFamily}, {Row: []byte("a"), Family: []byte("f"), Qualifier: []byte("q"), Timestamp: 3, Type: cell.Delete}})
	w := writer(f)
	for range 2 {
		if err := f.write(t.Context(), w, b); err != nil {
			t.Fatal(err)
		}
	}
	f.holds(t, "z", "a", "m")
	slices.Sort(f.calls)
	if want := []string{"a: a a a", "a: a a a", "b: m m z z", "b: m m z z"}; !slices.Equal(f.calls, want) || f.looked != 1 {
		t.Errorf("calls %q, regions were looked up %d times; want %q and once", f.calls, f.looked, want)
	}
	if _, there := f.cells["a f:q 3 Delete"]; !there || string(f.attributes[ClusterIDs]) != "ids" {
		t.Errorf("cells %v, attributes %q", f.cells, f.attributes)
	}
}

func TestARegionThatHasMovedIsFoundAgain(t *testing.T) {
	f := newCluster(t)
	w := writer(f)
	if err := f.write(t.Context(), w, writes("a", "z")); err != nil {
		t.Fatal(err)
	}
	f.regions = []admin.Region{f.region("", "c", "a"), f.region("c", "m", "b"), f.region("m", "", "b")}
	f.calls = nil
	if err := f.write(t.Context(), w, writes("a", "d", "z")); err != nil {
		t.Fatal(err)
	}
	f.holds(t, "a", "d", "z")
	slices.Sort(f.calls)
	// The old region of a and d is not served any more; z was written at the first try.
	if want := []string{"a: a a", "a: a a d d", "b: d d", "b: z z"}; !slices.Equal(f.calls, want) {
		t.Errorf("calls %q, want %q", f.calls, want)
	}
}

func TestAServerThatIsAwayIsLookedForAgain(t *testing.T) {
	f := newCluster(t)
	gone := f.region("", "m", "a")
	gone.Server.StartCode = 7
	fresh := f.regions
	f.regions = []admin.Region{gone, f.regions[1]}
	w := writer(f)
	if err := f.write(t.Context(), w, writes("a")); !errors.Is(err, admin.ErrUnreachable) {
		t.Fatalf("%v, want the server unreachable", err)
	}
	f.regions = fresh
	if err := f.write(t.Context(), w, writes("a")); err != nil {
		t.Fatal(err)
	}
	f.holds(t, "a")
	f.regions = []admin.Region{{Encoded: "closed", Offline: true}}
	w = writer(f)
	if err := f.write(t.Context(), w, writes("a")); !errors.Is(err, errNotOpen) || !strings.Contains(err.Error(), "closed") {
		t.Errorf("%v, want that the region is not open", err)
	}
}

// What is busy for the first of two writes of a row must not let the second one go first and the first one come last.
func TestARowIsRepeatedWholeAndInOrder(t *testing.T) {
	f := newCluster(t)
	busy := map[string]int{"a": 1, "z": 3}
	f.fail = func(_, row string) string {
		if busy[row]--; busy[row] >= 0 {
			return "org.apache.hadoop.hbase.RegionTooBusyException"
		}
		return ""
	}
	if err := f.write(t.Context(), writer(f), writes("a", "b", "z")); err != nil {
		t.Fatal(err)
	}
	f.holds(t, "a", "b", "z")
	slices.Sort(f.log)
	if want := []string{"a=1", "a=2", "a=2", "b=1", "b=2", "z=1", "z=2", "z=2"}; !slices.Equal(f.log, want) {
		t.Errorf("applied %q, want %q", f.log, want)
	}
	if f.looked != 1 {
		t.Errorf("regions were looked up %d times: a busy region has not moved", f.looked)
	}
}

func TestWhatDoesNotHealIsNotRepeated(t *testing.T) {
	f := newCluster(t)
	f.fail = func(_, row string) string {
		if row == "b" {
			return "org.apache.hadoop.hbase.regionserver.NoSuchColumnFamilyException"
		}
		return "org.apache.hadoop.hbase.RegionTooBusyException"
	}
	err := f.write(t.Context(), writer(f), writes("a", "b"))
	var remote *rpc.RemoteError
	if !errors.As(err, &remote) || !rpc.IsRemote(err, "NoSuchColumnFamilyException") || remote.Message != "a message" || len(f.calls) != 1 {
		t.Errorf("%v after %d calls, want the missing family after one", err, len(f.calls))
	}
	f.fail, f.calls = func(string, string) string { return "org.apache.hadoop.hbase.RegionTooBusyException" }, nil
	if err := f.write(t.Context(), writer(f), writes("a")); !rpc.IsRemote(err, "RegionTooBusyException") || len(f.calls) != tries {
		t.Errorf("%v after %d calls, want the caller to hear of it after %d", err, len(f.calls), tries)
	}
	if err := f.write(t.Context(), writer(f), Batch{Table: "default:nope", Mutations: []Mutation{Cells{put("a", "q", 5, "v")}}}); !errors.Is(err, admin.ErrTableNotFound) {
		t.Errorf("%v, want that there is no such table", err)
	}
}

func TestWhatTheAnswerDoesNotMentionHasFailed(t *testing.T) {
	f := newCluster(t)
	f.silent = "b"
	if err := f.write(t.Context(), writer(f), writes("a", "b")); !errors.Is(err, errNoAnswer) {
		t.Errorf("%v, want %v", err, errNoAnswer)
	}
}

func TestWriteEndsWithItsContext(t *testing.T) {
	f := newCluster(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.fail = func(string, string) string {
		time.AfterFunc(50*time.Millisecond, cancel) // in the pause
		return "org.apache.hadoop.hbase.RegionTooBusyException"
	}
	w := writer(f)
	w.pause = time.Hour
	if err := f.write(ctx, w, writes("a")); err == nil || len(f.calls) != 1 {
		t.Errorf("%v after %d calls, want an error after one", err, len(f.calls))
	}
}

// A cluster that is away is the caller's matter after a while: it shows that it waits.
func TestACallThatHangsIsNotRepeatedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := 0
		w := New(hangingCluster{&hangs}, 0)
		begun := time.Now()
		err := w.Write(t.Context(), writes("a"))
		if took := time.Since(begun); !errors.Is(err, context.DeadlineExceeded) || hangs < 1 || took > patience+2*locateTimeout {
			t.Errorf("%v after %s and %d looks; want the caller to hear of it soon", err, took, hangs)
		}
	})
}

// hangingCluster does not find its regions.
type hangingCluster struct{ n *int }

func (h hangingCluster) Regions(ctx context.Context, table string) ([]admin.Region, error) {
	*h.n++
	<-ctx.Done()
	return nil, fmt.Errorf("locate regions of %s: %w", table, ctx.Err())
}

func (h hangingCluster) Client(context.Context, admin.ServerName) (*rpc.Conn, error) {
	return nil, admin.ErrUnreachable
}

func TestOnlyAbsentColumnsAreWritten(t *testing.T) {
	f := newCluster(t)
	f.apply(Cells{put("a", "there", 9, "old"), put("z", "", 1, "")})
	f.raced = "f:raced"
	b := Columns{Table: "default:t", Puts: []Cells{
		Cells{put("a", "there", 10, "new"), put("a", "there", 8, "older")},
		Cells{put("a", "new", 5, "v"), put("a", "new", 4, "w")},
		Cells{put("z", "", 5, "v")},
		Cells{put("z", "raced", 5, "v")},
		Cells{put("z", "q", 5, "v")},
	}}
	kept, err := f.putAbsent(writer(f), b)
	if err != nil || kept != 4 {
		t.Errorf("%d cells left out, %v; want 4", kept, err)
	}
	want := map[string]string{"a f:there 9 Put": "old", "a f:new 5 Put": "v", "a f:new 4 Put": "w", "z f: 1 Put": "", "z f:raced 1 Put": "raced", "z f:q 5 Put": "v"}
	if fmt.Sprint(f.cells) != fmt.Sprint(want) {
		t.Errorf("cells %v\nwant %v", f.cells, want)
	}
	f.raced = ""
	if kept, err = f.putAbsent(writer(f), b); err != nil || kept != 7 || fmt.Sprint(f.cells) != fmt.Sprint(want) {
		t.Errorf("again: %d cells left out, %v, cells %v; want all 7, and no change", kept, err, f.cells)
	}
}

func TestPutAbsentOverFaults(t *testing.T) {
	f := newCluster(t)
	w := writer(f)
	b := Columns{Table: "default:t", Puts: []Cells{{put("a", "q", 5, "v")}, {put("d", "q", 5, "v")}}}
	busy := 2
	f.fail = func(string, string) string {
		if busy--; busy >= 0 {
			return "org.apache.hadoop.hbase.RegionTooBusyException"
		}
		return ""
	}
	if kept, err := f.putAbsent(w, b); err != nil || kept != 0 {
		t.Fatalf("%d kept, %v", kept, err)
	}
	f.regions = []admin.Region{f.region("", "c", "a"), f.region("c", "", "b")}
	if kept, err := f.putAbsent(w, b); err != nil || kept != 2 {
		t.Errorf("after a split: %d kept, %v; want the 2 that are there", kept, err)
	}
	f.unprocessed = true
	b.Puts = []Cells{{put("n", "q", 5, "v")}}
	if _, err := f.putAbsent(w, b); err == nil || !strings.Contains(err.Error(), "does not know conditions") {
		t.Errorf("%v, want that the server does not know conditions", err)
	}
}
