package watermark

import (
	"testing"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
)

func TestEstimate(t *testing.T) {
	load := func(peer string, shipped, next uint64) admin.ReplicationLoad {
		return admin.ReplicationLoad{PeerID: peer, LastShipped: shipped, NextToShip: next}
	}
	old := func(lag uint64) admin.ReplicationLoad { return admin.ReplicationLoad{PeerID: "p", Lag: lag} }
	server := func(name admin.ServerName, reported int64, loads ...admin.ReplicationLoad) admin.ServerStatus {
		return admin.ServerStatus{Name: name, Reported: reported, Replication: loads}
	}
	for name, c := range map[string]struct {
		servers []admin.ServerStatus
		behind  map[admin.ServerName]int64
		want    int64
		waits   string
	}{
		"none":                {nil, nil, 0, "a region server"},
		"idle from the begin": {[]admin.ServerStatus{server(a1, 1000, load("p", 0, 0))}, nil, 1000, ""},
		"idle again":          {[]admin.ServerStatus{server(a1, 1000, load("p", 400, 400))}, nil, 1000, ""},
		"shipping":            {[]admin.ServerStatus{server(a1, 1000, load("p", 400, 900))}, nil, 400, ""},
		"the first batch":     {[]admin.ServerStatus{server(a1, 1000, load("p", 0, 900))}, nil, 0, "the first batch of a,1,1 to be shipped"},
		"an older WAL":        {[]admin.ServerStatus{server(a1, 1000, load("p", 400, 400))}, map[admin.ServerName]int64{a1: 300, b1: 200}, 300, ""},
		"the slowest":         {[]admin.ServerStatus{server(a1, 1000, load("p", 0, 0)), server(b1, 990, load("p", 0, 0), load("p", 940, 950))}, nil, 940, ""},
		"another peer's":      {[]admin.ServerStatus{server(a1, 1000, load("p", 0, 0), load("q", 1, 900))}, nil, 1000, ""},
		"not reported yet":    {[]admin.ServerStatus{server(a1, 1000, load("q", 0, 0))}, nil, 0, "a report of a,1,1 about peer p"},
		"without a time yet":  {[]admin.ServerStatus{server(a1, 0, load("p", 0, 0))}, nil, 0, "a report of a,1,1 about peer p"},
		"2.1, idle":           {[]admin.ServerStatus{server(a1, 1000, old(0))}, nil, 1000, ""},
		"2.1, behind":         {[]admin.ServerStatus{server(a1, 1000, old(300))}, nil, 700, ""},
		"2.1, absurd lag":     {[]admin.ServerStatus{server(a1, 1000, old(1<<63))}, nil, 1000 - 1<<62, ""},
	} {
		at, waits := estimateOf(&admin.Status{Servers: c.servers}, "p", c.behind)
		if at != c.want || waits != c.waits {
			t.Errorf("%s: %d, %q; want %d, %q", name, at, waits, c.want, c.waits)
		}
	}
}

func TestOldestWAL(t *testing.T) {
	for name, c := range map[string]struct {
		wals []string
		want int64
	}{
		"none":             {nil, 0},
		"one":              {[]string{"a%2C1%2C1.100"}, 0},
		"one per group":    {[]string{"a%2C1%2C1.regiongroup-0.100", "a%2C1%2C1.regiongroup-1.90"}, 0},
		"three of one":     {[]string{"a%2C1%2C1.200", "a%2C1%2C1.100", "a%2C1%2C1.300"}, 100},
		"in two groups":    {[]string{"a%2C1%2C1.x.200", "a%2C1%2C1.x.300", "a%2C1%2C1.y.150", "a%2C1%2C1.y.400"}, 150},
		"a form not known": {[]string{"x", "y"}, 0},
	} {
		got, ok := oldest(a1, c.wals)
		if got != c.want || ok != (c.want != 0) {
			t.Errorf("%s: %d, %v", name, got, ok)
		}
	}
}

// The WALs of a dead server are all complete.
func TestUnshippedOfADeadServer(t *testing.T) {
	wals := []string{"a%2C1%2C1.200", "a%2C1%2C1.100"}
	if got, ok := Unshipped(admin.Queue{Owner: b1, Dead: []admin.ServerName{a1}}, wals[:1]); got != 200 || !ok {
		t.Errorf("%d, %v", got, ok)
	}
	if got, ok := Unshipped(admin.Queue{Owner: b1, Dead: []admin.ServerName{a1}}, wals); got != 100 || !ok {
		t.Errorf("%d, %v", got, ok)
	}
	if _, ok := Unshipped(admin.Queue{Owner: a1}, wals[:1]); ok {
		t.Error("a WAL that is being written counts")
	}
}

func TestSeveral(t *testing.T) {
	for name, c := range map[string]struct {
		wals []string
		want bool
	}{
		"one":             {[]string{"a%2C1%2C1.100"}, false},
		"rolled":          {[]string{"a%2C1%2C1.100", "a%2C1%2C1.200"}, false},
		"of 1.x":          {[]string{"a%2C1%2C1.default.100"}, false},
		"multiwal, alone": {[]string{"a%2C1%2C1.regiongroup-0.100"}, true},
		"multiwal":        {[]string{"a%2C1%2C1.regiongroup-0.100", "a%2C1%2C1.regiongroup-1.100"}, true},
		"by namespace":    {[]string{"a%2C1%2C1.ns1.100"}, true},
		"multiwal of 1.x": {[]string{"a%2C1%2C1.default.regiongroup-0.100"}, true},
		"another form":    {[]string{"a%2C1%2C1"}, true},
		"another server":  {[]string{"a%2C1%2C2.100"}, true},
	} {
		if got := several(a1, c.wals); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestEstimateThatStandsStillSaysSo(t *testing.T) {
	w := &Watermark{}
	w.cfg.Last = 100
	begin := time.Now()
	for _, c := range []struct {
		after time.Duration
		at    int64
		told  bool
	}{{0, 90, false}, {9 * time.Second, 100, false}, {10 * time.Second, 100, true}, {11 * time.Second, 101, false}, {20 * time.Second, 100, false}, {21 * time.Second, 100, true}} {
		if got := w.still(begin.Add(c.after), c.at); (got != "") != c.told {
			t.Errorf("after %s, at %d: %q", c.after, c.at, got)
		}
	}
}
