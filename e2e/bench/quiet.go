package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is what of the machine's CPU time was used, and by whom, since it was started.
type usage struct {
	all  float64 // seconds of all cores, idle ones included
	busy float64 // not idle; what the hypervisor took for others included
	own  float64 // of this process and all it has started
}

// others is the part of the machine that went to neither the bench nor idleness since before: 0 to 1.
func (u usage) others(before usage) float64 {
	if u.all <= before.all {
		return 0
	}
	return max(0, ((u.busy-before.busy)-(u.own-before.own))/(u.all-before.all))
}

func machineUsage() (u usage, err error) {
	if u.all, u.busy, err = parseMachine(line("/proc/stat")); err != nil {
		return u, err
	}
	u.own, err = ownCPU()
	return u, err
}

// parseMachine takes the times of the line "cpu user nice system idle iowait irq softirq steal ...".
func parseMachine(stat string) (all, busy float64, err error) {
	f := strings.Fields(stat)
	if len(f) < 9 || f[0] != "cpu" {
		return 0, 0, fmt.Errorf("read the machine's CPU time: not the line of all cores: %q", stat)
	}
	for i, s := range f[1:9] { // guest times, behind them, are within user and nice
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("read the machine's CPU time: %w", err)
		}
		all += float64(n) / clockTicks
		if i != 3 && i != 4 {
			busy += float64(n) / clockTicks
		}
	}
	return all, busy, nil
}

// ownCPU is the CPU time of this process, of those it has started that have ended, and of those that run.
func ownCPU() (seconds float64, err error) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		s, err := rusage(who)
		if err != nil {
			return 0, err
		}
		seconds += s
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, file := range stats {
		b, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended
		}
		if err != nil {
			return 0, fmt.Errorf("read own CPU time: %w", err)
		}
		parent, err := parseParent(string(b))
		if err != nil {
			return 0, err
		}
		if parent == os.Getpid() {
			s, err := parseCPU(string(b))
			if err != nil {
				return 0, err
			}
			seconds += s
		}
	}
	return seconds, nil
}

// rusage is the CPU time of this process, or of its children that have ended.
func rusage(who int) (float64, error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(who, &r); err != nil {
		return 0, fmt.Errorf("read own CPU time: %w", err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()).Seconds(), nil
}

// parseParent takes the parent's id, field 4, out of a stat line.
func parseParent(stat string) (int, error) {
	_, rest, _ := cutLast(stat, ")")
	f := strings.Fields(rest)
	if len(f) < 2 {
		return 0, fmt.Errorf("read parent: not a stat line: %q", stat)
	}
	return strconv.Atoi(f[1])
}

// What a server may use of a core to count as idle, looked at over this time, and how long that is waited for.
const (
	idleShare  = 0.10
	idleWindow = 200 * time.Millisecond
	idleWait   = 5 * time.Second
)

// settle waits until the servers have done with what the round before has left them: files to delete, topics, flushes. What
// does not end within a few seconds is part of the round, on both sides.
func (b *bench) settle(ctx context.Context) error {
	pids := b.servers()
	used := func() (sum float64, err error) {
		all, err := cpuOf(pids)
		for _, s := range all {
			sum += s
		}
		return sum, err
	}
	before, err := used()
	if err != nil {
		return err
	}
	for end := time.Now().Add(b.idleWait); time.Now().Before(end); {
		if err := sleep(ctx, idleWindow); err != nil {
			return err
		}
		now, err := used()
		if err != nil || now-before <= idleShare*idleWindow.Seconds() {
			return err
		}
		before = now
	}
	return nil
}

// measured runs a side when the servers have settled, and adds what the rest of the machine took meanwhile.
func (b *bench) measured(ctx context.Context, name string, run func() (*Drain, error)) (*Drain, error) {
	if err := b.settle(ctx); err != nil {
		return nil, err
	}
	before, err := machineUsage()
	if err != nil {
		return nil, err
	}
	d, err := run()
	if err != nil {
		return nil, err
	}
	after, err := machineUsage()
	if err != nil {
		return nil, err
	}
	d.Others = after.others(before)
	b.step("    %-10s %8.0f cells/s (%.2f s; others %.0f %%)", name, d.rate(), d.Seconds, d.Others*100)
	return d, nil
}
