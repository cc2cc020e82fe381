package process

import "syscall"

// attributes puts the child in a process group of its own, so that a signal
// reaches its children too and the terminal's Ctrl-C does not reach it, and has
// the kernel kill it when this process dies without a chance to clean up.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
