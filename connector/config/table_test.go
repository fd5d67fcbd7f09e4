package config

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// table is docs/reference.md as the table of keys has it.
func table() []byte {
	var b bytes.Buffer
	b.WriteString(`# Configuration keys

Written from connector/config; a test keeps the two equal. [reference-config.yaml](reference-config.yaml) is the same as a file to copy from,
[configuration-errors.md](configuration-errors.md) shows what a wrong one is answered with.

Keys are flat; nested maps are joined by dots. Lists are comma separated or YAML lists. Sizes are bytes and take the suffixes KiB, MiB, GiB (or K,
M, G) and KB, MB, GB. An unknown key is an error. Any value may hold references: ` + "`${file:/path:key}`" + ` (a key of a Java properties file),
` + "`${directory:/path:file}`" + ` (the content of a file), ` + "`${env:NAME}`" + ` (an environment variable). A value of the type password must be one: secrets do not
stand in a configuration.
`)
	for _, place := range []struct {
		heading, text string
		scope         Scope
	}{
		{"The process", "At the top of the file. Beside these, `connectors` is the list of connectors.", InProcess},
		{"HBaseSource", "In a connector of `connector.class: HBaseSource`. Beside these, `name` is the connector's name, at most 200 bytes without control characters.", InSource},
		{"HBaseSink", "In a connector of `connector.class: HBaseSink`. Beside these, `name` is the connector's name.", InSink},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| key | type | default | example | what it does |\n|---|---|---|---|---|\n", place.heading, place.text)
		for _, k := range Keys() {
			if k.Scope&place.scope != 0 {
				fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.Name, cell(typeOf(k)), cell(defaultOf(k)), code(cmp.Or(k.Example, k.Default)), cell(k.Doc))
			}
		}
		refusedOf(&b, place.scope)
	}
	return b.Bytes()
}

// refusedOf lists the keys of a place that are known and not honoured.
func refusedOf(b *bytes.Buffer, scope Scope) {
	b.WriteString("\nNot supported, and refused with the reason:\n\n| key | reason |\n|---|---|\n")
	for _, r := range Refusals() {
		if r.Scope == scope {
			fmt.Fprintf(b, "| `%s` | %s |\n", r.Name, cell(r.Reason))
		}
	}
}

func typeOf(k Key) string {
	text := string(k.Type)
	if len(k.Values) > 0 && k.Type != Boolean {
		text += ": " + strings.Join(valuesOf(k), ", ")
	}
	switch k.Type {
	case Integer, Milliseconds, Size:
		text += fmt.Sprintf(" ≥ %d", k.Min)
		if k.Max > 0 {
			text += fmt.Sprintf(", ≤ %d", k.Max)
		}
	}
	return text
}

// valuesOf are the values of a key as they are read.
func valuesOf(k Key) []string {
	values := slices.Clone(k.Values)
	for i, v := range values {
		values[i] = cmp.Or(v, "(empty)")
	}
	return values
}

func defaultOf(k Key) string {
	switch {
	case k.Required:
		return "required"
	case k.Default != "":
		return code(k.Default)
	}
	return cmp.Or(k.DefaultDoc, "none")
}

func code(s string) string { return "`" + s + "`" }

// cell makes a text fit for a table.
func cell(s string) string { return strings.NewReplacer("|", "\\|", "\n", " ").Replace(s) }

func TestReferenceTable(t *testing.T) {
	text := table()
	checkDocument(t, "reference.md", text)
	for _, k := range Keys() {
		if !bytes.Contains(text, []byte("| `"+k.Name+"` |")) {
			t.Errorf("%s is not in it", k.Name)
		}
	}
}

// TestConfigurationErrors parses each wrong configuration of docs/configuration-errors.md and expects the answer that stands
// below it.
func TestConfigurationErrors(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "configuration-errors.md"))
	if err != nil {
		t.Fatal(err)
	}
	sections := strings.Split(string(b), "\n## ")[1:]
	if len(sections) < 10 {
		t.Errorf("%d wrong configurations are documented, want at least 10", len(sections))
	}
	for _, s := range sections {
		title, _, _ := strings.Cut(s, "\n")
		t.Run(title, func(t *testing.T) {
			_, rest, _ := strings.Cut(s, "```yaml\n")
			text, rest, ok := strings.Cut(rest, "```\n")
			_, rest, _ = strings.Cut(rest, "```text\n")
			want, _, ok2 := strings.Cut(rest, "\n```")
			if !ok || !ok2 {
				t.Fatal("want a block of yaml and one of text")
			}
			_, err := Parse("pipeline.yaml", []byte(text))
			if err == nil {
				t.Fatal("it was accepted")
			}
			if err.Error() != want {
				t.Errorf("answered with\n%v\nthe document has\n%s", err, want)
			}
		})
	}
}

// TestSecurityExamples parses every configuration of docs/kafka-security.md.
func TestSecurityExamples(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "kafka-security.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := stores(t)
	t.Setenv("KAFKA_PASSWORD", "hunter2")
	files := strings.NewReplacer("/etc/waltap/kafka-ca.pem", dir+"/ca.pem", "/etc/waltap/kafka-client.pem", dir+"/client.pem",
		"/etc/waltap/secrets.properties", dir+"/secrets.properties", "/run/secrets/kafka:", dir+":")
	blocks := strings.Split(string(b), "```yaml\n")[1:]
	if len(blocks) < 5 {
		t.Errorf("%d examples", len(blocks))
	}
	for _, block := range blocks {
		text, _, _ := strings.Cut(block, "```")
		if _, err := Parse("p.yaml", []byte(files.Replace(text)+"\n"+oneSink)); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
}
