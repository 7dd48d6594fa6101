package main

import (
	"os"
	"syscall"
)

// peakMemory is the most memory that a process had in use, in bytes. Linux
// counts it in KiB.
func peakMemory(state *os.ProcessState) int64 {
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		return usage.Maxrss << 10
	}
	return 0
}
