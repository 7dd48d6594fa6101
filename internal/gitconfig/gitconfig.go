// Package gitconfig reads git's configuration as git does, in git's order, with
// the parser beneath go-git's reader and without a git program: which remotes
// the repository has that git is working in, which settings apply to a URL,
// which credential helpers git asks.
//
// Whoever works in a repository can write its configuration. So nothing that
// comes from there (see Scope.Trusted) may decide whom to trust, what to send or
// where.
package gitconfig

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/file"
)

// Limits of what is read, so that no repository can hold up its own push by what
// it has there. Reading takes time and memory in proportion.
const (
	// maxFile bounds one file, in bytes.
	maxFile = 512 << 10
	// maxFiles bounds how many are read, included ones among them, and maxDepth
	// how deep they include one another, as in git.
	maxFiles = 100
	maxDepth = 10
	// maxSkipped bounds how many parts are told of that were not read.
	maxSkipped = 100
	// maxParent bounds how far up a repository is looked for.
	maxParent = 64
)

// Place is where git runs a helper, and whose configuration it has.
type Place struct {
	// Dir is the working directory, GitDir git's GIT_DIR, relative to it or
	// absolute; "" when git did not set it. Without both, there is no repository.
	Dir, GitDir string
	// System is the system's file of configuration, "" for none, and Global are
	// the user's, in git's order. Files that don't exist are passed over.
	System string
	Global []string
	// Pairs are keys and values from the environment (GIT_CONFIG_COUNT), and
	// Parameters is what `git -c` sets there (GIT_CONFIG_PARAMETERS).
	Pairs      [][2]string
	Parameters string
	// Home is the directory that ~/ stands for, and Path where programs are
	// looked for, which tells what %(prefix)/ stands for: PATH.
	Home, Path string
}

// Read reads all of the configuration that git has in this place.
func (p Place) Read() Config {
	return p.read(func(Entry) bool { return true })
}

// Section reads the settings of one section, such as "http", in any case of
// letters.
func (p Place) Section(name string) Config {
	name = lower(name)
	return p.read(func(e Entry) bool { return e.Section == name })
}

// WithoutRepository is the place as it would be outside of any repository: nothing
// of one is even read, and so nothing that is named by a relative path, which
// leads into the one that git happens to work in.
func (p Place) WithoutRepository() Place {
	p.Dir, p.GitDir = "", ""
	if !filepath.IsAbs(p.System) {
		p.System = ""
	}
	p.Global = slices.DeleteFunc(slices.Clone(p.Global), func(path string) bool { return !filepath.IsAbs(path) })
	if !filepath.IsAbs(p.Home) {
		p.Home = ""
	}
	return p
}

// repository finds the directory that git calls GIT_DIR: the one that is set,
// else .git in the working directory or above it, or a bare repository there.
func (p Place) repository() (string, bool) {
	if p.GitDir != "" {
		if filepath.IsAbs(p.GitDir) {
			return p.GitDir, true
		}
		return filepath.Join(p.Dir, p.GitDir), true
	}
	dir := p.Dir
	if dir == "" {
		return "", false
	}
	for range maxParent {
		if inner := filepath.Join(dir, ".git"); isRepository(inner) {
			return inner, true
		} else if target, ok := pointer(inner, "gitdir: "); ok {
			// A work tree or a submodule: a file that names the place.
			return target, true
		}
		if isRepository(dir) {
			return dir, true
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		dir = parent
	}
	return "", false
}

// isRepository is git's own test (setup.c, is_git_directory), simplified: a
// HEAD, and objects and refs.
func isRepository(dir string) bool {
	for _, name := range []string{"HEAD", "objects", "refs"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

// common is the directory that a linked work tree shares with the others, where
// the configuration is (gitrepository-layout(5), "commondir").
func common(dir string) string {
	if shared, ok := pointer(filepath.Join(dir, "commondir"), ""); ok {
		return shared
	}
	return dir
}

// pointer reads a file of one line that names a directory, relative to its own.
func pointer(name, prefix string) (string, bool) {
	data, err := file.Read(name, maxFile)
	if err != nil {
		return "", false
	}
	text, found := strings.CutPrefix(strings.TrimRight(string(data), "\r\n"), prefix)
	if !found || text == "" {
		return "", false
	}
	if !filepath.IsAbs(text) {
		text = filepath.Join(filepath.Dir(name), text)
	}
	return text, true
}
