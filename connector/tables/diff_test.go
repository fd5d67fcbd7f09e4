package tables

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/descriptor"
	"github.com/waltap/waltap/schema"
)

func oneTable() *Table {
	return &Table{Name: "store:orders", Source: "shop:orders", Families: []Family{{Name: "d", Source: "data", Attributes: map[string]string{"VERSIONS": "3"}}, {Name: "e"}}}
}

func mapping(t *testing.T, tables, families string) *schema.Mapping {
	t.Helper()
	var m schema.Mapping
	var err1, err2 error
	m.Tables, err1 = schema.ParseRenames(tables)
	m.Families, err2 = schema.ParseFamilyRenames(families)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return &m
}

// What the sink writes elsewhere is refused, with the line that makes the two agree, and then nothing is done.
func TestSinkMustWriteToTheSameNames(t *testing.T) {
	for _, tc := range []struct {
		tables, families string
		want             []string
	}{
		{"shop:orders=store:orders", "data=d", nil},
		{"shop:orders=store:other", "data=d", []string{"the sink writes shop:orders to store:other", "hbase.table.rename: shop:orders=store:orders"}},
		{"", "data=d", []string{"the sink writes shop:orders to shop:orders"}},
		{"shop:orders=store:orders", "", []string{"the sink writes family data to data", "hbase.family.rename: shop:orders:data=d"}},
		{"shop:orders=store:orders", "data=d, e=f", []string{"the sink writes family e to f"}},
	} {
		p := &plan{Options: Options{Mapping: mapping(t, tc.tables, tc.families)}}
		if err := p.table(t.Context(), oneTable(), nil); err != nil {
			t.Fatal(err)
		}
		done := false
		p.steps = []step{{"", "x", func(context.Context) error { done = true; return nil }}}
		err := p.run(t.Context())
		var refused *RefusedError
		if errors.As(err, &refused) != (tc.want != nil) || done == (tc.want != nil) || !Differ(p.differences) {
			t.Errorf("%+v: %v, done %v", tc, err, done)
		}
		for _, want := range tc.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %v, want %q in it", tc, err, want)
			}
		}
	}
}

// What is left out, here or at the export, is not compared: a destination that has it keeps it.
func TestPartsThatAreLeftOutAreNotCompared(t *testing.T) {
	have := oneTable().descriptor()
	have.Attributes = map[string]string{"PRIORITY": "7"}
	have.Families[0].Attributes = map[string]string{"VERSIONS": "3", "COMPRESSION": "GZ"}
	p := new(plan)
	p.changes(oneTable(), oneTable().descriptor(), have, []descriptor.Part{{Kind: descriptor.Attribute, Family: "d", Name: "COMPRESSION"}, {Kind: descriptor.Attribute, Name: "PRIORITY"}})
	if len(p.differences) != 0 || len(p.steps) != 0 {
		t.Errorf("%+v", p.differences)
	}
	p.changes(oneTable(), oneTable().descriptor(), have, nil)
	if len(p.differences) != 2 {
		t.Errorf("without that: %+v", p.differences)
	}
}

func TestWhatIsLeftAfterApply(t *testing.T) {
	all := []Difference{{Action: Same}, {Action: Add}, {Action: Note}, {Action: LeftOff}, {Action: Alter, Name: "a"}, {Action: Decide, Name: "d"}, {Action: Decide, Kind: KindProperty, Name: "p"}}
	for _, tc := range []struct {
		o    Options
		want string
	}{{Options{}, "a d p"}, {Options{Alter: true}, "d p"}, {Options{Alter: true, Shrink: true}, "p"}} {
		var names []string
		for _, d := range tc.o.Left(all) {
			names = append(names, d.Name)
		}
		if got := strings.Join(names, " "); got != tc.want {
			t.Errorf("%+v: %s, want %s", tc.o, got, tc.want)
		}
	}
}

// A namespace and tables that come into being meanwhile are no fault.
func TestNamespaceIsThereAlready(t *testing.T) {
	p := new(plan)
	p.namespace(Namespace{Name: "n", Properties: map[string]string{"a": "1", "b": "2"}}, admin.Namespace{Name: "n", Properties: map[string]string{"a": "1", "b": "3", "c": "4"}}, true)
	if len(p.steps) != 0 || len(p.differences) != 1 || p.differences[0].Action != Decide || p.differences[0].Name != "b" || !strings.Contains(p.differences[0].Remedy, "alter_namespace 'n'") {
		t.Errorf("%+v", p.differences)
	}
	p = new(plan)
	p.namespace(Namespace{Name: "n"}, admin.Namespace{Name: "n", Properties: map[string]string{"c": "4"}}, true)
	if len(p.differences) != 1 || p.differences[0].Action != Same {
		t.Errorf("%+v", p.differences)
	}
}

// TestStepsOfTablesAreTakenAtOnce: namespaces come first, the steps of one table in their order; after an error nothing new is begun.
func TestStepsOfTablesAreTakenAtOnce(t *testing.T) {
	var mu sync.Mutex
	var log []string
	p := &plan{Options: Options{Log: func(text string) { mu.Lock(); log = append(log, text); mu.Unlock() }}}
	nothing := func(context.Context) error { return nil }
	for i := range 30 {
		name := fmt.Sprint("n:t", i)
		p.steps = append(p.steps, step{name, name + " created", nothing}, step{name, name + " altered", nothing})
	}
	p.steps = append(p.steps, step{"", "namespace n created", nothing})
	if err := p.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(log) != 61 || log[0] != "namespace n created" {
		t.Fatalf("%d steps were told of, the first: %s", len(log), log[0])
	}
	for i := range 30 {
		name := fmt.Sprint("n:t", i)
		if slices.Index(log, name+" created") > slices.Index(log, name+" altered") {
			t.Errorf("%s was altered before it was created", name)
		}
	}
	fails := errors.New("no")
	began := 0
	p = &plan{}
	for i := range 30 {
		p.steps = append(p.steps, step{fmt.Sprint("n:t", i), "", func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			began++
			return fails
		}})
	}
	if err := p.run(t.Context()); !errors.Is(err, fails) || began > tablesAtOnce {
		t.Errorf("error %v after %d steps, want %v after %d at most", err, began, fails, tablesAtOnce)
	}
}
