package setup

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
)

// Scope is one of git's files of configuration, as the flag of git config.
type Scope string

// The scopes.
const (
	Global Scope = "--global"
	System Scope = "--system"
	Local  Scope = "--local"
)

// Config is one of git's configuration files, and our file next to it, which it includes.
// git itself writes to its file: one line in a section at the end, after everything that
// is there. Our file is replaced as a whole.
type Config struct {
	git   gitconfig.Git
	scope Scope
	path  string
}

// maxConfig is the limit of a configuration file in bytes.
const maxConfig = 8 << 20

// Open finds the file of a scope. path is its place by git's rules; git finds the local
// one. A missing file is treated as empty.
func Open(ctx context.Context, git gitconfig.Git, scope Scope, path string) (*Config, error) {
	c := &Config{git: git, scope: scope, path: path}
	if scope == Local {
		r, problem := git.Run(ctx, "rev-parse", "--git-path", "config")
		switch {
		case problem != nil:
			return nil, problem
		case r.Code != 0:
			return nil, errNoRepository(r.Words)
		}
		path, err := filepath.Abs(strings.TrimSuffix(r.Out, "\n"))
		if err != nil {
			return nil, errNoRepository(file.Cause(err))
		}
		c.path = path
	}
	// git would replace a device by a file.
	_, problem := c.read()
	return c, problem
}

// Path is the file's path.
func (c *Config) Path() string { return c.path }

// read returns the file's text; "" if it does not exist.
func (c *Config) read() (string, error) {
	data, err := file.Read(c.path, maxConfig)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", errGitConfigFile(c.path, file.Cause(err))
	}
	return string(data), nil
}

// include is the value of include.path for our file: relative, so that both files can be
// moved together.
func (c *Config) include() string { return filepath.Base(c.path) + "-acp" }

func (c *Config) ours() string { return filepath.Join(filepath.Dir(c.path), c.include()) }

// list returns the output of a git config command with -z.
func (c *Config) list(ctx context.Context, args ...string) ([]string, error) {
	r, problem := c.git.Run(ctx, append([]string{"config", "-z"}, args...)...)
	switch {
	case problem != nil:
		return nil, problem
	case r.Code == codeNotFound:
		return nil, nil
	case r.Code != 0:
		return nil, errGitFailed(r.Words)
	}
	return strings.Split(strings.TrimSuffix(r.Out, "\x00"), "\x00"), nil
}

// sections are the sections of our file that this program knows, and text is all of it.
func (c *Config) sections(ctx context.Context) (sections []Section, text string, problem error) {
	data, err := file.Read(c.ours(), maxConfig)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, "", nil
	case err != nil:
		return nil, "", errGitConfigFile(c.ours(), file.Cause(err))
	}
	lines, problem := c.list(ctx, "--file", c.ours(), "--get-regexp", ".")
	return slices.DeleteFunc(parse(lines), func(s Section) bool {
		mine := s.Name == urlSection || s.Name == httpSection || s.String() == identity.String() || s.resets() || s.Reserves() ||
			s.IsHelper() && slices.ContainsFunc(s.Lines, func(line Line) bool { return own(line.Value, s.Sub) })
		return !mine
	}), string(data), problem
}

func (c *Config) included(ctx context.Context) (bool, error) {
	values, problem := c.list(ctx, string(c.scope), "--get-all", includeKey)
	return slices.Contains(values, c.include()), problem
}

const includeKey = "include.path"

