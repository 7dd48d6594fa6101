package gitconfig

import (
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/token"
)

// Exposed are the entries that contain a secret: a password in the URL of a remote, a
// proxy or an insteadOf setting, an Authorization header, or anything that looks like a
// token. Their Name and Origin can be shown, their values can't. redact removes known
// secrets.
func (c Config) Exposed(redact func(string) string) []Entry {
	var exposed []Entry
	known := func(text string) bool { return redact(text) != text }
	for _, e := range c.Entries {
		subsection, _ := e.Subsection()
		if hasSecret(subsection) || hasSecret(e.Value()) || known(subsection) || known(e.Value()) || e.Section == "http" && e.Key == "extraheader" && authorizes(e.Value()) {
			exposed = append(exposed, e)
		}
	}
	return exposed
}

func hasSecret(text string) bool { return hasPassword(text) || token.Mask(text) != text }

// hasPassword reports whether text contains a URL with a password.
func hasPassword(text string) bool {
	for {
		_, rest, found := strings.Cut(text, "://")
		if !found {
			return false
		}
		login, after := userOf(rest)
		if _, password, _ := strings.Cut(login, ":"); password != "" {
			return true
		}
		text = after
	}
}

// authorizes reports whether an HTTP header logs in.
func authorizes(header string) bool {
	name, _, _ := strings.Cut(header, ":")
	switch lower(strings.TrimSpace(name)) {
	case "authorization", "proxy-authorization", "cookie", "private-token", "job-token", "deploy-token":
		return true
	}
	return false
}
