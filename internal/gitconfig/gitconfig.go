// Package gitconfig reads which remotes the repository has that git is working
// in, with go-git's reader and without a git program.
//
// Whoever works in a repository can write its configuration. So nothing that is
// read here may decide whom to trust, what to send or where: it only says which
// project to ask GitLab about when git does not.
package gitconfig

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/config"

	"github.com/ambient-code/git-credential-acp/internal/file"
)

// Limits of what is read, in bytes, and of how far up is looked. go-git's reader
// takes time with the square of the number of subsections: a file that is larger
// than this is not read, so that no repository can hold up its own push by it.
const (
	maxFile   = 128 << 10
	maxParent = 64
)

// Place is where git runs a helper, and whose configuration it has.
type Place struct {
	// Dir is the working directory, GitDir git's GIT_DIR, relative to it or
	// absolute; "" when git did not set it.
	Dir, GitDir string
	// Global are the files of configuration that apply everywhere, in git's
	// order; ones that don't exist are passed over.
	Global []string
	// Pairs are keys and values from the environment (GIT_CONFIG_COUNT).
	Pairs [][2]string
}

// RemoteURLs are the URLs of the repository's remotes, for fetch and for push,
// as git uses them: with url.<base>.insteadOf applied. None when there is no
// repository, or none that can be read.
func (p Place) RemoteURLs() []string {
	dir, found := p.repository()
	if !found {
		return nil
	}
	var rules []rule
	for _, name := range p.Global {
		rules = append(rules, rulesOf(read(name))...)
	}
	local := read(filepath.Join(common(dir), "config"))
	rules = append(rules, rulesOf(local)...)
	for _, pair := range p.Pairs {
		// Section and variable are the same in any case; what is between is not.
		if key := pair[0]; len(key) > len(rulePrefix)+len(ruleSuffix) &&
			strings.EqualFold(key[:len(rulePrefix)], rulePrefix) && strings.EqualFold(key[len(key)-len(ruleSuffix):], ruleSuffix) {
			rules = append(rules, rule{from: pair[1], base: key[len(rulePrefix) : len(key)-len(ruleSuffix)]})
		}
	}
	var urls []string
	for _, remote := range local.Section("remote").Subsections {
		for _, key := range []string{"url", "pushurl"} {
			for _, url := range remote.OptionAll(key) {
				urls = append(urls, rewrite(url, rules))
			}
		}
	}
	return urls
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
	text, found := strings.CutPrefix(strings.TrimRight(content(name), "\r\n"), prefix)
	if !found || text == "" {
		return "", false
	}
	if !filepath.IsAbs(text) {
		text = filepath.Join(filepath.Dir(name), text)
	}
	return text, true
}

// content is what a file holds; nothing when it can't be read.
func content(name string) string {
	data, err := file.Read(name, maxFile)
	if err != nil {
		return ""
	}
	return string(data)
}

// read parses a file of configuration; empty when it is missing or broken. What
// it includes is left out, as go-git does.
func read(name string) *config.Config {
	parsed := config.New()
	if config.NewDecoder(strings.NewReader(content(name))).Decode(parsed) != nil {
		return config.New()
	}
	return parsed
}

const (
	rulePrefix = "url."
	ruleSuffix = ".insteadOf"
)

// rule is url.<base>.insteadOf: what begins with from begins with base instead.
type rule struct{ from, base string }

func rulesOf(c *config.Config) []rule {
	var rules []rule
	for _, url := range c.Section("url").Subsections {
		for _, from := range url.OptionAll(ruleSuffix[1:]) {
			rules = append(rules, rule{from: from, base: url.Name})
		}
	}
	return rules
}

// rewrite applies the rule with the longest match (git-config(1)).
func rewrite(url string, rules []rule) string {
	var longest rule
	for _, r := range rules {
		if len(r.from) > len(longest.from) && strings.HasPrefix(url, r.from) {
			longest = r
		}
	}
	return longest.base + strings.TrimPrefix(url, longest.from)
}
