package hbase

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
)

func mapping(t *testing.T, tables, namespaces, families string) (m schema.Mapping) {
	t.Helper()
	var errs [3]error
	m.Tables, errs[0] = schema.ParseRenames(tables)
	m.Namespaces, errs[1] = schema.ParseNamespaceRenames(namespaces)
	m.Families, errs[2] = schema.ParseFamilyRenames(families)
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	return m
}

func families(names ...string) *schema.Table {
	d := &schema.Table{Name: "shop:t"}
	for _, n := range names {
		d.Families = append(d.Families, schema.Family{Name: n, Attributes: map[string]string{"VERSIONS": n}})
	}
	return d
}

func of(family string) *schema.Change {
	return &schema.Change{Table: "shop:t", Cells: []schema.Cell{{Family: []byte(family), Type: schema.DeleteFamily}}}
}

func TestTablesAreMadeWithTheRenamedFamilies(t *testing.T) {
	a := &Applier{cfg: Config{Mapping: mapping(t, "", "shop=store", "data=d, shop:t:other=o")}}
	d := families("data", "other", "third")
	tbl, err := a.mapTable("shop:t", a.cfg.Mapping.Table("shop:t"), d)
	if err != nil {
		t.Fatal(err)
	}
	made := adminTable(d, tbl)
	got := ""
	for _, f := range made.Families {
		got += f.Name + "=" + f.Attributes["VERSIONS"] + " "
	}
	if made.FullName() != "store:t" || tbl.wire != "store:t" || got != "d=data o=other third=third " {
		t.Errorf("table %s with %s", made.FullName(), got)
	}
	if f := tbl.family([]byte("data")); string(f) != "d" {
		t.Errorf("the family of a delete marker is %s", f)
	}
}

func TestRenamesThatMergeFamiliesAreRefused(t *testing.T) {
	a := &Applier{cfg: Config{Mapping: mapping(t, "", "", "a=b")}}
	var permanent *sink.PermanentError
	_, err := a.mapTable("shop:t", "shop:t", families("a", "b"))
	if !errors.As(err, &permanent) || !strings.Contains(err.Error(), "hbase.family.rename: table shop:t: families a and b would both be written to family b") {
		t.Errorf("both are there: %v", err)
	}
	// A table that has only one of the two is all right, until the other comes.
	for _, tc := range []struct {
		known  *schema.Table
		family string
		want   bool
	}{
		{families("b"), "b", false}, {families("a"), "a", false}, {families("a", "c"), "b", true}, {nil, "b", true}, {nil, "a", false}, {nil, "c", false},
	} {
		tbl, err := a.mapTable("shop:t", "shop:t", tc.known)
		if err != nil {
			t.Fatal(err)
		}
		if _, got := tbl.merges(of(tc.family)); got != tc.want {
			t.Errorf("%+v, a cell of %s: merges %v", tc.known, tc.family, got)
		}
	}
	a.ready = map[string]*table{}
	a.ready["shop:t"], err = a.mapTable("shop:t", "shop:t", families("a"))
	if err != nil {
		t.Fatal(err)
	}
	a.ready["shop:t"].families, a.ready["shop:t"].seen = map[string]bool{"b": true}, time.Now()
	if _, err := a.table(t.Context(), "p.shop.t", of("b")); !errors.As(err, &permanent) || !strings.Contains(err.Error(), "would be merged") {
		t.Errorf("a family that came later: %v", err)
	}
}

func TestRenamesThatMergeTablesAreRefused(t *testing.T) {
	a := &Applier{cfg: Config{Mapping: mapping(t, "shop:a=shop:b", "", "")}, sources: map[string]string{"shop:b": "shop:a"}}
	var permanent *sink.PermanentError
	err := a.checkSources("p.shop.b", "shop:b", "shop:b", nil)
	if !errors.As(err, &permanent) || !strings.Contains(err.Error(), "shop:a and shop:b would both be written to shop:b") {
		t.Errorf("got %v", err)
	}
	if err := a.checkSources("p.shop.a", "shop:a", "shop:b", nil); err != nil {
		t.Errorf("the same table once more: %v", err)
	}
	// Two sources may feed one table on purpose: nothing is renamed there.
	a.cfg.Mapping = schema.Mapping{}
	if err := a.checkSources("p.shop.b", "shop:b", "shop:b", nil); err != nil {
		t.Errorf("without a rename: %v", err)
	}
}
