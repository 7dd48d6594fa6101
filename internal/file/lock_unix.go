//go:build unix

package file

import (
	"errors"
	"os"
	"sync"
	"syscall"
)

// Lock takes the lock of a path, an empty file that stays, without waiting: ErrHeld if
// another process holds it. release gives it up, as does the end of the process.
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
