package servers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// helperVar makes the test binary a process that starts a child, names it and waits
// to be killed.
const helperVar = "WALTAP_TEST_HELPER"

func TestMain(m *testing.M) {
	if log := os.Getenv(helperVar); log != "" {
		os.Exit(helper(log))
	}
	goleak.VerifyTestMain(m)
}

func helper(log string) int {
	p, err := StartProcess(ProcessSpec{Name: "child", Path: "sleep", Args: []string{"300"}, LogPath: log})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	endThreads()
	if !p.Running() {
		fmt.Println("the child ended with a thread of ours")
		return 1
	}
	fmt.Println(p.PID())
	select {}
}

// endThreads has the runtime end many of its threads: a goroutine that returns while
// it is locked takes its thread along.
func endThreads() {
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			runtime.LockOSThread()
			time.Sleep(10 * time.Millisecond)
		})
	}
	wg.Wait()
	time.Sleep(200 * time.Millisecond)
}

func TestChildLivesAsLongAsItsParentProcess(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), helperVar+"="+filepath.Join(t.TempDir(), "log"))
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("helper: %s", line)
	}
	if !alive(child) {
		t.Fatal("child is not running before its parent is killed")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // reports the kill
	deadline := time.Now().Add(20 * time.Second)
	for alive(child) {
		if time.Now().After(deadline) {
			t.Fatalf("child %d survived its parent", child)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// alive tells whether the process runs; one that has ended but that nobody has
// waited for has no command line.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && len(b) > 0
}

func shell(t *testing.T, script string) *Process {
	t.Helper()
	p, err := StartProcess(ProcessSpec{Name: "script", Path: "sh", Args: []string{"-c", script},
		LogPath: filepath.Join(t.TempDir(), "script.log")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestWaitLog(t *testing.T) {
	p := shell(t, "echo one; echo two words; printf unfinished; sleep 300")
	line, err := p.WaitLog(t.Context(), regexp.MustCompile(`^two`))
	if err != nil || line != "two words" {
		t.Errorf("line = %q, %v", line, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := p.WaitLog(ctx, regexp.MustCompile("three")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error = %v, want the deadline's", err)
	}
}

func TestWaitLogOfAProcessThatEnds(t *testing.T) {
	p := shell(t, "for i in $(seq 30); do echo line $i; done; printf last; exit 3")
	_, err := p.WaitLog(t.Context(), regexp.MustCompile("never"))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"exit status 3", p.LogPath(), "line 12\n", "line 30\nlast"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "line 11\n") {
		t.Errorf("error shows more than 20 lines: %v", err)
	}
	if line, err := p.WaitLog(t.Context(), regexp.MustCompile("last")); err != nil || line != "last" {
		t.Errorf("line without an end = %q, %v", line, err)
	}
	if code, err := p.Wait(t.Context()); err != nil || code != 3 {
		t.Errorf("exit code %d, %v", code, err)
	}
}

func TestStop(t *testing.T) {
	obeys := shell(t, "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done")
	if _, err := obeys.WaitLog(t.Context(), regexp.MustCompile("ready")); err != nil {
		t.Fatal(err)
	}
	if err := obeys.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := obeys.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if code, err := obeys.Wait(t.Context()); err != nil || code != 7 {
		t.Errorf("exit code %d, %v; want that of the TERM handler", code, err)
	}
	if err := obeys.Stop(t.Context()); err != nil {
		t.Errorf("stop a stopped process: %v", err)
	}

	refuses := shell(t, "trap '' TERM; echo ready; while :; do sleep 0.01; done")
	if _, err := refuses.WaitLog(t.Context(), regexp.MustCompile("ready")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := refuses.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stop a process that ignores SIGTERM: %v", err)
	}
	if refuses.Running() {
		t.Error("a process that ignores SIGTERM still runs after Stop")
	}
}

func TestStartProcessWithoutProgram(t *testing.T) {
	_, err := StartProcess(ProcessSpec{Name: "nothing", Path: "/no/such/program", LogPath: filepath.Join(t.TempDir(), "log")})
	if !errors.Is(err, syscall.ENOENT) || !strings.HasPrefix(err.Error(), "start nothing: ") {
		t.Errorf("error = %v", err)
	}
}
