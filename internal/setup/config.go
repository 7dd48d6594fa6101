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

// Config is one of git's files of configuration, and the file of ours beside it,
// which it includes. git's own program does the writing in git's file: one line,
// in a section at the end, so that it comes after what is there. All else stands in
// our file, which is replaced as a whole.
type Config struct {
	git   gitconfig.Git
	scope Scope
	path  string
}

// maxConfig bounds a file of configuration, in bytes.
const maxConfig = 8 << 20

// Open finds the file of a scope. path is where it is by git's rules; the local
// one is git's to find. A file that does not exist is as good as an empty one.
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
	// git would change a device, too, by putting a file in its place.
	_, problem := c.read()
	return c, problem
}

// Path is where the file is.
func (c *Config) Path() string { return c.path }

// read gives the file's text; "" when it does not exist.
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

// include is the value of include.path by which git's file includes ours: relative
// to its own directory, so that both can move together.
func (c *Config) include() string { return filepath.Base(c.path) + "-acp" }

func (c *Config) ours() string { return filepath.Join(filepath.Dir(c.path), c.include()) }

// list has git print what a command of git config finds, with -z.
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

// sections are what our file says, as far as it is what is written here, and text is
// all of it; both are empty where there is none.
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
		mine := s.Name == urlSection || s.String() == identity.String() || s.Closes() || s.Reserves() ||
			s.IsHelper() && slices.ContainsFunc(s.Lines, func(line Line) bool { return own(line.Value, s.Sub) })
		return !mine
	}), string(data), problem
}

func (c *Config) included(ctx context.Context) (bool, error) {
	values, problem := c.list(ctx, string(c.scope), "--get-all", includeKey)
	return slices.Contains(values, c.include()), problem
}

const includeKey = "include.path"

// whole is the file with what it includes.
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

// Write has git do what sections say, besides what was written before, and reports
// whether anything had to be changed.
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
	wanted := merge(old, sections)
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
		// Something stands behind it: it has to come last.
		if problem := c.unlink(ctx); problem != nil {
			return false, problem
		}
	}
	return true, c.link(ctx)
}

// merge are the sections of our file with new ones: one that is there is replaced,
// but for the identity, which may come in parts. A URL below another one comes after
// it, since its helpers have to be the last.
func merge(old, sections []Section) []Section {
	merged := slices.Clone(old)
	for _, s := range sections {
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

// save replaces our file, or removes it where there is nothing to say. Everybody may
// read it: git stops at a file that it can't read.
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

// replace puts a text in the place of a file, in one step.
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

// identity is the section of our file that tells what was written to git's file of
// who makes commits. Git ignores it. The settings themselves stand in git's file,
// where people change them: those of an include would count more.
var identity = Section{Name: userSection, Sub: "acp-setup"}

// setIdentity writes the settings of a section that git's file does not have yet, and
// returns those.
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

// unset takes lines out of git's file, if they are there.
func (c *Config) unset(ctx context.Context, key, value string) error {
	r, problem := c.call(ctx, "--unset-all", key, "^"+regexp.QuoteMeta(value)+"$")
	if problem == nil && r.Code != 0 && r.Code != codeUnset {
		problem = errGitFailed(r.Words)
	}
	return problem
}

// link has git's file include ours, at its end. git config --add would put the line
// into a section that is there, so it makes one of another name, and renames that.
func (c *Config) link(ctx context.Context) error {
	draft := "acp-" + rand.Text()
	if problem := c.write(ctx, "--add", draft+".path", c.include()); problem != nil {
		return problem
	}
	problem := c.write(ctx, "--rename-section", draft, "include")
	if problem != nil {
		// The context may be over. What stays all the same means nothing to git.
		_, _ = c.call(context.WithoutCancel(ctx), "--remove-section", draft)
	}
	return problem
}

// unlink has git's file include ours no more.
func (c *Config) unlink(ctx context.Context) error {
	return c.unset(ctx, includeKey, c.include())
}

// continued reports whether a file ends within a line, so that git would write
// into that.
func continued(text string) bool {
	return (len(text)-len(strings.TrimRight(text, `\`)))%2 == 1
}

// Part is what Remove takes out: all that is for the instance, or only what is for
// the URL of a group or project. The zero value is everything.
type Part struct{ Instance, URL string }

// has reports whether a section belongs to the part.
func (p Part) has(s Section) bool {
	switch {
	case p.URL != "":
		return s.IsHelper() && (s.Sub == p.URL || s.Sub == p.URL+repositoryEnd)
	case s.IsHelper():
		return slices.ContainsFunc(s.Lines, func(line Line) bool { return line.Key == keyHelper && instanceOf(line.Value) == p.Instance })
	}
	return s.Sub == p.Instance+"/"
}

// Remove takes out what Write wrote, and returns that, as far as it belongs to a
// part. It leaves git's file and what it says of other things as they are.
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

// tidy removes git's file if nothing is in it any more, under git's lock.
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

// divide gives the sections that are to go, and those that are to stay. What belongs
// to no instance, such as the identity, goes with the last instance.
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

// write has git change the file.
func (c *Config) write(ctx context.Context, args ...string) error {
	r, problem := c.call(ctx, args...)
	if problem == nil && r.Code != 0 {
		problem = errGitFailed(r.Words)
	}
	return problem
}

const (
	// lockWait is how long another program's lock is waited for, which is held
	// for no longer than it takes to write a small file.
	lockWait = time.Second
	lockPoll = 20 * time.Millisecond
)

// call is write for those to whom an exit code says something. It waits a
// little for the lock of another program, as newer versions of git do.
func (c *Config) call(ctx context.Context, args ...string) (gitconfig.Result, error) {
	for end := time.Now().Add(lockWait); ; time.Sleep(lockPoll) {
		r, problem := c.git.Run(ctx, append([]string{"config", string(c.scope)}, args...)...)
		if problem != nil || r.Code != codeUnwritten {
			return r, problem
		}
		// Not every command of git's says why. Then a lock that is not there may
		// just be gone, so it is tried again.
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

// reason is what the system says at the end of git's words "could not lock
// config file PATH: REASON"; not every command of git's tells it.
func reason(words string) string {
	_, rest, _ := strings.Cut(words, "config file ")
	at := strings.LastIndex(rest, ": ")
	if at < 0 {
		return ""
	}
	return rest[at+2:]
}

// target is the file itself, where the path is a link.
func (c *Config) target() string {
	if target, err := filepath.EvalSymlinks(c.path); err == nil {
		return target
	}
	return c.path
}
