package capture

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/source/scan"
)

// Phases of a capture.
const (
	// phaseHeld: the peer is disabled, HBase queues its WAL for us, tables are being scanned.
	phaseHeld = "held"
	// phaseStreaming: the peer is enabled and every table of it was scanned, or is not to be, or is Concurrent.
	phaseStreaming = "streaming"
	// phaseEnded: the end time has come.
	phaseEnded = "ended"
)

// captureState is the connector's own entry on the offsets topic, partition {"state":"capture"}.
type captureState struct {
	Phase string `json:"phase"`
	// CaptureID stands in the peer's CONFIG too. A peer with another id was created by someone else in
	// the meantime: what was written between its removal and its creation is lost.
	CaptureID string `json:"capture_id"`
	// HeldSince is when the phase held began, ms: since then the source keeps its WALs. 0: it does not.
	HeldSince int64 `json:"held_since,omitempty"`
	// Mode is the snapshot.mode the capture was started with.
	Mode string `json:"mode"`
	// EndTime that has come, ms; in phaseEnded only.
	EndTime int64 `json:"end_time,omitempty"`
}

// tableState is the entry of one table, partition {"table":"ns:t"}.
type tableState struct {
	Epoch    int64    `json:"epoch"`
	Families []string `json:"families"`
	// Unshipped are families that were seen at the source without being captured: what they held is not known to be delivered, should
	// their scope be raised.
	Unshipped []string `json:"unshipped,omitempty"`
	// Later are those of Families that came when the scan had begun: nothing of them may be left out because of it.
	Later []string `json:"later,omitempty"`
	// Scope is the schema.Scope in words: what was left out is not known, so it may not change.
	Scope string `json:"scope,omitempty"`
	// Partitions of the data topic: rows are spread by their number, so it may not change.
	Partitions int32 `json:"partitions"`
	// Captured: the scan has delivered the table, or there was none to make.
	Captured bool `json:"captured"`
	// Scanned is when the scan was complete that changes queued behind, ms; 0: not known, or there was none.
	Scanned int64 `json:"scanned,omitempty"`
	// Listed: our peer is known to list it, so that changes are lost when it does not.
	Listed bool `json:"listed,omitempty"`
	// Identity tells the table from others of its name; nil: not known.
	Identity *identity `json:"identity,omitempty"`
	// Gap says what was lost in this epoch. The table is captured again only in the next one, which begins with a new scan or
	// with the operator's consent.
	Gap string `json:"gap,omitempty"`
	// Since: changes that were written before are of an earlier life of the table, ms; the scan has what is left of them. 0: none.
	Since int64 `json:"since,omitempty"`
	// Dropped: the source was seen without the table. It is a new one when it is there again.
	Dropped bool `json:"dropped,omitempty"`
	// Concurrent: its changes flow, or have flowed, while it is scanned. It stays for the epoch, as nothing of its stream may
	// be left out.
	Concurrent bool `json:"concurrent,omitempty"`
	// Asked: the scan that is not complete was asked for (see Asked); nil: it was not.
	Asked *askedScan `json:"asked,omitempty"`
	// AskedID is that of the last one that has begun, in this epoch.
	AskedID string `json:"asked_id,omitempty"`
	// Stopped: the scan of this epoch was asked for, and ended before it was complete.
	Stopped bool `json:"stopped,omitempty"`
	// Began is when its scan began in an initial_only capture, ms; 0: not known.
	Began int64 `json:"began,omitempty"`
}

// readPoint gives the sequence up to which the scan has delivered a row, so that its changes may be left out; nil: none may.
func (t tableState) readPoint(ranges []scan.Range) func(row []byte) uint64 {
	if t.Concurrent || len(ranges) == 0 {
		return nil
	}
	return scan.NewReadPoints(ranges).Of
}

// state is the capture's view of the offsets topic.
type state struct {
	store     *checkpoint.Store
	connector string
}

var capturePartition = map[string]string{"state": "capture"}

func (s *state) capture() (captureState, bool, error) {
	var c captureState
	ok, err := s.store.Get(s.connector, capturePartition, &c)
	if err != nil {
		return c, false, fmt.Errorf("read the capture's state: %w", err)
	}
	return c, ok, nil
}

