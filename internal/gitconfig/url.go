package gitconfig

import (
	"fmt"
	"strconv"
	"strings"
)

// address is a URL, or a pattern for URLs, as git compares them.
type address struct {
	scheme, user string
	// named: there is a user name, possibly empty.
	named      bool
	host, port string
	// path begins with a slash and is everything after the host.
	path string
}

// Characters of a URL (urlmatch.c).
const (
	hostCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_[:]"
	// unsafe characters are escaped, as are control characters and non-ASCII ones;
	// reserved ones stay as they are, escaped or not.
	unsafeCharacters   = " <>\"%{}|\\^`"
	reservedCharacters = ":/?#[]@!$&'()*+,;="
)

// normalize brings a URL into git's form (urlmatch.c, url_normalize): lower-case scheme and
// host, no default port, no unnecessary escapes, no . or .. segments. A pattern may have
// asterisks in its host.
func normalize(raw string, pattern bool) (address, bool) {
	scheme, rest, found := strings.Cut(raw, "://")
	if !found || !validScheme(scheme) {
		return address{}, false
	}
	a := address{scheme: lower(scheme)}
	end := len(rest)
	if at := strings.IndexAny(rest, "/?#"); at >= 0 {
		end = at
	}
	authority := rest[:end]
	if at := strings.IndexByte(rest, '@'); at >= 0 && at < end {
		login, ok := escapes(authority[:at])
		if !ok {
			return address{}, false
		}
		a.user, _, _ = strings.Cut(login, ":")
		a.named, authority = true, authority[at+1:]
	}
	path, ok := cleanPath(rest[end:])
	if !ok {
		return address{}, false
	}
	a.path = path
	return a, a.setHost(authority, pattern)
}

func validScheme(scheme string) bool {
	for i, r := range scheme {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789+.-", r)) {
			return false
		}
	}
	return scheme != ""
}

// setHost reads host and port, dropping the default port.
func (a *address) setHost(authority string, pattern bool) bool {
	host, port := authority, ""
	if at := strings.LastIndexAny(authority, ":]"); at >= 0 && authority[at] == ':' {
		host, port = authority[:at], authority[at+1:]
	}
	allowed := hostCharacters
	if pattern {
		allowed += "*"
	}
	if host == "" && (a.scheme != "file" || port != "") || strings.Trim(host, allowed) != "" {
		return false
	}
	a.host = lower(host)
	if port == "" {
		return true
	}
	digits := strings.TrimLeft(port, "0")
	switch number, err := strconv.ParseUint(digits, 10, 16); {
	case err != nil || number == 0:
		return false
	case a.scheme == "http" && number == 80 || a.scheme == "https" && number == 443:
	default:
		a.port = digits
	}
	return true
}

// cleanPath brings a path, and what follows it, into git's form.
func cleanPath(raw string) (string, bool) {
	path, tail := raw, ""
	if at := strings.IndexAny(raw, "?#"); at >= 0 {
		path, tail = raw[:at], raw[at:]
	}
	tail, ok := escapes(tail)
	if !ok {
		return "", false
	}
	var segments []string
	for segment := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		segment, ok := escapes(segment)
		switch {
		case !ok:
			return "", false
		case segment == ".":
		case segment == "..":
			if len(segments) == 0 {
				return "", false
			}
			segments = segments[:len(segments)-1]
		default:
			segments = append(segments, segment)
		}
	}
	return "/" + strings.Join(segments, "/") + tail, true
}

// escapes escapes what must be escaped, in upper case, and unescapes the rest; false for an
// invalid percent encoding.
func escapes(raw string) (string, bool) {
	var out strings.Builder
	for i := 0; i < len(raw); i++ {
		c, escaped := raw[i], false
		if c == '%' {
			if i+2 >= len(raw) {
				return "", false
			}
			value, err := strconv.ParseUint(raw[i+1:i+3], 16, 8)
			if err != nil {
				return "", false
			}
			c, escaped = byte(value), true
			i += 2
		}
		if c < ' ' || c >= 0x7f || strings.IndexByte(unsafeCharacters, c) >= 0 ||
			escaped && strings.IndexByte(reservedCharacters, c) >= 0 {
			_, _ = fmt.Fprintf(&out, "%%%02X", c)
		} else {
			out.WriteByte(c)
		}
	}
	return out.String(), true
}

