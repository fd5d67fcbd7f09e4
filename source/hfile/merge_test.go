package hfile

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hfile"
)

// listed is a file of given cells.
type listed struct {
	cells  []hfile.Cell
	fails  error // behind the last one
	closed int
}

func (l *listed) Next(c *hfile.Cell) (bool, error) {
	if len(l.cells) == 0 {
		return false, l.fails
	}
	*c, l.cells = l.cells[0], l.cells[1:]
	return true, nil
}

func (l *listed) Close() { l.closed++ }

func made(row, qualifier string, ts int64, typ cell.Type, seq int64, value string) hfile.Cell {
	return hfile.Cell{Cell: cell.Cell{Row: []byte(row), Family: []byte("f"), Qualifier: []byte(qualifier), Timestamp: ts, Type: typ, Value: []byte(value)}, Sequence: seq}
}

// merged is what a merge of inputs hands out, as text.
func merged(t *testing.T, inputs ...*input) (out []string) {
	t.Helper()
	m, err := newMerge(inputs)
	if err != nil {
		t.Fatal(err)
	}
	for c := m.peek(); c != nil; c = m.peek() {
		out = append(out, text(c))
		if err := m.pop(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func text(c *hfile.Cell) string {
	return fmt.Sprintf("%s/%s/%d/%v=%s", c.Row, c.Qualifier, c.Timestamp, c.Type, c.Value)
}

// file is an input whose cells have their own sequences.
func file(order int, cells ...hfile.Cell) *input {
	return &input{cells: &listed{cells: cells}, order: order, own: true}
}

func TestMergeKeepsWhatWasWrittenLast(t *testing.T) {
	for what, c := range map[string]struct {
		inputs []*input
		want   []string
	}{
		"the sequence decides": {[]*input{
			file(0, made("r", "q", 5, cell.Put, 9, "newer")),
			file(1, made("r", "q", 5, cell.Put, 8, "older"))}, []string{"r/q/5/Put=newer"}},
		"without sequences the order of the files does": {[]*input{
			file(1, made("r", "q", 5, cell.Put, 0, "newer")),
			file(0, made("r", "q", 5, cell.Put, 0, "older"))}, []string{"r/q/5/Put=newer"}},
		"within a file, too": {[]*input{
			file(0, made("r", "q", 5, cell.Put, 9, "newer"), made("r", "q", 5, cell.Put, 8, "older"))}, []string{"r/q/5/Put=newer"}},
		"a bulk load has one sequence": {[]*input{
			{cells: &listed{cells: []hfile.Cell{made("r", "q", 5, cell.Put, 100, "bulk")}}, order: 0, sequence: 7},
			file(1, made("r", "q", 5, cell.Put, 8, "after"))}, []string{"r/q/5/Put=after"}},
		"one without is the oldest": {[]*input{
			{cells: &listed{cells: []hfile.Cell{made("r", "q", 5, cell.Put, 100, "bulk")}}, order: 9, sequence: -1},
			file(1, made("r", "q", 5, cell.Put, 0, "compacted"))}, []string{"r/q/5/Put=compacted"}},
		"markers are cells of their own, before what they hide": {[]*input{
			file(0, made("r", "q", 5, cell.Put, 1, "v")),
			file(1, made("r", "q", 5, cell.Delete, 2, ""), made("r", "q", 5, cell.DeleteColumn, 3, ""))},
			[]string{"r/q/5/Delete=", "r/q/5/DeleteColumn=", "r/q/5/Put=v"}},
		"the newest timestamp first": {[]*input{
			file(0, made("r", "q", 4, cell.Put, 9, "old")),
			file(1, made("r", "q", 5, cell.Put, 1, "new"))}, []string{"r/q/5/Put=new", "r/q/4/Put=old"}},
	} {
		if what == "markers are cells of their own, before what they hide" {
			// A file is in HBase's order: the higher type first.
			l := c.inputs[1].cells.(*listed)
			slices.Reverse(l.cells)
			c.want = []string{"r/q/5/DeleteColumn=", "r/q/5/Delete=", "r/q/5/Put=v"}
		}
		if d := gocmp.Diff(c.want, merged(t, c.inputs...)); d != "" {
			t.Errorf("%s: %s", what, d)
		}
	}
}

// Of cells at random in many files, what comes out is what one sorted list of all of them says.
func TestMergeAtRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	types := []cell.Type{cell.Put, cell.Delete, cell.DeleteColumn, cell.DeleteFamily}
	for range 300 {
		type known struct {
			hfile.Cell
			order int
		}
		var all []known
		var inputs []*input
		for order := range 1 + r.IntN(6) {
			var cells []hfile.Cell
			for range r.IntN(40) {
				c := made(fmt.Sprint(r.IntN(3)), fmt.Sprint(r.IntN(3)), r.Int64N(3), types[r.IntN(len(types))], r.Int64N(4), fmt.Sprint(r.Int()))
				if slices.ContainsFunc(cells, func(o hfile.Cell) bool { return hfile.CompareKeys(&o, &c) == 0 && o.Sequence == c.Sequence }) {
					continue // a store never has two
				}
				cells = append(cells, c)
				all = append(all, known{c, order})
			}
			slices.SortFunc(cells, func(a, b hfile.Cell) int {
				return cmp.Or(hfile.CompareKeys(&a, &b), cmp.Compare(b.Sequence, a.Sequence))
			})
			inputs = append(inputs, file(order, cells...))
		}
		slices.SortFunc(all, func(a, b known) int {
			return cmp.Or(hfile.CompareKeys(&a.Cell, &b.Cell), cmp.Compare(b.Sequence, a.Sequence), cmp.Compare(b.order, a.order))
		})
		all = slices.CompactFunc(all, func(a, b known) bool { return hfile.CompareKeys(&a.Cell, &b.Cell) == 0 })
		var want []string
		for i := range all {
			want = append(want, text(&all[i].Cell))
		}
		r.Shuffle(len(inputs), func(i, j int) { inputs[i], inputs[j] = inputs[j], inputs[i] })
		if d := gocmp.Diff(want, merged(t, inputs...)); d != "" {
			t.Fatal(d)
		}
	}
}

func TestMergeOfABrokenFile(t *testing.T) {
	broken := errors.New("broken")
	good, bad := &listed{cells: []hfile.Cell{made("a", "q", 1, cell.Put, 1, ""), made("c", "q", 1, cell.Put, 1, "")}}, &listed{cells: []hfile.Cell{made("b", "q", 1, cell.Put, 1, "")}, fails: broken}
	m, err := newMerge([]*input{{cells: good, own: true}, {cells: bad, own: true}})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.pop(); err != nil {
		t.Fatal(err)
	}
	if err := m.pop(); !errors.Is(err, broken) {
		t.Errorf("%v, want the file's error", err)
	}
	m.close()
	if good.closed != 1 || bad.closed != 1 {
		t.Errorf("closed %d and %d times", good.closed, bad.closed)
	}
	good, bad = &listed{cells: good.cells}, &listed{fails: broken}
	if _, err := newMerge([]*input{{cells: good, own: true}, {cells: bad, own: true}}); !errors.Is(err, broken) {
		t.Errorf("%v, want the file's error", err)
	}
	if bad.closed != 1 {
		t.Error("a file that was broken from the begin was not closed")
	}
}