func (s *state) saveCapture(ctx context.Context, c captureState) error {
	if err := s.store.Put(ctx, s.connector, capturePartition, c); err != nil {
		return fmt.Errorf("save the capture's state: %w", err)
	}
	return nil
}

func (s *state) table(name string) (tableState, bool, error) {
	var t tableState
	ok, err := s.store.Get(s.connector, map[string]string{"table": name}, &t)
	if err != nil {
		return t, false, fmt.Errorf("read the state of table %s: %w", name, err)
	}
	return t, ok, nil
}

func (s *state) saveTable(ctx context.Context, name string, t tableState) error {
	if err := s.store.Put(ctx, s.connector, map[string]string{"table": name}, t); err != nil {
		return fmt.Errorf("save the state of table %s: %w", name, err)
	}
	return nil
}

// Save keeps a scanned range, partition {"table","region","start","end","generation"}.
func (s *state) Save(ctx context.Context, r scan.Range) error {
	key := map[string]string{"table": r.Table, "region": r.Region, "start": hex.EncodeToString(r.Start), "end": hex.EncodeToString(r.End)}
	if r.Generation != 0 {
		key["generation"] = strconv.Itoa(int(r.Generation))
	}
	if err := s.store.Put(ctx, s.connector, key, r); err != nil {
		return fmt.Errorf("save the progress of table %s region %s: %w", r.Table, r.Region, err)
	}
	return nil
}

// Ranges lists the ranges of a table's epoch.
func (s *state) Ranges(table string, epoch int64) ([]scan.Range, error) {
	var out []scan.Range
	err := s.store.Each(s.connector, func(partition map[string]string, offset json.RawMessage) error {
		if partition["table"] != table || partition["region"] == "" {
			return nil
		}
		var r scan.Range
		if err := json.Unmarshal(offset, &r); err != nil {
			return fmt.Errorf("read the progress of table %s region %s: %w", table, partition["region"], err)
		}
		if r.Epoch == epoch {
			out = append(out, r)
		}
		return nil
	})
	return out, err
}

// saveShard keeps a part of a plan, partition {"table","shard"}.
func (s *state) saveShard(ctx context.Context, sh scan.Shard) error {
	key := map[string]string{"table": sh.Table, shardKey: hex.EncodeToString(sh.Start) + "-" + hex.EncodeToString(sh.End)}
	if err := s.store.Put(ctx, s.connector, key, sh); err != nil {
		return fmt.Errorf("save the plan of the scan of table %s: %w", sh.Table, err)
	}
	return nil
}

const shardKey = "shard"

// shards lists the plans of all tables, by table.
func (s *state) shards() (map[string][]scan.Shard, error) {
	out := make(map[string][]scan.Shard)
	err := s.store.Each(s.connector, func(partition map[string]string, offset json.RawMessage) error {
		if _, ok := partition[shardKey]; !ok {
			return nil
		}
		var sh scan.Shard
		if err := json.Unmarshal(offset, &sh); err != nil {
			return fmt.Errorf("read the plan of the scan of table %s: %w", partition["table"], err)
		}
		out[sh.Table] = append(out[sh.Table], sh)
		return nil
	})
	return out, err
}

// clearRanges forgets what was scanned of a table, and the plan of it.
func (s *state) clearRanges(ctx context.Context, table string) error {
	for _, field := range []string{"region", snapshotKey} {
		if err := s.clear(ctx, table, field); err != nil {
			return err
		}
	}
	return s.clearShards(ctx, table)
}

func (s *state) clearShards(ctx context.Context, table string) error {
	return s.clear(ctx, table, shardKey)
}

// clear removes the entries of a table whose partition has the field.
func (s *state) clear(ctx context.Context, table, field string) error {
	var keys []map[string]string
	err := s.store.Each(s.connector, func(partition map[string]string, _ json.RawMessage) error {
		if _, ok := partition[field]; ok && partition["table"] == table {
			keys = append(keys, partition)
		}
		return nil
	})
	for _, k := range keys {
		if err == nil {
			err = s.store.Delete(ctx, s.connector, k)
		}
	}
	return err
}
