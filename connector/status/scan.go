package status

import (
	"cmp"
	"slices"
)

// ScanLimits are what holds a scan back.
type ScanLimits struct {
	RowsPerSecond  int64 `json:"rowsPerSecond"`  // 0: no limit
	BytesPerSecond int64 `json:"bytesPerSecond"` // 0: no limit
	Paused         bool  `json:"paused,omitempty"`
}

// ScannedTableView is how far the scan of a table is, by all processes of the connector.
type ScannedTableView struct {
	Name string `json:"name"`
	// Parts of the table in key order: its shards, one by one or, where they are many, a few at a time.
	Parts []PartView `json:"parts"`
}

// PartView is how far the scan of neighbouring shards is.
type PartView struct {
	Start      string `json:"start"` // first row, as HBase's shell shows it, cut off where it is long; "": that of the table
	Shards     int    `json:"shards"`
	Done       int    `json:"done"` // of Shards
	Rows       int64  `json:"rows"`
	Bytes      int64  `json:"bytes"`
	BytesTotal int64  `json:"bytesTotal"` // that they are likely to hold; 0: not known
}

// Brief is v with one part for each table of a scan, for where it is kept often.
func (v ConnectorView) Brief() ConnectorView {
	if v.Snapshot == nil {
		return v
	}
	s := *v.Snapshot
	s.Tables = make([]ScannedTableView, len(v.Snapshot.Tables))
	for i, t := range v.Snapshot.Tables {
		var all PartView
		for _, p := range t.Parts {
			all.Shards, all.Done, all.Rows = all.Shards+p.Shards, all.Done+p.Done, all.Rows+p.Rows
			all.Bytes, all.BytesTotal = all.Bytes+p.Bytes, all.BytesTotal+p.BytesTotal
		}
		s.Tables[i] = ScannedTableView{t.Name, []PartView{all}}
	}
	v.Snapshot = &s
	return v
}

// scanState is what is known of a scan beyond its counters.
type scanState struct {
	limits func() ScanLimits // nil: none
	tables map[string][]PartView
}

// SetParts tells how far the scan of a table is. The parts are the connector's from now on.
func (c *Connector) SetParts(table string, parts []PartView) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.scan.tables == nil {
		c.scan.tables = make(map[string][]PartView)
	}
	c.scan.tables[table] = parts
}

// SetScanLimits gives the connector who knows what holds its scan back.
func (c *Connector) SetScanLimits(limits func() ScanLimits) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.scan.limits = limits
}

func (s *scanState) view() []ScannedTableView {
	var out []ScannedTableView
	for name, parts := range s.tables {
		out = append(out, ScannedTableView{name, parts})
	}
	slices.SortFunc(out, func(a, b ScannedTableView) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// moved is what of a scan makes a line of progress worth writing.
func (v *SnapshotView) moved() [6]int64 {
	return [6]int64{v.Rows, v.Bytes, v.Reread, v.ShardsDone, v.ShardsTotal, v.SecondsLeft}
}
