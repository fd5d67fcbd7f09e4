package admin

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/waltap/waltap/internal/hbase/zookeeper"
)

func TestParseQueue(t *testing.T) {
	owner := ServerName{"h", 1, 2}
	for id, want := range map[string]string{
		"p":                                   "p []",
		"waltap_x":                            "waltap_x []",
		"p-h1,16020,17":                       "p [h1,16020,17]",
		"p-ip-10-0-0-1.ec2,16020,17":          "p [ip-10-0-0-1.ec2,16020,17]",
		"p-h1,16020,17-ip-10-0-0-1,16020,18":  "p [h1,16020,17 ip-10-0-0-1,16020,18]",
		"p-a-b,1,2-c-d,3,4-e,5,6":             "p [a-b,1,2 c-d,3,4 e,5,6]",
		"":                                    "",
		"p-nonsense":                          "",
		"-h1,16020,17":                        "",
		"p-h1,16020,99999999999999999999999,": "",
	} {
		q, ok := parseQueue(owner, id)
		got := fmt.Sprintf("%s %v", q.Peer, q.Dead)
		if ok != (want != "") || ok && (got != want || q.Owner != owner) {
			t.Errorf("%q: %s, %v; want %q", id, got, ok, want)
		}
	}
}

// nodeTree is a ZooKeeper of which only the children are asked.
type nodeTree map[string][]string

func (z nodeTree) Get(context.Context, string) ([]byte, error) { return nil, zookeeper.ErrNoNode }
func (z nodeTree) Set(context.Context, string, []byte) error   { return zookeeper.ErrNoNode }
func (z nodeTree) CreateTogether(context.Context, ...zookeeper.Node) error {
	return zookeeper.ErrNoNode
}
func (z nodeTree) DeleteTogether(context.Context, ...string) error { return zookeeper.ErrNoNode }
func (z nodeTree) Servers() []string                               { return nil }
func (z nodeTree) Close() error                                    { return nil }
func (z nodeTree) Children(_ context.Context, znode string) ([]string, error) {
	names, ok := z[znode]
	if !ok {
		return nil, zookeeper.ErrNoNode
	}
	return names, nil
}

func TestQueues(t *testing.T) {
	tree := nodeTree{
		"/hbase/replication/rs":               {"a,1,2", "b,1,3", "gone,1,4"},
		"/hbase/replication/rs/a,1,2":         {"p", "other"},
		"/hbase/replication/rs/b,1,3":         {"p", "p-c,1,1", "other-c,1,1"},
		"/hbase/replication/rs/b,1,3/p-c,1,1": {"c%2C1%2C1.123"},
	}
	c := newCluster(Config{}.withDefaults(), tree)
	queues, err := c.Queues(t.Context(), "p")
	if err != nil || len(queues) != 3 {
		t.Fatalf("%v, %v", queues, err)
	}
	if q := queues[2]; q.Owner.Host != "b" || fmt.Sprint(q.Dead) != "[c,1,1]" {
		t.Errorf("taken over: %+v", q)
	}
	if wals, err := c.QueueWALs(t.Context(), queues[2]); err != nil || len(wals) != 1 {
		t.Errorf("its WALs: %v, %v", wals, err)
	}
	if wals, err := c.QueueWALs(t.Context(), queues[0]); err != nil || len(wals) != 0 {
		t.Errorf("a queue that is gone: %v, %v", wals, err)
	}
	if _, err := newCluster(Config{}.withDefaults(), nodeTree{}).Queues(t.Context(), "p"); !errors.Is(err, ErrNoQueues) {
		t.Errorf("without queues: %v", err)
	}
}
