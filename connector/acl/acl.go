// Package acl is the list of the rights that waltap needs in Kafka (docs/kafka-acls.md is written from it).
package acl

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/dlq"
	"github.com/waltap/waltap/connector/signals"
	"github.com/waltap/waltap/connector/worker"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
	"github.com/waltap/waltap/source/tasks"
)

// What stands for something of the configuration in the name of a resource.
const (
	TopicPrefix = "<topic.prefix>"
	Connector   = "<name>" // of the connector
	Group       = "<consumer.group.id>"
	DeadTopic   = "<errors.deadletterqueue.topic.name>"
	SignalTopic = "<signal.kafka.topic>"
	ConfigTopic = "<config.storage.topic>"
	StatusTopic = "<status.storage.topic>"
	OffsetTopic = "<offset.storage.topic>"
	WorkerGroup = "<group.id>"
)

// Right is what somebody may do with a resource.
type Right struct {
	Resource   string // kafka.Topic or kafka.Group
	Name       string // with TopicPrefix or Group in it
	Prefixed   bool   // all resources whose names begin so
	Operations []string
	For        string // what it is for
}

// Role is who needs rights.
type Role struct {
	Name   string
	Rights []Right
}

const (
	createTopics = "to create it; not with `topic.creation.enable: false`"
	newerRelease = "only for records that a newer release has written: their schema"
	dataTopics   = TopicPrefix + "."
)

// progress are the operations on a topic that holds what a process goes on by.
var progress = []string{kafka.OpRead, kafka.OpWrite, kafka.OpDescribeConfigs}

