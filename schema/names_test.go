package schema

import (
	"slices"
	"strings"
	"testing"
)

func TestDataTopic(t *testing.T) {
	cases := []struct{ prefix, table, want string }{
		{"orders", "default:orders", "orders.default.orders"},
		{"orders", "orders", "orders.default.orders"},
		{"p-1_x.y", "shop:A.b-c_d", "p-1_x.y.shop.A.b-c_d"},
		{"p", "ns:größe", "p.ns.gr__e"},
		{"p", "ns:" + strings.Repeat("x", 244), "p.ns." + strings.Repeat("x", 244)},
	}
	for _, tc := range cases {
		got, err := DataTopic(tc.prefix, tc.table)
		if err != nil || got != tc.want {
			t.Errorf("DataTopic(%q, %q) = %q, %v, want %q", tc.prefix, tc.table, got, err, tc.want)
			continue
		}
		if prefix, ok := PrefixOfTopic(got, tc.table); !ok || prefix != tc.prefix {
			t.Errorf("PrefixOfTopic(%q, %q) = %q, %v", got, tc.table, prefix, ok)
		}
	}
}

func TestDataTopicFaults(t *testing.T) {
	cases := []struct{ prefix, table, want string }{
		{"", "a:b", `check topic prefix: it is empty`},
		{"a b", "a:b", `check topic prefix "a b": Kafka does not allow ' ' in a topic: use letters, digits, '.', '_' and '-'`},
		{"__waltap-x", "a:b", `check topic prefix "__waltap-x": topics that begin with __waltap- are waltap's internal ones`},
		{strings.Repeat("x", 230), "a:b", `check topic prefix "` + strings.Repeat("x", 230) + `": 230 characters, the limit is 229`},
		{"p", ":b", `name topic of table ":b": want namespace:table`},
		{"p", "a:", `name topic of table "a:": want namespace:table`},
		{"p", "a:b:c", `name topic of table "a:b:c": want namespace:table`},
		{"p", "", `name topic of table "": want namespace:table`},
		{"p", "ns:" + strings.Repeat("x", 245), `name topic of table ns:` + strings.Repeat("x", 245) + `: "p.ns.` + strings.Repeat("x", 245) + `" has 250 characters, Kafka's limit is 249: choose a shorter topic.prefix`},
	}
	for _, tc := range cases {
		if got, err := DataTopic(tc.prefix, tc.table); err == nil || err.Error() != tc.want {
			t.Errorf("DataTopic(%q, %q) = %q, %v\nwant %s", tc.prefix, tc.table, got, err, tc.want)
		}
	}
}

func TestTopicCollisions(t *testing.T) {
	cases := []struct {
		tables []string
		want   string
	}{
		{[]string{"default:a", "a", "default:b", "x:a"}, ""},
		{[]string{"a.b:c", "a:b.c"}, "check topics: tables a.b:c and a:b.c would share the topic p.a.b.c: capture one of them by a connector with another topic.prefix"},
		{[]string{"a:ä", "a:ö"}, "check topics: tables a:ä and a:ö would share the topic p.a._: capture one of them by a connector with another topic.prefix"},
		{[]string{"a:b.c", "a:x", "a:b_c"}, "check topics: the topics p.a.b.c of table a:b.c and p.a.b_c of table a:b_c differ only in '.' and '_', which Kafka refuses: capture one of them by a connector with another topic.prefix"},
		{[]string{"a:"}, `name topic of table "a:": want namespace:table`},
	}
	for _, tc := range cases {
		err := CheckTopicCollisions("p", tc.tables)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || err.Error() != tc.want) {
			t.Errorf("%q: %v\nwant %s", tc.tables, err, tc.want)
		}
	}
}

func TestPrefixOfTopic(t *testing.T) {
	for topic, table := range map[string]string{
		".a.b": "a:b", "a.b": "a:b", "p.a.bc": "a:b", "p.a.b.": "a:b", "p q.a.b": "a:b", "__waltap-tables.a.b": "a:b", "p.a.": "a:", "": "a:b",
	} {
		if prefix, ok := PrefixOfTopic(topic, table); ok {
			t.Errorf("PrefixOfTopic(%q, %q) = %q", topic, table, prefix)
		}
	}
	if prefix, ok := PrefixOfTopic("x.default.t", "t"); !ok || prefix != "x" {
		t.Errorf("table without a namespace: %q, %v", prefix, ok)
	}
}

func TestInternalTopics(t *testing.T) {
	got := []string{TablesTopic("p"), SchemaTopic("p"), WatermarksTopic("p"), OffsetsTopic("p")}
	want := []string{"__waltap-tables.p", "__waltap-schema.p", "__waltap-watermarks.p", "__waltap-offsets.p"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	longest := strings.Repeat("x", maxTopicLength-len(watermarksTopic))
	if err := CheckPrefix(longest); err != nil || len(WatermarksTopic(longest)) != maxTopicLength {
		t.Errorf("longest prefix: %v, topic of %d characters", err, len(WatermarksTopic(longest)))
	}
}

func TestTableNames(t *testing.T) {
	for name, want := range map[string][3]string{
		"orders":         {"default:orders", "default", "orders"},
		"default:orders": {"default:orders", "default", "orders"},
		"shop:a.b-c_d":   {"shop:a.b-c_d", "shop", "a.b-c_d"},
	} {
		ns, q := SplitTable(name)
		if got := [3]string{NormalizeTable(name), ns, q}; got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
		if err := CheckTable(name); err != nil {
			t.Errorf("CheckTable(%q): %v", name, err)
		}
	}
	for name, want := range map[string]string{
		"":      `check table name "": want table or namespace:table`,
		":t":    `check table name ":t": want table or namespace:table`,
		"n:":    `check table name "n:": want table or namespace:table`,
		"n:t:u": `check table name "n:t:u": HBase does not allow ':' in it`,
		"n:t u": `check table name "n:t u": HBase does not allow ' ' in it`,
		"n:.t":  `check table name "n:.t": HBase does not allow a table name to begin with '.'`,
		"-t":    `check table name "-t": HBase does not allow a table name to begin with '-'`,
	} {
		if err := CheckTable(name); err == nil || err.Error() != want {
			t.Errorf("CheckTable(%q): %v\nwant %s", name, err, want)
		}
	}
}
