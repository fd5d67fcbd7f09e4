package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

func waltap(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Main(args, &out, &errs)
	return code, out.String(), errs.String()
}

func encoded(table, row string, ts int64, typ schema.CellType) []byte {
	return schema.AppendAvro(nil, &schema.Change{Table: table, Row: []byte(row), Timestamp: ts, Source: schema.Source{Kind: schema.KindWAL, Epoch: 1},
		Cells: []schema.Cell{{Family: []byte("f"), Qualifier: []byte("q"), Timestamp: 7, Type: typ, Value: []byte("a value\x00")}}})
}

func produce(t *testing.T, client *kafka.Client, tp kafka.TopicPartition, records ...kafka.Record) {
	t.Helper()
	p := client.NewProducer(kafka.ProducerConfig{})
	defer p.Close()
	done := make(chan error, 1)
	p.Produce(t.Context(), tp, records, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestTail(t *testing.T) {
	_, client, brokers := fakeCluster(t)
	at := func(s string) int64 {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v.UnixMilli()
	}
	produce(t, client, kafka.TopicPartition{Topic: "other"},
		kafka.Record{Time: time.Unix(1000, 0), Value: encoded("default:t", "user1", at("2026-11-20T10:00:00Z"), schema.Put)},
		kafka.Record{Time: time.Unix(2000, 0), Value: encoded("default:t", "user2\xff", at("2026-11-20T11:00:00Z"), schema.DeleteFamily)},
		kafka.Record{Time: time.Unix(3000, 0), Value: []byte("foreign")},
		kafka.Record{Time: time.Unix(4000, 0), Value: encoded("shop:u", "user3", at("2026-11-20T12:00:00Z"), schema.Delete)})
	produce(t, client, kafka.TopicPartition{Topic: "other", Partition: 1}, kafka.Record{Time: time.Unix(3500, 0), Value: encoded("default:t", "user4", 1, schema.Put)})
	for _, tc := range []struct {
		name string
		args []string
		rows []string // offsets shown
	}{
		{"all", nil, []string{"0/0", "0/1", "0/2", "0/3", "1/0"}},
		{"earliest", []string{"--from", "earliest"}, []string{"0/0", "0/1", "0/2", "0/3", "1/0"}},
		{"latest", []string{"--from", "latest"}, nil},
		{"timestamp", []string{"--from", "timestamp:1970-01-01T00:50:01Z"}, []string{"0/3", "1/0"}},
		{"offsets", []string{"--from", "offsets:other/0=3"}, []string{"0/3"}},
		{"limit", []string{"--limit", "2"}, []string{"0/0", "0/1"}},
		{"table", []string{"--table", "t"}, []string{"0/0", "0/1", "1/0"}},
		{"two tables", []string{"--table", "t", "--table", "shop:u"}, []string{"0/0", "0/1", "0/3", "1/0"}},
		{"row", []string{"--row-prefix", `user2\xFF`}, []string{"0/1"}},
		{"op", []string{"--op", "delete,update"}, []string{"0/1", "0/3"}},
		{"time", []string{"--since", "2026-11-20T11:00:00Z", "--until", "2026-11-20T12:00:00Z"}, []string{"0/1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, stdout, stderr := waltap(append([]string{"tail", "other", "--bootstrap-server", brokers, "--until-end"}, tc.args...)...)
			var rows []string
			for line := range strings.Lines(stdout) {
				if first := strings.Fields(line)[0]; first != "OFFSET" {
					rows = append(rows, first)
				}
			}
			if code != exitOK || !slices.Equal(rows, tc.rows) {
				t.Errorf("exit code %d, %v; want %v\n%s%s", code, rows, tc.rows, stdout, stderr)
			}
			filtered := len(tc.args) > 0 && !slices.Contains([]string{"--from", "--limit"}, tc.args[0])
			if filtered != strings.Contains(stderr, "1 records could not be read") {
				t.Errorf("stderr: %s", stderr)
			}
			code, stdout, _ = waltap(append([]string{"tail", "other", "--bootstrap-server", brokers, "--until-end", "--json"}, tc.args...)...)
			n := 0
			for line := range strings.Lines(stdout) {
				if n++; !json.Valid([]byte(line)) {
					t.Errorf("no JSON: %s", line)
				}
			}
			if code != exitOK || n != len(tc.rows) {
				t.Errorf("JSON: exit code %d, %d lines", code, n)
			}
		})
	}
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"other"}, exitUsage, "--bootstrap-server"},
		{[]string{"other", "-f", "x", "--bootstrap-server", brokers}, exitUsage, "either"},
		{[]string{"nosuch", "--bootstrap-server", brokers, "--until-end"}, exitFailure, "nosuch"},
		{[]string{"other", "--bootstrap-server", brokers, "--from", "committed"}, exitUsage, "--from: there is no group"},
		{[]string{"other", "--bootstrap-server", brokers, "--from", "offsets:p/0=1"}, exitUsage, "--from: topic p is not other"},
		{[]string{"other", "--bootstrap-server", brokers, "--from", "offsets:other/0=9"}, exitFailure, "holds offsets 0 to 4, not 9"},
		{[]string{"other", "--bootstrap-server", brokers, "--from", "offsets:other/5=0"}, exitFailure, "no partition 5"},
		{[]string{"other", "--bootstrap-server", brokers, "--from", "yesterday"}, exitUsage, "--from:"},
		{[]string{"other", "--bootstrap-server", brokers, "--op", "insert"}, exitUsage, "--op"},
		{[]string{"other", "--bootstrap-server", brokers, "--since", "now"}, exitUsage, "--since"},
		{[]string{"other", "--bootstrap-server", brokers, "--table", "a:b:c"}, exitUsage, "--table"},
		{[]string{"other", "--bootstrap-server", brokers, "--row-prefix", `\xZZ`}, exitUsage, "--row-prefix"},
	} {
		if code, _, stderr := waltap(append([]string{"tail"}, tc.args...)...); code != tc.code || !strings.Contains(stderr, tc.want) {
			t.Errorf("%v: exit code %d, want %d; the error should say %q: %s", tc.args, code, tc.code, tc.want, stderr)
		}
	}
}

