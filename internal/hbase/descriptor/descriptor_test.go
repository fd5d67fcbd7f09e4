package descriptor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waltap/waltap/internal/hbase/admin"
)

type values map[string]string

func table(attributes values, families ...admin.Family) admin.Table {
	return admin.Table{Namespace: "shop", Qualifier: "t", Attributes: attributes, Families: families}
}

func family(name string, attributes values) admin.Family {
	return admin.Family{Name: name, Attributes: attributes}
}

func names(left []LeftOut) (out []string) {
	for _, l := range left {
		out = append(out, l.Part.String())
	}
	return out
}

func TestWhatIsOfTheClusterStaysBehind(t *testing.T) {
	source := table(values{
		"coprocessor$1": "|com.example.Foo|1001|", "PRIORITY": "100", "READONLY": "true", "hbase.rsgroup.name": "g", "OWNER": "joe", "IS_META": "false",
		"SPLIT_POLICY": "com.example.Splits", "FLUSH_POLICY": "org.apache.hadoop.hbase.regionserver.FlushAllLargeStoresPolicy",
		"hbase.store.file-tracker.impl": "DEFAULT", "hbase.table.sanity.checks": "false", "MAX_FILESIZE": "1073741824", "team": "red.Green",
		PurgeKey: "86400000", PurgeBeforeKey: "60000",
	},
		family("d", values{"REPLICATION_SCOPE": "1", "VERSIONS": "3", "ENCRYPTION_KEY": "\x00\xff", "ENCRYPTION": "AES", PurgeKey: "9", PurgeBeforeKey: NotSet}))
	before := fmt.Sprint(source)
	got, left := Carry(source, nil)
	want := table(values{"FLUSH_POLICY": "org.apache.hadoop.hbase.regionserver.FlushAllLargeStoresPolicy", "MAX_FILESIZE": "1073741824", "team": "red.Green", PurgeKey: "60000"},
		family("d", values{"VERSIONS": "3", "ENCRYPTION": "AES"}))
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	wantLeft := []string{"attribute OWNER", "attribute PRIORITY", "attribute READONLY", "attribute SPLIT_POLICY", "attribute coprocessor$1", "attribute hbase.rsgroup.name",
		"attribute hbase.table.sanity.checks", "attribute ENCRYPTION_KEY of family d"}
	if d := cmp.Diff(wantLeft, names(left)); d != "" {
		t.Errorf("left out, -want +got:\n%s", d)
	}
	if fmt.Sprint(source) != before {
		t.Error("the source's descriptor was changed")
	}
	kept, left := Carry(source, Keep{"coprocessor$*", "REPLICATION_SCOPE"})
	if kept.Attributes["coprocessor$1"] == "" || kept.Families[0].Attributes["REPLICATION_SCOPE"] != "1" || len(left) != len(wantLeft)-1 {
		t.Errorf("kept: %+v, left out: %v", kept, names(left))
	}
	if err := (Keep{"a[b"}).Check(); err == nil {
		t.Error("a pattern that cannot be read was taken")
	}
}

func TestDefaultsAreNotMissed(t *testing.T) {
	got, left := Carry(table(values{"READONLY": "false", "PRIORITY": "0"}, family("d", nil)), nil)
	if len(left) != 0 || got.Attributes["READONLY"] != "false" {
		t.Errorf("%+v, %v", got, names(left))
	}
}

