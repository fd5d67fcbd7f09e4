//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
)

// verdict is what waltap verify says: its report, and the lines of its differences file.
type verdict struct {
	code int

	GoodRows, BadRows                                        int64
	OnlyInSourceRows, OnlyInTargetRows, ContentDifferentRows int64
	ExceptedRows, RecheckedRows, SettledRows, ChangedKeys    int64
	SkippedRows                                              int64
	Proved, Resumed, Stopped                                 bool
	Differences, Exceptions                                  map[string]int64

	lines       []difference
	report, out string // files
}

type difference struct {
	Table, Target, Kind, At, Exception, Family, Type string
	Row, Qualifier                                   []byte
	Timestamp                                        int64
}

func (d difference) String() string {
	return fmt.Sprintf("%s %s %q %s:%q @%d %s %s", d.Kind, d.At, d.Row, d.Family, d.Qualifier, d.Timestamp, d.Type, d.Exception)
}

// bothEnds are the flags of the two clusters without a pipeline.
func bothEnds(table string) []string {
	return []string{"--source-quorum", env.Source.ZKQuorum(), "--target-quorum", env.Destination.ZKQuorum(), "--table", table}
}

// pipeFile writes a pipeline's configuration to a file, for -f.
func pipeFile(t *testing.T, p *pipe) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pipeline.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(p.config(), "${PORT}", "0")), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// verify runs waltap verify to its end; any exit code but 0 and 2 fails the test.
func verify(t *testing.T, args ...string) verdict {
	t.Helper()
	v := startVerify(t, args...).wait(t)
	if v.code != 0 && v.code != 2 {
		t.Fatalf("waltap verify: exit code %d", v.code)
	}
	return v
}

// verifying is a waltap verify at work.
type verifying struct {
	*testenv.Waltap
	report, out string
}

func startVerify(t *testing.T, args ...string) *verifying {
	t.Helper()
	dir := t.TempDir()
	v := &verifying{report: filepath.Join(dir, "report.json"), out: filepath.Join(dir, "differences.jsonl")}
	args = append([]string{"verify", "--report", v.report}, args...)
	if i := slices.Index(args, "--out"); i >= 0 {
		v.out = args[i+1]
	} else {
		args = append(args, "--out", v.out)
	}
	v.Waltap = env.StartWaltap(t, testenv.WaltapOptions{Name: "verify", Args: args})
	return v
}

func (v *verifying) wait(t *testing.T) verdict {
	t.Helper()
	code, err := v.Wait(testenv.Context(t, 3*time.Minute))
	if err != nil {
		t.Fatalf("%v\n%s", err, servers.LogTail(v.LogPath()))
	}
	out := verdict{code: code, report: v.report, out: v.out}
	b, err := os.ReadFile(v.report)
	if err != nil {
		if code == 1 {
			return out
		}
		t.Fatalf("exit code %d, no report: %v\n%s", code, err, servers.LogTail(v.LogPath()))
	}
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	out.lines = readDifferences(t, v.out)
	t.Logf("exit code %d: %d good rows, %d bad, %d read again, %d settled, %d excepted; differences %v; exceptions %v", code, out.GoodRows, out.BadRows,
		out.RecheckedRows, out.SettledRows, out.ExceptedRows, out.Differences, out.Exceptions)
	return out
}

func readDifferences(t *testing.T, file string) (lines []difference) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var d difference
		if err := json.Unmarshal(s.Bytes(), &d); err != nil {
			t.Fatalf("%s: %v: %s", file, err, s.Text())
		}
		lines = append(lines, d)
	}
	return lines
}

// clean fails the test unless v found nothing, in rows at least.
func (v *verdict) clean(t *testing.T, rows int64) {
	t.Helper()
	if v.code != 0 || v.BadRows != 0 || len(v.lines) != 0 || v.GoodRows < rows {
		t.Errorf("exit code %d, %d bad rows of %d, want 0 and at least %d rows; %v", v.code, v.BadRows, v.GoodRows+v.BadRows, rows, first(v.lines))
	}
}

