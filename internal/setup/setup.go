// Package setup builds the git configuration for an instance. It prints it in
// several forms, lets git write it, and removes exactly what was written.
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
	// Name is what it begins with, and Sub what stands in quotes after that, ""
	// for none.
	Name, Sub string
	Lines     []Line
}

// Line is a variable and its value. git knows a variable in any letter case.
type Line struct{ Key, Value string }

// The sections that are written.
const (
	credentialSection = "credential"
	urlSection        = "url"
	userSection       = "user"
)

const (
	keyHelper   = "helper"
	keyPath     = "useHttpPath"
	keyUsername = "username"
	keyInstead  = "insteadOf"
	keyName     = "name"
	keyEmail    = "email"
)

// Program is how git finds this helper by itself: git credential-acp, on the
// PATH.
const Program = "acp"

// fileName is the program's own name, by which an absolute path is known.
const fileName = "git-credential-acp"

// Helper makes git ask the helper for an instance: after forgetting the helpers
// that were named before, with the project's path, and under the user name that
// GitLab's documentation gives for tokens. program is Program, or what
// AbsoluteProgram returned.
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

// PlainHTTP makes git ask the helper, and no other, for an instance over plain
// http, so that it refuses in words. It is false for an instance that is http
// itself.
func PlainHTTP(i instance.Instance, program string) (Section, bool) {
	url, secure := overHTTP(i.URL())
	return helperFor(url, program+instanceFlag+argument(i.URL())), secure
}

// overHTTP is an https URL with http instead.
func overHTTP(url string) (string, bool) {
	rest, secure := strings.CutPrefix(url, "https://")
	return "http://" + rest, secure
}

// argument is a URL as a shell, through which git starts a helper, takes it as it
// is: the brackets of an IPv6 address would be looked up among the files of the
// repository.
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

// repositoryEnd is what the address of a project's repository may have behind that of
// the project. git compares whole segments of a path, so each needs a section.
const repositoryEnd = ".git"

// HelpersBelow are the sections for a group or project on an instance, with a
// minimum access level of its own.
func HelpersBelow(i instance.Instance, url, program, level string) []Section {
	return []Section{HelperAt(i, url, program, level), HelperAt(i, url+repositoryEnd, program, level)}
}

// AbsoluteProgram is a helper that is named by its path, as git wants it: git
// hands it to a shell, so what a shell would read as more than a letter gets a
// backslash.
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

// plainInShell are the ASCII characters that a shell takes as they are.
const plainInShell = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._+:@%,=-"

func isProgram(file string) bool {
	return strings.HasSuffix(file, "/"+fileName) || strings.HasSuffix(file, "/"+fileName+".exe")
}

// MinAccess is the value of --min-access on a helper's command line; false when it
// has none, or is the command line of another program.
func MinAccess(helper string) (level string, set bool) {
	const space = "\x00" // one that a backslash makes part of a word
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

// own reports whether a helper's value in the section for a URL is one that Helper or
// PlainHTTP made.
func own(value, url string) bool {
	program, _, _ := strings.Cut(value, instanceFlag)
	i := instanceOf(value)
	refused, secure := overHTTP(i)
	return i != "" && isOurs(program) && (strings.HasPrefix(url+"/", i+"/") || secure && url == refused)
}

// instanceOf is the URL of the instance that a helper's value names last but for
// --min-access; "" when it names none.
func instanceOf(value string) string {
	_, rest, _ := strings.Cut(value, instanceFlag)
	url, _, _ := strings.Cut(rest, minAccessFlag)
	return strings.Trim(url, "'")
}

// sshPort is the port that ssh uses when none is named.
const sshPort = 22

// Rewrite makes git use https for the addresses under which GitLab offers the
// projects of an instance for ssh (its ssh_path_prefix): git@host: for the usual
// port, which the short form can't name, and ssh://git@host:port/ for another.
// The port and the path of the instance's own URL are https's and have no part
// in them. port 0 is the usual one.
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

// IdentityKeys are the keys by which git knows who makes commits.
func IdentityKeys() []string {
	return []string{userSection + "." + keyName, userSection + "." + keyEmail}
}

// Identity has those of IdentityKeys that are wanted say who makes commits. The
// error says that a value can't stand in one, in which git wants neither angle
// brackets nor control characters (its ident.c).
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

// maxIdentity is as long as GitLab lets names and addresses be, in bytes.
const maxIdentity = 1024

func unfit(r rune) bool {
	return r == '<' || r == '>' || unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
}

// Keys are the keys of a section's lines, each once.
func (s Section) Keys() []string {
	var keys []string
	for _, line := range s.Lines {
		if key := s.String() + "." + line.Key; !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// String is the section as git's program names it.
func (s Section) String() string {
	if s.Sub == "" {
		return s.Name
	}
	return s.Name + "." + s.Sub
}
