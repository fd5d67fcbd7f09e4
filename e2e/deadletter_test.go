//go:build e2e

package e2e

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/kafka"
)

// setTopicConfig changes one setting of a topic, as an operator would.
func setTopicConfig(ctx context.Context, t *testing.T, topic, key, value string) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(env.Kafka.Bootstrap()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	config.Name, config.Value = key, &value
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName, resource.Configs = kmsg.ConfigResourceTypeTopic, topic, append(resource.Configs, config)
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = append(req.Resources, resource)
	res, err := req.RequestWith(ctx, c)
	if err == nil {
		err = kerr.ErrorForCode(res.Resources[0].ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// spoil puts three records on a topic that are no changes: a foreign, a corrupt and a truncated one.
func spoil(ctx context.Context, t *testing.T, client *kafka.Client, topic string) {
	t.Helper()
	var sample kafka.Record
	if err := client.ReadAll(ctx, topic, func(r kafka.Record) error { sample = r; return nil }); err != nil {
		t.Fatal(err)
	}
	corrupt := slices.Clone(sample.Value)
	corrupt[10] ^= 0xff
	for partition, value := range [][]byte{[]byte(`{"not":"ours"}`), corrupt, sample.Value[:len(sample.Value)/2]} {
		tp := kafka.TopicPartition{Topic: topic, Partition: int32(partition)}
		if err := publish(ctx, client, tp, kafka.Record{Key: []byte("spoilt"), Value: value}); err != nil {
			t.Fatal(err)
		}
	}
}

// What cannot be delivered ends where the policy says, and nothing else does: a foreign, a corrupt and a truncated record,
// a change over the topic's limit, a cell over it, a cell that the destination finds too large, and one whose family it does not
// have. The rest is identical at both ends; once the reasons are mended and the dead letters put back, so is all.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 4*time.Minute)
	client := kafkaClient(t)
	table := testenv.Name(t)
	topic := table + ".default." + table
	createTable(t, table, "a", "b", "c", "d")
	keep := func(name string) judge.Family {
		return judge.Family{Name: name, Versions: 1000, Attributes: map[string]string{"KEEP_DELETED_CELLS": "TRUE"}}
	}
	const limit = "hbase.server.keyvalue.maxsize" // of the destination's regions of this table
	err := env.Dst.CreateTable(ctx, judge.Table{Name: table, Families: []judge.Family{keep("a"), keep("b"), keep("c")}, Attributes: map[string]string{limit: "200000"}})
	if err != nil {
		t.Fatal(err)
	}
	load(t, table, 300, "a", "b")
	deadSource, deadSink := "dead-"+table+"-source", "dead-"+table+"-sink"
	p := &pipe{name: table, tables: table, source: keys{"topic.creation.default.max.message.bytes": "1MiB",
		"producer.override.compression.type": "none"}, sink: keys{"hbase.table.create": "false"}}
	p.cleanUp(t)

	// Over the limit: without a policy HBase keeps the edit, and what follows it.
	source := env.StartWaltap(t, testenv.WaltapOptions{Name: "source", Config: processYAML(p.sourceConfig())})
	awaitStreaming(t, source)
	wide := make([]judge.Mutation, 8)
	for i := range wide {
		wide[i] = judge.Put("3-wide", "b", string(rune('0'+i)), strings.Repeat("w", 190_000))
	}
	write(t, table, judge.Atomic("3-wide", wide...), judge.Put("3-wide", "a", "q", "behind it"))
	await(t, source, "_source", "the refusal of the wide row", func(v status.ConnectorView) bool { return v.Retries > 0 })
	if _, err := source.WaitLog(ctx, "max.message.bytes.*errors.oversized.policy"); err != nil {
		t.Fatal(err)
	}
	if code, err := source.Stop(ctx); err != nil || code != 0 {
		t.Fatalf("SIGTERM: exit code %d, %v\n%s", code, err, servers.LogTail(source.LogPath()))
	}
	p.source["errors.oversized.policy"], p.source["errors.tolerance"], p.source["errors.deadletterqueue.topic.name"] = "split", "all", deadSource
	source = env.StartWaltap(t, testenv.WaltapOptions{Name: "source_split", Config: processYAML(p.sourceConfig())})
	write(t, table,
		judge.Put("5-huge", "c", "q", strings.Repeat("h", 1_500_000)), judge.Put("5-huge", "a", "q", "beside it"),
		judge.Put("7-large", "c", "q", strings.Repeat("l", 300_000)), judge.Put("7-large", "a", "q", "behind it"), judge.Put("7-large", "c", "q2", "v"),
		judge.Put("9-strange", "d", "q", "v"), judge.DeleteRow("9-strange"), judge.Put("9-strange", "a", "q", "v"))
	v := await(t, source, "_source", "the huge cell", func(v status.ConnectorView) bool { return v.DeadLettered > 0 && v.Split > 0 })
	spoil(ctx, t, client, topic)

	// Without a dead-letter topic the sink stops, and says how to go on.
	refused(t, processYAML(p.sinkConfig()), topic+"/", " offset ", "errors.tolerance: all", "waltap offsets set --group connect-"+table+"_sink --topic "+topic)
	p.sink["errors.tolerance"], p.sink["errors.deadletterqueue.topic.name"] = "all", deadSink
	sink := env.StartWaltap(t, testenv.WaltapOptions{Name: "sink", Config: processYAML(p.sinkConfig())})
	// The delete of the row 9-strange has a marker of the family that is not there, too.
	const letters = 6
	await(t, sink, "_sink", "all dead letters", func(v status.ConnectorView) bool { return v.DeadLettered >= letters && v.LagRecords == 0 })
	if missing, err := env.Src.Diff(ctx, table, env.Dst, table, judge.ScanOptions{StartRow: []byte("9-strange"), StopRow: []byte("9-strange0")}, 20); err != nil || len(missing) != 5 {
		t.Errorf("of the row whose delete is a dead letter the destination lacks %.500q, %v; want the put and the four markers", missing, err)
	}
	rest := judge.ScanOptions{ExcludeFamilies: []string{"c", "d"}, StopRow: []byte("9-strange")}
	if err := env.Src.AwaitEqual(testenv.Context(t, time.Minute), table, env.Dst, table, rest); err != nil {
		t.Fatal(err)
	}
	missing, err := env.Src.Diff(ctx, table, env.Dst, table, judge.ScanOptions{Families: []string{"c"}, StopRow: []byte("9-strange")}, 20)
	if err != nil || len(missing) != 2 || !strings.Contains(missing[0], "5-huge") || !strings.Contains(missing[1], "7-large") {
		t.Errorf("what the destination lacks is %.300q, %v; want the two large cells", missing, err)
	}

	dlq := func(topic string, args ...string) string {
		t.Helper()
		r := testenv.RunWaltap(ctx, t, append([]string{"dlq", "--bootstrap-server", env.Kafka.Bootstrap(), "--topic", topic}, args...)...)
		if r.ExitCode != 0 {
			t.Errorf("waltap dlq %v: exit code %d\n%s%s", args, r.ExitCode, r.Stdout, r.Stderr)
		}
		return r.Stdout
	}
	list := dlq(deadSink, "list")
	for _, want := range []string{"TASK_PUT", "exceeds limit of", "has no family d", "VALUE_CONVERTER", "unreadable", "7-large", "spoilt"} {
		if !strings.Contains(list, want) {
			t.Errorf("the list does not say %q:\n%s", want, list)
		}
	}
	if n := strings.Count(list, topic+"/"); n != letters {
		t.Errorf("%d dead letters of the sink, want %d:\n%s", n, letters, list)
	}
	if list = dlq(deadSource, "list"); strings.Count(list, "5-huge") == 0 || !strings.Contains(list, "KAFKA_PRODUCE") {
		t.Errorf("dead letters of the source, %d counted:\n%s", v.DeadLettered, list)
	}

	// Mended, and put back: nothing was lost.
	if err := env.Dst.AlterTable(ctx, table, map[string]string{limit: "10485760"}); err != nil {
		t.Fatal(err)
	}
	if err := env.Dst.AddFamily(ctx, table, keep("d")); err != nil {
		t.Fatal(err)
	}
	setTopicConfig(ctx, t, topic, "max.message.bytes", "4194304")
	if said := dlq(deadSink, "replay"); !strings.Contains(said, "3 put back, 0 were before, 3 stay") {
		t.Errorf("replay: %s", said)
	}
	if said := dlq(deadSource, "replay"); !strings.Contains(said, " 0 stay") {
		t.Errorf("replay: %s", said)
	}
	identical(t, table, judge.ScanOptions{})
	if said := dlq(deadSink, "replay"); !strings.Contains(said, "0 put back, 3 were before, 3 stay") {
		t.Errorf("second replay: %s", said)
	}
	v = await(t, sink, "_sink", "the end of the topic", func(v status.ConnectorView) bool { return v.LagRecords == 0 })
	if v.DeadLettered != letters {
		t.Errorf("%d dead letters counted at the end, want %d", v.DeadLettered, letters)
	}
	r := testenv.RunWaltap(ctx, t, "tail", topic, "--bootstrap-server", env.Kafka.Bootstrap(), "--until-end", "--row-prefix", "7-large", "--op", "put", "--value-bytes", "20")
	if r.ExitCode != 0 || strings.Count(r.Stdout, "7-large") != 4 || !strings.Contains(r.Stdout, "llllllllllllllllllll … (300000 bytes)") || !strings.Contains(r.Stderr, "3 records could not be read") {
		t.Errorf("waltap tail: exit code %d\n%s%s", r.ExitCode, r.Stdout, r.Stderr)
	}
}
