package schema

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// DefaultNamespace is the namespace of a table that is named without one.
const DefaultNamespace = "default"

// NormalizeTable returns the full name of a table: "orders" becomes
// "default:orders", a full name stays.
func NormalizeTable(name string) string {
	if strings.Contains(name, ":") {
		return name
	}
	return DefaultNamespace + ":" + name
}

// SplitTable returns the two parts of a table name, "default" for the
// namespace of a name without one.
func SplitTable(name string) (namespace, qualifier string) {
	if namespace, qualifier, ok := strings.Cut(name, ":"); ok {
		return namespace, qualifier
	}
	return DefaultNamespace, name
}

// CheckTable reports whether HBase could have a table of this name, with or
// without a namespace: letters, digits, '_', '-' and '.', the table not
// beginning with '-' or '.'.
func CheckTable(name string) error {
	namespace, qualifier := SplitTable(name)
	if namespace == "" || qualifier == "" {
		return fmt.Errorf("check table name %q: want table or namespace:table", name)
	}
	for _, part := range []string{namespace, qualifier} {
		for _, r := range part {
			if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-.", r) {
				return fmt.Errorf("check table name %q: HBase does not allow %q in it", name, r)
			}
		}
	}
	if qualifier[0] == '.' || qualifier[0] == '-' {
		return fmt.Errorf("check table name %q: HBase does not allow a table name to begin with %q", name, qualifier[0])
	}
	return nil
}

// cutTable is SplitTable for names that must be full.
func cutTable(name string) (namespace, qualifier string, ok bool) {
	namespace, qualifier, ok = strings.Cut(name, ":")
	return namespace, qualifier, ok && namespace != "" && qualifier != "" && !strings.Contains(qualifier, ":")
}

// Renames maps tables to the names they have at a target. The zero value
// renames nothing.
type Renames struct{ to map[string]string }

// ParseRenames reads "from=to" pairs, comma separated. A name without a
// namespace is of the namespace default. Two pairs for one table, or two
// tables that would become one, are refused. All faults are joined.
func ParseRenames(s string) (Renames, error) {
	r := Renames{to: map[string]string{}}
	from := map[string]string{}
	var errs []error
	for pair := range strings.SplitSeq(s, ",") {
		pair = strings.TrimSpace(pair)
		if pair == "" {
			continue
		}
		if err := r.add(pair, from); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return Renames{}, errors.Join(errs...)
	}
	return r, nil
}

func (r Renames) add(pair string, from map[string]string) error {
	a, b, ok := strings.Cut(pair, "=")
	if !ok {
		return fmt.Errorf("parse rename %q: want namespace:table=namespace:table", pair)
	}
	a, b = NormalizeTable(strings.TrimSpace(a)), NormalizeTable(strings.TrimSpace(b))
	for _, name := range []string{a, b} {
		if err := CheckTable(name); err != nil {
			return fmt.Errorf("parse rename %q: %w", pair, err)
		}
	}
	if other, ok := r.to[a]; ok {
		return fmt.Errorf("parse rename %q: %s is renamed to %s already", pair, a, other)
	}
	if other, ok := from[b]; ok {
		return fmt.Errorf("parse rename %q: %s is renamed to %s too, which would merge the two tables", pair, other, b)
	}
	r.to[a], from[b] = b, a
	return nil
}

// Apply returns the name of table at the target, table itself when it is not renamed.
func (r Renames) Apply(table string) string {
	if to, ok := r.to[table]; ok {
		return to
	}
	return table
}

// Check reports two of the tables that would become one at the target, such
// as one renamed to the name of another that keeps it.
func (r Renames) Check(tables []string) error {
	from := make(map[string]string, len(tables))
	for _, t := range tables {
		to := r.Apply(t)
		if other, ok := from[to]; ok && other != t {
			return fmt.Errorf("check renames: %s and %s would both be written to %s: rename one of them to another table", other, t, to)
		}
		from[to] = t
	}
	return nil
}

// String is the form ParseRenames reads, sorted by the tables' names.
func (r Renames) String() string {
	var pairs []string
	for _, from := range slices.Sorted(maps.Keys(r.to)) {
		pairs = append(pairs, from+"="+r.to[from])
	}
	return strings.Join(pairs, ",")
}
