// Package instance parses a GitLab instance's URL, and decides whether a request from
// git is for that instance and for which project. It compares parsed values for
// equality, so a host that only looks like the instance's does not match.
package instance

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Instance is the address of a GitLab instance, comparable with ==. The zero value
// matches nothing.
type Instance struct {
	scheme string
	host   string // lower case, with a port unless it is the scheme's own
	path   string // "" or "/segment/…", without a slash at the end
}

// Parse reads an instance URL: https, a host, and optionally a port and a path. A
// trailing slash, surrounding space and a byte order mark are ignored. With
// allowHTTPLoopback, an http URL of a loopback address is accepted too. The error is an
// [InsecureError] for any other http URL, and an [Error] if it knows the correct URL. It
// never quotes the URL, which could contain a secret.
func Parse(raw string, allowHTTPLoopback bool) (Instance, error) {
	raw = trimmed(raw)
	if raw == "" {
		return Instance{}, errors.New("does not begin with https://")
	}
	if e := misread(raw); e != nil {
		return Instance{}, e
	}
	for i := range len(raw) {
		if raw[i] <= ' ' || raw[i] >= 0x7f {
			return Instance{}, errors.New("contains an invalid character (write an international name in its xn-- form)")
		}
	}
	scheme, rest, _ := strings.Cut(raw, "://")
	scheme = lower(scheme)
	meant := "https://" + rest
	switch {
	case strings.Contains(rest, "@"):
		return Instance{}, errors.New("contains a user name or password")
	case strings.Contains(rest, "?"):
		return Instance{}, mistaken("contains a query", meant)
	case strings.Contains(rest, "#"):
		return Instance{}, mistaken("contains a fragment", meant)
	}
	authority, path, _ := strings.Cut(rest, "/")
	host, err := parseAuthority(authority, scheme)
	if err != nil {
		return Instance{}, mistaken(err.Error(), meant)
	}
	_, page, _ := ownPath(strings.TrimRight(path, "/"), host)
	switch path, err = parsePath(path); {
	case err != nil:
		return Instance{}, mistaken(err.Error(), meant)
	case page != "":
		return Instance{}, mistaken(page, meant)
	}
	i := Instance{scheme: scheme, host: host, path: path}
	if scheme == "http" && (!allowHTTPLoopback || !i.loopback()) {
		i.scheme = "https"
		return Instance{}, &InsecureError{Meant: i}
	}
	return i, nil
}

// InsecureError is for an instance URL that is valid except that it is http. No token may
// be used for it.
type InsecureError struct {
	// Meant is the instance over https, whose requests get a refusal.
	Meant Instance
}

// Error does not quote the URL.
func (*InsecureError) Error() string {
	return "is http, which would expose the token on the network; use https"
}

func parseAuthority(authority, scheme string) (string, error) {
	name, port := splitPort(lower(authority))
	if len(name) < len(authority) {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
			return "", errors.New("has a port that is not a number from 1 to 65535")
		}
	}
	if !validHost(name) {
		return "", errors.New("has no valid host name")
	}
	if port == "" || port == defaultPort(scheme) {
		return name, nil
	}
	return name + ":" + port, nil
}

// splitPort divides an authority at the colon before its port, if it has one.
func splitPort(authority string) (name, port string) {
	at := strings.LastIndexByte(authority, ':')
	if at < 0 || strings.HasSuffix(authority, "]") {
		return authority, ""
	}
	return authority[:at], authority[at+1:]
}

// lower folds ASCII letters only. Unicode folding turns the Kelvin sign into a k, so
// another host would match ours.
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

func defaultPort(scheme string) string {
	if scheme == "http" {
		return "80"
	}
	return "443"
}

// validHost accepts host names (RFC 1123, plus underscores), IPv4 addresses, and IPv6
// addresses in brackets without a zone.
func validHost(name string) bool {
	if inner, found := strings.CutPrefix(name, "["); found {
		addr, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		return err == nil && addr.Is6() && addr.Zone() == "" && strings.HasSuffix(inner, "]")
	}
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return false
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

func parsePath(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	path = strings.TrimSuffix(path, "/")
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." ||
			strings.Trim(segment, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~") != "" {
			return "", errors.New("has a path that can't be an instance's")
		}
	}
	return "/" + path, nil
}

func (i Instance) loopback() bool {
	name, _ := splitPort(i.host)
	addr, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return name == "localhost" || err == nil && addr.IsLoopback()
}

// URL is the instance's address, without a slash at the end.
func (i Instance) URL() string { return i.Origin() + i.path }

// Origin is the instance's scheme, host and port, as in a URL.
func (i Instance) Origin() string { return i.scheme + "://" + i.host }

// Hostname is the instance's host without a port, with brackets around an IPv6 address.
func (i Instance) Hostname() string {
	name, _ := splitPort(i.host)
	return name
}

// String is the instance's name in messages: its URL without the scheme.
func (i Instance) String() string { return i.host + i.path }

// API is the base of the instance's REST API, version 4.
func (i Instance) API() string { return i.URL() + "/api/v4" }

// Match is how a request relates to an instance.
type Match int

const (
	// Foreign means another host, port, protocol or path; ignored.
	Foreign Match = iota
	// Downgraded means our host, but over plain http.
	Downgraded
	// Ours means exactly this instance.
	Ours
)

