package schema

import (
	"bytes"
	"regexp"
	"testing"
)

// tablesRE chooses tables by an expression.
type tablesRE struct{ *regexp.Regexp }

func (t tablesRE) Match(table string) bool { return t.MatchString(table) }

func onlyOf(tables string, p BytePattern) BytePattern {
	p.Tables = tablesRE{regexp.MustCompile("^(?:" + tables + ")$")}
	return p
}

func pattern(kind PatternKind, b string) BytePattern {
	return BytePattern{Kind: kind, Bytes: []byte(b)}
}

func TestBytePatterns(t *testing.T) {
	for _, tc := range []struct {
		p       BytePattern
		matches []string
		others  []string
	}{
		{pattern(Anywhere, "\x00b"), []string{"\x00b", "a\x00bc"}, []string{"", "ab", "\x00"}},
		{pattern(Prefix, "ab"), []string{"ab", "abc"}, []string{"", "a", "cab"}},
		{pattern(Postfix, "\xff"), []string{"\xff", "a\xff"}, []string{"", "\xffa"}},
		{pattern(Exact, "ab"), []string{"ab"}, []string{"", "abc", "cab"}},
		{pattern(Exact, ""), []string{""}, []string{"a"}},
	} {
		for _, s := range tc.matches {
			if !tc.p.matches([]byte(s)) {
				t.Errorf("%s does not match %q", tc.p.String(), s)
			}
		}
		for _, s := range tc.others {
			if tc.p.matches([]byte(s)) {
				t.Errorf("%s matches %q", tc.p.String(), s)
			}
		}
	}
}

func TestFiltersOfCells(t *testing.T) {
	s := Scope{
		Rows: ByteFilter{
			Include: []BytePattern{pattern(Prefix, "user"), onlyOf("shop:.*", pattern(Exact, "other"))},
			Exclude: []BytePattern{pattern(Postfix, "-test")},
		},
		Qualifiers: ByteFilter{Exclude: []BytePattern{onlyOf("default:t", pattern(Anywhere, "secret"))}},
		Values:     ByteFilter{Include: []BytePattern{pattern(Prefix, "EU"), pattern(Exact, "")}},
	}
	for _, tc := range []struct {
		table, row, qualifier string
		t                     CellType
		value                 string
		want                  bool
	}{
		{"default:t", "user1", "q", Put, "EU:1", true},
		{"default:t", "user1", "q", Put, "", true},
		{"default:t", "user1", "q", Put, "US:1", false},
		{"default:t", "user1-test", "q", Put, "EU:1", false},
		{"default:t", "other", "q", Put, "EU:1", false},
		{"shop:t", "other", "q", Put, "EU:1", true},
		{"default:t", "user1", "the secret one", Put, "EU:1", false},
		{"shop:t", "user1", "the secret one", Put, "EU:1", true},
		// What deletes is never held up by a value, and a family's marker by no qualifier.
		{"default:t", "user1", "q", Delete, "", true},
		{"default:t", "user1", "q", DeleteColumn, "US", true},
		{"default:t", "user1", "the secret one", DeleteColumn, "", false},
		{"default:t", "user1", "the secret one", Delete, "", false},
		{"default:t", "user1", "", DeleteFamily, "", true},
		{"default:t", "user1", "", DeleteFamilyVersion, "", true},
		{"default:t", "user1-test", "", DeleteFamily, "", false},
	} {
		c := Cell{Family: []byte("f"), Qualifier: []byte(tc.qualifier), Type: tc.t, Value: []byte(tc.value), Tags: []byte("not looked at")}
		if got := s.Keeper(tc.table).Keep([]byte(tc.row), &c); got != tc.want {
			t.Errorf("%s %q %q %s %q: kept %v", tc.table, tc.row, tc.qualifier, tc.t, tc.value, got)
		}
		if string(c.Value) != tc.value || string(c.Tags) != "not looked at" {
			t.Errorf("%q %q: the cell has become %+v", tc.row, tc.qualifier, c)
		}
	}
	if onlyShop := (&Scope{Rows: ByteFilter{Include: []BytePattern{onlyOf("shop:.*", pattern(Exact, "x"))}}}); onlyShop.Keeper("default:t") != nil {
		t.Error("a table with no pattern of its own is filtered")
	}
}

