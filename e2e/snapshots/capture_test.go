//go:build e2e

package snapshots

import (
	"context"
	"encoding/json"
	"fmt"
	"os/user"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/crash"
	"github.com/waltap/waltap/internal/hbase/snapshot"
)

// config is a source that reads files, and a sink that copies its table beside it.
func config(t *testing.T, table, more string) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`bootstrap.servers: %[1]s
listeners: http://127.0.0.1:${PORT}
connectors:
  - name: %[2]s_source
    connector.class: HBaseSource
    hbase.zookeeper.quorum: %[3]s
    hbase.peer.id: %[2]s
    hbase.peer.listen: 127.0.0.1:0
    hbase.peer.advertised.host: localhost
    hbase.peer.znode.parent: /%[2]s
    topic.prefix: %[2]s
    table.include.list: %[2]s
    topic.creation.default.partitions: 4
    snapshot.reader: hfiles
    hbase.rootdir: %[4]s/hbase
    hbase.rootdir.user: %[5]s
%[6]s
  - name: %[2]s_sink
    connector.class: HBaseSink
    hbase.zookeeper.quorum: %[3]s
    topics.regex: %[2]s\..*
    hbase.table.create: true
    hbase.table.rename: %[2]s=%[2]s_copy
`, env.Kafka.Bootstrap(), table, env.Source.ZKQuorum(), env.HDFS.URL(), u.Username, more)
}

// await polls the source's status until ok holds.
func await(t *testing.T, w *testenv.Waltap, what string, ok func(status.ConnectorView) bool) {
	t.Helper()
	awaitOf(t, w, "_source", what, ok)
}

