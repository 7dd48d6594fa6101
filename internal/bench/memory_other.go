//go:build !linux

package main

import "os"

// peakMemory is not measured here: systems differ in how they count.
func peakMemory(*os.ProcessState) int64 { return 0 }
