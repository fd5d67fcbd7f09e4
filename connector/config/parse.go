package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/waltap/waltap/internal/secret"
)

// maxNameLength keeps the names derived from a connector's in Kafka's limits.
const maxNameLength = 200

// entry is one key as it was given.
type entry struct {
	value  string
	line   int
	faulty bool // has a fault already
}

// section is the keys of one place, the process or a connector, and where it stands.
type section struct {
	at       Fault // file, line and connector
	keys     map[string]entry
	resolver secret.Resolver // of the references in the values
	host     string          // peer.advertised.host.name of the process
}

// fault is a Fault of one of the section's keys.
func (s *section) fault(key string) Fault {
	f := s.at
	f.Key = key
	if e, ok := s.keys[key]; ok {
		f.Line = e.line
	}
	return f
}

// ParseConnector reads the configuration of one connector from Connect-style
// properties. name may be empty when the properties hold it. The error is an
// *Error with all faults.
func ParseConnector(name string, properties map[string]string) (*Connector, error) {
	return new(Process).ParseConnector(name, properties)
}

// ParseConnector is ParseConnector of the package with the configuration providers of the process.
func (p *Process) ParseConnector(name string, properties map[string]string) (*Connector, error) {
	s := section{keys: make(map[string]entry, len(properties)), resolver: secret.Resolver{Names: p.Providers}, host: p.Worker.PeerHost}
	for k, v := range properties {
		s.keys[k] = entry{value: strings.TrimSpace(v)}
	}
	var f faults
	if given, ok := s.keys["name"]; ok && name != "" && given.value != name {
		f.add(Fault{Connector: name, Key: "name"}, "%q differs from the connector's name %q", given.value, name)
	} else if !ok && name != "" {
		s.keys["name"] = entry{value: name}
	}
	c := parseConnector(&s, &f)
	if err := f.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// parseConnector reads a connector; it is of use only when no fault was added.
func parseConnector(s *section, f *faults) *Connector {
	c := &Connector{Name: s.keys["name"].value, Raw: map[string]string{}}
	s.at.Connector = c.Name
	for k, e := range s.keys {
		if k != "name" {
			c.Raw[k] = e.value
		}
	}
	if err := checkName(c.Name); err != nil {
		f.add(s.fault("name"), "%v", err)
	}
	scope, t := c.target()
	parseKeys(s, scope, t, f)
	switch {
	case c.Source != nil:
		completeSource(s, c, f)
	case c.Sink != nil:
		completeSink(s, c, f)
	}
	return c
}

// target makes what the keys of the connector's class are parsed into.
func (c *Connector) target() (Scope, *target) {
	c.Class = Class(c.Raw["connector.class"])
	switch c.Class {
	case HBaseSource:
		c.Source = new(Source)
		return InSource, &target{source: c.Source, hbase: &c.Source.HBase, errors: &c.Source.Errors}
	case HBaseSink:
		c.Sink = new(Sink)
		return InSink, &target{sink: c.Sink, hbase: &c.Sink.HBase, errors: &c.Sink.Errors}
	}
	return InSource | InSink, nil
}

// parseKeys reads the section's keys that belong to scope into t and faults
// the others. Without a t, because the class is not known, only the names are
// checked, and connector.class itself.
func parseKeys(s *section, scope Scope, t *target, f *faults) {
	given := slices.Sorted(maps.Keys(s.keys))
	for _, name := range given {
		if name != "name" || scope&InProcess != 0 {
			checkKnown(s, name, scope, f)
		}
	}
	if t != nil {
		t.resolver = &s.resolver
	}
	for i := range keys {
		k := &keys[i]
		if k.Scope&scope == 0 || t == nil && k.Name != "connector.class" {
			continue
		}
		if k.named == nil {
			parseKey(s, k, k.Name, t, f)
			continue
		}
		for _, name := range given {
			if lookup(name) == k {
				parseKey(s, k, name, t, f)
			}
		}
	}
}

// checkKnown faults a key that is none of the scope's.
func checkKnown(s *section, name string, scope Scope, f *faults) {
	k := lookup(name)
	switch {
	case k != nil && k.Scope&scope == 0:
		f.add(s.fault(name), "this is a key of %s", k.Scope)
	case k != nil:
	case whyRefused(name) != "":
		f.add(s.fault(name), "not supported: %s", whyRefused(name))
	default:
		f.add(s.fault(name), "unknown key%s", didYouMean(name, names(scope)))
	}
}

// parseKey reads the value of the key called name, or its default.
func parseKey(s *section, k *Key, name string, t *target, f *faults) {
	e, given := s.keys[name]
	switch {
	case e.faulty:
	case given:
		if err := s.parse(k, name, t, e.value); err != nil {
			f.add(s.fault(name), "%v", err)
		}
	case k.Required && k.unless != nil && k.unless(s):
	case k.Required:
		f.add(s.fault(name), "required, for example %s: %s", k.Example, k.Doc)
	case k.Default != "":
		if err := k.parse(t, name, k.Default); err != nil {
			f.add(s.fault(name), "parse default: %v", err)
		}
	}
}

// parse puts what references stand for into the value and sets it. The error shows the references, not what they stand for.
func (s *section) parse(k *Key, name string, t *target, value string) error {
	if k.asWritten {
		return k.parse(t, name, value)
	}
	if k.Type == Password && value != "" && !secret.IsReference(value) {
		return errLiteral
	}
	resolved, err := s.resolver.Resolve(value)
	if err != nil {
		return err
	}
	if err := k.parse(t, name, resolved.Text); err != nil {
		return errors.New(resolved.Hide(err.Error()))
	}
	return nil
}

// names lists the keys of a scope, for suggestions.
func names(scope Scope) []string {
	var list []string
	if scope&InProcess != 0 {
		list = append(list, connectorsKey)
	} else {
		list = append(list, "name")
	}
	for i := range keys {
		if keys[i].Scope&scope != 0 {
			list = append(list, keys[i].Name)
		}
	}
	return list
}

// connectorName are names of migrations and waves. Those of connectors are Connect's: see checkName.
var connectorName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

func checkName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("required, for example orders-source: the connector's name, of which its peer, its progress and its consumer group are named")
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("%q is not a name: it may hold no control characters, such as line ends", name)
	case name != strings.TrimSpace(name):
		return fmt.Errorf("%q is not a name: it may not begin or end with a blank", name)
	case len(name) > maxNameLength:
		return fmt.Errorf("the name has %d bytes: want at most %d", len(name), maxNameLength)
	}
	return nil
}