func first(lines []difference) string {
	var b strings.Builder
	for i, l := range lines {
		if i == 10 {
			break
		}
		fmt.Fprintf(&b, "\n%v", l)
	}
	return b.String()
}

// plants are differences made on purpose, each in one cell of a row of its own.
type plants struct {
	table, target      string
	base               []judge.Mutation // to be at both ends
	atSource, atTarget []judge.Mutation // to be at one end only, the source's not in its WAL
	want               map[string]int64 // kind: how many
	rows               map[string]string
	visible            int64 // rows that differ for a client, too
}

// farFuture is above all timestamps that the load's deletes have: what is planted stays to be seen.
const farFuture = 4102444800000

// plan makes n differences of all kinds in rows, in qualifiers that the load does not write.
func plan(table, target, family string, rows []string, n int) *plants {
	p := &plants{table: table, target: target, want: make(map[string]int64), rows: make(map[string]string)}
	skip := func(m judge.Mutation) judge.Mutation { m.SkipWAL = true; return m }
	for i := range n {
		row := rows[i%len(rows)]
		q := fmt.Sprintf("planted-%d", i)
		put := func(ts int64, value string) judge.Mutation { return judge.PutAt(row, family, q, ts, value) }
		kind, visible := "", true
		switch i % 9 {
		case 0:
			kind = "missing"
			p.atSource = append(p.atSource, skip(put(farFuture, "v")))
		case 1:
			kind = "extra"
			p.atTarget = append(p.atTarget, put(farFuture, "v"))
		case 2:
			kind = "value"
			p.base = append(p.base, put(farFuture, "right"))
			p.atTarget = append(p.atTarget, put(farFuture, "wrong"))
		case 3:
			kind = "version"
			p.base = append(p.base, put(farFuture, "new"))
			p.atSource = append(p.atSource, skip(put(farFuture-1, "old")))
		case 4:
			kind = "version"
			p.base = append(p.base, put(farFuture, "new"))
			p.atTarget = append(p.atTarget, put(farFuture-1, "old"))
		case 5:
			kind = "marker" // hides what the target shows
			p.base = append(p.base, put(farFuture, "v"))
			p.atSource = append(p.atSource, skip(judge.DeleteColumn(row, family, q, farFuture)))
		case 6:
			kind, visible = "marker", false // hides nothing yet
			p.atSource = append(p.atSource, skip(judge.DeleteVersion(row, family, q, farFuture)))
		case 7:
			kind = "tags"
			p.base = append(p.base, put(farFuture, "v"))
			p.atTarget = append(p.atTarget, put(farFuture, "v").WithTTL(1000*time.Hour))
		case 8:
			kind = "marker" // one version
			p.base = append(p.base, put(farFuture, "v"))
			p.atSource = append(p.atSource, skip(judge.DeleteVersion(row, family, q, farFuture)))
		}
		p.want[kind]++
		p.rows[q] = row + " " + kind
		if visible {
			p.visible++
		}
	}
	return p
}

// plant writes the differences.
func (p *plants) plant(t *testing.T) {
	t.Helper()
	ctx := testenv.Context(t, time.Minute)
	if err := env.Src.Write(ctx, p.table, p.atSource...); err != nil {
		t.Fatal(err)
	}
	if err := env.Dst.Write(ctx, p.target, p.atTarget...); err != nil {
		t.Fatal(err)
	}
}

