//go:build e2e

package testenv_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/zookeeper"
)

// fakeTest is a test that another one runs.
type fakeTest struct {
	testing.TB
	name string

	mu       sync.Mutex
	errors   []string
	cleanups []func()
}

func (t *fakeTest) Helper()                  {}
func (t *fakeTest) Name() string             { return t.name }
func (t *fakeTest) Context() context.Context { return t.TB.Context() }

func (t *fakeTest) Cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleanups = append(t.cleanups, f)
}

func (t *fakeTest) Error(args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range args {
		t.errors = append(t.errors, a.(error).Error())
	}
}

// end ends the test and returns what it failed with.
func (t *fakeTest) end() []string {
	for _, f := range t.cleanups {
		f()
	}
	return t.errors
}

// TestOneFaultOfASharedServerFailsOnlyWhoRuns: the source dies by SIGKILL, and once as in the run that was red: a region server
// that cannot keep a position in its replication queue aborts itself, while its JVM, with the master, lives on.
func TestOneFaultOfASharedServerFailsOnlyWhoRuns(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 4*time.Minute)
	e, err := testenv.Start(ctx, testenv.Options{Judge: env.Judge})
	if err != nil {
		t.Fatal(err)
	}
	var faults []string
	t.Cleanup(func() {
		err := e.Close(context.Background(), false)
		for _, want := range faults {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the run does not fail for %q: %v", want, err)
			}
		}
	})
	table := testenv.Name(t)
	if err := e.Src.CreateTable(ctx, judge.Table{Name: table, Families: []judge.Family{family("a")}}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		fault func()
		want  []string
	}{
		{"killed", func() {
			if err := syscall.Kill(e.Source.PID(), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}, []string{"HBase source has ended by itself (signal: killed)"}},
		{"aborted", func() { abortRegionServer(ctx, t, e, table) },
			[]string{"HBase source has given up", "ABORTING region server", "Failed to set log position", "NoNode"}},
	} {
		running := &fakeTest{TB: t, name: tc.name + ", running"}
		rctx := e.Context(running, 3*time.Minute)
		before := e.Source.PID()
		for i := range 20 {
			if err := e.Src.Write(ctx, table, judge.Put(fmt.Sprintf("before %s %d", tc.name, i), "a", "q", "v")); err != nil {
				t.Fatal(err)
			}
		}
		acknowledged, err := e.Src.Checksum(ctx, table, judge.ScanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		tc.fault()
		<-rctx.Done()
		if cause := context.Cause(rctx); !strings.Contains(cause.Error(), tc.want[0]) {
			t.Errorf("%s: the test that ran was ended by %v", tc.name, cause)
		}
		after := &fakeTest{TB: t, name: tc.name + ", after"}
		actx := e.Context(after, time.Minute)
		if e.Source.PID() == before {
			t.Errorf("%s: the source was not started again", tc.name)
		}
		if tc.name == "killed" { // the other fault writes, too
			if there, err := e.Src.Checksum(actx, table, judge.ScanOptions{}); err != nil || !there.Equal(acknowledged) {
				t.Errorf("%s: the table holds %v afterwards (%v), %v was acknowledged", tc.name, there, err, acknowledged)
			}
		}
		if err := e.Src.Write(actx, table, judge.Put("after "+tc.name, "a", "q", "v")); err != nil {
			t.Errorf("%s: the next test cannot write: %v", tc.name, err)
		}
		if cells, err := e.Src.ReadRow(actx, table, []byte("after "+tc.name)); err != nil || len(cells) != 1 {
			t.Errorf("%s: the next test reads %v, %v", tc.name, cells, err)
		}
		if failed := after.end(); len(failed) > 0 {
			t.Errorf("%s: the next test fails: %q", tc.name, failed)
		}
		failed := strings.Join(running.end(), "\n")
		for _, want := range tc.want {
			if !strings.Contains(failed, want) {
				t.Errorf("%s: the test that ran does not fail with %q: %s", tc.name, want, failed)
			}
		}
		faults = append(faults, tc.want[0])
	}
}

// abortRegionServer takes the WAL of a peer out of its queue, which HBase finds when it has shipped from it.
func abortRegionServer(ctx context.Context, t *testing.T, e *testenv.Env, table string) {
	t.Helper()
	err := e.Src.AddPeer(ctx, judge.Peer{ID: table, ClusterKey: env.Destination.ClusterKey(), Tables: map[string][]string{table: nil}})
	if err != nil {
		t.Fatal(err)
	}
	if err := env.Dst.CreateTable(ctx, judge.Table{Name: table, Families: []judge.Family{family("a")}}); err != nil {
		t.Fatal(err)
	}
	source, err := admin.Open(ctx, admin.Config{Quorum: []string{e.Source.ZKQuorum()}})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	live, err := source.RegionServers(ctx)
	if err != nil || len(live) == 0 {
		t.Fatalf("region servers %v, %v", live, err)
	}
	last := slices.MaxFunc(live, func(a, b admin.ServerName) int { return cmp.Compare(a.StartCode, b.StartCode) }) // killed ones linger
	zk, err := zookeeper.Connect(ctx, []string{e.Source.ZKQuorum()}, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer zk.Close()
	queue := "/hbase/replication/rs/" + last.String() + "/" + table
	wals, err := zk.Children(ctx, queue)
	if err != nil || len(wals) == 0 {
		t.Fatalf("WALs %q, %v", wals, err)
	}
	for _, wal := range wals {
		if err := zk.Delete(ctx, queue+"/"+wal); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Src.Write(ctx, table, judge.Put("shipped", "a", "q", "v")); err != nil {
		t.Fatal(err)
	}
}
