package testenv

import (
	"context"
	"path/filepath"
	"sync"
	"testing"

	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
)

// OldHBase is an HBase 1.x, and the judge's view of it.
type OldHBase struct {
	*servers.HBase
	Cluster *judge.Cluster
}

// oldHBase is the one that the first test which wants it starts.
type oldHBase struct {
	mu    sync.Mutex
	hbase *servers.HBase
	judge *judge.Judge
	err   error
	tried bool
}

// OldHBase is a servers.HBase1 beside Env.Source, for tests of what it lacks or does otherwise. It is started by the first call.
func (e *Env) OldHBase(t testing.TB) OldHBase {
	t.Helper()
	s := &e.old
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.tried {
		s.tried = true
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		s.err = servers.All(ctx, func(ctx context.Context) (err error) {
			s.hbase, err = servers.StartHBase(ctx, servers.HBaseOptions{Name: "old", Dir: filepath.Join(e.Dir, "old"),
				Version: servers.HBase1, HeapMB: 768, JVMFlags: servers.FastStart})
			return err
		}, func(ctx context.Context) (err error) {
			s.judge, err = judge.StartOld(ctx, judge.Options{Dir: filepath.Join(e.Dir, "old-judge"), HeapMB: 256, JVMFlags: servers.FastStart})
			return err
		})
	}
	if s.err != nil {
		t.Fatal(s.err)
	}
	c := e.Judge.OldCluster(s.judge, s.hbase.ClusterKey())
	c.Alone = alone(s.hbase)
	return OldHBase{s.hbase, c}
}

// ends are how what was started ends.
func (s *oldHBase) ends(keep bool) (ends []func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hbase != nil {
		ends = append(ends, func(ctx context.Context) error {
			if keep {
				return s.hbase.Stop(ctx)
			}
			return s.hbase.Kill()
		})
	}
	if s.judge != nil {
		ends = append(ends, func(context.Context) error { return s.judge.Close() })
	}
	return ends
}
