package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/waltap/waltap/connector/acl"
	"github.com/waltap/waltap/connector/migrate"
	"github.com/waltap/waltap/internal/check"
)

// MigrationCheck is about the keys migration.*.
var MigrationCheck = &check.Check{Name: "migration", Title: "The file is that of a migration, and its waves share the tables out",
	Means:  "One source and one sink, whose keys go with a migration; each table in one wave; the rights in Kafka that the steps of waltap migrate need beside those of the connectors (docs/kafka-acls.md).",
	Limits: "That every table of table.include.list is in a wave: waltap migrate plan says so, and all that will be changed.",
	Remedy: "Correct the file (docs/migrate.md)."}

// migration has the connectors of the waves looked at in place of those of the file, if it is that of a migration.
func (d *doctor) migration(ctx context.Context) []check.Result {
	if m := d.cfg.Migration; m.Name == "" && len(m.Waves) == 0 {
		return nil
	}
	m, err := migrate.New(d.cfg)
	if err != nil {
		var results []check.Result
		for line := range strings.SplitSeq(err.Error(), "\n") {
			results = append(results, MigrationCheck.Fail("", line, ""))
		}
		return results
	}
	d.waves = m.Waves
	cfg := *d.cfg
	cfg.Connectors = nil
	for _, w := range m.Waves {
		cfg.Connectors = append(cfg.Connectors, *w.Source, *w.Sink)
	}
	d.cfg = &cfg
	results := []check.Result{MigrationCheck.Right("migration "+m.Name, "%d waves, each with a source and a sink", len(m.Waves))}
	if d.client == nil {
		return append(results, check.Skipped("Kafka cannot be reached", acl.RightsCheck)...)
	}
	var all []acl.Right
	for _, w := range m.Waves {
		rights, err := acl.OfMigration(d.cfg, w.Source, w.Sink)
		if err != nil {
			return append(results, MigrationCheck.Fail("wave "+w.Name, err.Error(), ""))
		}
		for _, r := range slices.Concat(acl.MigrateStart.Rights, rights.Steps) {
			if !r.Prefixed && !strings.Contains(r.For, "only for ") && !strings.Contains(r.For, "--topics") {
				all = append(all, r)
			}
		}
	}
	return append(results, check.Run(ctx, d.Timeout, check.Task{Checks: []*check.Check{acl.RightsCheck}, Run: func(ctx context.Context) []check.Result {
		return acl.Check(ctx, d.client, &d.kafka, acl.Unique(all), nil)
	}})...)
}

// shared looks for tables that several waves have.
func (d *doctor) shared() (results []check.Result) {
	in := make(map[string][]string)
	for _, w := range d.waves {
		if found := d.found[w.Source.Name]; found != nil {
			for _, t := range found.Tables {
				in[t.Name] = append(in[t.Name], w.Name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(in)) {
		if waves := in[name]; len(waves) > 1 {
			results = append(results, MigrationCheck.Fail("table "+name, fmt.Sprintf("it is in the waves %s", strings.Join(waves, " and ")), "Name it in one."))
		}
	}
	return results
}
