package herder

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"github.com/waltap/waltap/connector/config"
)

// Condition narrows the scan of the tables that DataCollection matches.
type Condition struct {
	DataCollection string `json:"data-collection"` // a regular expression that matches the whole of namespace:table
	Filter         string `json:"filter"`          // see ParseFilter
}

var (
	filterTerm = regexp.MustCompile(`(?is)^\s*row\s*(>=|<|=|like)\s*'((?:[^']|'')*)'\s*`)
	filterAnd  = regexp.MustCompile(`(?i)^and\b`)
)

// ParseFilter reads the filter of a Condition: a range of rows, from start, inclusive, to stop, exclusive; empty: no bound. It is one or
// more of these, joined by AND:
//
//	row >= 'a'   row < 'b'   row = 'a'   row LIKE 'prefix%'
//
// What stands in quotes is written as row.start is: \xNN is a byte; two quotes are one. A % stands at the end only, \x25 is one of the row.
func ParseFilter(filter string) (start, stop []byte, err error) {
	rest, closed := filter, false
	for {
		m := filterTerm.FindStringSubmatch(rest)
		if m == nil {
			return nil, nil, fmt.Errorf("filter %q: want a range of rows, such as: row >= 'a' AND row < 'b', or row LIKE 'a%%'; nothing but rows can be filtered", filter)
		}
		from, to, err := termRange(strings.ToLower(m[1]), strings.ReplaceAll(m[2], "''", "'"))
		if err != nil {
			return nil, nil, fmt.Errorf("filter %q: %w", filter, err)
		}
		if bytes.Compare(from, start) > 0 {
			start = from
		}
		if len(to) > 0 && (!closed || bytes.Compare(to, stop) < 0) {
			stop, closed = to, true
		}
		if rest = rest[len(m[0]):]; rest == "" {
			break
		}
		and := filterAnd.FindString(rest)
		if and == "" {
			return nil, nil, fmt.Errorf("filter %q: %q is not understood: terms are joined by AND", filter, rest)
		}
		rest = rest[len(and):]
	}
	if closed && bytes.Compare(start, stop) >= 0 {
		return nil, nil, fmt.Errorf("filter %q: no row lies in it", filter)
	}
	return start, stop, nil
}

func termRange(operator, text string) (from, to []byte, err error) {
	if operator == "like" {
		head, wild := strings.CutSuffix(text, "%")
		if !wild {
			return nil, nil, fmt.Errorf("LIKE '%s' does not end with %%: write row = '%s'", text, text)
		}
		if strings.ContainsAny(head, "%_") {
			return nil, nil, fmt.Errorf("LIKE '%s': %% stands at the end only, and _ is no wildcard: write \\x25 and \\x5f for these characters", text)
		}
		text = head
	}
	row, err := config.ParseRow(text)
	if err != nil {
		return nil, nil, err
	}
	if len(row) == 0 {
		return nil, nil, fmt.Errorf("a row key is not empty")
	}
	switch operator {
	case ">=":
		return row, nil, nil
	case "<":
		return nil, row, nil
	case "=":
		return row, append(bytes.Clone(row), 0), nil
	}
	return row, behindPrefix(row), nil
}

// behindPrefix is the first row behind all that begin with prefix; nil: there is none.
func behindPrefix(prefix []byte) []byte {
	p := bytes.Clone(prefix)
	for len(p) > 0 && p[len(p)-1] == 0xff {
		p = p[:len(p)-1]
	}
	if len(p) > 0 {
		p[len(p)-1]++
	}
	return p
}
