//go:build e2e

package snapshots

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
)

// torture is stated with TORTURE=1, else small.
func torture[T any](small, stated T) T {
	if os.Getenv("TORTURE") == "1" {
		return stated
	}
	return small
}

// keepWriting writes to a table until it is stopped. Rows, columns and
// timestamps are few, so that cells are rewritten with the timestamp that they have; all kinds of deletes are among the writes. All bear
// timestamps, so that the region servers need not read to write.
func keepWriting(t *testing.T, table string, rows int) *writing {
	t.Helper()
	ctx, cancel := context.WithCancel(testenv.Context(t, 5*time.Minute))
	w := &writing{t: t, cancel: cancel, ended: make(chan error, 1)}
	go func() {
		r := rand.New(rand.NewPCG(7, 11))
		for ctx.Err() == nil {
			var batch []judge.Mutation
			for i := range perWrite { // of different rows: those of one row and batch would have one sequence
				row, ts := fmt.Sprintf("%x%04d", (i*rows/perWrite)%16, i*rows/perWrite+r.IntN(rows/perWrite)), 1_700_000_000_000+int64(r.IntN(4))
				family, qualifier := []string{"a", "b"}[r.IntN(2)], []string{"p", "q"}[r.IntN(2)]
				switch r.IntN(12) {
				case 0:
					batch = append(batch, judge.DeleteVersion(row, family, qualifier, ts))
				case 1:
					batch = append(batch, judge.DeleteColumn(row, family, qualifier, ts))
				case 2:
					batch = append(batch, judge.DeleteFamily(row, family, ts))
				case 3:
					batch = append(batch, judge.DeleteFamilyVersion(row, family, ts))
				default:
					batch = append(batch, judge.PutAt(row, family, qualifier, ts, fmt.Sprintf("%d %d", w.n.Load(), i)))
				}
			}
			if err := env.Src.Write(context.WithoutCancel(ctx), table, batch...); err != nil {
				w.ended <- err
				return
			}
			w.n.Add(int64(len(batch)))
			time.Sleep(torture(50*time.Millisecond, 0)) // the machine is shared
		}
		w.ended <- nil
	}()
	t.Cleanup(func() { w.stop() })
	return w
}

// perWrite is how many mutations keepWriting sends at once.
const perWrite = 40

// writing is a writer at work.
type writing struct {
	t       *testing.T
	cancel  context.CancelFunc
	n       atomic.Int64 // writes that were acknowledged
	ended   chan error
	stopped bool
}

func (w *writing) wrote() int64 { return w.n.Load() }

// stop ends it and returns how many writes there were.
func (w *writing) stop() int64 {
	w.cancel()
	if !w.stopped {
		w.stopped = true
		if err := <-w.ended; err != nil {
			w.t.Errorf("writing: %v", err)
		}
	}
	return w.n.Load()
}

// limit holds the reading of a source to so many bytes a second; 0: no limit.
func limit(t *testing.T, w *testenv.Waltap, connector string, bytesPerSecond int64) {
	t.Helper()
	code, body, err := w.Do(testenv.Context(t, time.Minute), http.MethodPut, "/v1/connectors/"+connector+"/snapshot/limits", fmt.Appendf(nil, `{"bytesPerSecond": %d}`, bytesPerSecond))
	if err != nil || code != http.StatusOK {
		t.Fatalf("limits: %d %s, %v", code, body, err)
	}
}

// rowsRead waits for ok, and is how many rows a process has read from files.
func rowsRead(t *testing.T, w *testenv.Waltap, ok func(rows int64) bool) (rows int64) {
	t.Helper()
	await(t, w, "rows to be read", func(v status.ConnectorView) bool {
		if v.Snapshot != nil {
			rows = v.Snapshot.Rows
		}
		return v.Snapshot != nil && ok(rows)
	})
	return rows
}

