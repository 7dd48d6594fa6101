//go:build !linux && !darwin

package process

// NoFiles is always nil here: there is no limit that a caller sets.
func NoFiles() error { return nil }

// StdoutClosed has no answer here but that writing fails.
func StdoutClosed() bool { return false }
