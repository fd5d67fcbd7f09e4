package tables

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/descriptor"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source/watermark"
)

// Selection says which tables are exported, and under what names.
type Selection struct {
	// Match chooses tables by their full names at the source; Named lists those that must be there.
	Match func(table string) bool
	Named []string
	// Mapping gives the names at the destination.
	Mapping schema.Mapping
	// Families lists those of a table's families that go; nil: all.
	Families func(table string, families []string) []string
	// DropTTL leaves out how long families keep cells.
	DropTTL bool
	// Keep names attributes that are exported against the rules.
	Keep descriptor.Keep
}

// SelectionOf is what a source connector captures and a sink connector applies, under the names that the sink gives it. sink may be
// nil: then everything keeps its name.
func SelectionOf(source *config.Source, sink *config.Sink) Selection {
	s := Selection{Match: source.Tables.Match, Named: source.Tables.Named(), Families: source.Scope.Families, DropTTL: source.Scope.DropTTL}
	if sink == nil {
		return s
	}
	consumed := func(table string) bool {
		topic, err := schema.DataTopic(source.TopicPrefix, table)
		return err != nil || sink.MatchTopic(topic) // what has no topic is refused by the source
	}
	s.Match = func(table string) bool { return source.Tables.Match(table) && consumed(table) }
	s.Named = slices.DeleteFunc(s.Named, func(table string) bool { return !consumed(table) })
	s.Mapping = sink.Mapping
	return s
}

// Export describes the selected tables of src as they are to stand at a destination, with their namespaces. System tables and
// waltap's heartbeat tables are never selected. It changes nothing.
func Export(ctx context.Context, src *admin.Cluster, sel Selection) (*File, error) {
	status, err := src.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("export tables: %w", err)
	}
	all, err := sel.tables(ctx, src)
	if err != nil {
		return nil, fmt.Errorf("export tables: %w", err)
	}
	f := &File{Source: Origin{Cluster: src.ID(), Version: status.Version, Exported: time.Now().UTC().Truncate(time.Second)}}
	for _, t := range all {
		regions, err := src.Regions(ctx, t.FullName())
		if err != nil {
			return nil, fmt.Errorf("export tables: %w", err)
		}
		exported, err := sel.table(t, regions)
		if err != nil {
			return nil, fmt.Errorf("export tables: %w", err)
		}
		f.Tables = append(f.Tables, *exported)
	}
	if f.Namespaces, err = sel.namespaces(ctx, src, f.Tables); err != nil {
		return nil, fmt.Errorf("export tables: %w", err)
	}
	return f, f.check()
}

// tables lists the selected tables, by name.
func (sel *Selection) tables(ctx context.Context, src *admin.Cluster) ([]admin.Table, error) {
	all, err := src.Tables(ctx, false)
	if err != nil {
		return nil, err
	}
	there := make(map[string]bool, len(all))
	var out []admin.Table
	var names []string
	for _, t := range all {
		name := t.FullName()
		there[name] = true
		if sel.Match(name) && !watermark.IsTable(name) {
			out, names = append(out, t), append(names, name)
		}
	}
	var errs []error
	for _, name := range sel.Named {
		if !there[name] {
			errs = append(errs, fmt.Errorf("the source has no table %s", name))
		}
	}
	if len(out) == 0 && len(errs) == 0 {
		errs = append(errs, errors.New("no table of the source matches"))
	}
	return out, errors.Join(append(errs, sel.Mapping.CheckTables(names))...)
}

// table is t under its names at the destination, without what is not taken over.
func (sel *Selection) table(t admin.Table, regions []admin.Region) (*Table, error) {
	of := t.FullName()
	out := &Table{Name: sel.Mapping.Table(of)}
	if out.Name != of {
		out.Source = of
	}
	families, err := sel.families(&t)
	if err != nil {
		return nil, err
	}
	renames := sel.Mapping.Families.Of(of)
	t.Families = families
	carried, left := descriptor.Carry(t, sel.Keep)
	out.Attributes, out.Configuration = carried.Attributes, carried.Configuration
	for _, f := range carried.Families {
		fam := Family{Name: renames.Apply(f.Name), Attributes: f.Attributes, Configuration: f.Configuration}
		if fam.Name != f.Name {
			fam.Source = f.Name
		}
		if sel.DropTTL {
			fam.Attributes = maps.Clone(fam.Attributes)
			delete(fam.Attributes, "TTL")
		}
		out.Families = append(out.Families, fam)
	}
	for _, l := range left {
		l.Family = renames.Apply(l.Family)
		out.LeftOut = append(out.LeftOut, LeftOut{Part: l.Part, Value: l.Value, Why: l.Why})
	}
	for _, r := range regions {
		if len(r.Start) > 0 {
			out.Splits = append(out.Splits, r.Start)
		}
	}
	return out, nil
}

// families lists those of t's families that go.
func (sel *Selection) families(t *admin.Table) ([]admin.Family, error) {
	var names []string
	for _, f := range t.Families {
		names = append(names, f.Name)
	}
	if sel.Families != nil {
		if names = sel.Families(t.FullName(), names); len(names) == 0 {
			return nil, fmt.Errorf("no family of table %s is chosen: name one, or leave the table out", t.FullName())
		}
	}
	renames := sel.Mapping.Families.Of(t.FullName())
	if err := renames.Check(names); err != nil {
		return nil, fmt.Errorf("table %s: %w", t.FullName(), err)
	}
	return slices.DeleteFunc(slices.Clone(t.Families), func(f admin.Family) bool { return !slices.Contains(names, f.Name) }), nil
}

// namespaces are those of the tables at the destination, with the properties of the namespaces at the source that they come from.
func (sel *Selection) namespaces(ctx context.Context, src *admin.Cluster, tables []Table) ([]Namespace, error) {
	all, err := src.NamespacesWithProperties(ctx)
	if err != nil {
		return nil, err
	}
	properties := make(map[string]map[string]string)
	for _, ns := range all {
		properties[ns.Name] = ns.Properties
	}
	from := make(map[string][]string) // by namespace at the destination
	for _, t := range tables {
		to, _ := schema.SplitTable(t.Name)
		of, _ := schema.SplitTable(t.of())
		if !slices.Contains(from[to], of) {
			from[to] = append(from[to], of)
		}
	}
	var out []Namespace
	for _, name := range slices.Sorted(maps.Keys(from)) {
		ns := Namespace{Name: name}
		for _, of := range from[name] {
			for _, key := range slices.Sorted(maps.Keys(properties[of])) {
				ns.take(key, properties[of][key], from[name], sel.Keep)
			}
		}
		if name != schema.DefaultNamespace || len(ns.Properties) > 0 || len(ns.LeftOut) > 0 {
			out = append(out, ns)
		}
	}
	return out, nil
}

// take takes a property over, or says why not.
func (ns *Namespace) take(key, value string, from []string, keep descriptor.Keep) {
	why := ""
	switch {
	case keep.Has(key):
	case len(from) > 1:
		why = "the namespaces " + strings.Join(from, ", ") + " become one: their properties are not added up"
	case strings.HasPrefix(key, "hbase.rsgroup."):
		why = "groups of region servers are the target's own"
	}
	if why != "" {
		ns.LeftOut = append(ns.LeftOut, LeftOut{Part: descriptor.Part{Kind: descriptor.Attribute, Name: key}, Value: value, Why: why})
		return
	}
	if ns.Properties == nil {
		ns.Properties = make(map[string]string)
	}
	ns.Properties[key] = value
}
