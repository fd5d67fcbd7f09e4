package cli

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waltap/waltap/connector/doctor"
	"github.com/waltap/waltap/internal/check"
)

func TestDoctorWithNothingThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	file := filepath.Join(t.TempDir(), "p.yaml")
	text := "bootstrap.servers: " + closed + "\nconnectors:\n  - {name: s, connector.class: HBaseSource, hbase.zookeeper.quorum: '" + closed +
		"', hbase.peer.listen: '127.0.0.1:0', hbase.peer.advertised.host: localhost, topic.prefix: p, table.include.list: t}\n  - {name: d, connector.class: HBaseSink, hbase.zookeeper.quorum: '" + closed + "', topics.regex: 'p\\..*'}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if code := Main([]string{"doctor", "-f", file, "--json", "--timeout", "1s"}, &stdout, &stderr); code != exitFailures {
		t.Errorf("exit code %d, %s", code, stderr.String())
	}
	var r doctor.Report
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Sections) != 3 || r.Severity != check.Failure || r.Count(check.Failure) != 4 || r.Count(check.OK) != 1 || r.Count(check.Unknown) < 20 {
		t.Errorf("%+v", r)
	}
}

func TestDoctorRefusesWhatItCannotRead(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := Main([]string{"doctor", "-f", filepath.Join(t.TempDir(), "none.yaml")}, &stdout, &stderr); code != exitUsage {
		t.Errorf("exit code %d for a file that is not there", code)
	}
}

func TestReportAsTable(t *testing.T) {
	r := &doctor.Report{Severity: check.Failure, Sections: []doctor.Section{
		{Results: []check.Result{{Check: "kafka.brokers", Subject: "b:9092", Severity: check.OK, Found: "1 of 1 answer"}}},
		{Connector: "s", Class: "HBaseSource", Results: []check.Result{
			{Check: "source.peer", Severity: check.Unknown, Found: "not looked at"},
			{Check: "source.scope", Subject: "table default:t", Severity: check.Failure, Found: "no family", Remedy: "alter"},
			{Check: "source.wals", Subject: strings.Repeat("x", 60), Severity: check.Warning, Found: "many", Remedy: "remove"},
		}},
	}}
	for _, tc := range []struct {
		quiet bool
		want  string
	}{
		{false, `Kafka
  ok       kafka.brokers  b:9092                                        1 of 1 answer
s (HBaseSource)
  unknown  source.peer    -                                             not looked at
  FAILURE  source.scope   table default:t                               no family
           remedy: alter
  WARNING  source.wals    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx  many
           remedy: remove
1 failures, 1 warnings, 1 unknown, 1 ok
`},
		{true, `s (HBaseSource)
  FAILURE  source.scope  table default:t                               no family
           remedy: alter
  WARNING  source.wals   xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx  many
           remedy: remove
1 failures, 1 warnings, 1 unknown, 1 ok
`},
	} {
		var b bytes.Buffer
		if err := writeReport(&b, r, tc.quiet); err != nil || b.String() != tc.want {
			t.Errorf("quiet %t: %v\n%s\nwant\n%s", tc.quiet, err, b.String(), tc.want)
		}
	}
}
