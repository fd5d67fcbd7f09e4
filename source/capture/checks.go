package capture

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waltap/waltap/internal/check"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

var (
	checkReplication = &check.Check{Name: "source.replication", Title: "HBase replicates at all",
		Means:  "From 2.0 on it always does. Before, the znode replication/peers says that hbase.replication is true.",
		Limits: "In 1.x: that it is true on every region server.",
		Remedy: "Set hbase.replication to true in hbase-site.xml of the master and all region servers, and restart them."}
	checkTables = &check.Check{Name: "source.tables", Title: "The tables of table.include.list exist",
		Means:  "The tables of the source, by table.include.list and table.exclude.list.",
		Remedy: "Correct table.include.list, or create the table."}
	checkTableScope = &check.Check{Name: "source.scope", Title: "HBase ships the tables to peers",
		Means:  "REPLICATION_SCOPE of each family that is to be captured. With 0 HBase ships nothing of it.",
		Remedy: "In the hbase shell: alter 'namespace:table', {NAME => 'family', REPLICATION_SCOPE => '1'}; or hbase.replication.scope: set."}
	checkPeer = &check.Check{Name: "source.peer", Title: "The peer is ours, or free",
		Means:  "A replication peer under hbase.peer.id: it carries waltap's mark with this connector's name and points to the configured znode. With hbase.peer.create: false it exists and ships the tables.",
		Remedy: "Choose another hbase.peer.id."}
	checkVirtual = &check.Check{Name: "source.peer.zookeeper", Title: "The ZooKeeper of the peer can be reached, and its znode is free",
		Means:  "A session with hbase.peer.zookeeper.quorum; below hbase.peer.znode.parent is no HBase.",
		Limits: "That the source's master and region servers reach it, too, unless it is their own; that waltap may create znodes there.",
		Remedy: "Check hbase.peer.zookeeper.quorum, and choose an hbase.peer.znode.parent that nobody else has."}
	checkOtherPeers = &check.Check{Name: "source.peers", Title: "Other peers do not ship what is made for us",
		Means:  "The table lists of the other replication peers. One without a list ships every table with scope 1: those that are given it now, and waltap's heartbeat table. Where its target lacks such a table its replication stalls for ever.",
		Remedy: "Give the peer a table list, or allow it by hbase.replication.scope.allow.peers."}
	checkAddress = &check.Check{Name: "source.address", Title: "hbase.peer.advertised.host leads here",
		Means: "The name is resolved and a connection is made to it and hbase.peer.listen's port, where a listener is opened for the moment unless one runs; a loopback address or listener is refused when region servers are on other hosts.",
		Limits: "The connection is made from this machine. Whether each region server resolves the name to the same address, and a firewall lets it through, only a region server can tell: " +
			"once the peer is there source.shipping shows it. Which sinks a region server has given up on is not to be seen from outside.",
		Remedy: "Set hbase.peer.advertised.host to a name or address of this machine that every region server reaches."}
	checkShipping = &check.Check{Name: "source.shipping", Title: "Each region server ships to us",
		Means:  "What the region servers have reported to the master of our peer: the queue, when they have shipped last. Only when the peer exists and is enabled.",
		Limits: "A region server that has had nothing to ship has proved nothing.",
		Remedy: "See the connector's status and log, and the region server's log for 'waltap' and the advertised address: the name may not resolve there, or the port may be closed."}
	checkWALs = &check.Check{Name: "source.wals", Title: "No WALs are held for long",
		Means:  "The replication queues in ZooKeeper: how many WALs wait, of which peers, since when (snapshot.max.wal.hold, 6 h, is long). Their size is an upper bound: each as large as a WAL gets before it is rolled. With --namenode, the room that HDFS has left (JMX), and what HBase's folders WALs and oldWALs hold (WebHDFS).",
		Limits: "WALs that something else than replication holds (backup, a slow log cleaner). HBase 3 does not keep its queues in ZooKeeper: unknown.",
		Remedy: "A peer that nobody drains pins WALs until the disk is full: enable it, mend its target, or remove it (waltap peer list, waltap peer remove)."}
	checkBulkLoads = &check.Check{Name: "source.bulkload", Title: "Bulk loads",
		Means:  "hbase.replication.bulkload.enabled, from /conf of the region servers' web interfaces. With false, files that are bulk-loaded are not shipped and nobody sees it: scan the table again after a bulk load. With true they are announced, and waltap reads them where it knows hbase.rootdir; else the connector stops.",
		Limits: "Whether anybody bulk-loads. Without a web interface (hbase.regionserver.info.port: -1) the setting is unknown.",
		Remedy: "Set hbase.rootdir and hbase.rootdir.user, so that the files can be read (docs/snapshot-files.md), or set hbase.replication.bulkload.enabled to false on the region servers and scan tables again after a bulk load, or put the announcements aside with errors.tolerance: all."}
	checkRootDir = &check.Check{Name: "source.rootdir", Title: "The source's files can be read",
		Means:  "Below hbase.rootdir lies hbase.id, with the source's cluster id, and may be read; the data is in no encryption zone. Only with hbase.rootdir.",
		Limits: "That every file of every table may be read, and none is erasure-coded or encrypted by HBase: a snapshot is looked through before anything of it is read.",
		Remedy: "Give the hbase.rootdir of the source's hbase-site.xml with the hosts of its name nodes, and as hbase.rootdir.user the user that HBase runs as, or one whom an HDFS ACL lets read."}
	checkNewVersions = &check.Check{Name: "source.version.behavior", Title: "No NEW_VERSION_BEHAVIOR",
		Means:  "The attribute of each family that is captured. With it HBase orders a cell's versions by the sequence of their writing, which no client can give: a copy may show others.",
		Remedy: "Count on cells with equal timestamps, and on deletes, to differ at the destination; or alter the family: NEW_VERSION_BEHAVIOR => 'false'."}
	checkRights = &check.Check{Name: "source.rights", Title: "HBase lets us do what we need",
		Means:  "Where HBase checks rights (AccessController), it is asked for those of our user: ADMIN for peers and WAL rolls, CREATE for the heartbeat table, READ for scans, ADMIN for hbase.replication.scope: set.",
		Limits: "HBase before 2.2 cannot be asked.",
		Remedy: "In the hbase shell, as an administrator: grant 'waltap', 'RCA'"}

	// Checks are those of Check, in the order of its results. Those of the cluster's servers and of topics are beside them.
	Checks = []*check.Check{checkReplication, checkTables, checkTableScope, checkPeer, checkVirtual, checkOtherPeers, checkAddress, checkShipping, checkWALs, checkScanWALs, checkBulkLoads, checkRootDir, checkNewVersions, checkRights}
)

