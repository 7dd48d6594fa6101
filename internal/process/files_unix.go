//go:build linux || darwin

package process

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// room is how many files have to be free at the start. The runtime takes two for
// its poller, and ends the process without a word when it can't have them.
const room = 6

// NoFiles is why too few files can be opened for the program to work; nil when
// enough can.
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

// StdoutClosed reports whether standard output was closed when the program began.
// The runtime puts the null device into the place of such a file, opened for
// reading and writing (runtime.checkfds). A caller that opens it that way itself
// looks the same.
func StdoutClosed() bool {
	flags, err := unix.FcntlInt(uintptr(syscall.Stdout), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_ACCMODE != unix.O_RDWR {
		return err != nil
	}
	var out, null unix.Stat_t
	return unix.Fstat(syscall.Stdout, &out) == nil && unix.Stat(os.DevNull, &null) == nil && out.Rdev == null.Rdev && out.Mode&unix.S_IFMT == unix.S_IFCHR
}
