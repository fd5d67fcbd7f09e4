package config

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/waltap/waltap/schema"
)

// TableFilter chooses tables by their full names.
type TableFilter struct{ Include, Exclude []TablePattern }

// Match reports whether a table, named in full, is chosen.
func (f TableFilter) Match(table string) bool {
	return matchAny(f.Include, table) && !matchAny(f.Exclude, table)
}

// Named returns the full names of the tables that are included by name, not by
// an expression, and not excluded. Each of them must exist.
func (f TableFilter) Named() []string {
	var names []string
	for _, p := range f.Include {
		if name, ok := p.Name(); ok && !matchAny(f.Exclude, name) {
			names = append(names, name)
		}
	}
	return names
}

func matchAny(patterns []TablePattern, table string) bool {
	for _, p := range patterns {
		if p.Match(table) {
			return true
		}
	}
	return false
}

// TablePattern is a table's name or an expression for such names.
type TablePattern struct {
	text string         // as it was written
	name string         // full name, when it is a plain one
	re   *regexp.Regexp // else
}

// plainTable holds the characters of HBase's table names. A dot in such an
// entry is that dot: names with dots are common, one-character wildcards are not.
var plainTable = regexp.MustCompile(`^[\pL\pN_.:-]+$`)

// groupHead is the beginning of a group with flags, whose colon is no separator
// of a namespace.
var groupHead = regexp.MustCompile(`\(\?[a-zA-Z-]*:`)

// ParseTablePattern reads one entry of table.include.list.
func ParseTablePattern(s string) (TablePattern, error) {
	if plainTable.MatchString(s) {
		name, err := checkTable(schema.NormalizeTable(s))
		return TablePattern{text: s, name: name}, err
	}
	full := s
	if !strings.Contains(groupHead.ReplaceAllString(s, ""), ":") {
		full = schema.DefaultNamespace + ":(?:" + s + ")"
	}
	if _, err := regexp.Compile(s); err != nil {
		return TablePattern{}, fmt.Errorf("%q is not a regular expression: %w", s, err)
	}
	re, err := compileAnchored(full)
	return TablePattern{text: s, re: re}, err
}

// Name returns the full name when the pattern is a plain one.
func (p TablePattern) Name() (string, bool) { return p.name, p.name != "" }

// Match reports whether the pattern matches a table's full name.
func (p TablePattern) Match(table string) bool {
	if p.re == nil {
		return p.name != "" && p.name == table
	}
	return p.re.MatchString(table)
}

// String is the pattern as it was written.
func (p TablePattern) String() string { return p.text }

// ParseTablePatterns reads the value of table.include.list.
func ParseTablePatterns(s string) ([]TablePattern, error) {
	var patterns []TablePattern
	for _, e := range splitOutsideBrackets(s) {
		p, err := ParseTablePattern(e)
		if err != nil {
			return nil, err
		}
		patterns = append(patterns, p)
	}
	if len(patterns) == 0 {
		return nil, fmt.Errorf("the list is empty: give a table or remove the key")
	}
	return patterns, nil
}

// splitOutsideBrackets splits at commas, but not at those of a repetition, a
// class or a group, such as a{1,2}.
func splitOutsideBrackets(s string) []string {
	var list []string
	depth, start := 0, 0
	add := func(end int) {
		if e := strings.TrimSpace(s[start:end]); e != "" {
			list = append(list, e)
		}
		start = end + 1
	}
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth--
		case ',':
			if depth <= 0 {
				add(i)
			}
		}
	}
	add(len(s))
	return list
}