// The roles. Write and Read hold Describe, which is therefore not listed beside them.
var (
	Source = Role{"Connectors of class HBaseSource", []Right{
		{kafka.Topic, dataTopics, true, []string{kafka.OpWrite}, "the records of the tables, and their end offsets for the watermark"},
		{kafka.Topic, dataTopics, true, []string{kafka.OpDescribeConfigs}, "to check cleanup.policy and max.message.bytes"},
		{kafka.Topic, dataTopics, true, []string{kafka.OpCreate}, createTopics},
		{kafka.Topic, schema.OffsetsTopic(TopicPrefix), false, progress, "the progress of scan and stream"},
		{kafka.Topic, schema.OffsetsTopic(TopicPrefix), false, []string{kafka.OpCreate}, createTopics},
		{kafka.Topic, schema.SchemaTopic(TopicPrefix), false, progress, "the schema of the records"},
		{kafka.Topic, schema.SchemaTopic(TopicPrefix), false, []string{kafka.OpCreate}, createTopics},
		{kafka.Topic, schema.TablesTopic(TopicPrefix), false, progress, "the descriptors of the tables"},
		{kafka.Topic, schema.TablesTopic(TopicPrefix), false, []string{kafka.OpCreate}, createTopics},
		{kafka.Topic, schema.WatermarksTopic(TopicPrefix), false, progress, "the watermark"},
		{kafka.Topic, schema.WatermarksTopic(TopicPrefix), false, []string{kafka.OpCreate}, createTopics},
		{kafka.Topic, schema.TasksTopic(TopicPrefix), false, []string{kafka.OpDescribe}, "the tasks that the processes of a connector share"},
		{kafka.Topic, schema.TasksTopic(TopicPrefix), false, []string{kafka.OpCreate}, createTopics},
		{kafka.Group, tasks.Group(Connector), false, []string{kafka.OpRead}, "to be one of these processes"},
	}}
	Sink = Role{"Connectors of class HBaseSink", []Right{
		{kafka.Topic, dataTopics, true, []string{kafka.OpRead}, "the records; where `topics` names them, on each topic by its own name (literal)"},
		{kafka.Group, Group, false, []string{kafka.OpRead}, "to be a member of the group, and its offsets"},
		{kafka.Topic, schema.TablesTopic(TopicPrefix), false, []string{kafka.OpRead}, "to create and extend tables at the target"},
		{kafka.Topic, schema.SchemaTopic(TopicPrefix), false, []string{kafka.OpRead}, newerRelease},
		{kafka.Topic, schema.WatermarksTopic(TopicPrefix), false, []string{kafka.OpRead}, "to end by itself; only with `end.time`"},
		{kafka.Topic, sink.SeenTopic, false, progress, "what each group knows of its topics"},
		{kafka.Topic, sink.SeenTopic, false, []string{kafka.OpCreate}, createTopics},
	}}
	DeadLetters = Role{"Connectors with `errors.deadletterqueue.topic.name`, in addition", []Right{
		{kafka.Topic, DeadTopic, false, []string{kafka.OpWrite, kafka.OpDescribeConfigs}, "the dead letters"},
		{kafka.Topic, DeadTopic, false, []string{kafka.OpCreate}, createTopics},
	}}
	Signals = Role{"Connectors of class HBaseSource with `signal.kafka.topic`, in addition", []Right{
		{kafka.Topic, SignalTopic, false, []string{kafka.OpRead}, "the signals"},
		{kafka.Group, signals.Group(Connector), false, []string{kafka.OpRead}, "its place on the topic of signals"},
	}}
	SignalSend = Role{"`waltap signal --signal-topic`", []Right{
		{kafka.Topic, SignalTopic, false, []string{kafka.OpWrite}, "to put signals on it"},
	}}
	Worker = Role{"`waltap worker`, beside those of the connectors that the group runs", []Right{
		{kafka.Topic, ConfigTopic, false, progress, "the connectors' configurations, and what was asked for"},
		{kafka.Topic, ConfigTopic, false, []string{kafka.OpCreate}, "to create it, once"},
		{kafka.Topic, StatusTopic, false, progress, "the states of connectors and tasks"},
		{kafka.Topic, StatusTopic, false, []string{kafka.OpCreate}, "to create it, once"},
		{kafka.Topic, OffsetTopic, false, progress, "only for a worker with `offset.storage.topic`: the progress of all sources, in place of `" + schema.OffsetsTopic(TopicPrefix) + "`"},
		{kafka.Topic, OffsetTopic, false, []string{kafka.OpCreate}, "only for a worker with `offset.storage.topic`: to create it, once"},
		{kafka.Group, worker.GroupPrefix + WorkerGroup, false, []string{kafka.OpRead}, "to be one of the group's workers"},
		{kafka.Group, Group, false, []string{kafka.OpDelete}, "only for `DELETE /connectors/{name}/offsets` of a sink"},
	}}
	Page = Role{"The web page, `GET /v1/migrations` and `/v1/connectors/{name}/dead-letters`, in addition", []Right{
		{kafka.Topic, StateTopic, false, []string{kafka.OpRead, kafka.OpDescribeConfigs}, "the migrations, where there are some"},
		{kafka.Topic, DeadTopic, false, []string{kafka.OpRead}, "the dead letters, where a connector has `errors.deadletterqueue.topic.name`"},
		{kafka.Topic, dlq.StateTopic, false, []string{kafka.OpRead, kafka.OpDescribeConfigs}, "which of them were put back"},
	}}
	OffsetsGet = Role{"`waltap offsets get`", []Right{
		{kafka.Topic, dataTopics, true, []string{kafka.OpDescribe}, "the ends of the logs"},
		{kafka.Group, Group, false, []string{kafka.OpDescribe}, "the committed offsets and the members of the group"},
	}}
	OffsetsSet = Role{"`waltap offsets set`, `reset` and `forget`", []Right{
		{kafka.Topic, dataTopics, true, []string{kafka.OpRead}, "to commit offsets of its partitions"},
		{kafka.Group, Group, false, []string{kafka.OpRead}, "to commit for the group"},
		{kafka.Topic, sink.SeenTopic, false, progress, "`reset` and `forget`: what the group knows of its topics"},
	}}
	Tail = Role{"`waltap tail`", []Right{
		{kafka.Topic, dataTopics, true, []string{kafka.OpRead}, "the records"},
		{kafka.Topic, schema.SchemaTopic(TopicPrefix), false, []string{kafka.OpRead}, newerRelease},
	}}
	DlqList = Role{"`waltap dlq list`", []Right{
		{kafka.Topic, DeadTopic, false, []string{kafka.OpRead}, "the dead letters"},
		{kafka.Topic, dlq.StateTopic, false, []string{kafka.OpRead, kafka.OpDescribeConfigs}, "which of them were put back"},
	}}
	DlqReplay = Role{"`waltap dlq replay`", []Right{
		{kafka.Topic, DeadTopic, false, []string{kafka.OpRead}, "the dead letters"},
		{kafka.Topic, dataTopics, true, []string{kafka.OpWrite}, "to put them back"},
		{kafka.Topic, dataTopics, true, []string{kafka.OpRead}, "only for a replay that goes on where one was cut off: what that has put back"},
		{kafka.Topic, dlq.StateTopic, false, progress, "which of them were put back"},
		{kafka.Topic, dlq.StateTopic, false, []string{kafka.OpCreate}, "to create it"},
	}}
	Verify = Role{"`waltap verify -f`, and `waltap repair -f` without renames", []Right{
		{kafka.Topic, schema.WatermarksTopic(TopicPrefix), false, []string{kafka.OpRead}, "the watermark, behind which rows that differ are read again; not with `--no-watermark`"},
		{kafka.Topic, dataTopics, true, []string{kafka.OpDescribe}, "where the topics end when the comparison begins"},
		{kafka.Topic, dataTopics, true, []string{kafka.OpRead}, "only for `--changed-since`: the keys of what has changed"},
		{kafka.Topic, schema.SchemaTopic(TopicPrefix), false, []string{kafka.OpRead}, newerRelease},
		{kafka.Group, Group, false, []string{kafka.OpDescribe}, "what the sink has applied"},
		{kafka.Topic, schema.TablesTopic(TopicPrefix), false, []string{kafka.OpRead}, "only for `repair --execute` where tables or families are renamed: their descriptors"},
	}}
	MigrateStart = Role{"`waltap migrate start`, beside those of the connectors of each wave", []Right{
		{kafka.Topic, StateTopic, false, progress, "the state of the migration"},
		{kafka.Topic, StateTopic, false, []string{kafka.OpCreate}, "to create it"},
	}}
	MigrateSteps = Role{"The other steps of `waltap migrate`", []Right{
		{kafka.Topic, StateTopic, false, []string{kafka.OpRead, kafka.OpDescribeConfigs}, "the state of the migration; enough for `plan` and `status`"},
		{kafka.Topic, StateTopic, false, []string{kafka.OpWrite}, "`pause`, `resume`, `verify`, `repair`, `cutover`, `cleanup`"},
		{kafka.Topic, schema.OffsetsTopic(TopicPrefix), false, []string{kafka.OpRead, kafka.OpDescribeConfigs}, "`status`, `cutover`: how far scan and stream are"},
		{kafka.Topic, schema.WatermarksTopic(TopicPrefix), false, []string{kafka.OpRead}, "`status`, `verify`, `repair`, `cutover`: the watermark"},
		{kafka.Topic, dataTopics, true, []string{kafka.OpRead}, "`verify`, `repair`, `cutover`: where the topics end, and the keys of what has changed since a clean pass"},
		{kafka.Topic, schema.SchemaTopic(TopicPrefix), false, []string{kafka.OpRead}, newerRelease},
		{kafka.Topic, schema.TablesTopic(TopicPrefix), false, []string{kafka.OpRead}, "only for `repair --execute` where tables or families are renamed: their descriptors"},
		{kafka.Group, Group, false, []string{kafka.OpDescribe}, "`verify`, `repair`, `cutover`: what the sink has applied; `cleanup`: that its processes have stopped"},
		{kafka.Group, tasks.Group(Connector), false, []string{kafka.OpDescribe}, "`cleanup`: that the source's have"},
		{kafka.Topic, dataTopics, true, []string{kafka.OpDelete}, byTopics},
		{kafka.Topic, schema.OffsetsTopic(TopicPrefix), false, []string{kafka.OpDelete}, byTopics},
		{kafka.Topic, schema.SchemaTopic(TopicPrefix), false, []string{kafka.OpDelete}, byTopics},
		{kafka.Topic, schema.TablesTopic(TopicPrefix), false, []string{kafka.OpDelete}, byTopics},
		{kafka.Topic, schema.WatermarksTopic(TopicPrefix), false, []string{kafka.OpDelete}, byTopics},
		{kafka.Topic, schema.TasksTopic(TopicPrefix), false, []string{kafka.OpDelete}, byTopics},
	}}
	MigrateDeadLetters = Role{"The other steps of `waltap migrate` where a connector has `errors.deadletterqueue.topic.name`, in addition", []Right{
		{kafka.Topic, DeadTopic, false, []string{kafka.OpRead}, "`cutover`: whether there are any"},
		{kafka.Topic, dlq.StateTopic, false, []string{kafka.OpRead, kafka.OpDescribeConfigs}, "`cutover`: which of them were put back"},
	}}
	Roles = []Role{Source, Sink, DeadLetters, Signals, Worker, Page, OffsetsGet, OffsetsSet, SignalSend, Tail, DlqList, DlqReplay, Verify, MigrateStart, MigrateSteps, MigrateDeadLetters}
)

