package capture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/source/scan"
)

// Kept is how far a capture is, as it has kept it on its offsets topic.
type Kept struct {
	// Streaming: the peer is enabled, and every table was scanned or is being scanned in concurrent order.
	Streaming bool
	CaptureID string
	HeldSince int64 // since when the source keeps its WALs for a scan, ms; 0: it does not
	Tables    map[string]KeptTable
}

// KeptTable is what a capture has kept of one table.
type KeptTable struct {
	Captured bool   // the scan has delivered it
	Listed   bool   // our peer ships it
	Gap      string // what was lost; "": nothing
	Dropped  bool   // the source was seen without it
	// Rows and Bytes are what the scan of its present epoch has delivered, each row once however often it was begun anew. Two processes
	// that had the same rows in hand for a moment both count them.
	Rows, Bytes int64
	Scanned     int64 // when a scan that the changes queued behind was complete, ms; 0: it is not, or there was none
}

// Inspect reads what a connector has kept on its offsets topic, nil when nothing.
func Inspect(ctx context.Context, client *kafka.Client, topic, connector string) (*Kept, error) {
	if _, err := client.Topic(ctx, topic); errors.Is(err, kafka.ErrUnknownTopic) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	store, err := checkpoint.Open(ctx, client, topic)
	if err != nil {
		return nil, fmt.Errorf("read the progress of connector %s: %w", connector, err)
	}
	k, err := (&state{store: store, connector: connector}).kept()
	return k, errors.Join(err, store.Close())
}

func (s *state) kept() (*Kept, error) {
	c, known, err := s.capture()
	if err != nil {
		return nil, err
	}
	k := &Kept{Tables: make(map[string]KeptTable)}
	if known {
		k.Streaming, k.CaptureID, k.HeldSince = c.Phase == phaseStreaming, c.CaptureID, c.HeldSince
	}
	epochs := make(map[string]int64)
	var ranges []scan.Range
	err = s.store.Each(s.connector, func(partition map[string]string, offset json.RawMessage) error {
		name := partition["table"]
		switch {
		case name == "":
			return nil
		case partition["region"] != "":
			var r scan.Range
			if err := json.Unmarshal(offset, &r); err != nil {
				return fmt.Errorf("read the progress of table %s region %s: %w", name, partition["region"], err)
			}
			ranges = append(ranges, r)
			return nil
		case len(partition) != 1:
			return nil
		}
		var t tableState
		if err := json.Unmarshal(offset, &t); err != nil {
			return fmt.Errorf("read the state of table %s: %w", name, err)
		}
		epochs[name] = t.Epoch
		k.Tables[name] = KeptTable{Captured: t.Captured, Listed: t.Listed, Gap: t.Gap, Dropped: t.Dropped, Scanned: t.Scanned}
		return nil
	})
	if err != nil || !known && len(k.Tables) == 0 {
		return nil, err
	}
	for _, r := range ranges {
		if t, ok := k.Tables[r.Table]; ok && epochs[r.Table] == r.Epoch {
			t.Rows, t.Bytes = t.Rows+r.Rows, t.Bytes+r.Bytes
			k.Tables[r.Table] = t
		}
	}
	return k, nil
}

// CaptureKey is the key in the CONFIG of a peer of ours that holds Kept.CaptureID.
const CaptureKey = captureKey
