//go:build linux || darwin

package process

import (
	"os"
	"os/exec"
	"syscall"
)

// killTogether runs a program in its own process group, and kills that.
func killTogether(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

func harden() *os.File {
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	untraceable()
	return divert()
}

// divert replaces standard error by the null device, and returns the original under
// another descriptor.
func divert() *os.File {
	null, err := syscall.Open(os.DevNull, syscall.O_WRONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return os.Stderr
	}
	defer func() { _ = syscall.Close(null) }()
	own, err := syscall.Dup(syscall.Stderr)
	if err != nil {
		return os.Stderr
	}
	syscall.CloseOnExec(own)
	if replace(null, syscall.Stderr) != nil {
		_ = syscall.Close(own)
		return os.Stderr
	}
	return os.NewFile(uintptr(own), os.Stderr.Name())
}