// check compares what was found with what was planted.
func (p *plants) check(t *testing.T, v *verdict) {
	t.Helper()
	if v.code != 2 || !maps.Equal(v.Differences, p.want) {
		t.Errorf("exit code %d, differences %v; want 2 and %v", v.code, v.Differences, p.want)
	}
	left := maps.Clone(p.rows)
	for _, d := range v.lines {
		q := string(d.Qualifier)
		if left[q] != string(d.Row)+" "+d.Kind || d.Table != "default:"+p.table || d.Target != "default:"+p.target {
			t.Errorf("found what was not planted: %v", d)
		}
		delete(left, q)
	}
	for q, what := range left {
		t.Errorf("not found: %s %s", q, what)
	}
}

// mutatorRow is the key of a random writer's row.
func mutatorRow(key int) string { return fmt.Sprintf("%08x-%d", uint32(key)*0x9E3779B1, key) }

// mutatorRows are the first n rows of a random writer.
func mutatorRows(n int) (rows []string) {
	for i := range n {
		rows = append(rows, mutatorRow(i))
	}
	return rows
}

// plainTable makes a table as people have them: HBase drops there what is hidden when it flushes.
func plainTable(t *testing.T, name string, families ...string) {
	t.Helper()
	table := judge.Table{Name: name, Splits: judge.HexSplits(4)}
	for _, f := range families {
		table.Families = append(table.Families, judge.Family{Name: f, Versions: 5, Scope: 1})
	}
	if err := env.Src.CreateTable(testenv.Context(t, time.Minute), table); err != nil {
		t.Fatal(err)
	}
}

// TestVerifyFindsExactlyWhatIsPlanted plants differences of all kinds in a table that is written to.
func TestVerifyFindsExactlyWhatIsPlanted(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	plainTable(t, table, "a", "b")
	n := torture(180, 1000)
	load(t, table, torture[int64](3000, 100_000), "a", "b")
	planted := plan(table, table, "a", mutatorRows(n), n)
	write(t, table, planted.base...)
	p := &pipe{name: table, tables: table}
	w := p.start(t)
	awaitStreaming(t, w)
	identical(t, table, judge.ScanOptions{})
	stop := mutateAt(t, env.Src, table, judge.MutatorSpec{Families: []string{"a", "b"}, Keys: 2000, Rate: 500})
	file := pipeFile(t, p)

	v := verify(t, "-f", file)
	v.clean(t, 3000)
	for try := 0; v.SettledRows == 0 && !t.Failed(); try++ { // until the load was met
		if try == 20 {
			t.Fatal("20 comparisons of a table under load, and no row had to settle")
		}
		v = verify(t, "-f", file)
		v.clean(t, 3000)
	}
	if !v.Proved {
		t.Error("what was found is not proved")
	}
	for try := 0; v.BadRows == 0; try++ { // the control: what reading again is for
		if try == 20 {
			t.Fatal("20 comparisons of a table under load, rows not read again, gave no false alarm")
		}
		v = verify(t, "-f", file, "--no-recheck")
	}
	planted.plant(t)
	v = verify(t, "-f", file)
	planted.check(t, &v)

	plan := repair(t, 2, "-f", file, "--from", v.out, "--delete-extra")
	if plan.Executed || plan.cells(plan.Actions) != int64(n) || len(plan.Left) != 0 {
		t.Errorf("planned %+v, left %+v; want %d cells", plan.Actions, plan.Left, n)
	}
	done := repair(t, 0, "-f", file, "--from", v.out, "--delete-extra", "--execute")
	if !done.Executed || done.cells(done.Actions) != int64(n) || len(done.Left) != 0 || done.After.BadRows != 0 {
		t.Errorf("wrote %+v, left %+v; want %d cells, for the plan has written none", done.Actions, done.Left, n)
	}
	v = verify(t, "-f", file)
	v.clean(t, 3000)
	stop()
	awaitVisible(t, table, table)
	agrees(t, table, table, 0)
}

