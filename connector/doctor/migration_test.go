package doctor

import (
	"slices"
	"strings"
	"testing"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/internal/check"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source/capture"
)

func parse(t *testing.T, top, source string) *doctor {
	t.Helper()
	cfg, err := config.Parse("m.yaml", []byte("bootstrap.servers: k:9092\n"+top+`
connectors:
  - {name: s, connector.class: HBaseSource, hbase.zookeeper.quorum: a, topic.prefix: p, table.include.list: 'x, y'`+source+`}
  - {name: c, connector.class: HBaseSink, hbase.zookeeper.quorum: b, topics.regex: 'p\..*'}
`))
	if err != nil {
		t.Fatal(err)
	}
	return &doctor{cfg: cfg, found: make(map[string]*capture.Checked)}
}

func TestMigrationsAreLookedAtWaveByWave(t *testing.T) {
	d := parse(t, "", "")
	if r := d.migration(t.Context()); len(r) != 0 || len(d.cfg.Connectors) != 2 {
		t.Errorf("of a file without a migration is told %+v", r)
	}
	d = parse(t, "migration.waves: {one: x, two: 'y, x'}", "")
	if r := d.migration(t.Context()); len(r) != 2 || r[0].Severity != check.OK || r[1].Severity != check.Unknown {
		t.Errorf("told is %+v", r)
	}
	var names []string
	for _, c := range d.cfg.Connectors {
		names = append(names, c.Name)
	}
	if want := []string{"s-one", "c-one", "s-two", "c-two"}; !slices.Equal(names, want) {
		t.Errorf("the connectors are %q, want %q", names, want)
	}
	for name, tables := range map[string][]string{"s-one": {"default:x"}, "s-two": {"default:y", "default:x"}} {
		d.found[name] = new(capture.Checked)
		for _, table := range tables {
			d.found[name].Tables = append(d.found[name].Tables, schema.Table{Name: table})
		}
	}
	if r := d.shared(); len(r) != 1 || r[0].Severity != check.Failure || r[0].Subject != "table default:x" || !strings.Contains(r[0].Found, "one and two") {
		t.Errorf("of a table in two waves is told %+v", r)
	}
	d = parse(t, "migration.name: m", ", snapshot.mode: no_data, watermark.mode: 'off'")
	if r := d.migration(t.Context()); len(r) != 2 || r[0].Severity != check.Failure || !strings.Contains(r[0].Found, "snapshot.mode") || !strings.Contains(r[1].Found, "watermark.mode") {
		t.Errorf("of keys that do not go with a migration is told %+v", r)
	}
}
