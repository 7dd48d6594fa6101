//go:build unix

package file

import (
	"errors"
	"os"
	"sync"
	"syscall"
)

// Lock takes the lock of a path, which stays as an empty file, without waiting:
// ErrHeld when another process has it. The kernel frees it when the process ends,
// however it does. release gives it up.
func Lock(path string) (release func(), err error) {
	opened, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NONBLOCK|noFollow, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.FcntlFlock(opened.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK})
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err == nil {
		return sync.OnceFunc(func() { _ = opened.Close() }), nil
	}
	_ = opened.Close()
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		return nil, ErrHeld
	}
	return nil, err
}
