package verify

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/schema"
)

// parseCells reads cells written as "family:qualifier timestamp type value ttl=ms", one a line, into HBase's order.
func parseCells(t *testing.T, text string) (cells []schema.Cell) {
	t.Helper()
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		var c schema.Cell
		family, qualifier, _ := strings.Cut(f[0], ":")
		c.Family, c.Qualifier = []byte(family), []byte(qualifier)
		if _, err := fmt.Sscan(f[1], &c.Timestamp); err != nil {
			t.Fatal(err)
		}
		var err error
		if c.Type, err = schema.ParseCellType(f[2]); err != nil {
			t.Fatal(err)
		}
		for _, word := range f[3:] {
			var ttl int64
			if n, _ := fmt.Sscanf(word, "ttl=%d", &ttl); n == 1 {
				c.Tags = cell.AppendTTL(nil, ttl)
				continue
			}
			c.Value = []byte(word)
		}
		cells = append(cells, c)
	}
	sortCells(cells)
	return cells
}

func sortCells(cells []schema.Cell) {
	slices.SortFunc(cells, func(a, b schema.Cell) int { return compareCells(&a, &b) })
}

// diffRows compares two readings, and describes what counts and what is excused.
func diffRows(t *testing.T, d *differ, source, target []schema.Cell) (bad, excused []string) {
	t.Helper()
	if d.now == 0 {
		d.now = time.Now().UnixMilli()
	}
	if d.compacted == nil {
		d.compacted = func(int, int64) (bool, error) { return false, nil }
	}
	d.found = func(f *finding) error {
		k := f.any()
		at := "both"
		if f.cells[1] == nil {
			at = "source"
		} else if f.cells[0] == nil {
			at = "target"
		}
		text := fmt.Sprintf("%s at %s %s:%s %d %s", f.kind, at, k.Family, k.Qualifier, k.Timestamp, k.Type)
		if f.exception != "" {
			text += " " + string(f.exception)
		}
		if f.excused {
			excused = append(excused, text)
		} else {
			bad = append(bad, text)
		}
		return nil
	}
	for len(source) > 0 || len(target) > 0 {
		var cells [2]*schema.Cell
		order := 0
		switch {
		case len(source) == 0:
			order = 1
		case len(target) == 0:
			order = -1
		default:
			order = compareCells(&source[0], &target[0])
		}
		if order <= 0 {
			cells[0], source = &source[0], source[1:]
		}
		if order >= 0 {
			cells[1], target = &target[0], target[1:]
		}
		if err := d.add(cells); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.finish(); err != nil {
		t.Fatal(err)
	}
	return bad, excused
}

func newDiffer(about familyAbout) *differ {
	families := map[string]familyAbout{"a": about, "b": about}
	return &differ{raw: true, about: [2]map[string]familyAbout{families, families}}
}

func TestDiffer(t *testing.T) {
	plain := familyAbout{versions: 3}
	for _, tt := range []struct {
		name           string
		about          familyAbout
		compacted      bool
		source, target string
		bad, excused   string
	}{
		{name: "equal", source: "a:q 5 Put v\na:q 4 Delete", target: "a:q 5 Put v\na:q 4 Delete"},
		{name: "missing", source: "a:q 5 Put v", bad: "missing at source a:q 5 Put"},
		{name: "extra", target: "a:q 5 Put v", bad: "extra at target a:q 5 Put"},
		{name: "value", source: "a:q 5 Put v", target: "a:q 5 Put w", bad: "value at both a:q 5 Put"},
		{name: "tags", source: "a:q 5 Put v", target: "a:q 5 Put v ttl=9999999999999", bad: "tags at both a:q 5 Put"},
		{name: "version at the source", source: "a:q 5 Put v\na:q 4 Put v", target: "a:q 5 Put v", bad: "version at source a:q 4 Put"},
		{name: "version at the target", source: "a:q 5 Put v", target: "a:q 6 Put v\na:q 5 Put v", bad: "version at target a:q 6 Put"},
		{name: "other versions", source: "a:q 5 Put v", target: "a:q 4 Put v", bad: "version at source a:q 5 Put, version at target a:q 4 Put"},
		{name: "marker that hides", source: "a:q 6 DeleteColumn\na:q 5 Put v", target: "a:q 5 Put v", bad: "marker at source a:q 6 DeleteColumn"},
		{name: "marker that hid, flushed", source: "a:q 6 DeleteColumn", target: "a:q 5 Put v", bad: "marker at source a:q 6 DeleteColumn", excused: "extra at target a:q 5 Put hidden"},
		{name: "family marker that hides", source: "a:q 5 Put v", target: "a: 6 DeleteFamily\na:q 5 Put v", bad: "marker at target a: 6 DeleteFamily"},
		{name: "the same, and the source compacted", compacted: true, source: "a:q 5 Put v", target: "a: 6 DeleteFamily\na:q 5 Put v", bad: "marker at target a: 6 DeleteFamily late-put"},
		{name: "family version", source: "a: 5 DeleteFamilyVersion\na:q 5 Put v\na:q 4 Put v", target: "a:q 5 Put v\na:q 4 Put v", bad: "marker at source a: 5 DeleteFamilyVersion"},
		{name: "marker without effect", source: "a:q 6 DeleteColumn", bad: "marker at source a:q 6 DeleteColumn"},
		{name: "the same, and the target compacted", compacted: true, source: "a:q 6 DeleteColumn", excused: "marker at source a:q 6 DeleteColumn compacted"},
		{name: "one-version marker at the target", target: "a:q 6 Delete", excused: "marker at target a:q 6 Delete removed"},
		{name: "one-version marker at the source", source: "a:q 6 Delete", bad: "marker at source a:q 6 Delete"},
		{name: "an extra that was removed", source: "a:q 7 Put v", target: "a:q 7 Put v\na:q 6 Delete\na:q 6 Put x",
			excused: "extra at target a:q 6 Put removed, marker at target a:q 6 Delete removed"},
		{name: "the same, where hidden cells are kept", about: familyAbout{versions: 3, keepDeleted: true}, source: "a:q 7 Put v", target: "a:q 7 Put v\na:q 6 Delete\na:q 6 Put x",
			excused: "extra at target a:q 6 Put removed, marker at target a:q 6 Delete removed"},
		{name: "a delete of what the source has", source: "a:q 6 Put v", target: "a:q 6 Delete\na:q 6 Put v", bad: "marker at target a:q 6 Delete"},
		{name: "redundant", source: "a: 9 DeleteFamily\na:q 6 DeleteColumn", target: "a: 9 DeleteFamily", excused: "marker at source a:q 6 DeleteColumn redundant"},
		{name: "hidden, flushed at one end", source: "a:q 6 DeleteColumn\na:q 5 Put v", target: "a:q 6 DeleteColumn", excused: "missing at source a:q 5 Put hidden"},
		{name: "hidden, and hidden cells are kept", about: familyAbout{versions: 3, keepDeleted: true}, source: "a:q 6 DeleteColumn\na:q 5 Put v", target: "a:q 6 DeleteColumn",
			bad: "missing at source a:q 5 Put"},
		{name: "hidden values differ", source: "a:q 6 DeleteColumn\na:q 5 Put v", target: "a:q 6 DeleteColumn\na:q 5 Put w", excused: "value at both a:q 5 Put hidden"},
		{name: "over VERSIONS", source: "a:q 9 Put v\na:q 8 Put v\na:q 7 Put v\na:q 6 Put v", target: "a:q 9 Put v\na:q 8 Put v\na:q 7 Put v",
			excused: "missing at source a:q 6 Put over-versions"},
		{name: "not over VERSIONS, as one of them is deleted", source: "a:q 9 Put v\na:q 8 Delete\na:q 8 Put v\na:q 7 Put v\na:q 6 Put v", target: "a:q 9 Put v\na:q 8 Delete\na:q 7 Put v",
			bad: "version at source a:q 6 Put", excused: "missing at source a:q 8 Put hidden"},
		{name: "expired by its tag", source: "a:q 5 Put v ttl=10", excused: "missing at source a:q 5 Put expired"},
		{name: "expired by its family", about: familyAbout{versions: 3, ttl: 1000}, source: "a:q 5 Put v\na:q 4 DeleteColumn", excused: "missing at source a:q 5 Put expired, marker at source a:q 4 DeleteColumn expired"},
		{name: "new version behaviour", about: familyAbout{versions: 3, newVersions: true}, source: "a:q 5 Put v", bad: "missing at source a:q 5 Put new-version-behavior"},
		{name: "families apart", source: "a: 9 DeleteFamily\nb:q 5 Put v", target: "a: 9 DeleteFamily", bad: "missing at source b:q 5 Put"},
		{name: "empty qualifier", source: "a: 9 Put v\na: 8 DeleteFamily\na:q 7 Put v", target: "a: 9 Put v\na:q 7 Put v", bad: "marker at source a: 8 DeleteFamily"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.about == (familyAbout{}) {
				tt.about = plain
			}
			d := newDiffer(tt.about)
			d.compacted = func(int, int64) (bool, error) { return tt.compacted, nil }
			bad, excused := diffRows(t, d, parseCells(t, tt.source), parseCells(t, tt.target))
			if got := strings.Join(bad, ", "); got != tt.bad {
				t.Errorf("found %q, want %q", got, tt.bad)
			}
			if got := strings.Join(excused, ", "); got != tt.excused {
				t.Errorf("excused %q, want %q", got, tt.excused)
			}
		})
	}
}

