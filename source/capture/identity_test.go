package capture

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/waltap/waltap/internal/hbase/admin"
)

// region is one that was created, and opened at these times, the newest first.
func region(created int64, opened ...int64) admin.RegionHistory {
	r := admin.RegionHistory{Created: created}
	for _, ms := range opened {
		r.Opens = append(r.Opens, admin.Opening{Time: ms})
	}
	return r
}

// The table was looked at last when its newest region had been opened at 100. The histories are those of HBase 2.6.4.
func TestWhatHasBecomeOfATable(t *testing.T) {
	const replaced, restored = "was truncated, or dropped and created again", "was restored from a snapshot"
	for _, tc := range []struct {
		name    string
		regions []admin.RegionHistory
		want    string
	}{
		{"disabled and enabled", []admin.RegionHistory{region(10, 200, 100), region(10, 200, 90)}, ""},
		{"one region opened often", []admin.RegionHistory{region(10, 400, 300, 200), region(10, 200, 90)}, ""},
		{"split, the parent still there", []admin.RegionHistory{region(10, 100), region(150, 160, 155), region(150, 160, 155)}, ""},
		{"split, the parent gone, the other one there", []admin.RegionHistory{region(150, 160, 155), region(150, 160, 155), region(10, 200, 90)}, ""},
		{"merged, the other one there", []admin.RegionHistory{region(150, 160), region(10, 90)}, ""},
		{"truncated or created again", []admin.RegionHistory{region(150, 160), region(150, 161)}, replaced},
		{"truncated, and split since", []admin.RegionHistory{region(150, 160), region(170, 180, 175), region(170, 180, 175)}, replaced},
		{"restored", []admin.RegionHistory{region(10, 200), region(10, 201)}, restored},
		{"restored, and enabled once more", []admin.RegionHistory{region(10, 300, 200), region(10, 300, 201)}, restored},
		{"restored to before a split", []admin.RegionHistory{region(5, 200)}, restored},
		{"dropped, and cloned from a snapshot that is newer than the look", []admin.RegionHistory{region(10, 200), region(120, 200)}, restored},
		{"enabled so often that nothing is left of before", []admin.RegionHistory{region(10, 400, 300, 200), region(10, 401, 301, 201)},
			"was disabled and enabled, and hbase:meta no longer tells whether it was restored from a snapshot meanwhile"},
	} {
		v := comparison{opened: 100}
		for _, r := range tc.regions {
			if !v.add(r) {
				break
			}
		}
		if got, decided := v.verdict(); got != tc.want || !decided {
			t.Errorf("%s: %q, decided = %t; want %q", tc.name, got, decided, tc.want)
		}
	}
	var none comparison
	if what, decided := none.verdict(); what != "" || decided {
		t.Errorf("a table without an open region: %q, decided = %t", what, decided)
	}
	since := comparison{opened: 100}
	since.add(region(170, 180))
	since.add(region(150, 160))
	if since.created != 150 {
		t.Errorf("its first region was created at %d, want 150", since.created)
	}
}

func TestOneProofIsEnough(t *testing.T) {
	v := comparison{opened: 100}
	if v.add(region(10, 100)) {
		t.Error("more regions are read although one has been there all the time")
	}
}

func TestTablesTakeTurns(t *testing.T) {
	c := &Capture{tables: []captured{{name: "b"}, {name: "c"}, {name: "a"}}}
	var got []string
	for range 4 {
		c.turn.table = c.tableAfter(c.turn.table)
		got = append(got, c.turn.table)
	}
	if want := []string{"a", "b", "c", "a"}; !slices.Equal(got, want) {
		t.Errorf("turns %q, want %q", got, want)
	}
}

// What older releases have written must be readable, and means that nothing is known of these.
func TestStateOfBeforeIsReadable(t *testing.T) {
	var s tableState
	if err := json.Unmarshal([]byte(`{"epoch":3,"families":["a"],"partitions":4,"captured":true}`), &s); err != nil {
		t.Fatal(err)
	}
	if s.Epoch != 3 || !s.Captured || s.Identity != nil || s.Listed || s.Gap != "" || s.Since != 0 || s.Scanned != 0 || s.Dropped {
		t.Errorf("state %+v", s)
	}
	again, err := json.Marshal(s)
	if err != nil || string(again) != `{"epoch":3,"families":["a"],"partitions":4,"captured":true}` {
		t.Errorf("written as %s, %v", again, err)
	}
}

func TestLostFamilies(t *testing.T) {
	now := admin.Table{Families: []admin.Family{family("on", "1"), family("off", "0"), family("never", "0")}}
	if got := lostFamilies(now, []string{"on", "off", "deleted"}); !slices.Equal(got, []string{"off"}) {
		t.Errorf("lost %q, want the one that was switched off", got)
	}
}

