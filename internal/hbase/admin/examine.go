package admin

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/waltap/waltap/internal/check"
	"github.com/waltap/waltap/internal/hbase/rpc"
)

var (
	checkZooKeeper = &check.Check{Name: "hbase.zookeeper", Title: "Each server of the ZooKeeper quorum speaks ZooKeeper's protocol, and HBase is there",
		Means:  "A session with each server of hbase.zookeeper.quorum by itself, and the cluster's id below hbase.zookeeper.znode.parent.",
		Remedy: "Check hbase.zookeeper.quorum (its client port, 2181 by default) and hbase.zookeeper.znode.parent (HBase's zookeeper.znode.parent), and that this machine may connect."}
	checkMaster = &check.Check{Name: "hbase.master", Title: "The active master answers",
		Means:  "A GetClusterStatus call at the master that ZooKeeper names.",
		Limits: "Backup masters are not asked.",
		Remedy: "Start a master; see that this machine resolves its host name and may connect to its port (16000 by default)."}
	checkServers = &check.Check{Name: "hbase.regionservers", Title: "Each region server answers",
		Means:  "A GetServerInfo call at each region server that ZooKeeper lists; it must name itself as it is listed.",
		Limits: "That it serves all of its regions.",
		Remedy: "See that this machine resolves the region server's host name and may connect to its port (16020 by default): scans, heartbeats and sinks connect to each of them."}
	checkVersions = &check.Check{Name: "hbase.version", Title: "HBase is of a version that waltap knows, the same everywhere",
		Means:  "The master's version, and that of each region server as it stands in ZooKeeper. waltap is tested with 1.4 to 2.6.",
		Limits: "What a vendor has changed in HBase.",
		Remedy: "Finish the upgrade, or use a version from 1.4 to 2.6."}
	checkAuthentication = &check.Check{Name: "hbase.authentication", Title: "HBase does not want Kerberos",
		Means:  "What the master says of its security. waltap speaks SIMPLE authentication: it tells HBase a user's name, which HBase believes. Kerberos (and tokens, and HBase's TLS) are recognised and not supported.",
		Remedy: "waltap cannot connect to a cluster that wants Kerberos (hbase.security.authentication=kerberos), neither as a source nor as a destination.",
	}

	// Checks are those of Examine.
	Checks = []*check.Check{checkZooKeeper, checkMaster, checkServers, checkVersions, checkAuthentication}
)

// sessionPatience is how long one ZooKeeper server may take to give a session: it is asked again all the time.
const sessionPatience = 5 * time.Second

// Examination is what Examine has found out about a cluster.
type Examination struct {
	Cluster *Cluster // nil: it cannot be reached. To be closed.
	Status  *Status  // nil: the master does not answer
	Servers []ServerName
	Info    map[ServerName]ServerInfo
	Results []check.Result
}

// Down says why nothing more can be asked, "" when it can.
func (x *Examination) Down() string {
	switch {
	case x.Cluster == nil:
		return "ZooKeeper cannot be asked"
	case x.Status == nil:
		return "the master does not answer"
	}
	return ""
}

// Close closes the Cluster.
func (x *Examination) Close() error {
	if x.Cluster == nil {
		return nil
	}
	return x.Cluster.Close()
}

// Examine looks at the servers of a cluster; each step has its own timeout. It changes nothing.
func Examine(ctx context.Context, cfg Config, timeout time.Duration) *Examination {
	x := &Examination{Info: make(map[ServerName]ServerInfo)}
	cfg.DialTimeout = min(cfg.withDefaults().DialTimeout, timeout/2)
	var tasks []check.Task
	for _, server := range cfg.Quorum {
		tasks = append(tasks, check.Task{Checks: []*check.Check{checkZooKeeper}, Subject: server, Run: func(ctx context.Context) []check.Result {
			return []check.Result{examineZooKeeper(ctx, cfg, server, timeout)}
		}})
	}
	x.Results = check.Run(ctx, timeout, tasks...)
	one := slices.ContainsFunc(x.Results, func(r check.Result) bool { return r.Severity == check.OK })
	for i := range x.Results { // the others serve
		if r := &x.Results[i]; one && r.Severity == check.Failure {
			r.Severity = check.Warning
		}
	}
	if !one {
		x.Results = append(x.Results, check.Skipped(x.Down(), Checks[1:]...)...)
		return x
	}
	octx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cluster, err := Open(octx, cfg)
	if err != nil {
		x.Results = append(x.Results, checkZooKeeper.Error("", err))
		x.Results = append(x.Results, check.Skipped(x.Down(), Checks[1:]...)...)
		return x
	}
	x.Cluster = cluster
	found := make(chan *Examination, 1) // what a task finds must not be written when nobody waits for it any more
	x.Results = append(x.Results, check.Run(ctx, timeout, check.Task{Checks: []*check.Check{checkMaster}, Run: func(ctx context.Context) []check.Result {
		st, result := examineMaster(ctx, cluster)
		found <- &Examination{Status: st}
		return []check.Result{result}
	}})...)
	select {
	case f := <-found:
		x.Status = f.Status
	default:
	}
	x.examineServers(ctx, timeout)
	x.Results = append(x.Results, x.examineVersions(), x.examineSecurity(ctx, timeout))
	return x
}

