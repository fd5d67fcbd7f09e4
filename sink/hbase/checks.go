package hbase

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/waltap/waltap/internal/check"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/descriptor"
	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/schema"
)

var (
	checkTables = &check.Check{Name: "destination.tables", Title: "The tables are there, or are created",
		Means:  "Each table whose topic the sink consumes, by its name at the destination. Renames that would make one of two tables, or of two families, are refused.",
		Remedy: "Create the table, or set hbase.table.create: true."}
	checkFamilies = &check.Check{Name: "destination.families", Title: "The families are there, or are added",
		Means:  "The captured families of each table, by their names at the destination.",
		Remedy: "In the hbase shell: alter 'namespace:table', {NAME => 'family'}; or set hbase.table.create: true, or schema.evolution: basic."}
	checkAttributes = &check.Check{Name: "destination.attributes", Title: "The families keep what the source's keep",
		Means:  "VERSIONS, MIN_VERSIONS, TTL, KEEP_DELETED_CELLS and NEW_VERSION_BEHAVIOR of families that are there. Fewer versions, a shorter life or other treatment of delete markers make the copy differ.",
		Limits: "Attributes about storage and speed (compression, encoding, block size), which may differ.",
		Remedy: "In the hbase shell: alter 'namespace:table', {NAME => 'family', VERSIONS => '…'}"}
	checkCoprocessors = &check.Check{Name: "destination.coprocessors", Title: "The tables have the source's coprocessors",
		Means:  "The coprocessors that the source's tables have as attributes, by class. One acts on what is written and read: applications may count on it (Phoenix, aggregates, indexes).",
		Limits: "Whether the destination's region servers can load the class, and coprocessors of hbase-site.xml.",
		Remedy: "Put the class on all servers of the destination and alter the table, if applications there need it; an observer that derives data at the source must not run at the destination too."}
	checkWay = &check.Check{Name: "destination.apply", Title: "The destination takes changes in the configured way",
		Means:  "An empty ReplicateWALEntry call at a region server, which writes nothing (hbase.apply: replication; auto, for cells with tags other than a TTL).",
		Limits: "Whether the tables hold cells with such tags: cell ACLs, visibility labels.",
		Remedy: "hbase.apply: mutation; or let HBase 1.x replicate (hbase.replication: true)."}
	checkRights = &check.Check{Name: "destination.rights", Title: "HBase lets us do what we need",
		Means:  "Where HBase checks rights (AccessController), it is asked for those of our user: WRITE on the tables that are there (who creates one owns it), on the cluster for hbase.apply: replication; CREATE and ADMIN for hbase.table.create, ADMIN for schema.evolution: basic and hbase.table.late.put.window.ms.",
		Limits: "HBase before 2.2 cannot be asked.",
		Remedy: "In the hbase shell, as an administrator: grant 'waltap', 'RWCA'"}

	// Checks are those of Check, in the order of its results. Those of the cluster's servers are beside them.
	Checks = []*check.Check{checkTables, checkFamilies, checkAttributes, checkCoprocessors, checkWay, checkRights}
)

// checker is a Check at work.
type checker struct {
	*Applier
	x      *admin.Examination
	tables []schema.Table
}

// Check looks at everything that a sink depends on at its destination, for the tables that it is to be sent. Unless known holds, they
// are not known: nothing is said about them. Each check has its own timeout. It changes nothing.
func Check(ctx context.Context, cfg Config, tables []schema.Table, known bool, timeout time.Duration) []check.Result {
	x := admin.Examine(ctx, cfg.Target, timeout)
	defer x.Close()
	if down := x.Down(); down != "" {
		return append(x.Results, check.Skipped(down, Checks...)...)
	}
	cfg.CallTimeout = timeout
	k := &checker{Applier: &Applier{cfg: cfg, cluster: x.Cluster}, x: x, tables: tables}
	results := x.Results
	if !known {
		results = append(results, check.Skipped("the source's tables are not known", Checks[:4]...)...)
	} else {
		results = append(results, check.Run(ctx, timeout, check.Task{Checks: Checks[:4], Run: k.compare})...)
	}
	return append(results, check.Run(ctx, timeout, check.Task{Checks: []*check.Check{checkWay}, Run: k.applies}, check.Task{Checks: []*check.Check{checkRights}, Run: k.rights})...)
}