// CheckConfig says how Check looks.
type CheckConfig struct {
	Config
	Timeout   time.Duration // of each check
	Retention time.Duration // that records need
	ScanRate  int64         // limit of the scan, bytes a second; 0: none
	NameNode  string        // http://host:port of HDFS's; "": not asked
}

// Checked is what Check has found.
type Checked struct {
	Results []check.Result
	Tables  []schema.Table // as a sink gets them
	Topics  []kafka.TopicSpec
}

// checker is a Check at work.
type checker struct {
	*Capture
	CheckConfig
	cluster *admin.Examination
	all     []admin.Table // that match
	peers   []admin.Peer
	known   bool // the peers are
	conf    serverConfs
}

// Check looks at everything that a source depends on at its cluster, and at its topics unless Config.Kafka is nil. It changes
// nothing, and goes on where parts are down.
func Check(ctx context.Context, cfg CheckConfig) *Checked {
	if cfg.detached() {
		return checkDetached(ctx, cfg)
	}
	x := admin.Examine(ctx, cfg.Source, cfg.Timeout)
	defer x.Close()
	k := &checker{CheckConfig: cfg, cluster: x, Capture: &Capture{process: &process{cfg: cfg.Config, cluster: x.Cluster}}}
	out := &Checked{Results: x.Results}
	if down := x.Down(); down != "" {
		out.Results = append(out.Results, k.runAlone(ctx, down)...)
	} else {
		out.Results = append(out.Results, k.run(ctx)...)
	}
	for i := range k.tables {
		out.Tables = append(out.Tables, descriptor(k.tables[i], nil, cfg.Scope.DropTTL))
	}
	out.topics(ctx, k)
	return out
}

// runAlone makes the checks that need nobody's answer, while the cluster is down.
func (k *checker) runAlone(ctx context.Context, down string) []check.Result {
	alone := []*check.Check{checkVirtual, checkAddress}
	others := slices.DeleteFunc(slices.Clone(Checks), func(c *check.Check) bool { return slices.Contains(alone, c) })
	return append(check.Skipped(down, others...), check.Run(ctx, k.Timeout, k.task(k.virtual, checkVirtual), k.task(k.address, checkAddress))...)
}

