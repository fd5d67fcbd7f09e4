//go:build e2e

package testenv_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/testenv"
)

// family keeps every version, so that what is compared is what was written.
func family(name string) judge.Family {
	return judge.Family{Name: name, Versions: 100, Scope: 1, Attributes: map[string]string{"KEEP_DELETED_CELLS": "TRUE"}}
}

func createOnBoth(t *testing.T, table judge.Table) {
	t.Helper()
	ctx := testenv.Context(t, time.Minute)
	for _, c := range []*judge.Cluster{env.Src, env.Dst} {
		if err := c.CreateTable(ctx, table); err != nil {
			t.Fatal(err)
		}
	}
}

// everyKind is one write of every kind, with the timestamps that make it repeatable.
func everyKind() []judge.Mutation {
	return []judge.Mutation{
		judge.PutAt("r1", "a", "q", 1000, "v1"),
		judge.PutAt("r1", "a", "q", 2000, "v2"),
		judge.PutAt("r1", "b", "\x00\xff", 2000, "binary"),
		judge.PutAt("r2", "a", "ttl", 4_000_000_000_000, "expires").WithTTL(time.Hour),
		judge.PutAt("r3", "a", "zero", judge.TimestampZero, ""),
		judge.DeleteVersion("r1", "a", "q", 1000),
		judge.DeleteColumn("r1", "b", "\x00\xff", 1500),
		judge.DeleteFamily("r4", "b", 1700),
		judge.DeleteFamilyVersion("r5", "a", 1800),
		judge.Atomic("r6", judge.PutAt("r6", "a", "q", 3000, "x"), judge.DeleteColumn("r6", "b", "q", 2999)),
	}
}

