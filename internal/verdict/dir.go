package verdict

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of the directory.
const (
	// maxEntries is how many files with entries are left after a write.
	maxEntries = 256
	// maxEntry bounds one file in bytes.
	maxEntry = 16 << 10
)

var errNotOurs = errors.New("not a directory of one's own")

// directory is where entries are, opened so that nobody can change what its
// path means any more.
type directory struct{ root *os.Root }

// openDir opens the directory, made if missing, with mode 0700. One that is a
// symlink, another user's, or writable by others is refused: whoever can write
// there could plant a link.
func openDir(path string, make bool) (*directory, error) {
	before, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) && make {
		if err = os.MkdirAll(path, 0o700); err == nil {
			before, err = os.Lstat(path)
		}
	}
	if err != nil {
		return nil, err
	}
	if !before.IsDir() || !ownedAlone(before) {
		return nil, errNotOurs
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	if opened, err := root.Stat("."); err != nil || !os.SameFile(before, opened) {
		_ = root.Close()
		return nil, errNotOurs
	}
	return &directory{root: root}, nil
}

func (d *directory) close() { _ = d.root.Close() }

func (d *directory) read(name string) ([]byte, error) {
	file, err := d.root.OpenFile(name, os.O_RDONLY|nonBlocking, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errNotOurs
	}
	return io.ReadAll(io.LimitReader(file, maxEntry))
}

const temporary = "tmp-"

// write replaces a file whole, or leaves it as it was.
func (d *directory) write(name string, data []byte) error {
	made := temporary + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatUint(rand.Uint64(), 36)
	file, err := d.root.OpenFile(made, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if closed := file.Close(); err == nil {
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

// once makes an empty file; false when it is there already, or can't be made.
func (d *directory) once(name string) bool {
	file, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false
	}
	_ = file.Close()
	return true
}

// drop removes everything whose name begins with prefix, and counts it.
func (d *directory) drop(prefix string) int {
	dropped := 0
	for _, entry := range d.list() {
		if strings.HasPrefix(entry.Name(), prefix) && d.root.Remove(entry.Name()) == nil {
			dropped++
		}
	}
	return dropped
}

// sweep removes what is older than anything of use, and the oldest entries when
// there are too many.
func (d *directory) sweep(now time.Time) {
	type aged struct {
		name string
		at   time.Time
	}
	var kept []aged
	for _, entry := range d.list() {
		if strings.HasSuffix(entry.Name(), lockSuffix) {
			continue
		}
		info, err := entry.Info()
		switch {
		case err != nil:
		case now.Sub(info.ModTime()) > keep:
			_ = d.root.Remove(entry.Name())
		default:
			kept = append(kept, aged{entry.Name(), info.ModTime()})
		}
	}
	slices.SortFunc(kept, func(a, b aged) int { return cmp.Or(b.at.Compare(a.at), cmp.Compare(a.name, b.name)) })
	for n, old := range kept {
		if n >= maxEntries {
			_ = d.root.Remove(old.name)
		}
	}
}

func (d *directory) list() []fs.DirEntry {
	dir, err := d.root.Open(".")
	if err != nil {
		return nil
	}
	defer func() { _ = dir.Close() }()
	entries, _ := dir.ReadDir(-1) // what could be read is better than nothing
	return entries
}
