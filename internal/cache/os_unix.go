//go:build unix

package cache

import (
	"errors"
	"os"
	"syscall"
)

// nonBlocking opens a FIFO without waiting for its other end.
const nonBlocking = syscall.O_NONBLOCK

// tryLock takes the lock of one byte of a file without waiting. The kernel frees
// it when the process ends, however it does.
func tryLock(file *os.File, place int64) (held bool, err error) {
	err = flock(file, syscall.F_SETLK, place)
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		return false, nil
	}
	return err == nil, err
}

// waitLock takes the lock and waits for it as long as it takes.
func waitLock(file *os.File, place int64) error { return flock(file, syscall.F_SETLKW, place) }

func flock(file *os.File, how int, place int64) error {
	for {
		err := syscall.FcntlFlock(file.Fd(), how, &syscall.Flock_t{Type: syscall.F_WRLCK, Start: place, Len: 1})
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
