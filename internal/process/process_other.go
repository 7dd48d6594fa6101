//go:build !linux && !darwin

package process

import (
	"os"
	"os/exec"
)

// killTogether does nothing on this system: only the program itself is killed.
func killTogether(*exec.Cmd) {}

// harden does nothing on this system.
func harden() *os.File { return os.Stderr }
