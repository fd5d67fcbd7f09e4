// Package tables takes table definitions from one HBase cluster to another: it exports them into a file that can be edited,
// compares that with what stands at the destination, and creates or completes it. docs/schema.md is its manual.
package tables

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/descriptor"
	"github.com/waltap/waltap/schema"
)

// FormatVersion is the version of the files that this release writes.
const FormatVersion = 1

// systemNamespace holds HBase's own tables.
const systemNamespace = "hbase"

// File is the definition of tables as they are to stand at a destination. In these types names, values and keys are HBase's
// bytes; in the YAML form each byte that is no printable text is written \xNN, as HBase's shell does, and a backslash \x5C.
type File struct {
	Source     Origin
	Namespaces []Namespace
	Tables     []Table
}

// Origin is where and when a File was exported.
type Origin struct {
	Cluster  string    `yaml:"cluster,omitempty"` // the cluster's id
	Version  string    `yaml:"version,omitempty"` // of HBase
	Exported time.Time `yaml:"exported,omitempty"`
}

// Namespace is a namespace of the destination.
type Namespace struct {
	Name       string
	Properties map[string]string
	LeftOut    []LeftOut
}

// Table is a table of the destination.
type Table struct {
	Name          string // "namespace:table" at the destination
	Source        string // its name at the source; "": the same
	Attributes    map[string]string
	Configuration map[string]string
	Families      []Family
	Splits        [][]byte // start keys of all regions but the first
	LeftOut       []LeftOut
}

// Family is a column family of a Table.
type Family struct {
	Name          string // at the destination
	Source        string // at the source; "": the same
	Attributes    map[string]string
	Configuration map[string]string
}

// LeftOut is a part of the source's definition that is not taken over, and why. Moved to its place it is.
type LeftOut struct {
	Part  descriptor.Part // the family as it is named at the destination
	Value string
	Why   string
}

// of is the table's name at the source.
func (t *Table) of() string {
	if t.Source != "" {
		return t.Source
	}
	return t.Name
}

// descriptor is t as HBase takes it.
func (t *Table) descriptor() admin.Table {
	ns, q := schema.SplitTable(t.Name)
	d := admin.Table{Namespace: ns, Qualifier: q, Attributes: t.Attributes, Configuration: t.Configuration}
	for _, f := range t.Families {
		d.Families = append(d.Families, admin.Family{Name: f.Name, Attributes: f.Attributes, Configuration: f.Configuration})
	}
	return d
}

// Table returns the table of that name at the destination, nil when there is none.
func (f *File) Table(name string) *Table {
	i := slices.IndexFunc(f.Tables, func(t Table) bool { return t.Name == name })
	if i < 0 {
		return nil
	}
	return &f.Tables[i]
}

// ReadFile reads a file and checks it.
func ReadFile(path string) (*File, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read table definitions: %w", err)
	}
	f, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("read table definitions: %s: %w", path, err)
	}
	return f, nil
}

// Parse reads the YAML form. An unknown key, a newer format and what HBase could not have are errors; all of the latter are
// joined.
func Parse(b []byte) (*File, error) {
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	var y fileYAML
	if err := d.Decode(&y); errors.Is(err, io.EOF) {
		return nil, errors.New("the file is empty")
	} else if err != nil {
		return nil, err
	}
	if y.FormatVersion != FormatVersion {
		return nil, fmt.Errorf("formatVersion %d: this release reads %d", y.FormatVersion, FormatVersion)
	}
	f, err := y.file()
	if err != nil {
		return nil, err
	}
	return f, f.check()
}

// check reports what HBase could not have.
func (f *File) check() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	namespaces := make(map[string]bool)
	for _, ns := range f.Namespaces {
		if err := schema.CheckTable(ns.Name + ":t"); err != nil {
			fault("%q is no namespace of HBase: letters, digits, '_', '-' and '.'", ns.Name)
		}
		if namespaces[ns.Name] {
			fault("namespace %s stands twice", ns.Name)
		}
		namespaces[ns.Name] = true
	}
	tables, sources := make(map[string]bool), make(map[string]string)
	for i := range f.Tables {
		t := &f.Tables[i]
		if err := schema.CheckTable(t.Name); err != nil {
			errs = append(errs, err)
		}
		if ns, _ := schema.SplitTable(t.Name); ns == systemNamespace {
			fault("table %s: the namespace %s is HBase's own", t.Name, ns)
		}
		if tables[t.Name] {
			fault("table %s stands twice: two tables of the source would become one", t.Name)
		}
		if other, twice := sources[t.of()]; twice {
			fault("table %s of the source is to become both %s and %s", t.of(), other, t.Name)
		}
		tables[t.Name], sources[t.of()] = true, t.Name
		errs = append(errs, t.check())
	}
	return errors.Join(errs...)
}

func (t *Table) check() error {
	var errs []error
	fault := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("table %s: "+format, append([]any{t.Name}, args...)...))
	}
	if len(t.Families) == 0 {
		fault("it has no family: HBase wants at least one")
	}
	seen := make(map[string]bool)
	for _, f := range t.Families {
		if err := schema.CheckFamily(f.Name); err != nil {
			fault("%w", err)
		}
		if seen[f.Name] {
			fault("family %s stands twice: two families of the source would become one", f.Name)
		}
		seen[f.Name] = true
	}
	var previous []byte
	for _, s := range t.Splits {
		switch {
		case len(s) == 0:
			fault("an empty split: the first region begins there without one")
		case bytes.Compare(s, previous) <= 0:
			fault("split %s is not above the one before it, %s", Key(s), Key(previous))
		}
		previous = s
	}
	return errors.Join(errs...)
}
