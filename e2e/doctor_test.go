//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/doctor"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/check"
	"github.com/waltap/waltap/internal/kafka"
	capturing "github.com/waltap/waltap/source/capture"
)

// doctorExit are the exit codes of waltap doctor.
var doctorExit = map[check.Severity]int{check.OK: 0, check.Unknown: 0, check.Warning: 3, check.Failure: 4}

// examine runs waltap doctor on a configuration.
func examine(t *testing.T, config string, args ...string) *doctor.Report {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pipeline.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(config, "${PORT}", "0")), 0o600); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(args, "--timeout") {
		args = append(args, "--timeout", "1m") // of each check, on a busy machine
	}
	r := testenv.RunWaltap(testenv.Context(t, 2*time.Minute), t, append([]string{"doctor", "-f", file, "--json"}, args...)...)
	noSecret(t, "waltap doctor", r.Stdout+r.Stderr)
	var report doctor.Report
	if err := json.Unmarshal([]byte(r.Stdout), &report); err != nil {
		t.Fatalf("exit code %d, %v\n%s%s", r.ExitCode, err, r.Stdout, r.Stderr)
	}
	if want := doctorExit[report.Severity]; r.ExitCode != want {
		t.Errorf("exit code %d, want %d for %s", r.ExitCode, want, report.Severity)
	}
	return &report
}

// results lists those of a report that are one of the severities.
func results(r *doctor.Report, of ...check.Severity) (all []check.Result) {
	for _, s := range r.Sections {
		for _, x := range s.Results {
			if slices.Contains(of, x.Severity) {
				all = append(all, x)
			}
		}
	}
	return all
}

// green fails the test when anything is wrong, or not known that should be.
func green(t *testing.T, r *doctor.Report) {
	t.Helper()
	for _, x := range results(r, check.Warning, check.Failure) {
		t.Errorf("%+v", x)
	}
	seen := make(map[string]bool)
	for _, x := range results(r, check.OK, check.Unknown) {
		seen[x.Check] = true
		// The servers of these tests have no web interfaces; nothing is shipped before there is a peer.
		if x.Severity == check.Unknown && !slices.Contains([]string{"source.bulkload", "source.wals.scan", "source.shipping"}, x.Check) {
			t.Errorf("%+v", x)
		}
	}
	for _, part := range doctor.Parts() {
		for _, c := range part.Checks {
			if !seen[c.Name] && c.Name != "registry" && c.Name != "migration" {
				t.Errorf("nothing is said of %s", c.Name)
			}
		}
	}
}

// ailing fails the test unless the check alone is worse than ok, in the way that is wanted.
func ailing(t *testing.T, r *doctor.Report, want check.Result) {
	t.Helper()
	found := false
	for _, x := range results(r, check.Warning, check.Failure) {
		if x.Check != want.Check {
			t.Errorf("%s is broken, and also told is %+v", want.Check, x)
			continue
		}
		if x.Severity == want.Severity && strings.Contains(x.Subject, want.Subject) && strings.Contains(x.Found, want.Found) && strings.Contains(x.Remedy, want.Remedy) {
			found = true
			continue
		}
		t.Logf("told is %+v", x)
	}
	if !found {
		t.Errorf("not told: %+v", want)
	}
}

// sound is a pipeline in which nothing is wrong, but what source and sink say otherwise.
func sound(t *testing.T, table string, source, sink keys) *pipe {
	t.Helper()
	p := &pipe{name: testenv.Name(t), tables: table, sink: sink, source: keys{"topic.creation.default.retention.ms": "604800000",
		"topic.creation.default.replication.factor": "1", "topic.creation.default.min.insync.replicas": "1"}}
	for k, v := range source {
		p.source[k] = v
	}
	p.cleanUp(t)
	return p
}

