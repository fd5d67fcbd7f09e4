package descriptor

import (
	"maps"
	"testing"

	"github.com/waltap/waltap/internal/hbase/admin"
)

func TestRestorePurge(t *testing.T) {
	for _, tc := range []struct {
		name                            string
		attributes, configuration, want map[string]string
		changed                         bool
	}{
		{"never raised", map[string]string{PurgeKey: "5", "A": "b"}, nil, map[string]string{PurgeKey: "5", "A": "b"}, false},
		{"there was none", map[string]string{PurgeKey: "9", PurgeBeforeKey: NotSet, "A": "b"}, nil, map[string]string{"A": "b"}, true},
		{"there was one", map[string]string{PurgeKey: "9", PurgeBeforeKey: "5"}, nil, map[string]string{PurgeKey: "5"}, true},
		{"there was one in the configuration, which is still there", map[string]string{PurgeKey: "9", PurgeBeforeKey: "5"}, map[string]string{PurgeKey: "5"}, map[string]string{}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			given := maps.Clone(tc.attributes)
			d := admin.Table{Attributes: tc.attributes, Configuration: tc.configuration, Families: []admin.Family{{Name: "f", Attributes: tc.attributes, Configuration: tc.configuration}}}
			if changed := RestorePurge(&d); changed != tc.changed {
				t.Errorf("changed is %t", changed)
			}
			if !maps.Equal(d.Attributes, tc.want) || !maps.Equal(d.Families[0].Attributes, tc.want) {
				t.Errorf("got %v, family %v, want %v", d.Attributes, d.Families[0].Attributes, tc.want)
			}
			if !maps.Equal(tc.attributes, given) {
				t.Error("the map that was given has changed")
			}
		})
	}
}
