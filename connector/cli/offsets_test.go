package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/sink"
)

// cluster is a Kafka cluster with a topic of two partitions, 10 and 5 records long, one a second, and one of another group.
func cluster(t *testing.T) (client *kafka.Client, brokers string) {
	t.Helper()
	_, client, brokers = fakeCluster(t)
	return client, brokers
}

func fakeCluster(t *testing.T) (c *kfake.Cluster, client *kafka.Client, brokers string) {
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
	return c, client, strings.Join(c.ListenAddrs(), ",")
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
		{"latest of one topic", []string{"reset", "--to-latest", "--topic", "p.default.t"}, "10 5", []string{"p.default.t  0          7       10"}},
		{"timestamp", []string{"reset", "--to-timestamp", "2023-11-14T22:13:27Z"}, "7 5", nil},
		{"timestamp in another zone, between two records", []string{"reset", "--to-timestamp", "2023-11-14T23:13:22.5+01:00"}, "3 3", nil},
		{"timestamp before all", []string{"reset", "--to-timestamp", "1970-01-01T00:00:00Z"}, "0 0", nil},
		{"timestamp after all", []string{"reset", "--to-timestamp", "2033-11-14T22:13:27Z"}, "10 5", []string{"p.default.t  1          -       5"}},
		{"one offset", []string{"reset", "--to-offset", "p.default.t/1=3"}, "7 3", []string{"p.default.t  1          -       3"}},
		{"offsets at the ends", []string{"reset", "--to-offset", "p.default.t/0=10", "--to-offset", "p.default.t/1=0"}, "10 0", nil},
		{"offset, dry run", []string{"reset", "--to-offset", "p.default.t/1=3", "--dry-run"}, "7 -1", []string{"p.default.t  1          -       3", "nothing was changed"}},
		{"set", []string{"set", "p.default.t/0=1", "p.default.t/1=2"}, "1 2", []string{
			"TOPIC        PARTITION  BEFORE  AFTER  LOG START  LOG END\np.default.t  0          7       1      0          10\np.default.t  1          -       2      0          5\n"}},
		{"set, dry run", []string{"set", "p.default.t/0=1", "--dry-run"}, "7 -1", []string{"p.default.t  0          7       1", "nothing was changed"}},
		{"set what is", []string{"set", "p.default.t/0=7"}, "7 -1", []string{"p.default.t  0          7       7"}},
		{"get of one topic", []string{"get", "--topic", "p.default.t"}, "7 -1", []string{
			"group connect-copy, 0 running members\nTOPIC        PARTITION  COMMITTED  LOG START  LOG END  LAG\n"}},
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
			if dry := slices.Contains(tc.args, "--dry-run"); dry != strings.Contains(stdout, "dry run: nothing was changed") {
				t.Errorf("output of a dry run, %v:\n%s", dry, stdout)
			}
			if strings.Contains(stdout, "other") {
				t.Errorf("output shows a topic the group has nothing to do with:\n%s", stdout)
			}
		})
	}
}

