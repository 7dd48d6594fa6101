//go:build unix

package verdict

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// nonBlocking opens a FIFO without waiting for its other end.
const nonBlocking = syscall.O_NONBLOCK

// ownedAlone reports whether this user, and nobody else, may write there.
func ownedAlone(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid() && info.Mode().Perm()&0o022 == 0
}

// tryLock takes the lock of an open file without waiting. The kernel frees it
// when the process ends, however it does.
func tryLock(file *os.File) (held bool, err error) {
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return false, nil
	}
	return err == nil, err
}
