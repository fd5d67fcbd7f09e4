//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/hbase/admin"
)

// TestConnectorsThatStartAtOnceDoNotEndARegionServer: each rolls the source's WALs and adds its peer. Done at once, HBase may take
// a WAL into a peer's queue twice, and a region server that has shipped the first copy aborts itself at the end of the second.
func TestConnectorsThatStartAtOnceDoNotEndARegionServer(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 3*time.Minute)
	n := torture(4, 10)
	pipes := make([]*pipe, n)
	for i := range pipes {
		table := testenv.Name(t)
		createTable(t, table, "a")
		load(t, table, 20, "a")
		pipes[i] = &pipe{name: table, tables: table, source: keys{"snapshot.order": []string{"exact", "concurrent"}[i%2]}}
		pipes[i].cleanUp(t)
	}
	// All are held where they change peers until each has come there: so they go on at once, however far apart they were started.
	source, err := admin.Open(ctx, admin.Config{Quorum: []string{env.Source.ZKQuorum()}, Root: env.Source.ZNodeParent()})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	workers := make([]*testenv.Waltap, n)
	err = source.Alone(ctx, admin.PeerLock{Owner: "the test", SessionTimeout: time.Minute}, func(ctx context.Context) error {
		for i, p := range pipes {
			workers[i] = env.StartWaltap(t, testenv.WaltapOptions{Name: fmt.Sprint("waltap-", i), Config: processYAML(p.sourceConfig(), p.sinkConfig())})
		}
		for _, w := range workers {
			if _, err := w.WaitLog(ctx, "waiting for another connector's peer creation"); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range workers {
		awaitStreaming(t, w)
		write(t, pipes[i].tables, judge.Put("after", "a", "q", "v"))
	}
	if err := env.Src.RollWALs(ctx); err != nil { // the WALs that the peers began with are shipped to their end
		t.Fatal(err)
	}
	for _, p := range pipes {
		write(t, p.tables, judge.Put("in the next WAL", "a", "q", "v"))
		identical(t, p.tables, judge.ScanOptions{})
	}
	log, err := os.ReadFile(env.Source.LogPath())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pipes { // an abort shows the queue
		if strings.Contains(string(log), "Failed to set log position") && strings.Contains(string(log), "queueId="+p.name+",") {
			t.Errorf("the queue of peer %s had a WAL twice: see %s", p.name, env.Source.LogPath())
		}
	}
}
