// Package doctor collects what the packages find out about the surroundings of a configuration before it is run: waltap
// doctor. It changes nothing on any side, and goes on where parts are down.
package doctor

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/waltap/waltap/connector"
	"github.com/waltap/waltap/connector/acl"
	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/migrate"
	"github.com/waltap/waltap/internal/check"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
	"github.com/waltap/waltap/sink/hbase"
	"github.com/waltap/waltap/source/capture"
)

// Part is checks that belong together, in the order in which they are shown.
type Part struct {
	Title, About string
	Checks       []*check.Check
}

// Parts are all checks.
func Parts() []Part {
	return []Part{
		{"Kafka", "Of the process.", kafka.Checks[:1]},
		{"The migration", "Of a file with migration.name or migration.waves. Its connectors are then those of its waves.", []*check.Check{MigrationCheck}},
		{"HBase's servers", "Of each connector: the source's, and the destination's.", admin.Checks},
		{"The source", "Of connectors of class HBaseSource.", capture.Checks},
		{"Topics", "Of the topics of each connector, and with `--worker` of those of the group.", kafka.TopicChecks},
		{"Rights and schemas", "Of each connector, and with `--worker` of the worker.", []*check.Check{acl.RightsCheck, connector.RegistryCheck}},
		{"The destination", "Of connectors of class HBaseSink. The tables are those of a source in the same configuration whose topics the sink consumes, or those that a source has published in Kafka.", hbase.Checks},
	}
}

// Options say how Run looks.
type Options struct {
	Timeout   time.Duration // of each check
	Retention time.Duration // for which records are to stay on their topics
	Worker    bool          // the file is that of a worker of a group
	NameNode  string        // http://host:port of that of the source's HDFS; "": not asked
}

// Section is the results of one connector, or of what its process has.
type Section struct {
	Connector string         `json:"connector,omitempty"` // "": the process
	Class     string         `json:"class,omitempty"`
	Results   []check.Result `json:"results"`
}

// Report is all that was found.
type Report struct {
	Severity check.Severity `json:"severity"` // the worst of all
	Sections []Section      `json:"sections"`
}

// Count is how many results have a severity.
func (r *Report) Count(s check.Severity) (n int) {
	for _, section := range r.Sections {
		for _, result := range section.Results {
			if result.Severity == s {
				n++
			}
		}
	}
	return n
}

// doctor is a Run at work.
type doctor struct {
	Options
	cfg    *config.Process
	kafka  kafka.Config
	client *kafka.Client // nil: it cannot be reached

	waves []*migrate.Wave // of a migration

	mu    sync.Mutex
	found map[string]*capture.Checked // by source
}

// Run looks at everything that cfg depends on.
func Run(ctx context.Context, cfg *config.Process, o Options) *Report {
	d := &doctor{Options: o, cfg: cfg, kafka: connector.KafkaConfig(cfg, nil), found: make(map[string]*capture.Checked)}
	var brokers []check.Result
	d.client, brokers = kafka.CheckBrokers(ctx, d.kafka, o.Timeout)
	if d.client != nil {
		defer d.client.Close()
	}
	brokers = append(brokers, d.migration(ctx)...)
	if o.Worker {
		brokers = append(brokers, d.worker(ctx)...)
	}
	sections := make([]Section, len(d.cfg.Connectors))
	// Sinks after sources: they are sent the sources' tables.
	d.each(sections, func(c *config.Connector) []check.Result {
		if c.Source == nil {
			return nil
		}
		return d.source(ctx, c)
	})
	d.each(sections, func(c *config.Connector) []check.Result {
		if c.Sink == nil {
			return nil
		}
		return d.sink(ctx, c)
	})
	r := &Report{Sections: append([]Section{{Results: append(brokers, d.shared()...)}}, sections...)}
	var all []check.Result
	for _, s := range r.Sections {
		all = append(all, s.Results...)
	}
	r.Severity = check.Worst(all)
	return r
}

// each fills the sections of connectors side by side.
func (d *doctor) each(sections []Section, look func(*config.Connector) []check.Result) {
	var all sync.WaitGroup
	for i := range d.cfg.Connectors {
		c := &d.cfg.Connectors[i]
		all.Go(func() {
			sections[i].Connector, sections[i].Class = c.Name, string(c.Class)
			sections[i].Results = append(sections[i].Results, look(c)...)
		})
	}
	all.Wait()
}

// worker looks at the topics of a group of workers, and at the rights to them.
func (d *doctor) worker(ctx context.Context) []check.Result {
	checks := slices.Concat(kafka.TopicChecks, []*check.Check{acl.RightsCheck})
	if d.client == nil {
		return check.Skipped("Kafka cannot be reached", checks...)
	}
	w := d.cfg.WithWorkerTopics().Worker
	var needs []kafka.TopicNeed
	for _, name := range []string{w.ConfigTopic, w.StatusTopic, w.OffsetTopic} {
		if name != "" {
			spec := kafka.TopicSpec{Name: name, Partitions: 1, ReplicationFactor: -1, Configs: map[string]string{"cleanup.policy": "compact"}}
			needs = append(needs, kafka.TopicNeed{Spec: spec, Create: true, Internal: true})
		}
	}
	return check.Run(ctx, d.Timeout,
		check.Task{Checks: kafka.TopicChecks, Run: func(ctx context.Context) []check.Result { return d.client.CheckTopics(ctx, needs) }},
		check.Task{Checks: []*check.Check{acl.RightsCheck}, Run: func(ctx context.Context) []check.Result {
			return acl.Check(ctx, d.client, &d.kafka, acl.OfWorker(d.cfg), nil)
		}})
}

