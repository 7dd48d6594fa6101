//go:build !unix

package file

import (
	"errors"
	"os"
)

// Lock does nothing on this system.
func Lock(string) (release func(), err error) { return func() {}, nil }

// LockByte can't lock here.
func LockByte(*os.File, int64, bool) error { return errors.ErrUnsupported }

// Unlock closes a file.
func Unlock(opened *os.File) { _ = opened.Close() }
