package judge

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Table describes a table to create, or one that is there.
type Table struct {
	Name       string            `json:"name"` // "qualifier" or "namespace:qualifier"
	Families   []Family          `json:"families"`
	Splits     [][]byte          `json:"splits,omitempty"`     // start keys of all regions but the first
	Attributes map[string]string `json:"attributes,omitempty"` // in HBase's names: MEMSTORE_FLUSHSIZE, COMPACTION_ENABLED ...
}

// Family describes a column family.
type Family struct {
	Name          string
	Versions      int               // default 1
	Scope         int               // REPLICATION_SCOPE
	TTL           time.Duration     // whole seconds; 0: for ever
	Attributes    map[string]string // in HBase's names: COMPRESSION, KEEP_DELETED_CELLS ...
	Configuration map[string]string // hbase.* settings of this family
}

type familyJSON struct {
	Name          string            `json:"name"`
	Versions      int               `json:"versions"`
	Scope         int               `json:"scope"`
	TTL           int64             `json:"ttl"` // seconds
	Attributes    map[string]string `json:"attributes,omitempty"`
	Configuration map[string]string `json:"configuration,omitempty"`
}

// MarshalJSON writes the family for the Java part.
func (f Family) MarshalJSON() ([]byte, error) {
	return json.Marshal(familyJSON{f.Name, f.Versions, f.Scope, int64(f.TTL / time.Second), f.Attributes, f.Configuration})
}

// UnmarshalJSON reads what the Java part wrote.
func (f *Family) UnmarshalJSON(b []byte) error {
	var j familyJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*f = Family{j.Name, j.Versions, j.Scope, time.Duration(j.TTL) * time.Second, j.Attributes, j.Configuration}
	return nil
}

// HexSplits returns the n-1 split points that cut the space of hexadecimal keys, as
// Load writes them, into n even regions.
func HexSplits(n int) [][]byte {
	var splits [][]byte
	for i := 1; i < n; i++ {
		splits = append(splits, fmt.Appendf(nil, "%04x", i*0x10000/n))
	}
	return splits
}

// ClusterID is the cluster's UUID.
func (c *Cluster) ClusterID(ctx context.Context) (string, error) {
	var r struct{ ID string }
	err := c.call(ctx, "cluster_id", nil, &r)
	return r.ID, err
}

// Grant gives a user rights on the whole cluster: letters as in the HBase shell, "RWXCA".
func (c *Cluster) Grant(ctx context.Context, user, actions string) error {
	return c.call(ctx, "grant", fields{"user": user, "actions": actions}, nil)
}

// GrantTable gives a user rights on a table.
func (c *Cluster) GrantTable(ctx context.Context, user, actions, table string) error {
	return c.call(ctx, "grant_table", fields{"user": user, "actions": actions, "table": table}, nil)
}

// CreateNamespace creates a namespace.
func (c *Cluster) CreateNamespace(ctx context.Context, name string) error {
	return c.call(ctx, "create_namespace", fields{"namespace": name}, nil)
}

// CreateNamespaceWith creates a namespace with properties.
func (c *Cluster) CreateNamespaceWith(ctx context.Context, name string, properties map[string]string) error {
	return c.call(ctx, "create_namespace", fields{"namespace": name, "properties": properties}, nil)
}

// NamespaceProperties returns the properties of a namespace.
func (c *Cluster) NamespaceProperties(ctx context.Context, name string) (map[string]string, error) {
	var r struct{ Properties map[string]string }
	err := c.call(ctx, "describe_namespace", fields{"namespace": name}, &r)
	return r.Properties, err
}

// DropNamespace removes an empty namespace.
func (c *Cluster) DropNamespace(ctx context.Context, name string) error {
	return c.call(ctx, "drop_namespace", fields{"namespace": name}, nil)
}

// CreateTable creates a table and waits until its regions are open.
func (c *Cluster) CreateTable(ctx context.Context, t Table) error {
	return c.call(ctx, "create_table", fields{"table": t.Name, "families": t.Families,
		"splits": t.Splits, "attributes": t.Attributes}, nil)
}

// DropTable disables and deletes a table.
func (c *Cluster) DropTable(ctx context.Context, table string) error {
	return c.call(ctx, "drop_table", fields{"table": table}, nil)
}

// TruncateTable disables a table, empties it and enables it again.
func (c *Cluster) TruncateTable(ctx context.Context, table string, keepSplits bool) error {
	return c.call(ctx, "truncate_table", fields{"table": table, "keepSplits": keepSplits}, nil)
}

// Snapshot takes a snapshot of a table.
func (c *Cluster) Snapshot(ctx context.Context, table, snapshot string) error {
	return c.call(ctx, "snapshot", fields{"table": table, "snapshot": snapshot}, nil)
}

// RestoreSnapshot disables the table of a snapshot, puts it back to what it was then, and enables it.
func (c *Cluster) RestoreSnapshot(ctx context.Context, table, snapshot string) error {
	return c.call(ctx, "restore_snapshot", fields{"table": table, "snapshot": snapshot}, nil)
}

