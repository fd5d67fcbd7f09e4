//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

// consumed is a topic of one partition that a sink is to apply.
type consumed struct {
	*pipe
	t      *testing.T
	ctx    context.Context
	client *kafka.Client
	topic  string
	remedy []string // arguments of the command that the errors name
}

func startConsumed(t *testing.T) *consumed {
	t.Helper()
	table := testenv.Name(t)
	c := &consumed{pipe: &pipe{name: table}, t: t, ctx: testenv.Context(t, 2*time.Minute), client: kafkaClient(t), topic: table + ".default." + table}
	c.remedy = []string{"offsets", "reset", "--group", "connect-" + table + "_sink", "--topic", c.topic, "--to-earliest"}
	c.create()
	err := publishJSON(c.ctx, c.client, schema.TablesTopic(table), "default:"+table, schema.Table{Name: "default:" + table, Epoch: 1, Families: []schema.Family{{Name: "a"}}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *consumed) create() {
	c.t.Helper()
	if err := c.client.EnsureTopics(c.ctx, kafka.TopicSpec{Name: c.topic, Partitions: 1, ReplicationFactor: 1}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *consumed) put(rows ...string) {
	c.t.Helper()
	for _, row := range rows {
		change := schema.Change{Table: "default:" + c.name, Row: []byte(row), Timestamp: time.Now().UnixMilli(), Source: schema.Source{Kind: schema.KindWAL, Epoch: 1, ClusterID: schema.UUID{7}},
			Cells: []schema.Cell{{Family: []byte("a"), Qualifier: []byte("q"), Timestamp: 5, Type: schema.Put, Value: []byte("v")}}}
		if err := publish(c.ctx, c.client, kafka.TopicPartition{Topic: c.topic}, kafka.Record{Key: change.Row, Value: schema.AppendAvro(nil, &change)}); err != nil {
			c.t.Fatal(err)
		}
	}
}

// applies runs a sink that must apply so many records, and stops it.
func (c *consumed) applies(records int64) {
	c.t.Helper()
	w := env.StartWaltap(c.t, testenv.WaltapOptions{Config: processYAML(c.sinkConfig())})
	await(c.t, w, "_sink", "the records", func(v status.ConnectorView) bool { return v.Records == records && v.LagRecords == 0 })
	if code, err := w.Stop(c.ctx); err != nil || code != 0 {
		c.t.Fatalf("SIGTERM: exit code %d, %v", code, err)
	}
}

// refused runs a sink that must end with an error that says all of want, and the command that is its remedy.
func (c *consumed) refused(want ...string) {
	c.t.Helper()
	refused(c.t, processYAML(c.sinkConfig()), append(want, "waltap "+strings.Join(c.remedy, " "))...)
}

func (c *consumed) followRemedy() {
	c.t.Helper()
	if r := testenv.RunWaltap(c.ctx, c.t, append(c.remedy, "--bootstrap-server", env.Kafka.Bootstrap())...); r.ExitCode != 0 {
		c.t.Fatalf("the remedy failed: %s%s", r.Stdout, r.Stderr)
	}
}

// holds compares the destination: all rows that are in the topic are there.
func (c *consumed) holds(rows int64) {
	c.t.Helper()
	if got, err := env.Dst.CountRows(c.ctx, c.name); err != nil || got != rows {
		c.t.Errorf("%d rows at the destination, %v; want %d", got, err, rows)
	}
}

func TestOffsetsLieBelowTheLogStart(t *testing.T) {
	t.Parallel()
	c := startConsumed(t)
	c.put("1", "2")
	c.applies(2)
	c.put("3", "4", "5")
	file := filepath.Join(t.TempDir(), "offsets.json")
	text := fmt.Sprintf(`{"version":1,"partitions":[{"topic":%q,"partition":0,"offset":4}]}`, c.topic)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	kafkaTool(c.ctx, t, "DeleteRecordsCommand", "--offset-json-file", file)
	c.refused(c.topic+"/0 begins at offset 4", "committed 2", "offsets 2 to 3")
	c.followRemedy()
	c.applies(1)
	c.holds(3) // 5 but for the two that were deleted
}

// The committed offset is within the new log.
func TestTopicIsCreatedAgain(t *testing.T) {
	t.Parallel()
	c := startConsumed(t)
	c.put("1", "2")
	c.applies(2)
	kafkaTool(c.ctx, t, "TopicCommand", "--delete", "--topic", c.topic)
	c.create()
	c.put("3", "4", "5", "6")
	c.refused("deleted and created again")
	c.followRemedy()
	c.applies(4)
	c.holds(6)
}

func TestPartitionsAreAdded(t *testing.T) {
	t.Parallel()
	c := startConsumed(t)
	c.put("1", "2")
	c.applies(2)
	kafkaTool(c.ctx, t, "TopicCommand", "--alter", "--topic", c.topic, "--partitions", "2")
	c.put("3")
	c.refused("has 2 partitions", "has seen 1")
	c.followRemedy()
	c.applies(3)
	c.holds(3)
}