// run makes the checks of the cluster; those that the others build on first.
func (k *checker) run(ctx context.Context) []check.Result {
	lists := make(chan func(), 3) // what a late task finds is not taken
	take := func() {
		for {
			select {
			case f := <-lists:
				f()
			default:
				return
			}
		}
	}
	first := check.Run(ctx, k.Timeout,
		k.task(func(ctx context.Context) []check.Result {
			tables, err := k.listTables(ctx)
			lists <- func() { k.all = tables }
			return tablesFound(tables, err)
		}, checkTables),
		k.task(func(ctx context.Context) []check.Result {
			peers, err := k.cluster.Cluster.Peers(ctx)
			if err != nil {
				return []check.Result{checkPeer.Fail("", err.Error(), "See that a master is active; where HBase checks rights, source.rights names what is missing.")}
			}
			lists <- func() { k.peers, k.known = peers, true }
			return nil
		}, checkPeer),
		k.task(func(ctx context.Context) []check.Result {
			conf := readConfs(ctx, k.cluster)
			lists <- func() { k.conf = conf }
			return nil
		}, checkBulkLoads),
	)
	take()
	for _, t := range k.all {
		if raised, _ := raised(t, nil, ""); k.cfg.SetScope && raised != nil {
			t = *raised // as it will be
		}
		if n, err := k.newCaptured(t); err == nil { // else source.scope tells of it
			k.tables = append(k.tables, *n)
		}
	}
	second := check.Run(ctx, k.Timeout,
		k.task(k.replication, checkReplication), k.task(k.scopes, checkTableScope), k.task(k.peer, checkPeer), k.task(k.virtual, checkVirtual), k.task(k.otherPeers, checkOtherPeers),
		k.task(k.address, checkAddress), k.task(k.shipping, checkShipping), k.task(k.wals, checkWALs), k.task(k.scanWALs, checkScanWALs), k.task(k.bulkLoads, checkBulkLoads), k.task(k.rootDir, checkRootDir),
		k.task(k.versionBehavior, checkNewVersions), k.task(k.rights, checkRights))
	return append(first, second...)
}

func (k *checker) task(run func(context.Context) []check.Result, checks ...*check.Check) check.Task {
	return check.Task{Checks: checks, Run: run}
}

func tablesFound(tables []admin.Table, err error) []check.Result {
	var results []check.Result
	if len(tables) > 0 {
		names := make([]string, len(tables))
		for i, t := range tables {
			names[i] = t.FullName()
		}
		results = append(results, checkTables.Right(check.Names(names), "%d match", len(tables)))
	}
	for _, e := range parts(err) {
		results = append(results, checkTables.Error("", e))
	}
	return results
}

