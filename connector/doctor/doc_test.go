package doctor

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/doctor.md anew from the checks")

const head = `# waltap doctor

Written from the checks; a test keeps the two equal (go test ./connector/doctor -update).

    waltap doctor -f pipeline.yaml

looks at everything that a configuration depends on, at the source, in Kafka and at the destination, and says of each thing that is wrong
what to do. It changes nothing on any side. Parts that are down are told, and keep nobody from hearing about the others: each check has a
time of its own (` + "`--timeout`" + `, 15s).

| option | |
|---|---|
| ` + "`-f FILE`" + ` | the configuration, as for ` + "`waltap run`" + ` |
| ` + "`--worker`" + ` | the configuration is that of ` + "`waltap worker`" + `, without connectors: the topics of the group and the rights to them |
| ` + "`--json`" + ` | the results as JSON: ` + "`severity`" + ` is the worst of all; each of ` + "`sections`" + ` (the process, then each connector) has ` + "`results`" + ` with check, subject, severity, found and remedy |
| ` + "`--quiet`" + `, ` + "`-q`" + ` | warnings and failures only |
| ` + "`--expect 24h`" + ` | how long records have to stay on their topics: as long as a sink may be stopped, and a migration takes |
| ` + "`--namenode http://host:9870`" + ` | the NameNode of the source's HDFS, to be asked for the room that is left for WALs |
| ` + "`--timeout 15s`" + ` | how long each check may take |

| severity | means | exit code |
|---|---|---|
| ok | it is as it should be, as far as the check can see | 0 |
| unknown | it could not be looked at, or cannot be seen from outside | 0 |
| WARNING | it runs, and loses or delays something that somebody may count on | 3 |
| FAILURE | it does not run, or loses data | 4 |

The exit code is that of the worst result. 1: doctor itself could not be carried through; 2: the command line or the configuration is wrong.
`

// document is docs/doctor.md as the checks have it.
func document() []byte {
	var b bytes.Buffer
	b.WriteString(head)
	for _, p := range Parts() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", p.Title, p.About)
		for _, c := range p.Checks {
			fmt.Fprintf(&b, "\n### `%s`\n\n%s.\n\n%s\n", c.Name, c.Title, c.Means)
			if c.Limits != "" {
				fmt.Fprintf(&b, "\nNot proved: %s\n", c.Limits)
			}
			fmt.Fprintf(&b, "\nRemedy: %s\n", c.Remedy)
		}
	}
	return b.Bytes()
}

func TestDocument(t *testing.T) {
	file := filepath.Join("..", "..", "docs", "doctor.md")
	want := document()
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("docs/doctor.md does not tell what the checks tell: run go test ./connector/doctor -update")
	}
}

func TestEveryCheckIsWhole(t *testing.T) {
	seen := make(map[string]bool)
	for _, p := range Parts() {
		for _, c := range p.Checks {
			if seen[c.Name] {
				t.Errorf("%s stands twice", c.Name)
			}
			seen[c.Name] = true
			if c.Title == "" || strings.HasSuffix(c.Title, ".") || !strings.HasSuffix(c.Means, ".") || c.Remedy == "" || c.Limits != "" && !strings.HasSuffix(c.Limits, ".") {
				t.Errorf("%+v", c)
			}
		}
	}
	if len(seen) < 25 {
		t.Errorf("%d checks", len(seen))
	}
}