func (d *doctor) source(ctx context.Context, c *config.Connector) []check.Result {
	cfg := capture.CheckConfig{Config: connector.CaptureConfig(c, d.client, slog.New(slog.DiscardHandler)), Timeout: d.Timeout, Retention: d.Retention, ScanRate: c.Source.Snapshot.MaxBytesPerSecond, NameNode: d.NameNode}
	cfg.OffsetsTopic, _ = d.cfg.OffsetsTopic(c.Source.TopicPrefix)
	found := capture.Check(ctx, cfg)
	d.mu.Lock()
	d.found[c.Name] = found
	d.mu.Unlock()
	var names, data []string
	for _, t := range found.Topics {
		names = append(names, t.Name)
		if strings.HasPrefix(t.Name, c.Source.TopicPrefix+".") {
			data = append(data, t.Name)
		}
	}
	return slices.Concat(found.Results, check.Run(ctx, d.Timeout, d.rights(c, names),
		check.Task{Checks: []*check.Check{connector.RegistryCheck}, Run: func(ctx context.Context) []check.Result {
			return connector.CheckEncodings(ctx, c.Source, data)
		}}))
}

// rights looks at the rights of a connector in Kafka.
func (d *doctor) rights(c *config.Connector, topics []string) check.Task {
	return check.Task{Checks: []*check.Check{acl.RightsCheck}, Run: func(ctx context.Context) []check.Result {
		if d.client == nil {
			return check.Skipped("Kafka cannot be reached", acl.RightsCheck)
		}
		rights, err := acl.OfConnector(d.cfg, c, "")
		if err != nil {
			return []check.Result{acl.RightsCheck.Unknown("", "which rights are needed: %v", err)}
		}
		return acl.Check(ctx, d.client, &d.kafka, rights, topics)
	}}
}

func (d *doctor) sink(ctx context.Context, c *config.Connector) []check.Result {
	s := c.Sink
	tables, why := d.tablesFor(ctx, s)
	topics, results := d.sinkTopics(ctx, s)
	target := hbase.Check(ctx, connector.ApplierConfig(s, slog.New(slog.DiscardHandler)), tables, why == "", d.Timeout)
	return slices.Concat(target, results, check.Run(ctx, d.Timeout, d.rights(c, topics),
		check.Task{Checks: []*check.Check{connector.RegistryCheck}, Run: func(ctx context.Context) []check.Result {
			return connector.CheckRegistry(ctx, s.Registry)
		}}))
}

// tablesFor lists the tables whose topics a sink consumes; why says why they are not known.
func (d *doctor) tablesFor(ctx context.Context, s *config.Sink) (tables []schema.Table, why string) {
	known := make(map[string]bool)
	for _, c := range d.cfg.Connectors {
		if c.Source == nil {
			continue
		}
		for _, t := range d.found[c.Name].Tables {
			if topic, err := schema.DataTopic(c.Source.TopicPrefix, t.Name); err == nil && s.MatchTopic(topic) && !known[t.Name] {
				known[t.Name] = true
				tables = append(tables, t)
			}
		}
	}
	if len(tables) > 0 {
		return tables, ""
	}
	if d.client == nil {
		return nil, "Kafka cannot be reached"
	}
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	tables, err := sink.ReadPublished(ctx, d.client, s.MatchTopic)
	switch {
	case err != nil:
		return nil, err.Error()
	case len(tables) == 0:
		return nil, "no source has published a table"
	}
	return tables, ""
}

// sinkTopics lists the topics that a sink consumes, and looks at those that no source of the process answers for.
func (d *doctor) sinkTopics(ctx context.Context, s *config.Sink) (names []string, results []check.Result) {
	for _, f := range d.found {
		for _, t := range f.Topics {
			if s.MatchTopic(t.Name) {
				names = append(names, t.Name)
			}
		}
	}
	if len(names) > 0 || d.client == nil {
		return names, nil
	}
	lctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	all, err := d.client.Topics(lctx)
	if err != nil {
		return nil, []check.Result{kafka.TopicChecks[0].Error("", err)}
	}
	var needs []kafka.TopicNeed
	for _, t := range all {
		if s.MatchTopic(t.Name) {
			names = append(names, t.Name)
			needs = append(needs, kafka.TopicNeed{Spec: kafka.TopicSpec{Name: t.Name}, Retention: d.Retention})
		}
	}
	if len(needs) == 0 {
		return nil, []check.Result{kafka.TopicChecks[0].Unknown("", "no topic matches topics or topics.regex yet: a source creates them")}
	}
	return names, check.Run(ctx, d.Timeout, check.Task{Checks: kafka.TopicChecks, Run: func(ctx context.Context) []check.Result {
		return d.client.CheckTopics(ctx, needs)
	}})
}

// Summary is the report in one line.
func (r *Report) Summary() string {
	return fmt.Sprintf("%d failures, %d warnings, %d unknown, %d ok", r.Count(check.Failure), r.Count(check.Warning), r.Count(check.Unknown), r.Count(check.OK))
}
