package testenv

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/servers"
)

// BuildOptions says how waltap is built.
type BuildOptions struct {
	Tags []string // build tags
	Race bool     // with the race detector
}

var builds struct {
	sync.Mutex
	paths map[string]string // by module root and options
}

// Build builds the waltap binary of this module into the cache, once per process and
// options, and returns its path.
func Build(ctx context.Context, o BuildOptions) (string, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	args := []string{"build"}
	if len(o.Tags) > 0 {
		args = append(args, "-tags", strings.Join(o.Tags, ","))
	}
	if o.Race {
		args = append(args, "-race")
	}
	key := root + " " + strings.Join(args, " ")
	builds.Lock()
	defer builds.Unlock()
	if path, ok := builds.paths[key]; ok {
		return path, nil
	}
	path, err := build(ctx, root, args, key)
	if err != nil {
		return "", err
	}
	if builds.paths == nil {
		builds.paths = make(map[string]string)
	}
	builds.paths[key] = path
	return path, nil
}

// buildsVar names a folder for the binaries of one run, of which the processes that share it build each once.
const buildsVar = "WALTAP_E2E_BUILDS"

// build renames the new binary into place: one of that name may be running.
func build(ctx context.Context, root string, args []string, key string) (string, error) {
	sum := sha256.Sum256([]byte(key))
	name := "waltap-" + hex.EncodeToString(sum[:6])
	if dir := os.Getenv(buildsVar); dir != "" {
		dir, err := servers.CachedIn(ctx, dir, name+".d", func(ctx context.Context, dir string) error {
			return goBuild(ctx, root, args, filepath.Join(dir, name))
		})
		return filepath.Join(dir, name), err
	}
	cache, err := servers.CacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, "bin", name)
	tmp := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := goBuild(ctx, root, args, tmp); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, path); err != nil {
		return "", fmt.Errorf("build waltap: %w", err)
	}
	return path, nil
}

func goBuild(ctx context.Context, root string, args []string, to string) error {
	cmd := exec.CommandContext(ctx, "go", append(args, "-o", to, ".")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build waltap: %w\n%s", err, out)
	}
	return nil
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find module root: go env GOMOD: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	if mod == "" || mod == os.DevNull {
		return "", errors.New("find module root: not inside the waltap module")
	}
	return filepath.Dir(mod), nil
}

// WaltapOptions says how to run waltap.
type WaltapOptions struct {
	Name   string       // tells several of one test apart; default "waltap"
	Config string       // content of the YAML file; ${PORT} stands for Port
	Args   []string     // default: run -f ${CONFIG}; ${CONFIG} stands for the file, ${PORT} for Port
	Env    []string     // added to the environment
	Port   int          // HTTP port; default a free one
	Build  BuildOptions //
}

// Waltap is a waltap process of a test.
type Waltap struct {
	*servers.Process
	spec servers.ProcessSpec
	port int
}

// starts numbers the folders of the processes started.
var starts atomic.Int64

// StartWaltap starts waltap. It is killed when the test ends; when the test has
// failed its log is named and its last lines are shown.
func (e *Env) StartWaltap(t testing.TB, o WaltapOptions) *Waltap {
	t.Helper()
	path, err := Build(t.Context(), o.Build)
	if err != nil {
		t.Fatal(err)
	}
	if o.Name == "" {
		o.Name = "waltap"
	}
	if o.Port == 0 {
		if o.Port, err = servers.FreePort(); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(e.Dir, "waltap", fmt.Sprintf("%s-%d", Name(t), starts.Add(1)))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, o.Name+".yaml")
	replace := strings.NewReplacer("${PORT}", strconv.Itoa(o.Port), "${CONFIG}", config)
	if err := os.WriteFile(config, []byte(replace.Replace(o.Config)), 0o644); err != nil {
		t.Fatal(err)
	}
	if o.Args == nil {
		o.Args = []string{"run", "-f", "${CONFIG}"}
	}
	args := make([]string, len(o.Args))
	for i, arg := range o.Args {
		args[i] = replace.Replace(arg)
	}
	w := &Waltap{port: o.Port, spec: servers.ProcessSpec{Name: o.Name, Path: path, Args: args, Env: append([]string{OwnTemp(t)}, o.Env...),
		Dir: dir, LogPath: filepath.Join(dir, o.Name+".log")}}
	if w.Process, err = servers.StartProcess(w.spec); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(servers.LogTail(w.LogPath()))
		}
	})
	return w
}

