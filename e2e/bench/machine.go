package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/waltap/waltap/e2e/servers"
)

// Machine is where the bench ran.
type Machine struct {
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	MemoryMB int64  `json:"memoryMB"`
	Kernel   string `json:"kernel"`
	Load     string `json:"loadAtBegin"` // 1, 5 and 15 minutes
}

// Versions of what ran.
type Versions struct {
	HBase  string `json:"hbase"`
	Kafka  string `json:"kafka"`
	Java   string `json:"java"`
	Go     string `json:"go"`
	Commit string `json:"waltap"` // git commit, "+changes" when the checkout differs from it
}

func machine() Machine {
	return Machine{
		CPU: field("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), MemoryMB: kilobytes(field("/proc/meminfo", "MemTotal")) >> 10,
		Kernel: line("/proc/sys/kernel/osrelease"), Load: load(),
	}
}

// load is the load average over 1, 5 and 15 minutes.
func load() string {
	return strings.Join(strings.Fields(line("/proc/loadavg"))[:3], " ")
}

// line is the first line of a file of /proc; a file that cannot be read shows as "unknown unknown unknown".
func line(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "unknown unknown unknown"
	}
	first, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(first)
}

// field is the value of the first line "name : value", "unknown" when there is none.
func field(path, name string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for l := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

// kilobytes reads "123 kB"; 0 when it is something else.
func kilobytes(s string) int64 {
	n, err := strconv.ParseInt(strings.TrimSuffix(s, " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func commit(ctx context.Context) string {
	head, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	// Files of the bench's own results change with every run.
	changed, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/performance*").Output()
	if err != nil || len(changed) > 0 {
		return strings.TrimSpace(string(head)) + "+changes"
	}
	return strings.TrimSpace(string(head))
}

// jarVersion finds NAME-VERSION.jar in a folder.
func jarVersion(dir, name string) string {
	found, err := filepath.Glob(filepath.Join(dir, name+"-[0-9]*.jar"))
	if err != nil || len(found) == 0 {
		return "unknown"
	}
	slices.SortFunc(found, func(a, b string) int { return len(a) - len(b) }) // NAME-VERSION-tests.jar comes later
	return strings.TrimSuffix(strings.TrimPrefix(filepath.Base(found[0]), name+"-"), ".jar")
}

// clockTicks is the unit of /proc/PID/stat: 100 a second on every Linux that Go runs on.
const clockTicks = 100

// cpuSeconds is the user and system time a process has used.
func cpuSeconds(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	return parseCPU(string(b))
}

// parseCPU takes utime and stime, the fields 14 and 15, out of a stat line; field 2 may hold blanks and brackets.
func parseCPU(stat string) (float64, error) {
	_, rest, ok := cutLast(stat, ")")
	f := strings.Fields(rest)
	if !ok || len(f) < 13 {
		return 0, fmt.Errorf("read CPU time: not a stat line: %q", stat)
	}
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	return float64(user+system) / clockTicks, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// peakMemory is the most a process has had resident, MiB.
func peakMemory(pid int) (float64, error) {
	kb := kilobytes(field(fmt.Sprintf("/proc/%d/status", pid), "VmHWM"))
	if kb == 0 {
		return 0, fmt.Errorf("read peak memory: process %d has ended", pid)
	}
	return float64(kb) / 1024, nil
}

// loopback is what has come in over the loopback since the machine's start, bytes; 0 where the kernel does not say.
func loopback() int64 {
	received, _, _ := strings.Cut(field("/proc/net/dev", "lo"), " ")
	n, err := strconv.ParseInt(received, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func goVersion() string { return runtime.Version() }

// javaVersion is the version of the servers' Java.
func javaVersion(ctx context.Context) string {
	java, err := servers.Java()
	if err != nil {
		return "unknown"
	}
	out, err := exec.CommandContext(ctx, java, "-version").CombinedOutput()
	if err != nil {
		return "unknown"
	}
	_, rest, _ := strings.Cut(string(out), `version "`)
	v, _, _ := strings.Cut(rest, `"`)
	return v
}
