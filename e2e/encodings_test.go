//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

// sideBySide makes a pipe for each set of source keys, all from one table; each fills a table of its own.
func sideBySide(t *testing.T, table string, sources []keys, sink keys) (pipes []*pipe, config string) {
	t.Helper()
	var connectors []string
	for i, source := range sources {
		p := &pipe{name: fmt.Sprintf("%s_%d", table, i), tables: table, source: source, sink: keys{"hbase.table.rename": fmt.Sprintf("%s=%s_%d", table, table, i)}}
		maps.Copy(p.sink, sink)
		p.cleanUp(t)
		pipes = append(pipes, p)
		connectors = append(connectors, p.sourceConfig(), p.sinkConfig())
	}
	return pipes, processYAML(connectors...)
}

// awaitSources waits until all pipes stream.
func awaitSources(t *testing.T, w *testenv.Waltap, pipes []*pipe) {
	t.Helper()
	for _, p := range pipes {
		await(t, w, p.name+"_source", "the source to stream", func(v status.ConnectorView) bool { return v.State == status.Running })
	}
}

// awaitCopies waits until the tables that the pipes fill are as the source's.
func awaitCopies(t *testing.T, table string, pipes []*pipe) {
	t.Helper()
	ctx := testenv.Context(t, 2*time.Minute)
	for _, p := range pipes {
		awaitTable(t, p.name)
		if err := env.Src.AwaitEqual(ctx, table, env.Dst, p.name, judge.ScanOptions{}); err != nil {
			t.Fatalf("%v: %v", p.source, err)
		}
	}
	if sum, err := env.Src.Checksum(ctx, table, judge.ScanOptions{}); err != nil || sum.Types["Put"] == 0 || sum.Types["DeleteFamily"] == 0 {
		t.Fatalf("too little was compared: %v, %v", sum, err)
	}
}

// records reads what is on a table's topic of a pipe.
func (p *pipe) records(t *testing.T, table string) (all []kafka.Record) {
	t.Helper()
	topic, err := schema.DataTopic(p.name, "default:"+table)
	if err != nil {
		t.Fatal(err)
	}
	err = kafkaClient(t).ReadAll(testenv.Context(t, time.Minute), topic, func(r kafka.Record) error { all = append(all, r); return nil })
	if err != nil || len(all) == 0 {
		t.Fatalf("%d records, %v", len(all), err)
	}
	return all
}

// TestEveryEncodingArrives: what goes through each encoding arrives cell for cell, and a row stays in its partition whatever its key.
func TestEveryEncodingArrives(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	createTable(t, table, "f", "local")
	write(t, table, everyCell("a scan ")...)
	pipes, config := sideBySide(t, table, []keys{
		{"value.converter": "avro", "key.converter": "string"},
		{"value.converter": "json", "key.converter": "json"},
		{"value.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter.json.text": "true", "key.converter": "avro"},
		{"value.converter": "debezium-json", "value.converter.json.text": "true", "key.converter": "json", "key.converter.schemas.enable": "true"},
		{"value.converter": "debezium-avro", "key.converter": "bytes"},
	}, nil)
	w := env.StartWaltap(t, testenv.WaltapOptions{Config: config})
	awaitSources(t, w, pipes)
	write(t, table, everyCell("f stream ")...)
	write(t, table, judge.Put("f stream ttl", "f", "q", "v").WithTTL(time.Hour))
	awaitCopies(t, table, pipes)

	first := map[string]string{"avro": "\xc3\x01\x32", "json": `{"format":1,`, "org.apache.kafka.connect.json.JsonConverter": `{"schema":`,
		"debezium-json": `{"before":`, "debezium-avro": "\xc3\x01\xc2"}
	for _, p := range pipes {
		for _, r := range p.records(t, table) {
			if want := first[p.source["value.converter"]]; !strings.HasPrefix(string(r.Value), want) {
				t.Fatalf("%v: a record begins with %q, want %q", p.source, r.Value[:min(20, len(r.Value))], want)
			}
			var c schema.Change
			if err := schema.DecodeAvro(r.Value, &c); err != nil {
				t.Fatal(err)
			}
			if want := kafka.Partition(c.Row, 4); r.Partition != want {
				t.Errorf("%v: row %q, key %q: partition %d, want %d", p.source, c.Row, r.Key, r.Partition, want)
			}
		}
	}
}
