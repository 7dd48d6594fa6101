package check

import (
	"errors"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// Target is what to check.
type Target struct {
	// Request is git's request. Without a host, there is no URL: all tokens are checked, and
	// the project of the repository in the working directory.
	Request credential.Request
	// Branch is a branch to check for pushes, "" for none.
	Branch string
}

// ParseTarget reads a repository's URL from git or a browser. Messages never show what could
// be a login in it.
func ParseTarget(raw string) (Target, error) {
	scheme, rest, found := strings.Cut(raw, "://")
	scheme = strings.ToLower(scheme)
	web := found && (scheme == "https" || scheme == "http")
	if web {
		// A page below the project, and what a browser has behind its address.
		rest, _, _ = strings.Cut(rest, "?")
		rest, _, _ = strings.Cut(rest, "#")
		rest, _, _ = strings.Cut(rest+"/", "/-/")
	}
	_, _, ssh := sshAddress(raw)
	host, path, _ := strings.Cut(rest, "/")
	switch {
	case token.Mask(raw) != raw, web && strings.Contains(rest, "@"), ssh && hasPassword(raw):
		return Target{}, errURLHasLogin()
	case ssh:
		return Target{}, errURLIsSSH(httpsForm(raw))
	case !web || rest == "/":
		return Target{}, message.URLInvalid("does not begin with https://")
	}
	i, err := instance.Parse("https://"+host, false)
	if err != nil {
		return Target{}, message.URLInvalid(err.Error())
	}
	path = strings.Trim(path, "/")
	project, err := i.Project(path)
	switch {
	case err != nil:
		return Target{}, message.URLInvalid("has a path that " + err.Error())
	case project != "" && !nameable(project):
		return Target{}, message.URLInvalid("has a path that can't be a project's")
	}
	return Target{Request: credential.Request{Protocol: scheme, Host: host, Path: path}}, nil
}

// ParseBranch reads the name of a branch, with or without refs/heads/ (git-check-ref-format(1)).
func ParseBranch(raw string) (string, error) {
	name := strings.TrimPrefix(raw, "refs/heads/")
	bad := name == "" || name == "@" || name == "HEAD" || strings.HasPrefix(name, "-") || strings.HasSuffix(name, ".") ||
		strings.Contains(name, "..") || strings.Contains(name, "@{") || strings.ContainsAny(name, " ~^:?*[\\") ||
		strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f })
	for part := range strings.SplitSeq(name, "/") {
		bad = bad || part == "" || strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".lock")
	}
	if bad {
		return "", errors.New("is not a valid branch name")
	}
	return name, nil
}

// nameable reports whether all parts of a project's path are valid names on GitLab (its
// reserved names and Gitlab::PathRegex).
func nameable(project string) bool {
	for part := range strings.SplitSeq(project, "/") {
		if strings.Trim(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") != "" ||
			strings.HasPrefix(part, "-") || strings.HasSuffix(part, ".") || strings.HasSuffix(part, ".git") || strings.HasSuffix(part, ".atom") {
			return false
		}
	}
	return true
}

// hasPassword reports whether something like an SSH address contains more than a user name. No
// host and no project on GitLab contains an "@".
func hasPassword(address string) bool {
	if _, rest, found := strings.Cut(address, "://"); found {
		address = rest
	}
	user, rest, found := strings.Cut(address, "@")
	return found && (strings.ContainsAny(user, ":/") || strings.Contains(rest, "@"))
}

func isSSH(scheme string) bool {
	scheme = strings.ToLower(scheme)
	return scheme == "ssh" || scheme == "git+ssh" || scheme == "ssh+git"
}

// sshAddress is the host and path of an SSH address: ssh://user@host:port/path, or git's short
// form, user@host:path.
func sshAddress(raw string) (host, path string, ok bool) {
	if scheme, rest, found := strings.Cut(raw, "://"); found {
		host, path, _ = strings.Cut(rest, "/")
		host = host[strings.LastIndexByte(host, '@')+1:]
		host, _, _ = strings.Cut(host, ":") // the port is SSH's own
		return host, path, isSSH(scheme)
	}
	host, path, found := strings.Cut(raw, ":")
	port, _, _ := strings.Cut(path, "/")
	if !found || host == "" || strings.ContainsAny(host, `/\`) || port != "" && strings.Trim(port, "0123456789") == "" {
		return "", "", false // none, or one of HTTPS whose scheme was left out
	}
	return host[strings.LastIndexByte(host, '@')+1:], path, true
}

// httpsForm is the https address for an SSH one, "" if unknown.
func httpsForm(raw string) string {
	host, path, ok := sshAddress(raw)
	i, err := instance.Parse("https://"+host, false)
	if !ok || err != nil {
		return ""
	}
	project, err := i.Project(strings.TrimPrefix(path, "/"))
	if err != nil || project == "" {
		return ""
	}
	return i.URL() + "/" + project + ".git"
}
