//go:build unix

package file

import (
	"errors"
	"os"
	"runtime"
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
	if err = LockByte(opened, 0, false); err != nil {
		_ = opened.Close()
		return nil, err
	}
	return sync.OnceFunc(func() { Unlock(opened) }), nil
}

// Unlock gives up all locks of an open file, and closes it. Closing is not enough: a
// program that is being started has the file open as well until it runs.
func Unlock(opened *os.File) {
	_ = syscall.FcntlFlock(opened.Fd(), lockCommands()[0][false], &syscall.Flock_t{Type: syscall.F_UNLCK})
	_ = opened.Close()
}

// LockByte locks one byte of an open file, until the file is closed or the process
// ends. If somebody else has the lock, it waits or returns ErrHeld.
func LockByte(opened *os.File, at int64, wait bool) error {
	err := error(syscall.EINVAL)
	for _, command := range lockCommands() {
		for {
			err = syscall.FcntlFlock(opened.Fd(), command[wait], &syscall.Flock_t{Type: syscall.F_WRLCK, Start: at, Len: 1})
			if !errors.Is(err, syscall.EINTR) {
				break
			}
		}
		if !errors.Is(err, syscall.EINVAL) {
			break
		}
	}
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		return ErrHeld
	}
	return err
}

// lockCommands are those of fcntl, the best first. Locks of an open file
// (F_OFD_SETLK, F_OFD_SETLKW) also exclude others in this process, and last until
// that file is closed. Locks of a process, for systems without the others (gVisor
// answers EINVAL), end when it closes the locked file anywhere.
func lockCommands() []map[bool]int {
	process := map[bool]int{false: syscall.F_SETLK, true: syscall.F_SETLKW}
	switch runtime.GOOS {
	case "linux":
		return []map[bool]int{{false: 37, true: 38}, process}
	case "darwin":
		return []map[bool]int{{false: 90, true: 91}, process}
	}
	return []map[bool]int{process}
}
