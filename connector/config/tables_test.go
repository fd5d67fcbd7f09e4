package config

import (
	"slices"
	"testing"
)

func filter(t *testing.T, include, exclude string) TableFilter {
	t.Helper()
	var f TableFilter
	var err error
	if f.Include, err = ParseTablePatterns(include); err != nil {
		t.Fatal(err)
	}
	if exclude != "" {
		if f.Exclude, err = ParseTablePatterns(exclude); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func TestTableFilter(t *testing.T) {
	cases := []struct {
		include, exclude string
		match, others    []string
		named            []string
	}{
		{"orders", "", []string{"default:orders"}, []string{"shop:orders", "default:orders2", "default:xorders"}, []string{"default:orders"}},
		{"shop:a.b", "", []string{"shop:a.b"}, []string{"shop:axb"}, []string{"shop:a.b"}},
		{"ord.*", "", []string{"default:orders", "default:ord"}, []string{"shop:orders"}, nil},
		{"shop:.*", "shop:tmp.*", []string{"shop:a"}, []string{"shop:tmp1", "default:a", "myshop:a"}, nil},
		{".*:.*", "", []string{"a:b", "default:x"}, nil, nil},
		{"(?:a|b)", "", []string{"default:a", "default:b"}, []string{"a", "default:c"}, nil},
		{"a|shop:b", "", []string{"shop:b"}, []string{"xshop:b", "shop:bx"}, nil},
		{"t{1,2}, x[a,b]", "", []string{"default:t", "default:tt", "default:x,"}, []string{"default:ttt"}, nil},
		{`a\,b`, "", []string{"default:a,b"}, []string{"default:a"}, nil},
		{"a, b, c:d", "b", []string{"default:a", "c:d"}, []string{"default:b"}, []string{"default:a", "c:d"}},
	}
	for _, tc := range cases {
		f := filter(t, tc.include, tc.exclude)
		for _, table := range tc.match {
			if !f.Match(table) {
				t.Errorf("%q without %q does not match %s", tc.include, tc.exclude, table)
			}
		}
		for _, table := range tc.others {
			if f.Match(table) {
				t.Errorf("%q without %q matches %s", tc.include, tc.exclude, table)
			}
		}
		if got := f.Named(); !slices.Equal(got, tc.named) {
			t.Errorf("%q without %q: named %q, want %q", tc.include, tc.exclude, got, tc.named)
		}
	}
	if (TablePattern{}).Match("") {
		t.Error("the zero pattern matches")
	}
	if got := filter(t, "shop:.*", "").Include[0].String(); got != "shop:.*" {
		t.Errorf("String() = %q", got)
	}
}
