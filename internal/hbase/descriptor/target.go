package descriptor

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/waltap/waltap/internal/hbase/admin"
)

// Target is a cluster that tables are to stand at.
type Target struct {
	Version string // HBase's, "2.6.4"; "": not known
	// Source is the version of the cluster that the tables are of; "": not known.
	Source string
	// Check lets the master check a descriptor: see admin.Cluster.CheckTable. Nil: nobody is asked.
	Check func(ctx context.Context, t admin.Table) error
}

// Fit returns t without the parts that the target does not know or cannot load, and lists them. A *admin.TableRefusedError
// means that the target would refuse what is left, too; parts of keep stay. unchecked, unless nil, says why the
// target's master could not be asked: then only what follows from its version is left out.
func (x *Target) Fit(ctx context.Context, t admin.Table, keep Keep) (fit admin.Table, left []LeftOut, unchecked, err error) {
	fit = clone(t)
	eachPart(&t, func(p Part, value string) {
		if keep.Has(p.Name) || isDefault(p, value) {
			return
		}
		if why := x.unknown(p, value); why != "" {
			remove(&fit, p)
			left = append(left, LeftOut{p, value, why})
		}
	})
	if x.Check == nil {
		return fit, left, nil, nil
	}
	var refused *admin.TableRefusedError
	switch err := x.Check(ctx, fit); {
	case err == nil:
		return fit, left, nil, nil
	case !errors.As(err, &refused):
		return fit, left, err, ctx.Err()
	}
	fit, more, err := x.without(ctx, fit, keep)
	return fit, append(left, more...), nil, err
}

// without leaves out of t the parts that the master refuses: it begins with those that may not be missing, and adds the others one by
// one.
func (x *Target) without(ctx context.Context, t admin.Table, keep Keep) (admin.Table, []LeftOut, error) {
	out := clone(t)
	type part struct {
		Part
		value string
	}
	var added []part
	eachPart(&t, func(p Part, value string) {
		if !isDefault(p, value) && !needed(p) && !keep.Has(p.Name) {
			remove(&out, p)
			added = append(added, part{p, value})
		}
	})
	if err := x.Check(ctx, out); err != nil {
		return t, nil, err
	}
	var left []LeftOut
	for _, a := range added {
		next := clone(out)
		Set(&next, a.Part, a.value)
		err := x.Check(ctx, next)
		var refused *admin.TableRefusedError
		switch {
		case errors.As(err, &refused):
			left = append(left, LeftOut{a.Part, a.value, "the target's master refuses it: " + refused.Reason})
		case err != nil:
			return t, nil, err
		default:
			out = next
		}
	}
	return out, left, nil
}

// needed tells whether the data would not be the same without the part: it decides which cells a family keeps.
func needed(p Part) bool {
	if p.Family == "" || p.Kind != Attribute {
		return false
	}
	switch p.Name {
	case versions, minVersions, ttl, keepDeleted, "NEW_VERSION_BEHAVIOR":
		return true
	}
	return false
}

// span is the versions of HBase that know something: from since, below until; zero: from the first, for ever.
type span struct{ since, until version }

// encodings are the data block encodings (DataBlockEncoding of 1.4.14 and 2.6.4). The master does not check them: where a region
// server does not know one, the regions of the table never open, and the procedure that creates it never ends (seen on 2.6.4).
var encodings = map[string]span{
	"NONE": {}, "PREFIX": {}, "DIFF": {}, "FAST_DIFF": {},
	"PREFIX_TREE":  {until: version{2}},
	"ROW_INDEX_V1": {since: version{1, 4}},
}

// newer are attributes that HBase took up later; an older one stores them and does nothing about them.
var newer = map[string]version{
	"IS_MOB": {2}, "MOB_THRESHOLD": {2}, "MOB_COMPACT_PARTITION_POLICY": {2}, "NEW_VERSION_BEHAVIOR": {2},
	"IN_MEMORY_COMPACTION": {2}, "STORAGE_POLICY": {2}, "INDEX_BLOCK_ENCODING": {2, 6}, "SPLIT_ENABLED": {2}, "MERGE_ENABLED": {2},
	"COMPRESSION_COMPACT_MAJOR": {2, 5}, "COMPRESSION_COMPACT_MINOR": {2, 5},
	"NORMALIZER_TARGET_REGION_COUNT": {2}, "NORMALIZER_TARGET_REGION_SIZE": {2}, "NORMALIZER_TARGET_REGION_SIZE_MB": {2, 5},
}

// unknown says why the target's version does not know a part; "": it does, as far as can be told.
func (x *Target) unknown(p Part, value string) string {
	at, known := parseVersion(x.Version)
	if p.Kind == Attribute && p.Family != "" && p.Name == encoding {
		e, named := encodings[strings.ToUpper(value)]
		switch {
		case !named:
			return "waltap knows no such encoding: where a region server lacks it, the table's regions never open"
		case known && (at.below(e.since) || e.until != (version{}) && !at.below(e.until)):
			return "HBase " + x.Version + " has no such encoding: the table's regions would never open"
		}
		return ""
	}
	if since, ok := newer[p.Name]; ok && p.Kind == Attribute && known && at.below(since) {
		return fmt.Sprintf("HBase %s does not know it, HBase %s and later do", x.Version, since)
	}
	from, sourceKnown := parseVersion(x.Source)
	if hbaseClass(value) && known && sourceKnown && at.below(version{from[0], from[1]}) {
		return "it names a class of HBase " + x.Source + ", which HBase " + x.Version + " may lack"
	}
	return ""
}

// version is the first three numbers of HBase's.
type version [3]int

func parseVersion(s string) (v version, ok bool) {
	s, _, _ = strings.Cut(s, "-")
	for i, n := range strings.SplitN(s, ".", 4) {
		if i == len(v) {
			break
		}
		number, err := strconv.Atoi(n)
		if err != nil {
			break
		}
		v[i] = number
	}
	return v, v != version{}
}

func (v version) below(o version) bool {
	for i := range v {
		if v[i] != o[i] {
			return v[i] < o[i]
		}
	}
	return false
}

func (v version) String() string { return fmt.Sprintf("%d.%d", v[0], v[1]) }
