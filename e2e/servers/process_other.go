//go:build unix && !linux

package servers

import "syscall"

// sysProcAttr leaves the child in our process group: without the kernel's parent
// death signal that is what lets a Ctrl-C end it.
func sysProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
