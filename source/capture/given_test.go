package capture

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/internal/check"
	"github.com/waltap/waltap/internal/filesystem"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source/scan"
)

// exported is a source of the snapshot that HBase's own classes have made, in a folder without hbase.id.
func exported(t *testing.T) Config {
	t.Helper()
	root := filepath.ToSlash(t.TempDir())
	if err := os.CopyFS(root, os.DirFS("../hfile/testdata/root")); err != nil {
		t.Fatal(err)
	}
	return Config{Connector: "load", TopicPrefix: "p", SnapshotMode: SnapshotInitialOnly, SnapshotReader: ReaderFiles, Tables: named("shop:orders"),
		Snapshots: map[string]string{"shop:orders": "orders_snap"}, Root: filesystem.Location{Path: root}}
}

// named is a TableFilter of one table.
type named string

func (n named) Match(table string) bool { return table == string(n) }
func (n named) Named() []string         { return []string{string(n)} }

// Without a cluster the tables, their families and their regions are the snapshots'.
func TestDetached(t *testing.T) {
	p := &process{cfg: exported(t)}
	open := func() {
		t.Helper()
		if err := p.openSource(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	open()
	defer func() { p.closeSource() }()
	virtual := p.id
	tables, err := p.listTables(t.Context())
	if err != nil || len(tables) != 1 {
		t.Fatalf("%v, %v", tables, err)
	}
	n, err := (&Capture{process: p}).newCaptured(tables[0])
	if err != nil || !slices.Equal(n.families, []string{"a", "m"}) {
		t.Errorf("%+v, %v", n, err)
	}
	regions, err := p.regions(t.Context(), "shop:orders")
	if err != nil || len(regions) != 2 {
		t.Errorf("%d regions, %v", len(regions), err)
	}
	if began, err := (&Capture{process: p}).began("shop:orders"); err != nil || !began.Equal(time.Date(2023, 11, 14, 22, 13, 20, 0, time.UTC)) {
		t.Errorf("began %v, %v", began, err)
	}
	const id = "6e7a3fd5-5d0f-4d8c-a6f1-0a1b2c3d4e5f" // of an HBase that is down, say
	if err := os.WriteFile(p.cfg.Root.Path+"/hbase.id", []byte("PBUF\n$"+id), 0o644); err != nil {
		t.Fatal(err)
	}
	p.closeSource()
	open()
	if p.id == virtual || p.id.String() != id {
		t.Errorf("cluster id %s, want %s", p.id, id)
	}

	p.cfg.Tables = named("shop:others")
	if _, err := p.listTables(t.Context()); err == nil || !strings.Contains(err.Error(), "snapshot.name names no snapshot of table shop:others") {
		t.Error(err)
	}
	p.cfg.Snapshots = map[string]string{"shop:others": "orders_snap"}
	if _, err := p.listTables(t.Context()); err == nil || !strings.Contains(err.Error(), "is of table shop:orders, not of shop:others") {
		t.Error(err)
	}
	p.cfg.Root.Path += "/data"
	if err := p.openSource(t.Context()); err == nil || !strings.Contains(err.Error(), "what ExportSnapshot was told to copy to") {
		t.Error(err)
	}
}

// A connector has no peer to look at where there is no cluster.
func TestDetachedControl(t *testing.T) {
	cfg := exported(t)
	cfg.PeerCreate = true
	k, err := OpenControl(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if s, err := k.Peer(t.Context()); s != PeerAbsent || err != nil {
		t.Errorf("%s, %v", s, err)
	}
	if changed, err := k.Disable(t.Context()); changed || err != nil {
		t.Errorf("%t, %v", changed, err)
	}
	if b, err := k.Backlog(t.Context()); err != nil || b.WALs != 0 {
		t.Errorf("%+v, %v", b, err)
	}
	if n, err := k.RollSize(t.Context()); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if names, err := k.DropSnapshots(t.Context()); len(names) > 0 || err != nil {
		t.Errorf("%q, %v", names, err)
	}
	if err := k.Remove(t.Context()); err != nil {
		t.Error(err)
	}
}

// Doctor looks at every file of a snapshot, and at no HBase.
func TestCheckDetached(t *testing.T) {
	cfg := CheckConfig{Config: exported(t), Timeout: 30 * time.Second}
	found := Check(t.Context(), cfg)
	if s := check.Worst(found.Results); s != check.Unknown { // Kafka is not there
		t.Errorf("%s: %+v", s, found.Results)
	}
	if len(found.Tables) != 1 || len(found.Topics) == 0 {
		t.Errorf("%+v", found)
	}
	if err := os.RemoveAll(cfg.Root.Path + "/mobdir"); err != nil {
		t.Fatal(err)
	}
	failed := ""
	for _, r := range Check(t.Context(), cfg).Results {
		if r.Severity == check.Failure {
			failed += r.Found
		}
	}
	if !strings.Contains(failed, "was the snapshot deleted?") {
		t.Errorf("a file is missing: %q", failed)
	}
}

// A connector stays with the snapshot that it has begun: half of each, or nothing of the new one, would be delivered.
func TestSnapshotThatWasBegun(t *testing.T) {
	c, ctx := topicCapture(t)
	store, err := checkpoint.Open(ctx, c.cfg.Kafka, schema.OffsetsTopic("p"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	c.state = state{store: store, connector: "load"}
	of := exported(t)
	c.cfg.Root, c.cfg.Snapshots, c.cfg.SnapshotMode, c.cfg.SnapshotReader = of.Root, of.Snapshots, of.SnapshotMode, of.SnapshotReader
	c.fs = filesystem.Local{}
	c.tables = []captured{{name: "shop:orders", state: tableState{Epoch: 1}}}
	says := func(what, want string) {
		t.Helper()
		if err := c.checkGiven(); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	says("a new table", "")
	if err := c.makeSnapshot(ctx, scan.Table{Name: "shop:orders", Epoch: 1}, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.state.Save(ctx, scan.Range{Table: "shop:orders", Region: "r", Epoch: 1}); err != nil {
		t.Fatal(err)
	}
	says("half read", "")
	ended := &Capture{process: c.process, tables: []captured{{name: "shop:orders", state: tableState{Epoch: 2}}}}
	ended.cfg.EndTime = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := ended.beginSnapshot(ctx); err == nil || !strings.Contains(err.Error(), "is sure to hold (all up to 2023-11-14T22:13:20Z)") {
		t.Errorf("an end time after the snapshot was made: %v", err)
	}
	ended.cfg.EndTime = time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := ended.beginSnapshot(ctx); err != nil || ended.tables[0].state.Began != 1700000000000 {
		t.Errorf("an end time before: %v, began %d", err, ended.tables[0].state.Began)
	}
	c.tables[0].state.Captured = true
	if err := c.dropSnapshot(ctx, "shop:orders"); err != nil {
		t.Fatal(err)
	}
	says("read", "")
	made, known, err := c.state.snapshot("shop:orders")
	if err != nil || !known {
		t.Fatalf("what was read is forgotten: %v", err)
	}
	for what, other := range map[string]snapshotState{
		"another one":       {Epoch: 1, Name: "other", Created: made.Created},
		"one made anew":     {Epoch: 1, Name: made.Name, Created: made.Created - 1},
		"one of waltap's":   {Epoch: 1, Name: "waltap-1"},
		"of an older epoch": {Epoch: 0, Name: made.Name, Created: made.Created},
	} {
		if err := c.state.saveSnapshot(ctx, "shop:orders", other); err != nil {
			t.Fatal(err)
		}
		says(what, "by a new connector with a topic.prefix of its own")
	}
}
