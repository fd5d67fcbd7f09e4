package kafka

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeCluster starts an in-process cluster that ends with the test.
func fakeCluster(t testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func connect(t testing.TB, cluster *kfake.Cluster, change ...func(*Config)) *Client {
	t.Helper()
	cfg := Config{BootstrapServers: cluster.ListenAddrs()}
	for _, f := range change {
		f(&cfg)
	}
	c, err := Connect(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// records returns n records with the values name-0, name-1 ….
func records(name string, n int) []Record {
	recs := make([]Record, n)
	for i := range recs {
		recs[i] = Record{Key: []byte(name), Value: fmt.Appendf(nil, "%s-%d", name, i)}
	}
	return recs
}

// produce waits for the outcome of one Produce.
func produceWait(ctx context.Context, p *Producer, tp TopicPartition, recs []Record) error {
	done := make(chan error, 1)
	p.Produce(ctx, tp, recs, func(err error) { done <- err })
	return <-done
}

// values reads a whole topic.
func values(t testing.TB, c *Client, topic string) []string {
	t.Helper()
	var vs []string
	err := c.ReadAll(testContext(t), topic, func(r Record) error {
		vs = append(vs, string(r.Value))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return vs
}
