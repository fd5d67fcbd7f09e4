package kafka

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/protocol/createpartitions"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/waltap/waltap/internal/secret"
)

// addPartitions raises a topic's number of partitions.
func addPartitions(t *testing.T, cluster *kfake.Cluster, topic string, n int32) {
	t.Helper()
	c := connect(t, cluster)
	m, err := c.exchangeAny(testContext(t), &createpartitions.Request{TimeoutMs: 1000,
		Topics: []createpartitions.RequestTopic{{Name: topic, Count: n}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range m.(*createpartitions.Response).Results {
		if err := brokerError(r.ErrorCode, r.ErrorMessage); err != nil {
			t.Fatal(err)
		}
	}
}

// deadAddress is one where nobody listens.
func deadAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// silentAddress is one that accepts connections and never answers.
func silentAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func TestConnectFails(t *testing.T) {
	t.Parallel()
	dead, silent := deadAddress(t), silentAddress(t)
	for _, tc := range []struct {
		name  string
		cfg   Config
		parts []string
	}{
		{"nobody listens", Config{BootstrapServers: []string{dead}}, []string{"bootstrap.servers", dead, "refused"}},
		{"nobody answers", Config{BootstrapServers: []string{silent}}, []string{"bootstrap.servers", silent, "deadline"}},
		{"both", Config{BootstrapServers: []string{dead, silent}}, []string{dead, silent}},
		{"no address", Config{}, []string{"bootstrap.servers is empty"}},
		{"no port", Config{BootstrapServers: []string{"host"}}, []string{"bootstrap.servers", `"host"`}},
		{"bad SASL", Config{BootstrapServers: []string{dead}, SASL: &SASL{Mechanism: "GSSAPI"}}, []string{"sasl.mechanism", "SCRAM"}},
		{"negative timeout", Config{BootstrapServers: []string{dead}, DialTimeout: -1}, []string{"dial timeout"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second) // in which each address is tried, on a busy machine too
			defer cancel()
			c, err := Connect(ctx, tc.cfg)
			if err == nil {
				c.Close()
				t.Fatal("connected")
			}
			for _, part := range tc.parts {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not name %q", err, part)
				}
			}
		})
	}
}

func TestConnectSecondServer(t *testing.T) {
	cluster := fakeCluster(t)
	addrs := append([]string{deadAddress(t)}, cluster.ListenAddrs()...)
	c := connect(t, cluster, func(cfg *Config) { cfg.BootstrapServers = addrs })
	if _, err := c.Topics(testContext(t)); err != nil {
		t.Error(err)
	}
}

// TestConnectAdvertisedAddress: the bootstrap server answers, the address it advertises does not.
func TestConnectAdvertisedAddress(t *testing.T) {
	cluster := fakeCluster(t)
	boot := cluster.ListenAddrs()[0]
	_, port, _ := net.SplitHostPort(boot)
	_, err := Connect(testContext(t), Config{BootstrapServers: []string{"boot.test:" + port},
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr == boot {
				return nil, errRefused
			}
			return new(net.Dialer).DialContext(ctx, network, boot)
		}})
	if err == nil || !strings.Contains(err.Error(), "advertised.listeners") || !strings.Contains(err.Error(), boot) {
		t.Errorf("got %v", err)
	}
}

// A broker that stood still answers before it is registered again: with no broker at all.
func TestConnectWaitsForABroker(t *testing.T) {
	cluster := fakeCluster(t)
	var asked atomic.Int32
	cluster.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		if asked.Add(1) > 3 {
			return nil, nil, false
		}
		cluster.KeepControl()
		return req.ResponseKind(), nil, true
	})
	c, err := Connect(testContext(t), Config{BootstrapServers: cluster.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if asked.Load() <= 3 {
		t.Errorf("asked %d times", asked.Load())
	}
}

func TestConnectToAClusterWithoutABroker(t *testing.T) {
	cluster := fakeCluster(t)
	cluster.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		return req.ResponseKind(), nil, true
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := Connect(ctx, Config{BootstrapServers: cluster.ListenAddrs()})
	if err == nil || !strings.Contains(err.Error(), "the cluster has no broker") && !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "%!") {
		t.Errorf("got %v", err)
	}
}

