//go:build !linux && !darwin

package process

import "os"

// harden has nothing to do with here: neither core dumps nor a number for standard
// error.
func harden() *os.File { return os.Stderr }
