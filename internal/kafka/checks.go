package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/waltap/waltap/internal/check"
)

var (
	checkBrokers = &check.Check{Name: "kafka.brokers", Title: "Each broker answers",
		Means:  "bootstrap.servers, then each broker that they name, at the address that it advertises: TLS, authentication and the versions of Kafka's protocol.",
		Remedy: "Check bootstrap.servers, security.protocol and what goes with it (docs/kafka-security.md), and advertised.listeners of the brokers: waltap connects to each of them."}
	checkCreation = &check.Check{Name: "topic.creation", Title: "Topics exist, or can be created",
		Means:  "The data topics of the tables and the internal topics. For those that are missing the brokers are asked whether they would create them (CreateTopics with validateOnly): their limits, their policy, the number of replicas, names that collide. Nothing is created.",
		Remedy: "Create the topics (docs/topics.md), or let waltap do it with topic.creation.enable: true."}
	checkCompaction = &check.Check{Name: "topic.compaction", Title: "Data topics are not compacted, internal ones are",
		Means:  "cleanup.policy. A record is a partial update of a row: compaction keeps the last one only, and the cells of those before are lost. An internal topic that is not compacted loses what waltap goes on by.",
		Remedy: "kafka-configs.sh --alter --entity-type topics --entity-name TOPIC --add-config cleanup.policy=delete (internal topics: compact)"}
	checkRetention = &check.Check{Name: "topic.retention", Title: "Records stay long enough",
		Means:  "retention.ms, and retention.bytes against what the tables hold, of the data topics. Records must stay until every sink has applied them: for as long as a sink may be stopped, and a migration takes. --expect says how long that is (24h).",
		Limits: "That the brokers' disks have room for it.",
		Remedy: "kafka-configs.sh --alter --entity-type topics --entity-name TOPIC --add-config retention.ms=604800000"}
	checkMessageSize = &check.Check{Name: "topic.message.size", Title: "A large cell gets in",
		Means:  "max.message.bytes of the data topics against topic.creation.default.max.message.bytes (12 MiB; HBase takes cells of 10 MiB by default). What does not get in stops the connector, or goes where errors.oversized.policy says.",
		Limits: "How large the source's cells are.",
		Remedy: "kafka-configs.sh --alter --entity-type topics --entity-name TOPIC --add-config max.message.bytes=12582912"}
	checkReplicas = &check.Check{Name: "topic.replicas", Title: "A broker that is lost loses no record and stops no writes",
		Means:  "The number of replicas of each partition, how many are in sync, and min.insync.replicas. HBase is told that a record is safe when all replicas in sync have it, and lets go of its WAL.",
		Remedy: "3 replicas and min.insync.replicas=2: topic.creation.default.replication.factor: 3 and topic.creation.default.min.insync.replicas: 2 for topics that are created; kafka-reassign-partitions.sh for those that are there."}

	// Checks are those of CheckBrokers and CheckTopics.
	Checks      = append([]*check.Check{checkBrokers}, TopicChecks...)
	TopicChecks = []*check.Check{checkCreation, checkCompaction, checkRetention, checkMessageSize, checkReplicas}
)

// CheckBrokers connects to the cluster. The client is nil when that fails.
func CheckBrokers(ctx context.Context, cfg Config, timeout time.Duration) (*Client, []check.Result) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cfg.APITimeout = timeout
	c, err := Connect(ctx, cfg)
	if err != nil {
		return nil, []check.Result{checkBrokers.Error(cfg.bootstrap(), err)}
	}
	brokers, err := c.Brokers(ctx)
	if err != nil {
		return c, []check.Result{checkBrokers.Error(cfg.bootstrap(), err)}
	}
	var tasks []check.Task
	for _, id := range sortedInts(brokers) {
		addr := brokers[id]
		subject := fmt.Sprintf("broker %d, %s", id, addr)
		tasks = append(tasks, check.Task{Checks: []*check.Check{checkBrokers}, Subject: subject, Run: func(ctx context.Context) []check.Result {
			if err := c.Ping(ctx, addr); err != nil {
				return []check.Result{checkBrokers.Error(subject, err)}
			}
			return nil
		}})
	}
	faults := check.Run(ctx, timeout, tasks...)
	results := faults
	if n := len(brokers) - len(faults); n > 0 {
		results = append([]check.Result{checkBrokers.Right(cfg.bootstrap(), "%d of %d answer; we are %s", n, len(brokers), cfg.Principal())}, faults...)
	}
	return c, results
}

