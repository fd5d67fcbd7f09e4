package judge

import "context"

// BulkSpec describes a bulk load: rows "Prefix%06d" of one cell each, values "Value%d".
type BulkSpec struct {
	Dir       string `json:"dir"` // URL of a new folder on the file system of the HBase
	Family    string `json:"family"`
	Qualifier string `json:"qualifier"`
	Prefix    string `json:"prefix"`
	Rows      int    `json:"rows"`
	Timestamp int64  `json:"timestamp"`
	Value     string `json:"value"`
}

// BulkLoad writes an HFile and has HBase's own tool load it.
func (c *Cluster) BulkLoad(ctx context.Context, table string, s BulkSpec) error {
	return c.callWith(ctx, "bulk_load", table, s, nil)
}

// ReadRequests is how many requests to read the region servers have counted for a table's regions.
func (c *Cluster) ReadRequests(ctx context.Context, table string) (int64, error) {
	var r struct{ Requests int64 }
	err := c.call(ctx, "read_requests", fields{"table": table}, &r)
	return r.Requests, err
}
