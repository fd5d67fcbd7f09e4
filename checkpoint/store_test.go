package checkpoint

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"github.com/waltap/waltap/internal/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const topic = "__waltap-offsets.test"

func connect(t *testing.T) (*kfake.Cluster, *kafka.Client) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	c, err := kafka.Connect(testContext(t), kafka.Config{BootstrapServers: cluster.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return cluster, c
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func open(t *testing.T, c *kafka.Client) *Store {
	t.Helper()
	s, err := Open(testContext(t), c, topic)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

type progress struct {
	Row string `json:"row"`
	N   int    `json:"n"`
}

func shard(n int) map[string]string {
	return map[string]string{"table": "default:t<&>", "shard": fmt.Sprint(n)}
}

// content lists a connector's entries as Each gives them.
func content(t *testing.T, s *Store, connector string) string {
	t.Helper()
	var all []string
	err := s.Each(connector, func(partition map[string]string, offset json.RawMessage) error {
		all = append(all, partition["shard"]+"="+string(offset))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

func TestStore(t *testing.T) {
	cluster, c := connect(t)
	ctx := testContext(t)
	s := open(t, c)
	if configs, err := c.TopicConfig(ctx, topic); err != nil || configs["cleanup.policy"] != "compact" {
		t.Errorf("cleanup.policy is %q, %v", configs["cleanup.policy"], err)
	}
	var p progress
	if ok, err := s.Get("a", shard(1), &p); ok || err != nil {
		t.Errorf("empty store has %v, %v", p, err)
	}
	for i := range 3 {
		if err := s.Put(ctx, "a", shard(i), progress{"r", i}); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		s.Put(ctx, "b", shard(1), progress{"other", 1}),
		s.Put(ctx, "a", shard(1), progress{"later", 7}),
		s.Delete(ctx, "a", shard(0)),
		s.Put(ctx, "a", nil, progress{"whole", 0}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	check := func(s *Store) {
		t.Helper()
		want := `1={"row":"later","n":7} 2={"row":"r","n":2} ={"row":"whole","n":0}`
		if got := content(t, s, "a"); got != want {
			t.Errorf("connector a has\n%s, want\n%s", got, want)
		}
		var p progress
		if ok, err := s.Get("a", shard(1), &p); !ok || err != nil || p != (progress{"later", 7}) {
			t.Errorf("Get: %v, %v, %v", p, ok, err)
		}
		if ok, err := s.Get("a", shard(0), &p); ok || err != nil {
			t.Errorf("deleted entry: %v, %v", ok, err)
		}
	}
	check(s)
	check(open(t, c))
	cluster.Compact()
	check(open(t, c))
}

func TestRefresh(t *testing.T) {
	_, c := connect(t)
	ctx := testContext(t)
	mine, other := open(t, c), open(t, c)
	for i := range 3 {
		if err := other.Put(ctx, "a", shard(i), i); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.Delete(ctx, "a", shard(1)); err != nil {
		t.Fatal(err)
	}
	if got := content(t, mine, "a"); got != "" {
		t.Errorf("before: %s", got)
	}
	for range 2 {
		if err := mine.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		if got := content(t, mine, "a"); got != "0=0 2=2" {
			t.Errorf("after: %s", got)
		}
	}
}

// TestConcurrentUse ends with every store, and a new one, holding the same.
func TestConcurrentUse(t *testing.T) {
	_, c := connect(t)
	ctx := testContext(t)
	stores := []*Store{open(t, c), open(t, c)}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			s := stores[i%2]
			for n := range 25 {
				err := s.Put(ctx, "a", shard(n%5), n*100+i)
				if n%10 == 9 && err == nil {
					err = s.Refresh(ctx)
				}
				if n%7 == 6 && err == nil {
					err = s.Delete(ctx, "a", shard(n%5))
				}
				if err != nil {
					t.Error(err)
					return
				}
				var v int
				if _, err := s.Get("a", shard(1), &v); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	wg.Wait()
	want := content(t, open(t, c), "a")
	for i, s := range stores {
		if err := s.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		if got := content(t, s, "a"); got != want {
			t.Errorf("store %d has %s, the topic %s", i, got, want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	_, c := connect(t)
	ctx := testContext(t)
	if err := c.EnsureTopics(ctx, kafka.TopicSpec{Name: topic, Partitions: 1, ReplicationFactor: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, c, topic); err == nil || !strings.Contains(err.Error(), "cleanup.policy") {
		t.Errorf("a topic that is not compacted: %v", err)
	}
}

func TestForeignRecords(t *testing.T) {
	_, c := connect(t)
	ctx := testContext(t)
	s := open(t, c)
	p := c.NewProducer(kafka.ProducerConfig{})
	defer p.Close()
	write := func(key, value string) {
		t.Helper()
		r := kafka.Record{Key: []byte(key)}
		if value != "" {
			r.Value = []byte(value)
		}
		done := make(chan error, 1)
		p.Produce(ctx, kafka.TopicPartition{Topic: topic}, []kafka.Record{r}, func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	// As Kafka Connect may write it: other spacing, another order of the fields.
	write(`["a", {"shard" : "5", "table":"default:t<&>"}]`, `{"row":"x", "n":5}`)
	if err := s.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	var got progress
	if ok, err := s.Get("a", shard(5), &got); !ok || err != nil || got.N != 5 {
		t.Errorf("Connect's record: %v, %v, %v", got, ok, err)
	}
	for _, bad := range []string{`"a"`, `["a"]`, `["a",7]`, `null`, `[]`, `{"a":1}`, "\xff", `["",{}]`} {
		write(bad, "1")
		if err := s.Refresh(ctx); err == nil || !strings.Contains(err.Error(), "offset") {
			t.Errorf("key %q: %v", bad, err)
		}
		write(bad, "")
		if err := s.Refresh(ctx); err != nil {
			t.Errorf("key %q removed: %v", bad, err)
		}
	}
	write(`["a",{}]`, "no JSON")
	if err := s.Refresh(ctx); err == nil || !strings.Contains(err.Error(), "not JSON") {
		t.Errorf("bad value: %v", err)
	}
}

func TestBadArguments(t *testing.T) {
	_, c := connect(t)
	ctx := testContext(t)
	s := open(t, c)
	for _, err := range []error{
		s.Put(ctx, "", shard(1), 1),
		s.Put(ctx, "a\xff", shard(1), 1),
		s.Put(ctx, "a", map[string]string{"k": "\xff"}, 1),
		s.Put(ctx, "a", shard(1), nil),
		s.Put(ctx, "a", shard(1), func() {}),
	} {
		if err == nil {
			t.Error("no error")
		}
	}
	if err := s.Put(ctx, "a", shard(1), "text"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get("a", shard(1), new(int)); err == nil || !strings.Contains(err.Error(), "decode checkpoint") {
		t.Errorf("Get into another type: %v", err)
	}
	s.Close()
	if err := s.Put(ctx, "a", shard(1), 1); err == nil {
		t.Error("Put after Close: no error")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`["a",{"k":"v"}]`), []byte(`{"n":1}`))
	f.Add([]byte(`["a",{}]`), []byte(nil))
	f.Add([]byte(`[1]`), []byte(`x`))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		k, e, err := decode(kafka.Record{Key: slices.Clone(key), Value: value})
		if err != nil || e.connector == "" {
			return
		}
		again, err := encodeKey(e.connector, e.partition)
		if err != nil || again != k {
			t.Errorf("key %q becomes %q, then %q: %v", key, k, again, err)
		}
	})
}
