//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/testenv"
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
	workers := make([]*testenv.Waltap, n)
	var wg sync.WaitGroup
	for i, p := range pipes {
		wg.Go(func() {
			workers[i] = env.StartWaltap(t, testenv.WaltapOptions{Name: fmt.Sprint("waltap-", i), Config: processYAML(p.sourceConfig(), p.sinkConfig())})
		})
	}
	wg.Wait()
	waited := 0
	for i, w := range workers {
		awaitStreaming(t, w)
		write(t, pipes[i].tables, judge.Put("after", "a", "q", "v"))
		log, err := os.ReadFile(w.LogPath())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(log), "waiting for another connector's peer creation") {
			waited++
		}
	}
	if waited == 0 {
		t.Errorf("none of %d connectors waited for another one's peer creation", n)
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
