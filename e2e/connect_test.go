//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/kafka"
)

// TestKafkaConnectReadsWhatWeWrite: a real worker with the stock JsonConverter and FileStreamSink reads Debezium's shape, with and without
// schemas, and our own with one. It writes what it has understood, a line a record.
func TestKafkaConnectReadsWhatWeWrite(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 4*time.Minute)
	table := testenv.Name(t)
	createTable(t, table, "f")
	write(t, table, judge.PutAt("a scan", "f", "q", 100, "größe"), judge.DeleteColumn("a scan", "f", "p", 50))
	var pipes []*pipe
	var connectors []string
	for i, source := range []keys{
		{"value.converter": "debezium-json", "value.converter.schemas.enable": "true", "value.converter.json.text": "true"},
		{"value.converter": "debezium-json", "value.converter.schemas.enable": "false"},
		{"value.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter.json.text": "true"},
	} {
		source["topic.creation.default.partitions"] = "1" // one order of all lines
		p := &pipe{name: fmt.Sprintf("%s_%d", table, i), tables: table, source: source}
		p.cleanUp(t)
		pipes, connectors = append(pipes, p), append(connectors, p.sourceConfig())
	}
	w := env.StartWaltap(t, testenv.WaltapOptions{Config: processYAML(connectors...)})
	awaitSources(t, w, pipes)
	write(t, table, judge.PutAt("put", "f", "q", 100, "v 1"), judge.PutAt("bytes", "f", "q", 100, "\x00\xff"))
	write(t, table, judge.Atomic("both", judge.PutAt("both", "f", "q", 100, "v"), judge.DeleteVersion("both", "f", "p", 50)))
	write(t, table, judge.DeleteRow("put"))
	for _, p := range pipes {
		await(t, w, p.name+"_source", "5 changes", func(v status.ConnectorView) bool { return v.Records >= 5 })
	}

	dir := t.TempDir()
	out := func(i int) string { return filepath.Join(dir, fmt.Sprintf("%d.txt", i)) }
	var sinks []map[string]string
	for i, p := range pipes {
		sinks = append(sinks, map[string]string{
			"name": fmt.Sprintf("file-%d", i), "connector.class": "FileStreamSink", "tasks.max": "1", "file": out(i), "topics": p.name + ".default." + table,
			"value.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter.schemas.enable": fmt.Sprint(i != 1),
		})
	}
	c, err := servers.StartConnect(ctx, servers.ConnectOptions{Dir: filepath.Join(env.Dir, table+"_connect"), Bootstrap: env.Kafka.Bootstrap(), Connectors: sinks, JVMFlags: servers.FastStart})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Kill(); err != nil {
			t.Error(err)
		}
	})
	for i, p := range pipes {
		records := p.records(t, table)
		lines := awaitLines(t, out(i), len(records), c)
		for n, line := range lines[:len(records)] {
			if line = byteArray.ReplaceAllString(line, "[B@"); line == "" {
				t.Fatal("an empty line")
			}
			if want := connectText(t, records[n], i != 1); line != want && i != 1 || i == 1 && sortedLetters(line) != sortedLetters(want) {
				t.Errorf("%v: record %d is read as\n%s\nwant\n%s", p.source, n, line, want)
			}
		}
	}
	lines := strings.Join(awaitLines(t, out(0), 5, c), "\n")
	for _, want := range []string{
		"Struct{after=Struct{rowText=a scan,cells=[", "Struct{familyText=f,qualifierText=q,timestamp=100,type=Put,valueText=größe}", "snapshot=true",
		"Struct{after=Struct{rowText=put,cells=[Struct{familyText=f,qualifierText=q,timestamp=100,type=Put,valueText=v 1}]},source=Struct{version=",
		"Struct{after=Struct{rowText=both,cells=[Struct{familyText=f,qualifierText=q,timestamp=100,type=Put,valueText=v}, Struct{familyText=f,qualifierText=p,timestamp=50,type=Delete,valueText=}]},source=",
		"Struct{before=Struct{rowText=put,cells=[Struct{familyText=f,qualifierText=,timestamp=", "type=DeleteFamily,valueText=}]},source=",
		",op=r,ts_ms=", ",op=c,ts_ms=", ",op=u,ts_ms=", ",op=d,ts_ms=", "connector=hbase,name=" + pipes[0].name + ",", "db=default,table=" + table + ",",
	} {
		if !strings.Contains(lines, want) {
			t.Errorf("Kafka Connect has read no %q", want)
		}
	}
}

// byteArray is how Java prints one: not its bytes, which the topic without schemas shows.
var byteArray = regexp.MustCompile(`\[B@[0-9a-f]+`)

// awaitLines reads a file when it has n lines, or more of a replay.
func awaitLines(t *testing.T, file string, n int, c *servers.Connect) []string {
	t.Helper()
	ctx := testenv.Context(t, time.Minute)
	for {
		b, err := os.ReadFile(file)
		lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
		switch {
		case err == nil && len(lines) >= n && bytes.HasSuffix(b, []byte("\n")):
			return lines
		case ctx.Err() != nil:
			t.Fatalf("%s has %d lines, want %d: %v\n%s", file, len(lines), n, err, servers.LogTail(c.LogPath()))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// connectText is a record as Kafka Connect prints it: by its schema, or as maps.
func connectText(t *testing.T, r kafka.Record, withSchema bool) string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(r.Value))
	d.UseNumber()
	if !withSchema {
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		return mapText(v)
	}
	var v struct {
		Schema  connectSchema
		Payload any
	}
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v.Schema.text(t, v.Payload)
}

type connectSchema struct {
	Type, Field string
	Optional    bool
	Fields      []connectSchema
	Items       *connectSchema
}

// text is v, of this schema, as org.apache.kafka.connect.data.Struct prints it: fields in their order, without those that are null.
func (s *connectSchema) text(t *testing.T, v any) string {
	t.Helper()
	switch s.Type {
	case "struct":
		var fields []string
		for _, f := range s.Fields {
			value := v.(map[string]any)[f.Field]
			if value != nil {
				fields = append(fields, f.Field+"="+f.text(t, value))
			} else if !f.Optional {
				t.Errorf("field %s is missing", f.Field)
			}
		}
		return "Struct{" + strings.Join(fields, ",") + "}"
	case "array":
		var items []string
		for _, item := range v.([]any) {
			items = append(items, s.Items.text(t, item))
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	if s.Type == "bytes" {
		return "[B@"
	}
	return fmt.Sprint(v)
}

// mapText is v as java.util.HashMap prints it, but for the order of the entries.
func mapText(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var fields []string
		for k, value := range v {
			fields = append(fields, k+"="+mapText(value))
		}
		return "{" + strings.Join(fields, ", ") + "}"
	case []any:
		var items []string
		for _, item := range v {
			items = append(items, mapText(item))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case nil:
		return "null"
	}
	return fmt.Sprint(v)
}

// sortedLetters are equal for texts that differ by the order of their parts only.
func sortedLetters(s string) string {
	b := []byte(s)
	slices.Sort(b)
	return string(b)
}
