//go:build !linux && !darwin

package process

// NoFiles is always nil on this system.
func NoFiles() error { return nil }

// StdoutClosed is always false on this system; writing fails instead.
func StdoutClosed() bool { return false }