// Restart starts waltap again, with the same configuration, port and log. A running
// one is killed first.
func (w *Waltap) Restart() error {
	if err := w.Kill(); err != nil {
		return err
	}
	p, err := servers.StartProcess(w.spec)
	if err != nil {
		return err
	}
	w.Process = p
	return nil
}

// Stop ends waltap with SIGTERM and returns its exit code. One that is still there
// after 2 min, or when ctx ends, is killed, which is an error.
func (w *Waltap) Stop(ctx context.Context) (int, error) {
	if err := w.Process.Stop(ctx); err != nil {
		return -1, err
	}
	return w.Wait(ctx)
}

// WaitLog waits until a line, logged since the latest start, matches the regular
// expression re, and returns it.
func (w *Waltap) WaitLog(ctx context.Context, re string) (string, error) {
	compiled, err := regexp.Compile(re)
	if err != nil {
		return "", fmt.Errorf("wait for log line: %w", err)
	}
	return w.Process.WaitLog(ctx, compiled)
}

// PeakRSS is the most memory the process ever had resident, in bytes.
func (w *Waltap) PeakRSS() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.PID()))
	if err != nil {
		return 0, fmt.Errorf("read peak memory: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read peak memory: %w", err)
			}
			return kb << 10, nil
		}
	}
	return 0, errors.New("read peak memory: no VmHWM: the process has ended")
}

// Port is the HTTP port that ${PORT} stands for.
func (w *Waltap) Port() int { return w.port }

// URL is the address of the HTTP port.
func (w *Waltap) URL() string { return "http://127.0.0.1:" + strconv.Itoa(w.port) }

// Get asks the HTTP port for a path and returns status and body.
func (w *Waltap) Get(ctx context.Context, path string) (int, []byte, error) {
	return w.Do(ctx, http.MethodGet, path, nil)
}

// Do sends a request with a JSON body, or none, and returns status and body.
func (w *Waltap) Do(ctx context.Context, method, path string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, w.URL()+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("read answer of %s %s: %w", method, path, err)
	}
	return resp.StatusCode, answer, nil
}

// AwaitStatus asks for path until the answer has the given status, e.g. /readyz 200.
// It ends early when the process ends.
func (w *Waltap) AwaitStatus(ctx context.Context, path string, status int) error {
	for {
		got, body, err := w.Get(ctx, path)
		if err == nil && got == status {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s to answer %d: %w; last answer %d %q, error %v\n%s",
				path, status, context.Cause(ctx), got, body, err, servers.LogTail(w.LogPath()))
		case <-w.Done():
			return fmt.Errorf("wait for %s to answer %d: waltap has ended\n%s", path, status, servers.LogTail(w.LogPath()))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// OwnTemp is the variable of the environment that makes a process keep its temporary files in a folder of the test's: one that is killed
// leaves them.
func OwnTemp(t testing.TB) string {
	t.Helper()
	return "TMPDIR=" + t.TempDir()
}

// Result is the outcome of a command.
type Result struct {
	Stdout, Stderr string
	ExitCode       int
}

// RunWaltap runs a waltap command to its end.
func RunWaltap(ctx context.Context, t testing.TB, args ...string) Result {
	t.Helper()
	path, err := Build(ctx, BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), OwnTemp(t))
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		t.Fatalf("run waltap %s: %v\n%s", strings.Join(args, " "), errors.Join(err, ctx.Err()), stderr.Bytes())
	}
	return Result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}