// StateTopic is migrate.StateTopic.
const StateTopic = "__waltap-migrations"

const byTopics = "`cleanup --topics` deletes it"

// Reversed stands behind the names of what a reverse stream has for itself, before its number.
const Reversed = "-reverse-"

// fill returns the rights with what stands for TopicPrefix, Connector, Group and DeadTopic.
func fill(rights []Right, prefix, connector, group, dead string) []Right {
	r := strings.NewReplacer(TopicPrefix, prefix, Connector, connector, Group, group, DeadTopic, dead)
	out := slices.Clone(rights)
	for i := range out {
		out[i].Name = r.Replace(out[i].Name)
	}
	return out
}

// without leaves out the rights to create topics.
func without(rights []Right, operation string) []Right {
	return slices.DeleteFunc(slices.Clone(rights), func(r Right) bool { return slices.Equal(r.Operations, []string{operation}) })
}

// OfConnector lists what one connector of a process needs. topicPrefix is that of the sources whose topics a sink reads, ""
// to take it from a source of the same process.
func OfConnector(p *config.Process, c *config.Connector, topicPrefix string) ([]Right, error) {
	if s := c.Source; s != nil {
		rights := slices.Clone(Source.Rights)
		if s.Errors.Tolerance == config.ToleranceAll || s.Oversized == config.OversizedDeadLetter {
			rights = append(rights, DeadLetters.Rights...)
		}
		rights = fill(rights, s.TopicPrefix, c.Name, "", s.Errors.DeadLetterTopic)
		if !s.TopicCreation.Enable {
			rights = without(rights, kafka.OpCreate)
		}
		if s.SignalTopic != "" {
			for _, r := range fill(Signals.Rights, "", c.Name, "", "") {
				r.Name = strings.ReplaceAll(r.Name, SignalTopic, s.SignalTopic)
				rights = append(rights, r)
			}
		}
		return onOffsets(p, s.TopicPrefix, rights), nil
	}
	s := c.Sink
	begin, err := topicsBegin(s)
	if err != nil {
		return nil, err
	}
	if topicPrefix == "" {
		if topicPrefix, err = prefixOf(p, begin); err != nil {
			return nil, err
		}
	}
	all := slices.Clone(Sink.Rights)
	if s.Errors.Tolerance == config.ToleranceAll {
		all = append(all, DeadLetters.Rights...)
	}
	var rights []Right
	for _, r := range fill(all, topicPrefix, c.Name, s.GroupID, s.Errors.DeadLetterTopic) {
		switch {
		case r.Name == schema.WatermarksTopic(topicPrefix) && s.EndTime.IsZero():
		case slices.Equal(r.Operations, []string{kafka.OpCreate}) && !s.TopicCreation.Enable:
		case r.Prefixed:
			for _, name := range begin {
				r.Name, r.Prefixed = name, s.TopicsRegex != nil
				rights = append(rights, r)
			}
		default:
			rights = append(rights, r)
		}
	}
	return rights, nil
}

