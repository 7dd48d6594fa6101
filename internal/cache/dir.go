package cache

import (
	"cmp"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/file"
)

// Bounds of the directory.
const (
	// maxEntries is how many files with verdicts are left after a write, and
	// how many others.
	maxEntries = 256
	// unfinished is how old a file is that a write has left behind.
	unfinished = time.Minute
	// maxEntry bounds one file in bytes.
	maxEntry = 16 << 10
)

// Why a directory is not used.
var (
	errRelative     = errors.New("it is not an absolute path")
	errLink         = errors.New("it is a symlink")
	errNotDirectory = errors.New("it is not a directory")
	errShared       = errors.New("others can write to it")
	errForeign      = errors.New("it belongs to another user")
)

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
		return nil, errLink // it has just been put in its place
	}
	return &directory{root: root}, nil
}

func (d *directory) close() { _ = d.root.Close() }

func (d *directory) read(name string) ([]byte, error) { return file.ReadIn(d.root, name, maxEntry) }

// write replaces a file whole, or leaves it as it was; the name of the file that
// it makes first begins with prefix.
func (d *directory) write(name, prefix string, data []byte) error {
	made := prefix + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatUint(rand.Uint64(), 36)
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
func (d *directory) writable(token string) error {
	name := token + "-t-try-" + strconv.Itoa(os.Getpid())
	defer func() { _ = d.root.Remove(name) }()
	return d.write(name, token+"-t-", make([]byte, 1024))
}

// once makes an empty file; false when it is there already, or can't be made: what is
// told once a day is not told at all where nothing can be noted.
func (d *directory) once(name string) bool {
	made, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false
	}
	_ = made.Close()
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

// sweep removes what is older than anything of use, and the oldest when there are
// too many. It touches nothing but files with the names of this package: the
// directory may hold something else.
func (d *directory) sweep(now time.Time) {
	type aged struct {
		name string
		at   time.Time
	}
	var kept [2][]aged // verdicts, and the rest, which all of a token's verdicts need
	for _, entry := range d.list() {
		kind, ours := kindOf(entry.Name())
		info, err := entry.Info()
		if !ours || err != nil || !info.Mode().IsRegular() {
			continue
		}
		age := now.Sub(info.ModTime())
		switch {
		case age > keep, kind == 't' && age > unfinished:
			_ = d.root.Remove(entry.Name())
		case kind == 'v':
			kept[0] = append(kept[0], aged{entry.Name(), info.ModTime()})
		default:
			kept[1] = append(kept[1], aged{entry.Name(), info.ModTime()})
		}
	}
	for _, files := range kept {
		slices.SortFunc(files, func(a, b aged) int { return cmp.Or(b.at.Compare(a.at), cmp.Compare(a.name, b.name)) })
		for n, old := range files {
			if n >= maxEntries {
				_ = d.root.Remove(old.name)
			}
		}
	}
}

// kindOf tells the files of this package by their names: sixteen digits of a
// digest and a letter for the kind (verdict, facts, rate, warned, erased, secret,
// instance, temporary).
func kindOf(name string) (kind byte, ours bool) {
	const at = 17
	if len(name) < at+2 || name[at-1] != '-' || name[at+1] != '-' || strings.Trim(name[:at-1], "0123456789abcdef") != "" {
		return 0, false
	}
	return name[at], strings.IndexByte("vfrwesit", name[at]) >= 0
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
