package verify

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/schema"
)

// familyAbout is what a family's attributes say about the cells that it keeps.
type familyAbout struct {
	versions    int
	keepDeleted bool  // hidden cells stay
	ttl         int64 // ms; 0: for ever
	newVersions bool
}

// forever is HBase's TTL for ever, in seconds.
const forever = math.MaxInt32

// aboutFamily reads a family's attributes; what is not given is HBase's default.
func aboutFamily(f *admin.Family) familyAbout {
	about := familyAbout{versions: 1}
	if n, err := strconv.Atoi(f.Attributes["VERSIONS"]); err == nil && n > 0 {
		about.versions = n
	}
	keep := strings.ToUpper(f.Attributes["KEEP_DELETED_CELLS"])
	about.keepDeleted = keep != "" && keep != "FALSE"
	about.newVersions = strings.EqualFold(f.Attributes["NEW_VERSION_BEHAVIOR"], "true")
	seconds, _, _ := strings.Cut(strings.TrimSpace(f.Attributes["TTL"]), " ")
	if n, err := strconv.ParseInt(seconds, 10, 64); err == nil && n > 0 && n < forever {
		about.ttl = n * 1000
	}
	return about
}

// newSides describes a table at both ends.
func newSides(ctx context.Context, o *Options, clusters [2]*admin.Cluster, table string) ([2]*side, error) {
	var sides [2]*side
	names := [2]string{table, o.Mapping.Table(table)}
	var described [2]*admin.Table
	for e, end := range [2]End{AtSource, AtTarget} {
		t, err := clusters[e].Table(ctx, names[e])
		if err != nil {
			return sides, fmt.Errorf("table at the %s: %w", end, err)
		}
		described[e] = t
		sides[e] = &side{end: end, cluster: clusters[e], table: names[e], visible: o.Visible, versions: o.Versions, fetch: o.FetchBytes, about: make(map[string]familyAbout)}
		if o.Scope != nil {
			sides[e].keeper = o.Scope.Keeper(table)
		}
	}
	renames := o.Mapping.Families.Of(table)
	var all []string // at the source
	for i := range described[0].Families {
		all = append(all, described[0].Families[i].Name)
	}
	if err := renames.Check(all); err != nil {
		return sides, fmt.Errorf("table %s: %w", table, err)
	}
	wanted := all
	if o.Scope != nil {
		wanted = o.Scope.Families(table, all)
	}
	for _, f := range o.Families {
		if !slices.Contains(all, f) {
			return sides, fmt.Errorf("table %s has no family %s: it has %s", table, f, strings.Join(all, ", "))
		}
	}
	if len(o.Families) > 0 {
		wanted = slices.DeleteFunc(slices.Clone(wanted), func(f string) bool { return !slices.Contains(o.Families, f) })
	}
	if len(wanted) == 0 {
		return sides, fmt.Errorf("table %s has no family to compare: it has %s", table, strings.Join(all, ", "))
	}
	whole := len(wanted) == len(all) && len(renames) == 0
	sides[0].choose(described[0], wanted, whole, func(f string) string { return f })
	sides[1].choose(described[1], wanted, whole, renames.Apply)
	return sides, nil
}

// choose says which families are read at an end: with whole all that it has, else those of the source's that it has.
func (s *side) choose(t *admin.Table, wanted []string, whole bool, here func(string) string) {
	has := make(map[string]bool)
	s.back = make(map[string][]byte)
	for _, f := range wanted {
		if at := here(f); at != f {
			s.back[at] = []byte(f)
		}
	}
	for i := range t.Families {
		f := &t.Families[i]
		has[f.Name] = true
		s.about[string(s.family([]byte(f.Name)))] = aboutFamily(f)
	}
	if whole {
		return
	}
	for _, f := range wanted {
		if has[here(f)] {
			s.families = append(s.families, here(f))
		}
	}
	s.empty = len(s.families) == 0
}

// groups are the families to read in step, one group after the other, in each end's names: renamed families have another order.
func groups(sides [2]*side, renames schema.TableFamilies) [][2][]string {
	if len(renames) == 0 {
		return [][2][]string{{sides[0].families, sides[1].families}}
	}
	var out [][2][]string
	for _, f := range sides[0].families {
		at := renames.Apply(f)
		g := [2][]string{{f}, {at}}
		if !slices.Contains(sides[1].families, at) {
			g[1] = []string{} // the target lacks it
		}
		out = append(out, g)
	}
	return out
}

// compactionsAge is how old the answer about major compactions may be.
const compactionsAge = 5 * time.Second

// compactions knows when the regions of a cluster were last compacted as a whole, which is when delete markers go.
type compactions struct {
	cluster *admin.Cluster

	mu   sync.Mutex
	read time.Time
	last map[string]int64 // by the region's full name, ms
}

// of is when the region of row was last compacted as a whole, ms; 0: never, as far as is known. A region server reports every few
// seconds: so one that is just over may not be known.
func (c *compactions) of(ctx context.Context, s *side, row []byte) (int64, error) {
	region, err := s.locate(ctx, row, false)
	if err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.read) > compactionsAge {
		st, err := c.cluster.Status(ctx)
		if err != nil {
			return 0, fmt.Errorf("ask the %s for its last major compactions: %w", s.end, err)
		}
		c.last, c.read = make(map[string]int64), time.Now()
		for _, server := range st.Servers {
			for _, r := range server.Regions {
				c.last[string(r.Name)] = r.LastMajorCompaction
			}
		}
	}
	at, known := c.last[string(region.Name)]
	if !known { // it was split, merged or opened since
		if region, err = s.locate(ctx, row, true); err != nil {
			return 0, err
		}
		at = c.last[string(region.Name)]
	}
	return at, nil
}