// OfWorker lists what a worker of a group needs, beside its connectors, and for the web page, but for the topics of dead letters.
func OfWorker(p *config.Process) []Right {
	p = p.WithWorkerTopics()
	r := strings.NewReplacer(ConfigTopic, p.Worker.ConfigTopic, StatusTopic, p.Worker.StatusTopic, OffsetTopic, p.Worker.OffsetTopic, WorkerGroup, p.GroupID)
	var out []Right
	for _, right := range slices.Concat(Worker.Rights, Page.Rights) {
		if right.Name == OffsetTopic && p.Worker.OffsetTopic == "" || right.Name == Group || right.Name == DeadTopic {
			continue
		}
		right.Name = r.Replace(right.Name)
		out = append(out, right)
	}
	return out
}

// onOffsets are rights of which those on the offsets topic of a prefix are on the topic that the process has for it. One that others use
// is not deleted: the progress of one connector is taken out.
func onOffsets(p *config.Process, prefix string, rights []Right) []Right {
	topic, shared := p.OffsetsTopic(prefix)
	out := slices.Clone(rights)
	for i := range out {
		r := &out[i]
		if !shared || r.Name != schema.OffsetsTopic(prefix) {
			continue
		}
		r.Name = topic
		if slices.Equal(r.Operations, []string{kafka.OpDelete}) {
			r.Operations, r.For = []string{kafka.OpWrite}, "`cleanup --topics` takes the connector's progress out of it"
		}
	}
	return out
}

// OfVerify lists what waltap verify and repair need for the pair of a process.
func OfVerify(source, sink *config.Connector) []Right {
	return ofPair(Verify.Rights, source, sink)
}

