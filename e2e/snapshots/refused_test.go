//go:build e2e

package snapshots

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/filesystem"
)

// What the HDFS client would read as other bytes than were written is refused: erasure-coded files, and all in an encryption zone.
func TestUnreadableFilesAreRefused(t *testing.T) {
	t.Parallel()
	dir := "/" + testenv.Name(t)
	if err := env.Judge.UnreadableFiles(testenv.Context(t, time.Minute), env.HDFS.URL()+dir, env.HDFS.Keys(), servers.EncryptionKey); err != nil {
		t.Fatal(err)
	}
	f := connect(t)
	for name, says := range map[string]string{"/zone": "encryption zone", "/zone/file": "encryption zone", "/striped/file": "erasure-coded"} {
		var refused *filesystem.UnreadableError
		if _, err := f.Stat(dir + name); !errors.As(err, &refused) || !strings.Contains(err.Error(), says) {
			t.Errorf("stat %s: %v, want one that says %q", name, err, says)
		}
	}
	for _, name := range []string{"/zone/file", "/striped/file"} {
		if _, err := f.Open(dir + name); err == nil {
			t.Errorf("%s was opened", name)
		}
	}
	if _, err := f.Stat(dir + "/plain/file"); err != nil {
		t.Error(err)
	}
	if _, err := f.Open(dir + "/plain/file"); err != nil {
		t.Error(err)
	}
}
