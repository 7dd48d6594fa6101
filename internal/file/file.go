// Package file reads small untrusted files: a Secret's, CA bundles, a repository's
// configuration. A read never blocks and never exceeds its limit, even if the path
// is a FIFO or a device.
package file

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"
)

// Errors of a read, besides the system's own.
var (
	ErrTooLarge   = errors.New("it is too large")
	ErrNotRegular = errors.New("it is not a regular file")
	ErrForeign    = errors.New("it belongs to another user")
	// ErrHeld is for a lock that another process has.
	ErrHeld = errors.New("another process has it")
)

// flags open a file without blocking, even if it is a FIFO.
const flags = os.O_RDONLY | syscall.O_NONBLOCK

// Read reads a regular file of at most limit bytes.
func Read(path string, limit int64) ([]byte, error) {
	opened, err := os.OpenFile(path, flags, 0)
	return read(opened, err, limit)
}

// ReadTrusted is Read for a file in a directory that others can write to: it follows no
// symlink, and the file must be root's or this user's.
func ReadTrusted(path string, limit int64) ([]byte, error) {
	opened, err := os.OpenFile(path, flags|noFollow, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, ErrNotRegular
	}
	if err != nil {
		return nil, err
	}
	if info, err := opened.Stat(); err == nil && !Trusted(info) {
		_ = opened.Close()
		return nil, ErrForeign
	}
	return read(opened, nil, limit)
}

// ReadIn reads a file below root; no symlink leads out of it.
func ReadIn(root *os.Root, name string, limit int64) ([]byte, error) {
	opened, err := root.OpenFile(name, flags, 0)
	return read(opened, err, limit)
}

// Later opens a file below root now and reads it on the first call, even if its name
// refers to another file by then. If never called, the file stays open.
func Later(root *os.Root, name string, limit int64) func() ([]byte, error) {
	opened, err := root.OpenFile(name, flags, 0)
	return sync.OnceValues(func() ([]byte, error) { return read(opened, err, limit) })
}

func read(opened *os.File, err error, limit int64) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = opened.Close() }()
	info, err := opened.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, ErrNotRegular
	}
	data, err := io.ReadAll(io.LimitReader(opened, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, ErrTooLarge
	}
	return data, err
}

// Append opens a regular file for appending. A missing one is created with mode 0600.
func Append(path string) (*os.File, error) {
	opened, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	if info, err := opened.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = opened.Close()
		return nil, ErrNotRegular
	}
	return opened, nil
}

// Cause is a system error's text without its path and call, which the message names.
func Cause(err error) string {
	var pathErr *fs.PathError
	var link *os.LinkError
	var call *os.SyscallError
	switch {
	case errors.As(err, &pathErr):
		err = pathErr.Err
	case errors.As(err, &link):
		err = link.Err
	case errors.As(err, &call):
		err = call.Err
	}
	return err.Error()
}

// Overwrite opens a regular file, which only this user may read and write, for writing
// from its beginning. Symlinks are not followed.
func Overwrite(path string) (*os.File, error) {
	opened, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK|noFollow, 0)
	if err != nil {
		return nil, err
	}
	if info, err := opened.Stat(); err != nil || !info.Mode().IsRegular() || !OwnedAlone(info) || info.Mode().Perm()&0o044 != 0 {
		_ = opened.Close()
		return nil, ErrNotRegular
	}
	return opened, nil
}