func ofPair(rights []Right, source, sink *config.Connector) []Right {
	return fill(rights, source.Source.TopicPrefix, source.Name, sink.Sink.GroupID, "")
}

// MigrationRights are those of one wave of a migration.
type MigrationRights struct {
	Start []Right // of waltap migrate start, which runs the connectors
	Steps []Right // of all other steps
	// Reverse is what those of either need in addition for cutover --reverse and its undoing.
	ReverseStart, ReverseSteps []Right
}

// OfMigration lists what the steps of waltap migrate need for a wave, whose connectors are given.
func OfMigration(p *config.Process, source, sink *config.Connector) (*MigrationRights, error) {
	from, err := OfConnector(p, source, "")
	if err != nil {
		return nil, err
	}
	to, err := OfConnector(p, sink, source.Source.TopicPrefix)
	if err != nil {
		return nil, err
	}
	steps := onOffsets(p, source.Source.TopicPrefix, ofPair(MigrateSteps.Rights, source, sink))
	for _, e := range []*config.Errors{&source.Source.Errors, &sink.Sink.Errors} {
		if e.DeadLetterTopic != "" {
			steps = append(steps, fill(MigrateDeadLetters.Rights, "", "", "", e.DeadLetterTopic)...)
		}
	}
	back := reversed(source, sink, MigrateSteps.Rights)
	for i := range back { // its topics are not verified
		if back[i].Name == source.Source.TopicPrefix+Reversed && slices.Equal(back[i].Operations, []string{kafka.OpRead}) {
			back[i].Operations, back[i].For = []string{kafka.OpDescribe}, "`cutover --undo`: what the sink has applied"
		}
	}
	return &MigrationRights{
		Start: Unique(from, to, MigrateStart.Rights), Steps: Unique(steps),
		ReverseStart: reversed(source, sink, Source.Rights, Sink.Rights), ReverseSteps: back,
	}, nil
}

// reversed are rights on what all reverse streams of a pair have for themselves.
func reversed(source, sink *config.Connector, lists ...[]Right) []Right {
	mark := source.Source.TopicPrefix + Reversed
	var out []Right
	for _, r := range slices.Concat(lists...) {
		own := strings.Contains(r.Name, TopicPrefix) || strings.Contains(r.Name, Connector) || strings.Contains(r.Name, Group)
		if !own || strings.Contains(r.For, "only for ") || strings.Contains(r.For, "only with ") {
			continue
		}
		r = fill([]Right{r}, mark, source.Name+Reversed, config.DefaultGroup(sink.Name+Reversed), "")[0]
		r.Name, r.Prefixed = strings.TrimSuffix(r.Name, "."), true
		out = append(out, r)
	}
	return Unique(out)
}

// Unique joins lists; of rights to the same the first stays.
func Unique(lists ...[]Right) []Right {
	var out []Right
	for _, r := range slices.Concat(lists...) {
		if !slices.ContainsFunc(out, func(o Right) bool {
			return o.Resource == r.Resource && o.Name == r.Name && o.Prefixed == r.Prefixed && slices.Equal(o.Operations, r.Operations)
		}) {
			out = append(out, r)
		}
	}
	return out
}

// topicsBegin lists the topics of a sink, or what all of them begin with.
func topicsBegin(s *config.Sink) ([]string, error) {
	if s.TopicsRegex == nil {
		return s.Topics, nil
	}
	begin := s.TopicsBegin()
	if begin == "" {
		return nil, errors.New("topics.regex has no fixed beginning, so no right covers just the topics that it matches: begin it with the topic.prefix of their source, such as orders\\..*")
	}
	return []string{begin}, nil
}

// prefixOf finds the topic.prefix of the topics that begin so among the sources of the process.
func prefixOf(p *config.Process, begin []string) (string, error) {
	for _, c := range p.Connectors {
		if c.Source == nil {
			continue
		}
		data := c.Source.TopicPrefix + "."
		if slices.ContainsFunc(begin, func(b string) bool { return strings.HasPrefix(b, data) || strings.HasPrefix(data, b) }) {
			return c.Source.TopicPrefix, nil
		}
	}
	return "", fmt.Errorf("the source of the topics %s is not in this configuration: say with --topic-prefix what its topic.prefix is", strings.Join(begin, ", "))
}

// Command is the command of Kafka's that gives a principal the right.
func (r Right) Command(bootstrap, principal string) string {
	return kafka.ACLCommand(bootstrap, principal, kafka.ACL{Resource: r.Resource, Name: r.Name, Prefixed: r.Prefixed}, r.Operations...)
}
