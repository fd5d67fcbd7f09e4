package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// stopGrace is how long a process may take to end after SIGTERM when the caller's
// context sets no earlier end.
const stopGrace = 2 * time.Minute

// ProcessSpec says what to run.
type ProcessSpec struct {
	Name    string   // for error texts
	Path    string   // the program
	Args    []string // without the program
	Env     []string // added to our own environment
	Dir     string   // working folder
	LogPath string   // stderr, and stdout unless Stdout is set, are appended here
	Stdin   *os.File // nil: nothing to read
	Stdout  *os.File // nil: the log
}

// Process is a running child that does not outlive us: it is killed when this
// process ends, even by SIGKILL. It is safe for concurrent use.
type Process struct {
	name   string
	log    string
	logOff int64 // size of the log when the process was started
	cmd    *exec.Cmd
	done   chan struct{}
	ending atomic.Bool // its end is wanted; of Fault
}

// StartProcess starts a child. It does not wait for anything.
func StartProcess(spec ProcessSpec) (*Process, error) {
	log, err := os.OpenFile(spec.LogPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: open log: %w", spec.Name, err)
	}
	defer log.Close()
	st, err := log.Stat()
	if err != nil {
		return nil, fmt.Errorf("start %s: open log: %w", spec.Name, err)
	}
	p := &Process{name: spec.Name, log: spec.LogPath, logOff: st.Size(), done: make(chan struct{})}
	p.cmd = exec.Command(spec.Path, spec.Args...)
	p.cmd.Dir = spec.Dir
	p.cmd.Env = append(os.Environ(), spec.Env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if spec.Stdin != nil {
		p.cmd.Stdin = spec.Stdin
	}
	if spec.Stdout != nil {
		p.cmd.Stdout = spec.Stdout
	}
	p.cmd.SysProcAttr = sysProcAttr()

	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	return p, nil
}

// run starts the child and stays on its thread until the child has ended: the
// kernel sends the parent death signal when the starting *thread* ends, and the Go
// runtime ends threads as it likes unless a goroutine is locked to them.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	_ = p.cmd.Wait() // how it ended is in p.cmd.ProcessState
	close(p.done)
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// LogPath is the file its output goes to.
func (p *Process) LogPath() string { return p.log }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running tells whether it has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Wait waits for the end of the process and returns its exit code, -1 when a signal
// ended it. The error is ctx's.
func (p *Process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return -1, fmt.Errorf("wait for %s (pid %d) to end: %w", p.name, p.PID(), ctx.Err())
	}
}

// Signal sends a signal; one that has ended already is no error.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s (pid %d): %w", p.name, p.PID(), err)
	}
	return nil
}

// Pause stops the process from running (SIGSTOP); its connections stay open.
func (p *Process) Pause() error { return p.Signal(syscall.SIGSTOP) }

// Resume lets a paused process run again (SIGCONT).
func (p *Process) Resume() error { return p.Signal(syscall.SIGCONT) }

// Kill ends the process with SIGKILL and waits until it is gone.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// Stop ends the process with SIGTERM and waits until it is gone. When it is still
// there after 2 min or at the end of ctx it is killed, which is an error.
func (p *Process) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopGrace)
	defer cancel()
	if err := p.terminate(); err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	if err := p.Kill(); err != nil {
		return err
	}
	return fmt.Errorf("stop %s: still running after SIGTERM, killed: %w (log: %s)", p.name, ctx.Err(), p.log)
}

// terminate sends SIGTERM and wakes a paused process so that it sees it.
func (p *Process) terminate() error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return p.Resume()
}

// WaitLog waits until a line of the log, written since this process was started,
// matches re, and returns the line. When the process ends first, or ctx, the error
// names the log file and shows its last lines.
func (p *Process) WaitLog(ctx context.Context, re *regexp.Regexp) (string, error) {
	log, err := os.Open(p.log)
	if err != nil {
		return "", fmt.Errorf("read log of %s: %w", p.name, err)
	}
	defer log.Close()
	if _, err := log.Seek(p.logOff, io.SeekStart); err != nil {
		return "", fmt.Errorf("read log of %s: %w", p.name, err)
	}
	var unread []byte // the start of a line whose end is not written yet
	for {
		ended := !p.Running() // asked before reading, so that the last lines count
		more, err := io.ReadAll(log)
		if err != nil {
			return "", fmt.Errorf("read log of %s: %w", p.name, err)
		}
		unread = append(unread, more...)
		for {
			line, rest, whole := bytes.Cut(unread, []byte("\n"))
			if (whole || ended) && re.Match(line) {
				return string(line), nil
			}
			if !whole {
				break
			}
			unread = rest
		}
		if ended {
			return "", p.logError(fmt.Errorf("ended (%v) before %q was in its log", p.cmd.ProcessState, re))
		}
		select {
		case <-ctx.Done():
			return "", p.logError(fmt.Errorf("wait for %q in its log: %w", re, context.Cause(ctx)))
		case <-p.done:
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Output is what the log has got since this process was started.
func (p *Process) Output() ([]byte, error) {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return nil, fmt.Errorf("read log of %s: %w", p.name, err)
	}
	return b[min(p.logOff, int64(len(b))):], nil
}

// logError adds the place and the last lines of the log to err.
func (p *Process) logError(err error) error {
	return fmt.Errorf("%s: %w\n%s", p.name, err, LogTail(p.log))
}

// LogTail names a log file and shows its last 20 lines, for error texts.
func LogTail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Sprintf("log %s: %v", path, err)
	}
	return fmt.Sprintf("last lines of %s:\n%s", path, lastLines(b, 20))
}
