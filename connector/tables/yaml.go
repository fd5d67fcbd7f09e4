package tables

import (
	"bytes"
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/waltap/waltap/internal/hbase/descriptor"
	"github.com/waltap/waltap/schema"
)

type fileYAML struct {
	FormatVersion int             `yaml:"formatVersion"`
	Source        Origin          `yaml:"source,omitempty"`
	Namespaces    []namespaceYAML `yaml:"namespaces,omitempty"`
	Tables        []tableYAML     `yaml:"tables"`
}

type namespaceYAML struct {
	Name       string            `yaml:"name"`
	Properties map[string]string `yaml:"properties,omitempty"`
	LeftOut    []leftOutYAML     `yaml:"leftOut,omitempty"`
}

type tableYAML struct {
	Name          string            `yaml:"name"`
	Source        string            `yaml:"source,omitempty"`
	Attributes    map[string]string `yaml:"attributes,omitempty"`
	Configuration map[string]string `yaml:"configuration,omitempty"`
	Families      []familyYAML      `yaml:"families"`
	Splits        []string          `yaml:"splits,omitempty"`
	LeftOut       []leftOutYAML     `yaml:"leftOut,omitempty"`
}

type familyYAML struct {
	Name          string            `yaml:"name"`
	Source        string            `yaml:"source,omitempty"`
	Attributes    map[string]string `yaml:"attributes,omitempty"`
	Configuration map[string]string `yaml:"configuration,omitempty"`
}

type leftOutYAML struct {
	Family        string `yaml:"family,omitempty"`
	Attribute     string `yaml:"attribute,omitempty"`
	Configuration string `yaml:"configuration,omitempty"`
	Value         string `yaml:"value"`
	Why           string `yaml:"why"`
}

const head = `Definitions of HBase tables for a destination, written by: waltap schema export
Edit it, then compare and create: waltap schema diff, waltap schema apply (docs/schema.md).

name is the name at the destination: change it to rename a namespace, a table or a family. source is the name at the source; leave
it. A sink has to write to the same names: hbase.table.rename, hbase.namespace.rename, hbase.family.rename.
Attributes and configuration keys are HBase's own. REPLICATION_SCOPE is not among them: a copy is not replicated on unless you
add it. Bytes that are no printable text are written \xNN, a backslash \x5C.
`

const (
	splitsHead  = "start keys of all regions but the first"
	leftOutHead = "not taken over; to have a part all the same, move it to the attributes or the configuration above, or give\n--keep NAME to waltap schema"
)

// YAML is the file's text form: equal files give equal bytes.
func (f *File) YAML() ([]byte, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	var root yaml.Node
	if err := root.Encode(f.yaml()); err != nil {
		return nil, err
	}
	root.HeadComment = head
	comment(&root)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(&root), e.Close()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// comment explains the keys that need it, where they stand.
func comment(n *yaml.Node) {
	heads := map[string]string{"splits": splitsHead, "leftOut": leftOutHead}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			if text, ok := heads[c.Value]; ok && n.Content[i+1].Kind == yaml.SequenceNode {
				c.HeadComment = text
			}
			continue
		}
		comment(c)
	}
}

func (f *File) yaml() *fileYAML {
	y := &fileYAML{FormatVersion: FormatVersion, Source: f.Source}
	for _, ns := range f.Namespaces {
		y.Namespaces = append(y.Namespaces, namespaceYAML{ns.Name, texts(ns.Properties), leftOutTexts(ns.LeftOut)})
	}
	for _, t := range f.Tables {
		ty := tableYAML{Name: t.Name, Source: t.Source, Attributes: texts(t.Attributes), Configuration: texts(t.Configuration), LeftOut: leftOutTexts(t.LeftOut)}
		for _, fam := range t.Families {
			ty.Families = append(ty.Families, familyYAML{Text(fam.Name), Text(fam.Source), texts(fam.Attributes), texts(fam.Configuration)})
		}
		for _, s := range t.Splits {
			ty.Splits = append(ty.Splits, Key(s))
		}
		y.Tables = append(y.Tables, ty)
	}
	return y
}

func texts(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[Text(k)] = Text(v)
	}
	return out
}

func leftOutTexts(all []LeftOut) (out []leftOutYAML) {
	for _, l := range all {
		y := leftOutYAML{Family: Text(l.Part.Family), Value: Text(l.Value), Why: l.Why}
		if l.Part.Kind == descriptor.Configuration {
			y.Configuration = Text(l.Part.Name)
		} else {
			y.Attribute = Text(l.Part.Name)
		}
		out = append(out, y)
	}
	return out
}

// reader turns texts into bytes, and keeps what cannot be turned.
type reader struct{ errs []error }

func (r *reader) text(s string) string {
	b, err := Bytes(s)
	if err != nil {
		r.errs = append(r.errs, err)
	}
	return string(b)
}

func (r *reader) texts(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[r.text(k)] = r.text(v)
	}
	return out
}

func (r *reader) leftOut(all []leftOutYAML) (out []LeftOut) {
	for _, y := range all {
		l := LeftOut{Part: descriptor.Part{Kind: descriptor.Attribute, Family: r.text(y.Family), Name: r.text(y.Attribute)}, Value: r.text(y.Value), Why: y.Why}
		if y.Configuration != "" {
			l.Part.Kind, l.Part.Name = descriptor.Configuration, r.text(y.Configuration)
		}
		if (y.Attribute == "") == (y.Configuration == "") {
			r.errs = append(r.errs, fmt.Errorf("leftOut: an entry needs either attribute or configuration"))
		}
		out = append(out, l)
	}
	return out
}

func (y *fileYAML) file() (*File, error) {
	var r reader
	f := &File{Source: y.Source}
	for _, ns := range y.Namespaces {
		f.Namespaces = append(f.Namespaces, Namespace{ns.Name, r.texts(ns.Properties), r.leftOut(ns.LeftOut)})
	}
	for _, ty := range y.Tables {
		t := Table{Name: schema.NormalizeTable(ty.Name), Attributes: r.texts(ty.Attributes), Configuration: r.texts(ty.Configuration), LeftOut: r.leftOut(ty.LeftOut)}
		if ty.Source != "" {
			t.Source = schema.NormalizeTable(ty.Source)
		}
		for _, fy := range ty.Families {
			t.Families = append(t.Families, Family{r.text(fy.Name), r.text(fy.Source), r.texts(fy.Attributes), r.texts(fy.Configuration)})
		}
		for _, s := range ty.Splits {
			t.Splits = append(t.Splits, []byte(r.text(s)))
		}
		f.Tables = append(f.Tables, t)
	}
	return f, errors.Join(r.errs...)
}