// TestVerifyReplicationAgrees counts what is planted with HBase's own tool, too: that needs tables at rest.
func TestVerifyReplicationAgrees(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	plainTable(t, table, "a")
	n := torture(90, 1000)
	load(t, table, int64(n)+1, "a")
	planted := plan(table, table, "a", mutatorRows(n), n)
	// VerifyReplication looks at the peer's rows of a region from the source's first one on.
	for _, at := range append(judge.HexSplits(4), []byte("0000")) {
		planted.base = append(planted.base, judge.Put(string(at), "a", "first", "v"))
	}
	write(t, table, planted.base...)
	p := &pipe{name: table, tables: table}
	awaitStreaming(t, p.start(t))
	identical(t, table, judge.ScanOptions{})
	agrees(t, table, table, 0)
	planted.plant(t)
	agrees(t, table, table, planted.visible)
	args := append(bothEnds(table), "--recheck-for", "1s")
	// Stopped early, and carried through from there.
	dir := t.TempDir()
	kept := append(args, "--out", filepath.Join(dir, "differences.jsonl"), "--state", filepath.Join(dir, "state.json"))
	if v := verify(t, append(kept, "--max-bad-rows", "5")...); !v.Stopped || v.code != 2 || v.BadRows < 5 || v.BadRows >= int64(n) {
		t.Errorf("to be stopped at 5 bad rows: exit code %d, stopped %t, %d bad rows", v.code, v.Stopped, v.BadRows)
	}
	v := verify(t, append(kept, "--resume")...)
	if !v.Resumed || v.Stopped {
		t.Errorf("resumed %t, stopped %t", v.Resumed, v.Stopped)
	}
	planted.check(t, &v)
	if r := repair(t, 0, append(args, "--delete-extra", "--execute")...); r.Compared.GoodRows+r.Compared.BadRows < int64(n) || r.Compared.BadRows != r.Found.BadRows {
		t.Errorf("repair says that it has compared %d rows, %d bad, and found %d", r.Compared.GoodRows+r.Compared.BadRows, r.Compared.BadRows, r.Found.BadRows)
	}
	agrees(t, table, table, 0)
	v = verify(t, args...)
	v.clean(t, int64(n))
}

// agrees runs HBase's VerifyReplication.
func agrees(t *testing.T, table, peerTable string, bad int64) {
	t.Helper()
	r, err := env.Src.VerifyReplication(testenv.Context(t, 2*time.Minute), judge.VerifySpec{Peer: env.Destination.ClusterKey(), Table: table, PeerTable: peerTable, Versions: 10})
	if err != nil {
		t.Fatal(err)
	}
	if r.Bad != bad || r.Good == 0 {
		t.Errorf("VerifyReplication: %+v, want BADROWS = %d", r, bad)
	}
}

// awaitVisible waits until both ends show a client the same.
func awaitVisible(t *testing.T, table, target string) {
	t.Helper()
	if err := env.Src.AwaitEqual(testenv.Context(t, time.Minute), table, env.Dst, target, judge.ScanOptions{Visible: true}); err != nil {
		t.Fatal(err)
	}
}

// repaired is the report of waltap repair.
type repaired struct {
	Executed      bool
	Actions, Left []repairAction
	Compared      verdict
	Found, After  verdict
}

type repairAction struct {
	What  string
	Cells int64
}

func (repaired) cells(actions []repairAction) (n int64) {
	for _, a := range actions {
		n += a.Cells
	}
	return n
}

// repair runs waltap repair, which must end with code.
func repair(t *testing.T, code int, args ...string) (r repaired) {
	t.Helper()
	report := filepath.Join(t.TempDir(), "repair.json")
	w := env.StartWaltap(t, testenv.WaltapOptions{Name: "repair", Args: append([]string{"repair", "--report", report}, args...)})
	got, err := w.Wait(testenv.Context(t, 3*time.Minute))
	if err != nil || got != code {
		t.Fatalf("waltap repair: exit code %d, %v; want %d\n%s", got, err, code, servers.LogTail(w.LogPath()))
	}
	b, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	t.Logf("repair: %+v, left %+v", r.Actions, r.Left)
	return r
}
