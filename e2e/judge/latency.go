package judge

import (
	"context"
	"time"
)

// LatencySpec describes puts of one cell each, one after the other, into rows that are spread over the table.
type LatencySpec struct {
	Family    string `json:"family"`
	Prefix    string `json:"prefix"` // part of the rows' keys
	Seed      int64  `json:"seed"`
	Count     int    `json:"count"`
	Rate      int    `json:"rate"` // a second
	ValueSize int    `json:"valueSize"`
	// Destination is the cluster whose table is asked, over and over, for the rows that are acknowledged; "" for none.
	Destination      string `json:"destination"`
	DestinationTable string `json:"destinationTable"`
	TimeoutMS        int64  `json:"timeoutMS"` // from the first put to the visibility of the last
}

// PutTimes are the times of puts, in the order of writing.
type PutTimes struct {
	Rows    []string
	Acked   []time.Time
	Visible []time.Time // zero without a destination
}

// PutLatency writes, and returns when all is visible at the destination.
func (c *Cluster) PutLatency(ctx context.Context, table string, s LatencySpec) (PutTimes, error) {
	var r struct {
		Rows           []string
		Acked, Visible []int64 // microseconds since 1970
	}
	if err := c.callWith(ctx, "put_latency", table, s, &r); err != nil {
		return PutTimes{}, err
	}
	times := func(micros []int64) []time.Time {
		out := make([]time.Time, len(micros))
		for i, m := range micros {
			if m != 0 {
				out[i] = time.UnixMicro(m)
			}
		}
		return out
	}
	return PutTimes{r.Rows, times(r.Acked), times(r.Visible)}, nil
}
