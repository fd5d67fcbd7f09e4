package watermark

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/waltap/waltap/internal/hbase/admin"
)

// tables is a cluster with one table, or none.
type tables struct {
	table    *admin.Table
	disabled bool
	peers    []admin.Peer
	deleteIt error
	did      []string
}

func (c *tables) Table(_ context.Context, name string) (*admin.Table, error) {
	if c.table == nil || c.table.FullName() != name {
		return nil, admin.ErrTableNotFound
	}
	return c.table, nil
}

func (c *tables) Peers(context.Context) ([]admin.Peer, error) { return c.peers, nil }

func (c *tables) DisableTable(_ context.Context, name string) error {
	if c.disabled {
		return admin.ErrTableNotEnabled
	}
	c.did = append(c.did, "disable "+name)
	return nil
}

func (c *tables) DeleteTable(_ context.Context, name string) error {
	if c.deleteIt != nil {
		return c.deleteIt
	}
	c.did = append(c.did, "delete "+name)
	return nil
}

func TestDropTable(t *testing.T) {
	heartbeats, _ := Table("p", 1)
	other := heartbeats
	other.Families = []admin.Family{{Name: "h"}, {Name: "orders"}}
	const name = "default:waltap_heartbeat_p"
	for what, tc := range map[string]struct {
		tables
		dropped bool
		did     []string
		err     string
	}{
		"there":                    {tables{table: &heartbeats}, true, []string{"disable " + name, "delete " + name}, ""},
		"disabled":                 {tables{table: &heartbeats, disabled: true}, true, []string{"delete " + name}, ""},
		"its own peer still there": {tables{table: &heartbeats, peers: []admin.Peer{{ID: "p", Tables: map[string][]string{name: {"h"}}}}}, true, []string{"disable " + name, "delete " + name}, ""},
		"a peer for all tables":    {tables{table: &heartbeats, peers: []admin.Peer{{ID: "q", ReplicateAll: true}}}, true, []string{"disable " + name, "delete " + name}, ""},
		"none":                     {tables{}, false, nil, ""},
		"someone else was faster":  {tables{table: &heartbeats, disabled: true, deleteIt: admin.ErrTableNotFound}, false, nil, ""},
		"of someone else":          {tables{table: &other}, false, nil, "has other families than a heartbeat table, and stays"},
		"listed by another peer":   {tables{table: &heartbeats, peers: []admin.Peer{{ID: "q", Tables: map[string][]string{name: nil}}}}, false, nil, "stays: peer q lists it"},
		"refused":                  {tables{table: &heartbeats, disabled: true, deleteIt: errors.New("no right")}, false, nil, "drop the heartbeat table " + name + ": no right"},
	} {
		dropped, err := DropTable(t.Context(), &tc.tables, "p")
		if dropped != tc.dropped || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) || !slices.Equal(tc.tables.did, tc.did) {
			t.Errorf("%s: %v, %v, did %q; want %v, %q, %q", what, dropped, err, tc.tables.did, tc.dropped, tc.err, tc.did)
		}
	}
}
