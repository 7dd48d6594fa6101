// Package install copies the running program into a directory atomically, for
// images without a shell or cp.
package install

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/ambient-code/git-credential-acp/internal/file"
)

// mode lets all users run the copy, since containers that share a volume may have different
// user IDs.
const mode = 0o755

// Name is the copy's file name, which git looks for if its configuration says acp.
func Name() string {
	if runtime.GOOS == "windows" {
		return "git-credential-acp.exe"
	}
	return "git-credential-acp"
}

// Copy copies the running program into a directory, replacing a file of its name, and
// returns its path. Fresh is false if the running program is already that file.
func Copy(ctx context.Context, dir string) (path string, fresh bool, problem error) {
	path = filepath.Join(dir, Name())
	if info, err := os.Stat(dir); err != nil {
		return path, false, errDirectory(dir, file.Cause(err))
	} else if !info.IsDir() {
		return path, false, errDirectory(dir, "it is not a directory")
	}
	program, err := running()
	if err != nil {
		return path, false, errFailed(path, "the running program can't be read: "+file.Cause(err))
	}
	defer func() { _ = program.Close() }()
	info, err := program.Stat()
	if err != nil {
		return path, false, errFailed(path, "the running program can't be read: "+file.Cause(err))
	}
	// A symlink to this program does not count: it may be dangling where the copy is
	// used.
	switch there, err := os.Lstat(path); {
	case err == nil && there.IsDir():
		return path, false, errBlocked(path)
	case err == nil && os.SameFile(there, info) && there.Mode().Perm()&mode == mode:
		return path, false, nil
	}
	if err := put(path, content{ctx, program, info.Size()}); err != nil {
		return path, false, errFailed(path, file.Cause(err))
	}
	return path, true, nil
}

// running opens the running program. On Linux, this is the same file even if it was
// replaced.
func running() (*os.File, error) {
	if program, err := os.Open("/proc/self/exe"); err == nil {
		return program, nil
	}
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return os.Open(path) //nolint:gosec // the system says where this program is
}

// content is the copy's content, readable until the context ends.
type content struct {
	ctx  context.Context
	from io.ReaderAt
	size int64
}

var (
	errInterrupted = errors.New("it was interrupted")
	errCut         = errors.New("the running program was replaced")
)

// ReadAt is io.ReaderAt.
func (c content) ReadAt(p []byte, at int64) (int, error) {
	if c.ctx.Err() != nil {
		return 0, errInterrupted
	}
	return c.from.ReadAt(p, at)
}

// fill writes the content to a file, syncs it, and makes it executable.
func (c content) fill(to *os.File) error {
	n, err := io.Copy(to, io.NewSectionReader(c, 0, c.size))
	if err == nil && n != c.size {
		err = errCut
	}
	if err == nil {
		err = to.Chmod(mode)
	}
	if err == nil {
		err = to.Sync()
	}
	return err
}

// putNamed writes the content to a temporary file next to path and renames it. If the
// process is killed before that, the temporary file stays.
func putNamed(path string, c content) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+Name()+"-*")
	if err != nil {
		return err
	}
	err = c.fill(temporary)
	if closed := temporary.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
	}
	return err
}