// TestDoctor: a set-up in which nothing is wrong is green, and nothing is changed by looking; in each of the others one thing is
// broken, and that alone is told, with its remedy.
func TestDoctor(t *testing.T) {
	t.Parallel()
	client := kafkaClient(t)
	table := testenv.Name(t)
	createTable(t, table, "a", "b")
	topic := func(t *testing.T, p *pipe, configs map[string]string) {
		spec := kafka.TopicSpec{Name: p.name + ".default." + table, Partitions: 4, ReplicationFactor: 1,
			Configs: map[string]string{"cleanup.policy": "delete", "max.message.bytes": "12582912", "retention.ms": "604800000"}}
		for k, v := range configs {
			spec.Configs[k] = v
		}
		if err := client.EnsureTopics(testenv.Context(t, time.Minute), spec); err != nil {
			t.Fatal(err)
		}
	}
	// at makes a table at the source, and unless destination is nil another one of its name there.
	at := func(t *testing.T, source judge.Table, destination []judge.Family) string {
		source.Name = testenv.Name(t)
		ctx := testenv.Context(t, time.Minute)
		if err := env.Src.CreateTable(ctx, source); err != nil {
			t.Fatal(err)
		}
		if destination != nil {
			if err := env.Dst.CreateTable(ctx, judge.Table{Name: source.Name, Families: destination}); err != nil {
				t.Fatal(err)
			}
		}
		return source.Name
	}
	family := func(name string, versions int) judge.Family {
		return judge.Family{Name: name, Versions: versions, Scope: 1}
	}
	closed, err := servers.FreePort()
	if err != nil {
		t.Fatal(err)
	}

	t.Run("nothing is wrong", func(t *testing.T) {
		ctx := testenv.Context(t, time.Minute)
		p := sound(t, table, nil, nil)
		green(t, examine(t, p.config()))
		topic(t, p, nil)
		green(t, examine(t, p.config()))
		peers, err := env.Src.Peers(ctx)
		if err != nil || slices.ContainsFunc(peers, func(x judge.Peer) bool { return x.ID == p.name }) {
			t.Errorf("peers after a look: %+v, %v", peers, err)
		}
		topics, err := client.Topics(ctx)
		if n := len(slices.DeleteFunc(topics, func(x kafka.TopicInfo) bool { return !strings.Contains(x.Name, p.name) })); err != nil || n != 1 {
			t.Errorf("%d topics after a look, %v", n, err)
		}
		if there, err := env.Dst.TableExists(ctx, table); err != nil || there {
			t.Errorf("the table is at the destination after a look: %t, %v", there, err)
		}
	})
	for _, tc := range []struct {
		name string
		make func(t *testing.T) *pipe
		want check.Result
	}{
		{"a wrong advertised host", func(t *testing.T) *pipe {
			return sound(t, table, keys{"hbase.peer.advertised.host": "no-such-host.invalid"}, nil)
		}, check.Result{Check: "source.address", Severity: check.Failure, Subject: "no-such-host.invalid", Found: "cannot resolve", Remedy: "hbase.peer.advertised.host"}},
		{"an advertised host that leads elsewhere", func(t *testing.T) *pipe {
			return sound(t, table, keys{"hbase.peer.advertised.host": "192.0.2.1"}, nil)
		}, check.Result{Check: "source.address", Severity: check.Failure, Subject: "192.0.2.1", Found: "does not arrive here", Remedy: "hbase.peer.advertised.host"}},
		{"scope 0", func(t *testing.T) *pipe {
			return sound(t, at(t, judge.Table{Families: []judge.Family{{Name: "a"}}}, nil), nil, nil)
		}, check.Result{Check: "source.scope", Severity: check.Failure, Subject: "table default:", Found: "REPLICATION_SCOPE 1", Remedy: "{NAME => 'a', REPLICATION_SCOPE => '1'}"}},
		{"a foreign peer under our id", func(t *testing.T) *pipe {
			p := sound(t, table, nil, nil)
			if err := env.Src.AddPeer(testenv.Context(t, time.Minute), judge.Peer{ID: p.name, ClusterKey: env.Destination.ClusterKey(), Disabled: true, Tables: map[string][]string{table: nil}}); err != nil {
				t.Fatal(err)
			}
			return p
		}, check.Result{Check: "source.peer", Severity: check.Failure, Found: "was not made by waltap", Remedy: "choose another hbase.peer.id"}},
		{"the znode of a real cluster", func(t *testing.T) *pipe {
			return sound(t, table, keys{"hbase.peer.zookeeper.quorum": env.Destination.ZKQuorum(), "hbase.peer.znode.parent": "/hbase"}, nil)
		}, check.Result{Check: "source.peer.zookeeper", Severity: check.Failure, Found: "the root of an HBase cluster", Remedy: "hbase.peer.znode.parent"}},
		{"a table that is not there", func(t *testing.T) *pipe { return sound(t, table+",nosuchtable", nil, nil) },
			check.Result{Check: "source.tables", Severity: check.Failure, Found: "default:nosuchtable", Remedy: "table.include.list"}},
		{"NEW_VERSION_BEHAVIOR", func(t *testing.T) *pipe {
			return sound(t, at(t, judge.Table{Families: []judge.Family{{Name: "a", Scope: 1, Attributes: map[string]string{"NEW_VERSION_BEHAVIOR": "true"}}}}, nil), nil, nil)
		}, check.Result{Check: "source.version.behavior", Severity: check.Warning, Found: "family a", Remedy: "NEW_VERSION_BEHAVIOR => 'false'"}},
		{"a ZooKeeper server that is down", func(t *testing.T) *pipe {
			return sound(t, table, keys{"hbase.zookeeper.quorum": env.Source.ZKQuorum() + ",127.0.0.1:" + strconv.Itoa(closed), "hbase.peer.zookeeper.quorum": env.Source.ZKQuorum()}, nil)
		}, check.Result{Check: "hbase.zookeeper", Severity: check.Warning, Subject: strconv.Itoa(closed), Remedy: "hbase.zookeeper.quorum"}},
		{"a compacted topic", func(t *testing.T) *pipe {
			p := sound(t, table, nil, nil)
			topic(t, p, map[string]string{"cleanup.policy": "compact"})
			return p
		}, check.Result{Check: "topic.compaction", Severity: check.Failure, Found: "cleanup.policy=compact", Remedy: "--add-config cleanup.policy=delete"}},
		{"a retention that is too short", func(t *testing.T) *pipe {
			p := sound(t, table, nil, nil)
			topic(t, p, map[string]string{"retention.ms": "3600000"})
			return p
		}, check.Result{Check: "topic.retention", Severity: check.Failure, Found: "records stay for 1h0m0s, 24h0m0s is expected", Remedy: "--add-config retention.ms=86400000"}},
		{"a message size that is too small", func(t *testing.T) *pipe {
			p := sound(t, table, nil, nil)
			topic(t, p, map[string]string{"max.message.bytes": "1048588"})
			return p
		}, check.Result{Check: "topic.message.size", Severity: check.Failure, Found: "max.message.bytes=1048588", Remedy: "--add-config max.message.bytes=12582912"}},
		{"more replicas in sync than there are", func(t *testing.T) *pipe {
			p := sound(t, table, nil, nil)
			topic(t, p, map[string]string{"min.insync.replicas": "2"})
			return p
		}, check.Result{Check: "topic.replicas", Severity: check.Failure, Found: "nothing can be written", Remedy: "--add-config min.insync.replicas=1"}},
		{"a topic that nobody creates", func(t *testing.T) *pipe {
			p := sound(t, table, keys{"topic.creation.enable": "false"}, nil)
			topic(t, p, nil)
			return p
		}, check.Result{Check: "topic.creation", Severity: check.Failure, Subject: "__waltap-offsets.", Found: "does not exist", Remedy: "kafka-topics.sh --bootstrap-server " + env.Kafka.Bootstrap() + " --create"}},
		{"more replicas than brokers", func(t *testing.T) *pipe {
			return sound(t, table, keys{"topic.creation.default.replication.factor": "3"}, nil)
		}, check.Result{Check: "topic.creation", Severity: check.Failure, Found: "eplication", Remedy: "topic.creation.default.replication.factor"}},
		{"a missing table", func(t *testing.T) *pipe { return sound(t, table, nil, keys{"hbase.table.create": "false"}) },
			check.Result{Check: "destination.tables", Severity: check.Failure, Subject: table, Remedy: "create 'default:" + table + "', {NAME => 'a', KEEP_DELETED_CELLS => 'TRUE', VERSIONS => '1000'}"}},
		{"a missing family", func(t *testing.T) *pipe {
			name := at(t, judge.Table{Families: []judge.Family{family("a", 3), family("b", 5)}}, []judge.Family{family("a", 3)})
			return sound(t, name, nil, keys{"hbase.table.create": "false"})
		}, check.Result{Check: "destination.families", Severity: check.Failure, Found: "1 families are missing", Remedy: "{NAME => 'b', VERSIONS => '5'}"}},
		{"fewer versions", func(t *testing.T) *pipe {
			return sound(t, at(t, judge.Table{Families: []judge.Family{family("a", 3), family("b", 5)}}, []judge.Family{family("a", 3), family("b", 2)}), nil, nil)
		}, check.Result{Check: "destination.attributes", Severity: check.Warning, Found: "family b: VERSIONS is 2, 5 at the source", Remedy: "{NAME => 'b', VERSIONS => '5'}"}},
		{"a missing coprocessor", func(t *testing.T) *pipe {
			return sound(t, at(t, judge.Table{Families: []judge.Family{family("a", 3)}, Attributes: map[string]string{"coprocessor$1": "|" + endpoint + "|1073741823|"}}, []judge.Family{family("a", 3)}), nil, nil)
		}, check.Result{Check: "destination.coprocessors", Severity: check.Warning, Found: "lacks the source's coprocessor " + endpoint, Remedy: "'coprocessor' => '|" + endpoint + "|1073741823|'"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ailing(t, examine(t, tc.make(t).config()), tc.want)
		})
	}
}

