package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waltap/waltap/internal/deadletter"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

func TestDLQ(t *testing.T) {
	_, client, brokers := fakeCluster(t)
	q, err := deadletter.Open(t.Context(), deadletter.Config{Kafka: client, Topic: "dead", ReplicationFactor: 1, Context: true, Connector: "copy"})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	good := kafka.Record{Key: []byte("r\x00"), Value: encoded("default:t", "r\x00", 1, schema.Put), Topic: "p.default.t", Partition: 1, Offset: 5}
	foreign := kafka.Record{Key: []byte("k"), Value: []byte("{}"), Topic: "p.default.t", Offset: 3}
	err = q.Send(t.Context(), []deadletter.Letter{
		deadletter.New(good, deadletter.StagePut, "", errors.New("KeyValue size too large\n\tat somewhere")),
		deadletter.New(foreign, deadletter.StageValueConverter, "", errors.New(strings.Repeat("long ", 100))),
	})
	if err != nil {
		t.Fatal(err)
	}
	run := func(code int, args ...string) string {
		t.Helper()
		got, stdout, stderr := waltap(append([]string{"dlq", "--bootstrap-server", brokers, "--topic", "dead"}, args...)...)
		if got != code {
			t.Errorf("%v: exit code %d, want %d: %s%s", args, got, code, stdout, stderr)
		}
		return stdout + stderr
	}
	contains := func(got string, want ...string) {
		t.Helper()
		for _, s := range want {
			if !strings.Contains(got, s) {
				t.Errorf("it does not say %q:\n%s", s, got)
			}
		}
	}
	contains(run(exitOK, "list"), "ENTRY  RECORD           KEY", `0/0    p.default.t/1/5  r\x00  copy       TASK_PUT         -           KeyValue size too large …`,
		"0/1    p.default.t/0/3  k      copy       VALUE_CONVERTER  unreadable  long long", "long  …")
	contains(run(exitOK, "list", "--full"), "too large |  at somewhere", strings.Repeat("long ", 100))
	if got := run(exitOK, "list", "--connector", "nobody"); strings.Contains(got, "0/0") {
		t.Errorf("dead letters of another connector are shown:\n%s", got)
	}
	if got := run(exitOK, "list", "--from-topic", "nowhere"); strings.Contains(got, "0/0") {
		t.Errorf("dead letters of another topic are shown:\n%s", got)
	}
	for line := range strings.Lines(run(exitOK, "list", "--json")) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
	contains(run(exitOK, "replay", "--dry-run"), "0/0 to p.default.t/1", "0/1 stays: it cannot be read", "dry run: 1 would be put back, 0 were before, 1 would stay")
	contains(run(exitOK, "replay"), "0/0 to p.default.t/1", "1 put back, 0 were before, 1 stay")
	contains(run(exitOK, "list"), "put back 2")
	contains(run(exitOK, "replay"), "0 put back, 1 were before, 1 stay")
	contains(run(exitFailure, "replay", "0/0"), "0/0 stays: it was put back before", "1 of 1 dead letters stay", "--again")
	contains(run(exitOK, "replay", "0/0", "--again"), "1 put back")
	contains(run(exitOK, "replay", "0/1", "--unreadable"), "0/1 to p.default.t/0")
	contains(run(exitUsage, "replay", "x"), "partition/offset")
	if ends, err := client.EndOffsets(t.Context(), "p.default.t"); err != nil || ends[1] != 7 || ends[0] != 11 {
		t.Errorf("the topic ends at %v, %v", ends, err)
	}

	file := filepath.Join(t.TempDir(), "pipeline.yaml")
	const sink = "  - {name: %s, connector.class: HBaseSink, hbase.zookeeper.quorum: zk, topics: p.default.t%s}\n"
	write := func(connectors string) {
		if err := os.WriteFile(file, []byte("bootstrap.servers: "+brokers+"\nconnectors:\n"+connectors), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		connectors string
		args       []string
		code       int
		want       string
	}{
		{fmt.Sprintf(sink, "copy", ", errors.tolerance: all, errors.deadletterqueue.topic.name: dead"), nil, exitOK, "0/0"},
		{fmt.Sprintf(sink, "copy", ""), nil, exitUsage, "the configuration has 0"},
		{fmt.Sprintf(sink, "a", ", errors.deadletterqueue.topic.name: d1") + fmt.Sprintf(sink, "copy", ", errors.deadletterqueue.topic.name: dead"), nil, exitUsage, "d1, dead"},
		{fmt.Sprintf(sink, "a", ", errors.deadletterqueue.topic.name: d1") + fmt.Sprintf(sink, "copy", ", errors.deadletterqueue.topic.name: dead"), []string{"--connector", "copy"}, exitOK, "0/0"},
		{"  - {name: s, connector.class: HBaseSource, hbase.zookeeper.quorum: zk, topic.prefix: p, table.include.list: t, errors.deadletterqueue.topic.name: nosuch}\n", nil, exitFailure, "nosuch"},
	} {
		write(tc.connectors)
		code, stdout, stderr := waltap(append([]string{"dlq", "-f", file, "list"}, tc.args...)...)
		if code != tc.code || !strings.Contains(stdout+stderr, tc.want) {
			t.Errorf("%s: exit code %d, want %d and %q: %s%s", tc.connectors, code, tc.code, tc.want, stdout, stderr)
		}
	}
}
