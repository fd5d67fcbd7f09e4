//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/migrate"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
)

// migration is a migration file of a test, with its tables: two in one namespace, one, renamed, in another.
type migration struct {
	name   string
	src    *judge.Cluster
	file   string
	tables []migrated

	top        keys // of the file, beside those of Kafka
	connectors []string
	build      testenv.BuildOptions // of the commands, and of what is started
}

type migrated struct {
	source, target string
	before         judge.Table
}

func newMigration(t *testing.T, regions int, source keys, more keys) *migration {
	t.Helper()
	return newMigrationFrom(t, env.Src, regions, source, more)
}

func newMigrationFrom(t *testing.T, src *judge.Cluster, regions int, source keys, more keys) *migration {
	t.Helper()
	name := testenv.Name(t)
	m := &migration{name: name, src: src}
	a, b := name+"_a", name+"_b"
	ctx := testenv.Context(t, 2*time.Minute)
	for _, ns := range []string{a, b} {
		if err := m.src.CreateNamespace(ctx, ns); err != nil {
			t.Fatal(err)
		}
	}
	for i, x := range []migrated{{source: a + ":orders", target: a + ":orders"}, {source: a + ":items", target: a + ":items"}, {source: b + ":events", target: b + ":events_2026"}} {
		scope := i % 2 // one table is replicated before, as for another peer
		table := judge.Table{Name: x.source, Splits: judge.HexSplits(regions)}
		for _, f := range []string{"a", "b"} {
			table.Families = append(table.Families, judge.Family{Name: f, Versions: 1000, Scope: scope, Attributes: map[string]string{"KEEP_DELETED_CELLS": "TRUE"}})
		}
		if err := m.src.CreateTable(ctx, table); err != nil {
			t.Fatal(err)
		}
		x.before = describeTable(t, m.src, x.source)
		m.tables = append(m.tables, x)
	}
	m.configure(t, a+`:.*, `+b+`:events`, source, keys{"hbase.table.rename": b + ":events=" + b + ":events_2026"}, more)
	return m
}

// configure writes the file.
func (m *migration) configure(t *testing.T, tables string, source, sink, more keys) {
	t.Helper()
	p := &pipe{name: m.name, tables: tables, source: keys{"hbase.replication.scope": "set"}, sink: sink}
	for k, v := range source {
		p.source[k] = v
	}
	top := keys{"migration.name": m.name}
	for k, v := range more {
		top[k] = strings.ReplaceAll(v, "NAME", m.name)
	}
	m.top, m.connectors = top, []string{p.sourceConfig(), p.sinkConfig()}
	m.file = m.write(t, env.Kafka.Bootstrap(), nil)
	m.cleanUp(t)
}

// yaml is the migration's file.
func (m *migration) yaml(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(m.file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// write writes the migration's file, with more keys of Kafka's.
func (m *migration) write(t *testing.T, bootstrap string, more keys) string {
	t.Helper()
	all := maps.Clone(m.top)
	maps.Copy(all, more)
	file := filepath.Join(t.TempDir(), "migration.yaml")
	yaml := kafkaYAML(bootstrap, all, m.connectors...)
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(yaml, "${PORT}", "0")), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// cleanUp removes the peers of a test that has failed half-way.
func (m *migration) cleanUp(t *testing.T) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testenv.Patience*30*time.Second)
		defer cancel()
		for _, c := range []*judge.Cluster{m.src, env.Dst} {
			peers, err := c.Peers(ctx)
			if err != nil {
				t.Error(err)
			}
			for _, p := range peers {
				if strings.HasPrefix(p.ID, m.name) {
					if err := c.RemovePeer(ctx, p.ID); err != nil {
						t.Error(err)
					}
				}
			}
		}
	})
}

