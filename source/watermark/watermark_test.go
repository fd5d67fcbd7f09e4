package watermark

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/internal/hbase/admin"
)

func TestSeveral(t *testing.T) {
	for name, c := range map[string]struct {
		wals []string
		want bool
	}{
		"none":            {nil, false},
		"one":             {[]string{"a%2C1%2C1.100"}, false},
		"rolled":          {[]string{"a%2C1%2C1.100", "a%2C1%2C1.200"}, false},
		"multiwal, alone": {[]string{"a%2C1%2C1.regiongroup-0.100"}, true},
		"multiwal":        {[]string{"a%2C1%2C1.regiongroup-0.100", "a%2C1%2C1.regiongroup-1.100"}, true},
		"by namespace":    {[]string{"a%2C1%2C1.ns1.100", "a%2C1%2C1.ns2.100"}, true},
		"no dot":          {[]string{"x", "y"}, false},
	} {
		if got := several(c.wals); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestEstimate(t *testing.T) {
	load := func(peer string, lag, next uint64) admin.ReplicationLoad {
		return admin.ReplicationLoad{PeerID: peer, Lag: lag, NextToShip: next}
	}
	server := func(name admin.ServerName, reported int64, loads ...admin.ReplicationLoad) admin.ServerStatus {
		return admin.ServerStatus{Name: name, Reported: reported, Replication: loads}
	}
	for name, c := range map[string]struct {
		servers []admin.ServerStatus
		want    int64
		waits   string
	}{
		"none":               {nil, 0, "a region server"},
		"idle":               {[]admin.ServerStatus{server(a1, 1000, load("p", 0, 0))}, 1000, ""},
		"behind":             {[]admin.ServerStatus{server(a1, 1000, load("p", 300, 0))}, 700, ""},
		"next to ship":       {[]admin.ServerStatus{server(a1, 1000, load("p", 300, 650))}, 650, ""},
		"the slowest":        {[]admin.ServerStatus{server(a1, 1000, load("p", 0, 0)), server(b1, 990, load("p", 0, 0), load("p", 50, 0))}, 940, ""},
		"another peer's":     {[]admin.ServerStatus{server(a1, 1000, load("p", 0, 0), load("q", 900, 0))}, 1000, ""},
		"not reported yet":   {[]admin.ServerStatus{server(a1, 1000, load("q", 0, 0))}, 0, "a report of a,1,1 about peer p"},
		"absurd lag":         {[]admin.ServerStatus{server(a1, 1000, load("p", 1<<63, 1<<63))}, 1000 - 1<<62, ""},
		"without a time yet": {[]admin.ServerStatus{server(a1, 0, load("p", 0, 0))}, 0, "a report of a,1,1 about peer p"},
	} {
		at, waits := estimateOf(&admin.Status{Servers: c.servers}, "p")
		if at != c.want || waits != c.waits {
			t.Errorf("%s: %d, %q; want %d, %q", name, at, waits, c.want, c.waits)
		}
	}
}

func TestNextMove(t *testing.T) {
	r := func(names ...string) (out []admin.Region) {
		for _, n := range names {
			out = append(out, admin.Region{Encoded: n})
		}
		return out
	}
	for name, c := range map[string]struct {
		regions map[admin.ServerName][]admin.Region
		live    []admin.ServerName
		want    string
	}{
		"all have one":           {map[admin.ServerName][]admin.Region{a1: r("x", "y"), b1: r("z")}, []admin.ServerName{a1, b1}, ""},
		"one has none":           {map[admin.ServerName][]admin.Region{a1: r("x", "y")}, []admin.ServerName{a1, b1}, "y"},
		"too few":                {map[admin.ServerName][]admin.Region{a1: r("x")}, []admin.ServerName{a1, b1}, ""},
		"one that is gone":       {map[admin.ServerName][]admin.Region{a2: r("x", "y")}, []admin.ServerName{b1}, ""},
		"nothing known at all":   {nil, nil, ""},
		"from the one with most": {map[admin.ServerName][]admin.Region{a1: r("x", "y"), a2: r("u", "v", "w")}, []admin.ServerName{a1, a2, b1}, "w"},
	} {
		got, to, ok := nextMove(c.regions, c.live)
		if ok != (c.want != "") || got.Encoded != c.want || ok && to != b1 {
			t.Errorf("%s: %q to %s, %v", name, got.Encoded, to, ok)
		}
	}
}

func TestTable(t *testing.T) {
	for servers, want := range map[int]int{0: 2, 1: 2, 3: 6, 1000: maxRegions} {
		table, splits := Table("p_1", servers)
		if table.FullName() != TableName("p_1") || !IsTable(table.FullName()) || len(splits)+1 != want {
			t.Errorf("%d servers: %s with %d regions, want %d", servers, table.FullName(), len(splits)+1, want)
		}
		for i, s := range splits {
			end := []byte(nil)
			if i+1 < len(splits) {
				end = splits[i+1]
			}
			row := rowOf(admin.Region{Start: s, End: end}, []byte("host,1,1 x"))
			if bytes.Compare(row, s) <= 0 || end != nil && bytes.Compare(row, end) >= 0 {
				t.Errorf("row %q is outside of its region, %q to %q", row, s, end)
			}
		}
		if table.Families[0].Name != Family || table.Families[0].Scope() != 1 {
			t.Errorf("families %+v", table.Families)
		}
	}
	if IsTable("default:orders") || IsTable("ns:waltap_heartbeat_x") {
		t.Error("other tables are taken for heartbeat tables")
	}
}

// shown records what a Watermark shows.
type shown struct {
	at    []int64
	waits string
}

func (s *shown) Watermark(ms int64, _ bool) { s.at = append(s.at, ms) }
func (s *shown) WatermarkWaits(text string) { s.waits = text }

// fixed is a Watermark without a cluster.
func fixed(t *testing.T, end time.Time) (*Watermark, *shown, *[]checkpoint.Watermark) {
	s, published := &shown{}, &[]checkpoint.Watermark{}
	w := New(Config{
		Connector: "c", PeerID: "p", Mode: Heartbeat, Last: 5000, Margin: time.Second, End: end, Stats: s, Log: slog.New(slog.DiscardHandler),
		Offsets: func(context.Context) (map[string]map[int32]int64, error) {
			return map[string]map[int32]int64{"t": {0: 7}}, nil
		},
		Publish: func(_ context.Context, p checkpoint.Watermark) error {
			*published = append(*published, p)
			return nil
		},
	})
	return w, s, published
}

func TestPublish(t *testing.T) {
	w, s, published := fixed(t, time.UnixMilli(6000))
	if w.Late() != 4000 {
		t.Errorf("late is %d, want the last watermark less the margin", w.Late())
	}
	for _, c := range []struct {
		at     int64
		waits  string
		moves  bool
		passed bool
	}{
		{0, "the first heartbeat of a,1,1", false, false},
		{4000, "", false, false}, // below the one of the run before
		{5000, "", false, false},
		{5500, "", true, false},
		{5500, "", false, false},
		{7000, "", true, true},
	} {
		n := len(*published)
		p, err := w.publish(t.Context(), c.at, c.waits, false)
		if err != nil || (p != nil) != c.moves || len(*published)-n != map[bool]int{true: 1}[c.moves] {
			t.Errorf("%+v: %+v, %v", c, p, err)
		}
		if s.waits != c.waits {
			t.Errorf("%+v: shows %q", c, s.waits)
		}
		if p != nil && (p.Time != c.at || p.Connector != "c" || p.Estimated || p.Offsets["t"][0] != 7 || w.passed(p.Time) != c.passed || w.Late() != c.at-1000) {
			t.Errorf("%+v: published %+v, late %d", c, p, w.Late())
		}
	}
	if len(s.at) != 2 {
		t.Errorf("shown %v", s.at)
	}
	w.cfg.Offsets = func(context.Context) (map[string]map[int32]int64, error) { return nil, errors.New("no leader") }
	if p, err := w.publish(t.Context(), 9000, "", false); p != nil || err == nil || !strings.Contains(err.Error(), "no leader") || w.Late() != 6000 {
		t.Errorf("without end offsets: %+v, %v", p, err)
	}
	w.degrade("a reason")
	w.cfg.Offsets = func(context.Context) (map[string]map[int32]int64, error) { return nil, nil }
	if p, err := w.publish(t.Context(), 9000, "", false); p != nil || err != nil {
		t.Errorf("proved, but of several WALs: %+v, %v", p, err)
	}
	if p, err := w.publish(t.Context(), 9000, "", true); p == nil || !p.Estimated || err != nil {
		t.Errorf("estimated: %+v, %v", p, err)
	}
}

func TestOnlyThisRunsHeartbeatsCount(t *testing.T) {
	w, _, _ := fixed(t, time.Time{})
	n := w.tracker.Sent(a1, "r", 10)
	b := Beat{Run: "another", Server: a1, Region: "r", N: n, Sent: 10}
	w.Acknowledged(w.Begin(), [][]byte{[]byte(b.String()), []byte("nonsense")})
	if got := w.tracker.servers[a1].beats[0].returned; got != 0 {
		t.Errorf("another run's heartbeat came back as ours, at %d", got)
	}
	b.Run = w.run
	w.Acknowledged(w.Begin(), [][]byte{[]byte(b.String())})
	if w.tracker.servers[a1].beats[0].returned == 0 || w.passed(1<<60) {
		t.Error("ours did not come back, or an end time passed that there is not")
	}
}
