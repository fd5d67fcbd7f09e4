//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/testenv"
)

// awaitFamily waits until a family at the destination has these values.
func awaitFamily(t *testing.T, table, family string, want map[string]string) {
	t.Helper()
	ctx := testenv.Context(t, time.Minute)
	for {
		for _, f := range describe(t, env.Dst, table).Families {
			same := f.Name == family
			for k, v := range want {
				same = same && f.Attributes[k] == v
			}
			if same {
				return
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("family %s at the destination: want %v\n%+v", family, want, describe(t, env.Dst, table).Families)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// A family that is added at the source, and written to at once, arrives with its attributes and from its first change on, and so do
// more versions and a longer life; fewer versions do not.
func TestTableIsAlteredWhileChangesFlow(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 3*time.Minute)
	c := startCapture(t, nil)
	// Times of the server: a compaction, which the many reopenings bring, drops a marker that is older than all puts.
	stop := mutateAt(t, env.Src, c.table, judge.MutatorSpec{Families: []string{"a", "b"}, Keys: 2000, Rate: 50, ServerTimes: true})
	c.must(t, env.Src.AddFamily(ctx, c.table, judge.Family{Name: "new", Versions: 9, Scope: 1, TTL: 72 * time.Hour, Attributes: map[string]string{"KEEP_DELETED_CELLS": "TRUE", "BLOCKSIZE": "8192"}}))
	for i := range 50 {
		row := fmt.Sprintf("%04x", i*1000)
		write(t, c.table, judge.Put(row, "new", "q", "v"), judge.Atomic(row+"-both", judge.Put(row+"-both", "a", "q", "v"), judge.Put(row+"-both", "new", "q", "v")))
	}
	awaitFamily(t, c.table, "new", map[string]string{"VERSIONS": "9", "TTL": "259200", "BLOCKSIZE": "8192", "REPLICATION_SCOPE": "0"})
	c.must(t, env.Src.AlterFamily(ctx, c.table, "a", map[string]string{"VERSIONS": "2000"}))
	awaitFamily(t, c.table, "a", map[string]string{"VERSIONS": "2000"})
	c.must(t, env.Src.AlterFamily(ctx, c.table, "a", map[string]string{"VERSIONS": "1500", "MIN_VERSIONS": "3", "BLOCKSIZE": "32768"}))
	awaitFamily(t, c.table, "a", map[string]string{"VERSIONS": "2000", "MIN_VERSIONS": "3", "BLOCKSIZE": "65536"})
	if stop() == 0 {
		t.Fatal("nothing was written meanwhile")
	}
	identical(t, c.table, judge.ScanOptions{})
	for who, w := range map[string]*testenv.Waltap{"_source": c.source, "_sink": c.sink} {
		if v, err := view(ctx, w, who); err != nil || v.SchemaChanges < 3 {
			t.Errorf("%s: %d changes of the schema, %v; want at least 3", who, v.SchemaChanges, err)
		}
	}
	// A new start knows the family.
	c.stop(t)
	c.restart(t, nil)
	write(t, c.table, judge.Put("after the restart", "new", "q", "v"))
	identical(t, c.table, judge.ScanOptions{})
}

// With schema.evolution none a change of a family that the destination lacks stops the sink, which says what to do; when that is done
// it goes on without a loss.
func TestFamilyThatTheDestinationLacksStopsTheSink(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 3*time.Minute)
	table := testenv.Name(t)
	createTable(t, table, "a")
	write(t, table, judge.Put("scanned", "a", "q", "v"))
	p := &pipe{name: table, tables: table, source: keys{"table.refresh.interval.ms": "1000"}, sink: keys{"schema.evolution": "none"}}
	source, sink := p.startApart(t)
	awaitStreaming(t, source)
	identical(t, table, judge.ScanOptions{})
	if err := env.Src.AddFamily(ctx, table, judge.Family{Name: "new", Versions: 4, Scope: 1}); err != nil {
		t.Fatal(err)
	}
	write(t, table, judge.Put("new", "new", "q", "v"))
	code, err := sink.Wait(ctx)
	log := readLog(t, sink)
	if err != nil || code != 1 {
		t.Fatalf("exit code %d, %v\n%s", code, err, log)
	}
	for _, want := range []string{"has no family new", "alter 'default:" + table + "', {NAME => 'new'}", "waltap schema apply", "set schema.evolution: basic"} {
		if !strings.Contains(log, want) {
			t.Errorf("the error does not say %q:\n%s", want, log)
		}
	}
	file := filepath.Join(t.TempDir(), "pipeline.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(processYAML(p.sourceConfig(), p.sinkConfig()), "${PORT}", "0")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := schemaCommand(t, 0, "apply", "-f", file); !strings.Contains(out, "family new added") {
		t.Fatal(out)
	}
	if err := sink.Restart(); err != nil {
		t.Fatal(err)
	}
	identical(t, table, judge.ScanOptions{})
	awaitFamily(t, table, "new", map[string]string{"VERSIONS": "4"})
}

// A family that was there without being shipped, and whose scope is raised, is a gap: what it held was never delivered.
func TestScopeOfAnotherFamilyIsRaised(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 3*time.Minute)
	table := testenv.Name(t)
	err := env.Src.CreateTable(ctx, judge.Table{Name: table, Families: []judge.Family{{Name: "a", Versions: 3, Scope: 1}, {Name: "local", Versions: 3}}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, table, judge.Put("1", "a", "q", "v"), judge.Put("1", "local", "q", "before"))
	c := &capture{table: table, pipe: &pipe{name: table, tables: table, source: keys{"table.refresh.interval.ms": "1000"}}}
	c.source, c.sink = c.startApart(t)
	awaitStreaming(t, c.source)
	identical(t, table, judge.ScanOptions{ExcludeFamilies: []string{"local"}})
	c.must(t, env.Src.AlterFamily(ctx, table, "local", map[string]string{"REPLICATION_SCOPE": "1"}))
	write(t, table, judge.Put("2", "local", "q", "after"))
	c.fails(t, "RESNAPSHOT_REQUIRED", "REPLICATION_SCOPE of local is 1 now", "snapshot.gap.accept: default:"+table+"/2")
	c.restart(t, keys{"snapshot.mode": "when_needed"})
	identical(t, table, judge.ScanOptions{})
	await(t, c.sink, "_sink", "the end of the topic", func(v status.ConnectorView) bool { return v.LagRecords == 0 })
}
