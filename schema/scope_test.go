package schema

import (
	"slices"
	"testing"
)

func columns(t *testing.T, texts ...string) []ColumnPattern {
	t.Helper()
	var out []ColumnPattern
	for _, s := range texts {
		p, err := ParseColumnPattern(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func TestScopeOfCells(t *testing.T) {
	s := Scope{RowStart: []byte("b"), RowStop: []byte("d"), Columns: columns(t, "default:t:a", `(?:default|shop):t:b:q[[:digit:]]`, "default:other:c", `default:t:e:\x00.*`)}
	keeper := s.Keeper("default:t")
	for _, tc := range []struct {
		row, family, qualifier string
		t                      CellType
		want                   bool
	}{
		{"b", "a", "anything", Put, true},
		{"c\xff", "a", "", Put, true},
		{"a", "a", "q", Put, false},
		{"d", "a", "q", Put, false},
		{"b", "b", "q1", DeleteColumn, true},
		{"b", "b", "q12", Put, false},
		{"b", "b", "q", Delete, false},
		{"b", "b", "", DeleteFamily, true},
		{"b", "b", "", DeleteFamilyVersion, true},
		{"a", "b", "", DeleteFamily, false},
		{"b", "c", "", DeleteFamily, false},
		{"b", "c", "q", Put, false},
		{"b", "ab", "q", Put, false},
		{"b", "e", "\x00\n\xff\xfe", Put, true},
	} {
		if got := keeper.Keep([]byte(tc.row), &Cell{Family: []byte(tc.family), Qualifier: []byte(tc.qualifier), Type: tc.t}); got != tc.want {
			t.Errorf("%q %s:%q %s: kept %v", tc.row, tc.family, tc.qualifier, tc.t, got)
		}
	}
	if got := s.Families("default:t", []string{"a", "b", "c", "d"}); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("families %v", got)
	}
	if none := (&Scope{}); none.Keeper("default:t") != nil || none.String() != "" || len(none.Families("default:t", []string{"a"})) != 1 {
		t.Error("the zero Scope narrows something")
	}
	if (&Scope{MaxTimestamp: 5}).Keeper("default:t") != nil {
		t.Error("timestamps narrow the stream")
	}
}

func TestScopesTellThemselvesApart(t *testing.T) {
	seen := map[string]bool{}
	a, b, ofShop := []BytePattern{pattern(Prefix, "a")}, []BytePattern{pattern(Postfix, "a")}, []BytePattern{onlyOf("shop:.*", pattern(Prefix, "a"))}
	for _, s := range []Scope{{}, {RowStart: []byte("a")}, {RowStop: []byte("a")}, {MinTimestamp: 1}, {MaxTimestamp: 1},
		{Columns: columns(t, "a:b:c")}, {Columns: columns(t, "a:b:c", "a:b:d")},
		{Rows: ByteFilter{Include: a}}, {Rows: ByteFilter{Exclude: a}}, {Rows: ByteFilter{Include: b}}, {Rows: ByteFilter{Include: ofShop}},
		{Qualifiers: ByteFilter{Include: a}}, {Values: ByteFilter{Include: a}}, {KeysOnly: true}, {DropTTL: true}} {
		if seen[s.String()] {
			t.Errorf("two scopes are %q", s.String())
		}
		seen[s.String()] = true
	}
}

func TestColumnPatternsThatAreNone(t *testing.T) {
	for _, s := range []string{"", "a", "t:f", "a:b:c:d:e", "a:b:(", "a:b:c:*", "a:b:c)(:d"} {
		if p, err := ParseColumnPattern(s); err == nil {
			t.Errorf("%q is %+v", s, p)
		}
	}
}
