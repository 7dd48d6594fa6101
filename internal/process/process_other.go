//go:build !linux && !darwin

package process

import (
	"os"
	"os/exec"
)

// killTogether has nothing to do here: only the program itself is killed.
func killTogether(*exec.Cmd) {}

// harden has nothing to do with here: neither core dumps nor a number for standard
// error.
func harden() *os.File { return os.Stderr }