// whole is the file with its includes.
func (c *Config) whole(ctx context.Context) (gitconfig.Config, error) {
	r, problem := c.git.Run(ctx, append([]string{"config", "--file", c.path, "--includes"}, gitconfig.ListFlags...)...)
	switch {
	case problem != nil:
		return gitconfig.Config{}, problem
	case r.Code == 0:
		return gitconfig.Config{Entries: gitconfig.Parse(r.Out, "")}, nil
	case !exists(c.path):
		return gitconfig.Config{}, nil
	}
	return gitconfig.Config{}, errGitFailed(r.Words)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// Write adds sections to what was written before, and reports whether anything changed.
func (c *Config) Write(ctx context.Context, sections []Section) (changed bool, problem error) {
	if text, problem := c.read(); problem != nil || continued(text) {
		if problem == nil {
			problem = errGitConfigFile(c.path, "its last line ends in a backslash, which would join it to the line that setup adds")
		}
		return false, problem
	}
	old, written, problem := c.sections(ctx)
	if problem != nil {
		return false, problem
	}
	included, problem := c.included(ctx)
	if problem != nil {
		return false, problem
	}
	sections = slices.Clone(sections)
	for n, s := range sections {
		if s.Name == userSection {
			if sections[n], problem = c.setIdentity(ctx, s); problem != nil {
				return false, problem
			}
		}
	}
	if slices.ContainsFunc(sections, Section.Closes) {
		made, problem := c.reserve(ctx)
		if problem != nil {
			return false, problem
		}
		if made {
			sections = append(sections, reserved)
		}
	}
	wanted := merge(old, withSSH(old, sections))
	if header+File(wanted) != written {
		changed = true
		if problem := c.save(wanted); problem != nil {
			return false, problem
		}
	}
	if included {
		whole, problem := c.whole(ctx)
		if problem != nil || !slices.ContainsFunc(sections, func(s Section) bool { return s.logsIn() && !asks(whole, s) }) {
			return changed, problem
		}
		// The include must be last.
		if problem := c.unlink(ctx); problem != nil {
			return false, problem
		}
	}
	return true, c.link(ctx)
}

// withSSH adds the ssh addresses of an earlier --rewrite-ssh to sections without any. They lead
// where the instance's own URLs lead now: otherwise they would bypass a new proxy, or lead to
// an old one.
func withSSH(old, sections []Section) []Section {
	all := slices.Clone(sections)
	for n, s := range sections {
		url := s.Sub + "/"
		if s.Name == urlSection {
			url = s.Lines[0].Value
		} else if !s.IsHelper() {
			continue
		}
		own := Line{keyInstead, url}
		var ssh []Line
		for _, have := range old {
			if have.Name == urlSection && (have.Sub == url || slices.Contains(have.Lines, own)) {
				ssh = append(ssh, slices.DeleteFunc(slices.Clone(have.Lines), func(line Line) bool { return line == own })...)
			}
		}
		switch {
		case len(ssh) == 0:
		case s.IsHelper() && !slices.ContainsFunc(sections, func(other Section) bool { return other.Name == urlSection && other.Sub == url }):
			all = append(all, Section{Name: urlSection, Sub: url, Lines: ssh})
		case slices.Equal(s.Lines, []Line{own}):
			all[n].Lines = append(slices.Clone(s.Lines), ssh...)
		}
	}
	return all
}

// merge adds sections to those of our file. A section of the same name is replaced, except
// the identity, which may come in parts. A URL below another one comes after it, since
// its helpers have to be the last.
func merge(old, sections []Section) []Section {
	merged := slices.Clone(old)
	for _, s := range sections {
		merged = slices.DeleteFunc(merged, s.replaces)
		at := slices.IndexFunc(merged, func(have Section) bool { return have.String() == s.String() })
		switch {
		case len(s.Lines) == 0:
		case at < 0:
			merged = append(merged, s)
		case s.Name == userSection:
			merged[at].Lines = append(slices.Clone(merged[at].Lines), s.Lines...)
		default:
			merged[at] = s
		}
	}
	slices.SortStableFunc(merged, func(a, b Section) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Sub, b.Sub))
	})
	return merged
}

