package herder

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strings"
)

// The types of signals: Debezium's, and set-rate, which is waltap's own.
const (
	ExecuteSnapshot = "execute-snapshot" // data: SnapshotData
	StopSnapshot    = "stop-snapshot"    // data: SnapshotData; without data-collections, all
	PauseSnapshot   = "pause-snapshot"
	ResumeSnapshot  = "resume-snapshot"
	SetRate         = "set-rate" // data: RateData
)

// SignalTypes are all of them.
var SignalTypes = []string{ExecuteSnapshot, PauseSnapshot, ResumeSnapshot, StopSnapshot, SetRate}

// The types of SnapshotData.
const (
	Incremental = "incremental"
	Blocking    = "blocking"
)

// SnapshotData says what to scan, or what to scan no more.
type SnapshotData struct {
	// Type is "incremental", or "": the scan runs beside the stream. With "blocking" the changes of all tables wait meanwhile.
	Type string `json:"type,omitempty"`
	// DataCollections are regular expressions that match the whole of namespace:table.
	DataCollections []string `json:"data-collections"`
	// AdditionalConditions narrow the scan of tables; of those that match one the first counts.
	AdditionalConditions []Condition `json:"additional-conditions,omitempty"`
}

// RateData are limits of a scan; nil: it stays as it is, 0: none.
type RateData struct {
	RowsPerSecond  *int64 `json:"rows-per-second,omitempty"`
	BytesPerSecond *int64 `json:"bytes-per-second,omitempty"`
}

// Check finds what is wrong with a signal by itself; the error is a BadRequest.
func (s Signal) Check() error {
	switch s.Type {
	case ExecuteSnapshot, StopSnapshot:
		d, err := s.Snapshot()
		if err != nil {
			return err
		}
		if s.Type == ExecuteSnapshot && len(d.DataCollections) == 0 {
			return Errorf(BadRequest, "signal %s: data-collections is missing: name the tables, such as {\"data-collections\":[\"default:orders\"]}", s.Type)
		}
	case PauseSnapshot, ResumeSnapshot:
	case SetRate:
		_, err := s.Rate()
		return err
	default:
		return Errorf(BadRequest, "signal type %q is unknown: want one of %v", s.Type, SignalTypes)
	}
	return nil
}

// Snapshot reads the data of ExecuteSnapshot and StopSnapshot.
func (s Signal) Snapshot() (d SnapshotData, err error) {
	if s.Type == StopSnapshot && empty(s.Data) {
		return d, nil
	}
	if err := s.data(&d); err != nil {
		return d, err
	}
	switch strings.ToLower(d.Type) {
	case "", Incremental:
		d.Type = Incremental
	case Blocking:
		d.Type = Blocking
	default:
		return d, Errorf(BadRequest, "signal %s: type %q is unknown: want incremental, which scans beside the stream, or blocking", s.Type, d.Type)
	}
	return d, d.check(s.Type)
}

// check finds what is wrong with the tables and their conditions.
func (d *SnapshotData) check(kind string) error {
	for _, name := range d.DataCollections {
		if _, err := regexp.Compile(name); err != nil || name == "" {
			return Errorf(BadRequest, "signal %s: %q in data-collections is not a regular expression for names of tables, such as default:orders", kind, name)
		}
	}
	if len(d.AdditionalConditions) > 0 && kind == StopSnapshot {
		return Errorf(BadRequest, "signal %s: additional-conditions do not belong to it: a scan is stopped as a whole", kind)
	}
	for _, c := range d.AdditionalConditions {
		if _, err := regexp.Compile(c.DataCollection); err != nil || c.DataCollection == "" {
			return Errorf(BadRequest, "signal %s: %q in additional-conditions is not a regular expression for names of tables", kind, c.DataCollection)
		}
		if _, _, err := ParseFilter(c.Filter); err != nil {
			return Errorf(BadRequest, "signal %s: %v", kind, err)
		}
	}
	return nil
}

// Rate reads the data of SetRate.
func (s Signal) Rate() (d RateData, err error) {
	if err := s.data(&d); err != nil {
		return d, err
	}
	if d.RowsPerSecond == nil && d.BytesPerSecond == nil {
		return d, Errorf(BadRequest, "signal %s: neither rows-per-second nor bytes-per-second is given; 0 is no limit", s.Type)
	}
	for _, n := range []*int64{d.RowsPerSecond, d.BytesPerSecond} {
		if n != nil && *n < 0 {
			return d, Errorf(BadRequest, "signal %s: %d is below 0; 0 is no limit", s.Type, *n)
		}
	}
	return d, nil
}

func empty(b json.RawMessage) bool { return len(b) == 0 || string(b) == "null" }

func (s Signal) data(v any) error {
	if empty(s.Data) {
		return Errorf(BadRequest, "signal %s: data is missing", s.Type)
	}
	d := json.NewDecoder(bytes.NewReader(s.Data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return Errorf(BadRequest, "signal %s: read data: %v", s.Type, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Errorf(BadRequest, "signal %s: data goes on behind its value", s.Type)
	}
	return nil
}

// ParseSignal reads the value of a record of a signal topic. The error is a BadRequest.
func ParseSignal(value []byte) (s Signal, err error) {
	if err := json.Unmarshal(value, &s); err != nil {
		return s, Errorf(BadRequest, "read signal: %v", err)
	}
	return s, s.Check()
}
