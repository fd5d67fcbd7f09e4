package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-zookeeper/zk"
)

// Node is a znode to be created.
type Node struct {
	Path string
	Data []byte
}

// Set replaces the data of a znode, whatever it is. ErrNoNode if there is none.
func (c *Conn) Set(ctx context.Context, znode string, data []byte) error {
	_, err := do(ctx, c, "write", znode, func() (*zk.Stat, error) { return c.zk.Set(znode, data, -1) })
	return err
}

// CreateTogether creates persistent znodes, open to the world, all of them at once or none: nobody sees one without the
// others. ErrNodeExists if there is one of them, which after a lost connection may be this very call's.
func (c *Conn) CreateTogether(ctx context.Context, nodes ...Node) error {
	ops, names := make([]any, len(nodes)), make([]string, len(nodes))
	for i, n := range nodes {
		ops[i], names[i] = &zk.CreateRequest{Path: n.Path, Data: n.Data, Acl: zk.WorldACL(zk.PermAll)}, n.Path
	}
	return c.multi(ctx, "create", names, ops)
}

// DeleteTogether deletes znodes, children before their parents, all of them at once or none. ErrNoNode if one is missing.
func (c *Conn) DeleteTogether(ctx context.Context, znodes ...string) error {
	ops := make([]any, len(znodes))
	for i, name := range znodes {
		ops[i] = &zk.DeleteRequest{Path: name, Version: -1}
	}
	return c.multi(ctx, "delete", znodes, ops)
}

func (c *Conn) multi(ctx context.Context, verb string, names []string, ops []any) error {
	_, err := do(ctx, c, verb, strings.Join(names, ", "), func() (struct{}, error) {
		results, err := c.zk.Multi(ops...)
		if err == nil {
			return struct{}{}, nil
		}
		// The first operation that could not be done has the reason; those before and behind it were only rolled back.
		for _, r := range results {
			for _, known := range []error{zk.ErrNodeExists, zk.ErrNoNode, zk.ErrNotEmpty, zk.ErrNoAuth} {
				if errors.Is(r.Error, known) {
					return struct{}{}, known
				}
			}
		}
		return struct{}{}, fmt.Errorf("all or none: %w", err)
	})
	return err
}
