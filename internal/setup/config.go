package setup

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
	"github.com/ambient-code/git-credential-acp/internal/instance"
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
// git's file gets a section of one line at the end, after everything that is there. Our file
// is replaced as a whole.
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
	// A rename would replace a device by a file.
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

// includeValue is the value of include.path for our file: relative, so that both files can be
// moved together. git expands ~ and %(prefix) at its beginning.
func (c *Config) includeValue() string {
	name := filepath.Base(c.path) + "-acp"
	if strings.HasPrefix(name, "~") || strings.HasPrefix(name, "%") {
		return "./" + name
	}
	return name
}

// include is the section of git's file that includes ours.
func (c *Config) include() Section {
	return Section{Name: "include", Lines: []Line{{"path", c.includeValue()}}}
}

func (c *Config) ours() string { return filepath.Join(filepath.Dir(c.path), c.includeValue()) }

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
		mine := s.Name == urlSection || s.Name == httpSection || s.records() || s.resets() ||
			s.IsHelper() && slices.ContainsFunc(s.Lines, func(line Line) bool { return own(line.Value, s.Sub) })
		return !mine
	}), string(data), problem
}

func (c *Config) included(ctx context.Context) (bool, error) {
	values, problem := c.list(ctx, string(c.scope), "--get-all", includeKey)
	return slices.Contains(values, c.includeValue()), problem
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
	sections, added, problem := c.direct(ctx, sections)
	if problem != nil {
		return false, problem
	}
	if problem := proxyTaken(old, sections); problem != nil {
		return false, problem
	}
	wanted := merge(old, withSSH(old, sections))
	if header+File(wanted) != written {
		changed = true
		if problem := c.save(wanted); problem != nil {
			return false, problem
		}
	}
	if included && len(added) == 0 {
		whole, problem := c.whole(ctx)
		if problem != nil || !slices.ContainsFunc(sections, func(s Section) bool { return s.logsIn() && !asks(whole, s) }) {
			return changed, problem
		}
	}
	// The include must be last.
	return true, c.edit(ctx, false, func(text string) string {
		for _, s := range append(added, c.include()) {
			text = appended(cut(text, s), s)
		}
		return text
	})
}

// proxyTaken is the error for a proxy that another instance uses already: serve has one only.
func proxyTaken(old, sections []Section) error {
	for _, s := range sections {
		for _, have := range old {
			proxy, instance := s.proxied()
			if used, other := have.proxied(); proxy != "" && proxy == used && instance != other {
				return errProxyAmbiguous(proxy, other, instance)
			}
		}
	}
	return nil
}

// proxied are the URLs of serve, without a path, and of the instance that is reached through
// it; "" if a section is not such a rule.
func (s Section) proxied() (proxy, instance string) {
	at, err := url.Parse(s.Sub)
	if s.Name != urlSection || err != nil || at.Scheme != "http" || !strings.HasPrefix(s.Lines[0].Value, "https://") {
		return "", ""
	}
	return at.Scheme + "://" + at.Host, strings.TrimSuffix(s.Lines[0].Value, "/")
}