func describeTable(t *testing.T, c *judge.Cluster, table string) judge.Table {
	t.Helper()
	d, err := c.DescribeTable(testenv.Context(t, time.Minute), table)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// run runs a step to its end and checks its exit code; -1 stands for SIGKILL.
func (m *migration) run(t *testing.T, code int, args ...string) testenv.Result {
	t.Helper()
	return m.runWith(t, "", code, args...)
}

// killed runs a step that dies at a crash point.
func (m *migration) killed(t *testing.T, point string, args ...string) {
	t.Helper()
	if r := m.runWith(t, point, -1, args...); !strings.Contains(r.Stderr, "killed at "+strings.Split(point, ":")[0]) {
		t.Fatalf("it was not killed at %s\n%s", point, r.Stderr)
	}
}

func (m *migration) runWith(t *testing.T, point string, code int, args ...string) testenv.Result {
	t.Helper()
	ctx := testenv.Context(t, 3*time.Minute)
	path, err := testenv.Build(ctx, m.build)
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"migrate", args[0], "-f", m.file}, args[1:]...)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), testenv.OwnTemp(t))
	if point != "" {
		cmd.Env = append(cmd.Env, "WALTAP_CRASH="+point)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("run waltap %s: %v", strings.Join(args, " "), errors.Join(err, ctx.Err()))
	}
	r := testenv.Result{Stdout: stdout.String(), Stderr: stderr.String(), ExitCode: cmd.ProcessState.ExitCode()}
	if r.ExitCode != code {
		t.Fatalf("waltap %s: exit code %d, want %d\n%s\n%s", strings.Join(args, " "), r.ExitCode, code, r.Stdout, r.Stderr)
	}
	t.Logf("waltap %s %s: exit code %d in %s\n%s", strings.Join(args, " "), point, code, time.Since(began).Round(time.Millisecond), r.Stdout)
	return r
}

// start runs waltap migrate start in the background.
func (m *migration) start(t *testing.T, extra ...string) *testenv.Waltap {
	t.Helper()
	return env.StartWaltap(t, testenv.WaltapOptions{Args: []string{"migrate", "start", "-f", m.file}, Env: extra, Build: m.build})
}

// status reads waltap migrate status, of the first wave.
func (m *migration) status(t *testing.T) migrate.WaveStatus {
	t.Helper()
	return m.waves(t)[0]
}

func (m *migration) waves(t *testing.T) []migrate.WaveStatus {
	t.Helper()
	r := testenv.RunWaltap(testenv.Context(t, time.Minute), t, "migrate", "status", "--json", "-f", m.file)
	var s migrate.Status
	if err := json.Unmarshal([]byte(r.Stdout), &s); err != nil || r.ExitCode != 0 {
		t.Fatalf("waltap migrate status: exit code %d, %v\n%s\n%s", r.ExitCode, err, r.Stdout, r.Stderr)
	}
	return s.Waves
}

// awaitFollowing waits until all tables of all waves follow.
func (m *migration) awaitFollowing(t *testing.T, w *testenv.Waltap) migrate.WaveStatus {
	t.Helper()
	ctx := testenv.Context(t, 2*time.Minute)
	for {
		s := m.waves(t)
		behind := slices.ContainsFunc(s, func(s migrate.WaveStatus) bool {
			return len(s.Tables) == 0 || s.Watermark == nil || slices.ContainsFunc(s.Tables, func(x migrate.TableStatus) bool { return x.Phase != "follows" })
		})
		switch {
		case !behind:
			return s[0]
		case w != nil && !w.Running():
			t.Fatalf("waltap migrate start has ended\n%s", servers.LogTail(w.LogPath()))
		case ctx.Err() != nil:
			t.Fatalf("the tables do not follow: %+v", s)
		}
		time.Sleep(time.Second) // each look is a process
	}
}

// mutateAll writes to all tables of an end until the returned function is called.
func (m *migration) mutateAll(t *testing.T, c *judge.Cluster) (stop func() int64) {
	t.Helper()
	var stops []func() int64
	for _, x := range m.tables {
		name := x.source
		if c == env.Dst {
			name = x.target
		}
		mutator, err := c.StartMutator(t.Context(), name, judge.MutatorSpec{Families: []string{"a", "b"}, Keys: 500, Rate: torture(10, 60), Threads: 1, ValueSize: 20, Seed: seed(t), ServerTimes: true})
		if err != nil {
			t.Fatal(err)
		}
		stopped := false
		one := func() int64 {
			if stopped {
				return 0
			}
			stopped = true
			ctx, cancel := context.WithTimeout(context.Background(), testenv.Patience*2*time.Minute)
			defer cancel()
			s, err := mutator.Stop(ctx)
			if err != nil {
				t.Error(err)
			}
			return s.Acked
		}
		t.Cleanup(func() { one() })
		stops = append(stops, one)
	}
	return func() (n int64) {
		for _, s := range stops {
			n += s()
		}
		return n
	}
}

