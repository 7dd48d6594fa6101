package gitconfig

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strings"
)

// Why a path can't be told.
var (
	ErrNoHome   = errors.New("there is no such home directory")
	ErrNoPrefix = errors.New("nobody knows where git is installed")
)

// Expand is a path in a setting as git reads it (path.c, interpolate_path): ~/ is
// the home directory, ~name/ another user's, %(prefix)/ where git is installed.
func (p Place) Expand(path string) (string, error) {
	if rest, found := strings.CutPrefix(path, "%(prefix)/"); found {
		prefix, known := p.prefix()
		if !known {
			return "", ErrNoPrefix
		}
		return prefix + "/" + rest, nil
	}
	if !strings.HasPrefix(path, "~") {
		return path, nil
	}
	name, rest := path[1:], ""
	if slash := strings.IndexByte(path, '/'); slash > 0 {
		name, rest = path[1:slash], path[slash:]
	}
	home := p.Home
	if name != "" {
		home = ""
		if account, err := user.Lookup(name); err == nil {
			home = account.HomeDir
		}
	}
	if home == "" {
		return "", ErrNoHome
	}
	return home + rest, nil
}

// SystemFile is the file that git takes for the system's configuration, unless it
// is told another: /etc/gitconfig, or etc/gitconfig below where git is installed
// when that is not /usr (git's Makefile, sysconfdir).
func (p Place) SystemFile() string {
	if prefix, known := p.prefix(); known && prefix != "/usr" {
		own := prefix + "/etc/gitconfig"
		if _, err := os.Stat(own); err == nil {
			return own
		}
	}
	return "/etc/gitconfig"
}

// prefix is where git is installed. git has it compiled in, and its programs
// stand in one of these directories below it.
func (p Place) prefix() (string, bool) {
	for _, dir := range filepath.SplitList(p.Path) {
		if info, err := os.Stat(filepath.Join(dir, "git")); err != nil || !info.Mode().IsRegular() || !filepath.IsAbs(dir) {
			continue
		}
		for _, programs := range []string{"/libexec/git-core", "/lib/git-core", "/bin"} {
			if prefix, found := strings.CutSuffix(filepath.Clean(dir), programs); found {
				return prefix, true
			}
		}
	}
	return "", false
}
