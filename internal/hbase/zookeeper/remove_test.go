package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

// znodes is a tree of which a znode with children cannot be deleted. It refuses deletions from the n-th on.
type znodes struct {
	there map[string]bool
	n     int
}

func (z *znodes) Children(_ context.Context, znode string) ([]string, error) {
	if !z.there[znode] {
		return nil, fmt.Errorf("%s: %w", znode, ErrNoNode)
	}
	var names []string
	for p := range z.there {
		if path.Dir(p) == znode {
			names = append(names, path.Base(p))
		}
	}
	slices.Sort(names)
	return names, nil
}

var errNotEmpty, errAway = errors.New("not empty"), errors.New("ZooKeeper is away")

func (z *znodes) Delete(ctx context.Context, znode string) error {
	if z.n--; z.n == 0 {
		return errAway
	}
	children, err := z.Children(ctx, znode)
	if err == nil && len(children) > 0 {
		err = errNotEmpty
	}
	delete(z.there, znode)
	return err
}

func tree(paths ...string) *znodes {
	z := &znodes{there: map[string]bool{"/": true, "/hbase": true}}
	for _, p := range paths {
		z.there[p] = true
	}
	return z
}

func TestRemoveCluster(t *testing.T) {
	whole := []string{"/waltap", "/waltap/hbaseid", "/waltap/rs"}
	for _, tc := range []struct {
		name    string
		z       *znodes
		removed bool
		err     string
		left    []string // below /
	}{
		{"none is there", tree(), false, "", nil},
		{"nobody serves it", tree(whole...), true, "", nil},
		{"a removal was cut off", tree("/waltap", "/waltap/hbaseid"), true, "", nil},
		{"it never came to a server", tree("/waltap"), true, "", nil},
		{"somebody serves it", tree(append(whole, "/waltap/rs/host,1,2")...), false, "a server is registered (host,1,2): stop it first", append(whole, "/waltap/rs/host,1,2")},
		{"it is an HBase's", tree(append(whole, "/waltap/master")...), false, "holds master, which waltap has not made: it stays", append(whole, "/waltap/master")},
	} {
		removed, err := RemoveCluster(t.Context(), tc.z, "/waltap")
		if removed != tc.removed || (err != nil) != (tc.err != "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: %t, %v; want %t, %q", tc.name, removed, err, tc.removed, tc.err)
		}
		if served := errors.Is(err, ErrServed); served != strings.Contains(tc.err, "registered") {
			t.Errorf("%s: ErrServed: %t", tc.name, served)
		}
		left := slices.DeleteFunc(slices.Sorted(maps.Keys(tc.z.there)), func(p string) bool { return p == "/" || p == "/hbase" })
		if slices.Sort(tc.left); !slices.Equal(left, tc.left) {
			t.Errorf("%s: left are %q, want %q", tc.name, left, tc.left)
		}
	}
	z := tree(whole...)
	for z.n = 2; z.there["/waltap"]; {
		if _, err := RemoveCluster(t.Context(), z, "/waltap"); err != nil && !errors.Is(err, errAway) {
			t.Fatal(err)
		}
	}
}