// replaces reports whether a section is of an earlier set-up that led some of the same URLs
// elsewhere: to another proxy, or to one where a helper is asked now. git would use the
// first of two such rules.
func (s Section) replaces(have Section) bool {
	switch {
	case have.Name != urlSection || have.String() == s.String():
		return false
	case s.IsHelper():
		return slices.Contains(have.Lines, Line{keyInstead, s.Sub + "/"})
	}
	return s.Name == urlSection && slices.ContainsFunc(s.Lines, func(line Line) bool { return slices.Contains(have.Lines, line) })
}

// save replaces our file, or removes it if there are no sections. All users may read it:
// git fails for a file that it can't read.
func (c *Config) save(sections []Section) error {
	var err error
	if len(sections) == 0 {
		err = os.Remove(c.ours())
	} else {
		err = replace(c.ours(), header+File(sections))
	}
	if err != nil && (len(sections) > 0 || !errors.Is(err, fs.ErrNotExist)) {
		return errGitConfigUnwritable(c.ours(), file.Cause(err))
	}
	return nil
}

const header = "# Written by git-credential-acp setup, which replaces this file.\n"

// replace replaces a file atomically.
func replace(path, text string) error {
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = temp.WriteString(text)
	err = errors.Join(err, temp.Close(), os.Chmod(temp.Name(), 0o644)) //nolint:gosec // git of every user reads it
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
	}
	return err
}

// identity is the section of our file that records which of user.name and user.email were
// written to git's file. Git ignores it. The settings themselves are in git's file, where
// users change them: those of an include would override them.
var identity = Section{Name: userSection, Sub: "acp-setup"}

// setIdentity writes the settings of a section that git's file does not have yet, and
// returns them.
func (c *Config) setIdentity(ctx context.Context, s Section) (Section, error) {
	written := Section{Name: identity.Name, Sub: identity.Sub}
	for _, line := range s.Lines {
		key := s.String() + "." + line.Key
		there, problem := c.list(ctx, string(c.scope), "--includes", "--get-all", key)
		if problem == nil && len(there) == 0 {
			written.Lines = append(written.Lines, line)
			problem = c.write(ctx, key, line.Value)
		}
		if problem != nil {
			return written, problem
		}
	}
	return written, nil
}

// unset removes lines from git's file, if any.
func (c *Config) unset(ctx context.Context, key, value string) error {
	r, problem := c.call(ctx, "--unset-all", key, "^"+regexp.QuoteMeta(value)+"$")
	if problem == nil && r.Code != 0 && r.Code != codeUnset {
		problem = errGitFailed(r.Words)
	}
	return problem
}

// link includes our file at the end of git's. git config --add would put the line into an
// existing section, so it creates one of another name and renames it.
func (c *Config) link(ctx context.Context) error {
	draft := "acp-" + rand.Text()
	if problem := c.write(ctx, "--add", draft+".path", c.include()); problem != nil {
		return problem
	}
	problem := c.write(ctx, "--rename-section", draft, "include")
	if problem != nil {
		// The context may have ended. A section that stays is ignored by git.
		_, _ = c.call(context.WithoutCancel(ctx), "--remove-section", draft)
	}
	return problem
}

// unlink removes the include of our file.
func (c *Config) unlink(ctx context.Context) error {
	return c.unset(ctx, includeKey, c.include())
}