// shown is what a client sees of a row: a model of HBase that knows nothing of the differ.
func shown(cells []schema.Cell, versions int) (out []string) {
	count := make(map[string]int)
	for i := range cells {
		c := &cells[i]
		if c.Type != schema.Put {
			continue
		}
		hidden := slices.ContainsFunc(cells, func(m schema.Cell) bool {
			if string(m.Family) != string(c.Family) {
				return false
			}
			same := string(m.Qualifier) == string(c.Qualifier)
			switch m.Type {
			case schema.DeleteFamily:
				return c.Timestamp <= m.Timestamp
			case schema.DeleteFamilyVersion:
				return c.Timestamp == m.Timestamp
			case schema.DeleteColumn:
				return same && c.Timestamp <= m.Timestamp
			case schema.Delete:
				return same && c.Timestamp == m.Timestamp
			}
			return false
		})
		column := string(c.Family) + ":" + string(c.Qualifier)
		if hidden || count[column] >= versions {
			continue
		}
		count[column]++
		out = append(out, fmt.Sprintf("%s %d %s %x", column, c.Timestamp, c.Value, c.Tags))
	}
	return out
}

func randomRow(r *rand.Rand) (cells []schema.Cell) {
	types := []schema.CellType{schema.Put, schema.Put, schema.Put, schema.Put, schema.Delete, schema.DeleteColumn, schema.DeleteFamily, schema.DeleteFamilyVersion}
	for range r.IntN(14) {
		c := schema.Cell{Family: []byte{byte('a' + r.IntN(2))}, Qualifier: []byte{byte('p' + r.IntN(3))}, Timestamp: int64(1 + r.IntN(6)), Type: types[r.IntN(len(types))]}
		switch c.Type {
		case schema.DeleteFamily, schema.DeleteFamilyVersion:
			c.Qualifier = nil
		case schema.Put:
			c.Value = []byte{byte('0' + r.IntN(3))}
			if r.IntN(4) == 0 {
				c.Qualifier = nil
			}
		}
		cells = append(cells, c)
	}
	sortCells(cells)
	return slices.CompactFunc(cells, func(a, b schema.Cell) bool { return compareCells(&a, &b) == 0 })
}

