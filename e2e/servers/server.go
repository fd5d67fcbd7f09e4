package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sync"
)

// server is what HBase and Kafka have in common: a JVM that can be stopped and
// started again on the same data and ports.
type server struct {
	name  string // "HBase source"
	dir   string
	java  string
	args  []string
	ready *regexp.Regexp // in the log: it serves

	// closed are log lines, any order, after which a server that was told to stop
	// has written everything and only lingers. Empty: it ends by itself.
	closed []*regexp.Regexp

	// broken is a log line after which the server serves no more, though its process lives on. Nil: there is none.
	broken  *regexp.Regexp
	scanned scanned // of Fault

	mu   sync.Mutex
	proc *Process
}

func newServer(name, dir string, ready *regexp.Regexp) (*server, error) {
	java, err := Java()
	if err != nil {
		return nil, err
	}
	if dir == "" {
		return nil, fmt.Errorf("start %s: no folder given", name)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	for _, sub := range []string{"conf", "data", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("start %s: create its folder: %w", name, err)
		}
	}
	return &server{name: name, dir: dir, java: java, ready: ready}, nil
}

// jvmFlags are common to all servers: heap, and nothing written outside dir.
func (s *server) jvmFlags(heapMB int) []string {
	return []string{
		fmt.Sprintf("-Xmx%dm", heapMB),
		"-XX:-UsePerfData", "-XX:ErrorFile=" + filepath.Join(s.dir, "hs_err.log"),
		"-Djava.io.tmpdir=" + filepath.Join(s.dir, "tmp"),
		"-Dlog4j2.configurationFile=" + filepath.Join(s.ConfDir(), "log4j2.properties"),
	}
}

// writeConf writes a file of the configuration folder.
func (s *server) writeConf(file string, content []byte) error {
	if err := os.WriteFile(filepath.Join(s.ConfDir(), file), content, 0o644); err != nil {
		return fmt.Errorf("start %s: write configuration: %w", s.name, err)
	}
	return nil
}

// start runs the JVM and waits until it serves. A start that fails leaves no
// process.
func (s *server) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.startLocked(ctx)
}

func (s *server) startLocked(ctx context.Context) error {
	p, err := StartProcess(ProcessSpec{Name: s.name, Path: s.java, Args: s.args, Dir: s.dir, LogPath: s.LogPath()})
	if err != nil {
		return err
	}
	s.proc = p
	if _, err := p.WaitLog(ctx, s.ready); err != nil {
		return errors.Join(fmt.Errorf("start %w", err), p.Kill())
	}
	return nil
}

// process is the newest process, running or not.
func (s *server) process() *Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc
}

// ConfDir holds the server's configuration files.
func (s *server) ConfDir() string { return filepath.Join(s.dir, "conf") }

// LogPath is the server's log; a restart appends to it.
func (s *server) LogPath() string { return filepath.Join(s.dir, "server.log") }

// Dir is the server's folder: conf, data, tmp, server.log.
func (s *server) Dir() string { return s.dir }

// PID is the process id; it changes with Restart.
func (s *server) PID() int { return s.process().PID() }

// Running tells whether the process has not ended.
func (s *server) Running() bool { return s.process().Running() }

// Stop shuts the server down (SIGTERM; SIGKILL after 2 min or when ctx ends, which
// is an error). Stopping a stopped one does nothing.
func (s *server) Stop(ctx context.Context) error { return s.stopProcess(ctx, s.process()) }

func (s *server) stopProcess(ctx context.Context, p *Process) error {
	p.ending.Store(true)
	if len(s.closed) == 0 || !p.Running() {
		return p.Stop(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, stopGrace)
	defer cancel()
	if err := p.terminate(); err != nil {
		return err
	}
	for _, re := range s.closed {
		if _, err := p.WaitLog(ctx, re); err != nil {
			return p.Stop(ctx) // nil when it ended before it logged that
		}
	}
	return p.Kill()
}

// Kill ends the server with SIGKILL.
func (s *server) Kill() error {
	p := s.process()
	p.ending.Store(true)
	return p.Kill()
}

// Pause freezes the server (SIGSTOP): it keeps its connections and answers nothing.
func (s *server) Pause() error { return s.process().Pause() }

// Resume undoes Pause.
func (s *server) Resume() error { return s.process().Resume() }

// Restart stops the server if it runs and starts it on the same data, at the same
// address. It returns when it serves.
func (s *server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.stopProcess(ctx, s.proc); err != nil {
		return err
	}
	return s.startLocked(ctx)
}

// All runs the functions side by side, one per server to start, and returns when
// all have returned. The first error ends the context of the others.
func All(ctx context.Context, starts ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	errs := make([]error, len(starts))
	var wg sync.WaitGroup
	for i, start := range starts {
		wg.Go(func() {
			if errs[i] = start(ctx); errs[i] != nil {
				cancel(errors.New("another server did not start"))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// FastStart are JVM flags that halve the start at the price of slower steady state:
// for tests, not for benchmarks.
var FastStart = []string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"}
