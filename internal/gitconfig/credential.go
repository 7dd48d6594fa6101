package gitconfig

import (
	"net/url"
	"slices"
	"strings"
)

// Credential is git's configuration of credentials for a URL.
type Credential struct {
	// Helpers are the helpers that git asks, in order.
	Helpers []Helper
	// UseHTTPPath makes git send helpers the URL's path.
	UseHTTPPath bool
	// Username is the user name that git sends helpers, "" for none: the URL's, or
	// credential.username.
	Username string
}

// Helper is an entry that names a credential helper. Its value is a command line, which
// may contain a secret.
type Helper struct {
	Entry
	// Program is what git runs, without arguments: a name such as "store", for
	// git-credential-store; a path; or "!" for a shell command.
	Program string
}

// NewHelper is the helper that an entry names.
func NewHelper(e Entry) Helper { return Helper{Entry: e, Program: program(e.Value())} }

// Credential applies the settings credential.* and credential.<url>.* to a URL as git does
// (credential.c, credential_apply_config): all that match, in order. An empty helper
// resets the list.
func (c Config) Credential(rawURL string) Credential {
	want := parseLogin(rawURL)
	target, valid := normalize(want.format(), false)
	result := Credential{Username: want.user}
	for _, e := range c.Entries {
		if e.Section != "credential" {
			continue
		}
		if raw, inner := e.Subsection(); inner {
			var fits bool
			if pattern, whole := normalize(raw, true); whole {
				_, fits = target.match(pattern)
				fits = fits && valid
			} else {
				fits = want.has(parseLogin(raw)) // part of a URL, such as a host
			}
			if !fits {
				continue
			}
		}
		switch e.Key {
		case "helper":
			if e.Value() == "" {
				result.Helpers = nil
			} else {
				result.Helpers = append(result.Helpers, NewHelper(e))
			}
		case "usehttppath":
			result.UseHTTPPath = e.Bool()
		case "username":
			if want.user == "" {
				result.Username = e.Value()
			}
		}
	}
	return result
}

// Below are sample URLs of an instance, one for each case that the settings
// credential.<url>.* distinguish: its own, and one for each path and user name in a
// pattern.
func (c Config) Below(instance string) []string {
	base := parseLogin(instance)
	all := []string{base.format()}
	for _, e := range c.Entries {
		raw, inner := e.Subsection()
		if e.Section != "credential" || !inner {
			continue
		}
		at, pattern := base, parseLogin(raw)
		if strings.HasPrefix(pattern.path+"/", strings.TrimPrefix(base.path+"/", "/")) {
			at.path = pattern.path
		}
		at.user = pattern.user
		if url := at.format(); !slices.Contains(all, url) {
			all = append(all, url)
		}
	}
	return all
}

// program is the first word of a helper's command line.
func program(line string) string {
	if strings.HasPrefix(line, "!") {
		return "!"
	}
	word, _, _ := strings.Cut(strings.TrimLeft(line, spaces), " ")
	return word
}

// login is a URL or a part of one as git parses it for credentials (credential.c,
// credential_from_url): decoded, and without slashes around the path.
type login struct{ protocol, user, host, path string }

func parseLogin(raw string) login {
	var l login
	rest := raw
	if protocol, after, found := strings.Cut(raw, "://"); found {
		l.protocol, rest = protocol, after
	}
	authority, path := rest, ""
	if at := strings.IndexAny(rest, "/?#"); at >= 0 {
		authority, path = rest[:at], rest[at:]
	}
	if userinfo, host, found := strings.Cut(authority, "@"); found {
		user, _, _ := strings.Cut(userinfo, ":")
		l.user, authority = unescape(user), host
	}
	l.host = unescape(authority)
	l.path = strings.TrimRight(unescape(strings.TrimLeft(path, "/")), "/")
	return l
}

func unescape(text string) string {
	if plain, err := url.PathUnescape(text); err == nil {
		return plain
	}
	return text
}

// format is the login as a URL, as credential.c compares it with settings.
func (l login) format() string {
	var out strings.Builder
	out.WriteString(l.protocol + "://")
	if l.user != "" {
		out.WriteString(strings.NewReplacer("%", "%25", "/", "%2F").Replace(l.user) + "@")
	}
	if strings.Trim(l.host, hostCharacters) != "" {
		return "" // git escapes such a host, and then no pattern fits
	}
	out.WriteString(l.host)
	if l.path != "" {
		out.WriteString("/" + strings.ReplaceAll(l.path, "%", "%25"))
	}
	return out.String()
}

// has reports whether l matches all of part.
func (l login) has(part login) bool {
	return (part.protocol == "" || part.protocol == l.protocol) && (part.host == "" || part.host == l.host) &&
		(part.path == "" || part.path == l.path) && (part.user == "" || part.user == l.user)
}
