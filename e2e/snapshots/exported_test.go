//go:build e2e

package snapshots

import (
	"fmt"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
)

// loading is a source without a cluster, and a sink that loads what it reads into table as.
func loading(t *testing.T, table, snapshot, root, as string) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`  - name: %[1]s_source
    connector.class: HBaseSource
    topic.prefix: %[1]s
    table.include.list: %[2]s
    snapshot.mode: initial_only
    snapshot.reader: hfiles
    snapshot.name: %[2]s=%[3]s
    hbase.rootdir: %[4]s
    hbase.rootdir.user: %[5]s
  - name: %[1]s_sink
    connector.class: HBaseSink
    hbase.zookeeper.quorum: %[6]s
    topics.regex: %[1]s\..*
    hbase.table.create: true
    hbase.table.rename: %[2]s=%[1]s
    end.time: %[7]s
`, as, table, snapshot, root, u.Username, env.Source.ZKQuorum(), time.UnixMilli(1).UTC().Format(time.RFC3339Nano))
}

// exported: a snapshot that ExportSnapshot has copied to folders, one of this machine and one on HDFS, is loaded into two tables through
// Kafka, with no word to the cluster that it is of. want is what the snapshot has.
func exported(t *testing.T, table, snapshot string, want []judge.Cell) {
	ctx := testenv.Context(t, 5*time.Minute)
	root := env.HDFS.URL() + "/hbase"
	local, remote := "file://"+filepath.Join(t.TempDir(), "backup"), env.HDFS.URL()+"/backup/"+table
	for _, to := range []string{local, remote} {
		if err := env.Src.ExportSnapshot(ctx, root, snapshot, to); err != nil {
			t.Fatal(err)
		}
	}
	before := requests(t, table)
	head := fmt.Sprintf("bootstrap.servers: %s\nlisteners: http://127.0.0.1:${PORT}\nconnectors:\n", env.Kafka.Bootstrap())
	a, b := table+"_a", table+"_b"
	w := env.StartWaltap(t, testenv.WaltapOptions{Name: "load", Config: head + loading(t, table, snapshot, local, a) + loading(t, table, snapshot, remote, b)})
	if code, err := w.Wait(ctx); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v\n%s", code, err, servers.LogTail(w.LogPath()))
	}
	if after := requests(t, table); after != before {
		t.Errorf("the region servers counted %d requests to read the table", after-before)
	}
	peers, err := env.Src.Peers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range peers {
		if strings.Contains(p.ID, table) {
			t.Errorf("peer %s was made", p.ID)
		}
	}
	for _, as := range []string{a, b} {
		got, err := env.Src.Cells(ctx, as, judge.ScanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		same(t, as, want, got)
	}

	// The snapshot that was read is the connector's: another one is refused.
	if err := env.Src.Snapshot(ctx, table, table+"_2"); err != nil {
		t.Fatal(err)
	}
	w = env.StartWaltap(t, testenv.WaltapOptions{Name: "other", Config: head + loading(t, table, table+"_2", root, a)})
	if code, err := w.Wait(ctx); err != nil || code == 0 {
		t.Fatalf("exit code %d, %v: another snapshot was not refused", code, err)
	}
	if log, err := w.Output(); err != nil || !strings.Contains(string(log), "by a new connector with a topic.prefix of its own") {
		t.Errorf("%v\n%s", err, log)
	}
}
