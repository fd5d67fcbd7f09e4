package schema

import (
	"slices"
	"strings"
	"testing"
)

func TestRenames(t *testing.T) {
	r, err := ParseRenames(" orders = default:orders_copy, a:b=c:d,, x:y=z ")
	if err != nil {
		t.Fatal(err)
	}
	m := Mapping{Tables: r}
	for from, want := range map[string]string{
		"default:orders": "default:orders_copy", "a:b": "c:d", "x:y": "default:z", "c:d": "c:d", "other:t": "other:t",
	} {
		if got := m.Table(from); got != want {
			t.Errorf("Table(%q) = %q, want %q", from, got, want)
		}
	}
	const text = "a:b=c:d,default:orders=default:orders_copy,x:y=default:z"
	if r.String() != text {
		t.Errorf("String() = %q, want %q", r, text)
	}
	if err := m.CheckTables([]string{"a:b", "x:y", "a:b"}); err != nil {
		t.Errorf("CheckTables: %v", err)
	}
	const clash = "check renames: a:b and c:d would both be written to c:d: rename one of them to another table"
	if err := m.CheckTables([]string{"a:b", "c:d"}); err == nil || err.Error() != clash {
		t.Errorf("CheckTables: %v\nwant %s", err, clash)
	}
	var none Mapping
	if none.Table("a:b") != "a:b" || none.Tables.String() != "" || none.Families.Of("a:b").Apply("f") != "f" {
		t.Error("the zero Mapping renames")
	}
	empty, err := ParseRenames("")
	if err != nil || empty.String() != "" {
		t.Errorf("empty: %v", err)
	}
}

func TestNamespacesAreRenamed(t *testing.T) {
	tables, err := ParseRenames("shop:a=b, shop:stays=shop:stays")
	if err != nil {
		t.Fatal(err)
	}
	namespaces, err := ParseNamespaceRenames("shop=store, default=old")
	if err != nil {
		t.Fatal(err)
	}
	m := Mapping{Tables: tables, Namespaces: namespaces}
	for from, want := range map[string]string{"shop:x": "store:x", "default:x": "old:x", "other:x": "other:x", "shop:a": "default:b", "shop:stays": "shop:stays"} {
		if got := m.Table(from); got != want {
			t.Errorf("Table(%q) = %q, want %q", from, got, want)
		}
	}
	if err := m.CheckTables([]string{"shop:x", "store:y", "default:b", "shop:a"}); err != nil {
		t.Errorf("CheckTables: %v", err)
	}
	const clash = "shop:x and store:x would both be written to store:x"
	if err := m.CheckTables([]string{"shop:x", "store:x"}); err == nil || !strings.Contains(err.Error(), clash) {
		t.Errorf("CheckTables: %v, want %s", err, clash)
	}
	for s, want := range map[string]string{
		"a":        `parse rename "a": want namespace=namespace`,
		"a=b, c=b": `parse rename "c=b": a is renamed to b too, which would merge the two namespaces`,
		"a=b:c":    `parse rename "a=b:c": "b:c" is no namespace of HBase: letters, digits, '_', '-' and '.'`,
		"=b":       `parse rename "=b": "" is no namespace of HBase: letters, digits, '_', '-' and '.'`,
	} {
		if _, err := ParseNamespaceRenames(s); err == nil || err.Error() != want {
			t.Errorf("%s: %v\nwant %s", s, err, want)
		}
	}
}

func TestFamiliesAreRenamed(t *testing.T) {
	r, err := ParseFamilyRenames("a=b, b=a, shop:t:a=x, shop:t:c=y")
	if err != nil {
		t.Fatal(err)
	}
	for table, want := range map[string]string{"default:t": "bacd", "shop:t": "xayd"} {
		of, got := r.Of(table), ""
		for _, f := range []string{"a", "b", "c", "d"} {
			got += of.Apply(f)
		}
		if got != want {
			t.Errorf("%s: a, b, c, d are renamed to %s, want %s", table, got, want)
		}
	}
	if err := r.Of("default:t").Check([]string{"a", "b", "c"}); err != nil {
		t.Errorf("Check: %v", err)
	}
	const clash = "families a and x would both be written to family x"
	if err := r.Of("shop:t").Check([]string{"a", "x"}); err == nil || !strings.Contains(err.Error(), clash) {
		t.Errorf("Check: %v, want %s", err, clash)
	}
	for s, want := range map[string]string{
		"a":             `want family=family or namespace:table:family=family`,
		"t:a=b":         `"t" is not namespace:table`,
		"a=b:c":         `"b:c" is no name of a family of HBase`,
		"a=":            `"" is no name of a family of HBase`,
		"a=.b":          `".b" is no name of a family of HBase`,
		"a=b, c=b":      `a is renamed to b too, which would merge the two families`,
		"a=b, a=c":      `a is renamed to b already`,
		"a=b, n:t:c=b":  `table n:t: families a and c would both be written to family b`,
		"n:t/u:a=b":     `HBase does not allow '/' in it`,
		"n:t:a=b, n:t=": `"n" is not namespace:table`,
	} {
		if _, err := ParseFamilyRenames(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", s, err, want)
		}
	}
}

func TestRenameFaults(t *testing.T) {
	_, err := ParseRenames("a:b, a:b=c:d, a:b=e:f, g:h=c:d, i:j=")
	if err == nil {
		t.Fatal("accepted")
	}
	want := []string{
		`parse rename "a:b": want namespace:table=namespace:table`,
		`parse rename "a:b=e:f": a:b is renamed to c:d already`,
		`parse rename "g:h=c:d": a:b is renamed to c:d too, which would merge the two tables`,
		`parse rename "i:j=": check table name "default:": want table or namespace:table`,
	}
	if got := strings.Split(err.Error(), "\n"); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
