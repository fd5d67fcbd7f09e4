package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/schema"
)

func TestDecodeReadsEveryEncoding(t *testing.T) {
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/schemas/ids/7" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if err := json.NewEncoder(w).Encode(map[string]string{"schema": schema.AvroSchema}); err != nil {
			t.Error(err)
		}
	}))
	defer registry.Close()
	c := &schema.Change{Table: "default:t", Row: []byte("r"), Cells: []schema.Cell{{Family: []byte("f"), Type: schema.Put, Value: []byte("v")}}, Source: schema.Source{Kind: schema.KindWAL}}
	for name, tc := range map[string]struct {
		encoder schema.Encoder
		args    []string
		code    int
		want    string
	}{
		"JSON":                 {schema.JSONEncoder{Text: true}, nil, exitOK, "table     default:t\n"},
		"Debezium's":           {&schema.DebeziumJSONEncoder{Schema: true}, nil, exitOK, "row       r\n"},
		"with a registry":      {schema.AvroEncoder{Head: schema.ConfluentHead(7)}, []string{"--schema-registry-url", registry.URL}, exitOK, "row       r\n"},
		"without one":          {schema.AvroEncoder{Head: schema.ConfluentHead(7)}, nil, exitFailure, "schema 7 of the registry, which is not known"},
		"of another registry":  {schema.AvroEncoder{Head: schema.ConfluentHead(8)}, []string{"--schema-registry-url", registry.URL}, exitFailure, "404"},
		"no registry's URL":    {schema.AvroEncoder{Head: schema.ConfluentHead(7)}, []string{"--schema-registry-url", "registry:8081"}, exitUsage, `"registry:8081" is not a URL`},
		"Avro, single objects": {schema.AvroEncoder{Head: schema.SingleObjectHead(schema.AvroSchema)}, nil, exitOK, "row       r\n"},
	} {
		file := filepath.Join(t.TempDir(), "value")
		if err := os.WriteFile(file, tc.encoder.Append(nil, c), 0o600); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := waltap(append([]string{"decode", file}, tc.args...)...)
		if code != tc.code || !strings.Contains(stdout+stderr, tc.want) {
			t.Errorf("%s: exit code %d, want %d and %q: %s%s", name, code, tc.code, tc.want, stdout, stderr)
		}
	}
}

func TestRegistryOfAConfiguration(t *testing.T) {
	const text = `bootstrap.servers: k:9092
connectors:
  - {name: a, connector.class: HBaseSource, hbase.zookeeper.quorum: zk, topic.prefix: a, table.include.list: t}
  - {name: b, connector.class: HBaseSink, hbase.zookeeper.quorum: zk, topics: t, value.converter.schema.registry.url: http://b}
  - {name: c, connector.class: HBaseSource, hbase.zookeeper.quorum: zk, topic.prefix: c, table.include.list: t, hbase.peer.listen: "0.0.0.0:16221", value.converter.schema.registry.url: http://c}
`
	p, err := config.Parse("p.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if r := p.Registry(); len(r.URLs) != 1 || r.URLs[0] != "http://b" || r.Key != "value.converter" {
		t.Errorf("%+v", r)
	}
	if r := new(config.Process).Registry(); len(r.URLs) != 0 {
		t.Errorf("%+v", r)
	}
}
