package instance

import (
	"net/netip"
	"slices"
	"strings"
)

// Error says what is wrong with an instance URL, without quoting it.
type Error struct {
	why     string
	instead string
	whole   bool
}

// Error is the predicate of a sentence about the URL.
func (e *Error) Error() string { return e.why }

// Instead is the URL that was probably meant, "" if unknown. It contains only the URL's
// host and known paths, never a user name, a query or anything that may be a token.
// Unless whole, GitLab's own path may have to be added.
func (e *Error) Instead() (url string, whole bool) { return e.instead, e.whole }

// trimmed is a URL without surrounding space and byte order mark.
func trimmed(raw string) string {
	const space = " \t\r\n"
	return strings.Trim(strings.TrimPrefix(strings.Trim(raw, space), "\ufeff"), space)
}

// misread recognizes common mistakes; nil for none.
func misread(text string) *Error {
	const marks = "\"'`<>,;´“”„‟‘’‚‛«»‹›「」『』＂＇"
	lower := lower(text)
	switch {
	case strings.HasPrefix(text, "\xff\xfe"), strings.HasPrefix(text, "\xfe\xff"), strings.Count(text, "\x00") >= max(1, len(text)/2-1):
		// ASCII in UTF-16 has a zero byte for each character.
		return mistaken("is text in UTF-16", strings.TrimSpace(strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "")))
	case strings.Trim(text, marks) != text:
		return mistaken("has quotes or other marks around it", strings.Trim(text, marks))
	case strings.HasPrefix(text, "$") || strings.Contains(text, "${") || strings.Contains(text, "$(") || strings.Contains(text, "{{"):
		return &Error{why: "is an unexpanded variable"}
	case strings.HasPrefix(lower, "https://https://"), strings.HasPrefix(lower, "https://http://"):
		return mistaken("has a scheme twice", "https://"+text[strings.LastIndex(text, "//")+2:])
	case strings.Index(lower, "https://") > 0:
		return mistaken("contains https://, but not at the beginning", text[strings.Index(lower, "https://"):])
	}
	if strings.ContainsAny(text, " \t\r\n") {
		return &Error{why: "contains white space or a line break"}
	}
	scheme, rest, found := strings.Cut(text, "://")
	user, address, at := strings.Cut(text, "@")
	host, _, colon := strings.Cut(address, ":")
	switch {
	case found && lower[:len(scheme)] != "https" && lower[:len(scheme)] != "http":
		authority, _, _ := strings.Cut(rest, "/")
		if name, _, isSSH := strings.Cut(authority, "@"); isSSH && !strings.Contains(name, ":") {
			authority = authority[len(name)+1:]
		}
		if !strings.Contains(authority, "@") {
			authority, _ = splitPort(authority) // the port is another protocol's
		}
		return mistaken("has a scheme other than https", "https://"+authority)
	case !found && at && colon && !strings.ContainsAny(user, ":/") && !strings.Contains(address, "@"):
		return mistaken("is an SSH address; it must begin with https://", "https://"+host)
	case !found:
		for _, typo := range []string{"https:", "http:", "https", "http"} {
			if after, cut := strings.CutPrefix(lower, typo+"/"); cut {
				return mistaken("does not begin with https://", "https://"+strings.TrimLeft(after, "/"))
			}
		}
		return mistaken("does not begin with https://", text)
	}
	return nil
}

// mistaken is an error with the URL to use instead, if text is a valid one.
func mistaken(why, text string) *Error {
	e := &Error{why: why}
	scheme, rest, found := strings.Cut(trimmed(text), "://")
	if !found {
		scheme, rest = "https", strings.TrimLeft(scheme, "/")
	}
	if lower(scheme) != "https" || strings.Contains(rest, "@") || !found && !strings.ContainsAny(rest, ".:") && rest != "localhost" {
		return e
	}
	if at := strings.IndexAny(rest, "?#"); at >= 0 {
		rest = rest[:at]
	}
	authority, path, _ := strings.Cut(rest, "/")
	name, port := splitPort(authority)
	name = strings.TrimRight(name, ".")
	if port != "" {
		name += ":" + port
	}
	host, err := parseAuthority(name, "https")
	if err != nil || !shown(host) {
		return e
	}
	base, _, whole := ownPath(strings.TrimRight(path, "/"), host)
	if base, err = parsePath(base); err != nil {
		return e
	}
	e.instead, e.whole = "https://"+host+base, whole
	return e
}

// shown reports whether a host name can be shown because it can't be a token. Tokens
// contain no dots and are longer than most names of machines.
func shown(host string) bool {
	name, _ := splitPort(host)
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return true
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	return strings.Trim(last, "abcdefghijklmnopqrstuvwxyz") == "" && len(last) <= 18 && !strings.Contains(name, "pat-")
}

// rootPages are paths of GitLab's own pages (its config/routes.rb).
var rootPages = []string{"api/v4", "api/graphql", "users/sign_in", "users/sign_up", "users/auth", "users/password", "oauth/authorize", "-/profile", "-/user_settings",
	"-/health", "-/readiness", "-/liveness", "-/metrics", "-/ide", "-/graphql-explorer", "-/snippets", "-/whats_new", "-/settings"}

// topPages are pages at the top of an instance, and topGroups prefixes of pages; no group
// can have these names (lib/gitlab/path_regex.rb).
var (
	topPages  = []string{"admin", "dashboard", "explore", "help", "profile", "search"}
	topGroups = []string{"groups", "users", "projects", "oauth", "import"}
)

// ownPath removes a page's or project's path, and says what it is, "" for a path that may
// be the instance's own. whole is false if the end of the instance's path is unknown.
func ownPath(path, host string) (own, page string, whole bool) {
	below := "/" + path + "/"
	for _, root := range rootPages {
		if at := strings.Index(below, "/"+root+"/"); at >= 0 {
			if root == "api/v4" {
				return strings.Trim(below[:at], "/"), "is the address of the API; remove /api/v4", true
			}
			return strings.Trim(below[:at], "/"), "is the address of a page, not of the instance", true
		}
	}
	first, rest, _ := strings.Cut(path, "/")
	switch {
	case slices.Contains(topPages, first), rest != "" && slices.Contains(topGroups, first):
		return "", "is the address of a page, not of the instance", true
	case host == "gitlab.com" && path != "":
		return "", "is the address of a group or project, not of the instance", true
	case path == "api" || strings.HasSuffix(path, "/api"):
		return strings.Trim(strings.TrimSuffix(path, "api"), "/"), "is the address of the API; remove /api", true
	case strings.Contains(below, "/-/"):
		return "", "is the address of a page, not of the instance", false
	case strings.Contains(lower(below), ".git/"):
		return "", "is the address of a repository, not of the instance", false
	}
	return path, "", true
}
