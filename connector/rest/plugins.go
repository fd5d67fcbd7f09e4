package rest

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"slices"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/internal/secret"
)

type plugin struct {
	Class   string `json:"class"`
	Type    string `json:"type"`
	Version string `json:"version"`
}

// classes are the connector classes and their types.
var classes = []struct {
	class config.Class
	kind  herder.Type
}{{config.HBaseSink, herder.Sink}, {config.HBaseSource, herder.Source}}

func plugins(c *call) (answer, error) {
	w, err := c.api.Herder.Worker(c.Context())
	if err != nil {
		return answer{}, err
	}
	list := make([]plugin, 0, len(classes))
	for _, k := range classes {
		list = append(list, plugin{string(k.class), string(k.kind), w.Version})
	}
	if only := c.URL.Query().Get("connectorsOnly"); only != "" && !isTrue(only) {
		for _, k := range config.Keys() {
			if k.Name != "value.converter" && k.Name != "key.converter" {
				continue
			}
			for _, v := range k.Values {
				p := plugin{v, "converter", w.Version}
				if !slices.Contains(list, p) {
					list = append(list, p)
				}
			}
		}
	}
	return ok(list, nil)
}

// keyInfo is a configuration key, as Connect's ConfigKeyInfo.
type keyInfo struct {
	Name          string   `json:"name"`
	Type          string   `json:"type"`
	Required      bool     `json:"required"`
	DefaultValue  *string  `json:"default_value"`
	Importance    string   `json:"importance"`
	Documentation string   `json:"documentation"`
	Group         *string  `json:"group"`
	Width         string   `json:"width"`
	DisplayName   string   `json:"display_name"`
	Dependents    []string `json:"dependents"`
	Order         int      `json:"order_in_group"`
}

const (
	groupCommon = "Common"
	groupSource = "Source"
	groupSink   = "Sink"
)

var typeNames = map[config.Type]string{
	config.String: "STRING", config.Integer: "INT", config.Boolean: "BOOLEAN", config.Milliseconds: "LONG", config.Size: "STRING",
	config.List: "LIST", config.RegexList: "LIST", config.Password: "PASSWORD",
}

func infoOf(k config.Key, order int) keyInfo {
	group, importance := groupCommon, "MEDIUM"
	switch k.Scope {
	case config.InSource:
		group = groupSource
	case config.InSink:
		group = groupSink
	}
	if k.Required {
		importance = "HIGH"
	}
	i := keyInfo{Name: k.Name, Type: typeNames[k.Type], Required: k.Required, Importance: importance, Documentation: k.Doc, Group: &group, Width: "MEDIUM", DisplayName: k.Name,
		Dependents: []string{}, Order: order}
	if k.Default != "" {
		i.DefaultValue = &k.Default
	} else if k.DefaultDoc != "" {
		i.Documentation += " Default: " + k.DefaultDoc + "."
	}
	return i
}

// keysOf are the keys of a class in the order of the reference, with the connector's name before them.
func keysOf(class config.Class) []config.Key {
	list := []config.Key{{Name: "name", Type: config.String, Required: true, Scope: config.InSource | config.InSink, Example: "orders",
		Doc: "Name of the connector, of which its peer, its progress and its consumer group are named: at most 200 bytes without control characters."}}
	for _, k := range config.Keys() {
		if k.Scope&config.ScopeOf(class) != 0 {
			list = append(list, k)
		}
	}
	return list
}

// class finds the class that a path names, by its name or as the last part of a Java class name.
func (c *call) class() (config.Class, bool) {
	class := config.Class(c.args[0])
	return class, config.ScopeOf(class) != 0
}

func pluginConfig(c *call) (answer, error) {
	class, known := c.class()
	if !known {
		return answer{}, fail(http.StatusNotFound, "Unknown plugin %s.", c.args[0])
	}
	var list []keyInfo
	for i, k := range keysOf(class) {
		list = append(list, infoOf(k, i+1))
	}
	return ok(list, nil)
}

// configInfos is the answer of validate.
type configInfos struct {
	Name       string       `json:"name"`
	ErrorCount int          `json:"error_count"`
	Groups     []string     `json:"groups"`
	Configs    []configInfo `json:"configs"`
}

type configInfo struct {
	Definition *keyInfo  `json:"definition"` // nil: the key is unknown
	Value      valueInfo `json:"value"`
}

type valueInfo struct {
	Name        string   `json:"name"`
	Value       *string  `json:"value"`
	Recommended []string `json:"recommended_values"`
	Errors      []string `json:"errors"`
	Visible     bool     `json:"visible"`
}

func validate(c *call) (answer, error) {
	var given properties
	if err := c.decode(&given); err != nil {
		return answer{}, err
	}
	if named, ok := given["connector.class"]; ok && named != c.args[0] {
		return answer{}, fail(http.StatusBadRequest, "Included connector type %s does not match request type %s", named, c.args[0])
	}
	class, known := c.class()
	if !known {
		return answer{}, fail(http.StatusInternalServerError, "Failed to find any class that implements Connector and which name matches %s: there are HBaseSource and HBaseSink", c.args[0])
	}
	if given["connector.class"] == "" {
		return answer{}, fail(http.StatusInternalServerError, "The configuration has no connector.class: give %s", c.args[0])
	}
	faults := make(map[string][]string)
	err := c.api.Process.CheckReferences(given)
	if err == nil {
		_, err = c.api.Process.ParseConnector("", given)
	}
	if e, ok := errors.AsType[*config.Error](err); ok {
		for _, f := range e.Faults {
			faults[cmp.Or(f.Key, "name")] = append(faults[cmp.Or(f.Key, "name")], f.Message)
		}
	} else if err != nil {
		return answer{}, err
	}
	return ok(infosOf(class, given, faults), nil)
}

// infosOf puts keys, values and faults together.
func infosOf(class config.Class, given properties, faults map[string][]string) configInfos {
	out := configInfos{Name: string(class), Groups: []string{groupCommon, groupSource}}
	if class == config.HBaseSink {
		out.Groups[1] = groupSink
	}
	shown := make(map[string]bool)
	add := func(k *config.Key, name string, order int) {
		if shown[name] {
			return
		}
		shown[name] = true
		v := valueInfo{Name: name, Recommended: []string{}, Errors: []string{}, Visible: true}
		i := configInfo{}
		if k != nil {
			def := infoOf(*k, order)
			def.Name, def.DisplayName = name, name
			i.Definition, v.Value = &def, def.DefaultValue
			v.Recommended = append(v.Recommended, k.Values...)
		}
		if text, ok := given[name]; ok {
			if k == nil || k.Type == config.Password && !secret.IsReference(text) {
				text = secret.New(text).String() // it may be one
			}
			v.Value = &text
		}
		v.Errors = append(v.Errors, faults[name]...)
		out.ErrorCount += min(len(v.Errors), 1)
		i.Value = v
		out.Configs = append(out.Configs, i)
	}
	keys := keysOf(class)
	for n := range keys {
		if keys[n].ExampleName() == keys[n].Name {
			add(&keys[n], keys[n].Name, n+1)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if k, known := config.Find(class, name); known {
			add(&k, name, len(out.Configs)+1)
		} else {
			add(nil, name, 0)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		add(nil, name, 0)
	}
	return out
}
