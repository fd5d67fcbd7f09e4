package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/connector/verify"
	"github.com/waltap/waltap/internal/kafka"
)

// StateTopic is the compacted topic that holds what is known of all migrations:
//
//	["<migration>",{"wave":"all"}]                    → State, written by the commands
//	["<migration>",{"process":"…","wave":"all"}]      → Progress, written by who runs the connectors
//	["<migration>",{"gate":"last","wave":"all"}]      → JudgedGate, written by who rehearses or cuts over
const StateTopic = "__waltap-migrations"

// StateFormatVersion is the version of the states this release writes.
const StateFormatVersion = 1

// Phase is where a wave is.
type Phase string

// The phases of a wave, in their order.
const (
	PhaseStarted  Phase = "started"   // copied, then followed
	PhaseFencing  Phase = "fencing"   // the source's tables are being, or are, closed to writers
	PhaseCutOver  Phase = "cut over"  // writers belong to the destination
	PhaseReverse  Phase = "reversing" // so, and the destination is followed by the source
	PhaseUndoing  Phase = "undoing"   // writers go back to the source
	PhaseCleaning Phase = "cleaning"  // connectors stop, what was made is removed
	PhaseCleaned  Phase = "cleaned"   // nothing is left but what the state lists
)

// State is what was decided and done about a wave.
type State struct {
	FormatVersion int   `json:"formatVersion"`
	Revision      int64 `json:"revision"` // rises with each write
	Phase         Phase `json:"phase"`
	Started       int64 `json:"started"` // ms
	// Paused: no connector of the wave is to run.
	Paused bool `json:"paused,omitempty"`

	SourceCluster      string `json:"sourceCluster"` // cluster ids
	DestinationCluster string `json:"destinationCluster"`

	Tables []Table `json:"tables"` // by name at the source
	// Namespaces that the destination did not have.
	Namespaces []string `json:"namespaces,omitempty"`

	Verified *Verified `json:"verified,omitempty"`
	Fence    *Fence    `json:"fence,omitempty"`
	Reverse  *Reverse  `json:"reverse,omitempty"`
	// Reversals counts the reverse streams that there were: each has names of its own.
	Reversals int `json:"reversals,omitempty"`
	// Undone counts the cut-overs that were taken back after writers may have been at the destination.
	Undone int      `json:"undone,omitempty"`
	Left   []string `json:"left,omitempty"` // by the clean-up, and why
}

// Table is a table of a wave, and how it was before the wave began.
type Table struct {
	Source string `json:"source"`
	Target string `json:"target"`
	// Scopes are the REPLICATION_SCOPEs of its families at the source before, "": not set.
	Scopes map[string]string `json:"scopes"`
	// ReadOnly is its attribute READONLY at the source before, "": not set.
	ReadOnly string `json:"readOnly,omitempty"`
	// Existed: the destination had it.
	Existed bool `json:"existed,omitempty"`
	// TargetScopes are those at the destination before the reverse stream; nil: there was none.
	TargetScopes map[string]string `json:"targetScopes,omitempty"`
	// TargetReadOnly is READONLY at the destination before a way back, "": not set.
	TargetReadOnly string `json:"targetReadOnly,omitempty"`
}

// Verified are the passes of verify that count for the gate.
type Verified struct {
	Base  *Pass `json:"base,omitempty"`  // of all rows
	Final *Pass `json:"final,omitempty"` // of those changed since, behind the fence
}

// Pass is one pass of verify.
type Pass struct {
	Clean   bool                       `json:"clean"`
	Mode    string                     `json:"mode"`
	Began   int64                      `json:"began"` // ms
	Ended   int64                      `json:"ended"` // ms
	Rows    int64                      `json:"rows"`  // compared in all, by this pass and those it goes back to
	Good    int64                      `json:"goodRows"`
	Bad     int64                      `json:"badRows"`
	Excused int64                      `json:"exceptedRows,omitempty"`
	Proved  bool                       `json:"proved"`
	Tables  []string                   `json:"tables"`
	Since   map[string]map[int32]int64 `json:"since,omitempty"` // ends of the data topics when it began
	// Whole is when the last clean pass over all rows began, ms, that those after it go back to.
	Whole int64 `json:"whole,omitempty"`
	// Fence is that of Fence.ID behind which the pass was made; "": none.
	Fence string `json:"fence,omitempty"`

	ByTable []PassTable `json:"byTable,omitempty"`
	// Differences counts the cells that differ, by kind.
	Differences map[verify.Kind]int64 `json:"differences,omitempty"`
	// First are some of them, without values; the differences file has all.
	First []FirstDifference `json:"firstDifferences,omitempty"`
}

// PassTable is what a pass has found of one table.
type PassTable struct {
	Table  string `json:"table"` // at the source
	Target string `json:"target"`
	Good   int64  `json:"goodRows"`
	Bad    int64  `json:"badRows"`
}

// FirstDifference is a cell that differs.
type FirstDifference struct {
	Table string      `json:"table"`
	Kind  verify.Kind `json:"kind"`
	At    verify.End  `json:"at,omitempty"` // the only end that has it; "": both
	Text  string      `json:"text"`         // of verify.Difference, cut off where it is long
}

// Fence is what keeps writers from the source's tables.
type Fence struct {
	ID    string `json:"id"`
	Mode  string `json:"mode"`
	Began int64  `json:"began"` // ms
	// Closed is when all tables were closed, ms; 0: they are not.
	Closed int64 `json:"closed,omitempty"`
	// From is the end of the watermarks topic when they were: see moment.
	From int64 `json:"from,omitempty"`
	// Moment is a time of the source connector's clock at which they were closed, ms; 0: not known yet.
	Moment int64 `json:"moment,omitempty"`
}

