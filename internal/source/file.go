package source

import (
	"errors"
	"io/fs"
	"os"

	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// Limits in bytes for a token or URL, and for a bundle of certificate authorities.
const (
	maxValue = 64 << 10
	maxCA    = 1 << 20
)

// content is what a file or a key of a Secret contains, or the error from reading it.
type content struct {
	there bool
	text  string
	err   error
}

func contentOf(data []byte, err error) content {
	return content{there: !errors.Is(err, fs.ErrNotExist), text: string(data), err: err}
}

func readIn(root *os.Root, name string, limit int64) content {
	return contentOf(file.ReadIn(root, name, limit))
}

// readPath reads a token file; there is false if it does not exist.
func readPath(path string) (text string, there bool, problem error) {
	c := contentOf(file.Read(path, maxValue))
	return c.text, c.there, c.problem(message.Quote(path), maxValue)
}

// broken reports whether it exists but can't be read.
func (c content) broken() bool { return c.there && c.err != nil }

// problem is the message for content that can't be read, nil for none; place names it.
func (c content) problem(place string, limit int) error {
	switch {
	case !c.broken():
		return nil
	case errors.Is(c.err, file.ErrTooLarge):
		return message.FileTooLarge(place, limit>>10)
	}
	return message.FileUnreadable(place, file.Cause(c.err))
}