// compare looks at the tables.
func (k *checker) compare(ctx context.Context) []check.Result {
	t := tallies{check.Tally{Check: checkTables}, check.Tally{Check: checkFamilies}, check.Tally{Check: checkAttributes}, check.Tally{Check: checkCoprocessors}}
	var from, names []string
	for _, d := range k.tables {
		from, names = append(from, d.Name), append(names, k.cfg.Mapping.Table(d.Name))
	}
	if err := k.cfg.Mapping.CheckTables(from); err != nil {
		t.tables.Add(checkTables.Fail("", err.Error(), "Correct hbase.table.rename or hbase.namespace.rename."))
	}
	there, err := k.cluster.TablesNamed(ctx, names)
	if err != nil {
		return []check.Result{checkTables.Error("", err)}
	}
	for i, d := range k.tables {
		as, err := k.mapTable(d.Name, names[i], &d)
		if err != nil {
			t.tables.Add(checkTables.Fail("table "+names[i], err.Error(), "Correct hbase.family.rename."))
			continue
		}
		want := adminTable(&d, as)
		at := slices.IndexFunc(there, func(h admin.Table) bool { return h.FullName() == names[i] })
		if at < 0 {
			t.absent(want, k.cfg.Create)
			continue
		}
		t.tables.Right("table "+names[i], "there, or will be created")
		t.judgeFamilies(want, there[at], k.cfg.Create || k.cfg.Evolve)
		t.judgeAttributes(want, there[at])
		t.judgeCoprocessors(want, there[at])
	}
	return slices.Concat(t.tables.Results(), t.families.Results(), t.attributes.Results(), t.coprocessors.Results())
}

// tallies are of the checks of tables.
type tallies struct{ tables, families, attributes, coprocessors check.Tally }

// absent judges a table that the destination does not have.
func (t *tallies) absent(want admin.Table, create bool) {
	name := want.FullName()
	if !create {
		var families []string
		for _, f := range want.Families {
			families = append(families, family(f.Name, descriptor.Kept(&f)))
		}
		t.tables.Add(checkTables.Fail("table "+name, "the destination does not have it, and hbase.table.create is false",
			fmt.Sprintf("Set hbase.table.create: true, or in the hbase shell: create '%s', %s", name, strings.Join(families, ", "))))
		return
	}
	t.tables.Right("table "+name, "there, or will be created")
	t.families.Right("table "+name, "there, or will be added")
	t.attributes.Right("table "+name, "no less is kept than at the source")
	if classes := descriptor.Coprocessors(&want); len(classes) > 0 {
		t.coprocessors.Add(checkCoprocessors.Warn("table "+name, "it will be created, and the source's has coprocessors: "+strings.Join(slices.Sorted(maps.Keys(classes)), ", "), ""))
		return
	}
	t.coprocessors.Right("table "+name, "the same as at the source, or none")
}

func (t *tallies) judgeFamilies(want, have admin.Table, create bool) {
	name := want.FullName()
	var missing []string
	for _, f := range want.Families {
		if have.Family(f.Name) == nil {
			missing = append(missing, family(f.Name, descriptor.Kept(&f)))
		}
	}
	switch {
	case len(missing) == 0 || create:
		t.families.Right("table "+name, "there, or will be added")
	default:
		t.families.Add(checkFamilies.Fail("table "+name, fmt.Sprintf("%d families are missing, and hbase.table.create is false", len(missing)),
			fmt.Sprintf("In the hbase shell: alter '%s', %s  (or set hbase.table.create: true)", name, strings.Join(missing, ", "))))
	}
}

// family is how the HBase shell writes one.
func family(name string, attributes map[string]string) string {
	text := "{NAME => '" + name + "'"
	for _, k := range slices.Sorted(maps.Keys(attributes)) {
		text += fmt.Sprintf(", %s => '%s'", k, attributes[k])
	}
	return text + "}"
}

func (t *tallies) judgeAttributes(want, have admin.Table) {
	name := want.FullName()
	differs := make(map[string]map[string]string) // by family
	found := make(map[string][]string)
	for _, c := range descriptor.Compare(want, have) {
		if !c.KeepsLess() {
			continue
		}
		if differs[c.Family] == nil {
			differs[c.Family] = make(map[string]string)
		}
		differs[c.Family][c.Name] = c.Want
		found[c.Family] = append(found[c.Family], fmt.Sprintf("%s is %s, %s at the source", c.Name, c.Is(), c.Want))
	}
	for _, f := range slices.Sorted(maps.Keys(differs)) {
		slices.Sort(found[f])
		t.attributes.Add(checkAttributes.Warn("table "+name, "family "+f+": "+strings.Join(found[f], "; "), fmt.Sprintf("In the hbase shell: alter '%s', %s", name, family(f, differs[f]))))
	}
	if len(differs) == 0 {
		t.attributes.Right("table "+name, "no less is kept than at the source")
	}
}

