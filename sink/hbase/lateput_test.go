package hbase

import (
	"log/slog"
	"testing"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
)

func TestLatePutWindowOnlyGrows(t *testing.T) {

	for _, tc := range []struct {
		name           string
		table, family  map[string]string
		configuration  map[string]string // the family's
		changed        bool
		is, was        string // on the table
		familyIs, fWas string
	}{
		{"nothing there", nil, nil, nil, true, "60000", NotSet, "", ""},
		{"a smaller one", map[string]string{purgeKey: "5"}, nil, nil, true, "60000", "5", "", ""},
		{"a larger one", map[string]string{purgeKey: "60001"}, nil, nil, false, "60001", "", "", ""},
		{"nonsense", map[string]string{purgeKey: "x"}, nil, nil, true, "60000", "x", "", ""},
		{"raised before", map[string]string{purgeKey: "50", PurgeBeforeKey: "5"}, nil, nil, true, "60000", "5", "", ""},
		{"a family's own", nil, map[string]string{purgeKey: "0"}, nil, true, "60000", NotSet, "60000", "0"},
		{"a family's own, as configuration", nil, nil, map[string]string{purgeKey: "7"}, true, "60000", NotSet, "60000", "7"},
		{"a family's own, larger", map[string]string{purgeKey: "60000"}, map[string]string{purgeKey: "70000"}, nil, false, "60000", "", "70000", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := &Applier{cfg: Config{LatePutWindow: time.Minute, Log: slog.New(slog.DiscardHandler)}}
			shared := []admin.Family{{Name: "f", Attributes: tc.family, Configuration: tc.configuration}, {Name: "g"}}
			table := admin.Table{Namespace: "default", Qualifier: "t", Attributes: tc.table, Families: shared}
			given := len(tc.family)
			if got := a.widen(&table); got != tc.changed {
				t.Errorf("changed %v, want %v", got, tc.changed)
			}
			f := table.Families[0].Attributes
			if table.Attributes[purgeKey] != tc.is || table.Attributes[PurgeBeforeKey] != tc.was || f[purgeKey] != tc.familyIs || f[PurgeBeforeKey] != tc.fWas {
				t.Errorf("table %v, family %v", table.Attributes, f)
			}
			if len(table.Families[1].Attributes) != 0 || len(tc.family) != given || len(shared[0].Attributes) != given {
				t.Errorf("changed what was not to be: %v, %v", table.Families[1], shared[0])
			}
			if a.cfg.LatePutWindow = 0; a.widen(&table) {
				t.Error("changed although there is no window")
			}
		})
	}
}
