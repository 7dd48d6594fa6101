package install

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// put writes the content to an unnamed file, which the kernel removes if the process is
// killed, and names it when it is complete. On file systems without unnamed files, it is
// putNamed.
func put(path string, c content) error {
	dir := filepath.Dir(path)
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return putNamed(path, c)
	}
	nameless := os.NewFile(uintptr(fd), dir)
	defer func() { _ = nameless.Close() }()
	if err := c.fill(nameless); err != nil {
		return err
	}
	err = name(nameless, path)
	if errors.Is(err, fs.ErrExist) {
		// A link can't replace a file, but a rename can.
		between := filepath.Join(dir, "."+Name()+"-"+rand.Text())
		if err = name(nameless, between); err == nil {
			if err = os.Rename(between, path); err != nil {
				_ = os.Remove(between)
				return err
			}
		}
	}
	if err != nil {
		return putNamed(path, c)
	}
	return nil
}

// name links an unnamed file to an unused path, through /proc, which needs no privileges
// (open(2), O_TMPFILE).
func name(nameless *os.File, path string) error {
	return unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(int(nameless.Fd())), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
}
