package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVerifyRefuses: a command that cannot begin ends with 1; 2 would say that the ends differ.
func TestVerifyRefuses(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "pipeline.yaml")
	content := `bootstrap.servers: 127.0.0.1:1
connectors:
  - {name: from, connector.class: HBaseSource, hbase.zookeeper.quorum: "127.0.0.1:1", hbase.peer.advertised.host: h, topic.prefix: p, table.include.list: a}
  - {name: to, connector.class: HBaseSink, hbase.zookeeper.quorum: "127.0.0.1:1", topics.regex: 'p\..*'}
  - {name: fill, connector.class: HBaseSink, hbase.zookeeper.quorum: "127.0.0.1:1", topics.regex: 'p\..*', hbase.no.overwrite: true}
`
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	waves := filepath.Join(dir, "waves.yaml")
	if err := os.WriteFile(waves, []byte("migration.waves: {one: a}\n"+content), 0o600); err != nil {
		t.Fatal(err)
	}
	ends := []string{"--source-quorum", "127.0.0.1:1", "--target-quorum", "127.0.0.1:1", "--table", "t"}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "give -f, or --source-quorum"},
		{[]string{"--no-such-flag"}, "unknown flag"},
		{append(ends, "--sample", "0.1", "--hash"), "exclude each other"},
		{append(ends, "--sample", "2"), "ratio"},
		{append(ends, "--changed-since", "x"), "needs -f"},
		{append(ends, "--min-time", "yesterday"), "--min-time"},
		{append(ends, "--row-start", `\xzz`), "--row-start"},
		{append(ends, "--resume"), "no state file"},
		{append(ends, "--table", "a:b:c"), "--table"},
		{append(ends, "--table", "u=default:t"), "both be written"},
		{append(ends, "--family-rename", "a=b,c=b"), "--family-rename"},
		{[]string{"-f", config}, "several connectors"},
		{[]string{"-f", waves, "--sink", "to"}, "waltap migrate verify --wave"},
		{[]string{"-f", config, "--sink", "none"}, "no connector none"},
		{[]string{"-f", config, "--sink", "fill"}, "hbase.no.overwrite"},
		{[]string{"-f", config, "--sink", "to", "--table", "b"}, "does not capture it"},
		{[]string{"-f", config, "--sink", "to", "--table", "a=b"}, "says what is renamed"},
		{[]string{"-f", config, "--source-quorum", "h:1"}, "do not go with it"},
		{[]string{"-f", filepath.Join(dir, "none")}, "read configuration"},
	} {
		var out, errs bytes.Buffer
		if code := Main(append([]string{"verify"}, tt.args...), &out, &errs); code != exitFailure || !strings.Contains(errs.String(), tt.want) {
			t.Errorf("%q: exit code %d, %s; want 1 and %q", tt.args, code, errs.String(), tt.want)
		}
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{append(ends, "--visible"), "visible cells alone"},
		{append(ends, "--no-recheck"), "cannot be switched off"},
		{append(ends, "--from", "x", "--out", "y"), "--out"},
		{append(ends, "--from", filepath.Join(dir, "none")), "read the differences"},
	} {
		var out, errs bytes.Buffer
		if code := Main(append([]string{"repair"}, tt.args...), &out, &errs); code != exitFailure || !strings.Contains(errs.String(), tt.want) {
			t.Errorf("repair %q: exit code %d, %s; want 1 and %q", tt.args, code, errs.String(), tt.want)
		}
	}
}