// Reverse is the stream from the destination to the source.
type Reverse struct {
	N int `json:"n"`
	// Flows: it has every change that is made at the destination.
	Flows bool `json:"flows"`
	// Done: it is not to run any more.
	Done bool `json:"done,omitempty"`
	// Undo closes the destination for the way back; nil: nobody goes back.
	Undo *Fence `json:"undo,omitempty"`
}

// names of the tables at the source.
func (s *State) names() []string {
	var out []string
	for _, t := range s.Tables {
		out = append(out, t.Source)
	}
	return out
}

func (s *State) table(source string) *Table {
	for i := range s.Tables {
		if s.Tables[i].Source == source {
			return &s.Tables[i]
		}
	}
	return nil
}

// runs tells whether the connectors of the wave are to run, and those of its reverse stream.
func (s *State) runs() (forward, reverse bool) {
	if s == nil || s.Paused || s.Phase == PhaseCleaning || s.Phase == PhaseCleaned {
		return false, false
	}
	return true, s.Reverse != nil && !s.Reverse.Done
}

// Progress is what a process that runs a wave's connectors says about them, about once a second.
type Progress struct {
	At         int64                  `json:"at"` // ms, by its clock
	Host       string                 `json:"host"`
	Version    string                 `json:"version"`
	Stopped    bool                   `json:"stopped,omitempty"` // it has ended them
	Connectors []status.ConnectorView `json:"connectors"`
}

// fresh is how old the progress of a process that is alive may be.
const fresh = 10 * time.Second

func (p *Progress) alive(now time.Time) bool {
	return !p.Stopped && now.Sub(time.UnixMilli(p.At)) < fresh
}

// store is the state topic as a migration sees it.
type store struct {
	*checkpoint.Store
	name string
}

// openStore opens the state topic, and creates it unless look is set: then the store is nil where there is none.
func (s *session) openStore(ctx context.Context, look bool) error {
	if look {
		_, err := s.kafka.Topic(ctx, StateTopic)
		if errors.Is(err, kafka.ErrUnknownTopic) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	st, err := checkpoint.Open(ctx, s.kafka, StateTopic)
	if err != nil {
		return fmt.Errorf("open the state of the migration: %w", err)
	}
	s.store = &store{st, s.Name}
	return nil
}

func waveKey(wave string) map[string]string { return map[string]string{"wave": wave} }

func progressKey(wave, process string) map[string]string {
	return map[string]string{"wave": wave, "process": process}
}

// load returns the state of a wave as it is on the topic now, nil when it was not started.
func (s *store) load(ctx context.Context, wave string) (*State, error) {
	if s == nil {
		return nil, nil
	}
	if err := s.Refresh(ctx); err != nil {
		return nil, fmt.Errorf("read the state of wave %s: %w", wave, err)
	}
	return s.get(wave)
}

func (s *store) get(wave string) (*State, error) {
	st := new(State)
	known, err := s.Get(s.name, waveKey(wave), st)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the state of wave %s: %w", wave, err)
	case !known:
		return nil, nil
	case st.FormatVersion > StateFormatVersion:
		return nil, fmt.Errorf("read the state of wave %s: format version %d is newer than %d: upgrade waltap", wave, st.FormatVersion, StateFormatVersion)
	}
	return st, nil
}

// save writes the state of a wave, unless another command has written it since it was loaded.
func (s *store) save(ctx context.Context, wave string, st *State) error {
	if err := s.Refresh(ctx); err != nil {
		return fmt.Errorf("save the state of wave %s: %w", wave, err)
	}
	now, err := s.get(wave)
	if err != nil {
		return err
	}
	if now != nil && now.Revision != st.Revision || now == nil && st.Revision != 0 {
		return fmt.Errorf("save the state of wave %s: another waltap migrate command has changed it meanwhile (now %s): let that end, then run this one again", wave, phaseOf(now))
	}
	next := *st
	next.FormatVersion, next.Revision = StateFormatVersion, st.Revision+1
	if err := s.Put(ctx, s.name, waveKey(wave), &next); err != nil {
		return fmt.Errorf("save the state of wave %s: %w", wave, err)
	}
	st.FormatVersion, st.Revision = next.FormatVersion, next.Revision
	return nil
}

func phaseOf(s *State) string {
	if s == nil {
		return "not started"
	}
	return string(s.Phase)
}

// progress lists what the processes of a wave say, the newest first.
func (s *store) progress(wave string) ([]Progress, error) {
	if s == nil {
		return nil, nil
	}
	var out []Progress
	err := s.Each(s.name, func(partition map[string]string, value json.RawMessage) error {
		if partition["wave"] != wave || partition["process"] == "" {
			return nil
		}
		var p Progress
		if err := json.Unmarshal(value, &p); err != nil {
			return fmt.Errorf("read the progress of wave %s: %w", wave, err)
		}
		out = append(out, p)
		return nil
	})
	slices.SortFunc(out, func(a, b Progress) int { return int(b.At - a.At) })
	return out, err
}

// forget removes all that is kept of a wave.
func (s *store) forget(ctx context.Context, wave string) error {
	var keys []map[string]string
	err := s.Each(s.name, func(partition map[string]string, _ json.RawMessage) error {
		if partition["wave"] == wave {
			keys = append(keys, partition)
		}
		return nil
	})
	for _, k := range keys {
		if err == nil {
			err = s.Delete(ctx, s.name, k)
		}
	}
	return err
}