func TestThePeerListsATable(t *testing.T) {
	p := &admin.Peer{Tables: map[string][]string{"default:t": {"a", "b"}, "default:all": nil}}
	for table, want := range map[string]bool{"default:t": true, "default:all": true, "default:other": false} {
		if lists(p, table, []string{"a", "b"}) != want {
			t.Errorf("%s is listed: %t, want %t", table, !want, want)
		}
	}
	if lists(p, "default:t", []string{"a", "c"}) {
		t.Error("family c is not listed")
	}
}

func TestGapsAndTheirRemedies(t *testing.T) {
	gap := tableIn("t", tableState{Epoch: 4, Captured: true, Gap: "was truncated"})
	lost := gap
	lost.lost = []string{"a", "b"}
	for _, tc := range []struct {
		name    string
		table   captured
		cfg     Config
		settled bool
		says    []string
	}{
		{"initial", gap, Config{SnapshotMode: SnapshotInitial, PeerCreate: true}, false, []string{"snapshot.mode: when_needed", "snapshot.gap.accept: default:t/5"}},
		{"when_needed", gap, Config{SnapshotMode: SnapshotWhenNeeded, PeerCreate: true}, true, nil},
		{"accepted", gap, Config{PeerCreate: true, AcceptGaps: map[string]int64{"default:t": 5}}, true, nil},
		{"accepted before", gap, Config{PeerCreate: true, AcceptGaps: map[string]int64{"default:t": 4}}, false, []string{"default:t/5"}},
		{"no scope", lost, Config{SnapshotMode: SnapshotWhenNeeded, PeerCreate: true}, false,
			[]string{"alter 'default:t', {NAME => 'a', REPLICATION_SCOPE => '1'}, {NAME => 'b', REPLICATION_SCOPE => '1'}", "snapshot.mode: when_needed"}},
		{"no scope, which may be set", lost, Config{SnapshotMode: SnapshotWhenNeeded, PeerCreate: true, SetScope: true}, true, nil},
		{"the operator's peer", gap, Config{SnapshotMode: SnapshotNoData}, false, []string{"set snapshot.gap.accept: default:t/5", "a new connector"}},
		{"scan only", gap, Config{SnapshotMode: SnapshotInitialOnly, PeerCreate: true}, false, []string{"start the connector again"}},
	} {
		c := &Capture{process: &process{cfg: tc.cfg}, tables: []captured{tc.table}}
		if got := c.settled(&tc.table); got != tc.settled {
			t.Errorf("%s: settled = %t, want %t", tc.name, got, tc.settled)
		}
		err := c.gapErrors()
		if (err == nil) != tc.settled || err != nil && !errors.Is(err, ErrRescanRequired) {
			t.Errorf("%s: %v", tc.name, err)
		}
		for _, s := range append(tc.says, "RESNAPSHOT_REQUIRED: table default:t was truncated") {
			if err != nil && !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %v; want it to say %q", tc.name, err, s)
			}
		}
	}
}

func TestATableWithAGapIsNotScanned(t *testing.T) {
	c := joining(tableIn("t", tableState{Gap: "was truncated"}))
	c.scanNext(t.Context())
	if c.background.done != nil {
		t.Error("its scan goes on, in the epoch that has ended")
	}
	c.showFlow()
	if c.flow.notScanned() == nil {
		t.Error("a watermark may be published while it is not scanned")
	}
}

func TestOperatorsPeerIsPrintedAsItMustBe(t *testing.T) {
	c := &Capture{process: &process{cfg: Config{PeerID: "p", PeerQuorum: []string{"zk:2181"}, PeerRoot: "/w"}}, tables: []captured{{name: "shop:orders", families: []string{"a"}}}}
	if s := c.addPeerCommand(); strings.Contains(s, "SERIAL") {
		t.Errorf("%s: it was not asked for", s)
	}
	c.cfg.PeerSerial = true
	if s := c.addPeerCommand(); !strings.HasSuffix(s, ", SERIAL => true") {
		t.Errorf("%s: want it serial", s)
	}
	_, err := c.foreignPeer(t.Context(), &admin.Peer{ID: "p"})
	if err == nil || !strings.Contains(err.Error(), "snapshot.mode: no_data") {
		t.Errorf("with a scan: %v", err)
	}
	c.cfg.SnapshotMode = SnapshotNoData
	for want, p := range map[string]*admin.Peer{
		"add_peer 'p'": nil,
		"hbase.peer.serial is true; set hbase.peer.serial: false, or remove the peer and run in the hbase shell: add_peer": {ID: "p"},
		"append_peer_tableCFs 'p', { 'shop:orders' => ['a'] }":                                                             {ID: "p", Serial: true, Tables: map[string][]string{"shop:other": nil}},
	} {
		if _, err := c.foreignPeer(t.Context(), p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("peer %+v: %v; want it to say %q", p, err, want)
		}
	}
}