func TestChecksumSeesEveryDifference(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 2*time.Minute)
	table := testenv.Name(t)
	createOnBoth(t, judge.Table{Name: table, Families: []judge.Family{family("a"), family("b")}})
	for _, c := range []*judge.Cluster{env.Src, env.Dst} {
		if err := c.Write(ctx, table, everyKind()...); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := env.Src.Checksum(ctx, table, judge.ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{"Put": 6, "Delete": 1, "DeleteColumn": 2, "DeleteFamily": 1, "DeleteFamilyVersion": 1}
	if fmt.Sprint(sum.Types) != fmt.Sprint(want) || sum.Rows != 6 || sum.Cells != 11 {
		t.Errorf("checksum = %v, want 6 rows with %v", sum, want)
	}
	if err := env.Src.AwaitEqual(ctx, table, env.Dst, table, judge.ScanOptions{}); err != nil {
		t.Fatal(err)
	}

	// Each of these differs from what is there in exactly one part of one cell.
	for name, m := range map[string]judge.Mutation{
		"value":     judge.PutAt("r1", "a", "q", 2000, "v3"),
		"timestamp": judge.PutAt("r1", "a", "q", 2001, "v2"),
		"tags":      judge.PutAt("r2", "a", "ttl", 4_000_000_000_000, "expires").WithTTL(2 * time.Hour),
		"type":      judge.DeleteVersion("r4", "b", "", 1700),
		"row":       judge.DeleteFamily("r44", "b", 1700),
	} {
		t.Run(name, func(t *testing.T) {
			copied := testenv.Name(t)
			err := env.Dst.CreateTable(ctx, judge.Table{Name: copied, Families: []judge.Family{family("a"), family("b")}})
			if err != nil {
				t.Fatal(err)
			}
			if err := env.Dst.Write(ctx, copied, append(everyKind(), m)...); err != nil {
				t.Fatal(err)
			}
			other, err := env.Dst.Checksum(ctx, copied, judge.ScanOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if other.Equal(sum) {
				t.Errorf("checksum is the same: %v", other)
			}
			lines, err := env.Src.Diff(ctx, table, env.Dst, copied, judge.ScanOptions{}, 10)
			if err != nil {
				t.Fatal(err)
			}
			if len(lines) == 0 || !strings.HasPrefix(lines[len(lines)-1], "+"+string(m.Row)+" ") {
				t.Errorf("diff does not show the change: %q", lines)
			}
		})
	}

	part, err := env.Src.Checksum(ctx, table, judge.ScanOptions{ExcludeFamilies: []string{"b"}, MinTime: 1000, MaxTime: 3001})
	if err != nil {
		t.Fatal(err)
	}
	if part.Cells != 5 { // r1: 2 puts and a marker, r5's marker, r6's put
		t.Errorf("family a from 1000 to 3000: %v, want 5 cells", part)
	}
	visible, err := env.Src.ReadRow(ctx, table, []byte("r1"))
	if err != nil {
		t.Fatal(err)
	}
	if len(visible) != 2 || string(visible[0].Value) != "v2" || !bytes.Equal(visible[1].Qualifier, []byte("\x00\xff")) {
		t.Errorf("visible cells of r1 = %+v", visible)
	}
	raw, err := env.Src.RawRow(ctx, table, []byte("r2"))
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) != 1 || len(raw[0].Tags) != 11 {
		t.Errorf("raw cells of r2 = %+v, want one with an 11-byte TTL tag", raw)
	}
}

// TestChecksumAgreesWithNativeReplication compares a table with the copy that HBase
// itself made of it while it was written to.
func TestChecksumAgreesWithNativeReplication(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 3*time.Minute)
	table := testenv.Name(t)
	createOnBoth(t, judge.Table{Name: table, Families: []judge.Family{family("a"), family("b")}, Splits: judge.HexSplits(2)})
	err := env.Src.AddPeer(ctx, judge.Peer{ID: table, ClusterKey: env.Destination.ClusterKey(), Tables: map[string][]string{table: nil}})
	if err != nil {
		t.Fatal(err)
	}
	peers, err := env.Src.Peers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(peers) != 1 || peers[0].ID != table || peers[0].Disabled || peers[0].ReplicateAll || len(peers[0].Tables) != 1 {
		t.Errorf("peers = %+v", peers)
	}
	mutator, err := env.Src.StartMutator(ctx, table, judge.MutatorSpec{Families: []string{"a", "b"}, Keys: 200, Seed: 7, Threads: 2, ValueSize: 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := env.Src.Write(ctx, table, everyKind()...); err != nil {
		t.Fatal(err)
	}
	for stats := (judge.MutatorStats{}); stats.Acked < 3000; {
		if stats, err = mutator.Stats(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	stats, err := mutator.Stop(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if stats.Failed != 0 || len(stats.ByKind) != 8 {
		t.Errorf("random writer: %+v, want all 8 kinds of writes and none failed", stats)
	}
	if err := env.Src.AwaitEqual(ctx, table, env.Dst, table, judge.ScanOptions{}); err != nil {
		t.Fatal(err)
	}

	verified, err := env.Src.VerifyReplication(ctx, judge.VerifySpec{Peer: env.Destination.ClusterKey(), Table: table, Raw: true, Versions: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if verified.Good == 0 || verified.Bad != 0 {
		t.Errorf("VerifyReplication = %+v, want good rows only", verified)
	}
	if err := env.Src.RemovePeer(ctx, table); err != nil {
		t.Fatal(err)
	}
	if err := env.Dst.Write(ctx, table, judge.Put("only-here", "a", "q", "v")); err != nil {
		t.Fatal(err)
	}
	verified, err = env.Src.VerifyReplication(ctx, judge.VerifySpec{Peer: env.Destination.ClusterKey(), Table: table})
	if err != nil {
		t.Fatal(err)
	}
	if verified.OnlyInPeer != 1 {
		t.Errorf("VerifyReplication = %+v, want one row only at the peer", verified)
	}
}

func TestTables(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 2*time.Minute)
	ns := testenv.Name(t)
	table := ns + ":t"
	if err := env.Src.CreateNamespace(ctx, ns); err != nil {
		t.Fatal(err)
	}
	err := env.Src.CreateTable(ctx, judge.Table{Name: table, Splits: judge.HexSplits(4),
		Families:   []judge.Family{{Name: "a", Versions: 3, TTL: time.Hour, Configuration: map[string]string{"hbase.hstore.engine.class": "org.apache.hadoop.hbase.regionserver.DefaultStoreEngine"}}},
		Attributes: map[string]string{"COMPACTION_ENABLED": "false", "MEMSTORE_FLUSHSIZE": "268435456"}})
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := env.Src.Load(ctx, table, judge.LoadSpec{Rows: 1000, Seed: 3, Families: []string{"a"}, Columns: 2, Versions: 2, ValueSize: 10})
	if err != nil {
		t.Fatal(err)
	}
	if loaded.Rows != 1000 || loaded.Cells != 4000 {
		t.Errorf("loaded %+v", loaded)
	}
	if err := env.Src.AlterFamily(ctx, table, "a", map[string]string{"REPLICATION_SCOPE": "1"}); err != nil {
		t.Fatal(err)
	}
	if err := env.Src.AlterTable(ctx, table, map[string]string{"COMPACTION_ENABLED": ""}); err != nil {
		t.Fatal(err)
	}
	if err := env.Src.AddFamily(ctx, table, judge.Family{Name: "b"}); err != nil {
		t.Fatal(err)
	}
	got, err := env.Src.DescribeTable(ctx, table)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Families) != 2 || got.Families[0].Scope != 1 || got.Families[0].Versions != 3 || got.Families[0].TTL != time.Hour ||
		len(got.Families[0].Configuration) != 1 || len(got.Splits) != 3 || got.Attributes["MEMSTORE_FLUSHSIZE"] != "268435456" ||
		got.Attributes["COMPACTION_ENABLED"] != "" {
		t.Errorf("described as %+v", got)
	}
	changeRegions(t, table)
	if n, err := env.Src.CountRows(ctx, table); err != nil || n != 1000 {
		t.Errorf("rows after split, merge and move: %d, %v; want 1000", n, err)
	}
	if err := env.Src.TruncateTable(ctx, table, true); err != nil {
		t.Fatal(err)
	}
	if n, err := env.Src.CountRows(ctx, table); err != nil || n != 0 {
		t.Errorf("rows after truncate: %d, %v; want none", n, err)
	}
	if err := env.Src.DropTable(ctx, table); err != nil {
		t.Fatal(err)
	}
	if exists, err := env.Src.TableExists(ctx, table); err != nil || exists {
		t.Errorf("table after drop: exists = %v, %v", exists, err)
	}
	if err := env.Src.DropTable(ctx, table); err == nil {
		t.Error("dropping a table twice gave no error")
	}
}

// changeRegions splits, merges and moves regions of a table of four.
func changeRegions(t *testing.T, table string) {
	t.Helper()
	ctx := testenv.Context(t, time.Minute)
	if err := env.Src.Flush(ctx, table); err != nil {
		t.Fatal(err)
	}
	if err := env.Src.Split(ctx, table, []byte("1000")); err != nil {
		t.Fatal(err)
	}
	if err := env.Src.MajorCompact(ctx, table); err != nil { // drops the references that forbid a merge
		t.Fatal(err)
	}
	regions, err := env.Src.Regions(ctx, table)
	if err != nil {
		t.Fatal(err)
	}
	if len(regions) != 5 || string(regions[1].Start) != "1000" {
		t.Fatalf("regions after split: %+v", regions)
	}
	if err := env.Src.Merge(ctx, regions[2].Encoded, regions[3].Encoded); err != nil {
		t.Fatal(err)
	}
	if err := env.Src.Move(ctx, regions[4].Encoded, ""); err != nil {
		t.Fatal(err)
	}
	if err := env.Src.RollWALs(ctx); err != nil {
		t.Fatal(err)
	}
	if regions, err = env.Src.Regions(ctx, table); err != nil || len(regions) != 4 {
		t.Fatalf("regions after merge: %+v, %v", regions, err)
	}
	servers, err := env.Src.RegionServers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("localhost,%d,", env.Source.RegionServerPort()); len(servers) != 1 || !strings.HasPrefix(servers[0], want) {
		t.Errorf("region servers %q, want one at %s", servers, want)
	}
}

// TestHBaseKeepsWhatItAcknowledged stops an HBase, while it is paused, that was
// written to: its address and every acknowledged write must be there afterwards. One
// that is killed is TestOneFaultOfASharedServerFailsOnlyWhoRuns'; that and a plain stop
// are here with TORTURE=1.
func TestHBaseKeepsWhatItAcknowledged(t *testing.T) {
	ctx := testenv.Context(t, 3*time.Minute)
	table := testenv.Name(t)
	if err := env.Dst.CreateTable(ctx, judge.Table{Name: table, Families: []judge.Family{family("a")}}); err != nil {
		t.Fatal(err)
	}
	load := judge.LoadSpec{Rows: 5000, Seed: 1, Families: []string{"a"}, ValueSize: 50, BinaryKeys: true}
	if _, err := env.Dst.Load(ctx, table, load); err != nil {
		t.Fatal(err)
	}
	quorum := env.Destination.ZKQuorum()
	ends := map[string]func() error{
		"stop paused": func() error {
			if err := env.Destination.Pause(); err != nil {
				return err
			}
			return env.Destination.Stop(ctx)
		},
	}
	if os.Getenv("TORTURE") == "1" {
		ends["kill"] = env.Destination.Kill
		ends["stop"] = func() error { return env.Destination.Stop(ctx) }
	}
	for name, end := range ends {
		var puts []judge.Mutation
		for i := range 100 {
			puts = append(puts, judge.Put(fmt.Sprintf("%s %d", name, i), "a", "q", "v"))
		}
		if err := env.Dst.Write(ctx, table, puts...); err != nil {
			t.Fatal(err)
		}
		before, err := env.Dst.Checksum(ctx, table, judge.ScanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := end(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if env.Destination.Running() {
			t.Fatalf("%s: still running", name)
		}
		ended := time.Since(start)
		if err := env.Destination.Restart(ctx); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Logf("%s: ended in %s, back after %s", name, ended.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
		after, err := env.Dst.Checksum(ctx, table, judge.ScanOptions{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !after.Equal(before) {
			t.Errorf("%s: %v, was %v", name, after, before)
		}
	}
	if env.Destination.ZKQuorum() != quorum {
		t.Errorf("ZooKeeper moved from %s to %s", quorum, env.Destination.ZKQuorum())
	}
}

func TestKafkaRestartsAtItsAddress(t *testing.T) {
	ctx := testenv.Context(t, time.Minute)
	address, pid := env.Kafka.Bootstrap(), env.Kafka.PID()
	if err := env.Kafka.Kill(); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
		conn.Close()
		t.Errorf("%s still accepts connections after kill", address)
	}
	if err := env.Kafka.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if env.Kafka.Bootstrap() != address || env.Kafka.PID() == pid {
		t.Errorf("restarted at %s as %d, was %s and %d", env.Kafka.Bootstrap(), env.Kafka.PID(), address, pid)
	}
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		t.Fatalf("restarted Kafka does not listen: %v", err)
	}
	conn.Close()
}
