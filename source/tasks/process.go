package tasks

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"sync"
)

// process tells one process from all others, as far as the system says.
type process struct {
	Host string `json:"host"`
	PID  int    `json:"pid"`
	// Boot is the kernel's boot id, Space the namespace of the process id, Start when the process began in the kernel's
	// ticks: only where both of the first are our own can it be told from here whether the process lives. Empty where the
	// system has no /proc.
	Boot  string `json:"boot,omitempty"`
	Space string `json:"space,omitempty"`
	Start string `json:"start,omitempty"`
}

var thisProcess = sync.OnceValue(func() process {
	p := process{PID: os.Getpid()}
	p.Host, _ = os.Hostname() // for people to read
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return p
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return p
	}
	start, ok := startOf(p.PID)
	if _, all := startOf(1); !ok || !all {
		return p // others' processes are hidden (hidepid)
	}
	p.Boot, p.Space, p.Start = string(bytes.TrimSpace(boot)), space, start
	return p
})

// dead tells whether the process is known to have ended. False may also mean that it cannot be told from here.
func (p process) dead() bool {
	self := thisProcess()
	if p.Boot == "" || p.Boot != self.Boot || p.Space != self.Space {
		return false
	}
	start, ok := startOf(p.PID)
	return !ok || start != p.Start
}

// startOf reads the 22nd field of /proc/PID/stat; the second, the command's name in brackets, may hold anything. Not ok: there is no
// such process, or it is a zombie, which sends nothing any more.
func startOf(pid int) (string, bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", false
	}
	_, rest, ok := strings.Cut(string(stat[max(0, bytes.LastIndexByte(stat, ')')):]), ") ")
	fields := strings.Fields(rest) // from the third on
	if !ok || len(fields) < 20 || fields[0] == "Z" {
		return "", false
	}
	return fields[19], true
}
