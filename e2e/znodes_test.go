//go:build e2e

package e2e

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/hbase/zookeeper"
)

// connectZooKeeper connects to the source's, until the test ends.
func connectZooKeeper(ctx context.Context, t *testing.T) *zookeeper.Conn {
	t.Helper()
	zk, err := zookeeper.Connect(ctx, []string{env.Source.ZKQuorum()}, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := zk.Close(); err != nil {
			t.Error(err)
		}
	})
	return zk
}

// What peers of HBase 1.x are written with: all znodes of a call, or none.
func TestZnodesAreWrittenTogether(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, time.Minute)
	zk := connectZooKeeper(ctx, t)
	root := "/" + testenv.Name(t)
	node := func(name string) zookeeper.Node { return zookeeper.Node{Path: root + name, Data: []byte(name)} }
	for _, step := range []struct {
		what string
		err  error
		want error
	}{
		{"create the root", zk.CreateAll(ctx, root), nil},
		{"create two", zk.CreateTogether(ctx, node("/a"), node("/a/b")), nil},
		{"create one that is there", zk.CreateTogether(ctx, node("/c"), node("/a")), zookeeper.ErrNodeExists},
		{"create one without a parent", zk.CreateTogether(ctx, node("/c"), node("/x/y")), zookeeper.ErrNoNode},
		{"write", zk.Set(ctx, root+"/a", []byte("new")), nil},
		{"write what is not there", zk.Set(ctx, root+"/c", nil), zookeeper.ErrNoNode},
		{"delete one that is not there", zk.DeleteTogether(ctx, root+"/a/b", root+"/x"), zookeeper.ErrNoNode},
	} {
		if !errors.Is(step.err, step.want) {
			t.Fatalf("%s: %v, want %v", step.what, step.err, step.want)
		}
	}
	names, err := zk.Children(ctx, root)
	data, gerr := zk.Get(ctx, root+"/a")
	inner, ierr := zk.Get(ctx, root+"/a/b")
	if err := errors.Join(err, gerr, ierr); err != nil || len(names) != 1 || string(data) != "new" || string(inner) != "/a/b" {
		t.Errorf("children %q, data %q and %q, %v", names, data, inner, err)
	}
	if err := zk.DeleteTogether(ctx, root+"/a/b", root+"/a", root); err != nil {
		t.Error(err)
	}
	if there, err := zk.Exists(ctx, root); err != nil || there {
		t.Errorf("still there: %t, %v", there, err)
	}
}
