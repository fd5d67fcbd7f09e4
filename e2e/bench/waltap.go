package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/servers"
)

// keys are configuration keys of a connector, without what every one of the bench has.
type keys map[string]string

// waltap is a process of the real binary with one connector, or several.
type waltap struct {
	*servers.Process
	name, url string
}

// startWaltap starts a process with the given connectors.
func (b *bench) startWaltap(name string, connectors ...keys) (*waltap, error) {
	port, err := servers.FreePort()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.env.Dir, "waltap")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var y strings.Builder
	fmt.Fprintf(&y, "bootstrap.servers: %s\nlisteners: http://127.0.0.1:%d\nlisteners.pprof.enable: %t\ngroup.id: %s\nconnectors:\n",
		b.env.Kafka.Bootstrap(), port, b.profiles != "", name)
	for _, c := range connectors {
		lead := "  - "
		for _, k := range slices.Sorted(maps.Keys(c)) {
			fmt.Fprintf(&y, "%s%s: %s\n", lead, k, strconv.Quote(c[k]))
			lead = "    "
		}
	}
	file := filepath.Join(dir, name+".yaml")
	if err := os.WriteFile(file, []byte(y.String()), 0o644); err != nil {
		return nil, err
	}
	p, err := servers.StartProcess(servers.ProcessSpec{Name: name, Path: b.binary, Args: []string{"run", "-f", file}, LogPath: filepath.Join(dir, name+".log")})
	if err != nil {
		return nil, err
	}
	b.started = append(b.started, p)
	return &waltap{Process: p, name: name, url: "http://127.0.0.1:" + strconv.Itoa(port)}, nil
}

func (b *bench) sourceKeys(name, table string, more keys) keys {
	k := keys{
		"name": name, "connector.class": "HBaseSource", "hbase.zookeeper.quorum": b.env.Source.ZKQuorum(),
		"hbase.peer.id": name, "hbase.peer.znode.parent": "/" + name, "hbase.peer.listen": "127.0.0.1:0", "hbase.peer.advertised.host": "localhost",
		"topic.prefix": name, "table.include.list": table,
	}
	maps.Copy(k, more)
	maps.Copy(k, b.options.keys)
	return k
}

func (b *bench) sinkKeys(name, prefix, table, as string) keys {
	return keys{
		"name": name, "connector.class": "HBaseSink", "hbase.zookeeper.quorum": b.env.Destination.ZKQuorum(),
		"topics.regex": prefix + `\..*`, "hbase.table.rename": table + "=" + as,
	}
}

// abandon ends the processes of a line that has failed.
func (b *bench) abandon() error {
	var errs []error
	for _, p := range b.started {
		select {
		case <-p.Done():
		default:
			errs = append(errs, p.Kill())
		}
	}
	b.started = nil
	return errors.Join(errs...)
}

// with is two lists of keys in one.
func with(some, more keys) keys {
	all := maps.Clone(more)
	maps.Copy(all, some)
	return all
}

// status asks for what the process says about itself.
func (w *waltap) status(ctx context.Context) (*status.ProcessView, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"/status", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var v status.ProcessView
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		return nil, fmt.Errorf("read /status of %s: %w", w.name, err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil { // so that the connection is used again
		return nil, err
	}
	for _, c := range v.Connectors {
		if c.State == status.Failed {
			return nil, fmt.Errorf("%s has failed: %s", c.Name, c.Error)
		}
	}
	return &v, nil
}

// await polls the status until done says so.
func (w *waltap) await(ctx context.Context, every time.Duration, done func(*status.ProcessView) (bool, error)) error {
	var last error
	for {
		v, err := w.status(ctx)
		if err == nil {
			ok, derr := done(v)
			if ok || derr != nil {
				return derr
			}
		}
		last = err
		select {
		case <-w.Done():
			return w.ended()
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("wait for %s: %w\n%s", w.name, context.Cause(ctx), servers.LogTail(w.LogPath())), last)
		case <-time.After(every):
		}
	}
}

func (w *waltap) ended() error {
	return fmt.Errorf("%s has ended\n%s", w.name, servers.LogTail(w.LogPath()))
}

// whileRunning is ctx, which ends with the process too, as it does when its connector gives up.
func (w *waltap) whileRunning(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-w.Done():
			cancel(w.ended())
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

func (w *waltap) awaitRunning(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return w.await(ctx, 50*time.Millisecond, func(v *status.ProcessView) (bool, error) {
		for _, c := range v.Connectors {
			if c.State != status.Running {
				return false, nil
			}
		}
		return len(v.Connectors) > 0, nil
	})
}

// undisturbed is an error when something had to be done twice: the figures of such a round are not those of its work.
func undisturbed(c *status.ConnectorView) error {
	if c.Replays > 0 || c.Retries > 0 {
		return fmt.Errorf("%s was disturbed: %d replayed edits, %d retries", c.Name, c.Replays, c.Retries)
	}
	return nil
}

// stop ends the process. Its peer, if it made one, stays.
func (w *waltap) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return w.Stop(ctx)
}

// profile takes a CPU profile over some seconds and a heap profile in the middle of them, and when both are there writes the
// functions that lead as text. The returned function waits for that.
func (b *bench) profile(ctx context.Context, w *waltap, name string, seconds int) (finish func() error) {
	file := func(kind string) string { return filepath.Join(b.profiles, name+"."+kind+".pprof") }
	var errs [2]error
	var all sync.WaitGroup
	all.Go(func() {
		errs[0] = save(ctx, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", w.url, seconds), file("cpu"))
	})
	all.Go(func() {
		if errs[1] = sleep(ctx, time.Duration(seconds)*time.Second/2); errs[1] == nil {
			errs[1] = save(ctx, w.url+"/debug/pprof/heap", file("heap"))
		}
	})
	return func() error {
		all.Wait()
		allocs := save(ctx, w.url+"/debug/pprof/allocs", file("allocs"))
		if err := errors.Join(errs[0], errs[1], allocs); err != nil {
			return err
		}
		return errors.Join(top(ctx, file("cpu")), top(ctx, file("cpu"), "-cum"), top(ctx, file("heap")),
			top(ctx, file("allocs"), "-sample_index=alloc_space"))
	}
}

func save(ctx context.Context, url, file string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	if err != nil {
		return fmt.Errorf("take profile %s: %w", url, err)
	}
	return os.WriteFile(file, body, 0o644)
}

// top adds the leading functions of a profile beside it.
func top(ctx context.Context, file string, flags ...string) error {
	args := append([]string{"tool", "pprof", "-top", "-nodecount=45"}, flags...)
	out, err := exec.CommandContext(ctx, "go", append(args, file)...).Output()
	if err != nil {
		return fmt.Errorf("go tool pprof %s: %w", file, err)
	}
	name := strings.TrimSuffix(file, ".pprof")
	if slices.Contains(flags, "-cum") {
		name += ".cum"
	}
	return os.WriteFile(name+".txt", out, 0o644)
}
