package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

const connectorsKey = "connectors"

// ParseFile reads the YAML file of a process. Keys are flat; nested maps are
// taken as the dotted join of their keys. The error is an *Error with all
// faults, unless the file cannot be read.
func ParseFile(path string) (*Process, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, b)
}

// ParseWorkerFile is ParseFile for a worker, whose connectors are not in a file.
func ParseWorkerFile(path string) (*Process, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return parse(path, b, true)
}

// Parse is ParseFile for a file's content. file is named in errors.
func Parse(file string, content []byte) (*Process, error) { return parse(file, content, false) }

func parse(file string, content []byte, worker bool) (*Process, error) {
	var f faults
	p := parseProcess(file, content, worker, &f)
	if err := f.err(); err != nil {
		return nil, err
	}
	return p, nil
}

func parseProcess(file string, content []byte, worker bool, f *faults) *Process {
	at := Fault{File: file}
	root := readYAML(at, content, f)
	if root == nil {
		return nil
	}
	p := new(Process)
	connectors := cutConnectors(at, root, worker, f)
	s := &section{at: at, keys: map[string]entry{}}
	flatten(s, "", root, f)
	s.resolver = resolverOf(s, f)
	p.Providers = s.resolver.Names
	security := new(security)
	parseKeys(s, InProcess, &target{process: p, security: security}, f)
	completeSecurity(s, p, security, f)
	completeREST(s, p, f)
	if connectors == nil {
		return p
	}
	lines := map[string]int{}
	for _, n := range connectors.Content {
		s := &section{at: Fault{File: file, Line: n.Line, Connector: nameIn(n)}, keys: map[string]entry{}, resolver: s.resolver, host: p.Worker.PeerHost}
		if n.Kind != yaml.MappingNode {
			f.add(s.fault(connectorsKey), "want keys and values of a connector, each on a line of its own")
			continue
		}
		flatten(s, "", n, f)
		before := len(*f)
		c := parseConnector(s, f)
		if line, ok := lines[c.Name]; ok && c.Name != "" {
			f.add(s.fault("name"), "the connector on line %d has the same name", line)
		}
		lines[c.Name] = n.Line
		if len(*f) == before {
			checkApart(s, p.Connectors, c, f)
		}
		p.Connectors = append(p.Connectors, *c)
	}
	return p
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// readYAML returns the one mapping that the content holds, nil on a fault.
func readYAML(at Fault, content []byte, f *faults) *yaml.Node {
	var doc, more yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(content))
	err := d.Decode(&doc)
	if errors.Is(err, io.EOF) {
		f.add(at, "the file is empty")
		return nil
	}
	if err != nil {
		m := yamlLine.FindStringSubmatch(err.Error())
		if m != nil && m[1] != "" {
			at.Line, _ = strconv.Atoi(m[1])
		}
		f.add(at, "parse YAML: %s", yamlLine.ReplaceAllString(err.Error(), ""))
		return nil
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		at.Line = more.Line
		f.add(at, "want one YAML document, there is a second one")
		return nil
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		at.Line = doc.Line
		f.add(at, "want keys and values, such as bootstrap.servers: 127.0.0.1:9092")
		return nil
	}
	return doc.Content[0]
}

// cutConnectors takes the list of connectors out of the file's keys.
func cutConnectors(at Fault, root *yaml.Node, worker bool, f *faults) *yaml.Node {
	var list *yaml.Node
	first := 0 // line of the key
	at.Key = connectorsKey
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value != connectorsKey {
			continue
		}
		if list != nil {
			at.Line = root.Content[i].Line
			f.add(at, "the key stands on line %d too", first)
		} else {
			first, list = root.Content[i].Line, root.Content[i+1]
		}
		root.Content = slices.Delete(root.Content, i, i+2)
		i -= 2
	}
	at.Line = first
	if worker {
		if first > 0 {
			f.add(at, "a worker's connectors are not in its file: create them with waltap connectors create, or POST /connectors")
		}
		return nil
	}
	if list == nil || list.Kind != yaml.SequenceNode || len(list.Content) == 0 {
		f.add(at, "required: a list of connectors, each with its name, connector.class and other keys")
		return nil
	}
	return list
}

// nameIn returns the name of the connector that n holds, for its faults.
func nameIn(n *yaml.Node) string {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "name" {
			return n.Content[i+1].Value
		}
	}
	return ""
}

