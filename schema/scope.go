package schema

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// Scope narrows what is captured of the tables that are chosen. The zero Scope narrows nothing.
type Scope struct {
	RowStart, RowStop []byte // from start, inclusive, to stop, exclusive; empty: no bound
	Columns           []ColumnPattern
	// MinTimestamp (inclusive) and MaxTimestamp (exclusive) select cells of the full scan, not of the stream; 0: no bound.
	MinTimestamp, MaxTimestamp int64
}

// ColumnPattern chooses columns: "namespace:table:family", or "namespace:table:family:qualifier", each part a regular
// expression that matches the whole of its name.
type ColumnPattern struct {
	text                     string
	table, family, qualifier *regexp.Regexp // qualifier nil: all of the family
}

// ParseColumnPattern reads one entry of column.include.list.
func ParseColumnPattern(s string) (ColumnPattern, error) {
	parts := splitColons(s)
	if len(parts) != 3 && len(parts) != 4 {
		return ColumnPattern{}, fmt.Errorf("%q is not namespace:table:family or namespace:table:family:qualifier", s)
	}
	var compiled []*regexp.Regexp
	for _, part := range parts {
		if _, err := regexp.Compile(part); err != nil {
			return ColumnPattern{}, fmt.Errorf("%q: %q is not a regular expression: %w", s, part, err)
		}
	}
	for _, part := range append([]string{"(?:" + parts[0] + "):(?:" + parts[1] + ")"}, parts[2:]...) {
		re, err := regexp.Compile("^(?s:" + part + ")$")
		if err != nil {
			return ColumnPattern{}, fmt.Errorf("%q is not a regular expression: %w", s, err)
		}
		compiled = append(compiled, re)
	}
	p := ColumnPattern{text: s, table: compiled[0], family: compiled[1]}
	if len(compiled) == 3 {
		p.qualifier = compiled[2]
	}
	return p, nil
}

// splitColons splits at colons, but not at those in a group or a class, such as (?:a|b) and [[:alpha:]].
func splitColons(s string) []string {
	var list []string
	depth, start := 0, 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(', '[':
			depth++
		case ')', ']':
			depth--
		case ':':
			if depth <= 0 {
				list = append(list, s[start:i])
				start = i + 1
			}
		}
	}
	return append(list, s[start:])
}

// String tells scopes apart: two with the same text capture the same. It is empty for a Scope that narrows nothing.
func (s *Scope) String() string {
	var parts []string
	if len(s.RowStart) > 0 || len(s.RowStop) > 0 {
		parts = append(parts, fmt.Sprintf("rows [%q, %q)", s.RowStart, s.RowStop))
	}
	if len(s.Columns) > 0 {
		texts := make([]string, len(s.Columns))
		for i, c := range s.Columns {
			texts[i] = c.text
		}
		parts = append(parts, "columns "+strings.Join(texts, ", "))
	}
	if s.MinTimestamp > 0 || s.MaxTimestamp > 0 {
		parts = append(parts, fmt.Sprintf("scanned timestamps [%d, %d)", s.MinTimestamp, s.MaxTimestamp))
	}
	return strings.Join(parts, "; ")
}

// Families lists those of a table's families of which something is in scope, in their order.
func (s *Scope) Families(table string, families []string) []string {
	if len(s.Columns) == 0 {
		return families
	}
	var out []string
	for _, f := range families {
		for _, c := range s.Columns {
			if c.table.MatchString(table) && c.family.MatchString(f) {
				out = append(out, f)
				break
			}
		}
	}
	return out
}

// Row tells whether a row is in scope.
func (s *Scope) Row(row []byte) bool {
	return bytes.Compare(row, s.RowStart) >= 0 && (len(s.RowStop) == 0 || bytes.Compare(row, s.RowStop) < 0)
}

// Keeper returns what tells for each cell of a table whether it is in scope; nil when all are. The delete marker of a
// family is in scope when any column of the family is.
func (s *Scope) Keeper(table string) func(row, family, qualifier []byte, t CellType) bool {
	var columns []ColumnPattern
	for _, c := range s.Columns {
		if c.table.MatchString(table) {
			columns = append(columns, c)
		}
	}
	if len(s.Columns) == 0 && len(s.RowStart) == 0 && len(s.RowStop) == 0 {
		return nil
	}
	return func(row, family, qualifier []byte, t CellType) bool {
		if !s.Row(row) {
			return false
		}
		whole := t == DeleteFamily || t == DeleteFamilyVersion
		for _, c := range columns {
			if c.family.Match(family) && (whole || c.qualifier == nil || c.qualifier.Match(qualifier)) {
				return true
			}
		}
		return len(s.Columns) == 0
	}
}