func examineZooKeeper(ctx context.Context, cfg Config, server string, timeout time.Duration) check.Result {
	ctx, cancel := context.WithTimeout(ctx, min(timeout*3/4, sessionPatience)) // its own words, not the task's
	defer cancel()
	one := cfg
	one.Quorum = []string{server}
	c, err := Open(ctx, one)
	if err != nil {
		return checkZooKeeper.Error(server, err)
	}
	id := c.ID()
	if err := c.Close(); err != nil {
		return checkZooKeeper.Error(server, err)
	}
	return checkZooKeeper.Right(server, "session; cluster id %s", id)
}

func examineMaster(ctx context.Context, c *Cluster) (*Status, check.Result) {
	st, err := c.Status(ctx)
	switch {
	case err != nil && wantsKerberos(err):
		return nil, checkAuthentication.Fail("", "the master wants Kerberos: "+err.Error(), "")
	case err != nil:
		return nil, checkMaster.Error("", err)
	}
	return st, checkMaster.Right(st.Master.Addr(), "answers, knows %d region servers", len(st.Servers))
}

// wantsKerberos tells whether a server has refused SIMPLE authentication ("Authentication is required": ServerRpcConnection).
func wantsKerberos(err error) bool {
	return rpc.IsRemote(err, "AccessDeniedException") && strings.Contains(err.Error(), "Authentication is required")
}

func (x *Examination) examineServers(ctx context.Context, timeout time.Duration) {
	lctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	servers, err := x.Cluster.RegionServers(lctx)
	if err != nil {
		x.Results = append(x.Results, checkServers.Error("", err))
		return
	}
	if x.Servers = servers; len(servers) == 0 {
		x.Results = append(x.Results, checkServers.Fail("", "ZooKeeper lists none", "Start the region servers."))
	}
	var tasks []check.Task
	for _, s := range servers {
		tasks = append(tasks, check.Task{Checks: []*check.Check{checkServers}, Subject: s.Addr(), Run: func(ctx context.Context) []check.Result {
			if err := x.Cluster.Ping(ctx, s); err != nil {
				return []check.Result{checkServers.Error(s.Addr(), err)}
			}
			return nil
		}})
	}
	faults := check.Run(ctx, timeout, tasks...)
	if n := len(servers) - len(faults); n > 0 {
		x.Results = append(x.Results, checkServers.Right(answering(servers, faults), "%d of %d answer", n, len(servers)))
	}
	x.Results = append(x.Results, faults...)
	for _, s := range servers {
		if info, err := x.Cluster.ServerInfo(lctx, s); err == nil {
			x.Info[s] = info
		}
	}
}

// answering names the servers that have no fault.
func answering(servers []ServerName, faults []check.Result) string {
	var names []string
	for _, s := range servers {
		if !slices.ContainsFunc(faults, func(r check.Result) bool { return r.Subject == s.Addr() }) {
			names = append(names, s.Addr())
		}
	}
	return check.Names(names)
}

// oldest and newest are the versions that waltap is tested with; from above newest on a version is not known.
var oldest, newest = [2]int{1, 4}, [2]int{2, 6}

func (x *Examination) examineVersions() check.Result {
	of := make(map[string]int)
	for _, info := range x.Info {
		if info.Version != "" {
			of[info.Version]++
		}
	}
	if x.Status != nil {
		of[x.Status.Version] += 0
	}
	return judgeVersions(of)
}

// judgeVersions judges the versions that the servers of a cluster have.
func judgeVersions(of map[string]int) check.Result {
	all := slices.Sorted(maps.Keys(of))
	if len(all) == 0 {
		return checkVersions.Unknown("", "nobody says which it is")
	}
	found := strings.Join(all, ", ")
	for _, text := range all {
		v, ok := majorMinor(text)
		switch {
		case !ok:
			return checkVersions.Warn("", found+": not a version that waltap can read", "")
		case slices.Compare(v[:], oldest[:]) < 0:
			return checkVersions.Fail("", found+": waltap needs 1.4 or later", "")
		case slices.Compare(v[:], newest[:]) > 0:
			return checkVersions.Warn("", found+": not tested with waltap", "")
		}
	}
	if len(all) > 1 {
		return checkVersions.Warn("", found+": the servers are of several versions", "")
	}
	return checkVersions.Right("", found)
}

func majorMinor(text string) (v [2]int, ok bool) {
	parts := strings.SplitN(text, ".", 3)
	if len(parts) < 2 {
		return v, false
	}
	for i := range v {
		n, err := strconv.Atoi(parts[i])
		if err != nil {
			return v, false
		}
		v[i] = n
	}
	return v, true
}

func (x *Examination) examineSecurity(ctx context.Context, timeout time.Duration) check.Result {
	if x.Status == nil {
		return checkAuthentication.Unknown("", "not looked at: %s", x.Down())
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	kerberos, _, err := x.Cluster.Security(ctx)
	switch {
	case err != nil && CannotAsk(err):
		return checkAuthentication.Right("", "the master takes SIMPLE authentication")
	case err != nil:
		return checkAuthentication.Error("", err)
	case kerberos:
		return checkAuthentication.Warn("", "the cluster uses Kerberos, and its master takes SIMPLE authentication as well (hbase.ipc.server.fallback-to-simple-auth-allowed)",
			"This holds only as long as the fallback is allowed on all servers.")
	}
	return checkAuthentication.Right("", "SIMPLE; we are user %s", x.Cluster.User())
}