func TestVersionsKnowWhatTheyKnow(t *testing.T) {
	for _, tc := range []struct {
		version, source, name, value string
		left                         bool
	}{
		{"2.6.4-hadoop3", "1.4.14", "DATA_BLOCK_ENCODING", "PREFIX_TREE", true},
		{"1.4.14", "", "DATA_BLOCK_ENCODING", "PREFIX_TREE", false},
		{"1.4.14", "", "DATA_BLOCK_ENCODING", "row_index_v1", false},
		{"1.2.6", "2.6.4", "DATA_BLOCK_ENCODING", "ROW_INDEX_V1", true},
		{"2.6.4", "", "DATA_BLOCK_ENCODING", "FAST_DIFF", false},
		{"2.6.4", "", "DATA_BLOCK_ENCODING", "ZSTD_DIFF", true},
		{"", "", "DATA_BLOCK_ENCODING", "PREFIX_TREE", false},
		{"1.4.14", "2.6.4", "IS_MOB", "true", true},
		{"1.4.14", "2.6.4", "IS_MOB", "false", false},
		{"2.1.0", "", "IS_MOB", "true", false},
		{"2.4.18", "2.6.4", "INDEX_BLOCK_ENCODING", "PREFIX_TREE", true},
		{"2.4.18", "2.6.4", "some.class", "org.apache.hadoop.hbase.regionserver.New", true},
		{"2.6.1", "2.6.4", "some.class", "org.apache.hadoop.hbase.regionserver.New", false},
		{"2.6.4", "", "some.class", "org.apache.hadoop.hbase.regionserver.New", false},
	} {
		x := &Target{Version: tc.version, Source: tc.source}
		fit, left, unchecked, err := x.Fit(t.Context(), table(nil, family("d", values{tc.name: tc.value})), nil)
		if err != nil || unchecked != nil {
			t.Fatal(err, unchecked)
		}
		if _, there := fit.Families[0].Attributes[tc.name]; there == tc.left || (len(left) == 1) != tc.left {
			t.Errorf("%+v: %v, left out %v", tc, fit.Families[0].Attributes, names(left))
		}
		if _, left, _, _ := x.Fit(t.Context(), table(nil, family("d", values{tc.name: tc.value})), Keep{tc.name}); len(left) != 0 {
			t.Errorf("%+v: kept, and left out", tc)
		}
	}
}

// master refuses tables with certain values, and some only together.
func master(_ context.Context, t admin.Table) error {
	a := t.Families[0].Attributes
	switch {
	case a["COMPRESSION"] == "LZO":
		return &admin.TableRefusedError{Reason: "no lzo"}
	case a["BLOOMFILTER"] == "ROWPREFIX_FIXED_LENGTH" && t.Families[0].Configuration["RowPrefixBloomFilter.prefix_length"] == "":
		return &admin.TableRefusedError{Reason: "no length"}
	case a["VERSIONS"] == "0":
		return &admin.TableRefusedError{Reason: "no versions"}
	}
	return nil
}

func TestWhatTheMasterRefusesIsLeftOut(t *testing.T) {
	d := family("d", values{"COMPRESSION": "LZO", "BLOOMFILTER": "ROWPREFIX_FIXED_LENGTH", "VERSIONS": "3", "BLOCKSIZE": "8192"})
	d.Configuration = values{"RowPrefixBloomFilter.prefix_length": "4"}
	x := &Target{Version: "2.6.4", Check: master}
	fit, left, unchecked, err := x.Fit(t.Context(), table(nil, d), nil)
	if err != nil || unchecked != nil || len(left) != 1 || left[0].Name != "COMPRESSION" || !strings.Contains(left[0].Why, "no lzo") {
		t.Fatalf("%+v, %v, %v", left, unchecked, err)
	}
	d.Attributes = values{"BLOOMFILTER": "ROWPREFIX_FIXED_LENGTH", "VERSIONS": "3", "BLOCKSIZE": "8192"}
	if diff := cmp.Diff(table(nil, d), fit); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var refused *admin.TableRefusedError
	if _, _, _, err := x.Fit(t.Context(), table(nil, family("d", values{"COMPRESSION": "LZO"})), Keep{"COMPRESSION"}); !errors.As(err, &refused) {
		t.Errorf("kept: %v", err)
	}
	if _, _, _, err := x.Fit(t.Context(), table(nil, family("d", values{"VERSIONS": "0"})), nil); !errors.As(err, &refused) {
		t.Errorf("what the data needs: %v", err)
	}
	denied := errors.New("denied")
	x.Check = func(context.Context, admin.Table) error { return denied }
	fit, left, unchecked, err = x.Fit(t.Context(), table(nil, family("d", values{"COMPRESSION": "LZO"})), nil)
	if err != nil || !errors.Is(unchecked, denied) || len(left) != 0 || fit.Families[0].Attributes["COMPRESSION"] != "LZO" {
		t.Errorf("not allowed to ask: %v, %v, %v", left, unchecked, err)
	}
}

