package descriptor

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/waltap/waltap/internal/hbase/admin"
)

// LeftOut is a part of a descriptor that is not taken to another cluster.
type LeftOut struct {
	Part
	Value, Why string
}

// Keep are the names of parts that are to be taken over against the rules; '*' stands for any characters.
type Keep []string

// Has tells whether a name is among them.
func (k Keep) Has(name string) bool {
	for _, pattern := range k {
		if ok, err := path.Match(pattern, name); err == nil && ok || pattern == name {
			return true
		}
	}
	return false
}

// Check reports a pattern that cannot be read.
func (k Keep) Check() error {
	for _, pattern := range k {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("%q is no name of an attribute: %w", pattern, err)
		}
	}
	return nil
}

// Carry returns t without the parts that are not taken to another cluster, whatever that is, and lists those
// among them that somebody may miss. Not listed: REPLICATION_SCOPE (the target's own peers would ship the copy), what HBase
// fills in by itself, and what waltap has put there.
func Carry(t admin.Table, keep Keep) (admin.Table, []LeftOut) {
	out := clone(t)
	restorePurge(&out)
	var left []LeftOut
	eachPart(&t, func(p Part, value string) {
		if skipped(p) && !keep.Has(p.Name) || p.Name == fileTracker && strings.EqualFold(value, "DEFAULT") {
			remove(&out, p)
			return
		}
		why := ownOfCluster(p, value)
		if why == "" || isDefault(p, value) || keep.Has(p.Name) {
			return
		}
		remove(&out, p)
		left = append(left, LeftOut{p, value, why})
	})
	return out, left
}

// restorePurge undoes what a sink has done to t: see PurgeBeforeKey.
func restorePurge(t *admin.Table) {
	restore := func(family string, attributes map[string]string) {
		before, changed := attributes[PurgeBeforeKey]
		switch {
		case !changed:
		case before == NotSet:
			delete(attributes, PurgeKey)
		default:
			attributes[PurgeKey] = before
		}
	}
	restore("", t.Attributes)
	for i := range t.Families {
		restore(t.Families[i].Name, t.Families[i].Attributes)
	}
}

// ownOfCluster says why a part is not taken to any other cluster; "": it is.
func ownOfCluster(p Part, value string) string {
	if p.Family == "" && strings.HasPrefix(p.Name, coprocessorPrefix) {
		return "a coprocessor runs inside the servers: they must have its class, and it would act on every copied row as on a written one"
	}
	switch p.Name {
	case "READONLY":
		return "the copy must take writes"
	case "PRIORITY":
		return "it ranks the table above others of its own cluster"
	case "OWNER":
		return "the owner is a user of the source"
	case "hbase.rsgroup.name":
		return "groups of region servers are the target's own"
	case "ERASURE_CODING_POLICY", fileTracker:
		return "it belongs to the file system under the source"
	case "ENCRYPTION_KEY":
		return "the key is wrapped with the source's master key: the target cannot unwrap it"
	case sanityChecks:
		return "it would keep the target from checking the table"
	}
	if class, ok := foreignClass(value); ok {
		return "the class " + class + " is not HBase's own: all servers of the target must have it"
	}
	return ""
}

var className = regexp.MustCompile(`^[a-z_][\w]*(\.[a-z_][\w]*)+\.[A-Z][\w$]*$`)

// hbaseClasses begins the names of HBase's own classes.
const hbaseClasses = "org.apache.hadoop.hbase."

// foreignClass is the first class of a comma separated list of them that is not HBase's.
func foreignClass(value string) (string, bool) {
	for class := range strings.SplitSeq(value, ",") {
		class = strings.TrimSpace(class)
		if className.MatchString(class) && !strings.HasPrefix(class, hbaseClasses) {
			return class, true
		}
	}
	return "", false
}

func hbaseClass(value string) bool {
	return strings.HasPrefix(value, hbaseClasses) && className.MatchString(strings.TrimSpace(value))
}

// RestorePurge gives t back the time to purge deletes that a sink has raised, and tells whether it had: see PurgeBeforeKey.
func RestorePurge(t *admin.Table) (changed bool) {
	restore := func(attributes, configuration map[string]string) map[string]string {
		before, raised := attributes[PurgeBeforeKey]
		if !raised {
			return attributes
		}
		changed = true
		out := maps.Clone(attributes)
		delete(out, PurgeBeforeKey)
		if _, beneath := configuration[PurgeKey]; before == NotSet || beneath {
			delete(out, PurgeKey)
		} else {
			out[PurgeKey] = before
		}
		return out
	}
	t.Attributes = restore(t.Attributes, t.Configuration)
	t.Families = slices.Clone(t.Families)
	for i := range t.Families {
		f := &t.Families[i]
		f.Attributes = restore(f.Attributes, f.Configuration)
	}
	return changed
}
