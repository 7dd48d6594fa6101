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

// put writes the content to a file without a name, which the kernel takes away
// when the process ends, however it does, and names it when it is whole. Where
// there are no such files, it is as putNamed.
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
		// A file can't be named over another one, but renamed.
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

// name gives a file without a name one that nothing has. Without privileges, that
// takes the way over /proc (open(2), O_TMPFILE).
func name(nameless *os.File, path string) error {
	return unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(int(nameless.Fd())), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
}