func TestOffsetsRefuse(t *testing.T) {
	fake, client, brokers := fakeCluster(t)
	if err := fake.DeleteRecords("p.default.t", 0, 2); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"offset above the log", []string{"set", "p.default.t/1=6"}, exitFailure, "holds offsets 0 to 5, not 6"},
		{"offset below the log", []string{"set", "p.default.t/0=1"}, exitFailure, "p.default.t/0 holds offsets 2 to 10, not 1"},
		{"offset below the log, reset", []string{"reset", "--to-offset", "p.default.t/0=1"}, exitFailure, "holds offsets 2 to 10, not 1"},
		{"a good and a bad offset", []string{"set", "p.default.t/0=5", "p.default.t/1=6"}, exitFailure, "p.default.t/1 holds"},
		{"another group's topic", []string{"set", "other/0=0"}, exitFailure, "other/0 is none of the group's partitions; say with --topic"},
		{"topic that is not there", []string{"set", "nosuch/0=0"}, exitFailure, "nosuch/0"},
		{"topic that is not there, reset", []string{"reset", "--to-earliest", "--topic", "nosuch"}, exitFailure, "there is no topic nosuch"},
		{"negative offset", []string{"set", "p.default.t/0=-1"}, exitUsage, "want topic/partition=offset"},
		{"no offsets", []string{"set"}, exitUsage, "offsets"},
		{"time before 1970", []string{"reset", "--to-timestamp", "1969-12-31T23:59:59Z"}, exitUsage, "use --to-earliest"},
		{"two places, offset", []string{"reset", "--to-offset", "p.default.t/1=3", "--to-timestamp", "2023-11-14T22:13:27Z"}, exitUsage, "to-offset"},
		{"file and group", []string{"get", "-f", "x.yaml"}, exitUsage, "-f takes the place of"},
		{"forget nothing", []string{"forget"}, exitUsage, "--topic"},
		{"forget what is there", []string{"forget", "--topic", "other"}, exitFailure, "waltap offsets reset"},
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
		for _, args := range [][]string{{"reset", "--to-earliest"}, {"reset", "--to-latest", "--dry-run"}, {"set", "p.default.t/0=3"}, {"forget", "--topic", "gone"}} {
			code, stdout, stderr := run(append([]string{"--bootstrap-server", brokers, "--group", "connect-copy"}, args...)...)
			if code != exitFailure || !strings.Contains(stderr, "group connect-copy has 1 running members (waltap on ") || !strings.Contains(stderr, "stop them first") ||
				stdout != "" || committed(t, client) != "7 -1" {
				t.Errorf("%v: exit code %d, committed %s: %s%s", args, code, committed(t, client), stdout, stderr)
			}
		}
		if code, stdout, stderr := run("--bootstrap-server", brokers, "--group", "connect-copy", "get"); code != exitOK || !strings.Contains(stdout, "1 running members") {
			t.Errorf("get: exit code %d: %s%s", code, stdout, stderr)
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

func TestOffsetsWithoutAGroup(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const connector = "  - {name: c, connector.class: %s, hbase.zookeeper.quorum: zk, %s}\n"
	source := write("source.yaml", "bootstrap.servers: 127.0.0.1:1\nconnectors:\n"+fmt.Sprintf(connector, "HBaseSource", "topic.prefix: p, table.include.list: t"))
	one := write("sink.yaml", "bootstrap.servers: 127.0.0.1:1\nconnectors:\n"+fmt.Sprintf(connector, "HBaseSink", "topics: t"))
	for _, tc := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"nothing", []string{"get"}, exitUsage, "give --bootstrap-server and --group, or -f"},
		{"no brokers", []string{"--group", "g", "get"}, exitUsage, "--bootstrap-server"},
		{"no group", []string{"--bootstrap-server", "127.0.0.1:1", "get"}, exitUsage, "--group"},
		{"no such file", []string{"-f", filepath.Join(dir, "none.yaml"), "get"}, exitUsage, "none.yaml"},
		{"no sink", []string{"-f", source, "get"}, exitUsage, "source.yaml has no connector of class HBaseSink"},
		{"no such sink", []string{"-f", one, "--connector", "d", "get"}, exitUsage, "it has: c"},
		{"brokers that do not answer", []string{"--bootstrap-server", "127.0.0.1:1", "--group", "g", "get"}, exitFailure, "127.0.0.1:1"},
		{"brokers of a file that do not answer", []string{"-f", one, "get"}, exitFailure, "127.0.0.1:1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if code, _, stderr := run(tc.args...); code != tc.code || !strings.Contains(stderr, tc.want) {
				t.Errorf("exit code %d, want %d; the error should say %q: %s", code, tc.code, tc.want, stderr)
			}
		})
	}
}

// What a group has seen of its topics is forgotten by a reset of all their partitions, and by nothing less.
func TestOffsetsAcceptATopicAsItIs(t *testing.T) {
	for _, tc := range []struct {
		args    []string
		forgets bool
	}{
		{[]string{"reset", "--to-earliest"}, true},
		{[]string{"reset", "--to-timestamp", "2023-11-14T22:13:27Z"}, true},
		{[]string{"reset", "--to-latest", "--dry-run"}, false},
		{[]string{"reset", "--to-offset", "p.default.t/0=1"}, false},
		{[]string{"set", "p.default.t/0=1"}, false},
		{[]string{"forget", "--topic", "p.default.t"}, true},
	} {
		t.Run(strings.Join(tc.args, " "), func(t *testing.T) {
			fake, client, brokers := fakeCluster(t)
			store, err := checkpoint.Open(t.Context(), client, sink.SeenTopic)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			key := map[string]string{"topic": "p.default.t"}
			if err := store.Put(t.Context(), "connect-copy", key, map[string]any{"topicId": "x", "partitions": 9}); err != nil {
				t.Fatal(err)
			}
			if tc.args[0] == "forget" {
				if err := fake.DeleteTopic("p.default.t"); err != nil {
					t.Fatal(err)
				}
			}
			if code, _, stderr := run(append([]string{"--bootstrap-server", brokers, "--group", "connect-copy"}, tc.args...)...); code != exitOK {
				t.Fatal(stderr)
			}
			if err := store.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			if there, err := store.Get("connect-copy", key, &struct{}{}); err != nil || there == tc.forgets {
				t.Errorf("remembered: %v, %v", there, err)
			}
		})
	}
}
