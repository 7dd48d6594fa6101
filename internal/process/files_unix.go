//go:build linux || darwin

package process

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// room is how many files must be available at the start. The runtime needs two for its
// poller, and exits without a message if it can't open them.
const room = 6

// NoFiles is an error if too few files can be opened for the program to work.
func NoFiles() error {
	var taken []int
	defer func() {
		for _, fd := range taken {
			_ = syscall.Close(fd)
		}
	}()
	for range room {
		fd, err := unix.FcntlInt(uintptr(syscall.Stderr), unix.F_DUPFD_CLOEXEC, 0)
		switch {
		case err == nil:
			taken = append(taken, fd)
		case errors.Is(err, syscall.EMFILE):
			var limit syscall.Rlimit
			if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
				return err
			}
			return fmt.Errorf("the limit is %d, of which %d are left for this program", limit.Cur, len(taken))
		default:
			return nil // something else, which says nothing of how many
		}
	}
	return nil
}

// StdoutClosed reports whether standard output was closed when the program started. The
// runtime replaces a closed descriptor by the null device, opened for reading and writing
// (runtime.checkfds). A caller that opens it the same way can't be distinguished.
func StdoutClosed() bool {
	flags, err := unix.FcntlInt(uintptr(syscall.Stdout), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_ACCMODE != unix.O_RDWR {
		return err != nil
	}
	var out, null unix.Stat_t
	return unix.Fstat(syscall.Stdout, &out) == nil && unix.Stat(os.DevNull, &null) == nil && out.Rdev == null.Rdev && out.Mode&unix.S_IFMT == unix.S_IFCHR
}