// Ctrl-C is the clean end of a tail that follows.
func TestTailStopsAtCtrlC(t *testing.T) {
	cluster, client, brokers := fakeCluster(t)
	done := make(chan string, 1)
	fetches := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "other", Observe: true})
	go func() {
		code, stdout, stderr := waltap("tail", "other", "--bootstrap-server", brokers)
		if code != exitOK || stderr != "" {
			t.Errorf("exit code %d: %s", code, stderr)
		}
		done <- stdout
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := fetches.Wait(ctx, 1); err != nil { // else the signal ends the tests
		t.Fatal(err)
	}
	for len(done) == 0 {
		// It begins at the end, wherever that is when it has come up.
		produce(t, client, kafka.TopicPartition{Topic: "other"}, kafka.Record{Value: encoded("default:t", "r", 1, schema.Put)})
		time.Sleep(100 * time.Millisecond)
		if offsets, err := client.EndOffsets(ctx, "other"); err != nil || offsets[0] < 15 {
			continue
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		break
	}
	select {
	case stdout := <-done:
		if !strings.Contains(stdout, "default:t") {
			t.Errorf("nothing was shown: %q", stdout)
		}
	case <-ctx.Done():
		t.Fatal("it did not end")
	}
}

func TestDecode(t *testing.T) {
	file := filepath.Join(t.TempDir(), "value")
	if err := os.WriteFile(file, encoded("default:t", "r", 1_700_000_000_123, schema.Put), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := waltap("decode", file)
	if code != exitOK || !strings.Contains(stdout, "table     default:t\n") || !strings.Contains(stdout, `cell      f:q @7 Put a value\x00`) {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	if code, stdout, _ = waltap("decode", "--json", file); code != exitOK || !json.Valid([]byte(stdout)) {
		t.Errorf("exit code %d: %s", code, stdout)
	}
	stdin := os.Stdin
	defer func() { os.Stdin = stdin }()
	var err error
	if os.Stdin, err = os.Open(file); err != nil {
		t.Fatal(err)
	}
	defer os.Stdin.Close()
	if code, stdout, _ = waltap("decode", "-"); code != exitOK || !strings.Contains(stdout, "row       r\n") {
		t.Errorf("standard input: exit code %d: %s", code, stdout)
	}
	if err := os.WriteFile(file, []byte("foreign"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{file, file + ".none"} {
		if code, _, stderr := waltap("decode", f); code != exitFailure || stderr == "" {
			t.Errorf("%s: exit code %d: %s", f, code, stderr)
		}
	}
}
