package admin

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/scan/replaytest"
)

func TestRecordedTableStates(t *testing.T) {
	c, _ := clusterAt(t, replaytest.Serve(t, "testdata/states.frames"))
	states, err := c.TableStates(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"shop:cap":    "{Enabled:true Since:1795254044787 Enabling:1795254044400}",
		"default:t":   "{Enabled:true Since:1795254042385 Enabling:1795254041995}",
		"default:off": "{Enabled:false Since:1795254043662 Enabling:0}",
	} {
		if got := fmt.Sprintf("%+v", states[name]); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

func TestRecordedRegionHistories(t *testing.T) {
	c, _ := clusterAt(t, replaytest.Serve(t, "testdata/history.frames"))
	var got strings.Builder
	err := c.RegionHistories(t.Context(), "shop:cap", nil, func(r RegionHistory) bool {
		fmt.Fprintf(&got, "%s %d %v\n", r.Encoded, r.Created, r.Opens)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `7752a03c9428114aa60fb36fb8cf246e 1795254041298 [{1795254044782 9} {1795254041780 2}]
f62129112263d0e050dffa99cbf91c7c 1795254045112 [{1795254046019 16} {1795254045466 1}]
09723db4388ecfd6b9a73ec07943c94d 1795254045112 [{1795254046010 16} {1795254045466 1}]
a7f6751eabfa457376c8b390a2570c27 1795254041298 [{1795254044768 5} {1795254041775 2}]
`
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
}

// Before 2.0 hbase:meta has no such family.
func TestNoTableStates(t *testing.T) {
	c, _ := clusterAt(t, master{"Scan": fail("regionserver.NoSuchColumnFamilyException", "Column family table does not exist")}.serve(t))
	if states, err := c.TableStates(t.Context()); err != nil || states != nil {
		t.Errorf("%v, %v; want none, and no error", states, err)
	}
	c, _ = clusterAt(t, master{"Scan": fail("security.AccessDeniedException", "")}.serve(t))
	if _, err := c.TableStates(t.Context()); err == nil {
		t.Error("a refusal is taken for no states")
	}
}

func version(row string, ms int64, value ...byte) cell.Cell {
	return cell.Cell{Row: []byte(row), Timestamp: ms, Value: value}
}

func TestRowsAreHandedOutWhole(t *testing.T) {
	var got []string
	end := errors.New("end")
	w := wholeRows{each: func(row []cell.Cell) (bool, error) {
		got = append(got, fmt.Sprintf("%s %d", row[0].Row, len(row)))
		if string(row[0].Row) == "c" {
			return false, end
		}
		return string(row[0].Row) != "b", nil
	}}
	add := func(row string) error {
		k := version(row, 1)
		return w.add(&k)
	}
	if err := errors.Join(add("a"), add("a"), add("b")); err != nil || string(w.done) != "a" {
		t.Errorf("%v, done %q: want a done, which has two cells", err, w.done)
	}
	if err := add("c"); !errors.Is(err, errEnough) || string(w.done) != "a" {
		t.Errorf("%v, done %q: want it to end at b", err, w.done)
	}
	w.cells = []cell.Cell{version("c", 1)}
	if err := w.flush(); !errors.Is(err, end) || !strings.Contains(err.Error(), `row "c"`) {
		t.Errorf("%v, want the error of the caller with the row", err)
	}
	if s := strings.Join(got, ", "); s != "a 2, b 1, c 1" {
		t.Errorf("rows %s", s)
	}
	if w := (wholeRows{}); w.flush() != nil {
		t.Error("nothing to hand out is an error")
	}
}

func FuzzRegionHistory(f *testing.F) {
	const name = "shop:cap,m,1795224606774.a539f033d199a93ea870abfb8a0fdd12."
	f.Add(name, int64(1), binary.BigEndian.AppendUint64(nil, 2))
	f.Add("t,,1.x.", int64(math.MinInt64), []byte{1})
	f.Fuzz(func(t *testing.T, row string, ms int64, value []byte) {
		r, err := regionHistoryOf([]cell.Cell{version(row, ms, value...), version(row, 0, value...)})
		if err == nil && (r.Encoded == "" || r.Created < 0 || len(r.Opens) != 2) {
			t.Fatalf("region %+v", r)
		}
	})
}

func FuzzTableState(f *testing.F) {
	f.Add([]byte{8, 0}, []byte{8, 3})
	f.Add([]byte{8, 1}, []byte(nil))
	f.Fuzz(func(t *testing.T, newest, before []byte) {
		s, err := tableStateOf([]cell.Cell{version("t", 7, newest...), version("t", 5, before...)})
		if err == nil && (s.Since != 7 || s.Enabling != 0 && s.Enabling != 5 && s.Enabling != 7) {
			t.Fatalf("state %+v of %x, %x", s, newest, before)
		}
	})
}