// A live table ends at the destination as it is at the source, though it was copied from files while cells were rewritten with the
// timestamps that they have and deleted. Two processes read, held to a low rate; the one that leads is killed in the middle and started
// again; then the rate is lifted. No region server is asked for a row.
func TestFilesOfALiveTable(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	ctx := testenv.Context(t, 5*time.Minute)
	rows := torture[int64](4000, 200_000)
	if err := env.Src.CreateTable(ctx, judge.Table{Name: table, Splits: judge.HexSplits(4), Families: []judge.Family{{Name: "a", Versions: 1000, Scope: 1}, {Name: "b", Versions: 1000, Scope: 1}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := env.Src.Load(ctx, table, judge.LoadSpec{Rows: rows, Seed: 5, Families: []string{"a", "b"}, Columns: 1, Versions: 1, ValueSize: 100}); err != nil {
		t.Fatal(err)
	}
	if err := env.Src.Flush(ctx, table); err != nil {
		t.Fatal(err)
	}
	writing := keepWriting(t, table, 400)
	removePeer(t, table)
	before := requests(t, table)
	text := config(t, table, "    snapshot.max.bytes.per.second: 3000\n    snapshot.progress.interval.ms: 200\n    snapshot.max.threads: 1\n    hbase.peer.zookeeper.session.timeout.ms: 4000")
	start := func(name string) *testenv.Waltap {
		return env.StartWaltap(t, testenv.WaltapOptions{Name: name, Config: text})
	}
	some := func(n int64) bool { return n > 0 }
	first := start("first")
	rowsRead(t, first, some)
	second := start("second")
	rowsRead(t, second, some)
	source := table + "_source"
	limit(t, first, source, torture[int64](20_000, 60_000))
	killed := rowsRead(t, first, func(n int64) bool { return n > rows/8 })
	if n := left(t, table); len(n) != 1 {
		t.Errorf("snapshots %v while one is read, want one", n)
	}
	if err := first.Restart(); err != nil { // kills it
		t.Fatal(err)
	}
	if err := first.AwaitStatus(ctx, "/healthz", 200); err != nil {
		t.Fatal(err)
	}
	rowsRead(t, first, some) // the tasks are shared out anew: what is read again is at most two intervals at the low rate
	limit(t, first, source, 0)
	limit(t, second, source, 0)
	logs := func() string {
		t.Helper()
		all := ""
		for _, w := range []*testenv.Waltap{first, second} {
			b, err := os.ReadFile(w.LogPath()) // from before the kill, too
			if err != nil {
				t.Fatal(err)
			}
			all += string(b)
		}
		return all
	}
	for !strings.Contains(logs(), "snapshot deleted") {
		if ctx.Err() != nil {
			t.Fatalf("the table is not through: %v\n%s", context.Cause(ctx), logs())
		}
		time.Sleep(200 * time.Millisecond)
	}
	afterwards := int64(0)
	for _, w := range []*testenv.Waltap{first, second} {
		await(t, w, "the source to stream or stand by", func(v status.ConnectorView) bool {
			if v.State == status.Running && v.Snapshot != nil {
				afterwards += v.Snapshot.Rows
			}
			return v.State == status.Running
		})
	}
	if after := requests(t, table); after != before {
		t.Errorf("the region servers counted %d requests to read while the table was read from files", after-before)
	}
	t.Logf("killed with %d rows read, the others read %d", killed, afterwards)
	if all := killed + afterwards; all < rows || all > rows+400+rows/20 { // 400 rows are the writer's
		t.Errorf("%d rows were read, %d of them before the kill, want %d and little more", all, killed, rows)
	}
	if made := strings.Count(logs(), "snapshot made"); made != 1 {
		t.Errorf("%d snapshots were made, want 1", made)
	}
	if n := left(t, table); len(n) > 0 {
		t.Errorf("snapshots are left: %v", n)
	}
	t.Logf("%d writes meanwhile", writing.stop())
	awaitTable(t, table+"_copy")
	if err := env.Src.AwaitEqual(ctx, table, env.Src, table+"_copy", judge.ScanOptions{}); err != nil {
		t.Fatal(err)
	}
}

// The negative control of the test above: a build that takes the files for newer than they are, by some edits, leaves out changes that they
// do not have.
func TestFilesOfALiveTableWithALateReadPoint(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	ctx := testenv.Context(t, 4*time.Minute)
	if err := env.Src.CreateTable(ctx, judge.Table{Name: table, Families: []judge.Family{{Name: "a", Versions: 1000, Scope: 1}, {Name: "b", Versions: 1000, Scope: 1}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := env.Src.Load(ctx, table, judge.LoadSpec{Rows: 300, Seed: 5, Families: []string{"a"}, Columns: 1, Versions: 1, ValueSize: 100}); err != nil {
		t.Fatal(err)
	}
	removePeer(t, table)
	w := env.StartWaltap(t, testenv.WaltapOptions{Config: config(t, table, "    snapshot.max.bytes.per.second: 2000"),
		Build: testenv.BuildOptions{Tags: []string{"waltap_crash"}}, Env: []string{"WALTAP_READPOINT_LATE=10"}})
	rowsRead(t, w, func(n int64) bool { return n > 0 }) // the snapshot was made
	writing := keepWriting(t, table, 4000)
	for writing.wrote() < 30*perWrite {
		time.Sleep(20 * time.Millisecond)
	}
	writing.stop()
	if err := env.Src.Write(ctx, table, judge.PutAt("ffff the end", "a", "q", 1, "v")); err != nil {
		t.Fatal(err)
	}
	limit(t, w, table+"_source", 0)
	await(t, w, "the source to stream", func(v status.ConnectorView) bool { return v.State == status.Running && v.BelowReadPoint > 0 })
	for {
		awaitTable(t, table+"_copy")
		cells, err := env.Src.ReadRow(ctx, table+"_copy", []byte("ffff the end"))
		if err != nil {
			t.Fatal(err)
		}
		if len(cells) > 0 { // of one region all that was written before is in Kafka
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	awaitOf(t, w, "_sink", "all of it to be applied", func(v status.ConnectorView) bool { return v.LagRecords == 0 && v.Records > 0 })
	diff, err := env.Src.Diff(ctx, table, env.Src, table+"_copy", judge.ScanOptions{}, 3)
	if err != nil {
		t.Fatal(err)
	}
	if len(diff) == 0 {
		t.Fatal("a read point that is too late has lost nothing: the test it controls proves nothing")
	}
	t.Logf("lost, as it must: %v …", diff)
}

// A connector that is deleted while it reads leaves neither its snapshot nor its peer.
func TestDeletedWhileItReadsFiles(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	ctx := testenv.Context(t, 3*time.Minute)
	if err := env.Src.CreateTable(ctx, judge.Table{Name: table, Families: []judge.Family{{Name: "a", Scope: 1}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := env.Src.Load(ctx, table, judge.LoadSpec{Rows: 1000, Seed: 5, Families: []string{"a"}, Columns: 1, Versions: 1, ValueSize: 100}); err != nil {
		t.Fatal(err)
	}
	w := env.StartWaltap(t, testenv.WaltapOptions{Config: config(t, table, "    snapshot.max.bytes.per.second: 1000")})
	rowsRead(t, w, func(n int64) bool { return n > 0 })
	if n := left(t, table); len(n) != 1 {
		t.Errorf("snapshots %v while one is read, want one", n)
	}
	code, body, err := w.Do(ctx, http.MethodDelete, "/connectors/"+table+"_source", nil)
	if err != nil || code != http.StatusNoContent {
		t.Fatalf("delete: %d %s, %v\n%s", code, body, err, servers.LogTail(w.LogPath()))
	}
	for len(left(t, table)) > 0 && ctx.Err() == nil {
		time.Sleep(200 * time.Millisecond)
	}
	if n := left(t, table); len(n) > 0 {
		t.Errorf("snapshots are left: %v\n%s", n, servers.LogTail(w.LogPath()))
	}
	for {
		peers, err := env.Src.Peers(ctx)
		if err != nil {
			t.Fatal(err)
		}
		there := false
		for _, p := range peers {
			there = there || p.ID == table
		}
		if !there {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
}
