package config

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waltap/waltap/internal/secret"
)

var updateReference = flag.Bool("update", false, "write docs/reference-config.yaml anew from the table of keys")

// reference is docs/reference-config.yaml as the table of keys has it.
func reference() []byte {
	var b bytes.Buffer
	b.WriteString(`# All configuration keys of waltap, with what they do and their defaults.
# Written from connector/config; a test keeps the two equal.
#
# Keys are flat. hbase.peer.id: x and hbase: {peer: {id: x}} are the same. Lists
# are comma separated or YAML lists. Sizes are bytes and take the suffixes KiB,
# MiB, GiB (or K, M, G) and KB, MB, GB. Unknown keys are errors. A key that is
# commented out below has no fixed default: its value there is an example.

`)
	writeKeys(&b, InProcess, nil, "")
	b.WriteString("# Any number of connectors.\nconnectors:\n")
	for _, c := range []struct {
		name  string
		class Class
		scope Scope
	}{{"orders-source", HBaseSource, InSource}, {"orders-copy", HBaseSink, InSink}} {
		fmt.Fprintf(&b, `  # %s
  # At most 200 bytes without control characters. Its peer, its progress and its group are named after it.
  - name: %s

`, strings.Repeat("-", 70), c.name)
		writeKeys(&b, c.scope, map[string]string{"connector.class": string(c.class), "topics.regex": `orders\..*`}, "    ")
	}
	return append(bytes.TrimRight(b.Bytes(), "\n"), '\n')
}

// writeKeys writes the keys of one place. Those without a default are
// commented out unless they are required or given a value.
func writeKeys(b *bytes.Buffer, scope Scope, values map[string]string, indent string) {
	for _, k := range Keys() {
		if k.Scope&scope == 0 {
			continue
		}
		value, given := values[k.Name]
		mark := ""
		switch {
		case given:
		case k.Required:
			value = k.Example
		case k.Default != "":
			value = k.Default
		default:
			value, mark = k.Example, "# "
		}
		for _, line := range wrap(k.Doc, 96-len(indent)) {
			fmt.Fprintf(b, "%s# %s\n", indent, line)
		}
		fmt.Fprintf(b, "%s# %s\n", indent, facts(k))
		fmt.Fprintf(b, "%s%s%s: %s\n\n", indent, mark, k.ExampleName(), value)
	}
}

// facts is the line of a key's type, bounds and default.
func facts(k Key) string {
	s := "(" + string(k.Type)
	if len(k.Values) > 0 {
		s += ": " + strings.Join(valuesOf(k), " | ")
	}
	switch k.Type {
	case Integer, Milliseconds, Size:
		s += fmt.Sprintf(", at least %d", k.Min)
		if k.Max > 0 {
			s += fmt.Sprintf(", at most %d", k.Max)
		}
	}
	switch {
	case k.Required:
		s += "; required"
	case k.DefaultDoc != "":
		s += "; default: " + k.DefaultDoc
	case k.Default != "":
		s += "; default: " + k.Default
	default:
		s += "; default: none"
	}
	return s + ")"
}

func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(s) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimLeft(line+" "+word, " ")
	}
	return append(lines, line)
}

// checkDocument compares a file of docs with what the table of keys makes of it, or writes it anew.
func checkDocument(t *testing.T, name string, want []byte) (file string) {
	t.Helper()
	file = filepath.Join("..", "..", "docs", name)
	if *updateReference {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%s does not tell what the table of keys tells: run go test ./connector/config -update", file)
	}
	return file
}

func TestReferenceFile(t *testing.T) {
	file := checkDocument(t, "reference-config.yaml", reference())
	p, err := ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Connectors) != 2 || p.Connectors[0].Source == nil || p.Connectors[1].Sink == nil {
		t.Fatalf("connectors: %+v", p.Connectors)
	}
}

// TestReferenceExamples uncomments what the reference has in comments.
func TestReferenceExamples(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secrets.properties"), []byte("kafka.password=hunter2\nregistry.password=hunter3\nrest.admin=correct\nrest.viewer=horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, k := range Keys() {
		if k.Doc == "" || k.Example == "" && k.Default == "" || !strings.HasSuffix(k.Doc, ".") && !strings.HasSuffix(k.Doc, ".*:.*") {
			t.Errorf("%s: doc %q, example %q, default %q", k.Name, k.Doc, k.Example, k.Default)
		}
		if k.Default != "" && (k.DefaultDoc != "" || k.Required) {
			t.Errorf("%s: two defaults, or required with one", k.Name)
		}
		for _, tgt := range []*target{
			{process: new(Process), security: new(security), resolver: new(secret.Resolver)},
			{source: new(Source), hbase: new(HBase), errors: new(Errors), resolver: new(secret.Resolver)},
			{sink: new(Sink), hbase: new(HBase), errors: new(Errors), resolver: new(secret.Resolver)},
		} {
			in := k.Scope&InProcess != 0 && tgt.process != nil || k.Scope&InSource != 0 && tgt.source != nil || k.Scope&InSink != 0 && tgt.sink != nil
			for _, v := range []string{k.Example, k.Default} {
				if !in || v == "" {
					continue
				}
				if err := k.parse(tgt, k.ExampleName(), strings.ReplaceAll(v, "/etc/waltap", dir)); err != nil {
					t.Errorf("%s: %s: %v", k.Name, v, err)
				}
			}
		}
	}
}

func TestKeyNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Keys() {
		if seen[k.Name] {
			t.Errorf("%s stands twice", k.Name)
		}
		seen[k.Name] = true
		if found := lookup(k.ExampleName()); found == nil || found.Name != k.Name {
			t.Errorf("%s is not found", k.Name)
		}
	}
}
