// Package setup builds the git configuration for an instance. It prints it in several
// formats, makes git write it, and removes exactly what was written.
package setup

import (
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ambient-code/git-credential-acp/internal/instance"
)

// Section is a section of git's configuration.
type Section struct {
	// Name is its name, and Sub the quoted subsection, "" for none.
	Name, Sub string
	Lines     []Line
}

// Line is a variable and its value. Variables are case-insensitive in git.
type Line struct{ Key, Value string }

// The names of sections.
const (
	credentialSection = "credential"
	urlSection        = "url"
	httpSection       = "http"
	userSection       = "user"
	includeSection    = "include"
)

const (
	keyHelper   = "helper"
	keyPath     = "useHttpPath"
	keyUsername = "username"
	keyInstead  = "insteadOf"
	keyProxy    = "proxy"
	keyName     = "name"
	keyEmail    = "email"
	keyIncluded = "path"
)

// Program is this helper's name in git's configuration: git runs git-credential-acp from
// the PATH.
const Program = "acp"

// fileName is the program's file name, by which an absolute path is recognized.
const fileName = "git-credential-acp"

// Helper makes git use the helper for an instance: it resets the helper list, sends the
// project's path, and sets the user name that GitLab documents for tokens. program is
// Program, or the result of AbsoluteProgram.
func Helper(i instance.Instance, program string) Section { return HelperAt(i, i.URL(), program, "") }

// HelperAt is Helper for a URL at or below the instance's. level is the value of
// --min-access, "" for none.
func HelperAt(i instance.Instance, url, program, level string) Section {
	value := program + instanceFlag + argument(i.URL())
	if level != "" {
		value += minAccessFlag + level
	}
	return helperFor(url, value)
}

// PlainHTTP makes git use the helper, and no other, for an instance over plain http, so
// that it can refuse with a message. It is false for an http instance.
func PlainHTTP(i instance.Instance, program string) (Section, bool) {
	url, secure := overHTTP(i.URL())
	return helperFor(url, program+instanceFlag+argument(i.URL())), secure
}

// overHTTP is an https URL with http instead.
func overHTTP(url string) (string, bool) {
	rest, secure := strings.CutPrefix(url, "https://")
	return "http://" + rest, secure
}

// argument is a URL quoted for the shell with which git starts a helper: the brackets of an
// IPv6 address would be a glob pattern.
func argument(url string) string {
	if strings.Trim(url, plainInShell) == "" {
		return url
	}
	return "'" + url + "'"
}

func helperFor(url, value string) Section {
	s := Section{Name: credentialSection, Sub: url, Lines: []Line{{keyHelper, ""}, {keyHelper, value}}}
	if !s.Refuses() {
		s.Lines = append(s.Lines, Line{keyPath, "true"}, Line{keyUsername, username})
	}
	return s
}

// IsHelper reports whether a section is one that Helper or PlainHTTP made.
func (s Section) IsHelper() bool {
	return s.Name == credentialSection && slices.ContainsFunc(s.Lines, func(line Line) bool { return instanceOf(line.Value) != "" })
}

// Refuses reports whether a section is one that PlainHTTP made.
func (s Section) Refuses() bool {
	return s.IsHelper() && slices.ContainsFunc(s.Lines, func(line Line) bool {
		refused, secure := overHTTP(instanceOf(line.Value))
		return secure && s.Sub == refused
	})
}

const (
	instanceFlag  = " --instance "
	minAccessFlag = " --min-access "
	username      = "oauth2"
)

// repositoryEnd is the optional suffix of a repository's URL. git compares whole path
// segments, so both forms need a section.
const repositoryEnd = ".git"

// HelpersBelow are the sections for a group or project with its own minimum access level.
func HelpersBelow(i instance.Instance, url, program, level string) []Section {
	return []Section{HelperAt(i, url, program, level), HelperAt(i, url+repositoryEnd, program, level)}
}

// AbsoluteProgram is a helper's path for git's configuration, with backslashes before
// characters that are special in the shell with which git runs it.
func AbsoluteProgram(file string) (string, error) {
	if !filepath.IsAbs(file) || !isProgram(filepath.ToSlash(file)) {
		return "", errors.New("takes an absolute path that ends in " + fileName)
	}
	if !utf8.ValidString(file) {
		return "", errors.New("takes a path in UTF-8")
	}
	var out strings.Builder
	for _, r := range filepath.ToSlash(file) {
		switch {
		case r < ' ' || r == 0x7f:
			return "", errors.New("takes a path without control characters")
		case r < 0x80 && !strings.ContainsRune(plainInShell, r):
			out.WriteByte('\\')
		}
		out.WriteRune(r)
	}
	return out.String(), nil
}