func (t *tallies) judgeCoprocessors(want, have admin.Table) {
	name := want.FullName()
	wants, has := descriptor.Coprocessors(&want), descriptor.Coprocessors(&have)
	right := true
	for _, class := range slices.Sorted(maps.Keys(wants)) {
		if _, ok := has[class]; !ok {
			right = false
			t.coprocessors.Add(checkCoprocessors.Warn("table "+name, "it lacks the source's coprocessor "+class,
				fmt.Sprintf("If applications need it there, put the class on all servers of the destination and, in the hbase shell: alter '%s', 'coprocessor' => '%s'", name, wants[class])))
		}
	}
	if right {
		t.coprocessors.Right("table "+name, "the same as at the source, or none")
	}
}

// applies makes a replication call with nothing in it.
func (k *checker) applies(ctx context.Context) []check.Result {
	if k.cfg.Mode == Mutation || k.cfg.NoOverwrite {
		return []check.Result{checkWay.Right("", "by mutations, as configured")}
	}
	err := k.send(ctx, new(call))
	switch {
	case err == nil:
		return []check.Result{checkWay.Right("", "replication calls are taken")}
	case rpc.IsRemote(err, "AccessDeniedException") && k.cfg.Mode != Replication:
		return []check.Result{checkWay.Warn("user "+k.cluster.User(), "changes go by mutations; replication calls, for cells with tags other than a TTL (cell ACLs, visibility labels), are not permitted: a destination that checks such tags refuses these cells then",
			"Where the tables hold such cells, in the hbase shell, as an administrator: "+admin.Grant{Actions: []admin.Action{admin.Write}}.Command(k.cluster.User())+"; else set hbase.apply: mutation.")}
	case refusesReplication(err) && k.cfg.Mode != Replication:
		return []check.Result{checkWay.Warn("", "replication calls are refused, so that cells with tags, too, are written by mutations, which a destination with cell ACLs or visibility labels does not take: "+firstLine(err), "Set hbase.apply: mutation if that is meant.")}
	}
	return []check.Result{checkWay.Fail("", firstLine(err), "")}
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

func (k *checker) rights(ctx context.Context) []check.Result {
	return k.cluster.CheckGrants(ctx, checkRights, k.grants(k.missing(ctx)))
}

// missing are the tables that the destination does not have. Where it does not say, none is taken to be missing.
func (k *checker) missing(ctx context.Context) []string {
	var names []string
	for _, d := range k.tables {
		names = append(names, k.cfg.Mapping.Table(d.Name))
	}
	there, err := k.cluster.TablesNamed(ctx, names)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(names, func(name string) bool {
		return slices.ContainsFunc(there, func(h admin.Table) bool { return h.FullName() == name })
	})
}

// grants are the rights without which changes cannot be applied. What only cells with certain tags need, in mode Auto, is for applies.
func (k *checker) grants(missing []string) (grants []admin.Grant) {
	byReplication := k.cfg.Mode == Replication && !k.cfg.NoOverwrite
	var cluster admin.Grant
	if byReplication {
		cluster.Actions = append(cluster.Actions, admin.Write)
	}
	if k.cfg.Create {
		cluster.Actions = append(cluster.Actions, admin.Create)
	}
	if k.cfg.Create || k.cfg.Evolve || k.cfg.LatePutWindow > 0 {
		cluster.Actions = append(cluster.Actions, admin.Admin)
	}
	if len(cluster.Actions) > 0 {
		grants = append(grants, cluster)
	}
	if byReplication {
		return grants
	}
	for _, d := range k.tables {
		name := k.cfg.Mapping.Table(d.Name)
		if k.cfg.Create && slices.Contains(missing, name) {
			continue // who creates a table may write to it
		}
		grants = append(grants, admin.Grant{Table: name, Actions: []admin.Action{admin.Write}})
	}
	return grants
}
