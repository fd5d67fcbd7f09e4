package judge

import "context"

// HistorySpec describes random writers that write down what they did, for package e2e/history to check.
type HistorySpec struct {
	Families []string `json:"families"`
	Rows     int      `json:"rows"`
	Seed     int64    `json:"seed"`
	Rate     int      `json:"rate"` // writes a second, roughly
	Threads  int      `json:"threads"`
	Distinct bool     `json:"distinct"` // puts that rewrite a cell (same column and timestamp) have another value than the cell
	Log      string   `json:"log"`      // file; complete after Stop
}

// History is the running writers.
type History struct {
	cluster *Cluster
	handle  int64
}

// HistoryStats counts what they did.
type HistoryStats struct {
	Acked, Failed int64 // Failed: with an unknown outcome
	LastError     string
}

// StartHistory starts random writers.
func (c *Cluster) StartHistory(ctx context.Context, table string, s HistorySpec) (*History, error) {
	var r struct{ Handle int64 }
	if err := c.callWith(ctx, "history_start", table, s, &r); err != nil {
		return nil, err
	}
	return &History{cluster: c, handle: r.Handle}, nil
}

// Stop stops the writers and closes their log. It may be called once.
func (h *History) Stop(ctx context.Context) (HistoryStats, error) {
	var s HistoryStats
	err := h.cluster.call(ctx, "history_stop", fields{"handle": h.handle}, &s)
	return s, err
}
