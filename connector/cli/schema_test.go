package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waltap/waltap/connector/tables"
)

// What is wrong is said before a cluster is asked; the exit code is never that of a difference.
func TestSchemaCommandsThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const head = "bootstrap.servers: 127.0.0.1:1\nconnectors:\n"
	source := func(name string) string {
		return "  - {name: " + name + ", connector.class: HBaseSource, hbase.zookeeper.quorum: 'z:1', hbase.peer.listen: ':0', topic.prefix: " + name + ", table.include.list: t}\n"
	}
	sink := func(name string) string {
		return "  - {name: " + name + ", connector.class: HBaseSink, hbase.zookeeper.quorum: 'z:2', topics.regex: 'a.*'}\n"
	}
	two := write("two.yaml", head+source("a")+source("b")+sink("c")+sink("d"))
	onlySource := write("source.yaml", head+source("a"))
	onlySink := write("sink.yaml", head+sink("c"))
	there := write("there.yaml", "formatVersion: 1\ntables: [{name: t, families: [{name: d}]}]\n")
	for _, tc := range []struct {
		want string
		args []string
	}{
		{"give -f, or --quorum and --tables", []string{"export"}},
		{"give -f, or --quorum and --tables", []string{"export", "--quorum", "z:1"}},
		{"-f takes the place", []string{"export", "-f", onlySource, "--tables", "t"}},
		{"sources a, b: choose one by --source", []string{"export", "-f", two}},
		{"sinks c, d: choose one by --sink", []string{"export", "-f", two, "--source", "a"}},
		{"no sink x", []string{"export", "-f", two, "--source", "a", "--sink", "x"}},
		{"has no source", []string{"export", "-f", onlySink}},
		{"has no sink", []string{"diff", "-f", onlySource}},
		{"give -f, or --to-quorum", []string{"diff", "--quorum", "z:1", "--tables", "t"}},
		{"--to-quorum", []string{"apply", "-f", onlySink, "--to-quorum", "z:3"}},
		{"--shrink goes with --alter", []string{"apply", "--schema", there, "--to-quorum", "z:3", "--shrink"}},
		{"--schema takes the place", []string{"diff", "--schema", there, "--quorum", "z:1", "--tables", "t", "--to-quorum", "z:3"}},
		{"no such file", []string{"diff", "--schema", filepath.Join(dir, "none.yaml"), "--to-quorum", "z:3"}},
		{"--tables", []string{"export", "--quorum", "z:1", "--tables", "a("}},
		{"parse rename", []string{"export", "--quorum", "z:1", "--tables", "a", "--rename", "x"}},
		{"read the configuration", []string{"diff", "-f", there}},
	} {
		var stdout, stderr bytes.Buffer
		if code := Main(append([]string{"schema"}, tc.args...), &stdout, &stderr); code != exitFailure || !strings.Contains(stderr.String(), tc.want) {
			t.Errorf("%v: exit code %d, want %d and %q\n%s", tc.args, code, exitFailure, tc.want, &stderr)
		}
	}
}

func TestSchemaReport(t *testing.T) {
	r := schemaReport{Destination: "id", Differences: []tables.Difference{
		{Table: "shop:a", Kind: tables.KindTable, Action: tables.Same},
		{Table: "shop:b", Family: "d", Kind: "attribute", Name: "TTL", Want: "1", Have: "2", Action: tables.Decide, Why: "because", Remedy: "do"},
	}}
	var b bytes.Buffer
	if err := r.write(&b, false); err != nil {
		t.Fatal(err)
	}
	want := `# ACTION, WHAT, WANTED, AT THE DESTINATION (id)
same            table shop:a                             -  -
needs decision  table shop:b, attribute TTL of family d  1  2
    because
    do
1 same, 1 needs decision
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	b.Reset()
	if err := r.write(&b, true); err != nil {
		t.Fatal(err)
	}
	var back schemaReport
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || len(back.Differences) != 2 || back.Differences[1] != r.Differences[1] || back.Same {
		t.Errorf("%v: %s", err, &b)
	}
	b.Reset()
	done := schemaReport{Done: []string{}, Same: true}
	if err := done.write(&b, false); err != nil || b.String() != "nothing to do: the destination is as asked for\n" {
		t.Errorf("%v: %q", err, &b)
	}
}