// identical compares all tables of both ends.
func (m *migration) identical(t *testing.T) {
	t.Helper()
	ctx := testenv.Context(t, 2*time.Minute)
	for _, x := range m.tables {
		if err := m.src.AwaitEqual(ctx, x.source, env.Dst, x.target, judge.ScanOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// trace is what a migration leaves on the two clusters and in Kafka, apart from data.
func (m *migration) trace(t *testing.T) string {
	t.Helper()
	ctx := testenv.Context(t, time.Minute)
	var out []string
	for _, c := range []*judge.Cluster{m.src, env.Dst} {
		peers, err := c.Peers(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range peers {
			if strings.HasPrefix(p.ID, m.name) {
				out = append(out, "peer "+p.ID)
			}
		}
		tables, err := c.Tables(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range tables {
			if strings.Contains(name, m.name) {
				d := describeTable(t, c, name)
				b, err := json.Marshal(d)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, string(b))
			}
		}
	}
	topics, err := kafkaClient(t).Topics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range topics {
		if strings.Contains(topic.Name, m.name) {
			out = append(out, "topic "+topic.Name)
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// checkCleaned checks that the clusters are as they were, but for the new tables at the destination.
func (m *migration) checkCleaned(t *testing.T, closed bool) {
	t.Helper()
	for _, x := range m.tables {
		before := x.before
		after := describeTable(t, m.src, x.source)
		if closed {
			if after.Attributes["READONLY"] != "true" {
				t.Errorf("table %s: READONLY is %q at the source, want true", x.source, after.Attributes["READONLY"])
			}
			after.Attributes["READONLY"] = before.Attributes["READONLY"]
			if _, set := before.Attributes["READONLY"]; !set {
				delete(after.Attributes, "READONLY")
			}
		}
		if a, b := text(t, before), text(t, after); a != b {
			t.Errorf("table %s at the source was\n%s\nand is\n%s", x.source, a, b)
		}
		copied := describeTable(t, env.Dst, x.target)
		for i := range before.Families {
			before.Families[i].Scope, before.Families[i].Attributes["REPLICATION_SCOPE"] = 0, "0"
		}
		copied.Name = before.Name
		if m.src != env.Src { // another version, with other attributes
			before, copied = common(before, copied)
		}
		if a, b := text(t, before), text(t, copied); a != b {
			t.Errorf("table %s at the destination is\n%s\nwant\n%s", x.target, b, a)
		}
	}
	for _, line := range strings.Split(m.trace(t), "\n") {
		if strings.HasPrefix(line, "peer ") || strings.HasPrefix(line, "topic ") || strings.Contains(line, "waltap_heartbeat") {
			t.Errorf("left behind: %s", line)
		}
	}
}

func text(t *testing.T, d judge.Table) string {
	t.Helper()
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// common leaves out what one of two versions of HBase does not have.
func common(a, b judge.Table) (judge.Table, judge.Table) {
	both := func(x, y map[string]string) {
		maps.DeleteFunc(x, func(k, _ string) bool { _, ok := y[k]; return !ok })
		maps.DeleteFunc(y, func(k, _ string) bool { _, ok := x[k]; return !ok })
	}
	both(a.Attributes, b.Attributes)
	for i := range min(len(a.Families), len(b.Families)) {
		both(a.Families[i].Attributes, b.Families[i].Attributes)
	}
	return a, b
}

// TestMigrationUnderLoad moves three tables in two namespaces, one renamed, through all steps; at full size of 20 regions each.
func TestMigrationUnderLoad(t *testing.T) {
	t.Parallel()
	m := newMigration(t, torture(7, 20), nil, nil)
	for _, x := range m.tables {
		if _, err := env.Src.Load(testenv.Context(t, time.Minute), x.source, judge.LoadSpec{Rows: torture[int64](2000, 200_000), Seed: 7, Families: []string{"a", "b"}, Versions: 2, ValueSize: 20}); err != nil {
			t.Fatal(err)
		}
	}
	stop := m.mutateAll(t, env.Src)
	untouched := m.trace(t)
	plan := m.run(t, 0, "plan").Stdout
	for _, want := range []string{m.tables[2].target, "peer " + m.name, "waltap_heartbeat_", "REPLICATION_SCOPE", "READONLY", "topic " + m.name + "."} {
		if !strings.Contains(plan, want) {
			t.Errorf("the plan does not show %q", want)
		}
	}
	if now := m.trace(t); now != untouched {
		t.Errorf("the plan has changed\n%s\nto\n%s", untouched, now)
	}
	m.run(t, 1, "cutover") // it was not started
	w := m.start(t)
	s := m.awaitFollowing(t, w)
	t.Logf("follows: %+v", s)
	if r := m.run(t, 2, "cutover"); !strings.Contains(r.Stdout, "no pass of all rows was made") {
		t.Errorf("a cut-over before the verify says\n%s", r.Stdout)
	}
	m.run(t, 0, "pause")
	m.run(t, 2, "cutover", "--rehearse")
	m.run(t, 0, "resume")
	m.awaitFollowing(t, w)
	page := openPage(t, startWorker(t, fmt.Sprint("page-", time.Now().UnixNano()), nil))
	page.migration = m.name
	m.differsOnThePage(page)
	m.run(t, 0, "verify", "-q")
	if torture(0, 1) > 0 {
		m.run(t, 0, "repair", "-q", "--execute") // finds nothing
	}
	m.run(t, 0, "cutover", "--rehearse")
	m.run(t, 0, "cutover", "--reverse")
	m.greenOnThePage(page)
	t.Logf("%d writes at the source", stop())
	back := m.mutateAll(t, env.Dst)
	time.Sleep(time.Second)
	t.Logf("%d writes at the destination", back())
	m.identical(t)
	t.Log(m.run(t, 0, "cleanup", "--topics").Stdout)
	if code, err := w.Wait(testenv.Context(t, time.Minute)); err != nil || code != 0 {
		t.Errorf("waltap migrate start has ended with %d, %v; want 0 after the clean-up", code, err)
	}
	m.checkCleaned(t, false)
	m.run(t, 0, "cleanup", "--topics")
}

// TestMigrationFromOldHBase moves tables from an HBase 1.4 under load, up to the green gate, and cleans up. A stream back there is not
// for sinks that apply by replication calls to 1.x, and is not asked for.
func TestMigrationFromOldHBase(t *testing.T) {
	t.Parallel()
	old := env.OldHBase(t)
	m := newMigrationFrom(t, old.Cluster, torture(3, 7), keys{"hbase.zookeeper.quorum": old.ZKQuorum(), "hbase.peer.zookeeper.session.timeout.ms": "4000"}, nil)
	for _, x := range m.tables {
		if _, err := m.src.Load(testenv.Context(t, time.Minute), x.source, judge.LoadSpec{Rows: torture[int64](1000, 50_000), Seed: 7, Families: []string{"a", "b"}, Versions: 2, ValueSize: 20}); err != nil {
			t.Fatal(err)
		}
	}
	stop := m.mutateAll(t, m.src)
	untouched := m.trace(t)
	m.run(t, 0, "plan")
	if now := m.trace(t); now != untouched {
		t.Errorf("the plan has changed\n%s\nto\n%s", untouched, now)
	}
	m.killedWithAProbe(t, old)
	w := m.start(t)
	m.awaitFollowing(t, w)
	if peers, err := m.src.Peers(testenv.Context(t, time.Minute)); err != nil || slices.ContainsFunc(peers, func(p judge.Peer) bool { return strings.Contains(p.ID, m.name) && strings.Contains(p.ID, "_probe_") }) {
		t.Errorf("peers after the next start: %+v, %v", peers, err)
	}
	m.run(t, 0, "verify", "-q")
	m.run(t, 0, "cutover")
	t.Logf("%d writes at the source", stop())
	m.identical(t)
	t.Log(m.run(t, 0, "cleanup", "--topics", "--unfence").Stdout)
	if code, err := w.Wait(testenv.Context(t, time.Minute)); err != nil || code != 0 {
		t.Errorf("waltap migrate start has ended with %d, %v; want 0 after the clean-up", code, err)
	}
	m.checkCleaned(t, false)
}