// awaitOf is await for the connector whose name ends so.
func awaitOf(t *testing.T, w *testenv.Waltap, suffix, what string, ok func(status.ConnectorView) bool) {
	t.Helper()
	ctx := testenv.Context(t, 3*time.Minute)
	for {
		var p status.ProcessView
		_, body, err := w.Get(ctx, "/status")
		if err == nil {
			err = json.Unmarshal(body, &p)
		}
		for _, c := range p.Connectors {
			if strings.HasSuffix(c.Name, suffix) && ok(c) {
				return
			}
		}
		if !w.Running() {
			t.Fatalf("waltap ended while waiting for %s\n%s", what, servers.LogTail(w.LogPath()))
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waiting for %s: %s, %v\n%s", what, body, err, servers.LogTail(w.LogPath()))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// left are waltap's snapshots of a table.
func left(t *testing.T, table string) []snapshot.Description {
	t.Helper()
	all, err := snapshot.List(connect(t), "/hbase")
	if err != nil {
		t.Fatal(err)
	}
	var out []snapshot.Description
	for _, s := range all {
		if s.Table == "default:"+table && strings.HasPrefix(s.Name, "waltap-") {
			out = append(out, s)
		}
	}
	return out
}

// awaitTable waits until the sink has created a table.
func awaitTable(t *testing.T, table string) {
	t.Helper()
	ctx := testenv.Context(t, 2*time.Minute)
	for {
		there, err := env.Src.TableExists(ctx, table)
		if err != nil {
			t.Fatal(err)
		}
		if there {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func removePeer(t *testing.T, id string) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testenv.Patience*time.Minute)
		defer cancel()
		if err := env.Src.RemovePeer(ctx, id); err != nil {
			t.Error(err)
		}
	})
}

// requests are those to read that the region servers have counted for a table.
func requests(t *testing.T, table string) int64 {
	t.Helper()
	n, err := env.Src.ReadRequests(testenv.Context(t, time.Minute), table)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A snapshot that was exported is loaded without its cluster. Then the table is copied from files in exact order: killed when its snapshot was made, it goes on with it; no region server is asked
// for a row; what is written afterwards follows; no snapshot is left.
func TestHistoryFromFiles(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	history(t, table, table)
	ctx := testenv.Context(t, 5*time.Minute)
	want, err := env.Src.Cells(ctx, table, judge.ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	exported(t, table, table, want)

	before := requests(t, table)
	removePeer(t, table)
	text := config(t, table, "")
	build := testenv.BuildOptions{Tags: []string{"waltap_crash"}}
	w := env.StartWaltap(t, testenv.WaltapOptions{Name: "killed", Config: text, Build: build, Env: []string{"WALTAP_CRASH=" + crash.SnapshotMade}})
	if code, err := w.Wait(ctx); err != nil || code != -1 {
		t.Fatalf("exit code %d, %v: it was not killed where it was to be\n%s", code, err, servers.LogTail(w.LogPath()))
	}
	made := left(t, table)
	if len(made) != 1 {
		t.Fatalf("snapshots %v, want one", made)
	}
	w = env.StartWaltap(t, testenv.WaltapOptions{Config: text})
	await(t, w, "the source to stream", func(v status.ConnectorView) bool { return v.State == status.Running })
	if after := requests(t, table); after != before {
		t.Errorf("the region servers counted %d requests to read while the table was read from files", after-before)
	}
	if _, err := w.WaitLog(ctx, "snapshot deleted"); err != nil { // later, if the source did not answer at once
		t.Error(err)
	}
	if log, err := w.Output(); err != nil || strings.Contains(string(log), "snapshot made") {
		t.Errorf("the snapshot that was there was not used: %v\n%s", err, log)
	}
	if s := left(t, table); len(s) > 0 {
		t.Errorf("snapshots are left: %v", s)
	}
	if err := env.Src.Write(ctx, table, judge.Mutation{Kind: "put", Row: []byte("6000007"), Cells: []judge.Cell{{Family: []byte("a"), Qualifier: []byte("b"), Timestamp: 1_700_000_000_000, Value: []byte("later")}}}); err != nil {
		t.Fatal(err)
	}
	awaitTable(t, table+"_copy")
	if err := env.Src.AwaitEqual(ctx, table, env.Src, table+"_copy", judge.ScanOptions{}); err != nil {
		t.Fatal(err)
	}
	if requests(t, table) == before {
		t.Error("the comparison was not counted either: the count says nothing")
	}
}

// A bulk load into a table that streams arrives in its place: over what was written before, below what was written afterwards.
func TestBulkLoadArrivesInItsPlace(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	ctx := testenv.Context(t, 4*time.Minute)
	const ts = 1_700_000_000_000
	put := func(row, value string) {
		t.Helper()
		if err := env.Src.Write(ctx, table, judge.Mutation{Kind: "put", Row: []byte(row), Cells: []judge.Cell{{Family: []byte("a"), Qualifier: []byte("b"), Timestamp: ts, Value: []byte(value)}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := env.Src.CreateTable(ctx, judge.Table{Name: table, Splits: judge.HexSplits(2), Families: []judge.Family{{Name: "a", Versions: 10, Scope: 1}}}); err != nil {
		t.Fatal(err)
	}
	put("5000001", "of the history")
	removePeer(t, table)
	w := env.StartWaltap(t, testenv.WaltapOptions{Config: config(t, table, "")})
	await(t, w, "the source to stream", func(v status.ConnectorView) bool { return v.State == status.Running })
	put("5000002", "before")
	for i, prefix := range []string{"5", "9"} { // both regions
		err := env.Src.BulkLoad(ctx, table, judge.BulkSpec{Dir: fmt.Sprintf("%s/bulk/%s_%d", env.HDFS.URL(), table, i), Family: "a", Qualifier: "b", Prefix: prefix, Rows: 2000, Timestamp: ts, Value: "bulk"})
		if err != nil {
			t.Fatal(err)
		}
	}
	put("5000003", "after")
	awaitTable(t, table+"_copy")
	if err := env.Src.AwaitEqual(ctx, table, env.Src, table+"_copy", judge.ScanOptions{}); err != nil {
		t.Fatal(err)
	}
	for row, want := range map[string]string{"5000001": "bulk1", "5000002": "bulk2", "5000003": "after", "9001999": "bulk1999"} {
		cells, err := env.Src.ReadRow(ctx, table+"_copy", []byte(row))
		if err != nil {
			t.Fatal(err)
		}
		if len(cells) != 1 || string(cells[0].Value) != want {
			t.Errorf("row %s: %+v, want %s", row, cells, want)
		}
	}
}