// TestDifferAgreesWithAModel holds the differ to two rules, on random rows: where it finds nothing that counts, clients see the
// same at both ends; and what a flush drops at one end does not count.
func TestDifferAgreesWithAModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	const versions = 2
	unequal, same := 0, 0
	for range 50_000 {
		source := randomRow(r)
		target := slices.Clone(source)
		switch r.IntN(3) {
		case 0:
			target = randomRow(r)
		case 1: // some cells are lost, or have another value
			target = slices.DeleteFunc(target, func(schema.Cell) bool { return r.IntN(6) == 0 })
			for i := range target {
				if target[i].Type == schema.Put && r.IntN(6) == 0 {
					target[i].Value = []byte("x")
				}
			}
		default: // flushed: some of the puts that are not shown go
			visible := shown(source, versions)
			target = slices.DeleteFunc(target, func(c schema.Cell) bool {
				text := fmt.Sprintf("%s:%s %d %s %x", c.Family, c.Qualifier, c.Timestamp, c.Value, c.Tags)
				return c.Type == schema.Put && !slices.Contains(visible, text) && r.IntN(2) == 0
			})
			bad, _ := diffRows(t, newDiffer(familyAbout{versions: versions}), source, target)
			if len(bad) > 0 {
				t.Fatalf("a flush at the target counts: %v\nsource %v\ntarget %v", bad, cellTexts(source), cellTexts(target))
			}
		}
		d := newDiffer(familyAbout{versions: versions})
		compacted := r.IntN(2) == 0 // then markers are excused that hide nothing
		d.compacted = func(int, int64) (bool, error) { return compacted, nil }
		bad, _ := diffRows(t, d, source, target)
		equal := slices.Equal(shown(source, versions), shown(target, versions))
		if len(bad) == 0 && !equal {
			t.Fatalf("nothing counts, but clients see\n%v at the source and\n%v at the target\nsource %v\ntarget %v", shown(source, versions), shown(target, versions), cellTexts(source), cellTexts(target))
		}
		if equal {
			same++
		} else {
			unequal++
		}
		if again, _ := diffRows(t, newDiffer(familyAbout{versions: versions}), source, source); len(again) > 0 {
			t.Fatalf("a row differs from itself: %v", again)
		}
	}
	if unequal < 1000 || same < 1000 {
		t.Errorf("%d pairs differ, %d do not", unequal, same)
	}
}