// direct takes out what has to be in git's file itself, where users change it: an identity, since
// that of an include would override theirs, and for Closed an empty credential.helper, which
// what git config sets there later replaces. Otherwise, that would come after the include,
// and git would ask it for every host. What is there already is not added. kept are the
// other sections, with records of what is added, by which Remove finds it.
func (c *Config) direct(ctx context.Context, sections []Section) (kept, added []Section, problem error) {
	record := Section{Name: recordSection}
	if len(sections) > 0 && !exists(c.path) {
		record.Lines = append(record.Lines, keyCreated)
	}
	wanted := slices.DeleteFunc(slices.Clone(sections), func(s Section) bool { return s.Name != userSection })
	if slices.ContainsFunc(sections, Section.Closes) {
		wanted = append(wanted, reserved)
	}
	who := identity
	for _, s := range wanted {
		from := "--no-includes"
		if s.Name == userSection {
			from = "--includes"
		}
		for _, line := range s.Lines {
			there, problem := c.list(ctx, string(c.scope), from, "--get-all", s.Name+"."+line.Key)
			switch {
			case problem != nil:
				return nil, nil, problem
			case len(there) > 0:
				continue
			case s.Name == userSection:
				who.Lines = append(who.Lines, line)
			default:
				record.Lines = append(record.Lines, keyReserved)
			}
			added = append(added, Section{Name: s.Name, Lines: []Line{line}})
		}
	}
	kept = slices.DeleteFunc(slices.Clone(sections), func(s Section) bool { return s.Name == userSection })
	return append(kept, who, record), added, nil
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
// records, which are added to. A URL below another one comes after it, since
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
		case s.records():
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
// elsewhere: to another proxy, or to one where a helper is asked now, or the other way
// round. git would use the first of two such rules.
func (s Section) replaces(have Section) bool {
	switch {
	case s.resets() && s.Sub != "" && have.belongsTo(s.Sub):
		return true
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

// identity and recordSection are sections of our file that record what was written to git's
// own. Git ignores them.
var identity = Section{Name: userSection, Sub: "acp-setup"}

const recordSection = "acp-setup"

// reserved is the empty credential.helper in git's file, and keyReserved records it. keyCreated
// records that there was no such file before.
var (
	reserved    = Section{Name: credentialSection, Lines: []Line{{keyHelper, ""}}}
	keyReserved = Line{"reserved", "true"}
	keyCreated  = Line{"created", "true"}
)

// records reports whether a section only records what is in git's file.
func (s Section) records() bool { return s.Name == recordSection || s.String() == identity.String() }

// continued reports whether a file ends within a line, to which git would append.
func continued(text string) bool {
	return (len(text)-len(strings.TrimRight(text, `\`)))%2 == 1
}

// Part is what Remove removes: everything for an instance, or only for the URL of a group
// or project, or for what At is the URL of. The zero value is everything.
type Part struct {
	Instance, URL string
	At            credential.Request
}

// resolved is the part with what At means, among the instances of sections. It is false if At is
// on none of them.
func (p Part) resolved(sections []Section) (Part, bool) {
	if p.At.Host == "" {
		return p, true
	}
	plan := Plan{At: p.At}
	for _, s := range sections {
		for _, line := range s.Lines {
			if i, err := instance.Parse(instanceOf(line.Value), true); err == nil {
				plan.Instances = append(plan.Instances, i)
			}
		}
	}
	i, url, problem := plan.part()
	if url == "" {
		return Part{Instance: i.URL()}, problem == nil
	}
	return Part{URL: url}, problem == nil
}

// has reports whether a section belongs to the part.
func (p Part) has(s Section) bool {
	switch {
	case p.URL != "":
		return s.IsHelper() && (s.Sub == p.URL || s.Sub == p.URL+repositoryEnd)
	case s.IsHelper():
		return s.belongsTo(p.Instance)
	}
	return s.Sub == p.Instance || s.Sub == p.Instance+"/" || slices.Contains(s.Lines, Line{keyInstead, p.Instance + "/"})
}

// belongsTo reports whether a section names this helper for an instance.
func (s Section) belongsTo(instance string) bool {
	return s.IsHelper() && slices.ContainsFunc(s.Lines, func(line Line) bool { return line.Key == keyHelper && instanceOf(line.Value) == instance })
}

// Remove removes the part of what Write wrote, and returns it. The rest of git's file is
// not changed.
func (c *Config) Remove(ctx context.Context, only Part) (removed []Section, problem error) {
	old, _, problem := c.sections(ctx)
	if problem != nil {
		return nil, problem
	}
	only, known := only.resolved(old)
	wanted, kept := divide(old, only)
	if !known || len(wanted) == 0 {
		return nil, nil
	}
	var added []Section
	created := false
	for _, s := range wanted {
		switch {
		case s.String() == identity.String():
			for _, line := range s.Lines {
				added = append(added, Section{Name: userSection, Lines: []Line{line}})
			}
			removed = append(removed, Section{Name: userSection, Lines: s.Lines})
		case s.Name != recordSection:
			removed = append(removed, s)
		default:
			created = slices.Contains(s.Lines, keyCreated)
			if slices.Contains(s.Lines, keyReserved) {
				added = append(added, reserved)
			}
		}
	}
	if len(kept) == 0 {
		added = append(added, c.include())
		problem = c.edit(ctx, created, func(text string) string {
			for _, s := range added {
				text = cut(text, s)
			}
			return text
		})
		if problem == nil {
			problem = c.unlink(ctx)
		}
	}
	if problem != nil {
		return nil, problem
	}
	return removed, c.save(kept)
}

// unlink removes includes of our file that users have changed the form of.
func (c *Config) unlink(ctx context.Context) error {
	included, problem := c.included(ctx)
	if problem != nil || !included {
		return problem
	}
	_, problem = c.list(ctx, string(c.scope), "--unset-all", includeKey, "^"+regexp.QuoteMeta(c.includeValue())+"$")
	return problem
}

// divide splits sections into those to remove and those to keep. What belongs to no
// instance, such as the identity, is removed with the last instance.
func divide(sections []Section, only Part) (wanted, kept []Section) {
	for _, s := range sections {
		if only.Instance == "" && only.URL == "" || only.has(s) {
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

const (
	// lockWait is how long to wait for another program's lock, which is held only while
	// writing a small file.
	lockWait   = time.Second
	lockPoll   = 20 * time.Millisecond
	lockSuffix = ".lock"
)

// lock creates git's lock file, in which the new text is written (git's lockfile.h).
func (c *Config) lock(ctx context.Context) (*os.File, error) {
	path := c.target() + lockSuffix
	for end := time.Now().Add(lockWait); ; time.Sleep(lockPoll) {
		lock, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666) //nolint:gosec // as git does
		switch {
		case err == nil:
			return lock, nil
		case !errors.Is(err, fs.ErrExist):
			return nil, errGitConfigUnwritable(c.path, file.Cause(err))
		case ctx.Err() != nil || time.Now().After(end):
			return nil, errGitConfigLocked(path)
		}
	}
}

// edit changes git's file as git itself does. If nothing is left, the file is removed if it was
// created by setup.
func (c *Config) edit(ctx context.Context, created bool, change func(text string) string) error {
	lock, problem := c.lock(ctx)
	if problem != nil {
		return problem
	}
	abandon := func() { _ = errors.Join(lock.Close(), os.Remove(lock.Name())) }
	text, problem := c.read()
	if problem != nil {
		abandon()
		return problem
	}
	changed := change(text)
	switch {
	case changed == "" && created:
		err := os.Remove(c.target())
		abandon()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return errGitConfigUnwritable(c.path, file.Cause(err))
		}
		return nil
	case changed == text:
		abandon()
		return nil
	}
	_, err := lock.WriteString(changed)
	if info, missing := os.Stat(c.path); missing == nil {
		err = errors.Join(err, lock.Chmod(info.Mode().Perm()))
	}
	if err = errors.Join(err, lock.Close()); err == nil {
		err = os.Rename(lock.Name(), c.target())
	}
	if err != nil {
		abandon()
		return errGitConfigUnwritable(c.path, file.Cause(err))
	}
	return nil
}

// appended adds a section at the end of a file. One without a final line break keeps that
// form, so that cut restores it.
func appended(text string, s Section) string {
	if text == "" || strings.HasSuffix(text, "\n") {
		return text + s.text()
	}
	return text + "\n" + strings.TrimSuffix(s.text(), "\n")
}

// cut removes sections of one line that appended has added, as long as they are in that form. The
// section's name stays if there is something else in the section now.
func cut(text string, s Section) string {
	block := s.text()
	name, _, _ := strings.Cut(block, "\n")
	if before, last := strings.CutSuffix("\n"+text, "\n"+strings.TrimSuffix(block, "\n")); last {
		text = strings.TrimPrefix(before, "\n")
	}
	for {
		before, after, found := strings.Cut("\n"+text, "\n"+block)
		if !found {
			return text
		}
		if !atSection(after) {
			after = name + "\n" + after
		}
		text = strings.TrimPrefix(before+"\n"+after, "\n")
	}
}

// atSection reports whether nothing but comments comes before the next section.
func atSection(text string) bool {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ";") {
			return strings.HasPrefix(line, "[")
		}
	}
	return true
}

// target is the path with symlinks resolved, also if there is no file yet.
func (c *Config) target() string {
	if target, err := filepath.EvalSymlinks(c.path); err == nil {
		return target
	}
	to, err := os.Readlink(c.path)
	switch {
	case err != nil:
		return c.path
	case filepath.IsAbs(to):
		return to
	}
	return filepath.Join(filepath.Dir(c.path), to)
}