// parts takes apart what errors.Join has put together.
func parts(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok && strings.Contains(err.Error(), "\n") {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

func (k *checker) replication(ctx context.Context) []check.Result {
	on, err := k.cluster.Cluster.ReplicationOn(ctx)
	switch {
	case err != nil:
		return []check.Result{checkReplication.Error("", err)}
	case !on:
		return []check.Result{checkReplication.Fail("", "hbase.replication is not true: ZooKeeper has no replication/peers", "")}
	}
	for _, c := range k.conf {
		if c.values["hbase.replication"] == "false" && strings.HasPrefix(k.cluster.Status.Version, "1.") {
			return []check.Result{checkReplication.Fail(c.server.Addr(), "hbase.replication is false there", "")}
		}
	}
	return []check.Result{checkReplication.Right("", "on")}
}

func (k *checker) scopes(context.Context) []check.Result {
	t := check.Tally{Check: checkTableScope}
	named := k.cfg.Tables.Named()
	_, refused := raising(k.all, k.peers, k.cfg.PeerID, k.cfg.ScopeAllowPeers)
	for _, table := range k.all {
		name := table.FullName()
		scoped := scopedFamilies(table)
		var unscoped []string
		for _, f := range table.Families {
			if !slices.Contains(scoped, f.Name) {
				unscoped = append(unscoped, f.Name)
			}
		}
		unscoped = k.cfg.Scope.Families(name, unscoped)
		switch err := requireScope([]admin.Table{table}); {
		case k.cfg.SnapshotMode == SnapshotInitialOnly && len(scoped) > 0:
			t.Right("table "+name, "scanned only")
		case k.cfg.SetScope && len(unscoped) > 0:
			t.Right("table "+name, "scope 1, or to be set to it (hbase.replication.scope: set)")
		case err != nil && len(k.tables) > 0 && !slices.Contains(named, name):
			found, remedy := check.Split(err)
			t.Add(checkTableScope.Warn("table "+name, found+": it is left out", remedy))
		case err != nil:
			t.Add(checkTableScope.Error("table "+name, err))
		case len(unscoped) > 0:
			t.Add(checkTableScope.Warn("table "+name, fmt.Sprintf("families with %s 0 are not captured: %s", scopeAttribute, strings.Join(unscoped, ", ")),
				"If they are to be captured, in the hbase shell: alter '"+name+"', {NAME => '"+unscoped[0]+"', "+scopeAttribute+" => '1'}; if not, name the others in column.include.list."))
		default:
			t.Right("table "+name, "scope 1")
		}
	}
	if k.cfg.SetScope && !k.known {
		t.Add(checkTableScope.Unknown("", "whether other peers would begin to ship the tables: the peers are not known"))
	}
	if k.cfg.SetScope {
		for _, err := range refused {
			t.Add(checkTableScope.Error("", err))
		}
	}
	return t.Results()
}

func (k *checker) versionBehavior(context.Context) []check.Result {
	t := check.Tally{Check: checkNewVersions}
	for _, table := range k.tables {
		right := true
		for _, name := range table.families {
			if f := table.Table.Family(name); f != nil && strings.EqualFold(f.Attributes["NEW_VERSION_BEHAVIOR"], "true") {
				t.Add(checkNewVersions.Warn("table "+table.name, "family "+name+" has NEW_VERSION_BEHAVIOR", ""))
				right = false
			}
		}
		if right {
			t.Right("table "+table.name, "not set")
		}
	}
	return t.Results()
}

func (k *checker) rights(ctx context.Context) []check.Result {
	grants := []admin.Grant{{Actions: []admin.Action{admin.Admin, admin.Create}}}
	for _, t := range k.all {
		g := admin.Grant{Table: t.FullName(), Actions: []admin.Action{admin.Read}}
		if k.cfg.SetScope {
			g.Actions = append(g.Actions, admin.Admin)
		}
		grants = append(grants, g)
	}
	return k.cluster.Cluster.CheckGrants(ctx, checkRights, grants)
}

// topics looks at the topics, as far as the tables are known.
func (out *Checked) topics(ctx context.Context, k *checker) {
	var needs []kafka.TopicNeed
	sizes := tableSizes(k.cluster.Status)
	for _, spec := range k.internalTopics() {
		needs = append(needs, kafka.TopicNeed{Spec: spec, Create: k.cfg.TopicCreate, Internal: true, Empty: spec.Name == schema.TasksTopic(k.cfg.TopicPrefix)})
	}
	elsewhere := ""
	switch {
	case k.cfg.Undeliverable.Oversized == "split":
		elsewhere = "is split where it holds several cells"
	case k.cfg.Undeliverable.Oversized == "dead-letter":
		elsewhere = "becomes a dead letter"
	}
	for _, t := range k.all {
		topic, err := schema.DataTopic(k.cfg.TopicPrefix, t.FullName())
		if err != nil {
			continue // said by the connector's start; such names do not exist in HBase
		}
		n := kafka.TopicNeed{Spec: k.dataTopic(topic), Create: k.cfg.TopicCreate, AllowCompacted: k.cfg.AllowCompacted, MaxMessage: k.cfg.MaxMessageBytes,
			Elsewhere: elsewhere, Retention: k.Retention}
		if k.cfg.SnapshotMode != SnapshotNoData {
			n.Bytes = sizes[t.FullName()]
		}
		needs = append(needs, n)
	}
	for _, n := range needs {
		out.Topics = append(out.Topics, n.Spec)
	}
	if k.cfg.Kafka == nil {
		out.Results = append(out.Results, check.Skipped("Kafka cannot be reached", kafka.TopicChecks...)...)
		return
	}
	out.Results = append(out.Results, check.Run(ctx, k.Timeout, check.Task{Checks: kafka.TopicChecks, Run: func(ctx context.Context) []check.Result {
		return k.cfg.Kafka.CheckTopics(ctx, needs)
	}})...)
}

// tableSizes are the uncompressed sizes of tables in bytes, as their regions have reported them.
func tableSizes(st *admin.Status) map[string]int64 {
	sizes := make(map[string]int64)
	if st == nil {
		return sizes
	}
	for _, s := range st.Servers {
		for _, r := range s.Regions {
			table, _, ok := bytes.Cut(r.Name, []byte(","))
			if !ok {
				continue
			}
			name := string(table)
			if !strings.Contains(name, ":") {
				name = schema.DefaultNamespace + ":" + name
			}
			sizes[name] += int64(max(r.StoreFileMB, r.UncompressedMB)+r.MemStoreMB) << 20
		}
	}
	return sizes
}
