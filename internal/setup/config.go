package setup

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// Scope is one of git's files of configuration, as the flag of git config.
type Scope string

// The scopes.
const (
	Global Scope = "--global"
	System Scope = "--system"
	Local  Scope = "--local"
)

// Config is one of git's files of configuration. git's own program does all the
// writing in it, but for what only edit can do.
//
// A section goes in whole: its lines are gathered in a section with a name that
// means nothing to git, which is then renamed. So it takes effect in one step,
// and stands at the end of the file, after what is there. Where others have a
// section of that name, ours begins with a capital letter, so that it can be
// taken out again without theirs.
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
			return nil, message.NoRepository(r.Words)
		}
		path, err := filepath.Abs(strings.TrimSuffix(r.Out, "\n"))
		if err != nil {
			return nil, message.NoRepository(file.Cause(err))
		}
		c.path = path
	}
	// git would change a device, too, by putting a file in its place.
	_, _, problem := c.read()
	return c, problem
}

// Path is where the file is.
func (c *Config) Path() string { return c.path }

// read gives the file's text; there is false when it does not exist.
func (c *Config) read() (text string, there bool, problem error) {
	data, err := file.Read(c.path, maxConfig)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", false, nil
	case err != nil:
		return "", false, message.GitConfigFile(c.path, file.Cause(err))
	}
	return string(data), true, nil
}

func (c *Config) entries(ctx context.Context) (entries, error) {
	r, problem := c.git.Run(ctx, "config", string(c.scope), "-z", "--get-regexp", ".")
	switch {
	case problem != nil:
		return nil, problem
	case r.Code == codeNotFound:
		return nil, nil
	case r.Code != 0:
		return nil, message.GitFailed(r.Words)
	}
	return parse(r.Out), nil
}

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
	return gitconfig.Config{}, message.GitFailed(r.Words)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Write writes the sections that do not hold yet, and returns them. Sections of
// others are left as they are.
func (c *Config) Write(ctx context.Context, sections []Section) ([]Section, error) {
	all, problem := c.entries(ctx)
	if problem != nil {
		return nil, problem
	}
	if text, _, problem := c.read(); problem != nil || continued(text) {
		if problem == nil {
			problem = message.GitConfigFile(c.path, "its last line ends in a backslash, which would join it to what is written")
		}
		return nil, problem
	}
	whole, problem := c.whole(ctx)
	if problem != nil {
		return nil, problem
	}
	missing := all.missing(sections, whole)
	missing = append(missing, all.after(missing)...)
	if len(missing) == 0 {
		return nil, nil
	}
	if problem := c.remember(ctx, all, missing); problem != nil {
		return nil, problem
	}
	for _, s := range missing {
		// One of ours that says something else.
		for _, old := range all.own() {
			if old.String() != s.String() {
				continue
			}
			if problem := c.take(ctx, old); problem != nil {
				return nil, problem
			}
		}
		if problem := c.add(ctx, s); problem != nil {
			return nil, problem
		}
	}
	return missing, nil
}

