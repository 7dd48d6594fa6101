package setup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

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
	_, problem := readFile(c.path)
	return c, problem
}

// Path is the file's path.
func (c *Config) Path() string { return c.path }

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
	return Section{Name: includeSection, Lines: []Line{{keyIncluded, c.includeValue()}}}
}

func (c *Config) ours() string { return filepath.Join(filepath.Dir(c.path), c.includeValue()) }

// readFile returns a configuration file's text; "" if it does not exist.
func readFile(path string) (string, error) {
	data, err := file.Read(path, maxConfig)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", errGitConfigFile(path, file.Cause(err))
	}
	return string(data), nil
}

// entries are the settings that git reads in a file, none if it does not exist.
func (c *Config) entries(ctx context.Context, path string, flags ...string) (config gitconfig.Config, problem error) {
	if !exists(path) {
		return config, nil
	}
	r, problem := c.git.Run(ctx, slices.Concat([]string{"config", "--file", path}, flags, gitconfig.ListFlags)...)
	if problem == nil && r.Code != 0 {
		problem = errGitFailed(r.Words)
	}
	return gitconfig.Config{Entries: gitconfig.Parse(r.Out, "")}, problem
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// values are those of a setting without a subsection.
func values(config gitconfig.Config, section, key string) (all []string) {
	for _, e := range config.Entries {
		if _, inner := e.Subsection(); !inner && e.Section == section && e.Key == key {
			all = append(all, e.Value())
		}
	}
	return all
}

// includes reports whether settings of git's file include ours.
func (c *Config) includes(config gitconfig.Config) bool {
	return slices.Contains(values(config, includeSection, keyIncluded), c.includeValue())
}

// sections are the sections of our file that this program knows, and text is all of it.
func (c *Config) sections(ctx context.Context) (sections []Section, text string, problem error) {
	if text, problem = readFile(c.ours()); problem != nil {
		return nil, "", problem
	}
	config, problem := c.entries(ctx, c.ours())
	return slices.DeleteFunc(sectionsOf(config), func(s Section) bool {
		mine := s.Name == urlSection || s.Name == httpSection || s.records() || s.resets() ||
			s.IsHelper() && slices.ContainsFunc(s.Lines, func(line Line) bool { return own(line.Value, s.Sub) })
		return !mine
	}), text, problem
}

// Write adds sections to what was written before, and reports whether anything changed.
func (c *Config) Write(ctx context.Context, sections []Section) (changed bool, problem error) {
	if text, problem := readFile(c.path); problem != nil || continued(text) {
		if problem == nil {
			problem = errGitConfigFile(c.path, "its last line ends in a backslash, which would join it to the line that setup adds")
		}
		return false, problem
	}
	old, written, problem := c.sections(ctx)
	if problem != nil {
		return false, problem
	}
	there, problem := c.entries(ctx, c.path)
	if problem != nil {
		return false, problem
	}
	sections, added, problem := c.direct(ctx, there, sections)
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
	if c.includes(there) && len(added) == 0 {
		whole, problem := c.entries(ctx, c.path, "--includes")
		if problem != nil || asksAll(whole, sections) {
			return changed, problem
		}
	}
	// The include must be last.
	return true, editFile(ctx, c.path, false, func(text string) string {
		for _, s := range append(added, c.include()) {
			text = appended(cut(text, s), s)
		}
		return text
	})
}

// direct takes out what has to be in git's file itself, where users change it: an identity, since
// that of an include would override theirs, and for Closed an empty credential.helper, which
// what git config sets there later replaces. Otherwise, that would come after the include,
// and git would ask it for every host. What is there already is not added. kept are the
// other sections, with records of what is added, by which Remove finds it.
func (c *Config) direct(ctx context.Context, there gitconfig.Config, sections []Section) (kept, added []Section, problem error) {
	record := Section{Name: recordSection}
	if len(sections) > 0 && !exists(c.path) {
		record.Lines = append(record.Lines, keyCreated)
	}
	var wanted []Section
	if slices.ContainsFunc(sections, Section.Closes) {
		wanted = append(wanted, reserved)
	}
	for _, s := range sections {
		if s.Name == userSection {
			wanted = append(wanted, s)
		}
	}
	who := identity
	for _, s := range wanted {
		if s.Name == userSection {
			if there, problem = c.entries(ctx, c.path, "--includes"); problem != nil {
				return nil, nil, problem
			}
		}
		for _, line := range s.Lines {
			switch {
			case len(values(there, s.Name, line.Key)) > 0:
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
		problem = editFile(ctx, c.path, created, func(text string) string {
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
	there, problem := c.entries(ctx, c.path)
	if problem != nil || !c.includes(there) {
		return problem
	}
	r, problem := c.git.Run(ctx, "config", "--file", c.path, "--unset-all", includeSection+"."+keyIncluded, "^"+regexp.QuoteMeta(c.includeValue())+"$")
	if problem == nil && r.Code != 0 {
		problem = errGitFailed(r.Words)
	}
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
