//go:build unix && !linux

package process

import "syscall"

// attributes puts the child in a process group of its own. Only Linux can also
// tie its life to this process.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
