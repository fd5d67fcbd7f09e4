package changes

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/waltap/waltap/source/scan"
)

// stateFormat is that of the entries in a Store.
const stateFormat = 1

// readerState is the entry "reader".
type readerState struct {
	Format  int    `json:"format"`
	Name    string `json:"name"`
	Cluster string `json:"cluster"` // id of the source
	// Capture stands in the peer's CONFIG, too: a peer with another one was added by someone else meanwhile. Without a peer it is empty.
	Capture string `json:"capture,omitempty"`
	// HeldSince is since when the peer has been held for a scan, ms; 0: it is not.
	HeldSince int64 `json:"held_since,omitempty"`
}

// tableState is the entry "table/<name>".
type tableState struct {
	Epoch  int64 `json:"epoch"`
	Listed bool  `json:"listed"` // in Config.Tables
	// Families that are scanned.
	Families []string `json:"families"`
	// Enabled is when the table was put into service, ms; 0: not known (before HBase 2.0). While it stays the table was neither truncated, restored
	// nor made anew.
	Enabled int64 `json:"enabled,omitempty"`
	// Scanned is when its scan was complete, ms; 0: it is not.
	Scanned int64 `json:"scanned,omitempty"`
}

const (
	readerEntry = "reader"
	tablePrefix = "table/"
	rangePrefix = "range/" // then the table, the region, start and end in hex
)

// state is what a Store holds, in memory. It is a scan.Progress.
type state struct {
	store Store

	mu     sync.Mutex
	reader readerState
	known  bool // there is an entry of the reader
	tables map[string]tableState
	ranges map[string]scan.Range // by key
}

var _ scan.Progress = (*state)(nil)

func loadState(ctx context.Context, store Store) (*state, error) {
	entries, err := store.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("load the reader's state: %w", err)
	}
	s := &state{store: store, tables: make(map[string]tableState), ranges: make(map[string]scan.Range)}
	for key, value := range entries {
		if err := s.decode(key, value); err != nil {
			return nil, fmt.Errorf("load the reader's state: entry %q: %w", key, err)
		}
	}
	if s.known && s.reader.Format != stateFormat {
		return nil, fmt.Errorf("load the reader's state: it is of format %d, and this waltap reads format %d", s.reader.Format, stateFormat)
	}
	return s, nil
}

func (s *state) decode(key string, value []byte) error {
	switch {
	case key == readerEntry:
		s.known = true
		return json.Unmarshal(value, &s.reader)
	case strings.HasPrefix(key, tablePrefix):
		var t tableState
		err := json.Unmarshal(value, &t)
		s.tables[strings.TrimPrefix(key, tablePrefix)] = t
		return err
	case strings.HasPrefix(key, rangePrefix):
		var r scan.Range
		err := json.Unmarshal(value, &r)
		s.ranges[key] = r
		return err
	}
	return fmt.Errorf("it is none of a reader's: a Store belongs to one Reader alone")
}

func (s *state) put(ctx context.Context, key string, value any) error {
	b, err := json.Marshal(value)
	if err == nil {
		err = s.store.Save(ctx, key, b)
	}
	if err != nil {
		return fmt.Errorf("save the reader's state: %w", err)
	}
	return nil
}

func (s *state) saveReader(ctx context.Context, r readerState) error {
	r.Format = stateFormat
	if err := s.put(ctx, readerEntry, r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reader, s.known = r, true
	return nil
}

func (s *state) saveTable(ctx context.Context, name string, t tableState) error {
	if err := s.put(ctx, tablePrefix+name, t); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tables[name] = t
	return nil
}

// Save implements scan.Progress.
func (s *state) Save(ctx context.Context, r scan.Range) error {
	key := rangePrefix + r.Table + "/" + r.Region + "/" + hex.EncodeToString(r.Start) + "-" + hex.EncodeToString(r.End)
	if err := s.put(ctx, key, r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ranges[key] = r
	return nil
}

// Ranges implements scan.Progress.
func (s *state) Ranges(table string, epoch int64) (out []scan.Range, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.ranges {
		if r.Table == table && r.Epoch == epoch {
			out = append(out, r)
		}
	}
	return out, nil
}

// clearRanges forgets what was scanned of a table.
func (s *state) clearRanges(ctx context.Context, table string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, r := range s.ranges {
		if r.Table != table {
			continue
		}
		if err := s.store.Save(ctx, key, nil); err != nil {
			return fmt.Errorf("save the reader's state: %w", err)
		}
		delete(s.ranges, key)
	}
	return nil
}
