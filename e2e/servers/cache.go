package servers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// CacheDir is the folder for what is fetched or built once: $WALTAP_CACHE, else
// waltap in the user's cache folder. It is created when missing.
func CacheDir() (string, error) {
	dir := os.Getenv("WALTAP_CACHE")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find cache folder (set WALTAP_CACHE to a writable one): %w", err)
		}
		dir = filepath.Join(base, "waltap")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find cache folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("create cache folder (set WALTAP_CACHE to a writable one): %w", err)
	}
	return dir, nil
}

// Cached returns the folder name of the cache. The first time build fills a
// temporary folder that is then renamed, so that a folder of that name is always
// complete; a file lock keeps other processes from building it as well.
func Cached(ctx context.Context, name string, build func(ctx context.Context, dir string) error) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	return CachedIn(ctx, cache, name, build)
}

// CachedIn is Cached in a folder that is there.
func CachedIn(ctx context.Context, cache, name string, build func(ctx context.Context, dir string) error) (string, error) {
	final := filepath.Join(cache, name)
	if isDir(final) {
		return final, nil
	}
	unlock, err := lockFile(ctx, final+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if isDir(final) {
		return final, nil
	}
	tmp, err := os.MkdirTemp(cache, name+".tmp-")
	if err != nil {
		return "", fmt.Errorf("create cache entry: %w", err)
	}
	defer os.RemoveAll(tmp) // already renamed when all went well
	if err := build(ctx, tmp); err != nil {
		return "", err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", fmt.Errorf("keep cache entry: %w", err)
	}
	if err := os.Rename(tmp, final); err != nil {
		return "", fmt.Errorf("keep cache entry: %w", err)
	}
	return final, nil
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

// lockFile waits until this process holds path's lock. The lock ends with the
// process at the latest.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	for {
		f, err := tryLockFile(path)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for lock %s (another process is filling the cache): %w", path, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// tryLockFile opens path and locks it; closing the file unlocks it. It returns
// syscall.EWOULDBLOCK when another one holds the lock.
func tryLockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, fs.FileMode(0o644))
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// NewRunDir makes the folder that holds the data and logs of one run: a new folder
// below $WALTAP_E2E_DIR, else below the system's temporary folder.
func NewRunDir() (string, error) {
	base := os.Getenv("WALTAP_E2E_DIR")
	if base != "" {
		if err := os.MkdirAll(base, 0o755); err != nil {
			return "", fmt.Errorf("create WALTAP_E2E_DIR: %w", err)
		}
	}
	dir, err := os.MkdirTemp(base, "waltap-"+time.Now().Format("150405")+"-")
	if err != nil {
		return "", fmt.Errorf("create run folder: %w", err)
	}
	return filepath.Abs(dir)
}