var notInPeerID = regexp.MustCompile(`[^A-Za-z0-9_]`)

// completeSource fills the defaults that depend on other keys.
func completeSource(s *section, c *Connector, f *faults) {
	p := &c.Source.Peer
	own := "waltap_" + notInPeerID.ReplaceAllString(c.Name, "_")
	if !s.has("hbase.peer.id") {
		p.ID = own
	}
	if !s.has("hbase.peer.znode.parent") {
		p.ZNodeParent = "/" + own
	}
	if !s.has("hbase.peer.zookeeper.quorum") {
		p.ZooKeeperQuorum = slices.Clone(c.Source.HBase.ZooKeeperQuorum)
	}
	if p.AdvertisedHost = cmp.Or(p.AdvertisedHost, s.host); p.AdvertisedHost == "" && !s.has("hbase.peer.advertised.host") {
		host, err := os.Hostname()
		if err == nil {
			p.AdvertisedHost, err = parseHost(host)
		}
		if err != nil {
			f.add(s.fault("hbase.peer.advertised.host"), "required, because the machine's hostname cannot be used: %v", err)
		}
	}
	if len(p.ZooKeeperQuorum) > 0 && p.ZNodeParent == c.Source.HBase.ZNodeParent && sameQuorum(p.ZooKeeperQuorum, c.Source.HBase.ZooKeeperQuorum) {
		f.add(s.fault("hbase.peer.znode.parent"), "%s is the source cluster's own znode: waltap would register as one of its region servers", p.ZNodeParent)
	}
	if key, err := checkScope(&c.Source.Scope); err != nil {
		f.add(s.fault(key), "%v", err)
	}
	checkFiles(s, c.Source, f)
	checkEnd(s, c.Source, f)
	checkSourceErrors(s, c.Source, f)
	completeConverters(s, c.Source, f)
	completeTopics(s, &c.Source.TopicCreation, f)
	completeProducer(s, &c.Source.Producer, f)
}

// checkEnd faults an end time that would never come.
func checkEnd(s *section, c *Source, f *faults) {
	if !c.EndTime.IsZero() && c.Watermark.Mode == WatermarkOff {
		f.add(s.fault("end.time"), "needs the watermark: set watermark.mode to heartbeat or metrics")
	}
}

// DefaultGroup is the consumer group of a sink whose configuration names none, as Kafka Connect has it.
func DefaultGroup(connector string) string { return "connect-" + connector }

func completeSink(s *section, c *Connector, f *faults) {
	if !s.has("consumer.group.id") {
		c.Sink.GroupID = DefaultGroup(c.Name)
	}
	if !s.has("schema.evolution") {
		c.Sink.Evolution = EvolutionNone
		if c.Sink.CreateTables {
			c.Sink.Evolution = EvolutionBasic
		}
	}
	completeRegistry(s, valueConverter, &c.Sink.Registry, f)
	switch {
	case s.has("topics") && s.has("topics.regex"):
		f.add(s.fault("topics.regex"), "topics is given too: give exactly one of the two")
	case !s.has("topics") && !s.has("topics.regex"):
		f.add(s.fault("topics"), "required, or else topics.regex: which topics to apply")
	}
	checkErrors(s, &c.Sink.Errors, f)
	completeConsumer(s, &c.Sink.Consumer, f)
	if t := c.Sink.Errors.DeadLetterTopic; t != "" && c.Sink.MatchTopic(t) {
		f.add(s.fault(deadLetterTopic), "the sink itself reads topic %s: name one that neither topics nor topics.regex has", t)
	}
	if c.Sink.NoOverwrite && c.Sink.Apply == ApplyReplication {
		f.add(s.fault("hbase.no.overwrite"), "replication overwrites: remove hbase.apply: replication, or set it to mutation")
	}
}

const deadLetterTopic = "errors.deadletterqueue.topic.name"

// checkErrors faults a tolerance that would drop records.
func checkErrors(s *section, e *Errors, f *faults) {
	if e.Tolerance == ToleranceAll && e.DeadLetterTopic == "" {
		f.add(s.fault("errors.tolerance"), "all needs %s: waltap drops no record", deadLetterTopic)
	}
}

func checkSourceErrors(s *section, c *Source, f *faults) {
	checkErrors(s, &c.Errors, f)
	if c.Oversized == OversizedDeadLetter && c.Errors.DeadLetterTopic == "" {
		f.add(s.fault("errors.oversized.policy"), "dead-letter needs %s", deadLetterTopic)
	}
	if t := c.Errors.DeadLetterTopic; c.TopicPrefix != "" && strings.HasPrefix(t, c.TopicPrefix+".") {
		f.add(s.fault(deadLetterTopic), "%s begins like the topics of tables (%s.): sinks would take it for one of them", t, c.TopicPrefix)
	}
}

func (s *section) has(key string) bool {
	_, ok := s.keys[key]
	return ok
}

func sameQuorum(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
