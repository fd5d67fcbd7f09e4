package capture

import (
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/waltap/waltap/internal/hbase/admin"
)

// prefixFilter matches by the beginning of a name.
type prefixFilter struct {
	prefix string
	named  []string
}

func (f prefixFilter) Match(table string) bool { return strings.HasPrefix(table, f.prefix) }
func (f prefixFilter) Named() []string         { return f.named }

func joining(tables ...captured) *Capture {
	return &Capture{tables: tables, process: &process{cfg: Config{
		TopicPrefix: "p", Tables: prefixFilter{prefix: "default:"}, PeerCreate: true,
		Stats: &flowStats{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}}}
}

func tableAt(name, scope string) admin.Table {
	return admin.Table{Namespace: "default", Qualifier: name, Families: []admin.Family{family("a", scope)}}
}

func names(tables []admin.Table) (out []string) {
	for _, t := range tables {
		out = append(out, t.FullName())
	}
	return out
}

func TestNewTables(t *testing.T) {
	c := joining(tableIn("there", tableState{Captured: true}), tableIn("away", tableState{Captured: true}))
	all := []admin.Table{tableAt("there", "1"), tableAt("z", "1"), tableAt("b", "1"),
		{Namespace: "other", Qualifier: "t"}, tableAt("waltap_heartbeat_p", "1")}
	if got, want := names(c.newTables(all)), []string{"default:b", "default:z"}; !slices.Equal(got, want) {
		t.Errorf("new are %q, want %q", got, want)
	}
	if c.tables[0].gone || !c.tables[1].gone {
		t.Errorf("tables %+v: want the one that was dropped, alone, marked as gone", c.tables)
	}
	all = append(all, tableAt("away", "1"))
	if got := names(c.newTables(all)); slices.Contains(got, "default:away") {
		t.Errorf("new are %q: the table was out of sight for a moment only, as one that is truncated is", got)
	}
	c.tables[1].state.Dropped = true
	c.background = background{table: "default:away", done: make(chan error)}
	if got := names(c.newTables(all)); slices.Contains(got, "default:away") {
		t.Errorf("new are %q while the dropped table's scan has not ended", got)
	}
	c.background.done = nil
	if got := names(c.newTables(all)); !slices.Contains(got, "default:away") || len(c.tables) != 1 {
		t.Errorf("new are %q, captured %+v: want the table that was created again to be new", got, c.tables)
	}
}

func TestCandidatesThatAreRefused(t *testing.T) {
	c := joining(tableIn("a.b", tableState{Captured: true}))
	if _, err := c.candidate(t.Context(), tableAt("t", "0"), nil); err == nil || !strings.Contains(err.Error(), "alter 'default:t', {NAME => 'a', REPLICATION_SCOPE => '1'}") {
		t.Errorf("a table without scope: %v, want the command to run", err)
	}
	const collides = "the topics p.default.a_b of table default:a_b and p.default.a.b of table default:a.b differ only in '.' and '_'"
	if _, err := c.candidate(t.Context(), tableAt("a_b", "1"), nil); err == nil || !strings.Contains(err.Error(), collides) {
		t.Errorf("a table whose topic Kafka refuses beside that of a captured one: %v", err)
	}
	c.tables = nil
	if _, err := c.candidate(t.Context(), tableAt("a_b", "1"), []captured{tableIn("a.b", tableState{})}); err == nil || !strings.Contains(err.Error(), collides) {
		t.Errorf("a table whose topic Kafka refuses beside that of one that joins with it: %v", err)
	}
	if c.refused != nil {
		t.Errorf("refused before it was told so: %v", c.refused)
	}
	c.setRefused(map[string]string{"default:t": "no scope"})
	c.showFlow()
	if got, want := c.cfg.Stats.(*flowStats).streaming, "streamingnot captured: default:t: no scope"; got != want {
		t.Errorf("shown: %q, want %q", got, want)
	}
}

func TestTablesWithoutScopeAtTheStart(t *testing.T) {
	with, without := tableAt("with", "1"), tableAt("without", "0")
	for _, tc := range []struct {
		name    string
		tables  []admin.Table
		named   []string
		want    []string
		refused bool
	}{
		{"beside another one", []admin.Table{with, without}, nil, []string{"default:with"}, false},
		{"alone", []admin.Table{without}, nil, nil, true},
		{"included by name", []admin.Table{with, without}, []string{"default:without"}, nil, true},
	} {
		c := joining()
		c.cfg.Tables = prefixFilter{named: tc.named}
		got, err := c.withScope(tc.tables)
		if (err != nil) != tc.refused || err == nil && !slices.Equal(names(got), tc.want) {
			t.Errorf("%s: %q, %v; want %q, refused = %t", tc.name, names(got), err, tc.want, tc.refused)
		}
		if err == nil && !strings.Contains(c.notJoined(), "default:without") {
			t.Errorf("%s: shown is %q", tc.name, c.notJoined())
		}
	}
}

func TestAStalledPeerIsShownBeforeAnythingElse(t *testing.T) {
	stats := &flowStats{}
	c := joining(tableIn("a", tableState{Captured: true}))
	c.cfg.Stats = stats
	c.stalled = "peer p was disabled"
	c.showFlow()
	if stats.waiting != c.stalled || stats.streaming != "" {
		t.Errorf("shown: %+v, want what stalls", stats)
	}
}
