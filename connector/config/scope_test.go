package config

import (
	"strings"
	"testing"
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
