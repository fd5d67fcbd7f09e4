package capture

import (
	"context"
	"slices"

	"github.com/waltap/waltap/internal/check"
	"github.com/waltap/waltap/internal/hbase/admin"
)

// checkDetached looks at snapshots without an HBase behind them: they are there, all their files are, and can be read.
func checkDetached(ctx context.Context, cfg CheckConfig) *Checked {
	k := &checker{CheckConfig: cfg, cluster: new(admin.Examination), Capture: &Capture{process: &process{cfg: cfg.Config}}}
	made := []*check.Check{checkTables, checkRootDir}
	others := slices.DeleteFunc(slices.Concat(admin.Checks, Checks), func(c *check.Check) bool { return slices.Contains(made, c) })
	var out Checked
	for _, c := range others {
		out.Results = append(out.Results, c.Right("", "not needed: only snapshots are read (snapshot.name, no hbase.zookeeper.quorum)"))
	}
	found := make(chan []captured, 1) // what a late task finds is not taken
	out.Results = append(out.Results, check.Run(ctx, k.Timeout, k.task(func(ctx context.Context) []check.Result {
		tables, results := k.givenTables(ctx)
		found <- tables
		return results
	}, made...))...)
	select {
	case k.tables = <-found:
	default:
	}
	for i := range k.tables {
		k.all = append(k.all, k.tables[i].Table)
		out.Tables = append(out.Tables, descriptor(k.tables[i], nil, cfg.Scope.DropTTL))
	}
	out.topics(ctx, k)
	return &out
}

// givenTables looks at the snapshots that are to be read.
func (k *checker) givenTables(ctx context.Context) ([]captured, []check.Result) {
	p := &process{cfg: k.cfg}
	if err := p.openDetached(); err != nil {
		return nil, []check.Result{checkRootDir.Error(k.cfg.Root.String(), err)}
	}
	defer p.closeFiles()
	all, err := p.listTables(ctx)
	results := tablesFound(all, err)
	var tables []captured
	t := check.Tally{Check: checkRootDir}
	for _, table := range all {
		c := &Capture{process: p}
		n, err := c.newCaptured(table)
		if err == nil {
			tables = append(tables, *n)
			err = p.namedFiles().Check(ctx, n.name, n.families)
		}
		if err != nil {
			t.Add(checkRootDir.Error("table "+table.FullName(), err))
			continue
		}
		t.Right("table "+n.name, "all files of its snapshot are there, and can be read")
	}
	return tables, append(results, t.Results()...)
}
