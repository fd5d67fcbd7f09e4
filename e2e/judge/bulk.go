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

// ExportSnapshot has HBase's own ExportSnapshot, a MapReduce job, copy a snapshot below root, the URL of the HBase's folder, to the URL
// of another folder.
func (c *Cluster) ExportSnapshot(ctx context.Context, root, snapshot, to string) error {
	return c.call(ctx, "export_snapshot", fields{"root": root, "snapshot": snapshot, "to": to}, nil)
}

// UnreadableFiles makes, below the URL of a folder on an HDFS, plain/file, zone/file in an encryption zone and striped/file under an
// erasure coding policy. key is one of the keys of the provider at the URL keys.
func (j *Judge) UnreadableFiles(ctx context.Context, dir, keys, key string) error {
	return j.call(ctx, "unreadable_files", fields{"dir": dir, "keys": keys, "key": key}, nil)
}
