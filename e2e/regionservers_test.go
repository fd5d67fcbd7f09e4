//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
)

// addRegionServer gives the source one more region server, which is gone when the test ends.
func addRegionServer(t *testing.T) *servers.RegionServer {
	t.Helper()
	r, err := env.Source.AddRegionServer(testenv.Context(t, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(cleanUpContext()); err != nil {
			t.Error(err)
		}
		awaitGone(t, r)
	})
	return r
}

// serverName is "host,port,startcode" of a region server, "" when it is not live.
func serverName(t *testing.T, r *servers.RegionServer) string {
	t.Helper()
	live, err := env.Src.RegionServers(cleanUpContext())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(live, func(s string) bool { return strings.HasPrefix(s, fmt.Sprintf("localhost,%d,", r.Port())) })
	if i < 0 {
		return ""
	}
	return live[i]
}

// awaitGone waits until the master has noticed that a region server is gone.
func awaitGone(t *testing.T, r *servers.RegionServer) {
	t.Helper()
	for deadline := time.Now().Add(testenv.Patience * time.Minute); serverName(t, r) != ""; time.Sleep(250 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the region server at port %d has ended, the master still knows it", r.Port())
		}
	}
}

// giveRegion moves a region of the table to the region server, unless it holds one.
func giveRegion(t *testing.T, table string, r *servers.RegionServer, rnd *rand.Rand) {
	t.Helper()
	ctx := testenv.Context(t, time.Minute)
	for {
		regions, err := env.Src.Regions(ctx, table)
		if err != nil {
			t.Fatal(err)
		}
		to := serverName(t, r)
		if to == "" {
			if ctx.Err() != nil {
				t.Fatalf("the master does not know the region server at port %d", r.Port())
			}
			time.Sleep(100 * time.Millisecond)
			continue
		}
		for _, region := range regions {
			if region.Server == to {
				return
			}
		}
		if err = env.Src.Move(ctx, regions[rnd.IntN(len(regions))].Encoded, to); err != nil && ctx.Err() != nil { // else it was split, or is on its way
			t.Fatal(err)
		}
	}
}

// TestRegionServersJoinStopAndDie moves, splits and merges regions between region servers, of which some join, are stopped
// and are killed with a backlog, under two captures: of a plain peer and of a serial one.
func TestRegionServersJoinStopAndDie(t *testing.T) {
	rnd := random(t)
	ctx := testenv.Context(t, torture(4*time.Minute, 30*time.Minute))
	var live []*servers.RegionServer
	for range torture(1, 2) {
		live = append(live, addRegionServer(t))
	}
	plain, serial := startHistory(t, false), startHistory(t, true)
	runs := []*historyRun{plain, serial}
	// One heartbeat table has too few regions.
	if err := env.Src.CreateTable(ctx, judge.Table{Name: "waltap_heartbeat_" + plain.pipe.name, Families: []judge.Family{{Name: "h", Scope: 1}}}); err != nil {
		t.Fatal(err)
	}
	var stops []func()
	for _, h := range runs {
		h.moved = true
		h.start(t, "")
		awaitStreaming(t, h.waltap)
		stops = append(stops, churn(t, h.table, rand.New(rand.NewPCG(rnd.Uint64(), 2))))
	}
	goesOn := func(what string) {
		t.Helper()
		began := time.Now()
		for _, h := range runs {
			awaitWatermark(t, h.waltap, began)
		}
		t.Logf("%s: the watermarks go on after %s", what, time.Since(began).Round(100*time.Millisecond))
	}
	goesOn("as many servers as at the start")
	if _, err := plain.waltap.WaitLog(ctx, "a region of the heartbeat table is split"); err != nil {
		t.Error(err)
	}
	for range torture(1, 5) {
		joined := addRegionServer(t)
		live = append(live, joined)
		for _, h := range runs {
			if _, err := h.waltap.WaitLog(ctx, fmt.Sprintf("the watermark waits.*first heartbeat of localhost,%d,", joined.Port())); err != nil {
				t.Error(err)
			}
			giveRegion(t, h.table, joined, rnd)
		}
		goesOn("one has joined")
		if err := live[0].Stop(ctx); err != nil {
			t.Fatal(err)
		}
		goesOn("one was stopped")
		killWithBacklog(t, live[1], plain, serial, rnd)
		goesOn("one was killed with a backlog")
		live = live[2:]
		if len(live) == 0 {
			live = append(live, addRegionServer(t))
		}
	}
	for i, h := range runs {
		stops[i]()
		h.check(t)
	}
}

// killWithBacklog kills a region server whose WAL holds what neither capture has: waltap stands still, or the peer is disabled.
func killWithBacklog(t *testing.T, r *servers.RegionServer, paused, disabled *historyRun, rnd *rand.Rand) {
	t.Helper()
	ctx := testenv.Context(t, 2*time.Minute)
	for _, h := range []*historyRun{paused, disabled} {
		giveRegion(t, h.table, r, rnd)
	}
	if err := env.Src.DisablePeer(ctx, disabled.pipe.name); err != nil {
		t.Fatal(err)
	}
	if err := paused.waltap.Pause(); err != nil {
		t.Fatal(err)
	}
	stood := time.Now()
	time.Sleep(2 * time.Second)
	if err := r.Kill(); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, r)
	time.Sleep(2 * time.Second)
	v, err := view(ctx, disabled.waltap, "_source")
	if err != nil || v.Watermark == nil || v.Watermark.Time.After(stood) || v.Watermark.Estimated {
		t.Errorf("with a backlog from %s on the watermark is %+v (%v)", stood.Format(time.RFC3339Nano), v.Watermark, err)
	}
	if err := env.Src.EnablePeer(ctx, disabled.pipe.name); err != nil {
		t.Fatal(err)
	}
	if err := paused.waltap.Resume(); err != nil {
		t.Fatal(err)
	}
}
