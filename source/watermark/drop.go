package watermark

import (
	"context"
	"errors"
	"fmt"

	"github.com/waltap/waltap/internal/hbase/admin"
)

// Tables drops tables; an *admin.Cluster.
type Tables interface {
	Table(ctx context.Context, name string) (*admin.Table, error)
	Peers(ctx context.Context) ([]admin.Peer, error)
	DisableTable(ctx context.Context, name string) error
	DeleteTable(ctx context.Context, name string) error
}

// DropTable drops the heartbeat table of a peer that is gone, or is to go. dropped is false when there is none. It refuses
// a table that waltap cannot have made, and one that another peer lists.
func DropTable(ctx context.Context, c Tables, peerID string) (dropped bool, err error) {
	name := TableName(peerID)
	t, err := c.Table(ctx, name)
	if errors.Is(err, admin.ErrTableNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("drop the heartbeat table %s: %w", name, err)
	}
	if len(t.Families) != 1 || t.Families[0].Name != Family {
		return false, fmt.Errorf("table %s has other families than a heartbeat table, and stays", name)
	}
	peers, err := c.Peers(ctx)
	if err != nil {
		return false, fmt.Errorf("drop the heartbeat table %s: %w", name, err)
	}
	for _, p := range peers {
		if _, listed := p.Tables[name]; listed && p.ID != peerID {
			return false, fmt.Errorf("the heartbeat table %s stays: peer %s lists it, take it off that list", name, p.ID)
		}
	}
	err = c.DisableTable(ctx, name)
	if err == nil || errors.Is(err, admin.ErrTableNotEnabled) {
		err = c.DeleteTable(ctx, name)
	}
	if errors.Is(err, admin.ErrTableNotFound) { // someone else was faster
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("drop the heartbeat table %s: %w", name, err)
	}
	return true, nil
}
