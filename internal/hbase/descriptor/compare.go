package descriptor

import (
	"strconv"
	"strings"

	"github.com/waltap/waltap/internal/hbase/admin"
)

// Class says what a change does to a table that is there.
type Class string

// The classes of changes.
const (
	// Addition: a family, an attribute or a configuration key that is not there, or more versions or a longer life for cells.
	// Nothing that the table holds is lost by it.
	Addition Class = "addition"
	// Alteration: another value of something that is there.
	Alteration Class = "alteration"
	// Reduction: fewer versions, or a shorter life for cells: the next major compaction removes what is over it.
	Reduction Class = "reduction"
	// Extra: the table has more than was asked for.
	Extra Class = "extra"
)

// Change is a part in which a table differs from what is wanted.
type Change struct {
	Part
	Class      Class
	Want, Have string // "": not there
	Implied    bool   // Want is HBase's default: the wanted table does not say it
}

// Is is what the table has: Have, or HBase's default where that is empty.
func (c *Change) Is() string {
	if c.Have == "" {
		return canonical(c.Part, defaultsOf(c.Part)[c.Name])
	}
	return canonical(c.Part, c.Have)
}

// KeepsLess tells whether the table keeps fewer cells than is wanted, or others: other versions, or other deleted cells.
func (c *Change) KeepsLess() bool {
	return needed(c.Part) && (c.Class != Reduction || c.Name == keepDeleted)
}

// Kept are the attributes of a family that decide which cells it keeps, without those that HBase takes anyway.
func Kept(f *admin.Family) map[string]string {
	out := make(map[string]string)
	for name, value := range f.Attributes {
		if p := (Part{Attribute, f.Name, name}); needed(p) && !isDefault(p, value) {
			out[name] = canonical(p, value)
		}
	}
	return out
}

// Coprocessors are the classes of a table's coprocessors, with the attribute's value ("path|class|priority|arguments").
func Coprocessors(t *admin.Table) map[string]string {
	classes := make(map[string]string)
	eachPart(t, func(p Part, value string) {
		if p.Family != "" || !strings.HasPrefix(strings.ToLower(p.Name), coprocessorPrefix) {
			return
		}
		class := value
		if parts := strings.Split(value, "|"); len(parts) > 1 {
			class = parts[1]
		}
		classes[strings.TrimSpace(class)] = value
	})
	return classes
}

// Compare lists the parts in which have differs from want, in a fixed order. An attribute that is not there has
// HBase's default. Not compared: REPLICATION_SCOPE unless want has it, and what waltap has put on have.
func Compare(want, have admin.Table) []Change {
	var changes []Change
	eachPart(&want, func(p Part, value string) {
		if have.Family(p.Family) == nil && p.Family != "" || widened(&have, p) {
			return // the family is below, as a whole
		}
		if c, differs := compare(p, value, &have); differs {
			changes = append(changes, c)
		}
	})
	for _, f := range want.Families {
		if have.Family(f.Name) == nil {
			changes = append(changes, Change{Part: Part{Kind: FamilyKind, Family: f.Name}, Class: Addition, Want: f.Name})
		}
	}
	for _, f := range have.Families {
		if want.Family(f.Name) == nil {
			changes = append(changes, Change{Part: Part{Kind: FamilyKind, Family: f.Name}, Class: Extra, Have: f.Name})
		}
	}
	eachPart(&have, func(p Part, value string) {
		if c, differs := missing(p, value, &want, &have); differs {
			changes = append(changes, c)
		}
	})
	return changes
}

// widened tells whether p is a PurgeKey that a sink has raised for the time of a migration.
func widened(have *admin.Table, p Part) bool {
	if p.Name != PurgeKey || p.Kind != Attribute {
		return false
	}
	_, raised := get(have, Part{Attribute, p.Family, PurgeBeforeKey})
	return raised
}

// compare compares a part that is wanted.
func compare(p Part, value string, have *admin.Table) (Change, bool) {
	is, there := get(have, p)
	c := Change{Part: p, Class: Alteration, Want: value, Have: is}
	if there && same(p, value, is) {
		return c, false
	}
	fallback, known := defaultsOf(p)[p.Name]
	if !there {
		if known && same(p, value, fallback) {
			return c, false
		}
		if c.Class = Addition; known {
			is = fallback
		}
	}
	if class, ok := retention(p, value, is); ok {
		c.Class = class
	}
	return c, true
}

// missing compares a part of have that is not wanted by name.
func missing(p Part, value string, want, have *admin.Table) (Change, bool) {
	if _, wanted := get(want, p); wanted || skipped(p) || widened(have, p) || p.Name == fileTracker || p.Family != "" && want.Family(p.Family) == nil {
		return Change{}, false
	}
	c := Change{Part: p, Class: Extra, Have: value}
	fallback, known := defaultsOf(p)[p.Name]
	if !known {
		return c, true
	}
	if p.Family != "" { // HBase writes all of a family's attributes down: what is not there has its default
		c.Class, c.Want, c.Implied = Alteration, fallback, true
		if class, ok := retention(p, fallback, value); ok {
			c.Class = class
		}
	}
	return c, !same(p, value, fallback)
}

// retention classes a change of how much a family keeps.
func retention(p Part, want, have string) (Class, bool) {
	if p.Family == "" || p.Kind != Attribute {
		return "", false
	}
	var w, h int64
	switch p.Name {
	case versions, minVersions, ttl:
		var err1, err2 error
		w, err1 = strconv.ParseInt(canonical(p, want), 10, 64)
		h, err2 = strconv.ParseInt(canonical(p, have), 10, 64)
		if err1 != nil || err2 != nil {
			return Alteration, true
		}
	case keepDeleted:
		rank := map[string]int64{"FALSE": 0, "TTL": 1, "TRUE": 2}
		w, h = rank[strings.ToUpper(want)], rank[strings.ToUpper(have)]
	default:
		return "", false
	}
	if w < h {
		return Reduction, true
	}
	return Addition, true
}

// Merge returns have with the changes whose classes are chosen, and those changes. Nothing is ever taken away.
func Merge(want, have admin.Table, changes []Change, chosen ...Class) (admin.Table, []Change) {
	out := clone(have)
	var done []Change
	for _, c := range changes {
		if !contains(chosen, c.Class) || c.Class == Extra {
			continue
		}
		if c.Kind == FamilyKind {
			out.Families = append(out.Families, *want.Family(c.Family))
		} else {
			Set(&out, c.Part, c.Want)
		}
		done = append(done, c)
	}
	return out, done
}

func contains(classes []Class, c Class) bool {
	for _, x := range classes {
		if x == c {
			return true
		}
	}
	return false
}
