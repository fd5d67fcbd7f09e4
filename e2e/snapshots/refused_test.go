//go:build e2e

package snapshots

import (
	"errors"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/filesystem"
	"github.com/waltap/waltap/internal/filesystem/hdfs"
)

// What the HDFS client would read as other bytes than were written is refused: erasure-coded files, and all in an encryption zone.
func TestUnreadableFilesAreRefused(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 4*time.Minute)
	dir := t.TempDir()
	h, err := servers.StartHDFS(ctx, servers.HDFSOptions{Dir: dir, JVMFlags: servers.FastStart,
		Core: map[string]string{"hadoop.security.key.provider.path": "jceks://file" + filepath.Join(dir, "keys.jceks")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Kill(); err != nil {
			t.Error(err)
		}
	})
	run := func(class string, args ...string) {
		t.Helper()
		if err := h.Run(ctx, class, args...); err != nil {
			t.Fatal(err)
		}
	}
	const shell, ec = "org.apache.hadoop.fs.FsShell", "org.apache.hadoop.hdfs.tools.ECAdmin"
	run("org.apache.hadoop.crypto.key.KeyShell", "create", "k1", "-size", "128")
	if err := h.Name.Restart(ctx); err != nil { // it reads the keys when it starts
		t.Fatal(err)
	}
	run(shell, "-mkdir", "/zone", "/striped", "/plain")
	run("org.apache.hadoop.hdfs.tools.CryptoAdmin", "-createZone", "-keyName", "k1", "-path", "/zone")
	run(ec, "-enablePolicy", "-policy", "XOR-2-1-1024k")
	run(ec, "-setPolicy", "-path", "/striped", "-policy", "XOR-2-1-1024k")
	run(shell, "-touchz", "/zone/file", "/striped/file", "/plain/file")

	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	f, err := hdfs.Dial(hdfs.Config{NameNodes: []string{h.Addr()}, User: u.Username})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name, says := range map[string]string{"/zone": "encryption zone", "/zone/file": "encryption zone", "/striped/file": "erasure-coded"} {
		var refused *filesystem.UnreadableError
		if _, err := f.Stat(name); !errors.As(err, &refused) || !strings.Contains(err.Error(), says) {
			t.Errorf("stat %s: %v, want one that says %q", name, err, says)
		}
	}
	for _, name := range []string{"/zone/file", "/striped/file"} {
		if _, err := f.Open(name); err == nil {
			t.Errorf("%s was opened", name)
		}
	}
	if _, err := f.Stat("/plain/file"); err != nil {
		t.Error(err)
	}
	if _, err := f.Open("/plain/file"); err != nil {
		t.Error(err)
	}
}
