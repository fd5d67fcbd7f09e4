package herder

import (
	"bytes"
	"strings"
	"testing"
)

func TestParseFilter(t *testing.T) {
	for filter, want := range map[string][2]string{
		"row >= 'a'":                           {"a", ""},
		"row < 'b'":                            {"", "b"},
		" ROW>='a' and row < 'b' ":             {"a", "b"},
		"row = 'a'":                            {"a", "a\x00"},
		"row LIKE 'ab%'":                       {"ab", "ac"},
		`row like '\xff\xff%'`:                 {"\xff\xff", ""},
		`row LIKE 'a\xff%'`:                    {"a\xff", "b"},
		`row LIKE '100\x25%'`:                  {"100%", "100&"},
		"row >= 'it''s'":                       {"it's", ""},
		"row >= 'a' AND row >= 'b'":            {"b", ""},
		"row < 'x' AND row < 'c'":              {"", "c"},
		"row LIKE 'a%' AND row >= 'ab'":        {"ab", "b"},
		"row >= 'a AND row < ''b' AND row<'c'": {"a AND row < 'b", "c"},
	} {
		start, stop, err := ParseFilter(filter)
		if err != nil || string(start) != want[0] || string(stop) != want[1] {
			t.Errorf("%s: [%q, %q) %v, want [%q, %q)", filter, start, stop, err, want[0], want[1])
		}
	}
	for filter, want := range map[string]string{
		"":                           "want a range of rows",
		"value = 'a'":                "nothing but rows",
		"row > 'a'":                  "want a range of rows",
		"row >= 'a' OR row < 'b'":    "joined by AND",
		"row >= 'a' AND":             "want a range of rows",
		"row >= 'b' AND row < 'a'":   "no row lies in it",
		"row < 'b' AND row >= 'b'":   "no row lies in it",
		"row >= ''":                  "not empty",
		"row LIKE 'a'":               "does not end with %",
		"row LIKE '%a%'":             "at the end only",
		"row LIKE 'a_%'":             "at the end only",
		`row >= '\xZZ'`:              "hexadecimal",
		"row >= 'a' ANDrow < 'b'":    "joined by AND",
		"row >= 'a'; drop table row": "joined by AND",
	} {
		if _, _, err := ParseFilter(filter); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", filter, err, want)
		}
	}
}

func FuzzParseFilter(f *testing.F) {
	for _, s := range []string{"row >= 'a' AND row < 'b'", "row LIKE 'a%'", `row = '\xff'`, "row >= ''''", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		start, stop, err := ParseFilter(s)
		if err == nil && (len(start) == 0 && len(stop) == 0 && !strings.Contains(s, "LIKE") && !strings.Contains(strings.ToLower(s), "like") || len(stop) > 0 && bytes.Compare(start, stop) >= 0) {
			t.Errorf("%q: [%q, %q)", s, start, stop)
		}
	})
}

func TestSnapshotSignals(t *testing.T) {
	for data, want := range map[string]string{
		`{"data-collections":["a:b"]}`:                       "",
		`{"type":"INCREMENTAL","data-collections":["a:.*"]}`: "",
		`{"type":"blocking","data-collections":["a:b"],"additional-conditions":[{"data-collection":"a:b","filter":"row < 'b'"}]}`: "",
		`{"type":"full","data-collections":["a"]}`:                                    "want incremental",
		`{"data-collections":[]}`:                                                     "data-collections is missing",
		`{"data-collections":[""]}`:                                                   "not a regular expression",
		`{"data-collections":["("]}`:                                                  "not a regular expression",
		`{"data-collections":["a"],"surrogate-key":"b"}`:                              "surrogate-key",
		`{"data-collections":["a"],"additional-conditions":[{"filter":"row < 'b'"}]}`: "not a regular expression",
		`{"data-collections":["a"],"additional-conditions":[{"data-collection":"a","filter":"b = 1"}]}`: "nothing but rows",
	} {
		err := Signal{Type: ExecuteSnapshot, Data: []byte(data)}.Check()
		if want == "" && err != nil || want != "" && (KindOf(err) != BadRequest || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", data, err, want)
		}
	}
	if err := (Signal{Type: StopSnapshot}).Check(); err != nil {
		t.Error(err)
	}
	bad := Signal{Type: StopSnapshot, Data: []byte(`{"additional-conditions":[{"data-collection":"a","filter":"row < 'b'"}]}`)}
	if err := bad.Check(); KindOf(err) != BadRequest {
		t.Error(err)
	}
}
