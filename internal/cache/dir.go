package cache

import (
	"cmp"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/file"
)

// Bounds of the directory.
const (
	// maxFiles is how many files are left after a sweep.
	maxFiles = 256
	// maxAge is how old a file may get: older than any verdict that is used, and
	// than a day, in which an expiry is reported once.
	maxAge = 25 * time.Hour
	// maxUnfinished is how old a temporary file may get.
	maxUnfinished = time.Minute
)

// The names of files: a digest, or a random number while the file is written.
var (
	prefix    = "acp" + strconv.Itoa(format) + "-"
	temporary = prefix + "tmp-"
)

// ourFiles matches the names of all versions of this program; the last two are
// those of format 1.
const ourFiles = `^(acp\d+-([0-9a-f]{32}|tmp-[0-9a-z]+)|[0-9a-f]{16}-[vfrwesit]-.*|(verdict|token|secret)\.lock)$`

// Why a directory is not used.
var (
	errRelative     = errors.New("it is not an absolute path")
	errLink         = errors.New("it is a symlink")
	errNotDirectory = errors.New("it is not a directory")
	errShared       = errors.New("others can write to it")
	errForeign      = errors.New("it belongs to another user")
)

// directory is an open directory: it stays the same one, whatever becomes of its
// path.
type directory struct {
	path string
	root *os.Root
}

// openDir opens the directory, and creates it with mode 0700 if create is set. It
// refuses a relative path, which would be in the repository that git works in, a
// symlink, and a directory that others own or can write to: they could plant a link.
func openDir(path string, create bool) (*directory, error) {
	if !filepath.IsAbs(path) {
		return nil, errRelative
	}
	before, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) && create {
		if err = os.MkdirAll(path, 0o700); err == nil {
			before, err = os.Lstat(path)
		}
	}
	if err != nil {
		return nil, err
	}
	switch {
	case before.Mode()&fs.ModeSymlink != 0:
		return nil, errLink
	case !before.IsDir():
		return nil, errNotDirectory
	case file.OwnedAlone(before):
	case before.Mode().Perm()&0o022 != 0:
		return nil, errShared
	default:
		return nil, errForeign
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	if opened, err := root.Stat("."); err != nil || !os.SameFile(before, opened) {
		_ = root.Close()
		return nil, errLink // it was replaced in between
	}
	return &directory{path: path, root: root}, nil
}

func (d *directory) close() { _ = d.root.Close() }

func (d *directory) read(name string) ([]byte, error) {
	return file.ReadIn(d.root, name, firstLine+maxBody)
}

// write replaces a file as a whole, or leaves it as it was.
func (d *directory) write(name string, data []byte) error {
	made := temporary + strconv.FormatUint(rand.Uint64(), 36)
	opened, err := d.root.OpenFile(made, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = opened.Write(data)
	if closed := opened.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = d.root.Rename(made, name)
	}
	if err != nil {
		_ = d.root.Remove(made)
	}
	return err
}

// writable is why no file can be written, for example because the disk is full.
func (d *directory) writable() error {
	name := temporary + strconv.FormatUint(rand.Uint64(), 36)
	defer func() { _ = d.root.Remove(name) }()
	return d.write(name, make([]byte, 1024))
}

// sweep removes old files of this program, and the oldest if there are too many.
// The directory may also hold files of others.
func (d *directory) sweep(now time.Time) {
	opened, err := d.root.Open(".")
	if err != nil {
		return
	}
	defer func() { _ = opened.Close() }()
	entries, _ := opened.ReadDir(-1) // what could be read is better than nothing
	ours := regexp.MustCompile(ourFiles)
	var kept []fs.FileInfo
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || !ours.MatchString(entry.Name()) {
			continue
		}
		age, limit := now.Sub(info.ModTime()), maxAge
		if strings.Contains(info.Name(), "-tmp-") || strings.Contains(info.Name(), "-t-") {
			limit = maxUnfinished
		}
		if age > limit {
			_ = d.root.Remove(info.Name())
		} else {
			kept = append(kept, info)
		}
	}
	slices.SortFunc(kept, func(a, b fs.FileInfo) int {
		return cmp.Or(b.ModTime().Compare(a.ModTime()), cmp.Compare(a.Name(), b.Name()))
	})
	for _, info := range kept[min(len(kept), maxFiles):] {
		_ = d.root.Remove(info.Name())
	}
}
