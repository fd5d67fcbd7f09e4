package connector

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/internal/registry"
	"github.com/waltap/waltap/schema"
)

// sourceOf is a source with these keys, name=value.
func sourceOf(t *testing.T, keys ...string) *config.Source {
	t.Helper()
	all := map[string]string{"connector.class": "HBaseSource", "hbase.zookeeper.quorum": "zk", "topic.prefix": "p", "table.include.list": "t"}
	for _, k := range keys {
		name, value, _ := strings.Cut(k, "=")
		all[name] = value
	}
	c, err := config.ParseConnector("s", all)
	if err != nil {
		t.Fatal(err)
	}
	return c.Source
}

func newTestEncodings(t *testing.T, keys ...string) *encodings {
	t.Helper()
	e, err := newEncodings(sourceOf(t, keys...), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.close)
	return e
}

func TestEncodingsWithoutARegistry(t *testing.T) {
	c := &schema.Change{Table: "default:t", Row: []byte("row"), Cells: []schema.Cell{{Family: []byte("f"), Type: schema.Put, Value: []byte("v")}}, Source: schema.Source{Kind: schema.KindWAL}}
	for _, tc := range []struct {
		keys       []string
		key, value string // prefixes
	}{
		{nil, "row", "\xc3\x01\x32\xf5\xa6\x8c\x92\xa2\xb2\x53"},
		{[]string{"value.converter=json", "key.converter=string"}, "row", `{"format":1,"op":"put","table":"default:t","row":"cm93",`},
		{[]string{"value.converter=json", "value.converter.json.text=true", "key.converter=json", "key.converter.json.text=true"}, `{"rowText":"row"}`, `{"format":1,"op":"put","table":"default:t","rowText":"row",`},
		{[]string{"value.converter=org.apache.kafka.connect.json.JsonConverter", "key.converter=json"}, `{"row":"cm93"}`, `{"schema":{"type":"struct",`},
		{[]string{"value.converter=debezium-json", "key.converter=avro"}, "\xc3\x01", `{"before":null,"after":{"row":"cm93",`},
		{[]string{"value.converter=debezium-avro", "key.converter=org.apache.kafka.connect.json.JsonConverter"}, `{"schema":`, "\xc3\x01\xc2\xc3\xe3\x5b\x73\x04\x5e\x27"},
	} {
		got, err := newTestEncodings(t, tc.keys...).Of(t.Context(), "p.default.t")
		if err != nil {
			t.Fatal(err)
		}
		key := "row"
		if got.Key != nil {
			key = string(got.Key.Append(nil, c))
		}
		value := got.Value.Append(nil, c)
		if !strings.HasPrefix(key, tc.key) || !strings.HasPrefix(string(value), tc.value) {
			t.Errorf("%v: key %q, value %q", tc.keys, key, value)
		}
		if got, ok := got.Value.(*schema.DebeziumJSONEncoder); ok && got.Name != "p" {
			t.Errorf("Debezium's source is named %q, not after the topic prefix", got.Name)
		}
		var back schema.Change
		if err := schema.DecodeAvro(value, &back); err != nil || string(back.Row) != "row" {
			t.Errorf("%v: %v", tc.keys, err)
		}
	}
}

// subjects is a registry that gives each new schema of a subject an id, and refuses some.
type subjects struct {
	ids   map[string]int
	asked int
	down  bool
}

func (s *subjects) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked++
	var in struct{ Schema string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	subject, versions := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/subjects/"), "/versions")
	id, known := s.ids[subject+in.Schema]
	switch {
	case s.down:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case strings.HasPrefix(subject, "refused"):
		w.WriteHeader(http.StatusConflict)
		fmt.Fprint(w, `{"error_code":409,"message":"it is not what it was"}`)
		return
	case strings.HasPrefix(subject, "closed"):
		w.WriteHeader(http.StatusForbidden)
		return
	case !known && !versions:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"error_code":40403,"message":"Schema not found"}`)
		return
	case !known:
		id = len(s.ids) + 1
		s.ids[subject+in.Schema] = id
	}
	fmt.Fprintf(w, `{"id":%d}`, id)
}

func TestEncodingsWithARegistry(t *testing.T) {
	s := &subjects{ids: map[string]int{}}
	server := httptest.NewServer(s)
	defer server.Close()
	e := newTestEncodings(t, "key.converter=avro", "value.converter.schema.registry.url="+server.URL)
	c := &schema.Change{Table: "default:t", Row: []byte("row")}
	for range 2 {
		got, err := e.Of(t.Context(), "p.default.t")
		if err != nil {
			t.Fatal(err)
		}
		if key, value := got.Key.Append(nil, c), got.Value.Append(nil, c); string(key[:5]) != "\x00\x00\x00\x00\x01" || string(value[:5]) != "\x00\x00\x00\x00\x02" {
			t.Errorf("key % x, value % x", key, value[:5])
		}
	}
	if s.ids["p.default.t-key"+schema.KeyAvroSchema] != 1 || s.ids["p.default.t-value"+schema.AvroSchema] != 2 || s.asked != 2 {
		t.Errorf("%d subjects registered with %d requests", len(s.ids), s.asked)
	}
	s.down = true
	if _, err := e.Of(t.Context(), "p.default.t"); err != nil {
		t.Errorf("a known topic while the registry is away: %v", err)
	}
	if _, err := e.Of(t.Context(), "p.default.new"); !registry.Retriable(err) || !strings.Contains(err.Error(), "HBase keeps its WAL until then") {
		t.Errorf("a new topic while the registry is away: %v", err)
	}
	s.down = false
	if _, err := e.Of(t.Context(), "p.default.new"); err != nil {
		t.Errorf("a new topic when it is back: %v", err)
	}
}

func TestRegistryRefusals(t *testing.T) {
	server := httptest.NewServer(&subjects{ids: map[string]int{}})
	defer server.Close()
	url := "value.converter.schema.registry.url=" + server.URL
	for _, tc := range []struct {
		topic string
		keys  []string
		want  []string
	}{
		{"refused.t", []string{url}, []string{"value.converter: subject refused.t-value: ", "409: it is not what it was; the subject holds another schema",
			"curl -X DELETE " + server.URL + "/subjects/refused.t-value", server.URL + "/config/refused.t-value", "another topic.prefix"}},
		{"closed.t", []string{url}, []string{"403: Forbidden", "check value.converter.basic.auth.user.info or value.converter.bearer.auth.token"}},
		{"p.t", []string{url, "value.converter.auto.register.schemas=false"}, []string{"(code 40403): Schema not found", "docs/record.md shows", "value.converter.auto.register.schemas: true"}},
		{"p.t", []string{"key.converter=avro", "key.converter.auto.register.schemas=false", url}, []string{"subject p.t-key: ", "key.converter.auto.register.schemas: true"}},
	} {
		_, err := newTestEncodings(t, tc.keys...).Of(t.Context(), tc.topic)
		for _, want := range tc.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v\ndoes not say %s", tc.topic, err, want)
			}
		}
	}
}