// endpoint is a coprocessor that HBase brings along.
const endpoint = "org.apache.hadoop.hbase.coprocessor.MultiRowMutationEndpoint"

// TestDoctorWhilePartsAreDown: Kafka is down, and at the destination's address something listens that is no ZooKeeper; what
// can be looked at is looked at.
func TestDoctorWhilePartsAreDown(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	createTable(t, table, "a")
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	closed, err := servers.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	p := sound(t, table, nil, keys{"hbase.zookeeper.quorum": mute.Addr().String()})
	r := examine(t, kafkaYAML("127.0.0.1:"+strconv.Itoa(closed), nil, p.sourceConfig(), p.sinkConfig()), "--timeout", "10s")
	var told []string
	for _, x := range results(r, check.Warning, check.Failure) {
		told = append(told, x.Check)
	}
	if want := []string{"kafka.brokers", "hbase.zookeeper"}; !slices.Equal(told, want) {
		t.Errorf("told is %q, want %q", told, want)
	}
	for _, name := range []string{"hbase.regionservers", "source.scope", "source.address", "source.peer"} {
		if !slices.ContainsFunc(r.Sections[1].Results, func(x check.Result) bool { return x.Check == name && x.Severity == check.OK }) {
			t.Errorf("%s is not ok: %+v", name, r.Sections[1].Results)
		}
	}
}

