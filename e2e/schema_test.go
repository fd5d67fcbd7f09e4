//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waltap/waltap/connector/tables"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/testenv"
)

// schemaCommand runs waltap schema and wants an exit code.
func schemaCommand(t *testing.T, code int, args ...string) string {
	t.Helper()
	r := testenv.RunWaltap(testenv.Context(t, 2*time.Minute), t, append([]string{"schema"}, args...)...)
	if r.ExitCode != code {
		t.Fatalf("waltap schema %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), r.ExitCode, code, r.Stdout, r.Stderr)
	}
	return r.Stdout + r.Stderr
}

// schemaReport is the JSON of waltap schema diff and apply.
type schemaReport struct {
	Same        bool
	Done        []string
	Differences []tables.Difference
}

func schemaJSON(t *testing.T, code int, args ...string) (r schemaReport) {
	t.Helper()
	text := schemaCommand(t, code, append(args, "--json")...)
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return r
}

// one is the one difference that is about a part of that name.
func (r schemaReport) one(t *testing.T, kind, family, name string) (found tables.Difference) {
	t.Helper()
	n := 0
	for _, d := range r.Differences {
		if d.Kind == kind && d.Family == family && d.Name == name {
			found, n = d, n+1
		}
	}
	if n != 1 {
		t.Fatalf("%d differences of %s %q of family %q, want 1:\n%+v", n, kind, name, family, r.Differences)
	}
	return found
}

// wholeTable is a table with every attribute set to what is not HBase's default.
func wholeTable(name string) judge.Table {
	return judge.Table{
		Name: name,
		Attributes: map[string]string{
			"MAX_FILESIZE": "21474836480", "MEMSTORE_FLUSHSIZE": "67108864", "DURABILITY": "ASYNC_WAL", "NORMALIZATION_ENABLED": "true",
			"SPLIT_ENABLED": "false", "MERGE_ENABLED": "false", "REGION_MEMSTORE_REPLICATION": "false", "NORMALIZER_TARGET_REGION_SIZE_MB": "2048",
			"SPLIT_POLICY": "org.apache.hadoop.hbase.regionserver.ConstantSizeRegionSplitPolicy",
			"FLUSH_POLICY": "org.apache.hadoop.hbase.regionserver.FlushAllLargeStoresPolicy",
			"team":         `Straße "7": \x`, "hbase.hstore.blockingStoreFiles": "33",
			"PRIORITY": "10", "coprocessor$1": "|org.apache.hadoop.hbase.coprocessor.MultiRowMutationEndpoint|1001|a=b",
		},
		Families: []judge.Family{
			{Name: "d", Versions: 7, Scope: 1, TTL: 36 * time.Hour, Attributes: map[string]string{
				"MIN_VERSIONS": "2", "KEEP_DELETED_CELLS": "TTL", "BLOCKSIZE": "8192", "BLOOMFILTER": "ROWCOL", "COMPRESSION": "SNAPPY", "COMPRESSION_COMPACT": "GZ",
				"COMPRESSION_COMPACT_MINOR": "SNAPPY", "DATA_BLOCK_ENCODING": "FAST_DIFF", "IN_MEMORY": "true", "BLOCKCACHE": "false",
				"CACHE_DATA_ON_WRITE": "true", "CACHE_INDEX_ON_WRITE": "true", "CACHE_BLOOMS_ON_WRITE": "true", "EVICT_BLOCKS_ON_CLOSE": "true",
				"PREFETCH_BLOCKS_ON_OPEN": "true", "COMPRESS_TAGS": "false", "DFS_REPLICATION": "2", "IN_MEMORY_COMPACTION": "BASIC",
				"STORAGE_POLICY": "HOT", "INDEX_BLOCK_ENCODING": "PREFIX_TREE", "own": "a\tb",
			}, Configuration: map[string]string{"hbase.hstore.compaction.ratio": "1.3", "hbase.hstore.defaultengine.compactionpolicy.class": "org.apache.hadoop.hbase.regionserver.compactions.ExploringCompactionPolicy"}},
			{Name: "blobs", Versions: 1, Scope: 1, Attributes: map[string]string{"IS_MOB": "true", "MOB_THRESHOLD": "20480", "MOB_COMPACT_PARTITION_POLICY": "WEEKLY", "NEW_VERSION_BEHAVIOR": "false"}},
			{Name: "local", Versions: 1},
		},
		Splits: [][]byte{{0}, {0, 0x7f, 0xff}, []byte("a b"), []byte(`a\x41`), []byte("user,7"), {0xc3, 0x28}, {0xff, 0xff}},
	}
}

// copyOf is what a table of the source is to be at the destination.
func copyOf(source judge.Table, name string) judge.Table {
	source.Name = name
	source.Attributes = maps.Clone(source.Attributes)
	delete(source.Attributes, "coprocessor$1")
	delete(source.Attributes, "PRIORITY")
	for i := range source.Families {
		f := &source.Families[i]
		f.Attributes = maps.Clone(f.Attributes)
		f.Scope, f.Attributes["REPLICATION_SCOPE"] = 0, "0"
	}
	return source
}

// differ compares what HBase's own client says about two tables.
func differ(t *testing.T, want, got judge.Table) string {
	t.Helper()
	return cmp.Diff(want, got)
}

func describe(t *testing.T, c *judge.Cluster, table string) judge.Table {
	t.Helper()
	d, err := c.DescribeTable(testenv.Context(t, time.Minute), table)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Every attribute of a table, binary splits and a namespace with properties arrive under other names, through a file that was edited;
// what is not to be taken over is named; a second apply changes nothing; what differs later is reported as what it is.
func TestSchemaIsTakenToAnotherCluster(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 3*time.Minute)
	ns := testenv.Name(t)
	table, copied := ns+":orders", ns+"_copy:orders2"
	if err := env.Src.CreateNamespaceWith(ctx, ns, map[string]string{"hbase.namespace.quota.maxtables": "50", "team": "red"}); err != nil {
		t.Fatal(err)
	}
	if err := env.Src.CreateTable(ctx, wholeTable(table)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "tables.yaml")
	schemaCommand(t, 0, "export", "--quorum", env.Source.ZKQuorum(), "--tables", ns+":.*", "-o", file)
	if out := schemaCommand(t, 1, "export", "--quorum", env.Source.ZKQuorum(), "--tables", ns+":.*", "-o", file); !strings.Contains(out, "is there already") {
		t.Fatalf("a second export: %s", out)
	}
	edit(t, file, "- name: "+ns+"\n", "- name: "+ns+"_copy\n")
	edit(t, file, "- name: "+table+"\n", "- name: "+copied+"\n    source: "+table+"\n")
	to := []string{"--schema", file, "--to-quorum", env.Destination.ZKQuorum()}

	before := schemaJSON(t, 2, append([]string{"diff"}, to...)...)
	if d := before.one(t, "table", "", ""); d.Action != tables.Add || d.Table != copied {
		t.Fatalf("%+v", d)
	}
	if d := before.one(t, "namespace", "", ""); d.Action != tables.Add || d.Namespace != ns+"_copy" {
		t.Fatalf("%+v", d)
	}
	if d := before.one(t, "attribute", "", "coprocessor$1"); d.Action != tables.LeftOff || !strings.Contains(d.Remedy, "--keep") {
		t.Fatalf("%+v", d)
	}
	before.one(t, "attribute", "", "PRIORITY")
	if there, err := env.Dst.TableExists(ctx, copied); there || err != nil {
		t.Fatalf("diff has created the table: %v, %v", there, err)
	}
	if out := schemaCommand(t, 0, append([]string{"apply"}, to...)...); !strings.Contains(out, "table "+copied+" created, 3 families, 8 regions") {
		t.Fatal(out)
	}
	want := copyOf(describe(t, env.Src, table), copied)
	if d := differ(t, want, describe(t, env.Dst, copied)); d != "" {
		t.Fatalf("the copy differs from the source (-want +got):\n%s", d)
	}
	if p, err := env.Dst.NamespaceProperties(ctx, ns+"_copy"); err != nil || p["hbase.namespace.quota.maxtables"] != "50" || p["team"] != "red" {
		t.Fatalf("properties of the namespace: %v, %v", p, err)
	}
	if again := schemaJSON(t, 0, append([]string{"apply"}, to...)...); len(again.Done) != 0 || !again.Same {
		t.Fatalf("a second apply: %+v", again)
	}
	schemaIsReported(t, want, to)
}

// schemaIsReported changes the copy in every way and looks what is said about it.
func schemaIsReported(t *testing.T, want judge.Table, to []string) {
	ctx, copied := testenv.Context(t, 2*time.Minute), want.Name
	for _, step := range []error{
		env.Dst.AlterFamily(ctx, copied, "d", map[string]string{"BLOCKSIZE": "16384", "VERSIONS": "5", "TTL": "2147483647", "own": ""}),
		env.Dst.AlterTable(ctx, copied, map[string]string{"MAX_FILESIZE": "1073741824", "extra": "x"}),
		env.Dst.DropFamily(ctx, copied, "local"),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	if differ(t, want, describe(t, env.Dst, copied)) == "" {
		t.Fatal("the comparison sees no difference between tables that differ")
	}
	r := schemaJSON(t, 2, append([]string{"diff"}, to...)...)
	for _, d := range []tables.Difference{
		{Kind: "attribute", Family: "d", Name: "BLOCKSIZE", Want: "8192", Have: "16384", Action: tables.Alter},
		{Kind: "attribute", Family: "d", Name: "VERSIONS", Want: "7", Have: "5", Action: tables.Add},
		{Kind: "attribute", Family: "d", Name: "TTL", Want: "129600", Have: "2147483647", Action: tables.Decide},
		{Kind: "attribute", Family: "d", Name: "own", Want: `a\x09b`, Action: tables.Add},
		{Kind: "attribute", Name: "MAX_FILESIZE", Want: "21474836480", Have: "1073741824", Action: tables.Alter},
		{Kind: "attribute", Name: "extra", Have: "x", Action: tables.Note},
		{Kind: "family", Family: "local", Want: "local", Action: tables.Add},
	} {
		got := r.one(t, d.Kind, d.Family, d.Name)
		d.Table, d.Why, d.Remedy = copied, got.Why, got.Remedy
		if got != d {
			t.Errorf("got  %+v\nwant %+v", got, d)
		}
	}
	apply := append([]string{"apply"}, to...)
	if out := schemaCommand(t, 2, apply...); !strings.Contains(out, "VERSIONS of family d 5 -> 7") || !strings.Contains(out, "family local added") {
		t.Fatal(out)
	}
	schemaCommand(t, 2, append(apply, "--alter")...)
	schemaCommand(t, 0, append(apply, "--alter", "--shrink")...)
	want.Attributes["extra"] = "x"
	if d := differ(t, want, describe(t, env.Dst, copied)); d != "" {
		t.Fatalf("after --alter --shrink (-want +got):\n%s", d)
	}
}

// edit replaces a text in a file, which must be there.
func edit(t *testing.T, file, from, to string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte(from)) {
		t.Fatalf("the file has no %q:\n%s", from, b)
	}
	if err := os.WriteFile(file, bytes.ReplaceAll(b, []byte(from), []byte(to)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// An encoding that the target's version does not know, and codecs and classes that its master cannot load, are left out and named: with
// the encoding in it, no region of the table would ever open.
func TestSchemaWithoutWhatTheTargetLacks(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 2*time.Minute)
	table := testenv.Name(t)
	if err := env.Src.CreateTable(ctx, judge.Table{Name: table, Families: []judge.Family{{Name: "d", Versions: 3, Scope: 1,
		Attributes: map[string]string{"COMPRESSION": "GZ", "DATA_BLOCK_ENCODING": "DIFF", "BLOCKSIZE": "8192"}}}}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "tables.yaml")
	schemaCommand(t, 0, "export", "--quorum", env.Source.ZKQuorum(), "--tables", table, "-o", file)
	edit(t, file, "COMPRESSION: GZ", "COMPRESSION: LZO")
	edit(t, file, "DATA_BLOCK_ENCODING: DIFF", "DATA_BLOCK_ENCODING: PREFIX_TREE")
	edit(t, file, "    families:", "    attributes:\n      SPLIT_POLICY: com.example.Splits\n    families:")
	to := []string{"--schema", file, "--to-quorum", env.Destination.ZKQuorum()}
	r := schemaJSON(t, 2, append([]string{"diff"}, to...)...)
	for _, name := range []string{"COMPRESSION", "DATA_BLOCK_ENCODING"} {
		if d := r.one(t, "attribute", "d", name); d.Action != tables.LeftOff || d.Why == "" {
			t.Errorf("%+v", d)
		}
	}
	if d := r.one(t, "attribute", "", "SPLIT_POLICY"); d.Action != tables.LeftOff || !strings.Contains(d.Why, "com.example.Splits") {
		t.Errorf("%+v", d)
	}
	if out := schemaCommand(t, 1, append([]string{"apply", "--keep", "COMPRESSION"}, to...)...); !strings.Contains(out, "lzo") || !strings.Contains(out, "nothing was changed") {
		t.Errorf("with the codec forced: %s", out)
	}
	schemaCommand(t, 0, append([]string{"apply"}, to...)...)
	got := describe(t, env.Dst, table).Families[0]
	if got.Attributes["COMPRESSION"] != "NONE" || got.Attributes["DATA_BLOCK_ENCODING"] != "NONE" || got.Attributes["BLOCKSIZE"] != "8192" || got.Versions != 3 {
		t.Errorf("the copy: %+v", got)
	}
	if again := schemaJSON(t, 0, append([]string{"apply"}, to...)...); len(again.Done) != 0 {
		t.Errorf("a second apply: %+v", again)
	}
}

// An apply that was killed after some of its work is repeated, and ends where one that was not killed would have.
func TestSchemaApplyIsKilledAndRepeated(t *testing.T) {
	t.Parallel()
	for _, seen := range []string{"namespace ", "table "} { // what it says right before it is killed
		ctx := testenv.Context(t, 3*time.Minute)
		ns := testenv.Name(t)
		if err := env.Src.CreateNamespaceWith(ctx, ns, nil); err != nil {
			t.Fatal(err)
		}
		names := []string{ns + ":a", ns + ":b", ns + ":c"}
		for _, name := range names {
			if err := env.Src.CreateTable(ctx, judge.Table{Name: name, Splits: judge.HexSplits(4), Families: []judge.Family{{Name: "d", Versions: 2}}}); err != nil {
				t.Fatal(err)
			}
		}
		args := []string{"apply", "--quorum", env.Source.ZKQuorum(), "--tables", ns + ":.*", "--to-quorum", env.Destination.ZKQuorum()}
		killWaltap(ctx, t, seen, append([]string{"schema"}, args...)...)
		schemaCommand(t, 0, args...)
		for _, name := range names {
			if d := differ(t, copyOf(describe(t, env.Src, name), name), describe(t, env.Dst, name)); d != "" {
				t.Errorf("killed behind %q: %s differs (-want +got):\n%s", seen, name, d)
			}
		}
		if again := schemaJSON(t, 0, args...); len(again.Done) != 0 {
			t.Errorf("killed behind %q: an apply after the last one: %+v", seen, again)
		}
	}
}

// killWaltap runs a command until it writes a line with seen, and kills it there.
func killWaltap(ctx context.Context, t *testing.T, seen string, args ...string) {
	t.Helper()
	path, err := testenv.Build(ctx, testenv.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	found := false
	for s := bufio.NewScanner(out); !found && s.Scan(); {
		found = strings.HasPrefix(s.Text(), seen)
	}
	cmd.Process.Kill()
	cmd.Wait() // it was killed
	if !found {
		t.Fatalf("waltap %s has ended without a line that begins with %q\n%s", strings.Join(args, " "), seen, stderr.String())
	}
}
