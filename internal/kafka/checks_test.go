package kafka

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/waltap/waltap/internal/check"
)

// TestTopicsAreJudged: each setting by itself, beside one that is right.
func TestTopicsAreJudged(t *testing.T) {
	right := map[string]string{"cleanup.policy": "delete", "retention.ms": "604800000", "retention.bytes": "-1", "max.message.bytes": "100", "min.insync.replicas": "2"}
	for _, tc := range []struct {
		name     string
		set      map[string]string
		need     func(*TopicNeed)
		replicas int
		brokers  int
		want     map[string]check.Severity // of what is not ok
	}{
		{name: "right"},
		{name: "compacted", set: map[string]string{"cleanup.policy": "compact"}, want: map[string]check.Severity{"topic.compaction": check.Failure}},
		{name: "compacted, too", set: map[string]string{"cleanup.policy": "compact,delete"}, want: map[string]check.Severity{"topic.compaction": check.Failure}},
		{name: "compacted, allowed", set: map[string]string{"cleanup.policy": "compact"}, need: func(n *TopicNeed) { n.AllowCompacted = true }, want: map[string]check.Severity{"topic.compaction": check.Warning}},
		{name: "internal", set: map[string]string{"cleanup.policy": "compact", "retention.ms": "1"}, need: func(n *TopicNeed) { n.Internal = true }},
		{name: "internal, not compacted", need: func(n *TopicNeed) { n.Internal = true }, want: map[string]check.Severity{"topic.compaction": check.Failure}},
		{name: "empty", need: func(n *TopicNeed) { n.Internal, n.Empty = true, true }},
		{name: "short", set: map[string]string{"retention.ms": "86399999"}, want: map[string]check.Severity{"topic.retention": check.Failure}},
		{name: "long enough", set: map[string]string{"retention.ms": "86400000"}},
		{name: "for ever", set: map[string]string{"retention.ms": "-1"}},
		{name: "as long as can be", set: map[string]string{"retention.ms": "9223372036854775807"}},
		{name: "few bytes", set: map[string]string{"retention.bytes": "1073741824"}, want: map[string]check.Severity{"topic.retention": check.Warning}},
		{name: "fewer bytes than the table", set: map[string]string{"retention.bytes": "100"}, need: func(n *TopicNeed) { n.Bytes = 401 }, want: map[string]check.Severity{"topic.retention": check.Failure}},
		{name: "small", set: map[string]string{"max.message.bytes": "99"}, want: map[string]check.Severity{"topic.message.size": check.Failure}},
		{name: "small, and there is a place", set: map[string]string{"max.message.bytes": "99"}, need: func(n *TopicNeed) { n.Elsewhere = "is split" }, want: map[string]check.Severity{"topic.message.size": check.Warning}},
		{name: "one replica", set: map[string]string{"min.insync.replicas": "1"}, replicas: 1, want: map[string]check.Severity{"topic.replicas": check.Warning}},
		{name: "one replica, one broker", set: map[string]string{"min.insync.replicas": "1"}, replicas: 1, brokers: 1},
		{name: "too few replicas", set: map[string]string{"min.insync.replicas": "4"}, want: map[string]check.Severity{"topic.replicas": check.Failure}},
		{name: "all replicas", set: map[string]string{"min.insync.replicas": "3"}, want: map[string]check.Severity{"topic.replicas": check.Warning}},
		{name: "any replica", set: map[string]string{"min.insync.replicas": "1"}, want: map[string]check.Severity{"topic.replicas": check.Warning}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			configs := maps.Clone(right)
			maps.Copy(configs, tc.set)
			n := TopicNeed{Spec: TopicSpec{Name: "t", Partitions: 4}, MaxMessage: 100, Retention: 24 * time.Hour, Bytes: 400}
			if tc.need != nil {
				tc.need(&n)
			}
			k := newTopicChecks(nil)
			if k.brokers = tc.brokers; tc.brokers == 0 {
				k.brokers = 3
			}
			if tc.replicas == 0 {
				tc.replicas = 3
			}
			k.judge(n, configs, tc.replicas)
			got := make(map[string]check.Severity)
			for _, r := range k.results() {
				if r.Severity == check.OK {
					continue
				}
				if got[r.Check] = r.Severity; r.Remedy == "" {
					t.Errorf("no remedy: %+v", r)
				}
			}
			if !maps.Equal(got, tc.want) {
				t.Errorf("%v, want %v: %+v", got, tc.want, k.results())
			}
		})
	}
}

// TestOperationsOfABitField: 264 is what Kafka has for a user that may read, 3 and 8.
func TestOperationsOfABitField(t *testing.T) {
	may := func(o Operations) (all []string) {
		for _, op := range []string{OpRead, OpWrite, OpCreate, OpDescribe, OpDescribeConfigs, "Alter"} {
			if o.May(op) {
				all = append(all, op)
			}
		}
		return all
	}
	if o := operations(1<<3 | 1<<8); !o.Known || !slices.Equal(may(o), []string{OpRead, OpDescribe}) {
		t.Errorf("%+v: %q", o, may(o))
	}
	if o := operations(notAsked); o.Known || may(o) != nil {
		t.Errorf("of brokers that do not say: %+v", o)
	}
	if o := operations(0); !o.Known || may(o) != nil {
		t.Errorf("of nothing: %+v", o)
	}
}