// TestDoctorOfARunningConnector: what only shows while it runs.
func TestDoctorOfARunningConnector(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	createTable(t, table, "a")
	load(t, table, 10, "a")
	p := sound(t, table, nil, nil)
	w := p.start(t)
	awaitStreaming(t, w)
	write(t, table, judge.Put("r", "a", "q", "v"))
	identical(t, table, judge.ScanOptions{})
	ctx := testenv.Context(t, time.Minute)
	for {
		r := examine(t, p.config())
		green(t, r)
		all := results(r, check.OK)
		if slices.ContainsFunc(all, func(x check.Result) bool { return x.Check == "source.shipping" }) {
			if !slices.ContainsFunc(all, func(x check.Result) bool { return x.Check == "source.peer" && x.Found == "ours, enabled" }) {
				t.Errorf("the peer is not told of: %+v", all)
			}
			return
		}
		if ctx.Err() != nil || t.Failed() {
			t.Fatalf("nothing is told to have been shipped: %+v", r)
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// TestDoctorOfAnOldSource: of an HBase 1.4 nothing is wrong, and little cannot be told; a table without scope is, as elsewhere.
func TestDoctorOfAnOldSource(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 3*time.Minute)
	old := env.OldHBase(t)
	table := testenv.Name(t)
	if err := old.Cluster.CreateTable(ctx, judge.Table{Name: table, Families: []judge.Family{{Name: "a", Scope: 1}}}); err != nil {
		t.Fatal(err)
	}
	source := keys{"hbase.zookeeper.quorum": old.ZKQuorum(), "hbase.peer.zookeeper.session.timeout.ms": "4000"}
	r := examine(t, sound(t, table, source, nil).config())
	for _, x := range results(r, check.Warning, check.Failure) {
		t.Errorf("%+v", x)
	}
	told := make(map[string]check.Severity)
	for _, x := range results(r, check.OK, check.Unknown) {
		if x.Check == "hbase.version" && told[x.Check] == "" && !strings.Contains(x.Found, "1.4.14") {
			t.Errorf("%+v", x)
		}
		if told[x.Check] != check.Unknown {
			told[x.Check] = x.Severity
		}
	}
	for _, c := range capturing.Checks {
		want := check.OK
		if slices.Contains([]string{"source.bulkload", "source.wals.scan", "source.shipping"}, c.Name) {
			want = check.Unknown
		}
		if told[c.Name] != want && c.Name != "source.rights" {
			t.Errorf("%s is %q, want %s", c.Name, told[c.Name], want)
		}
	}
	if err := old.Cluster.CreateTable(ctx, judge.Table{Name: table + "_0", Families: []judge.Family{{Name: "a"}}}); err != nil {
		t.Fatal(err)
	}
	ailing(t, examine(t, sound(t, table+"_0", source, nil).config()), check.Result{Check: "source.scope", Severity: check.Failure, Subject: "table default:" + table + "_0", Remedy: "REPLICATION_SCOPE => '1'"})
}

// TestDoctorNamesAPeerWithoutATableList: such a peer would ship the tables of other tests, so this one runs alone.
func TestDoctorNamesAPeerWithoutATableList(t *testing.T) {
	ctx := testenv.Context(t, 2*time.Minute)
	table := testenv.Name(t)
	if err := env.Src.CreateTable(ctx, judge.Table{Name: table, Families: []judge.Family{{Name: "a"}}}); err != nil {
		t.Fatal(err)
	}
	other := table + "_all"
	if err := env.Src.AddPeer(ctx, judge.Peer{ID: other, ClusterKey: env.Destination.ClusterKey(), Disabled: true, ReplicateAll: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Src.RemovePeer(cleanUpContext(), other); err != nil {
			t.Error(err)
		}
	})
	set := sound(t, table, keys{"hbase.replication.scope": "set"}, nil)
	r := examine(t, set.config())
	for _, want := range []check.Result{
		{Check: "source.peers", Severity: check.Warning, Subject: "peer " + other, Found: "it has no table list", Remedy: "set_peer_replicate_all '" + other + "', false"},
		{Check: "source.scope", Severity: check.Failure, Found: "would make peer \"" + other + "\" ship table default:" + table, Remedy: "hbase.replication.scope.allow.peers: " + other},
	} {
		if !slices.ContainsFunc(results(r, want.Severity), func(x check.Result) bool {
			return x.Check == want.Check && strings.Contains(x.Subject, want.Subject) && strings.Contains(x.Found, want.Found) && strings.Contains(x.Remedy, want.Remedy)
		}) {
			t.Errorf("not told: %+v; told: %+v", want, results(r, check.Warning, check.Failure))
		}
	}
	set.source["hbase.replication.scope.allow.peers"] = other
	green(t, examine(t, set.config()))
}

// TestDoctorNamesMissingRights: the commands that it prints give what is missing.
func TestDoctorNamesMissingRights(t *testing.T) {
	t.Parallel()
	const principal = "User:patient"
	k := env.SecureKafka(t)
	table := testenv.Name(t)
	createTable(t, table, "a")
	p := sound(t, table, nil, nil)
	rights := documentedRights(t, "Connectors of class HBaseSource", principal, p)
	lacking := func(c []string) bool {
		return c[7] == p.name+"." && slices.Contains(c, "Write") || c[6] == "--group"
	}
	runAsAdmin(t, k, slices.DeleteFunc(slices.Clone(rights), lacking)...)
	config := secured(t, k, "patient", p.sourceConfig())
	r := examine(t, config)
	var remedies []string
	for _, x := range results(r, check.Warning, check.Failure) {
		if x.Check != "kafka.rights" || !strings.Contains(x.Found, principal+" lacks it") {
			t.Errorf("also told is %+v", x)
		}
		remedies = append(remedies, x.Remedy)
	}
	if len(remedies) != 2 {
		t.Fatalf("%d rights are named: %q, want 2", len(remedies), remedies)
	}
	runAsAdmin(t, k, printedCommands(strings.Join(remedies, "\n"), "kafka-acls.sh")...)
	for _, x := range results(examine(t, config), check.Warning, check.Failure) {
		t.Errorf("when the rights are given: %+v", x)
	}
}

// TestDoctorOfAClusterThatChecksRights: a source with AccessController, where our user has no rights at first, and whose region
// server shows by its web interface that bulk loads are shipped.
func TestDoctorOfAClusterThatChecksRights(t *testing.T) {
	t.Parallel()
	const controller = "org.apache.hadoop.hbase.security.access.AccessController"
	ctx := testenv.Context(t, 3*time.Minute)
	port, err := servers.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	h, err := servers.StartHBase(ctx, servers.HBaseOptions{Name: "with rights", Dir: filepath.Join(env.Dir, "hbase-rights"), HeapMB: 512, JVMFlags: servers.FastStart,
		ExtraSite: map[string]string{"hbase.security.authorization": "true", "hbase.coprocessor.master.classes": controller, "hbase.coprocessor.region.classes": controller,
			"hbase.coprocessor.regionserver.classes": controller, "hbase.regionserver.info.port": strconv.Itoa(port), "hbase.regionserver.info.bindAddress": "127.0.0.1",
			"hbase.replication.bulkload.enabled": "true", "hbase.replication.cluster.id": "rights"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Kill(); err != nil {
			t.Error(err)
		}
	})
	own := env.Judge.Cluster(h.ClusterKey())
	table := testenv.Name(t)
	if err := own.CreateTable(ctx, judge.Table{Name: table, Families: []judge.Family{{Name: "a", Scope: 1}}}); err != nil {
		t.Fatal(err)
	}
	p := sound(t, table, keys{"hbase.zookeeper.quorum": h.ZKQuorum()}, nil)
	look := func() (missing, other []check.Result) {
		r := examine(t, processYAML(p.sourceConfig()))
		for _, x := range results(r, check.Warning, check.Failure) {
			if x.Check == "source.rights" {
				missing = append(missing, x)
			} else {
				other = append(other, x)
			}
		}
		return missing, other
	}
	missing, _ := look() // of other checks some cannot be made
	if len(missing) == 0 || !strings.Contains(missing[0].Found, "it lacks ADMIN, CREATE on the cluster") || !strings.Contains(missing[0].Remedy, "grant 'waltap', 'AC'") {
		t.Errorf("of the rights is told: %+v", missing)
	}
	verifyWithRights(ctx, t, own, h, table)
	if err := own.Grant(ctx, "waltap", "RCA"); err != nil {
		t.Fatal(err)
	}
	for {
		missing, other := look()
		held := results(examine(t, processYAML(p.sourceConfig())), check.OK)
		told := slices.ContainsFunc(held, func(x check.Result) bool { // a server that has just been started does not say yet what it has written
			return x.Check == "source.wals.scan" && strings.Contains(x.Found, "MiB/s since they were started")
		})
		if len(missing) == 0 && told {
			if len(other) != 1 || other[0].Check != "source.bulkload" || !strings.Contains(other[0].Found, "hbase.replication.bulkload.enabled is true") {
				t.Errorf("when the rights are given, told is %+v", other)
			}
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("when the rights are given: %+v; of the WALs that a scan holds is told: %+v", missing, held)
		}
		time.Sleep(500 * time.Millisecond)
	}
	rightsOfASink(ctx, t, own, h, table)
}

// rightsOfASink: for a sink into the table's copy the right to write to that table is enough; of cells that need more a warning tells.
func rightsOfASink(ctx context.Context, t *testing.T, own *judge.Cluster, h *servers.HBase, table string) {
	t.Helper()
	look := func(apply string) (told []check.Result) {
		p := sound(t, table, keys{"hbase.zookeeper.quorum": h.ZKQuorum()}, keys{"hbase.zookeeper.quorum": h.ZKQuorum(), "hbase.apply": apply,
			"hbase.table.rename": table + "=" + table + "_copy", "hbase.table.create": "false"})
		for _, x := range results(examine(t, p.config()), check.Warning, check.Failure) {
			if strings.HasPrefix(x.Check, "destination.") {
				told = append(told, x)
			}
		}
		return told
	}
	is := func(told []check.Result, want ...check.Result) bool {
		return slices.EqualFunc(told, want, func(x, want check.Result) bool {
			return x.Check == want.Check && x.Severity == want.Severity && strings.Contains(x.Found, want.Found) && strings.Contains(x.Remedy, want.Remedy)
		})
	}
	write := check.Result{Check: "destination.rights", Severity: check.Failure, Found: "it lacks WRITE on default:" + table + "_copy", Remedy: "grant 'waltap', 'W', 'default:" + table + "_copy'"}
	tags := check.Result{Check: "destination.apply", Severity: check.Warning, Found: "cells with tags other than a TTL", Remedy: "grant 'waltap', 'W'; else set hbase.apply: mutation"}
	cluster := check.Result{Check: "destination.rights", Severity: check.Failure, Found: "it lacks WRITE on the cluster", Remedy: "grant 'waltap', 'W'"}
	if told := look("auto"); !is(told, tags, write) {
		t.Errorf("of a sink without the right to write is told %+v", told)
	}
	if err := own.GrantTable(ctx, "waltap", "W", table+"_copy"); err != nil {
		t.Fatal(err)
	}
	for told := look("auto"); !is(told, tags); told = look("auto") {
		if ctx.Err() != nil {
			t.Fatalf("of a sink that may write to its table is told %+v", told)
		}
	}
	if told := look("mutation"); len(told) != 0 {
		t.Errorf("of a sink that writes by mutations alone is told %+v", told)
	}
	if told := look("replication"); len(told) != 2 || !is(told[1:], cluster) {
		t.Errorf("of a sink that writes by replication alone is told %+v", told)
	}
}

// verifyWithRights compares a table with another one of the same cluster, first without any rights there, then with those of docs/kafka-acls.md.
func verifyWithRights(ctx context.Context, t *testing.T, own *judge.Cluster, h *servers.HBase, table string) {
	t.Helper()
	if err := own.CreateTable(ctx, judge.Table{Name: table + "_copy", Families: []judge.Family{{Name: "a"}}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{table, table + "_copy"} {
		if err := own.Write(ctx, name, judge.PutAt("row", "a", "q", 7, "v")); err != nil {
			t.Fatal(err)
		}
	}
	verify := func() testenv.Result {
		return testenv.RunWaltap(ctx, t, "verify", "-q", "--source-quorum", h.ZKQuorum(), "--target-quorum", h.ZKQuorum(), "--table", table+"="+table+"_copy")
	}
	if r := verify(); r.ExitCode != 1 || !strings.Contains(r.Stderr, "AccessDeniedException") && !strings.Contains(r.Stderr, "ermission") {
		t.Errorf("verify without rights: %+v", r)
	}
	if err := own.Grant(ctx, "waltap", "RA"); err != nil {
		t.Fatal(err)
	}
	for {
		r := verify()
		if r.ExitCode == 0 && strings.Contains(r.Stdout, "GOODROWS=1") {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("verify with the rights R and A: %+v", r)
		}
	}
}
