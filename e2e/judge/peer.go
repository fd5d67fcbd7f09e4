package judge

import "context"

// Peer is a replication peer. Without tables and namespaces it takes every table
// whose families have scope 1, but the excluded ones.
type Peer struct {
	ID                string              `json:"id"`
	ClusterKey        string              `json:"clusterKey,omitempty"`
	Endpoint          string              `json:"endpoint,omitempty"` // class of a custom endpoint
	Disabled          bool                `json:"disabled"`
	ReplicateAll      bool                `json:"replicateAll"`     // as HBase reports it; AddPeer derives it
	Tables            map[string][]string `json:"tables,omitempty"` // families, none for all
	Namespaces        []string            `json:"namespaces,omitempty"`
	ExcludeTables     map[string][]string `json:"excludeTables,omitempty"`
	ExcludeNamespaces []string            `json:"excludeNamespaces,omitempty"`
	Config            map[string]string   `json:"config,omitempty"`
	Serial            bool                `json:"serial"`
	Bandwidth         int64               `json:"bandwidth"` // bytes a second per region server; 0: no limit
}

// AddPeer adds a peer.
func (c *Cluster) AddPeer(ctx context.Context, p Peer) error {
	return c.callAlone(ctx, "add_peer", "", p)
}

// UpdatePeer changes a peer's tables, namespaces, configuration and bandwidth.
func (c *Cluster) UpdatePeer(ctx context.Context, p Peer) error {
	return c.callAlone(ctx, "update_peer", "", p)
}

// RemovePeer removes a peer and what is queued for it.
func (c *Cluster) RemovePeer(ctx context.Context, id string) error {
	return c.callAlone(ctx, "remove_peer", "", fields{"id": id})
}

// EnablePeer lets a disabled peer ship what is queued for it.
func (c *Cluster) EnablePeer(ctx context.Context, id string) error {
	return c.call(ctx, "enable_peer", fields{"id": id}, nil)
}

// DisablePeer holds a peer; its queue grows.
func (c *Cluster) DisablePeer(ctx context.Context, id string) error {
	return c.callAlone(ctx, "disable_peer", "", fields{"id": id})
}

// Peers lists the peers.
func (c *Cluster) Peers(ctx context.Context) ([]Peer, error) {
	var r struct{ Peers []Peer }
	ask := func(ctx context.Context) error { return c.call(ctx, "peers", nil, &r) }
	list := ask
	if c.old != nil && c.Alone != nil {
		// The client of 1.x lists the peers as it opens and makes the state znode of each, which fails for one that is gone by then.
		list = func(ctx context.Context) error { return c.Alone(ctx, ask) }
	}
	err := list(ctx)
	return r.Peers, err
}

// VerifySpec says what VerifyReplication compares.
type VerifySpec struct {
	Peer      string   `json:"peer"` // a peer's id, or the other cluster's key, which needs no peer
	Table     string   `json:"table"`
	PeerTable string   `json:"peerTable"` // default: the same name
	Families  []string `json:"families,omitempty"`
	Raw       bool     `json:"raw"`
	Versions  int      `json:"versions"`  // 0: the newest only
	StartTime int64    `json:"startTime"` // ms
	EndTime   int64    `json:"endTime"`   // ms; 0: no end
}

// VerifyResult are VerifyReplication's counters, in rows.
type VerifyResult struct {
	Good         int64 `json:"GOODROWS"`
	Bad          int64 `json:"BADROWS"`
	OnlyInSource int64 `json:"ONLY_IN_SOURCE_TABLE_ROWS"`
	OnlyInPeer   int64 `json:"ONLY_IN_PEER_TABLE_ROWS"`
	Different    int64 `json:"CONTENT_DIFFERENT_ROWS"`
}

// VerifyReplication runs HBase's own comparison on this cluster, as a local
// MapReduce job.
func (c *Cluster) VerifyReplication(ctx context.Context, s VerifySpec) (VerifyResult, error) {
	var r VerifyResult
	err := c.callWith(ctx, "verify_replication", s.Table, s, &r)
	return r, err
}
