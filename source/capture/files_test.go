package capture

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waltap/waltap/internal/filesystem"
)

func TestCheckRoot(t *testing.T) {
	const id = "6e7a3fd5-5d0f-4d8c-a6f1-0a1b2c3d4e5f"
	root := filepath.ToSlash(t.TempDir())
	cfg := &Config{Root: filesystem.Location{Path: root}}
	check := func(what, says string) {
		t.Helper()
		err := checkRoot(filesystem.Local{}, cfg, id)
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v, want %q", what, err, says)
		}
	}
	check("no HBase", "hbase.rootdir.user")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(root+"/hbase.id", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cfg.Snapshots = map[string]string{"default:t": "s"}
	check("an exported snapshot that is not there", "list snapshots")
	if err := os.MkdirAll(root+"/.hbase-snapshot", 0o755); err != nil {
		t.Fatal(err)
	}
	check("an exported snapshot", "")
	write("PBUF\n$00000000-5d0f-4d8c-a6f1-0a1b2c3d4e5f")
	check("another HBase", "of another HBase than the source")
	write("PBUF\n$" + id)
	check("no data", "hbase.rootdir")
	if err := os.MkdirAll(root+"/data", 0o755); err != nil {
		t.Fatal(err)
	}
	check("the source's", "")
}

// Snapshots are known by their names: no other connector's begin alike.
func TestSnapshotNames(t *testing.T) {
	name := func(connector, prefix, root string) string {
		c := &Capture{process: &process{cfg: Config{Connector: connector, TopicPrefix: prefix, PeerRoot: root}}}
		if n := c.newSnapshotName(); !strings.HasPrefix(n, c.snapshotPrefix()) || n == c.newSnapshotName() || len(n) > 60 {
			t.Errorf("snapshot %s", n)
		}
		return c.snapshotPrefix()
	}
	seen := map[string]bool{}
	for _, n := range []string{name("a", "p", "/r"), name("a-b", "p", "/r"), name("a", "pb", "/r"), name("ap", "", "/r"), name("a", "p", "/r2")} {
		if seen[n] {
			t.Errorf("two connectors have the prefix %s", n)
		}
		seen[n] = true
	}
	if first, again := name("a", "p", "/r"), name("a", "p", "/r"); first != again {
		t.Error("a connector that is started again has another prefix")
	}
}
