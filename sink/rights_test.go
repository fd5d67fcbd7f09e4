package sink

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waltap/waltap/internal/kafka"
)

// TestTopicHiddenForWantOfARight: a broker leaves topics out of its list that a user may not describe; a sink that waits for
// one by name would wait for ever.
func TestTopicHiddenForWantOfARight(t *testing.T) {
	r := newRig(t, 1)
	r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "p.default.hidden", Err: kerr.TopicAuthorizationFailed, Count: -1})
	s := r.sink(func(cfg *Config, _ *testSink) { cfg.Topics = []string{testTopic, "p.default.hidden"} })
	s.refuses("lacks the right Describe on topic p.default.hidden", "kafka-acls.sh")
}

func TestSeenTopicIsNotCreated(t *testing.T) {
	r := newRig(t, 1)
	r.write(0, 1, 1)
	keep := func(cfg *Config, _ *testSink) { cfg.KeepTopics = true }
	r.sink(keep).refuses("topic.creation.enable: false, and topic "+SeenTopic+" does not exist", "--create --topic "+SeenTopic+" --partitions 1 --config cleanup.policy=compact", "kind: KafkaTopic")
	if err := ForgetTopics(r.ctx, r.client, "g", []string{testTopic}); err != nil {
		t.Error(err)
	}
	if _, err := r.client.Topic(r.ctx, SeenTopic); err == nil {
		t.Error("the topic was created all the same")
	}
	if err := r.client.EnsureTopics(r.ctx, kafka.TopicSpec{Name: SeenTopic, Partitions: 1, ReplicationFactor: 1, Configs: map[string]string{"cleanup.policy": "compact"}}); err != nil {
		t.Fatal(err)
	}
	r.sink(keep).await("1")
}

// TestFetchSettings: how much is fetched at once, and how long a broker waits for it, are what the configuration says.
func TestFetchSettings(t *testing.T) {
	r := newRig(t, 1)
	r.write(0, 3, 1)
	asked := make(chan kmsg.FetchRequest, 100)
	r.cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		f := req.(*kmsg.FetchRequest)
		if f.Topics[0].Topic == testTopic || f.Topics[0].Topic == "" {
			select {
			case asked <- *f:
			default:
			}
		}
		return nil, nil, false
	})
	s := r.sink(func(cfg *Config, _ *testSink) { cfg.FetchMinBytes, cfg.FetchMaxBytes, cfg.FetchWait = 20, 5000, 30e6 })
	s.await(numbers(1, 3)...)
	f := <-asked
	if f.MinBytes != 20 || f.MaxBytes != 5000 || f.Topics[0].Partitions[0].PartitionMaxBytes != 5000 || f.MaxWaitMillis != 30 {
		t.Errorf("asked for %d to %d bytes within %d ms", f.MinBytes, f.MaxBytes, f.MaxWaitMillis)
	}
}