func sortedInts(m map[int32]string) []int32 {
	keys := make([]int32, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// TopicNeed is what a topic has to be like.
type TopicNeed struct {
	Spec TopicSpec // as it would be created
	// Create: it is created when it is missing.
	Create bool
	// Internal topics are to be compacted, or hold no records; what follows is of data topics.
	Internal, Empty bool
	AllowCompacted  bool
	MaxMessage      int64         // 0: nobody knows
	Elsewhere       string        // where larger records go, "" when they stop the connector
	Retention       time.Duration // for which records are to stay
	Bytes           int64         // that a scan of the table writes, about; 0: not known
}

// CheckTopics looks at topics. It changes nothing.
func (c *Client) CheckTopics(ctx context.Context, needs []TopicNeed) []check.Result {
	t := newTopicChecks(c)
	brokers, err := c.Brokers(ctx)
	if err != nil {
		return []check.Result{checkCreation.Error("", err)}
	}
	t.brokers = len(brokers)
	var missing []TopicNeed
	for _, n := range needs {
		r, exists := t.there(ctx, n)
		switch {
		case !exists:
			missing = append(missing, n)
		case r != nil:
			t.configs(ctx, n, r)
		}
	}
	t.create(ctx, missing)
	if len(t.counts) > 0 {
		t.replicas.Add(checkReplicas.Unknown("topic "+check.Names(t.counts), "to be created, with the brokers' default (default.replication.factor); topic.creation.default.replication.factor sets it"))
	}
	if len(t.defaults) > 0 {
		t.retention.Add(checkRetention.Unknown("topic "+check.Names(t.defaults), "to be created, with the brokers' default (log.retention.ms); topic.creation.default.retention.ms sets it"))
	}
	return t.results()
}

type topicChecks struct {
	client                                          *Client
	brokers                                         int
	creation, compaction, retention, size, replicas check.Tally
	defaults, counts                                []string // topics to be created whose retention, and replicas, are the brokers' matter
}

func newTopicChecks(c *Client) *topicChecks {
	return &topicChecks{client: c, creation: check.Tally{Check: checkCreation}, compaction: check.Tally{Check: checkCompaction},
		retention: check.Tally{Check: checkRetention}, size: check.Tally{Check: checkMessageSize}, replicas: check.Tally{Check: checkReplicas}}
}

func (t *topicChecks) results() []check.Result {
	return slices.Concat(t.creation.Results(), t.compaction.Results(), t.retention.Results(), t.size.Results(), t.replicas.Results())
}

// there tells whether the topic exists, and its replicas, of which it says what is to be said; nil: it may not be looked at.
func (t *topicChecks) there(ctx context.Context, n TopicNeed) (r *Replicas, exists bool) {
	name := n.Spec.Name
	found, err := t.client.TopicReplicas(ctx, name)
	switch {
	case errors.Is(err, ErrUnknownTopic):
		return nil, false
	case errors.As(err, new(*AuthorizationError)):
		t.creation.Add(checkCreation.Unknown("topic "+name, "we may not look at it: see kafka.rights"))
		return nil, true
	case err != nil:
		t.creation.Add(checkCreation.Error("topic "+name, err))
		return nil, true
	}
	t.creation.Right(name, "there")
	if found.InSync < found.Least {
		t.replicas.Add(checkReplicas.Warn("topic "+name, fmt.Sprintf("%d of %d replicas of a partition are in sync", found.InSync, found.Least), "See why a broker is behind or down: kafka-topics.sh --describe --under-replicated-partitions"))
	}
	return &found, true
}

// configs looks at the configuration of a topic that exists.
func (t *topicChecks) configs(ctx context.Context, n TopicNeed, r *Replicas) {
	name := n.Spec.Name
	configs, err := t.client.TopicConfig(ctx, name)
	if errors.As(err, new(*AuthorizationError)) {
		t.compaction.Add(checkCompaction.Unknown("topic "+name, "we may not read its configuration: see kafka.rights"))
		return
	}
	if err != nil {
		t.compaction.Add(checkCompaction.Error("topic "+name, err))
		return
	}
	n.Spec.Partitions = int32(r.Partitions)
	t.judge(n, configs, r.Least)
}

// judge looks at the configuration that a topic has, or would have.
func (t *topicChecks) judge(n TopicNeed, configs map[string]string, replicas int) {
	t.judgeReplicas(n, configs, replicas)
	name := n.Spec.Name
	policy, known := configs["cleanup.policy"]
	compacts := strings.Contains(policy, "compact")
	switch {
	case !known || n.Empty:
	case n.Internal && policy != "compact":
		t.compaction.Add(checkCompaction.Fail("topic "+name, "cleanup.policy="+policy+": it would lose what waltap keeps on it", setConfig(name, "cleanup.policy", "compact")))
	case !n.Internal && compacts && n.AllowCompacted:
		t.compaction.Add(checkCompaction.Warn("topic "+name, "cleanup.policy="+policy+", as topic.compacted.allow: true accepts: who reads it from its beginning misses cells", setConfig(name, "cleanup.policy", "delete")))
	case !n.Internal && compacts:
		t.compaction.Add(checkCompaction.Fail("topic "+name, "cleanup.policy="+policy+": its records are partial updates of a row, compaction would lose cells", setConfig(name, "cleanup.policy", "delete")+" (or topic.compacted.allow: true)"))
	default:
		t.compaction.Right(name, "data topics delete, internal ones are compacted")
	}
	if n.Internal {
		return
	}
	t.judgeRetention(n, configs)
	t.judgeSize(n, configs)
}

func (t *topicChecks) judgeRetention(n TopicNeed, configs map[string]string) {
	name := n.Spec.Name
	ms, err := strconv.ParseInt(configs["retention.ms"], 10, 64)
	if err != nil || !strings.Contains(configs["cleanup.policy"], "delete") {
		return // not known, or for ever
	}
	bytes, err := strconv.ParseInt(configs["retention.bytes"], 10, 64)
	if err != nil {
		bytes = -1
	}
	kept := float64(bytes) * float64(n.Spec.Partitions)
	stay := time.Duration(min(ms, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
	switch want := n.Retention; {
	case ms >= 0 && stay < want:
		t.retention.Add(checkRetention.Fail("topic "+name, fmt.Sprintf("retention.ms=%d: records stay for %s, %s is expected (--expect)", ms, stay, want),
			setConfig(name, "retention.ms", strconv.FormatInt(want.Milliseconds(), 10))+" (or more)"))
	case bytes >= 0 && kept < float64(n.Bytes):
		t.retention.Add(checkRetention.Fail("topic "+name, fmt.Sprintf("retention.bytes=%d in %d partitions holds less than the %d MiB of the table: the scan's first records are gone before its last are written", bytes, n.Spec.Partitions, n.Bytes>>20),
			setConfig(name, "retention.bytes", "-1")))
	case bytes >= 0:
		t.retention.Add(checkRetention.Warn("topic "+name, fmt.Sprintf("retention.bytes=%d: how long records stay depends on how much is written", bytes), setConfig(name, "retention.bytes", "-1")))
	case ms < 0:
		t.retention.Right(name, "for ever")
	default:
		t.retention.Right(name, fmt.Sprintf("%s or more, %s is expected (--expect)", stay, want))
	}
}

func (t *topicChecks) judgeSize(n TopicNeed, configs map[string]string) {
	name := n.Spec.Name
	size, err := strconv.ParseInt(configs["max.message.bytes"], 10, 64)
	switch {
	case err != nil || n.MaxMessage == 0:
	case size >= n.MaxMessage:
		t.size.Right(name, fmt.Sprintf("%d bytes", size))
	default:
		found := fmt.Sprintf("max.message.bytes=%d, topic.creation.default.max.message.bytes is %d: a larger record ", size, n.MaxMessage)
		remedy := setConfig(name, "max.message.bytes", strconv.FormatInt(n.MaxMessage, 10))
		if n.Elsewhere != "" {
			t.size.Add(checkMessageSize.Warn("topic "+name, found+n.Elsewhere, remedy))
			return
		}
		t.size.Add(checkMessageSize.Fail("topic "+name, found+"stops the connector", remedy+" (or set topic.creation.default.max.message.bytes to what the source's cells need, or errors.oversized.policy)"))
	}
}

func (t *topicChecks) judgeReplicas(n TopicNeed, configs map[string]string, replicas int) {
	name := n.Spec.Name
	insync, err := strconv.Atoi(configs["min.insync.replicas"])
	switch {
	case err != nil || replicas <= 0:
	case insync > replicas:
		t.replicas.Add(checkReplicas.Fail("topic "+name, fmt.Sprintf("min.insync.replicas=%d of %d replicas: nothing can be written", insync, replicas), setConfig(name, "min.insync.replicas", strconv.Itoa(max(1, replicas-1)))))
	case replicas == 1 && t.brokers > 1:
		t.replicas.Add(checkReplicas.Warn("topic "+name, "1 replica: a broker that is lost takes its records along, and HBase has let go of its WAL", ""))
	case replicas > 1 && insync == replicas:
		t.replicas.Add(checkReplicas.Warn("topic "+name, fmt.Sprintf("min.insync.replicas=%d of %d replicas: one broker that restarts stops all writes", insync, replicas), setConfig(name, "min.insync.replicas", strconv.Itoa(replicas-1))))
	case replicas > 1 && insync == 1:
		t.replicas.Add(checkReplicas.Warn("topic "+name, fmt.Sprintf("min.insync.replicas=1 of %d replicas: a record is called safe when one broker has it", replicas), setConfig(name, "min.insync.replicas", "2")))
	case replicas == 1:
		t.replicas.Right(name, "1 replica on the only broker")
	default:
		t.replicas.Right(name, fmt.Sprintf("%d replicas, min.insync.replicas=%d", replicas, insync))
	}
}

func setConfig(topic, key, value string) string {
	return fmt.Sprintf("kafka-configs.sh --alter --entity-type topics --entity-name %s --add-config %s=%s", shellQuote(topic), key, value)
}

// create asks whether missing topics can be created, and judges the settings that they would be given.
func (t *topicChecks) create(ctx context.Context, missing []TopicNeed) {
	var ask []TopicSpec
	for _, n := range missing {
		if n.Create {
			ask = append(ask, n.Spec)
		} else {
			t.creation.Add(checkCreation.Fail("topic "+n.Spec.Name, "it does not exist, and topic.creation.enable is false", n.Spec.Command(t.client.cfg.bootstrap())))
		}
	}
	if len(ask) == 0 {
		return
	}
	refused, err := t.client.TryCreate(ctx, ask...)
	if err != nil {
		t.creation.Add(checkCreation.Error("", err))
		return
	}
	for _, n := range missing {
		err := refused[n.Spec.Name]
		switch {
		case !n.Create:
		case errors.As(err, new(*AuthorizationError)):
			t.creation.Add(checkCreation.Unknown("topic "+n.Spec.Name, "we may not create it: see kafka.rights"))
		case err != nil:
			t.creation.Add(checkCreation.Error("topic "+n.Spec.Name, err))
		default:
			t.creation.Right(n.Spec.Name, "there, or can be created")
			t.judge(n, n.Spec.Configs, int(n.Spec.ReplicationFactor))
			if _, set := n.Spec.Configs["retention.ms"]; !set && !n.Internal {
				t.defaults = append(t.defaults, n.Spec.Name)
			}
			if n.Spec.ReplicationFactor < 0 && !n.Internal {
				t.counts = append(t.counts, n.Spec.Name)
			}
		}
	}
}
