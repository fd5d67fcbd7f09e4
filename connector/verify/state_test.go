package verify

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source/scan"
)

// TestPartsCountInTheirOrder settles parts out of order: a unit is as far as all before it are judged.
func TestPartsCountInTheirOrder(t *testing.T) {
	var mu sync.Mutex
	var live Counts
	u := &unit{mu: &mu}
	parts := make([]*part, 3)
	for i := range parts {
		parts[i] = u.begin(&live)
		parts[i].suspect()
		parts[i].count(&Counts{GoodRows: 10})
	}
	parts[0].close([]byte("b"), false)
	parts[1].close([]byte("c"), false)
	if bad := parts[1].settled(&Counts{BadRows: 1, Differences: map[Kind]int64{Value: 2}}); bad != 1 {
		t.Errorf("%d rows are bad so far, want 1", bad)
	}
	if len(u.upto) > 0 || u.counts.GoodRows != 0 || live.GoodRows != 30 || live.BadRows != 1 {
		t.Errorf("the first part is not judged: up to %q, %+v, live %+v", u.upto, u.counts, live)
	}
	parts[0].settled(&Counts{GoodRows: 1})
	if string(u.upto) != "c" || u.done || u.counts.GoodRows != 21 || u.counts.Differences[Value] != 2 {
		t.Errorf("two parts are judged: up to %q, %+v", u.upto, u.counts)
	}
	parts[2].settled(&Counts{GoodRows: 1})
	if u.done {
		t.Error("done before the last part is closed")
	}
	parts[2].close(nil, true)
	if !u.done || u.counts.GoodRows != 32 || len(u.parts) != 0 {
		t.Errorf("done %v, %+v", u.done, u.counts)
	}
}