func TestCompare(t *testing.T) {
	want := table(values{"MAX_FILESIZE": "10", "DURABILITY": "USE_DEFAULT", "cfg": "1"},
		family("d", values{"VERSIONS": "5", "TTL": "100", "KEEP_DELETED_CELLS": "TTL", "BLOCKSIZE": "8192", "IN_MEMORY": "TRUE", "REPLICATION_SCOPE": "1"}),
		family("new", values{"VERSIONS": "1"}))
	want.Configuration = values{"conf": "2"}
	have := table(values{"cfg": "2", "conf": "2", "more": "x", "NORMALIZATION_ENABLED": "true", "IS_META": "false", "waltap.x": "y"},
		family("d", values{"VERSIONS": "3", "TTL": "FOREVER", "MIN_VERSIONS": "2", "KEEP_DELETED_CELLS": "FALSE", "BLOCKSIZE": "65536", "IN_MEMORY": "true", "COMPRESSION": "GZ", "REPLICATION_SCOPE": "1"}),
		family("old", nil))
	part := func(kind Kind, family, name string) Part { return Part{kind, family, name} }
	wanted := []Change{
		{part(Attribute, "", "MAX_FILESIZE"), Addition, "10", "", false},
		{part(Attribute, "", "cfg"), Alteration, "1", "2", false},
		{part(Attribute, "d", "BLOCKSIZE"), Alteration, "8192", "65536", false},
		{part(Attribute, "d", "KEEP_DELETED_CELLS"), Addition, "TTL", "FALSE", false},
		{part(Attribute, "d", "TTL"), Reduction, "100", "FOREVER", false},
		{part(Attribute, "d", "VERSIONS"), Addition, "5", "3", false},
		{part(FamilyKind, "new", ""), Addition, "new", "", false},
		{part(FamilyKind, "old", ""), Extra, "", "old", false},
		{part(Attribute, "", "NORMALIZATION_ENABLED"), Extra, "", "true", false},
		{part(Attribute, "", "more"), Extra, "", "x", false},
		{part(Attribute, "d", "COMPRESSION"), Alteration, "NONE", "GZ", true},
		{part(Attribute, "d", "MIN_VERSIONS"), Reduction, "0", "2", true},
	}
	changes := Compare(want, have)
	if d := cmp.Diff(wanted, changes); d != "" {
		t.Fatalf("-want +got:\n%s", d)
	}
	next, done := Merge(want, have, changes, Addition)
	if len(done) != 4 || next.Family("new") == nil || next.Family("old") == nil || next.Families[0].Attributes["TTL"] != "FOREVER" || have.Families[0].Attributes["VERSIONS"] != "3" {
		t.Errorf("%d changes: %+v", len(done), next)
	}
	for _, c := range Compare(want, next) {
		if c.Class == Addition {
			t.Errorf("after the additions: %+v", c)
		}
	}
	next, _ = Merge(want, have, changes, Addition, Alteration, Reduction)
	for _, c := range Compare(want, next) {
		if c.Class != Extra {
			t.Errorf("after all changes: %+v", c)
		}
	}
}

func TestSinkMayRaiseItsWindow(t *testing.T) {
	want := table(values{PurgeKey: "5"}, family("d", nil))
	have := table(values{PurgeKey: "86400000", PurgeBeforeKey: "5"}, family("d", values{PurgeKey: "86400000", PurgeBeforeKey: NotSet}))
	if c := Compare(want, have); len(c) != 0 {
		t.Errorf("%+v", c)
	}
	delete(have.Attributes, PurgeBeforeKey)
	if c := Compare(want, have); len(c) != 1 {
		t.Errorf("somebody else has raised it: %+v", c)
	}
}

func TestParseVersion(t *testing.T) {
	for s, want := range map[string]version{"2.6.4-hadoop3": {2, 6, 4}, "1.4.14": {1, 4, 14}, "3.0.0-alpha-4": {3, 0, 0}, "2.1.0-cdh6.3.2": {2, 1, 0}, "1.1.2.2.6.5": {1, 1, 2}, "": {}, "x": {}, "2.x": {2}} {
		if got, ok := parseVersion(s); got != want || ok != (want != version{}) {
			t.Errorf("%q: %v, %v", s, got, ok)
		}
	}
}