// continued reports whether a file ends within a line, so that git would write
// into that.
func continued(text string) bool {
	return (len(text)-len(strings.TrimRight(text, `\`)))%2 == 1
}

// remember writes down what Remove will have to know. Whatever it is, it comes
// before the change itself.
func (c *Config) remember(ctx context.Context, all entries, missing []Section) error {
	text, there, problem := c.read()
	if problem != nil {
		return problem
	}
	var lines []Line
	switch {
	case len(all.own()) > 0:
	case !there:
		lines = append(lines, Line{memoCreated, "true"})
	case text != "" && !strings.HasSuffix(text, "\n"):
		lines = append(lines, Line{memoEnd, strconv.Itoa(len(text))})
	}
	for _, s := range missing {
		for _, line := range s.Lines {
			switch s.Name {
			case urlSection:
				lines = append(lines, Line{memoRewrote, s.Sub + " " + line.Value})
			case userSection:
				lines = append(lines, line)
			}
		}
	}
	for _, line := range lines {
		if all.has(memo, line) {
			continue
		}
		if problem := c.write(ctx, "--add", memo.String()+"."+line.Key, line.Value); problem != nil {
			return problem
		}
	}
	return nil
}

// add writes one section at the end of the file.
func (c *Config) add(ctx context.Context, s Section) (problem error) {
	text, _, problem := c.read()
	if problem != nil {
		return problem
	}
	name := s.String()
	if s.headers(text) > 0 {
		name = s.capital().String()
	}
	draft := Section{Name: memo.Name, Sub: draftPrefix + rand.Text()}.String()
	begun := false
	defer func() {
		if problem != nil && begun {
			// The context may be over. What stays all the same means nothing to
			// git, and Remove takes it.
			_, _ = c.call(context.WithoutCancel(ctx), "--remove-section", draft)
		}
	}()
	for _, line := range s.Lines {
		if problem := c.write(ctx, "--add", draft+"."+line.Key, line.Value); problem != nil {
			return problem
		}
		begun = true
	}
	return c.write(ctx, "--rename-section", draft, name)
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
// part. When nothing of it is left, the file is as it was before,
// or gone if there was none; whatever others have changed since stays.
func (c *Config) Remove(ctx context.Context, only Part) ([]Section, error) {
	all, problem := c.entries(ctx)
	if problem != nil {
		return nil, problem
	}
	wanted, kept := divide(all.own(), only)
	for _, s := range wanted {
		if problem := c.take(ctx, s); problem != nil {
			return nil, problem
		}
	}
	if kept {
		return wanted, nil
	}
	return wanted, c.forget(ctx, all)
}

// divide gives the sections that are to go, and whether others are to stay. The
// identity goes with the last instance.
func divide(sections []Section, only Part) (wanted []Section, kept bool) {
	if only == (Part{}) {
		return sections, false
	}
	for _, s := range sections {
		switch {
		case only.has(s):
			wanted = append(wanted, s)
		case s.Name != userSection:
			kept = true
		}
	}
	if !kept {
		wanted = sections
	}
	return wanted, kept
}

// take takes a section of ours out. If it stands there as it was written, it
// goes whole; else only the lines that were written do.
func (c *Config) take(ctx context.Context, s Section) error {
	gone, problem := c.takeWhole(ctx, s)
	if problem != nil {
		return problem
	}
	all, problem := c.entries(ctx)
	if problem != nil {
		return problem
	}
	// A helper may stand there once more, and not alone; a rule that does is
	// somebody else's.
	if gone && (s.Name != credentialSection || !all.has(s, s.Lines[1])) {
		return nil
	}
	if all.mistakable(s) {
		return message.SectionShared(s.String(), c.path)
	}
	for _, line := range s.Lines {
		// git unsets nothing when there are several such lines, which is right
		// unless they are ours beyond doubt.
		unset := "--unset"
		if own(line.Value, s.Sub) {
			unset = "--unset-all"
		}
		r, problem := c.call(ctx, unset, s.String()+"."+line.Key, "^"+regexp.QuoteMeta(line.Value)+"$")
		switch {
		case problem != nil:
			return problem
		case r.Code != 0 && r.Code != codeUnset:
			return message.GitFailed(r.Words)
		}
	}
	// git leaves the header where there is a comment near it.
	_, problem = c.takeWhole(ctx, Section{Name: s.Name, Sub: s.Sub})
	return problem
}

// takeWhole removes a section if it stands in the file just as it was written:
// in both spellings, since several programs may have written it at once. Of
// headers without a line, only one is ours.
func (c *Config) takeWhole(ctx context.Context, s Section) (gone bool, problem error) {
	text, _, problem := c.read()
	if problem != nil {
		return false, problem
	}
	for _, s := range []Section{s.capital(), s} {
		if !s.standsWhole(text) || gone && len(s.Lines) == 0 {
			continue
		}
		if strings.Contains(s.Sub, "]") {
			// git takes that for the end of the name, and finds no such section.
			problem = c.cut(ctx, s)
		} else {
			problem = c.write(ctx, "--remove-section", s.String())
		}
		if problem != nil {
			return gone, problem
		}
		gone = true
	}
	return gone, nil
}

// forget takes out what was written for Remove alone, and has the file end as
// it did before.
func (c *Config) forget(ctx context.Context, all entries) error {
	note := memo
	for _, entry := range all {
		if key, found := strings.CutPrefix(entry[0], memo.String()+"."); found {
			note.Lines = append(note.Lines, Line{key, entry[1]})
		}
	}
	if len(note.Lines) > 0 {
		if problem := c.take(ctx, note); problem != nil {
			return problem
		}
	}
	for _, draft := range all.left() {
		if problem := c.write(ctx, "--remove-section", draft.String()); problem != nil {
			return problem
		}
	}
	end, _ := strconv.Atoi(last(all.values(memo, memoEnd)))
	return c.restore(ctx, last(all.values(memo, memoCreated)) == "true", end)
}

// restore has the file end as it did before, which git's program can't: without
// a line feed after end bytes, or not be there at all.
func (c *Config) restore(ctx context.Context, created bool, end int) error {
	if !created && end == 0 {
		return nil
	}
	return c.edit(ctx, func(text, target, lock string) error {
		switch {
		case created && text == "":
			return os.Remove(target)
		case end > 0 && text[min(end, len(text)):] == "\n":
			return replace(target, lock, text[:end])
		}
		return nil
	})
}

// cut takes out a section that stands whole.
func (c *Config) cut(ctx context.Context, s Section) error {
	return c.edit(ctx, func(text, target, lock string) error {
		if !s.standsWhole(text) {
			return nil // somebody else was faster
		}
		return replace(target, lock, strings.ReplaceAll(text, s.text(), ""))
	})
}

// edit changes the file in a way that git's program can't, and does that as git
// does: under git's lock and in one step, and on what is there by then.
func (c *Config) edit(ctx context.Context, change func(text, target, lock string) error) error {
	target := c.target()
	lock, problem := c.lock(ctx, target)
	if problem != nil {
		return problem
	}
	defer func() { _ = os.Remove(lock) }() // it is gone if it became the file
	text, there, problem := c.read()
	if problem != nil || !there {
		return problem
	}
	if err := change(text, target, lock); err != nil {
		return message.GitConfigUnwritable(c.path, file.Cause(err))
	}
	return nil
}

// replace puts a text in the place of a file, by way of its lock.
func replace(target, lock, text string) error {
	info, err := os.Stat(target)
	if err == nil {
		err = errors.Join(os.WriteFile(lock, []byte(text), 0), os.Chmod(lock, info.Mode().Perm()))
	}
	if err == nil {
		err = os.Rename(lock, target)
	}
	return err
}

// write has git change the file.
func (c *Config) write(ctx context.Context, args ...string) error {
	r, problem := c.call(ctx, args...)
	if problem == nil && r.Code != 0 {
		problem = message.GitFailed(r.Words)
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
			return r, message.GitConfigUnwritable(c.path, why)
		}
		if time.Now().Before(end) {
			continue
		}
		lock := c.target() + lockSuffix
		if _, err := os.Lstat(lock); err != nil {
			return r, message.GitConfigUnwritable(c.path, "git can't make "+lock)
		}
		return r, message.GitConfigLocked(lock)
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

// lock takes git's lock on a file, and names it.
func (c *Config) lock(ctx context.Context, target string) (string, error) {
	name := target + lockSuffix
	for end := time.Now().Add(lockWait); ; time.Sleep(lockPoll) {
		lock, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // git's lock, beside git's file
		switch {
		case err == nil:
			_ = lock.Close() // nothing was written to it
			return name, nil
		case !errors.Is(err, fs.ErrExist):
			return "", message.GitConfigUnwritable(c.path, file.Cause(err))
		case time.Now().After(end) || ctx.Err() != nil:
			return "", message.GitConfigLocked(name)
		}
	}
}

// target is the file itself, where the path is a link.
func (c *Config) target() string {
	if target, err := filepath.EvalSymlinks(c.path); err == nil {
		return target
	}
	return c.path
}
