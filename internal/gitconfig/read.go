package gitconfig

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/ambient-code/git-credential-acp/internal/file"
)

// reader is one walk through the configuration of a place.
type reader struct {
	place  Place
	keep   func(Entry) bool
	config Config
	// files counts what was read, depth how far down the current file is.
	files, depth int
	// worktrees is extensions.worktreeConfig of the repository.
	worktrees bool
}

// read walks through the configuration in git's order (config.c,
// do_git_config_sequence) and keeps what is asked for.
func (p Place) read(keep func(Entry) bool) Config {
	r := &reader{place: p, keep: keep}
	if p.System != "" {
		r.file(System, p.System)
	}
	for _, name := range p.Global {
		r.file(Global, name)
	}
	if dir, found := p.repository(); found {
		r.file(Local, filepath.Join(common(dir), "config"))
		if r.worktrees {
			r.file(Worktree, filepath.Join(dir, "config.worktree"))
		}
	}
	r.environment()
	return r.config
}

func (r *reader) skip(s Skipped) {
	if len(r.config.Skipped) < maxSkipped {
		r.config.Skipped = append(r.config.Skipped, s)
	}
}

// file reads a file, whole or not at all; one that doesn't exist is nothing to
// speak of.
func (r *reader) file(scope Scope, name string) {
	if name == os.DevNull {
		return
	}
	if r.files++; r.files > maxFiles || r.depth > maxDepth {
		r.skip(Skipped{Scope: scope, Origin: name, Why: ErrTooMany})
		return
	}
	data, err := file.Read(name, maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return
	case err != nil:
		r.skip(Skipped{Scope: scope, Origin: name, Why: cause(err)})
		return
	}
	entries, err := parse(data, scope, name, func(e Entry) bool { return r.keep(e) || steers(e) })
	if err != nil {
		r.skip(Skipped{Scope: scope, Origin: name, Why: err})
		return
	}
	r.depth++
	for _, e := range entries {
		r.add(e)
	}
	r.depth--
}

// steers reports an entry that says what else is read.
func steers(e Entry) bool {
	return e.Key == "path" && (e.Section == "include" || e.Section == "includeif") ||
		e.Section == "extensions" && e.Key == "worktreeconfig"
}

// cause is what was wrong with a file, without its path.
func cause(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// add keeps an entry, and follows it if it includes a file, which then stands
// behind it.
func (r *reader) add(e Entry) {
	if r.keep(e) {
		r.config.Entries = append(r.config.Entries, e)
	}
	_, inner := e.Subsection()
	switch {
	case e.Section == "include" && e.Key == "path" && !inner:
		r.include(e)
	case e.Section == "includeif" && e.Key == "path" && inner:
		r.skip(Skipped{Scope: e.Scope, Origin: e.Origin, Include: e.Name(), Path: e.Value(), Why: ErrConditional})
	case e.Section == "extensions" && e.Key == "worktreeconfig" && !inner && e.Scope == Local:
		r.worktrees = e.Bool()
	}
}

func (r *reader) include(e Entry) {
	skipped := Skipped{Scope: e.Scope, Origin: e.Origin, Include: e.Name(), Path: e.Value()}
	if !e.Scope.Trusted() {
		skipped.Why = ErrUntrusted
		r.skip(skipped)
		return
	}
	name, err := r.place.Expand(e.Value())
	if err == nil && !filepath.IsAbs(name) {
		if r.depth == 0 {
			err = ErrRelative
		}
		name = filepath.Join(filepath.Dir(e.Origin), name)
	}
	if err != nil {
		skipped.Why = err
		r.skip(skipped)
		return
	}
	r.file(e.Scope, name)
}

// Names of what the configuration of the environment comes from.
const (
	pairOrigin       = "GIT_CONFIG_KEY_"
	parametersOrigin = "GIT_CONFIG_PARAMETERS"
)

// environment reads what stands in the environment (config.c,
// git_config_from_parameters).
func (r *reader) environment() {
	for n, pair := range r.place.Pairs {
		r.variable(pairOrigin+strconv.Itoa(n), pair[0], pair[1], false)
	}
	parameters, err := dequote(r.place.Parameters)
	if err != nil {
		r.skip(Skipped{Scope: Command, Origin: parametersOrigin, Why: err})
	}
	for _, p := range parameters {
		r.variable(parametersOrigin, p.key, p.value, p.implicit)
	}
}

// variable adds a setting whose name is section.key or section.subsection.key.
func (r *reader) variable(origin, name, value string, implicit bool) {
	first, last := strings.IndexByte(name, '.'), strings.LastIndexByte(name, '.')
	if first <= 0 || last == len(name)-1 {
		r.skip(Skipped{Scope: Command, Origin: origin, Why: ErrBroken})
		return
	}
	t := &text{value: value, implicit: implicit, inSubsection: first < last}
	if t.inSubsection {
		t.subsection = name[first+1 : last]
	}
	r.add(Entry{Scope: Command, Origin: origin, Section: lower(name[:first]), Key: lower(name[last+1:]), text: t})
}

// parameter is one of GIT_CONFIG_PARAMETERS.
type parameter struct {
	key, value string
	implicit   bool
}

// dequote reads GIT_CONFIG_PARAMETERS: 'key'='value', or 'key'= for one without
// a value, with spaces between them; or, from a git before 2.31, 'key=value'.
func dequote(list string) ([]parameter, error) {
	var all []parameter
	for rest := strings.TrimLeft(list, spaces); rest != ""; rest = strings.TrimLeft(rest, spaces) {
		var p parameter
		var ok bool
		if p.key, rest, ok = unquote(rest); !ok {
			return nil, ErrBroken
		}
		switch after, assigned := strings.CutPrefix(rest, "="); {
		case !assigned:
			key, value, found := strings.Cut(p.key, "=")
			p = parameter{key: key, value: value, implicit: !found}
		case after == "" || strings.ContainsRune(spaces, rune(after[0])):
			p.implicit, rest = true, after
		default:
			if p.value, rest, ok = unquote(after); !ok {
				return nil, ErrBroken
			}
		}
		if rest != "" && !strings.ContainsRune(spaces, rune(rest[0])) {
			return nil, ErrBroken
		}
		all = append(all, p)
	}
	return all, nil
}

const spaces = " \t\n\r"

// unquote reads one text that git's quote.c has quoted for a shell: in single
// quotes, outside of which only \' and \! may stand.
func unquote(text string) (value, rest string, ok bool) {
	var out strings.Builder
	rest = text
	for {
		inner, found := strings.CutPrefix(rest, "'")
		if !found {
			return "", "", false
		}
		end := strings.IndexByte(inner, '\'')
		if end < 0 {
			return "", "", false
		}
		out.WriteString(inner[:end])
		rest = inner[end+1:]
		if len(rest) < 3 || rest[0] != '\\' || rest[1] != '\'' && rest[1] != '!' || rest[2] != '\'' {
			return out.String(), rest, true
		}
		out.WriteByte(rest[1])
		rest = rest[2:]
	}
}