// closeness is how well a pattern matches a URL. The zero value is for no pattern.
type closeness struct {
	host, path int
	user       bool
}

// worse reports whether c is worse than other (urlmatch.c, cmp_matches).
func (c closeness) worse(other closeness) bool {
	if c.host != other.host {
		return c.host < other.host
	}
	if c.path != other.path {
		return c.path < other.path
	}
	return !c.user && other.user
}

// match compares a URL with a pattern (urlmatch.c, match_urls).
func (a address) match(pattern address) (closeness, bool) {
	if a.scheme != pattern.scheme || a.port != pattern.port || !matchHost(a.host, pattern.host) ||
		pattern.named && (!a.named || a.user != pattern.user) {
		return closeness{}, false
	}
	length := matchPath(a.path, pattern.path)
	return closeness{host: len(pattern.host), path: length, user: pattern.named}, length > 0
}

// matchHost compares hosts label by label; an asterisk matches any one label.
func matchHost(host, pattern string) bool {
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	wanted := strings.Split(strings.TrimSuffix(pattern, "."), ".")
	if len(labels) != len(wanted) {
		return false
	}
	for i, label := range wanted {
		if label != "*" && label != labels[i] {
			return false
		}
	}
	return true
}

// matchPath is the length of the match of a prefix with a path, in whole segments; 0 for no
// match.
func matchPath(path, prefix string) int {
	prefix = strings.TrimSuffix(prefix, "/")
	if prefix == "" {
		return 1
	}
	rest, found := strings.CutPrefix(path, prefix)
	if !found || rest != "" && rest[0] != '/' {
		return 0
	}
	return len(prefix) + 1
}

// Match returns the settings of a section that git uses for a URL, by lower-case key: the
// closest match of those with a URL as a subsection, then one without; of two equally
// close ones, the later (git-config(1), http.<url>.*).
func (c Config) Match(section, url string) map[string]Entry {
	found := map[string]Entry{}
	for _, e := range c.matching(section, url) {
		found[e.Key] = e
	}
	return found
}

// MatchAll returns all values of a multi-valued setting that git uses for a URL, in order.
// An empty one resets the list.
func (c Config) MatchAll(section, key, url string) []Entry {
	var all []Entry
	for _, e := range c.matching(section, url) {
		switch {
		case e.Key != key:
		case e.Value() == "":
			all = nil
		default:
			all = append(all, e)
		}
	}
	return all
}

// matching are the settings that git uses for a URL, in order: each at least as close as
// those before it (urlmatch.c, urlmatch_config_entry).
func (c Config) matching(section, url string) []Entry {
	section = lower(section)
	target, valid := normalize(url, false)
	var all []Entry
	best := map[string]closeness{}
	for _, e := range c.Entries {
		if e.Section != section {
			continue
		}
		var fit closeness
		if raw, inner := e.Subsection(); inner {
			pattern, ok := normalize(raw, true)
			if !ok || !valid {
				continue
			}
			if fit, ok = target.match(pattern); !ok {
				continue
			}
		}
		if closest, taken := best[e.Key]; taken && fit.worse(closest) {
			continue
		}
		best[e.Key] = fit
		all = append(all, e)
	}
	return all
}

// withoutUser removes the user name and password from a URL: everything before the last
// "@", since a password can contain slashes and other characters that should have been
// escaped.
func withoutUser(text string) string {
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return text
	}
	scheme, _, found := strings.Cut(text[:at], "://")
	switch {
	case found:
		return scheme + "://[redacted]" + text[at:]
	case strings.Contains(text[:at], ":"):
		return "[redacted]" + text[at:]
	}
	return text // a user of SSH, as in git@host
}

// userOf splits what follows "://" into the part before an "@" and the rest. A password can
// contain a character that would end the host, so anything after a colon that is not a
// port is a password.
func userOf(rest string) (login, after string) {
	authority := rest
	if end := strings.IndexAny(rest, "/?# \t\n\"'"); end >= 0 {
		authority = rest[:end]
		if _, port, found := strings.Cut(authority, ":"); found && strings.Trim(port, "0123456789") != "" && !strings.Contains(authority, "@") && !strings.Contains(port, "]") {
			authority, _, _ = strings.Cut(rest, " ")
		}
	}
	at := strings.LastIndexByte(authority, '@')
	if at < 0 {
		return "", rest
	}
	return rest[:at], rest[at:]
}
