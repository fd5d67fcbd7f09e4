package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// snapshotRoot holds a snapshot that HBase's own classes have made.
const snapshotRoot = "../../source/hfile/testdata/root"

func TestHBaseSnapshot(t *testing.T) {
	root, err := filepath.Abs(snapshotRoot)
	if err != nil {
		t.Fatal(err)
	}
	cells, err := os.ReadFile(snapshotRoot + "/../cells.tsv")
	if err != nil {
		t.Fatal(err)
	}
	run := func(code int, args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if got := Main(append([]string{"hbase-snapshot"}, args...), &stdout, &stderr); got != code {
			t.Fatalf("%v: exit code %d, want %d: %s", args, got, code, stderr.String())
		}
		return stdout.String() + stderr.String()
	}
	if out := run(exitOK, root); !strings.Contains(out, "orders_snap\ttable shop:orders\t2023-11-14T22:13:20Z\tFLUSH\n1 snapshots") {
		t.Error(out)
	}
	out := run(exitOK, "--files", "--read", "file://"+filepath.ToSlash(root)+"/.hbase-snapshot/orders_snap")
	for _, want := range []string{"snapshot orders_snap of table shop:orders, made 2023-11-14T22:13:20Z (FLUSH)", "family m: ", "2 regions; left out: 1 that were split", "the rows before \"r031\"",
		"16 files, ", "12 halves", "read 60 rows, " + strconv.Itoa(bytes.Count(cells, []byte("\n"))) + " cells"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}

	copied := filepath.Join(t.TempDir(), "root")
	if err := os.CopyFS(copied, os.DirFS(snapshotRoot)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(copied + "/mobdir"); err != nil {
		t.Fatal(err)
	}
	if out := run(exitFailure, copied+"/.hbase-snapshot/orders_snap"); !strings.Contains(out, "was the snapshot deleted?") {
		t.Error(out)
	}
	run(exitFailure, copied+"/.hbase-snapshot/none")
	run(exitUsage, "s3://bucket/root")
}
