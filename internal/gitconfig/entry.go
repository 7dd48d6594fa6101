package gitconfig

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// Scope is where an entry comes from, in git's order and words (git-config(1),
// --show-scope).
type Scope int

// The scopes. The zero value is not trusted.
const (
	Unknown Scope = iota
	System
	Global
	Local
	Worktree
	Command
)

// scopes are git's names for them.
var scopes = map[string]Scope{"system": System, "global": Global, "local": Local, "worktree": Worktree, "command": Command}

// String is the scope as `git config --show-scope` prints it.
func (s Scope) String() string {
	for word, scope := range scopes {
		if scope == s {
			return word
		}
	}
	return "unknown"
}

// Trusted reports whether the scope belongs to the user who runs git and not to the
// repository (git calls such scopes protected).
func (s Scope) Trusted() bool { return s == System || s == Global || s == Command }

// Entry is one setting from one place. Its subsection and value, which could be secret,
// can't be printed or encoded.
type Entry struct {
	Scope Scope
	// Origin is the file's path, or the name of the environment variable.
	Origin string
	// Section and Key are in lower case, as in git.
	Section, Key string
	text         *text
}

// text is what may contain a password or a token. Printing an Entry shows only a pointer
// to it.
type text struct {
	subsection, value string
	inSubsection      bool
	implicit          bool
}

// newEntry makes an entry from a name, section.key or section.subsection.key; false if it
// is not one.
func newEntry(scope Scope, origin, name, value string, implicit bool) (Entry, bool) {
	first, last := strings.IndexByte(name, '.'), strings.LastIndexByte(name, '.')
	if first <= 0 || last == len(name)-1 {
		return Entry{}, false
	}
	t := &text{value: value, implicit: implicit, inSubsection: first < last}
	if t.inSubsection {
		t.subsection = name[first+1 : last]
	}
	return Entry{Scope: scope, Origin: origin, Section: lower(name[:first]), Key: lower(name[last+1:]), text: t}, true
}

// fullName is the name with its subsection, which may contain a password.
func (e Entry) fullName() string {
	if sub, found := e.Subsection(); found {
		return e.Section + "." + sub + "." + e.Key
	}
	return e.Section + "." + e.Key
}

// Subsection is the part between section and key, often a URL, which may contain a
// password. The second result is false if there is none.
func (e Entry) Subsection() (string, bool) {
	if e.text == nil {
		return "", false
	}
	return e.text.subsection, e.text.inSubsection
}

// Value is the entry's value, which may be a secret.
func (e Entry) Value() string {
	if e.text == nil {
		return ""
	}
	return e.text.value
}

// Implicit reports whether the key has no "=", which means true for a boolean and is an
// error otherwise.
func (e Entry) Implicit() bool { return e.text != nil && e.text.implicit }

// Bool is the entry's value as a boolean; false if it is not one, which is an error for
// git.
func (e Entry) Bool() bool {
	value, err := ParseBool(e.Value())
	return e.Implicit() || err == nil && value
}

// Name is the setting's name for display: as git lists it, without the user and password
// of a URL in it, and quoted if it is not plain.
func (e Entry) Name() string {
	name := e.Section
	if subsection, found := e.Subsection(); found {
		name += "." + subsection
	}
	return message.Quote(token.Mask(withoutUser(name + "." + e.Key)))
}

// Format prints an entry by scope, origin and name, whatever the verb.
func (e Entry) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "%s %s: %s", e.Scope, strconv.Quote(e.Origin), e.Name())
}

// MarshalText encodes an entry as Format prints it.
func (e Entry) MarshalText() ([]byte, error) { return fmt.Append(nil, e), nil }

// errNotBool is for a text that is not a boolean for git.
var errNotBool = errors.New("it is not a boolean")

// ParseBool reads a boolean as git does (git-config(1), "Values"), including "", which is
// false, and numbers.
func ParseBool(text string) (bool, error) {
	switch lower(text) {
	case "true", "yes", "on":
		return true, nil
	case "false", "no", "off", "":
		return false, nil
	}
	digits := strings.TrimSpace(text)
	if last := len(digits) - 1; last > 0 && strings.ContainsRune("kKmMgG", rune(digits[last])) {
		digits = digits[:last]
	}
	number, err := strconv.ParseInt(digits, 0, 64)
	if err != nil {
		return false, errNotBool
	}
	return number != 0, nil
}

// Config is git's configuration.
type Config struct {
	// Entries are in git's order: for a setting with one value, the last one wins.
	Entries []Entry
	// Problem is why some of it could not be read, nil if all was: ErrNoGit if only the
	// environment's was read, otherwise git's error.
	Problem error
}

// Trusted is the configuration without the repository's own.
func (c Config) Trusted() Config {
	c.Entries = slices.DeleteFunc(slices.Clone(c.Entries), func(e Entry) bool { return !e.Scope.Trusted() })
	return c
}

// Errors of reading the configuration.
var (
	ErrNoGit  = errors.New("git is not on the PATH")
	ErrNoHome = errors.New("there is no such home directory")
)

// lower is strings.ToLower for ASCII alone, as git compares names.
func lower(text string) string {
	// Byte by byte: strings.Map would replace bytes that are not UTF-8, and change
	// the length.
	bytes := []byte(text)
	for n, b := range bytes {
		if b >= 'A' && b <= 'Z' {
			bytes[n] = b + 'a' - 'A'
		}
	}
	return string(bytes)
}
