package config

import (
	"strings"
	"testing"

	"github.com/waltap/waltap/schema"
)

func sourceWith(more map[string]string) map[string]string {
	m := map[string]string{"connector.class": "HBaseSource", "hbase.zookeeper.quorum": "zk", "topic.prefix": "p", "table.include.list": "t"}
	for k, v := range more {
		m[k] = v
	}
	return m
}

func TestScopeKeys(t *testing.T) {
	c, err := ParseConnector("c", sourceWith(map[string]string{
		"row.start": `a\x00b\`, "row.stop": "b", "column.include.list": "default:t:a, default:t:b:q{1,2}",
		"snapshot.timestamp.min": "5", "snapshot.timestamp.max": "9",
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := `rows ["a\x00b\\", "b"); columns default:t:a, default:t:b:q{1,2}; scanned timestamps [5, 9)`
	if got := c.Source.Scope.String(); got != want {
		t.Errorf("scope %s, want %s", got, want)
	}
	for fault, keys := range map[string]map[string]string{
		"is no pattern":              {"row.include.list": "user"},
		"matches everything":         {"value.exclude.list": "prefix:"},
		"no table stands before":     {"value.exclude.list": " =prefix:a"},
		"not a regular expression":   {"qualifier.include.list": "shop:(=prefix:a"},
		"the list is empty":          {"qualifier.exclude.list": " , "},
		`\\xzz`:                      {"row.exclude.list": `exact:\xzz`},
		"no row lies between":        {"row.start": "b", "row.stop": "a"},
		"no timestamp lies between":  {"snapshot.timestamp.min": "9", "snapshot.timestamp.max": "9"},
		"two hexadecimal digits":     {"row.start": `\xzz`},
		"is not namespace:table:fam": {"column.include.list": "a"},
	} {
		if _, err := ParseConnector("c", sourceWith(keys)); err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%v: %v, want %s", keys, err, fault)
		}
	}
}

func TestFilterKeys(t *testing.T) {
	c, err := ParseConnector("c", sourceWith(map[string]string{
		"row.include.list": `prefix:a\x00\x2c\x20, shop:.*=exact:k=v, t=anywhere:(`, "row.exclude.list": "postfix:-test",
		"qualifier.include.list": "exact:", "value.exclude.list": `prefix:x\x3dexact:y`, "cell.keys.only": "true", "cell.ttl.drop": "true",
	}))
	if err != nil {
		t.Fatal(err)
	}
	s := &c.Source.Scope
	want := `rows include prefix:"a\x00, ", shop:.*=exact:"k=v", t=anywhere:"("; rows exclude postfix:"-test"; ` +
		`qualifiers include exact:""; values exclude prefix:"x=exact:y"; keys only; no TTL`
	if got := s.String(); got != want {
		t.Errorf("scope %s, want %s", got, want)
	}
	for table, rows := range map[string]map[string]bool{
		"default:t": {"a\x00, b": true, "x(y": true, "k=v": false, "(-test": false},
		"shop:t":    {"a\x00, b": true, "x(y": false, "k=v": true, "k=v2": false},
	} {
		for row, want := range rows {
			if got := s.Keeper(table).Keep([]byte(row), &schema.Cell{Type: schema.Put}); got != want {
				t.Errorf("%s %q: captured %v", table, row, got)
			}
		}
	}
}
