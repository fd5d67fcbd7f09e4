package hbase

import (
	"maps"
	"strings"
	"testing"

	"github.com/waltap/waltap/internal/check"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/descriptor"
	"github.com/waltap/waltap/schema"
)

func newTallies() tallies {
	return tallies{check.Tally{Check: checkTables}, check.Tally{Check: checkFamilies}, check.Tally{Check: checkAttributes}, check.Tally{Check: checkCoprocessors}}
}

func one(t *testing.T, results []check.Result, severity check.Severity, texts ...string) {
	t.Helper()
	if len(results) != 1 || results[0].Severity != severity {
		t.Errorf("%+v, want one %s", results, severity)
		return
	}
	for _, text := range texts {
		if r := results[0]; !strings.Contains(r.Found+" "+r.Remedy, text) {
			t.Errorf("%+v does not say %q", r, text)
		}
	}
}

// TestKeptAttributesAreCompared: what keeps less, or otherwise, is told; what keeps more is not.
func TestKeptAttributesAreCompared(t *testing.T) {
	table := func(attributes map[string]string) admin.Table {
		return admin.Table{Namespace: "n", Qualifier: "t", Families: []admin.Family{{Name: "f", Attributes: attributes}}}
	}
	for _, tc := range []struct {
		name       string
		want, have map[string]string
		told       string // the alteration; "": nothing
	}{
		{"equal", map[string]string{"VERSIONS": "3", "COMPRESSION": "GZ"}, map[string]string{"VERSIONS": "3"}, ""},
		{"defaults", map[string]string{"VERSIONS": "1", "TTL": "2147483647", "KEEP_DELETED_CELLS": "FALSE"}, map[string]string{"TTL": "FOREVER", "KEEP_DELETED_CELLS": "false"}, ""},
		{"fewer versions", map[string]string{"VERSIONS": "3"}, map[string]string{"VERSIONS": "2"}, "VERSIONS => '3'"},
		{"fewer versions, by default", map[string]string{"VERSIONS": "3"}, nil, "VERSIONS => '3'"},
		{"more versions", map[string]string{"VERSIONS": "3"}, map[string]string{"VERSIONS": "10"}, ""},
		{"a shorter life", nil, map[string]string{"TTL": "86400"}, "TTL => '2147483647'"},
		{"a longer life", map[string]string{"TTL": "86400"}, nil, ""},
		{"fewer at least", map[string]string{"MIN_VERSIONS": "2"}, nil, "MIN_VERSIONS => '2'"},
		{"deletes", map[string]string{"KEEP_DELETED_CELLS": "TTL"}, map[string]string{"KEEP_DELETED_CELLS": "TRUE"}, "KEEP_DELETED_CELLS => 'TTL'"},
		{"new version behavior", nil, map[string]string{"NEW_VERSION_BEHAVIOR": "true"}, "NEW_VERSION_BEHAVIOR => 'false'"},
		{"two", map[string]string{"VERSIONS": "3", "MIN_VERSIONS": "1"}, nil, "MIN_VERSIONS => '1', VERSIONS => '3'"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tallies := newTallies()
			tallies.judgeAttributes(table(tc.want), table(tc.have))
			if tc.told == "" {
				one(t, tallies.attributes.Results(), check.OK)
				return
			}
			one(t, tallies.attributes.Results(), check.Warning, "alter 'n:t', {NAME => 'f', "+tc.told+"}")
		})
	}
}

func TestFamiliesAreCompared(t *testing.T) {
	want := admin.Table{Namespace: "n", Qualifier: "t", Families: []admin.Family{{Name: "a"}, {Name: "b", Attributes: map[string]string{"TTL": "60", "BLOCKSIZE": "1"}}}}
	have := admin.Table{Namespace: "n", Qualifier: "t", Families: []admin.Family{{Name: "a"}, {Name: "own"}}}
	for create, severity := range map[bool]check.Severity{true: check.OK, false: check.Failure} {
		tallies := newTallies()
		tallies.judgeFamilies(want, have, create)
		one(t, tallies.families.Results(), severity)
	}
	tallies := newTallies()
	tallies.judgeFamilies(want, have, false)
	one(t, tallies.families.Results(), check.Failure, "alter 'n:t', {NAME => 'b', TTL => '60'}")
	tallies = newTallies()
	tallies.absent(want, false)
	one(t, tallies.tables.Results(), check.Failure, "create 'n:t', {NAME => 'a'}, {NAME => 'b', TTL => '60'}")
	tallies = newTallies()
	tallies.absent(want, true)
	one(t, tallies.tables.Results(), check.OK)
}

func TestCoprocessorsAreComparedByClass(t *testing.T) {
	table := func(attributes map[string]string) admin.Table {
		return admin.Table{Namespace: "n", Qualifier: "t", Attributes: attributes}
	}
	source := map[string]string{"coprocessor$1": "|org.x.A|1001|", "Coprocessor$2": "hdfs:///b.jar|org.x.B|1|k=v", "OWNER": "|x|"}
	for _, tc := range []struct {
		want, have map[string]string
		lacks      string
	}{
		{nil, nil, ""},
		{source, map[string]string{"coprocessor$7": "file:///a.jar|org.x.A|5|", "coprocessor$1": "org.x.B"}, ""},
		{nil, source, ""},
		{source, map[string]string{"coprocessor$1": "|org.x.A|1|"}, "org.x.B"},
	} {
		tallies := newTallies()
		tallies.judgeCoprocessors(table(tc.want), table(tc.have))
		if tc.lacks == "" {
			one(t, tallies.coprocessors.Results(), check.OK)
			continue
		}
		one(t, tallies.coprocessors.Results(), check.Warning, "lacks the source's coprocessor "+tc.lacks, "alter 'n:t', 'coprocessor' => 'hdfs:///b.jar|org.x.B|1|k=v'")
	}
	all := table(source)
	if got := descriptor.Coprocessors(&all); !maps.Equal(got, map[string]string{"org.x.A": source["coprocessor$1"], "org.x.B": source["Coprocessor$2"]}) {
		t.Errorf("%v", got)
	}
}

// TestRightsThatAreAskedFor: no more than what is done needs.
func TestRightsThatAreAskedFor(t *testing.T) {
	tables := []schema.Table{{Name: "n:there"}, {Name: "n:new"}}
	for _, tc := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"by mutations, but for tags", Config{Mode: Auto}, "WRITE on n:there; WRITE on n:new"},
		{"by mutations", Config{Mode: Mutation}, "WRITE on n:there; WRITE on n:new"},
		{"by replication", Config{Mode: Replication}, "WRITE on the cluster"},
		{"no overwrite", Config{Mode: Auto, NoOverwrite: true}, "WRITE on n:there; WRITE on n:new"},
		{"with tables of its own", Config{Mode: Auto, Create: true}, "CREATE, ADMIN on the cluster; WRITE on n:there"},
		{"with a window", Config{Mode: Auto, LatePutWindow: 1}, "ADMIN on the cluster; WRITE on n:there; WRITE on n:new"},
	} {
		k := &checker{Applier: &Applier{cfg: tc.cfg}, tables: tables}
		var got []string
		for _, g := range k.grants([]string{"n:new"}) {
			got = append(got, g.String())
		}
		if text := strings.Join(got, "; "); text != tc.want {
			t.Errorf("%s: asked for is %s, want %s", tc.name, text, tc.want)
		}
	}
}
