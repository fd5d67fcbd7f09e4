// Package descriptor compares table descriptors, and decides what of one cluster's tables may stand at another: no server
// is asked to load what it does not have, and nothing is taken over that is about the cluster and not about the data.
package descriptor

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/waltap/waltap/internal/hbase/admin"
)

// Kind is what sort of a part of a descriptor something is.
type Kind string

// The kinds of parts.
const (
	Attribute     Kind = "attribute"
	Configuration Kind = "configuration"
	FamilyKind    Kind = "family"
)

// Part names a part of a table's descriptor.
type Part struct {
	Kind   Kind
	Family string // whose part it is; "": the table's
	Name   string // of the attribute or configuration key; of a FamilyKind "": the family is the part
}

// String is the part in words: "attribute TTL of family d".
func (p Part) String() string {
	if p.Kind == FamilyKind {
		return "family " + p.Family
	}
	s := string(p.Kind) + " " + p.Name
	if p.Family != "" {
		s += " of family " + p.Family
	}
	return s
}

// What a sink leaves on the tables that it fills: see sink/hbase.
const (
	// PurgeKey is how long, in ms since a delete marker's timestamp, a major compaction leaves the marker alone. It may
	// be set on the table, and on a family, which then wins.
	PurgeKey = "hbase.hstore.time.to.purge.deletes"
	// PurgeBeforeKey is the attribute in which a table keeps what PurgeKey was there before, NotSet when it was not: a
	// cut-over puts it back. It stays as the first time left it.
	PurgeBeforeKey = "waltap.time.to.purge.deletes.before"
	// NotSet is the value of PurgeBeforeKey where there was none.
	NotSet = "none"

	ownPrefix = "waltap." // of attributes that are waltap's own
)

const (
	versions    = "VERSIONS"
	minVersions = "MIN_VERSIONS"
	ttl         = "TTL"
	keepDeleted = "KEEP_DELETED_CELLS"
	encoding    = "DATA_BLOCK_ENCODING"
	forever     = "2147483647"

	coprocessorPrefix = "coprocessor$"
	fileTracker       = "hbase.store.file-tracker.impl"
	sanityChecks      = "hbase.table.sanity.checks"
)

// familyDefaults are the values that HBase takes for attributes of a family that are not there (1.4.14 HColumnDescriptor, 2.6.4
// ColumnFamilyDescriptorBuilder). A version fills in those it knows, so that the same family shows more of them on a newer one.
var familyDefaults = map[string]string{
	versions: "1", minVersions: "0", ttl: forever, keepDeleted: "FALSE", encoding: "NONE",
	"INDEX_BLOCK_ENCODING": "NONE", "BLOOMFILTER": "ROW", "COMPRESSION": "NONE", "BLOCKSIZE": "65536", "IN_MEMORY": "false",
	"BLOCKCACHE": "true", "CACHE_DATA_ON_WRITE": "false", "CACHE_INDEX_ON_WRITE": "false", "CACHE_BLOOMS_ON_WRITE": "false",
	"EVICT_BLOCKS_ON_CLOSE": "false", "PREFETCH_BLOCKS_ON_OPEN": "false", "CACHE_DATA_IN_L1": "false", "COMPRESS_TAGS": "true",
	"IS_MOB": "false", "MOB_THRESHOLD": "102400", "MOB_COMPACT_PARTITION_POLICY": "DAILY", "NEW_VERSION_BEHAVIOR": "false",
	"DFS_REPLICATION": "0", "ENCODE_ON_DISK": "true",
	admin.ScopeAttribute: "0", // not compared, see skipped
}

// tableDefaults are the same of a table (HTableDescriptor, TableDescriptorBuilder).
var tableDefaults = map[string]string{
	"READONLY": "false", "COMPACTION_ENABLED": "true", "SPLIT_ENABLED": "true", "MERGE_ENABLED": "true",
	"DURABILITY": "USE_DEFAULT", "REGION_REPLICATION": "1", "REGION_MEMSTORE_REPLICATION": "true", "NORMALIZATION_ENABLED": "false",
	"PRIORITY": "0", "DEFERRED_LOG_FLUSH": "false", "MAX_FILESIZE": "-1", "MEMSTORE_FLUSHSIZE": "-1", "ERASURE_CODING_POLICY": "null",
}

