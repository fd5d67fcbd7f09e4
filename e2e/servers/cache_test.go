package servers

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestCachedBuildsOnce(t *testing.T) {
	t.Setenv("WALTAP_CACHE", t.TempDir())
	var builds atomic.Int32
	build := func(_ context.Context, dir string) error {
		builds.Add(1)
		time.Sleep(50 * time.Millisecond)
		return os.WriteFile(filepath.Join(dir, "file"), []byte("content"), 0o644)
	}
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			dir, err := Cached(t.Context(), "thing", build)
			if err != nil {
				t.Error(err)
				return
			}
			if b, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(b) != "content" {
				t.Errorf("cached file = %q, %v", b, err)
			}
		})
	}
	wg.Wait()
	if n := builds.Load(); n != 1 {
		t.Errorf("built %d times, want once", n)
	}
}

func TestCachedKeepsNothingOfAFailedBuild(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("WALTAP_CACHE", cache)
	broken := errors.New("broken")
	_, err := Cached(t.Context(), "thing", func(_ context.Context, dir string) error {
		if err := os.WriteFile(filepath.Join(dir, "half"), nil, 0o644); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("error = %v", err)
	}
	entries, err := os.ReadDir(cache)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			t.Errorf("left behind: %s", e.Name())
		}
	}
	if _, err := Cached(t.Context(), "thing", func(context.Context, string) error { return nil }); err != nil {
		t.Errorf("second try: %v", err)
	}
}

func TestLockEndsWithTheContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := lockFile(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("lock a locked file: %v", err)
	}
	unlock()
	again, err := lockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestFreePortsDiffer(t *testing.T) {
	t.Setenv("WALTAP_CACHE", t.TempDir())
	seen := make(map[int]bool)
	for range 50 {
		port, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] || port < firstPort || port > lastPort {
			t.Errorf("port %d again, or out of range", port)
		}
		seen[port] = true
	}
}

func TestMissingToolNamesWhatToInstall(t *testing.T) {
	t.Setenv("WALTAP_CACHE", t.TempDir())
	t.Setenv("PATH", t.TempDir())
	_, err := HBaseJars(t.Context())
	var missing *MissingToolError
	if !errors.As(err, &missing) || missing.Tool != "mvn" {
		t.Fatalf("error = %v, want that mvn is missing", err)
	}
	if want := "apt-get install -y openjdk-17-jdk-headless maven"; !strings.Contains(err.Error(), want) {
		t.Errorf("error does not say %q: %v", want, err)
	}
}

func TestHadoopXMLEscapes(t *testing.T) {
	got := string(hadoopXML(map[string]string{"b": "2", "a": "<&>"}))
	want := "<?xml version=\"1.0\"?>\n<configuration>\n" +
		"  <property><name>a</name><value>&lt;&amp;&gt;</value></property>\n" +
		"  <property><name>b</name><value>2</value></property>\n" +
		"</configuration>\n"
	if got != want {
		t.Errorf("got %s", got)
	}
}
