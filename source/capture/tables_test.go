package capture

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/schema"
)

func family(name, scope string) admin.Family {
	return admin.Family{Name: name, Attributes: map[string]string{scopeAttribute: scope, "VERSIONS": "3"}}
}

var orders = admin.Table{Namespace: "shop", Qualifier: "orders", Families: []admin.Family{family("a", "0"), family("b", "1")}}

func TestScopeIsRaisedOnlyInTheCopy(t *testing.T) {
	changed, _ := raised(orders, nil, "self")
	if changed == nil {
		t.Fatal("nothing changes though a family has scope 0")
	}
	if diff := cmp.Diff([]string{"a", "b"}, scopedFamilies(*changed)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"b"}, scopedFamilies(orders)); diff != "" {
		t.Error("the table that was given has changed:", diff)
	}
	if changed.Families[0].Attributes["VERSIONS"] != "3" {
		t.Errorf("attributes %v: the others are lost", changed.Families[0].Attributes)
	}
	again, _ := raised(*changed, nil, "self")
	if again != nil {
		t.Error("a table with all scopes set is to be changed again")
	}
}

func TestPeersThatWouldBeginToShip(t *testing.T) {
	for _, tc := range []struct {
		name string
		peer admin.Peer
		want bool
	}{
		{"without a table list", admin.Peer{ID: "p", ReplicateAll: true}, true},
		{"without a table list, ours", admin.Peer{ID: "self", ReplicateAll: true}, false},
		{"excludes the table", admin.Peer{ID: "p", ReplicateAll: true, ExcludeTables: map[string][]string{"shop:orders": nil}}, false},
		{"of the namespace", admin.Peer{ID: "p", Namespaces: []string{"shop"}}, true},
		{"with the table", admin.Peer{ID: "p", Tables: map[string][]string{"shop:orders": nil}}, true},
		{"with the other family only", admin.Peer{ID: "p", Tables: map[string][]string{"shop:orders": {"b"}}}, false},
		{"with another table", admin.Peer{ID: "p", Tables: map[string][]string{"shop:items": nil}}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, would := raised(orders, []admin.Peer{tc.peer}, "self")
			if (len(would) > 0) != tc.want {
				t.Errorf("would ship: %v, want %v", would, tc.want)
			}
		})
	}
}

func TestRequireScopeGivesTheCommand(t *testing.T) {
	none := admin.Table{Namespace: "shop", Qualifier: "items", Families: []admin.Family{family("a", "0"), family("b", "0")}}
	err := requireScope([]admin.Table{orders, none})
	if err == nil || strings.Contains(err.Error(), "shop:orders") || !strings.Contains(err.Error(), "alter 'shop:items', {NAME => 'a', REPLICATION_SCOPE => '1'}, {NAME => 'b', REPLICATION_SCOPE => '1'}") {
		t.Errorf("got %v", err)
	}
	if err := requireScope([]admin.Table{orders}); err != nil {
		t.Errorf("a table with one scoped family: %v", err)
	}
}

func TestDescriptorHoldsWhatIsCaptured(t *testing.T) {
	c := captured{Table: orders, name: "shop:orders", families: []string{"b"}, state: tableState{Epoch: 4}}
	regions := []admin.Region{{Start: nil}, {Start: []byte("m")}}
	d := descriptor(c, regions, false)
	if d.Name != "shop:orders" || d.Epoch != 4 || len(d.Splits) != 1 || string(d.Splits[0]) != "m" {
		t.Errorf("descriptor %+v", d)
	}
	if len(d.Families) != 1 || d.Families[0].Name != "b" {
		t.Fatalf("families %+v, want the captured one", d.Families)
	}
	if diff := cmp.Diff(map[string]string{"VERSIONS": "3"}, d.Families[0].Attributes); diff != "" {
		t.Error("the scope must not travel: the target's own peers would ship the copy:", diff)
	}
	c.Table.Families = []admin.Family{{Name: "b", Attributes: map[string]string{ttlAttribute: "60", "VERSIONS": "3"}}}
	for drop, want := range map[bool]map[string]string{false: {ttlAttribute: "60", "VERSIONS": "3"}, true: {"VERSIONS": "3"}} {
		if diff := cmp.Diff(want, descriptor(c, regions, drop).Families[0].Attributes); diff != "" {
			t.Errorf("cell.ttl.drop %v: %s", drop, diff)
		}
	}
}

func TestClusterKey(t *testing.T) {
	for want, quorum := range map[string][]string{
		"zk:2181:/w":            {"zk:2181"},
		"a,b:2182:/w":           {"a:2182", "b:2182"},
		"a:2181,b:2182:2182:/w": {"a:2181", "b:2182"},
	} {
		c := &Capture{process: &process{cfg: Config{PeerQuorum: quorum, PeerRoot: "/w"}}}
		if got := c.clusterKey(); got != want {
			t.Errorf("%v: %s, want %s", quorum, got, want)
		}
	}
}

func TestPeerCarriesExactlyTheCapturedTables(t *testing.T) {
	column, err := schema.ParseColumnPattern("shop:orders:[ab]")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name        string
		scope       schema.Scope
		same        []map[string][]string
		other       []map[string][]string
		newFamilies bool // are shipped
	}{
		{"whole tables", schema.Scope{}, []map[string][]string{{"shop:orders": nil}, {"shop:orders": {}}},
			[]map[string][]string{{"shop:orders": {"a", "b"}}, {"shop:orders": nil, "shop:x": nil}, {}}, true},
		{"some columns", schema.Scope{Columns: []schema.ColumnPattern{column}}, []map[string][]string{{"shop:orders": {"a", "b"}}},
			[]map[string][]string{{"shop:orders": {"a"}}, {"shop:orders": nil}, {"shop:orders": {"a", "b"}, "shop:x": nil}, {}}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := &Capture{process: &process{cfg: Config{Connector: "conn", PeerID: "p", PeerQuorum: []string{"zk:2181"}, PeerRoot: "/w", Scope: tc.scope}},
				tables: []captured{{name: "shop:orders", families: []string{"b", "a"}}}}
			p := c.peer("id")
			if p.Enabled || p.ReplicateAll || p.Config[MarkKey] != "conn" || p.Config[captureKey] != "id" {
				t.Errorf("peer %+v, want it held, with our mark", p)
			}
			if p.Ships("shop:orders", "new") != tc.newFamilies || !p.Ships("shop:orders", "a") {
				t.Errorf("peer %+v", p)
			}
			for _, same := range tc.same {
				if !c.sameTables(&admin.Peer{Tables: same}) {
					t.Errorf("%v counts as different", same)
				}
			}
			for _, other := range tc.other {
				if c.sameTables(&admin.Peer{Tables: other}) {
					t.Errorf("%v counts as the same", other)
				}
			}
		})
	}
}

func TestNewFamiliesAreRefused(t *testing.T) {
	c := captured{name: "shop:orders", families: []string{"a", "b"}, state: tableState{Families: []string{"b"}}}
	if err := c.checkFamilies(); err == nil || !strings.Contains(err.Error(), "family a") {
		t.Errorf("got %v, want family a named: what it held before was never scanned", err)
	}
	c.state.Families = []string{"a", "b", "c"}
	if err := c.checkFamilies(); err != nil {
		t.Error(err)
	}
}
