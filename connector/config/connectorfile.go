package config

import (
	"fmt"
	"strings"

	"github.com/magiconair/properties"
	"go.yaml.in/yaml/v3"
)

// ReadConnector reads the keys of one connector from a file as users of Kafka Connect have them: a .properties file; or YAML or JSON
// with flat or nested keys, or as POST /connectors takes them, {"name":…,"config":{…}}. It checks no key. The values are as they
// are written, references among them. file is named in errors.
func ReadConnector(file string, content []byte) (name string, keys map[string]string, err error) {
	if strings.HasSuffix(file, ".properties") {
		loader := properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}
		p, err := loader.LoadBytes(content)
		if err != nil {
			return "", nil, fmt.Errorf("%s is not a properties file", file)
		}
		keys = p.Map()
		return keys["name"], keys, nil
	}
	var f faults
	at := Fault{File: file}
	root := readYAML(at, content, &f)
	if err := f.err(); err != nil {
		return "", nil, err
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		switch k, v := root.Content[i].Value, root.Content[i+1]; {
		case k == connectorsKey:
			return "", nil, fmt.Errorf("%s is the file of a process (it has connectors): give one connector, its keys at the top", file)
		case k == "name" && v.Kind == yaml.ScalarNode:
			name = v.Value
		}
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == "config" && root.Content[i+1].Kind == yaml.MappingNode {
			root = root.Content[i+1]
			break
		}
	}
	s := &section{at: at, keys: map[string]entry{}}
	flatten(s, "", root, &f)
	if err := f.err(); err != nil {
		return "", nil, err
	}
	keys = make(map[string]string, len(s.keys))
	for k, e := range s.keys {
		keys[k] = e.value
	}
	if name == "" {
		name = keys["name"]
	}
	return name, keys, nil
}