// flatten puts the keys below n into s, those of nested maps as dotted names.
func flatten(s *section, prefix string, n *yaml.Node, f *faults) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		name := prefix + k.Value
		at := s.at
		at.Line, at.Key = k.Line, name
		if k.Kind != yaml.ScalarNode {
			at.Key = strings.TrimSuffix(prefix, ".")
			f.add(at, "a key must be a plain word")
			continue
		}
		if v.Kind == yaml.MappingNode {
			flatten(s, name+".", v, f)
			continue
		}
		value, err := scalar(v)
		if err != nil {
			f.add(at, "%v", err)
		}
		if other, ok := s.keys[name]; ok {
			f.add(at, "the key stands on line %d too", other.line)
		}
		s.keys[name] = entry{value: value, line: k.Line, faulty: err != nil}
	}
}

// scalar returns a value's text, of a list its entries joined by commas.
func scalar(n *yaml.Node) (string, error) {
	if n.Kind == yaml.AliasNode && n.Alias.Kind == yaml.ScalarNode {
		n = n.Alias
	}
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return "", nil
	case n.Kind == yaml.ScalarNode:
		return strings.TrimSpace(n.Value), nil
	case n.Kind != yaml.SequenceNode:
		return "", fmt.Errorf("want a value or a list of values; an alias may stand for a single value only")
	}
	list := make([]string, len(n.Content))
	for i, e := range n.Content {
		if e.Kind == yaml.SequenceNode || e.Kind == yaml.MappingNode {
			return "", fmt.Errorf("want a list of plain values")
		}
		v, err := scalar(e)
		if err != nil {
			return "", err
		}
		list[i] = v
	}
	return strings.Join(list, ","), nil
}

// checkApart faults what two connectors of one process cannot share.
func checkApart(s *section, others []Connector, c *Connector, f *faults) {
	for i := range others {
		o := &others[i]
		switch {
		case c.Source != nil && o.Source != nil:
			checkSourcesApart(s, o, c, f)
		case c.Sink != nil && o.Sink != nil && c.Sink.GroupID == o.Sink.GroupID:
			f.add(s.fault("consumer.group.id"), "connector %s has the group %s too: give each its own", o.Name, c.Sink.GroupID)
		}
		checkDeadLettersUnread(s, o, c, f)
		checkDeadLettersUnread(s, c, o, f)
	}
}

// checkDeadLettersUnread faults a sink that reads the dead letters of another connector.
func checkDeadLettersUnread(s *section, reader, writer *Connector, f *faults) {
	topic := ""
	switch {
	case writer.Source != nil:
		topic = writer.Source.Errors.DeadLetterTopic
	case writer.Sink != nil:
		topic = writer.Sink.Errors.DeadLetterTopic
	}
	if topic != "" && reader.Sink != nil && reader.Sink.MatchTopic(topic) {
		f.add(s.fault(deadLetterTopic), "connector %s puts dead letters on topic %s, which connector %s would apply: give them a topic that no sink reads", writer.Name, topic, reader.Name)
	}
}

func checkSourcesApart(s *section, other, c *Connector, f *faults) {
	a, b := other.Source, c.Source
	if a.TopicPrefix == b.TopicPrefix {
		f.add(s.fault("topic.prefix"), "connector %s has the prefix %s too: give each its own, or capture the tables by one connector", other.Name, b.TopicPrefix)
	}
	if len(a.HBase.ZooKeeperQuorum) == 0 || len(b.HBase.ZooKeeperQuorum) == 0 {
		return // no peer
	}
	if a.Peer.ID == b.Peer.ID && a.HBase.ZNodeParent == b.HBase.ZNodeParent && sameQuorum(a.HBase.ZooKeeperQuorum, b.HBase.ZooKeeperQuorum) {
		f.add(s.fault("hbase.peer.id"), "connector %s has the peer %s of the same cluster too: give each its own", other.Name, b.Peer.ID)
	}
	if a.Peer.ZNodeParent == b.Peer.ZNodeParent && sameQuorum(a.Peer.ZooKeeperQuorum, b.Peer.ZooKeeperQuorum) {
		f.add(s.fault("hbase.peer.znode.parent"), "connector %s registers at %s too: give each its own", other.Name, b.Peer.ZNodeParent)
	}
	if sameListener(a.Peer.Listen, b.Peer.Listen) {
		f.add(s.fault("hbase.peer.listen"), "connector %s listens on %s too: give each its own port", other.Name, a.Peer.Listen)
	}
}

// sameListener reports whether two listeners of one process would be in each
// other's way.
func sameListener(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	any := []string{"", "0.0.0.0", "::"}
	return hostA == hostB || slices.Contains(any, hostA) || slices.Contains(any, hostB)
}
