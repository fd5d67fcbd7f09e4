package servers

import "syscall"

// sysProcAttr puts the child into a process group of its own, so that a Ctrl-C
// reaches it through us only, and has the kernel kill it when the thread that
// started it ends.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