// CloneSnapshot creates a table from a snapshot.
func (c *Cluster) CloneSnapshot(ctx context.Context, table, snapshot string) error {
	return c.call(ctx, "clone_snapshot", fields{"table": table, "snapshot": snapshot}, nil)
}

// DeleteSnapshot deletes a snapshot; the table is left alone.
func (c *Cluster) DeleteSnapshot(ctx context.Context, snapshot string) error {
	return c.call(ctx, "delete_snapshot", fields{"snapshot": snapshot}, nil)
}

// DisableTable takes a table out of service.
func (c *Cluster) DisableTable(ctx context.Context, table string) error {
	return c.call(ctx, "disable_table", fields{"table": table}, nil)
}

// EnableTable undoes DisableTable.
func (c *Cluster) EnableTable(ctx context.Context, table string) error {
	return c.call(ctx, "enable_table", fields{"table": table}, nil)
}

// Tables lists the user tables, sorted.
func (c *Cluster) Tables(ctx context.Context) ([]string, error) {
	var r struct{ Tables []string }
	err := c.call(ctx, "tables", nil, &r)
	return r.Tables, err
}

// TableExists tells whether there is such a table.
func (c *Cluster) TableExists(ctx context.Context, table string) (bool, error) {
	tables, err := c.Tables(ctx)
	return slices.Contains(tables, table), err
}

// DescribeTable returns a table's descriptor; the attributes of a family are all
// those that HBase keeps for it.
func (c *Cluster) DescribeTable(ctx context.Context, table string) (Table, error) {
	var t Table
	err := c.call(ctx, "describe_table", fields{"table": table}, &t)
	return t, err
}

// AlterTable sets table attributes, an empty value removes one, and waits until all
// regions have them.
func (c *Cluster) AlterTable(ctx context.Context, table string, attributes map[string]string) error {
	return c.call(ctx, "alter_table", fields{"table": table, "attributes": attributes}, nil)
}

// AlterFamily sets attributes of a family (REPLICATION_SCOPE, VERSIONS, TTL ...), an
// empty value removes one, and waits until all regions have them.
func (c *Cluster) AlterFamily(ctx context.Context, table, family string, attributes map[string]string) error {
	return c.call(ctx, "alter_family", fields{"table": table, "family": family, "attributes": attributes}, nil)
}

// AddFamily adds a family to a table.
func (c *Cluster) AddFamily(ctx context.Context, table string, f Family) error {
	return c.call(ctx, "add_family", fields{"table": table, "family": f}, nil)
}

// DropFamily removes a family and its data.
func (c *Cluster) DropFamily(ctx context.Context, table, family string) error {
	return c.call(ctx, "drop_family", fields{"table": table, "family": family}, nil)
}

// RegionServers lists the live region servers as "host,port,startcode".
func (c *Cluster) RegionServers(ctx context.Context) ([]string, error) {
	var r struct{ Servers []string }
	err := c.call(ctx, "region_servers", nil, &r)
	return r.Servers, err
}

// Region is a region of a table and where it is.
type Region struct {
	Encoded    string // the MD5 part of its name
	Start, End []byte
	Server     string // "host,port,startcode"
}

// Regions lists a table's regions by start key.
func (c *Cluster) Regions(ctx context.Context, table string) ([]Region, error) {
	var r struct{ Regions []Region }
	err := c.call(ctx, "regions", fields{"table": table}, &r)
	return r.Regions, err
}

// Openings lists, for each region that a table has or had, by encoded name, the sequences at which it was opened, in no
// order: each opening begins a life of the region on one server. HBase keeps them for families of scope 1.
func (c *Cluster) Openings(ctx context.Context, table string) (map[string][]uint64, error) {
	var r struct{ Openings map[string][]uint64 }
	err := c.call(ctx, "openings", fields{"table": table}, &r)
	return r.Openings, err
}

// Flush writes a table's memstores to files.
func (c *Cluster) Flush(ctx context.Context, table string) error {
	return c.call(ctx, "flush", fields{"table": table}, nil)
}

// MajorCompact compacts a table's files into one per family and region and waits for
// the end.
func (c *Cluster) MajorCompact(ctx context.Context, table string) error {
	return c.call(ctx, "major_compact", fields{"table": table}, nil)
}

// Split splits the region that holds the key at, at that key, and waits for the
// end.
func (c *Cluster) Split(ctx context.Context, table string, at []byte) error {
	return c.call(ctx, "split", fields{"table": table, "at": at}, nil)
}

// Merge merges two neighbouring regions, given by encoded names, and waits for the
// end.
func (c *Cluster) Merge(ctx context.Context, a, b string) error {
	return c.call(ctx, "merge", fields{"regions": []string{a, b}}, nil)
}

// Move moves a region to a region server, "" for one that HBase chooses. With one
// region server it closes and opens the region there.
func (c *Cluster) Move(ctx context.Context, encoded, server string) error {
	return c.call(ctx, "move", fields{"region": encoded, "server": server}, nil)
}

// RollWALs makes every region server begin a new WAL file.
func (c *Cluster) RollWALs(ctx context.Context) error {
	return c.callAlone(ctx, "roll_wals", "", fields{})
}