// plainInShell are the ASCII characters that are not special in a shell.
const plainInShell = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._+:@%,=-"

func isProgram(file string) bool {
	return strings.HasSuffix(file, "/"+fileName) || strings.HasSuffix(file, "/"+fileName+".exe")
}

// MinAccess is the value of --min-access on a helper's command line; false if it has none,
// or if it is another program's.
func MinAccess(helper string) (level string, set bool) {
	const space = "\x00" // replaces an escaped space
	words := strings.Fields(strings.ReplaceAll(strings.TrimPrefix(helper, "!"), `\ `, space))
	if len(words) == 0 || words[0] != fileName && !isOurs(strings.ReplaceAll(words[0], space, " ")) {
		return "", false
	}
	for n, word := range words[1:] {
		name, value, joined := strings.Cut(word, "=")
		switch {
		case name != strings.TrimSpace(minAccessFlag):
		case joined:
			level, set = value, true
		case n+2 < len(words):
			level, set = words[n+2], true
		}
	}
	return level, set
}

// own reports whether a helper's value in the section for a URL was made by Helper or
// PlainHTTP.
func own(value, url string) bool {
	program, _, _ := strings.Cut(value, instanceFlag)
	i := instanceOf(value)
	refused, secure := overHTTP(i)
	return i != "" && isOurs(program) && (strings.HasPrefix(url+"/", i+"/") || secure && url == refused)
}

// instanceOf is the instance's URL in a helper's value; "" for none.
func instanceOf(value string) string {
	_, rest, _ := strings.Cut(value, instanceFlag)
	url, _, _ := strings.Cut(rest, minAccessFlag)
	return strings.Trim(url, "'")
}

// sshPort is ssh's default port.
const sshPort = 22

// Rewrite makes git use https for an instance's ssh addresses (GitLab's ssh_path_prefix):
// git@host: for the default port, which the short form can't contain, and
// ssh://git@host:port/ for another. They don't contain the port and the path of the
// instance's https URL. port 0 is the default.
func Rewrite(i instance.Instance, port int) Section {
	s := Section{Name: urlSection, Sub: i.URL() + "/"}
	for _, from := range sshForms(i, port) {
		s.Lines = append(s.Lines, Line{keyInstead, from})
	}
	return s
}

func sshForms(i instance.Instance, port int) []string {
	host := i.Hostname()
	forms := []string{"git@" + host + ":", "ssh://git@" + host + "/"}
	if bare := strings.Trim(host, "[]"); bare != host {
		forms = append(forms, "[git@"+bare+"]:")
	}
	if port != 0 && port != sshPort {
		forms = append(forms, "ssh://git@"+host+":"+strconv.Itoa(port)+"/")
	}
	return forms
}

// IdentityKeys are git's settings for the author of commits.
func IdentityKeys() []string {
	return []string{userSection + "." + keyName, userSection + "." + keyEmail}
}

// Identity is the section that sets keys, of IdentityKeys, to name and email. The error is
// for a value with angle brackets or control characters, which git does not allow (its
// ident.c).
func Identity(name, email string, keys []string) (Section, error) {
	s := Section{Name: userSection}
	for _, line := range []Line{{keyName, strings.TrimSpace(name)}, {keyEmail, strings.TrimSpace(email)}} {
		if !slices.Contains(keys, s.Name+"."+line.Key) {
			continue
		}
		if line.Value == "" || len(line.Value) > maxIdentity || !utf8.ValidString(line.Value) || strings.ContainsFunc(line.Value, unfit) ||
			line.Key == keyEmail && (!strings.Contains(line.Value, "@") || strings.Contains(line.Value, " ")) {
			return Section{}, errors.New("unusable " + line.Key)
		}
		s.Lines = append(s.Lines, line)
	}
	return s, nil
}

// maxIdentity is the longest name or address in bytes.
const maxIdentity = 1024

func unfit(r rune) bool {
	return r == '<' || r == '>' || unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
}

// Keys are the keys of a section's lines, without duplicates.
func (s Section) Keys() []string {
	var keys []string
	for _, line := range s.Lines {
		if key := s.String() + "." + line.Key; !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// String is the section's name as in git config.
func (s Section) String() string {
	if s.Sub == "" {
		return s.Name
	}
	return s.Name + "." + s.Sub
}