func defaultsOf(p Part) map[string]string {
	switch {
	case p.Kind != Attribute:
		return nil
	case p.Family != "":
		return familyDefaults
	}
	return tableDefaults
}

// isDefault tells whether a value says what HBase takes without it.
func isDefault(p Part, value string) bool {
	d, known := defaultsOf(p)[p.Name]
	return known && same(p, value, d)
}

// same tells whether two values of a part mean the same.
func same(p Part, a, b string) bool {
	if a == b {
		return true
	}
	if _, known := defaultsOf(p)[p.Name]; !known {
		return false
	}
	return strings.EqualFold(canonical(p, a), canonical(p, b))
}

// canonical is one way of writing a known attribute's value.
func canonical(p Part, value string) string {
	value = strings.TrimSpace(value)
	if p.Name == ttl && strings.EqualFold(value, "FOREVER") {
		return forever
	}
	if n, err := strconv.ParseInt(value, 10, 64); err == nil {
		return strconv.FormatInt(n, 10)
	}
	return value
}

// skipped are parts that are never compared and never taken over: they are about the cluster. A file may still ask for them.
func skipped(p Part) bool {
	switch p.Name {
	case admin.ScopeAttribute:
		return p.Family != ""
	case "IS_META", "IS_ROOT":
		return p.Family == ""
	}
	return strings.HasPrefix(p.Name, ownPrefix)
}

// eachPart calls f for all attributes and configuration keys of t, in a fixed order.
func eachPart(t *admin.Table, f func(p Part, value string)) {
	each := func(kind Kind, family string, m map[string]string) {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			f(Part{kind, family, name}, m[name])
		}
	}
	each(Configuration, "", t.Configuration)
	each(Attribute, "", t.Attributes)
	for i := range t.Families {
		each(Configuration, t.Families[i].Name, t.Families[i].Configuration)
		each(Attribute, t.Families[i].Name, t.Families[i].Attributes)
	}
}

// clone copies t, so that its parts may be changed.
func clone(t admin.Table) admin.Table {
	t.Attributes, t.Configuration = maps.Clone(t.Attributes), maps.Clone(t.Configuration)
	t.Families = slices.Clone(t.Families)
	for i := range t.Families {
		f := &t.Families[i]
		f.Attributes, f.Configuration = maps.Clone(f.Attributes), maps.Clone(f.Configuration)
	}
	return t
}

// mapOf is the map of t that holds p; nil when t has no such family, or none such part yet.
func mapOf(t *admin.Table, p Part) *map[string]string {
	attributes, configuration := &t.Attributes, &t.Configuration
	if p.Family != "" {
		f := t.Family(p.Family)
		if f == nil {
			return nil
		}
		attributes, configuration = &f.Attributes, &f.Configuration
	}
	if p.Kind == Configuration {
		return configuration
	}
	return attributes
}

// Set gives a part of t its value; t must have the family.
func Set(t *admin.Table, p Part, value string) {
	if m := mapOf(t, p); m != nil {
		if *m == nil {
			*m = make(map[string]string)
		}
		(*m)[p.Name] = value
	}
}

func remove(t *admin.Table, p Part) {
	if m := mapOf(t, p); m != nil {
		delete(*m, p.Name)
	}
}

// get is the value of a part. HBase 2 keeps a table's configuration among its attributes, HBase 1 beside them: both are looked
// at.
func get(t *admin.Table, p Part) (value string, there bool) {
	if m := mapOf(t, p); m != nil {
		value, there = (*m)[p.Name]
	}
	if p.Family == "" && !there {
		if value, there = t.Attributes[p.Name]; !there {
			value, there = t.Configuration[p.Name]
		}
	}
	return value, there
}
