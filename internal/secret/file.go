package secret

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/ambient-code/git-credential-acp/internal/message"
)

// Limits of what is read, in bytes: a token or URL with room to spare, and a
// bundle of certificate authorities.
const (
	maxValue = 64 << 10
	maxCA    = 1 << 20
)

// content is what a file holds, or why that is not known.
type content struct {
	there bool
	text  string
	err   error
}

var (
	errTooLarge   = errors.New("too large")
	errNotRegular = errors.New("it is not a regular file")
)

// readFlags open a file without ever waiting: a FIFO in its place would
// otherwise hold up git for good.
const readFlags = os.O_RDONLY | syscall.O_NONBLOCK

// readIn reads a file below root; no symlink leads out of it.
func readIn(root *os.Root, name string, limit int64) content {
	file, err := root.OpenFile(name, readFlags, 0)
	return readOpened(file, err, limit)
}

// readPath reads a token file; there is false when no such file exists.
func readPath(path string) (text string, problem *message.Message, there bool) {
	file, err := os.OpenFile(path, readFlags, 0)
	c := readOpened(file, err, maxValue)
	return c.text, c.problem(path, maxValue), c.there
}

func readOpened(file *os.File, err error, limit int64) content {
	if err != nil {
		return content{there: !errors.Is(err, fs.ErrNotExist), err: err}
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return content{there: true, err: errNotRegular}
	}
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = errTooLarge
	}
	if err != nil {
		return content{there: true, err: err}
	}
	return content{there: true, text: string(data)}
}

// problem says why the content of path is not known; nil when it is, or when
// there is no such file.
func (c content) problem(path string, limit int) *message.Message {
	switch {
	case !c.there || c.err == nil:
		return nil
	case errors.Is(c.err, errTooLarge):
		return message.FileTooLarge(path, limit>>10)
	}
	return message.FileUnreadable(path, cause(c.err))
}

// cause is an error of the file system without the path, which the message
// names itself.
func cause(err error) string {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return err.Error()
}
