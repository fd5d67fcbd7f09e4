package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/waltap/waltap/internal/kafka"
)

// cluster is a Kafka cluster with a topic of two partitions, 10 and 5 records long, one a second, and one of another group.
func cluster(t *testing.T) (client *kafka.Client, brokers string) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "p.default.t", "other"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	client, err = kafka.Connect(t.Context(), kafka.Config{BootstrapServers: c.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	p := client.NewProducer(kafka.ProducerConfig{})
	defer p.Close()
	for partition, n := range []int{10, 5} {
		var records []kafka.Record
		for i := range n {
			records = append(records, kafka.Record{Value: []byte("v"), Time: time.Unix(1_700_000_000+int64(i), 0)})
		}
		done := make(chan error, 1)
		p.Produce(t.Context(), kafka.TopicPartition{Topic: "p.default.t", Partition: int32(partition)}, records, func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if err := client.CommitOffsets(t.Context(), "connect-copy", map[kafka.TopicPartition]int64{{Topic: "p.default.t"}: 7}); err != nil {
		t.Fatal(err)
	}
	return client, strings.Join(c.ListenAddrs(), ",")
}

func run(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Main(append([]string{"offsets"}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

func committed(t *testing.T, c *kafka.Client) string {
	t.Helper()
	tps := []kafka.TopicPartition{{Topic: "p.default.t"}, {Topic: "p.default.t", Partition: 1}}
	offsets, err := c.CommittedOffsets(t.Context(), "connect-copy", tps)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(offsets[tps[0]], " ", offsets[tps[1]])
}

func TestOffsets(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		want string // committed afterwards
		says []string
	}{
		{"get", []string{"get"}, "7 -1", []string{"p.default.t  0          7          0          10       3", "p.default.t  1          -          0          5        5", "0 running members"}},
		{"earliest", []string{"reset", "--to-earliest"}, "0 0", []string{"p.default.t  0          7       0"}},
		{"dry run", []string{"reset", "--to-earliest", "--dry-run"}, "7 -1", []string{"p.default.t  0          7       0", "nothing was changed"}},
		{"latest", []string{"reset", "--to-latest"}, "10 5", []string{"p.default.t  1          -       5"}},
		{"timestamp", []string{"reset", "--to-timestamp", "2023-11-14T22:13:27Z"}, "7 5", nil},
		{"one offset", []string{"reset", "--to-offset", "p.default.t/1=3"}, "7 3", nil},
		{"set", []string{"set", "p.default.t/0=1", "p.default.t/1=2"}, "1 2", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			client, brokers := cluster(t)
			code, stdout, stderr := run(append([]string{"--bootstrap-server", brokers, "--group", "connect-copy"}, tc.args...)...)
			if code != exitOK {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			if got := committed(t, client); got != tc.want {
				t.Errorf("committed %s, want %s", got, tc.want)
			}
			for _, text := range tc.says {
				if !strings.Contains(stdout, text) {
					t.Errorf("output does not say %q:\n%s", text, stdout)
				}
			}
			if strings.Contains(stdout, "other") {
				t.Errorf("output shows a topic the group has nothing to do with:\n%s", stdout)
			}
		})
	}
}

func TestOffsetsRefuse(t *testing.T) {
	client, brokers := cluster(t)
	for _, tc := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"offset above the log", []string{"set", "p.default.t/1=6"}, exitFailure, "holds offsets 0 to 5, not 6"},
		{"partition that is not there", []string{"set", "p.default.t/2=0"}, exitFailure, "p.default.t/2"},
		{"no offset", []string{"set", "p.default.t=1"}, exitUsage, "want topic/partition=offset"},
		{"two places", []string{"reset", "--to-earliest", "--to-latest"}, exitUsage, "to-latest"},
		{"no place", []string{"reset"}, exitUsage, "to-earliest"},
		{"no time", []string{"reset", "--to-timestamp", "yesterday"}, exitUsage, "RFC 3339"},
		{"no topic", []string{"get", "--topic", "nosuch"}, exitFailure, "nosuch"},
		{"group without offsets", []string{"get", "--group", "nosuch"}, exitFailure, "nosuch"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, _, stderr := run(append([]string{"--bootstrap-server", brokers, "--group", "connect-copy"}, tc.args...)...)
			if code != tc.code || !strings.Contains(stderr, tc.want) {
				t.Errorf("exit code %d, want %d; the error should say %q: %s", code, tc.code, tc.want, stderr)
			}
		})
	}
	t.Run("running group", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		running, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			ended <- client.ConsumeGroup(ctx, kafka.GroupConfig{GroupID: "connect-copy", Topics: []string{"p.default.t"}}, func(ctx context.Context, _ *kafka.Assignment) error {
				close(running)
				<-ctx.Done()
				return ctx.Err()
			})
		}()
		<-running
		code, _, stderr := run("--bootstrap-server", brokers, "--group", "connect-copy", "reset", "--to-earliest")
		if code != exitFailure || !strings.Contains(stderr, "1 running members") || committed(t, client) != "7 -1" {
			t.Errorf("exit code %d, committed %s: %s", code, committed(t, client), stderr)
		}
		cancel()
		<-ended
	})
}

func TestOffsetsOfAConfiguration(t *testing.T) {
	client, brokers := cluster(t)
	file := filepath.Join(t.TempDir(), "pipeline.yaml")
	sink := `  - {name: %s, connector.class: HBaseSink, hbase.zookeeper.quorum: "127.0.0.1:1", topics.regex: 'p\..*'}` + "\n"
	write := func(names ...string) {
		text := "bootstrap.servers: " + brokers + "\nconnectors:\n"
		for _, n := range names {
			text += fmt.Sprintf(sink, n)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("copy")
	if code, _, stderr := run("-f", file, "reset", "--to-latest"); code != exitOK || committed(t, client) != "10 5" {
		t.Errorf("exit code %d, committed %s: %s", code, committed(t, client), stderr)
	}
	write("copy", "second")
	if code, _, stderr := run("-f", file, "reset", "--to-earliest"); code != exitUsage || !strings.Contains(stderr, "copy, second") {
		t.Errorf("exit code %d for a choice of two: %s", code, stderr)
	}
	if code, _, stderr := run("-f", file, "--connector", "copy", "reset", "--to-earliest"); code != exitOK || committed(t, client) != "0 0" {
		t.Errorf("exit code %d, committed %s: %s", code, committed(t, client), stderr)
	}
}
