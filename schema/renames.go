package schema

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// Mapping says under what names a target has the namespaces, tables and families of the source. The zero value renames
// nothing.
type Mapping struct {
	Tables     Renames
	Namespaces NamespaceRenames // of tables that Tables does not rename
	Families   FamilyRenames
}

// Table returns the name of table at the target.
func (m *Mapping) Table(table string) string {
	if to, ok := m.Tables.to[table]; ok {
		return to
	}
	namespace, qualifier := SplitTable(table)
	if to, ok := m.Namespaces[namespace]; ok {
		return to + ":" + qualifier
	}
	return table
}

// Empty tells whether nothing is renamed.
func (m *Mapping) Empty() bool { return !m.RenamesTables() && len(m.Families) == 0 }

// RenamesTables tells whether any table may have another name at the target.
func (m *Mapping) RenamesTables() bool { return len(m.Tables.to) > 0 || len(m.Namespaces) > 0 }

// CheckTables reports two of the tables that would become one at the target, such
// as one renamed to the name of another that keeps it.
func (m *Mapping) CheckTables(tables []string) error {
	from := make(map[string]string, len(tables))
	for _, t := range slices.Sorted(slices.Values(tables)) {
		to := m.Table(t)
		if other, ok := from[to]; ok && other != t {
			return fmt.Errorf("check renames: %s and %s would both be written to %s: rename one of them to another table", other, t, to)
		}
		from[to] = t
	}
	return nil
}

// Renames maps tables to the names they have at a target. The zero value
// renames nothing.
type Renames struct{ to map[string]string }

// ParseRenames reads "from=to" pairs, comma separated. A name without a
// namespace is of the namespace default. Two pairs for one table, or two
// tables that would become one, are refused. All faults are joined.
func ParseRenames(s string) (Renames, error) {
	r, from := Renames{to: map[string]string{}}, map[string]string{}
	err := eachPair(s, "namespace:table=namespace:table", func(a, b string) error {
		a, b = NormalizeTable(a), NormalizeTable(b)
		for _, name := range []string{a, b} {
			if err := CheckTable(name); err != nil {
				return err
			}
		}
		return addPair(r.to, from, a, b, "tables")
	})
	if err != nil {
		return Renames{}, err
	}
	return r, nil
}

// String is the form ParseRenames reads, sorted by the tables' names.
func (r Renames) String() string {
	var pairs []string
	for _, from := range slices.Sorted(maps.Keys(r.to)) {
		pairs = append(pairs, from+"="+r.to[from])
	}
	return strings.Join(pairs, ",")
}

// NamespaceRenames maps namespaces to the names they have at a target.
type NamespaceRenames map[string]string

// ParseNamespaceRenames reads "from=to" pairs, comma separated. Two pairs for one namespace, or two
// namespaces that would become one, are refused. All faults are joined.
func ParseNamespaceRenames(s string) (NamespaceRenames, error) {
	r, from := NamespaceRenames{}, map[string]string{}
	err := eachPair(s, "namespace=namespace", func(a, b string) error {
		for _, name := range []string{a, b} {
			if err := CheckTable(name + ":t"); err != nil || strings.Contains(name, ":") {
				return fmt.Errorf("%q is no namespace of HBase: letters, digits, '_', '-' and '.'", name)
			}
		}
		return addPair(r, from, a, b, "namespaces")
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// FamilyRenames maps families to the names they have at a target: by table, as it is named at the source, or by "" for all
// tables, then by family.
type FamilyRenames map[string]map[string]string

// ParseFamilyRenames reads "family=family" pairs, for all tables, and "namespace:table:family=family", for the table as it is
// named at the source, comma separated. The latter win. Two pairs for one family, or two families of a table that would become
// one, are refused. All faults are joined.
func ParseFamilyRenames(s string) (FamilyRenames, error) {
	r, from := FamilyRenames{}, map[string]map[string]string{}
	err := eachPair(s, "family=family or namespace:table:family=family", func(a, b string) error {
		table := ""
		if i := strings.LastIndex(a, ":"); i >= 0 {
			table, a = a[:i], a[i+1:]
			if _, _, ok := cutTable(table); !ok {
				return fmt.Errorf("%q is not namespace:table", table)
			}
			if err := CheckTable(table); err != nil {
				return err
			}
		}
		for _, family := range []string{a, b} {
			if err := CheckFamily(family); err != nil {
				return err
			}
		}
		if r[table] == nil {
			r[table], from[table] = map[string]string{}, map[string]string{}
		}
		return addPair(r[table], from[table], a, b, "families")
	})
	if err != nil {
		return nil, err
	}
	for table := range r {
		if err := r.Of(table).check(); err != nil {
			return nil, fmt.Errorf("parse renames of families: table %s: %w", table, err)
		}
	}
	return r, nil
}

// CheckFamily reports whether HBase could have a family of this name.
func CheckFamily(name string) error {
	bad := func(r rune) bool { return unicode.IsControl(r) || r == ':' || r == '/' || r == '\\' }
	if name == "" || name[0] == '.' || strings.ContainsFunc(name, bad) || name == "recovered.edits" {
		return fmt.Errorf("%q is no name of a family of HBase", name)
	}
	return nil
}

// TableFamilies are the renames of one table's families.
type TableFamilies map[string]string

// Of returns the renames for one table, nil when there are none.
func (r FamilyRenames) Of(table string) TableFamilies {
	all, own := r[""], r[table]
	if len(own) == 0 || table == "" {
		return all
	}
	of := make(TableFamilies, len(all)+len(own))
	maps.Copy(of, all)
	maps.Copy(of, own)
	return of
}

// Apply returns the name of family at the target.
func (f TableFamilies) Apply(family string) string {
	if to, ok := f[family]; ok {
		return to
	}
	return family
}

// Check reports two of the table's families that would become one at the target.
func (f TableFamilies) Check(families []string) error {
	from := make(map[string]string, len(families))
	for _, family := range families {
		to := f.Apply(family)
		if other, ok := from[to]; ok && other != family {
			return fmt.Errorf("families %s and %s would both be written to family %s: rename one of them to another", other, family, to)
		}
		from[to] = family
	}
	return nil
}

// check is Check for the families that are renamed.
func (f TableFamilies) check() error { return f.Check(slices.Sorted(maps.Keys(f))) }

// eachPair hands the comma separated "from=to" pairs of s to each. All faults are joined.
func eachPair(s, want string, each func(from, to string) error) error {
	var errs []error
	for pair := range strings.SplitSeq(s, ",") {
		pair = strings.TrimSpace(pair)
		if pair == "" {
			continue
		}
		a, b, ok := strings.Cut(pair, "=")
		if !ok {
			errs = append(errs, fmt.Errorf("parse rename %q: want %s", pair, want))
			continue
		}
		if err := each(strings.TrimSpace(a), strings.TrimSpace(b)); err != nil {
			errs = append(errs, fmt.Errorf("parse rename %q: %w", pair, err))
		}
	}
	return errors.Join(errs...)
}

// addPair puts a=b into to, and b=a into from, which tells what has become b.
func addPair(to, from map[string]string, a, b, what string) error {
	if other, ok := to[a]; ok {
		return fmt.Errorf("%s is renamed to %s already", a, other)
	}
	if other, ok := from[b]; ok {
		return fmt.Errorf("%s is renamed to %s too, which would merge the two %s", other, b, what)
	}
	to[a], from[b] = b, a
	return nil
}
