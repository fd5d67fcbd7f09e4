package sink

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/linkedin/goavro/v2"

	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/internal/registry"
	"github.com/waltap/waltap/schema"
)

// schemaServer is a registry that has AvroSchema as 7 and something foreign as 8; it may be away, or closed.
type schemaServer struct {
	*httptest.Server
	status atomic.Int32 // of every answer; 0: as it should be
	asked  atomic.Int32
}

func newSchemaServer(t *testing.T) *schemaServer {
	s := new(schemaServer)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		text := map[string]string{"/schemas/ids/7": schema.AvroSchema, "/schemas/ids/8": `"string"`}[r.URL.Path]
		switch status := int(s.status.Load()); {
		case status != 0:
			w.WriteHeader(status)
		case text == "":
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error_code":40403,"message":"Schema not found"}`)
		default:
			if err := json.NewEncoder(w).Encode(map[string]string{"schema": text}); err != nil {
				t.Error(err)
			}
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *schemaServer) client(t *testing.T) *registry.Client {
	t.Helper()
	c, err := registry.New(registry.Config{URLs: []string{s.URL}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func someChange() *schema.Change {
	return &schema.Change{Table: "default:t", Row: []byte("row"), Sequence: 5, Cells: []schema.Cell{{Family: []byte("f"), Type: schema.Put, Value: []byte("v")}}, Source: schema.Source{Kind: schema.KindWAL}}
}

// fate tells what becomes of a record that Decode has refused.
func fate(err error) string {
	var unreadable *UnreadableError
	switch {
	case err == nil:
		return "read"
	case errors.As(err, &unreadable):
		return "unreadable"
	case permanent(err):
		return "stop"
	}
	return "again"
}

func TestDecodeByRegistry(t *testing.T) {
	s := newSchemaServer(t)
	d := NewSchemas(nil, s.client(t)).NewDecoder()
	body := schema.AppendAvro(nil, someChange())[10:]
	of := func(id uint32) []byte { return append(schema.ConfluentHead(id), body...) }
	for _, tc := range []struct {
		name   string
		status int
		record []byte
		fate   string
		says   string
	}{
		{"away", http.StatusServiceUnavailable, of(7), "again", "503"},
		{"closed", http.StatusUnauthorized, of(7), "stop", "value.converter.*: read schema 7 of the registry: schema registry: GET " + s.URL + "/schemas/ids/7: 401"},
		{"there", 0, of(7), "read", ""},
		{"known", http.StatusServiceUnavailable, of(7), "read", ""},
		{"truncated", 0, of(7)[:20], "unreadable", "record ends early"},
		{"foreign", 0, of(8), "unreadable", "schema 8 of the registry is not that of a waltap record: is no record but string"},
		{"foreign, again", http.StatusServiceUnavailable, of(8), "unreadable", "is no record but string"},
		{"no such id", 0, of(9), "unreadable", "schema 9 of the registry: schema registry: GET " + s.URL + "/schemas/ids/9: 404 (code 40403): Schema not found"},
		{"text", 0, []byte("hello"), "unreadable", "neither Avro"},
		{"JSON", 0, []byte(`{"a":1}`), "unreadable", "source: missing"},
	} {
		s.status.Store(int32(tc.status))
		var c schema.Change
		err := d.Decode(t.Context(), testTopic, tc.record, &c)
		if fate(err) != tc.fate || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %s, %v\nwant %s, %s", tc.name, fate(err), err, tc.fate, tc.says)
		}
		if err == nil && string(c.Row) != "row" {
			t.Errorf("%s: %+v", tc.name, c)
		}
	}
	if n := s.asked.Load(); n != 5 {
		t.Errorf("the registry was asked %d times, want once for each of 5 schemas that were not known", n)
	}
	var c schema.Change
	err := NewSchemas(nil, nil).NewDecoder().Decode(t.Context(), testTopic, of(7), &c)
	if fate(err) != "unreadable" || !strings.Contains(err.Error(), "set value.converter.schema.registry.url") {
		t.Errorf("without a registry: %v", err)
	}
}

// TestDecodeByTheSourcesSchemaTopic: a newer source publishes what it writes with.
func TestDecodeByTheSourcesSchemaTopic(t *testing.T) {
	r := newRig(t, 1)
	newer := strings.Replace(schema.AvroSchema, `{"name": "table"`, `{"name": "colour", "type": ["null", "string"], "default": null}, {"name": "table"`, 1)
	codec, err := goavro.NewCodec(newer)
	if err != nil {
		t.Fatal(err)
	}
	record := append([]byte{0xC3, 0x01}, schema.AppendAvro(nil, someChange())[2:]...)
	for i := range 8 {
		record[2+i] = byte(codec.Rabin >> (8 * i))
	}
	record = append(record[:11], append([]byte{0}, record[11:]...)...) // the colour, null, behind the op
	d := NewSchemas(r.client, nil).NewDecoder()
	var c schema.Change
	if err := d.Decode(r.ctx, testTopic, record, &c); fate(err) != "unreadable" || !strings.Contains(err.Error(), fmt.Sprintf("fingerprint %016x", codec.Rabin)) {
		t.Fatalf("a schema that is nowhere: %v", err)
	}
	for _, prefix := range []string{"p", "other"} {
		if err := r.client.EnsureTopics(r.ctx, kafka.TopicSpec{Name: schema.SchemaTopic(prefix), Partitions: 1, ReplicationFactor: 1}); err != nil {
			t.Fatal(err)
		}
	}
	r.produce(kafka.TopicPartition{Topic: schema.SchemaTopic("other")}, kafka.Record{Key: fmt.Appendf(nil, "%016x", codec.Rabin), Value: []byte(newer)})
	if err := d.Decode(r.ctx, testTopic, record, &c); fate(err) != "unreadable" {
		t.Errorf("another source's schemas were asked: %v", err)
	}
	r.produce(kafka.TopicPartition{Topic: schema.SchemaTopic("p")}, kafka.Record{Key: []byte("0000000000000001"), Value: []byte(schema.AvroSchema)},
		kafka.Record{Key: fmt.Appendf(nil, "%016x", codec.Rabin), Value: []byte(newer)})
	if err := d.Decode(r.ctx, testTopic, record, &c); err != nil || string(c.Row) != "row" || c.Sequence != 5 {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestSinkWaitsForTheRegistry: nothing is passed over while a schema cannot be had.
func TestSinkWaitsForTheRegistry(t *testing.T) {
	r := newRig(t, 1)
	s := newSchemaServer(t)
	s.status.Store(http.StatusBadGateway)
	var records []kafka.Record
	for n := range 3 {
		c := someChange()
		c.Cells[0].Value = fmt.Append(nil, n+1)
		records = append(records, kafka.Record{Key: c.Row, Value: schema.AvroEncoder{Head: schema.ConfluentHead(7)}.Append(nil, c)})
	}
	r.produce(kafka.TopicPartition{Topic: testTopic}, records...)
	ts := r.sink(func(cfg *Config, _ *testSink) { cfg.Schemas = NewSchemas(r.client, s.client(t)) })
	r.eventually("the registry to be asked again", func() bool { return s.asked.Load() > 2 })
	if got := ts.applied(); len(got) > 0 {
		t.Errorf("applied %v without the schema", got)
	}
	s.status.Store(0)
	ts.await("1", "2", "3")
	if err := ts.stop(); err != nil {
		t.Error(err)
	}
	if got := r.committed(0); got != 3 {
		t.Errorf("committed %d, want 3", got)
	}
}

// TestDecodeAllocatesNothing: a sink decodes each record once, most of them well.
func TestDecodeAllocatesNothing(t *testing.T) {
	s := newSchemaServer(t)
	d := NewSchemas(nil, s.client(t)).NewDecoder()
	w := &worker{Sink: &Sink{}}
	ctx := t.Context()
	for _, head := range []schema.Head{schema.SingleObjectHead(schema.AvroSchema), schema.ConfluentHead(7)} {
		r := &kafka.RawRecord{Value: schema.AvroEncoder{Head: head}.Append(nil, someChange())}
		var c schema.Change
		var err error
		read := func() {
			if derr := w.decode(ctx, d, r, &c); derr != nil {
				err = derr
			}
		}
		if read(); err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, read); n != 0 || err != nil {
			t.Errorf("head % x: %v allocations, %v", head, n, err)
		}
	}
}