func cellTexts(cells []schema.Cell) (out []string) {
	for i := range cells {
		c := &cells[i]
		out = append(out, fmt.Sprintf("%s:%s %d %s %s", c.Family, c.Qualifier, c.Timestamp, c.Type, c.Value))
	}
	return out
}

// BenchmarkDifferOneEndOnly compares a row of which one end has nothing, and one of whose markers the other end has none: the time is to
// grow as the number of cells does.
func BenchmarkDifferOneEndOnly(b *testing.B) {
	for _, n := range []int{2_000, 20_000} {
		var puts, markers []schema.Cell
		for i := range n {
			ts := int64(1_000_000 + i)
			puts = append(puts, schema.Cell{Family: []byte("f"), Qualifier: fmt.Appendf(nil, "%08d", i), Timestamp: ts, Type: schema.Put, Value: []byte("v")})
			markers = append(markers, schema.Cell{Family: []byte("f"), Timestamp: ts, Type: schema.DeleteFamilyVersion})
		}
		sortCells(markers)
		for name, source := range map[string][]schema.Cell{"no row": nil, "markers": markers} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				for b.Loop() {
					d := &differ{raw: true, now: time.Now().UnixMilli(), compacted: func(int, int64) (bool, error) { return false, nil }, found: func(*finding) error { return nil }}
					for i := range source {
						if err := d.add([2]*schema.Cell{&source[i], nil}); err != nil {
							b.Fatal(err)
						}
					}
					for i := range puts {
						if err := d.add([2]*schema.Cell{nil, &puts[i]}); err != nil {
							b.Fatal(err)
						}
					}
					if err := d.finish(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n+len(source)), "ns/cell")
			})
		}
	}
}
