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

	// Rows, Qualifiers and Values choose cells by their bytes. A family's delete marker has no qualifier and passes
	// Qualifiers; no delete marker has a value, and all of them pass Values.
	Rows, Qualifiers, Values ByteFilter
	KeysOnly                 bool // values are captured empty
	DropTTL                  bool // cells are captured without their time to live
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
	parts = s.Rows.describe(parts, "rows")
	parts = s.Qualifiers.describe(parts, "qualifiers")
	parts = s.Values.describe(parts, "values")
	if s.KeysOnly {
		parts = append(parts, "keys only")
	}
	if s.DropTTL {
		parts = append(parts, "no TTL")
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

// Keeper tells for each cell of one table whether it is in scope, and takes from it what is not captured. It is safe for
// concurrent use.
type Keeper struct {
	scope                    *Scope
	columns                  []ColumnPattern // of the table
	rows, qualifiers, values ByteFilter      // of the table
}

// Keeper returns the Keeper of a table; nil when all of its cells are captured as they are.
func (s *Scope) Keeper(table string) *Keeper {
	k := &Keeper{scope: s, rows: s.Rows.of(table), qualifiers: s.Qualifiers.of(table), values: s.Values.of(table)}
	for _, c := range s.Columns {
		if c.table.MatchString(table) {
			k.columns = append(k.columns, c)
		}
	}
	if len(s.Columns) == 0 && len(s.RowStart) == 0 && len(s.RowStop) == 0 && !s.KeysOnly && !s.DropTTL &&
		k.rows.empty() && k.qualifiers.empty() && k.values.empty() {
		return nil
	}
	return k
}

// Keep tells whether c, a cell of row, is in scope. Of one that is, Value and Tags are set to what is captured; the bytes they
// point to are left alone. The delete marker of a family is in scope when any column of the family is.
func (k *Keeper) Keep(row []byte, c *Cell) bool {
	if !k.scope.Row(row) || !k.rows.passes(row) || !k.column(c) {
		return false
	}
	if c.Type == Put && !k.values.passes(c.Value) {
		return false
	}
	if k.scope.KeysOnly {
		c.Value = nil
	}
	if k.scope.DropTTL && len(c.Tags) > 0 {
		c.Tags = withoutTTL(c.Tags)
	}
	return true
}

func (k *Keeper) column(c *Cell) bool {
	whole := c.Type == DeleteFamily || c.Type == DeleteFamilyVersion
	if !whole && !k.qualifiers.passes(c.Qualifier) {
		return false
	}
	for i := range k.columns {
		p := &k.columns[i]
		if p.family.Match(c.Family) && (whole || p.qualifier == nil || p.qualifier.Match(c.Qualifier)) {
			return true
		}
	}
	return len(k.scope.Columns) == 0
}