// Match compares a request's protocol, host and path, as git sent them, with the
// instance. The host and port must be equal, except for letter case and the default
// port. A path must be below the instance's own; "" means that git sent none
// (credential.useHttpPath is off).
func (i Instance) Match(protocol, host, path string) Match {
	if i.host == "" || protocol != "https" && protocol != "http" {
		return Foreign
	}
	if name, port := splitPort(i.host); port == "" {
		// The default port may follow the host, but not another port.
		if asked, port := splitPort(lower(host)); asked == name && port == defaultPort(protocol) {
			host = name
		}
	}
	switch {
	case lower(host) != i.host, !i.above(path):
		return Foreign
	case protocol == i.scheme:
		return Ours
	case protocol == "http":
		return Downgraded
	}
	return Foreign
}

// above reports whether path lies below the instance's own path.
func (i Instance) above(path string) bool {
	if i.path == "" || path == "" {
		return true
	}
	_, below := strings.CutPrefix("/"+strings.TrimPrefix(path, "/")+"/", i.path+"/")
	return below
}

// maxPath is longer than any project's path that a server accepts in a URL.
const maxPath = 2048

// Project is the full path of the project ("group/subgroup/project") in the path of a
// request that is Ours: a repository, wiki (project.wiki.git), snippet, LFS
// (project.git/info/lfs) or a page of a project (project/-/…). It is "" for a path
// without a project, such as a group or a personal snippet. A path with . or ..
// segments, empty segments, backslashes or control characters is an error, which never
// quotes the path.
func (i Instance) Project(path string) (string, error) {
	segments, _, err := i.repository(path)
	switch {
	case err != nil:
		return "", err
	case len(segments) < 2:
		// A project always has a namespace before it.
		return "", nil
	case segments[len(segments)-1] == "":
		return "", errors.New("has a name that is only a suffix")
	}
	return strings.Join(segments, "/"), nil
}

// Wiki reports whether the path of a request that is Ours is a wiki's. It belongs to the
// project that [Instance.Project] returns, or to a group with that path: only GitLab
// knows which.
func (i Instance) Wiki(path string) bool {
	_, wiki, err := i.repository(path)
	return err == nil && wiki
}

// repository is the path of the project, or of the group, in a request's path; wiki
// reports whether it is a wiki's.
func (i Instance) repository(path string) (segments []string, wiki bool, err error) {
	if len(path) > maxPath {
		return nil, false, errors.New("is too long for a GitLab path")
	}
	path, err = url.PathUnescape(path)
	if err != nil {
		return nil, false, errors.New("contains an invalid percent encoding")
	}
	segments, err = split(strings.TrimPrefix(path, "/"))
	if err != nil {
		return nil, false, err
	}
	own, _ := split(strings.TrimPrefix(i.path, "/"))
	if len(segments) < len(own) {
		return nil, false, nil
	}
	segments = withoutLFS(withoutPage(segments[len(own):]))
	if len(segments) == 0 {
		return nil, false, nil
	}
	last := &segments[len(segments)-1]
	*last = strings.TrimSuffix(*last, ".git")
	if n := len(segments); n >= 2 && segments[n-2] == "snippets" && isNumber(*last) {
		return segments[:n-2], false, nil
	}
	*last, wiki = strings.CutSuffix(*last, ".wiki")
	return segments, wiki, nil
}

// ProjectOf is the project of a remote's URL; "" if the URL has another host or no
// project. wiki is as for [Instance.Wiki].
func (i Instance) ProjectOf(remote string) (project string, wiki bool) {
	at, err := url.Parse(remote)
	if err != nil || i.Match(at.Scheme, at.Host, strings.TrimPrefix(at.EscapedPath(), "/")) != Ours {
		return "", false
	}
	if project, err = i.Project(at.EscapedPath()); err != nil {
		return "", false
	}
	return project, i.Wiki(at.EscapedPath())
}

func split(path string) ([]string, error) {
	path = strings.TrimSuffix(path, "/")
	if path == "" {
		return nil, nil
	}
	segments := strings.Split(path, "/")
	for _, segment := range segments {
		switch segment {
		case "":
			return nil, errors.New("contains an empty segment")
		case ".", "..":
			return nil, errors.New("contains a . or .. segment")
		}
		if strings.Contains(segment, `\`) {
			// Some servers treat it as a slash, so .. could follow.
			return nil, errors.New("contains a backslash")
		}
		for _, r := range segment {
			if r < 0x20 || r >= 0x7f && r <= 0x9f || r == 0x2028 || r == 0x2029 {
				return nil, errors.New("contains a control character")
			}
		}
	}
	return segments, nil
}

// withoutPage cuts "-", which separates a project from its pages, and what follows.
func withoutPage(segments []string) []string {
	for n, segment := range segments {
		if segment == "-" && n >= 1 {
			return segments[:n]
		}
	}
	return segments
}

// withoutLFS cuts "info/lfs" and what follows after a repository. A group may be named
// info.
func withoutLFS(segments []string) []string {
	for n := 1; n+1 < len(segments); n++ {
		if segments[n] == "info" && segments[n+1] == "lfs" && (n >= 2 || strings.HasSuffix(segments[n-1], ".git")) {
			return segments[:n]
		}
	}
	return segments
}

func isNumber(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// OtherCredential reports whether a user name belongs to a CI job token or a deploy
// token (GitLab's documentation of both). Such a request is not answered.
func OtherCredential(username string) bool {
	return strings.HasSuffix(username, "-ci-token") || strings.HasPrefix(username, "gitlab+deploy-token-")
}

// OtherForge reports whether a host, as git names it, is a well-known one that is not GitLab.
func OtherForge(host string) bool {
	switch strings.TrimSuffix(strings.ToLower(host), ":443") {
	case "github.com", "bitbucket.org", "dev.azure.com", "codeberg.org":
		return true
	}
	return false
}
