//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

// slow is a snapshot.max.rows.per.second, of each process, that holds a scan until a test has seen what it is to see, and lifts it by
// limit.
const slow = "20"

// smallFirst are splits of a table whose first region has a sixteenth of the rows: a scan by one thread is through with that soon, and
// long not with the others.
var smallFirst = [][]byte{[]byte("1"), []byte("6"), []byte("b")}

// limit changes the limits of a running scan.
func limit(t *testing.T, w *testenv.Waltap, connector string, rowsPerSecond int64) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, w.URL()+"/v1/connectors/"+connector+"/snapshot/limits",
		strings.NewReader(fmt.Sprintf(`{"rowsPerSecond": %d}`, rowsPerSecond)))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("limits: %s", res.Status)
	}
}

// awaitSize waits until the region servers have reported that a table holds that many MiB: they do every few seconds.
func awaitSize(t *testing.T, table string, megabytes uint32) {
	t.Helper()
	awaitReport(t, env.Source, table, fmt.Sprintf("%d MiB", megabytes), func(regions []admin.RegionLoad) bool {
		var size uint32
		for _, r := range regions {
			size += max(r.StoreFileMB, r.UncompressedMB) + r.MemStoreMB
		}
		return size >= megabytes
	})
}

// awaitReport waits until what the region servers have last reported of a table's regions is ok.
func awaitReport(t *testing.T, h *servers.HBase, table, what string, ok func([]admin.RegionLoad) bool) {
	t.Helper()
	ctx := testenv.Context(t, time.Minute)
	c, err := admin.Open(ctx, admin.Config{Quorum: []string{h.ZKQuorum()}, Root: h.ZNodeParent(), DialTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for {
		st, err := c.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var regions []admin.RegionLoad
		for _, s := range st.Servers {
			for _, r := range s.Regions {
				if strings.HasPrefix(string(r.Name), table+",") {
					regions = append(regions, r)
				}
			}
		}
		if ok(regions) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waiting for %s of table %s: its servers report %+v", what, table, regions)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// scanned counts the records of the scan on a table's topic, and the rows that they are of.
func scanned(t *testing.T, prefix, table string) (records, rows int64) {
	t.Helper()
	ctx := testenv.Context(t, 5*time.Minute)
	client, err := kafka.Connect(ctx, kafka.Config{BootstrapServers: []string{env.Kafka.Bootstrap()}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	topic, err := schema.DataTopic(prefix, "default:"+table)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	err = client.ReadAll(ctx, topic, func(r kafka.Record) error {
		var c schema.Change
		if err := schema.DecodeAvro(r.Value, &c); err != nil {
			return err
		}
		if c.Source.Kind == schema.KindScan {
			records++
			seen[string(c.Row)] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return records, int64(len(seen))
}

// One region, binary keys, read in parts by two threads: a kill costs no more than an interval of progress, and the
// limits that hold the scan back are those last set.
func TestKilledInsideARegion(t *testing.T) {
	t.Parallel()
	table, rows, rate := testenv.Name(t), torture[int64](20_000, 2_000_000), torture[int64](500, 60_000)
	const interval = 500 * time.Millisecond
	err := env.Src.CreateTable(testenv.Context(t, time.Minute), judge.Table{Name: table, Families: []judge.Family{{Name: "a", Versions: 1000, Scope: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = env.Src.Load(testenv.Context(t, 10*time.Minute), table, judge.LoadSpec{Rows: rows, Seed: 7, Families: []string{"a"}, Columns: 1, Versions: 1, ValueSize: torture(200, 40), BinaryKeys: true})
	if err != nil {
		t.Fatal(err)
	}
	awaitSize(t, table, 4)
	p := &pipe{name: table, tables: table, source: keys{"snapshot.fetch.size": "64KiB", "snapshot.max.threads": "2", "snapshot.scanners.per.server": "2",
		"snapshot.shard.max.bytes": "1MiB", "snapshot.progress.interval.ms": "500", "snapshot.max.rows.per.second": fmt.Sprint(rate)}}
	w, read := p.start(t), int64(0)
	for _, percent := range []int64{10, 10} { // of all, since the last start
		v := await(t, w, "_source", "the scan", func(v status.ConnectorView) bool { return v.Snapshot != nil && v.Snapshot.Rows >= rows*percent/100 })
		if err := w.Kill(); err != nil {
			t.Fatal(err)
		}
		t.Logf("killed at %+v", *v.Snapshot)
		read += v.Snapshot.Rows
		if v.Snapshot.ShardsTotal < 3 {
			t.Errorf("the region was scanned in %d parts, want several", v.Snapshot.ShardsTotal)
		}
		if v.Snapshot.SecondsLeft == 0 {
			t.Error("the status does not say how long the scan still takes")
		}
		if err := w.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	await(t, w, "_source", "the scan", func(v status.ConnectorView) bool { return v.Snapshot != nil && v.Snapshot.Rows > 0 })
	limit(t, w, table+"_source", 0)
	read += await(t, w, "_source", "the source to stream", func(v status.ConnectorView) bool { return v.State == status.Running }).Snapshot.Rows
	identical(t, table, judge.ScanOptions{})
	records, distinct := scanned(t, p.name, table)
	t.Logf("%d rows: %d read, %d records of the scan", distinct, read, records)
	if distinct != rows {
		t.Errorf("the scan delivered %d rows of %d", distinct, rows)
	}
	// An interval may be late: without progress in a region all of the two tenths are read twice.
	if most, twice := 2*torture[int64](4, 2)*int64(interval.Seconds()*float64(rate)), max(read, records)-distinct; twice > most {
		t.Errorf("%d rows were read twice, want at most some intervals, %d, for two kills", twice, most)
	}
}

// Regions are split, merged and moved while they are scanned and written to.
func TestRegionsChangeDuringTheScan(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	createTableToAlter(t, env.Src, table, "a", "b")
	load(t, table, torture[int64](4000, 20_000), "a", "b")
	p := &pipe{name: table, tables: table, source: keys{"snapshot.fetch.size": "16KiB", "snapshot.max.rows.per.second": slow}}
	stop := mutate(t, table, 500, "a", "b")
	w := p.start(t)
	begun := func(v status.ConnectorView) bool {
		return v.State == status.Snapshot && v.Snapshot != nil && v.Snapshot.Rows > 20
	}
	await(t, w, "_source", "the scan", begun)
	ctx := testenv.Context(t, 2*time.Minute)
	regions := func() []judge.Region {
		r, err := env.Src.Regions(ctx, table)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(r, func(a, b judge.Region) int { return slices.Compare(a.Start, b.Start) })
		return r
	}
	do := func(what string, f func(context.Context) error) {
		t.Helper()
		if err := f(ctx); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	before := regions()
	do("split the region being scanned", func(ctx context.Context) error { return env.Src.Split(ctx, table, []byte("2")) })
	do("merge regions not scanned yet", func(ctx context.Context) error {
		r := before[len(before)-2:]
		return env.Src.Merge(ctx, r[0].Encoded, r[1].Encoded)
	})
	do("move a region", func(ctx context.Context) error { return env.Src.Move(ctx, regions()[0].Encoded, "") })
	after := regions()
	v := await(t, w, "_source", "the scan", begun)
	if v.Snapshot.ShardsDone > 0 || len(after) != len(before) {
		t.Fatalf("%d regions became %d while the scan was at %+v: the test came too late", len(before), len(after), *v.Snapshot)
	}
	limit(t, w, table+"_source", 0)
	awaitStreaming(t, w)
	stop()
	identical(t, table, judge.ScanOptions{})
}

// Rows, families, columns and timestamps out of scope do not reach the destination, by scan or by stream; what is in
// scope does, and another scope is refused later.
func TestScopeOfScanAndStream(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	createTable(t, table, "a", "b", "c")
	rows := func(ts int64) {
		for _, row := range []string{"0", "4", "8", "c"} {
			for _, f := range []string{"a", "b", "c"} {
				write(t, table, judge.PutAt(row, f, "keep", ts, "v"), judge.PutAt(row, f, "drop", ts, "v"))
			}
		}
	}
	rows(10)
	rows(20) // the scan's
	p := &pipe{name: table, tables: table, source: keys{"column.include.list": "default:" + table + ":a, default:" + table + ":b:keep",
		"row.start": "4", "row.stop": `\x63`, "snapshot.timestamp.min": "15"}}
	w := p.start(t)
	awaitStreaming(t, w)
	rows(30)
	write(t, table, judge.DeleteFamily("8", "b", 25), judge.DeleteColumn("8", "b", "drop", 31), judge.DeleteColumn("4", "b", "keep", 22))
	write(t, table, judge.Put("8", "a", "the end", "v"))
	awaitTable(t, table)
	ctx := testenv.Context(t, time.Minute)
	want := map[string][]string{
		"0": nil, "c": nil,
		"4": {"a:drop/20 Put", "a:drop/30 Put", "a:keep/20 Put", "a:keep/30 Put", "b:keep/20 Put", "b:keep/22 DeleteColumn", "b:keep/30 Put"},
		"8": {"a:drop/20 Put", "a:drop/30 Put", "a:keep/20 Put", "a:keep/30 Put", "a:the end Put", "b:/25 DeleteFamily", "b:keep/20 Put", "b:keep/30 Put"},
	}
	for row, cells := range want {
		for {
			raw, err := env.Dst.RawRow(ctx, table, []byte(row))
			if err != nil {
				t.Fatalf("row %s: %v", row, err)
			}
			var got []string
			for _, c := range raw {
				text := fmt.Sprintf("%s:%s/%d %s", c.Family, c.Qualifier, c.Timestamp, c.Type)
				if string(c.Qualifier) == "the end" {
					text = "a:the end Put"
				}
				got = append(got, text)
			}
			slices.Sort(got)
			if slices.Equal(got, cells) {
				break
			}
			select {
			case <-ctx.Done():
				t.Fatalf("row %s is %q at the destination, want %q", row, got, cells)
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	if code, err := w.Stop(ctx); err != nil || code != 0 {
		t.Fatalf("exit %d, %v", code, err)
	}
	p.source["row.stop"] = "f"
	w = p.start(t)
	if _, err := w.WaitLog(ctx, "was captured with another scope"); err != nil {
		t.Error(err)
	}
}

// A scan that would make the source keep its WALs for too long ends, and goes on when it is given more time.
func TestScanThatHoldsTheWALTooLong(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	createTable(t, table, "a")
	load(t, table, 2000, "a")
	p := &pipe{name: table, tables: table, source: keys{"snapshot.max.rows.per.second": slow}}
	w := p.start(t)
	await(t, w, "_source", "a part of the scan", func(v status.ConnectorView) bool { return v.Snapshot != nil && v.Snapshot.Rows > 0 })
	held := time.Now()
	ctx := testenv.Context(t, time.Minute)
	if code, err := w.Stop(ctx); err != nil || code != 0 {
		t.Fatalf("SIGTERM: exit code %d, %v", code, err)
	}
	// Counted from when the peer was added: in the middle of what this start scans, if the machine is not too slow.
	p.source["snapshot.max.wal.hold"] = fmt.Sprint((time.Since(held) + 3*time.Second).Milliseconds())
	w = p.start(t)
	if code, err := w.Wait(ctx); err != nil || code == 0 {
		t.Fatalf("exit %d, %v: want a failure", code, err)
	}
	if _, err := w.WaitLog(ctx, "snapshot.max.wal.hold: the source has kept its WALs since"); err != nil {
		t.Error(err)
	}
	peers, err := env.Src.Peers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(peers, func(x judge.Peer) bool { return x.ID == p.name }); i < 0 || !peers[i].Disabled {
		t.Errorf("peers %+v: want %s kept, and held", peers, p.name)
	}
	write(t, table, judge.Put("0", "a", "q", "queued meanwhile"))
	p.source = keys{"snapshot.max.wal.hold": "600000"}
	w = p.start(t)
	awaitStreaming(t, w)
	v, err := view(ctx, w, "_source")
	if err != nil {
		t.Fatal(err)
	}
	if v.Snapshot == nil || v.Snapshot.Rows >= 2000 {
		t.Errorf("the last start scanned %+v, want only what was left", v.Snapshot)
	}
	identical(t, table, judge.ScanOptions{})
}