// TestResumedDifferences keeps the lines of rows that were judged, and of no others.
func TestResumedDifferences(t *testing.T) {
	dir := t.TempDir()
	file, stateFile := filepath.Join(dir, "d.jsonl"), filepath.Join(dir, "state.json")
	d, err := openDifferences(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{"a", "f", "m", "z"} {
		if err := d.write(&Difference{Table: "default:t", Row: []byte(row), Kind: Value}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"table":"default:t","ro`); err != nil { // cut off by a kill
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	state := `{"formatVersion":1,"comparison":"x","ranges":[
		{"table":"default:t","start":"","end":"Zw==","upto":"Yg==","done":false},
		{"table":"default:t","start":"Zw==","end":"eA==","done":true},
		{"table":"default:t","start":"eA==","end":"","done":false}]}`
	if err := os.WriteFile(stateFile, []byte(state), 0o600); err != nil {
		t.Fatal(err)
	}
	was, err := readState(stateFile)
	if err != nil {
		t.Fatal(err)
	}
	if d, err = openDifferences(file, was); err != nil {
		t.Fatal(err)
	}
	if err := d.write(&Difference{Table: "default:t", Row: []byte("f2")}); err != nil {
		t.Fatal(err)
	}
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	var rows []string
	if err := ReadDifferences(file, func(d *Difference) error { rows = append(rows, string(d.Row)); return nil }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(rows, []string{"a", "m", "f2"}) {
		t.Errorf("kept %q", rows)
	}
	for _, bad := range []string{`{"formatVersion":2}`, `{`, ``} {
		if err := os.WriteFile(stateFile, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readState(stateFile); err == nil {
			t.Errorf("state %q: no error", bad)
		}
	}
}

func TestOptionsCheck(t *testing.T) {
	good := Options{Tables: []string{"default:t"}}
	for _, tt := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) {}, ""},
		{func(o *Options) { o.Tables = nil }, "no table"},
		{func(o *Options) { o.RowStart, o.RowStop = []byte("b"), []byte("a") }, "no row lies"},
		{func(o *Options) { o.MinTimestamp, o.MaxTimestamp = 5, 5 }, "no timestamp lies"},
		{func(o *Options) { o.Versions = 2 }, "visible"},
		{func(o *Options) { o.Mode = SampleRows }, "ratio"},
		{func(o *Options) { o.Mode, o.SampleRatio = SampleRegions, 1.5 }, "ratio"},
		{func(o *Options) { o.Mode = Changed }, "pipeline must be given"},
		{func(o *Options) { o.Mode, o.Pipeline = Changed, &Pipeline{} }, "since when"},
		{func(o *Options) { o.Mode = "some" }, "is none of"},
		{func(o *Options) { o.Resume = true }, "no state file"},
	} {
		o := good
		tt.change(&o)
		o.withDefaults()
		err := o.check()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
}

// TestFingerprint: every option that says what is compared is part of it.
func TestFingerprint(t *testing.T) {
	base := Options{Tables: []string{"default:t"}}
	renames, err := schema.ParseRenames("t=u")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{base.fingerprint("s", "t"): true, base.fingerprint("s", "u"): true}
	changes := []func(*Options){
		func(o *Options) { o.Tables = []string{"default:u"} }, func(o *Options) { o.Mapping.Tables = renames },
		func(o *Options) { o.Mapping.Families = schema.FamilyRenames{"": {"a": "b"}} },
		func(o *Options) { o.Scope = &schema.Scope{KeysOnly: true} }, func(o *Options) { o.RowStart = []byte("a") }, func(o *Options) { o.RowStop = []byte("a") },
		func(o *Options) { o.MinTimestamp = 1 }, func(o *Options) { o.MaxTimestamp = 1 }, func(o *Options) { o.Families = []string{"a"} },
		func(o *Options) { o.Visible = true }, func(o *Options) { o.Visible, o.Versions = true, 1 },
		func(o *Options) { o.Mode = SampleRows }, func(o *Options) { o.SampleRatio = 0.5 },
	}
	for i, change := range changes {
		o := base
		change(&o)
		if f := o.fingerprint("s", "t"); seen[f] {
			t.Errorf("change %d leaves the fingerprint %s", i, f)
		} else {
			seen[f] = true
		}
	}
	o := base
	o.Parallel, o.Limits = 9, scan.Limits{RowsPerSecond: 1}
	if !seen[o.fingerprint("s", "t")] {
		t.Error("how fast it is compared changes the fingerprint")
	}
}

func TestSampleIsEvenAndStable(t *testing.T) {
	n := 0
	for i := range 100_000 {
		if chosen(fmt.Appendf(nil, "row-%06d", i), 0.1) {
			n++
		}
	}
	if n < 9_000 || n > 11_000 {
		t.Errorf("a tenth of 100000 rows: %d", n)
	}
	var shards []scan.Shard
	for i := range 40 {
		shards = append(shards, scan.Shard{Table: "default:t", Start: fmt.Appendf(nil, "%02d", i)})
	}
	shards = append(shards, scan.Shard{Table: "default:small"})
	got := sample(shards, 0.25)
	if len(got) != 11 || got[10].Table != "default:small" {
		t.Errorf("a quarter of 40 regions, and one of the small table: %d", len(got))
	}
	again := sample(shards, 0.25)
	for i := range got {
		if string(got[i].Start) != string(again[i].Start) {
			t.Error("another sample in another run")
		}
	}
}

func TestAboutFamily(t *testing.T) {
	for _, tt := range []struct {
		attributes map[string]string
		want       familyAbout
	}{
		{nil, familyAbout{versions: 1}},
		{map[string]string{"VERSIONS": "3", "TTL": "2147483647", "KEEP_DELETED_CELLS": "FALSE", "NEW_VERSION_BEHAVIOR": "false"}, familyAbout{versions: 3}},
		{map[string]string{"TTL": "86400 SECONDS (1 DAY)", "KEEP_DELETED_CELLS": "TTL"}, familyAbout{versions: 1, ttl: 86_400_000, keepDeleted: true}},
		{map[string]string{"TTL": "FOREVER", "NEW_VERSION_BEHAVIOR": "TRUE", "KEEP_DELETED_CELLS": "true"}, familyAbout{versions: 1, keepDeleted: true, newVersions: true}},
	} {
		if got := aboutFamily(&admin.Family{Attributes: tt.attributes}); got != tt.want {
			t.Errorf("%v: %+v, want %+v", tt.attributes, got, tt.want)
		}
	}
}