func TestKeysOnlyAndNoTTL(t *testing.T) {
	ttl, label := tag(8, "\x00\x00\x00\x00\x00\x01\x86\xa0"), tag(2, "label")
	value := []byte("v")
	for _, tc := range []struct {
		name       string
		scope      Scope
		tags, want []byte
		value      string
	}{
		{"keys only", Scope{KeysOnly: true}, ttl, ttl, ""},
		{"no TTL", Scope{DropTTL: true}, ttl, nil, "v"},
		{"no TTL among others", Scope{DropTTL: true}, bytes.Join([][]byte{label, ttl, label}, nil), bytes.Join([][]byte{label, label}, nil), "v"},
		{"no TTL, none there", Scope{DropTTL: true}, label, label, "v"},
		{"no TTL, no tags", Scope{DropTTL: true}, nil, nil, "v"},
		{"no TTL, bytes that are no tags", Scope{DropTTL: true}, append(bytes.Clone(ttl), 0), append(bytes.Clone(ttl), 0), "v"},
		{"both", Scope{DropTTL: true, KeysOnly: true}, ttl, nil, ""},
	} {
		before := bytes.Clone(tc.tags)
		c := Cell{Family: []byte("f"), Type: Put, Timestamp: 5, Value: value, Tags: tc.tags}
		if !tc.scope.Keeper("default:t").Keep([]byte("r"), &c) || string(c.Value) != tc.value || !bytes.Equal(c.Tags, tc.want) {
			t.Errorf("%s: %+v, want tags %x", tc.name, c, tc.want)
		}
		if !bytes.Equal(tc.tags, before) || string(value) != "v" {
			t.Errorf("%s: the bytes that were given have changed", tc.name)
		}
	}
}

// withEverything is a scope in which every kind of filter is used.
func withEverything() Scope {
	return Scope{
		RowStart: []byte("a"), Rows: ByteFilter{Include: []BytePattern{pattern(Prefix, "row"), pattern(Anywhere, "\x00")}, Exclude: []BytePattern{pattern(Exact, "row x")}},
		Qualifiers: ByteFilter{Exclude: []BytePattern{pattern(Anywhere, "secret")}},
		Values:     ByteFilter{Include: []BytePattern{pattern(Prefix, "\x00\x00")}, Exclude: []BytePattern{pattern(Postfix, "x")}},
		KeysOnly:   true, DropTTL: true,
	}
}

func TestKeepingAllocatesNothing(t *testing.T) {
	s := withEverything()
	keeper, row, cells := s.Keeper("default:t"), []byte("row 1"), changeWith(20).Cells
	n := testing.AllocsPerRun(100, func() {
		for _, c := range cells {
			if !keeper.Keep(row, &c) {
				t.Fatal("a cell is left out: nothing was measured")
			}
		}
	})
	if n != 0 {
		t.Errorf("%v allocations for 20 cells", n)
	}
}

func BenchmarkKeep(b *testing.B) {
	everything := withEverything()
	for _, s := range []struct {
		name  string
		scope *Scope
	}{{"nothing", &Scope{}}, {"rows", &Scope{RowStart: []byte("a")}}, {"everything", &everything}} {
		b.Run(s.name, func(b *testing.B) {
			keeper, row, cells := s.scope.Keeper("default:t"), []byte("row 1"), changeWith(20).Cells
			b.ReportAllocs()
			for b.Loop() {
				for _, c := range cells {
					if keeper != nil && !keeper.Keep(row, &c) {
						b.Fatal("left out")
					}
				}
			}
		})
	}
}
