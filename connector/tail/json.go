package tail

import (
	"encoding/json"
	"io"

	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

// JSON writes a line per record. Bytes are base64.
type JSON struct{ W io.Writer }

type recordJSON struct {
	Topic     string `json:"topic,omitempty"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Time      int64  `json:"time,omitempty"` // of the record, ms
	Key       []byte `json:"key"`
	*changeJSON
	Error string `json:"error,omitempty"` // why Value is no change
	Value []byte `json:"value,omitempty"` // only then
}

type changeJSON struct {
	Op       string     `json:"op"`
	Table    string     `json:"table"`
	Row      []byte     `json:"row"`
	Cells    []cellJSON `json:"cells"`
	Sequence uint64     `json:"sequence"`
	TS       int64      `json:"ts"`
	Source   sourceJSON `json:"source"`
}

type cellJSON struct {
	Family    []byte `json:"family"`
	Qualifier []byte `json:"qualifier"`
	Timestamp int64  `json:"timestamp"`
	Type      string `json:"type"`
	Value     []byte `json:"value"`
	Tags      []byte `json:"tags,omitempty"` // HBase's serialised list
}

type sourceJSON struct {
	Version   string   `json:"version"`
	Connector string   `json:"connector"`
	ClusterID string   `json:"cluster_id"`
	Region    string   `json:"region"`
	Kind      string   `json:"kind"`
	Origins   []string `json:"origins,omitempty"`
	Epoch     int64    `json:"epoch"`
}

func newChangeJSON(c *schema.Change) *changeJSON {
	s := &c.Source
	j := &changeJSON{Op: c.Op().String(), Table: c.Table, Row: c.Row, Cells: make([]cellJSON, len(c.Cells)), Sequence: c.Sequence, TS: c.Timestamp,
		Source: sourceJSON{Version: s.Version, Connector: s.Connector, ClusterID: s.ClusterID.String(), Region: s.Region, Kind: s.Kind.String(), Epoch: s.Epoch}}
	for _, id := range s.Origins {
		j.Source.Origins = append(j.Source.Origins, id.String())
	}
	for i := range c.Cells {
		k := &c.Cells[i]
		j.Cells[i] = cellJSON{Family: k.Family, Qualifier: k.Qualifier, Timestamp: k.Timestamp, Type: k.Type.String(), Value: k.Value, Tags: k.Tags}
	}
	return j
}

// Change implements Printer.
func (j *JSON) Change(r *kafka.Record, c *schema.Change) error {
	return j.write(record(r, newChangeJSON(c)))
}

// Unreadable implements Printer.
func (j *JSON) Unreadable(r *kafka.Record, err error) error {
	v := record(r, nil)
	v.Error, v.Value = err.Error(), r.Value
	return j.write(v)
}

// DescribeJSON writes one change by itself.
func DescribeJSON(w io.Writer, c *schema.Change) error { return encode(w, newChangeJSON(c)) }

func record(r *kafka.Record, c *changeJSON) recordJSON {
	v := recordJSON{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: r.Key, changeJSON: c}
	if !r.Time.IsZero() {
		v.Time = r.Time.UnixMilli()
	}
	return v
}

func (j *JSON) write(v recordJSON) error { return encode(j.W, v) }

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
