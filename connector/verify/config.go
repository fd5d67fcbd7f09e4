package verify

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source/watermark"
)

// Pair finds the two connectors of these names; "": the only one of its class.
func Pair(p *config.Process, source, sink string) (from, to *config.Connector, err error) {
	if from, err = find(p, source, config.HBaseSource); err != nil {
		return nil, nil, err
	}
	to, err = find(p, sink, config.HBaseSink)
	return from, to, err
}

// FromConfig takes from a configuration what Options say of the two ends, the tables, and the pipeline between them; Kafka and
// Schemas of the Pipeline are the caller's. source and sink are names of connectors; "": the only one of its class.
func FromConfig(p *config.Process, source, sink string, log *slog.Logger) (Options, error) {
	from, to, err := Pair(p, source, sink)
	if err != nil {
		return Options{}, err
	}
	s, t := from.Source, to.Sink
	if t.NoOverwrite {
		return Options{}, fmt.Errorf("connector %s has hbase.no.overwrite: true: it leaves alone what the target has, so the ends are not meant to be equal", to.Name)
	}
	o := Options{
		Source: adminConfig(s.HBase, log), Target: adminConfig(t.HBase, log), Mapping: t.Mapping, Scope: &s.Scope, Log: log,
		Pipeline: &Pipeline{Prefix: s.TopicPrefix, Connector: from.Name, Group: t.GroupID, NoWatermark: s.Watermark.Mode == config.WatermarkOff},
		Select: func(table string) bool {
			topic, err := schema.DataTopic(s.TopicPrefix, table)
			return err == nil && !watermark.IsTable(table) && s.Tables.Match(table) && t.MatchTopic(topic)
		},
	}
	return o, nil
}

func adminConfig(h config.HBase, log *slog.Logger) admin.Config {
	return admin.Config{Quorum: h.ZooKeeperQuorum, Root: h.ZNodeParent, DialTimeout: h.ConnectionTimeout, Logger: log}
}

// find returns the connector of that name and class.
func find(p *config.Process, name string, class config.Class) (*config.Connector, error) {
	var found []*config.Connector
	var names []string
	for i := range p.Connectors {
		c := &p.Connectors[i]
		if c.Class != class {
			continue
		}
		names = append(names, c.Name)
		if name == "" || c.Name == name {
			found = append(found, c)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(names) == 0:
		return nil, fmt.Errorf("the configuration has no connector of class %s", class)
	case len(found) == 0:
		return nil, fmt.Errorf("the configuration has no connector %s of class %s: it has %s", name, class, strings.Join(names, ", "))
	}
	return nil, fmt.Errorf("the configuration has several connectors of class %s: name one of %s", class, strings.Join(names, ", "))
}