// continued reports whether a file ends within a line, to which git would append.
func continued(text string) bool {
	return (len(text)-len(strings.TrimRight(text, `\`)))%2 == 1
}

// Part is what Remove removes: everything for an instance, or only for the URL of a group
// or project. The zero value is everything.
type Part struct{ Instance, URL string }

// has reports whether a section belongs to the part.
func (p Part) has(s Section) bool {
	switch {
	case p.URL != "":
		return s.IsHelper() && (s.Sub == p.URL || s.Sub == p.URL+repositoryEnd)
	case s.IsHelper():
		return slices.ContainsFunc(s.Lines, func(line Line) bool { return line.Key == keyHelper && instanceOf(line.Value) == p.Instance })
	}
	return s.Sub == p.Instance || s.Sub == p.Instance+"/" || slices.Contains(s.Lines, Line{keyInstead, p.Instance + "/"})
}

// Remove removes the part of what Write wrote, and returns it. The rest of git's file is
// not changed.
func (c *Config) Remove(ctx context.Context, only Part) ([]Section, error) {
	old, _, problem := c.sections(ctx)
	if problem != nil {
		return nil, problem
	}
	wanted, kept := divide(old, only)
	if len(wanted) == 0 {
		return nil, nil
	}
	for n, s := range wanted {
		if s.Reserves() {
			if problem := c.release(ctx); problem != nil {
				return nil, problem
			}
		}
		if s.Name != userSection {
			continue
		}
		wanted[n].Sub = ""
		for _, line := range s.Lines {
			if problem := c.unset(ctx, userSection+"."+line.Key, line.Value); problem != nil {
				return nil, problem
			}
		}
	}
	if len(kept) == 0 {
		if problem := c.unlink(ctx); problem != nil {
			return nil, problem
		}
		c.tidy()
	}
	return wanted, c.save(kept)
}

// tidy removes git's file if it is empty, under git's lock.
func (c *Config) tidy() {
	lock, err := os.OpenFile(c.target()+lockSuffix, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return // another git is at work; an empty file does no harm
	}
	_ = lock.Close()
	defer func() { _ = os.Remove(lock.Name()) }()
	if info, err := os.Stat(c.path); err == nil && info.Size() == 0 {
		_ = os.Remove(c.target())
	}
}

// divide splits sections into those to remove and those to keep. What belongs to no
// instance, such as the identity, is removed with the last instance.
func divide(sections []Section, only Part) (wanted, kept []Section) {
	for _, s := range sections {
		if only == (Part{}) || only.has(s) {
			wanted = append(wanted, s)
		} else {
			kept = append(kept, s)
		}
	}
	if len(wanted) > 0 && !slices.ContainsFunc(kept, func(s Section) bool { return s.IsHelper() || s.Name == urlSection }) {
		return sections, nil
	}
	return wanted, kept
}

// write makes git change the file.
func (c *Config) write(ctx context.Context, args ...string) error {
	r, problem := c.call(ctx, args...)
	if problem == nil && r.Code != 0 {
		problem = errGitFailed(r.Words)
	}
	return problem
}

const (
	// lockWait is how long to wait for another program's lock, which is held only while
	// writing a small file.
	lockWait = time.Second
	lockPoll = 20 * time.Millisecond
)

// call is write with the exit code. It waits for another program's lock, as newer versions
// of git do.
func (c *Config) call(ctx context.Context, args ...string) (gitconfig.Result, error) {
	for end := time.Now().Add(lockWait); ; time.Sleep(lockPoll) {
		r, problem := c.git.Run(ctx, append([]string{"config", string(c.scope)}, args...)...)
		if problem != nil || r.Code != codeUnwritten {
			return r, problem
		}
		// Not every git command says why. Then the lock may have just disappeared, so
		// retry.
		why := reason(r.Words)
		if why != "" && why != "File exists" {
			return r, errGitConfigUnwritable(c.path, why)
		}
		if time.Now().Before(end) {
			continue
		}
		lock := c.target() + lockSuffix
		if _, err := os.Lstat(lock); err != nil {
			return r, errGitConfigUnwritable(c.path, "git can't make "+lock)
		}
		return r, errGitConfigLocked(lock)
	}
}

const lockSuffix = ".lock"

// reason is the system's error at the end of git's "could not lock config file PATH:
// REASON"; not every git command has it.
func reason(words string) string {
	_, rest, _ := strings.Cut(words, "config file ")
	at := strings.LastIndex(rest, ": ")
	if at < 0 {
		return ""
	}
	return rest[at+2:]
}

// target is the path with symlinks resolved.
func (c *Config) target() string {
	if target, err := filepath.EvalSymlinks(c.path); err == nil {
		return target
	}
	return c.path
}
