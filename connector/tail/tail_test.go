package tail

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const topic = "p.default.t"

func put(row string, ts int64, cells ...schema.Cell) *schema.Change {
	return &schema.Change{Table: "default:t", Row: []byte(row), Cells: cells, Sequence: 42, Timestamp: ts,
		Source: schema.Source{Version: "v", Connector: "c", Region: "r1", Kind: schema.KindWAL, Epoch: 1, Origins: []schema.UUID{{9}}}}
}

func cell(qualifier, value string) schema.Cell {
	return schema.Cell{Family: []byte("f"), Qualifier: []byte(qualifier), Timestamp: 7, Type: schema.Put, Value: []byte(value)}
}

func TestText(t *testing.T) {
	var b strings.Builder
	text := Text{W: &b, ValueBytes: 8}
	tagged := cell("tag", "v")
	tagged.Tags = []byte{0, 2, 8, 'x'}
	family := schema.Cell{Family: []byte("f"), Timestamp: 7, Type: schema.DeleteFamily}
	for i, c := range []*schema.Change{
		put("r\x00é\\", 1_700_000_000_123, cell("q", "plain"), cell("other", "0123456789")),
		put(strings.Repeat("long", 12), 1_700_000_000_124, tagged),
		put("r", 1_700_000_000_125, family),
		{Table: "ns:empty", Row: []byte("r"), Timestamp: 1, Source: schema.Source{Kind: schema.KindScan}},
	} {
		if err := text.Change(&kafka.Record{Partition: 1, Offset: int64(i * 50)}, c); err != nil {
			t.Fatal(err)
		}
	}
	if err := text.Unreadable(&kafka.Record{Key: []byte("k\n"), Value: []byte("xyz"), Offset: 151}, errors.New("no marker")); err != nil {
		t.Fatal(err)
	}
	if err := text.Unreadable(&kafka.Record{Key: []byte("k"), Offset: 152}, errors.New("no marker")); err != nil {
		t.Fatal(err)
	}
	want := `
OFFSET    WRITTEN                   FROM  SEQUENCE  OP      TABLE             ROW                   COLUMN      TIMESTAMP      TYPE          VALUE
1/0       2023-11-14T22:13:20.123Z  wal   42        put     default:t         r\x00\xC3\xA9\x5C     f:q         7              Put           plain
1/0       2023-11-14T22:13:20.123Z  wal   42        put     default:t         r\x00\xC3\xA9\x5C     f:other     7              Put           01234567 … (10 bytes)
1/50      2023-11-14T22:13:20.124Z  wal   42        put     default:t         longlonglonglonglonglonglonglonglonglonglonglong  f:tag       7              Put           v  tags=\x00\x02\x08x
1/100     2023-11-14T22:13:20.125Z  wal   42        delete  default:t         r                                         f:          7              DeleteFamily
1/150     1970-01-01T00:00:00.001Z  scan  0         update  ns:empty          r
0/151     -                         -     -         -       -                 k\x0A                                                                              unreadable, 3 bytes: no marker
0/152     -                         -     -         -       -                 k                                                                                  tombstone
`
	if d := cmp.Diff(strings.TrimLeft(want, "\n"), b.String()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestJSON(t *testing.T) {
	var b strings.Builder
	j := JSON{W: &b}
	c := put("r\xff", 5, cell("q", "<v>"))
	if err := j.Change(&kafka.Record{Topic: topic, Partition: 1, Offset: 3, Key: []byte("r\xff"), Time: time.UnixMilli(9)}, c); err != nil {
		t.Fatal(err)
	}
	if err := j.Unreadable(&kafka.Record{Topic: topic, Value: []byte("x")}, errors.New("no marker")); err != nil {
		t.Fatal(err)
	}
	want := `{"topic":"p.default.t","partition":1,"offset":3,"time":9,"key":"cv8=","op":"put","table":"default:t","row":"cv8=","cells":[{"family":"Zg==","qualifier":"cQ==","timestamp":7,"type":"Put","value":"PHY+"}],"sequence":42,"ts":5,"source":{"version":"v","connector":"c","cluster_id":"00000000-0000-0000-0000-000000000000","region":"r1","kind":"wal","origins":["09000000-0000-0000-0000-000000000000"],"epoch":1}}
{"topic":"p.default.t","partition":0,"offset":0,"key":null,"error":"no marker","value":"eA=="}
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestDescribe(t *testing.T) {
	var b strings.Builder
	if err := Describe(&b, put("r", 1_700_000_000_123, cell("q", strings.Repeat("v", 300)))); err != nil {
		t.Fatal(err)
	}
	want := `table     default:t
row       r
op        put
sequence  42
written   2023-11-14T22:13:20.123Z
source    wal of cluster 00000000-0000-0000-0000-000000000000, region r1, epoch 1, by c v
origin    09000000-0000-0000-0000-000000000000
cell      f:q @7 Put ` + strings.Repeat("v", 300) + "\n"
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	b.Reset()
	if err := DescribeJSON(&b, put("r", 5)); err != nil || !json.Valid([]byte(b.String())) || strings.Contains(b.String(), "offset") {
		t.Errorf("%v: %s", err, b.String())
	}
}

func TestFilter(t *testing.T) {
	at := time.UnixMilli(1000)
	c := put("user1-x", 1000, cell("q", "v"))
	for _, tc := range []struct {
		name  string
		f     Filter
		match bool
	}{
		{"empty", Filter{}, true},
		{"table", Filter{Tables: []string{"a:b", "default:t"}}, true},
		{"other table", Filter{Tables: []string{"default:u"}}, false},
		{"row", Filter{RowPrefix: []byte("user1")}, true},
		{"other row", Filter{RowPrefix: []byte("user2")}, false},
		{"op", Filter{Ops: []string{"delete", "put"}}, true},
		{"other op", Filter{Ops: []string{"update"}}, false},
		{"since", Filter{Since: at}, true},
		{"since later", Filter{Since: at.Add(time.Millisecond)}, false},
		{"until", Filter{Until: at.Add(time.Millisecond)}, true},
		{"until then", Filter{Until: at}, false},
		{"all", Filter{Tables: []string{"default:t"}, RowPrefix: []byte("u"), Ops: []string{"put"}, Since: at, Until: at.Add(1e9)}, true},
	} {
		if got := tc.f.Match(c); got != tc.match || tc.f.Empty() != (tc.name == "empty") {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

// rig is a topic of two partitions.
type rig struct {
	*testing.T
	ctx     context.Context
	cluster *kfake.Cluster
	client  *kafka.Client
}

func newRig(t *testing.T) *rig {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	client, err := kafka.Connect(ctx, kafka.Config{BootstrapServers: cluster.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return &rig{T: t, ctx: ctx, cluster: cluster, client: client}
}

func (r *rig) write(partition int32, values ...[]byte) {
	r.Helper()
	p := r.client.NewProducer(kafka.ProducerConfig{})
	defer p.Close()
	var records []kafka.Record
	for _, v := range values {
		records = append(records, kafka.Record{Value: v})
	}
	done := make(chan error, 1)
	p.Produce(r.ctx, kafka.TopicPartition{Topic: topic, Partition: partition}, records, func(err error) { done <- err })
	if err := <-done; err != nil {
		r.Fatal(err)
	}
}

func row(name string) []byte { return schema.AppendAvro(nil, put(name, 1000, cell("q", "v"))) }

// seen collects what a Run prints; it flushes to itself.
type seen struct {
	mu      sync.Mutex
	rows    []string
	flushed int
	fail    error
}

func (s *seen) Change(r *kafka.Record, c *schema.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows = append(s.rows, fmt.Sprintf("%d/%d %s", r.Partition, r.Offset, c.Row))
	return s.fail
}

func (s *seen) Unreadable(r *kafka.Record, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows = append(s.rows, fmt.Sprintf("%d/%d unreadable", r.Partition, r.Offset))
	return s.fail
}

func (s *seen) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushed = len(s.rows)
	return nil
}

func (s *seen) await(r *rig, n int) {
	r.Helper()
	for {
		s.mu.Lock()
		have := s.flushed
		s.mu.Unlock()
		if have >= n {
			return
		}
		select {
		case <-r.ctx.Done():
			r.Fatalf("%d records were flushed, want %d", have, n)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func (r *rig) config(s *seen, start map[int32]int64) Config {
	return Config{Kafka: r.client, Topic: topic, Start: start, Printer: s, Flush: s.flush, Notes: new(bytes.Buffer)}
}

func TestUntilTheEnd(t *testing.T) {
	r := newRig(t)
	r.write(0, row("a"), row("b"), row("c"))
	r.write(1, row("d"), []byte("foreign"), row("e"))
	for _, tc := range []struct {
		name   string
		change func(*Config)
		want   []string
		sum    Summary
	}{
		{"all", func(*Config) {}, []string{"0/0 a", "0/1 b", "0/2 c", "1/0 d", "1/1 unreadable", "1/2 e"}, Summary{6, 0, 1}},
		{"from offsets", func(c *Config) { c.Start = map[int32]int64{0: 2, 1: 3} }, []string{"0/2 c"}, Summary{1, 0, 0}},
		{"one partition", func(c *Config) { c.Start = map[int32]int64{1: 2} }, []string{"1/2 e"}, Summary{1, 0, 0}},
		{"filtered", func(c *Config) { c.Filter.RowPrefix = []byte("b") }, []string{"0/1 b"}, Summary{1, 4, 1}},
		{"limited", func(c *Config) { c.Limit = 2 }, []string{"0/0 a", "0/1 b"}, Summary{2, 0, 0}},
		{"nothing there", func(c *Config) { c.Start = map[int32]int64{0: 3, 1: 3} }, nil, Summary{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &seen{}
			cfg := r.config(s, map[int32]int64{0: 0, 1: 0})
			cfg.UntilEnd = true
			tc.change(&cfg)
			sum, err := Run(r.ctx, cfg)
			if err != nil || cmp.Diff(tc.want, s.rows) != "" || sum != tc.sum || s.flushed != len(s.rows) {
				t.Errorf("%v, %+v, %v, %d flushed; want %v", s.rows, sum, err, s.flushed, tc.want)
			}
		})
	}
}

// New records come as they are written; the end of the context is a clean end.
func TestFollow(t *testing.T) {
	r := newRig(t)
	r.write(0, row("a"))
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	s := &seen{}
	done := make(chan error, 1)
	go func() {
		_, err := Run(ctx, r.config(s, map[int32]int64{0: 1, 1: 0}))
		done <- err
	}()
	r.write(1, row("b"))
	s.await(r, 1)
	r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.LeaderNotAvailable, Count: 3})
	r.write(0, row("c"))
	s.await(r, 2)
	cancel()
	if err := <-done; err != nil || cmp.Diff([]string{"1/0 b", "0/1 c"}, s.rows) != "" {
		t.Errorf("%v, %v", s.rows, err)
	}
}

func TestFollowEnds(t *testing.T) {
	r := newRig(t)
	r.write(0, row("a"), row("b"), row("c"))
	s := &seen{}
	cfg := r.config(s, map[int32]int64{0: 0, 1: 0})
	cfg.Limit = 2
	if sum, err := Run(r.ctx, cfg); err != nil || sum.Shown != 2 || len(s.rows) != 2 {
		t.Errorf("limit: %+v, %v, %v", sum, err, s.rows)
	}
	s.fail = errors.New("disk full")
	if _, err := Run(r.ctx, r.config(s, map[int32]int64{0: 0, 1: 0})); !errors.Is(err, s.fail) {
		t.Errorf("an output that fails: %v", err)
	}
	r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	if _, err := Run(r.ctx, r.config(&seen{}, map[int32]int64{0: 0})); err == nil {
		t.Error("no right to read: no error")
	}
}

func TestFollowOverDeletedRecords(t *testing.T) {
	r := newRig(t)
	r.write(0, row("a"), row("b"), row("c"))
	if err := r.cluster.DeleteRecords(topic, 0, 2); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.ctx)
	s, notes := &seen{}, new(bytes.Buffer)
	cfg := r.config(s, map[int32]int64{0: 0})
	cfg.Notes = notes
	done := make(chan error, 1)
	go func() { _, err := Run(ctx, cfg); done <- err }()
	s.await(r, 1)
	cancel()
	if err := <-done; err != nil || s.rows[0] != "0/2 c" || !strings.Contains(notes.String(), "offsets 0 to 1 were deleted") {
		t.Errorf("%v, %v, notes %s", s.rows, err, notes)
	}
}