func TestSASL(t *testing.T) {
	cluster := fakeCluster(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "p"), kfake.Superuser("SCRAM-SHA-256", "u2", "p2"),
		kfake.Superuser("SCRAM-SHA-512", "u5", "p5"), kfake.SeedTopics(1, "t"))
	for _, s := range []SASL{{"PLAIN", "u", secret.New("p")}, {"SCRAM-SHA-256", "u2", secret.New("p2")}, {"SCRAM-SHA-512", "u5", secret.New("p5")}} {
		t.Run(s.Mechanism, func(t *testing.T) {
			c := connect(t, cluster, func(cfg *Config) { cfg.SASL = &s })
			if infos, err := c.Topics(testContext(t)); err != nil || len(infos) != 1 {
				t.Errorf("%v, %v", infos, err)
			}
			m := startMember(t, c, nil)
			m.await(t, 1)
			m.stop(t)
		})
	}
}

func TestTopics(t *testing.T) {
	cluster := fakeCluster(t, kfake.NumBrokers(3))
	c := connect(t, cluster)
	ctx := testContext(t)
	specs := []TopicSpec{
		{Name: "a", Partitions: 3, ReplicationFactor: 1, Configs: map[string]string{"cleanup.policy": "compact", "max.message.bytes": "5000"}},
		{Name: "b", Partitions: -1, ReplicationFactor: -1},
	}
	for range 2 { // the second time they exist
		if err := c.EnsureTopics(ctx, specs...); err != nil {
			t.Fatal(err)
		}
		specs[0].Partitions = 5 // not looked at
	}
	if info, err := c.Topic(ctx, "a"); err != nil || info.Name != "a" || info.Partitions != 3 {
		t.Errorf("topic a: %+v, %v", info, err)
	}
	if _, err := c.Topic(ctx, "none"); !errors.Is(err, ErrUnknownTopic) {
		t.Errorf("unknown topic: %v", err)
	}
	if infos, err := c.Topics(ctx); err != nil || len(infos) != 2 || infos[0].Name != "a" || infos[1].Name != "b" {
		t.Errorf("topics: %+v, %v", infos, err)
	}
	configs, err := c.TopicConfig(ctx, "a")
	if err != nil || configs["cleanup.policy"] != "compact" || configs["max.message.bytes"] != "5000" || configs["retention.ms"] == "" {
		t.Errorf("configuration: %v, %v", configs, err)
	}
	if _, err := c.TopicConfig(ctx, "none"); !errors.Is(err, ErrUnknownTopic) {
		t.Errorf("configuration of an unknown topic: %v", err)
	}
	if err := c.EnsureTopics(ctx); err != nil {
		t.Errorf("no topics: %v", err)
	}
}

func TestEnsureTopicsFails(t *testing.T) {
	cluster := fakeCluster(t)
	c := connect(t, cluster)
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	if err := c.EnsureTopics(testContext(t), TopicSpec{Name: "t", Partitions: 1, ReplicationFactor: 1}); !hasCode(err, codeTopicAuthorization) {
		t.Errorf("no right: %v", err)
	}
}

// TestRetryEnds: what heals is retried, what lasts ends with the context and says why.
func TestRetryEnds(t *testing.T) {
	t.Parallel()
	cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
	c := connect(t, cluster)
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Err: kerr.LeaderNotAvailable, Count: 3})
	if _, err := c.EndOffsets(testContext(t), "t"); err != nil {
		t.Errorf("after three failures: %v", err)
	}
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Err: kerr.LeaderNotAvailable, Count: -1})
	ctx, cancel := context.WithTimeout(context.Background(), time.Second) // in which it is refused, on a busy machine too
	defer cancel()
	if _, err := c.EndOffsets(ctx, "t"); !errors.Is(err, context.DeadlineExceeded) || !hasCode(err, codeLeaderNotAvailable) {
		t.Errorf("got %v", err)
	}
}

func TestClosedClient(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
	c := connect(t, cluster)
	blocked := make(chan error, 1)
	asked := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Observe: true})
	go func() {
		_, err := c.Fetch(context.Background(), t0, 0, 1, time.Hour)
		blocked <- err
	}()
	if err := asked.Wait(testContext(t), 1); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := <-blocked; !errors.Is(err, ErrClosed) {
		t.Errorf("blocked call: %v", err)
	}
	if _, err := c.Topics(testContext(t)); !errors.Is(err, ErrClosed) {
		t.Errorf("later call: %v", err)
	}
}

func TestRetriable(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{ErrClosed, false},
		{context.Canceled, false},
		{errors.New("other"), false},
		{&connError{addr: "a", err: errRefused}, true},
		{brokerError(int16(codeNotLeader), ""), true},
		{brokerError(int16(codeTopicAuthorization), ""), false},
		{&OffsetOutOfRangeError{}, false},
		{&ProduceError{Err: brokerError(int16(codeMessageTooLarge), "")}, false},
	} {
		if got := Retriable(tc.err); got != tc.want {
			t.Errorf("Retriable(%v) = %v", tc.err, got)
		}
	}
}
