package setup

import (
	"slices"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
)

// asks reports whether a configuration makes git do what our section for an
// instance says, for everything there: ask our helper and no other, since git
// would tell that one of every token that worked. Of another section for logins, it
// reports whether git asks exactly the helpers that the section names.
func asks(config gitconfig.Config, s Section) bool {
	if s.Closes() {
		return slices.EqualFunc(config.Credential(s.probe()).Helpers, s.helpers(), func(h gitconfig.Helper, value string) bool { return h.Value() == value })
	}
	return !slices.ContainsFunc(config.Below(s.Sub), func(url string) bool {
		found := config.Credential(url)
		named := strings.Contains(url, "@") // a user name in the URL is the one that counts
		return len(found.Helpers) != 1 || !s.names(found.Helpers[0]) ||
			!s.Refuses() && (!found.UseHTTPPath || found.Username != username && !named)
	})
}

// names reports whether a helper is the section's, or that of another instance,
// which lies below the section's.
func (s Section) names(h gitconfig.Helper) bool {
	if h.Value() == s.Lines[1].Value {
		return true
	}
	other, inner := h.Subsection()
	return inner && own(h.Value(), other) && other != s.Sub && s.above(other)
}

// above reports whether a URL is the section's or lies below it.
func (s Section) above(url string) bool { return strings.HasPrefix(url+"/", s.Sub+"/") }

// Overruled says which helper a configuration makes git ask before ours for an
// instance whose section was written; nil when git asks none at all. It is false
// when ours is asked first, by whatever entry.
func Overruled(config gitconfig.Config, s Section) (first *gitconfig.Helper, overruled bool) {
	for _, url := range config.Below(s.Sub) {
		switch helpers := config.Credential(url).Helpers; {
		case len(helpers) == 0:
			return nil, true
		case s.names(helpers[0]):
		case strings.Contains(s.Lines[1].Value, minAccessFlag),
			!own(helpers[0].Value(), s.Sub) && !isOurs(helpers[0].Value()):
			return &helpers[0], true
		}
	}
	return nil, false
}

// isOurs reports whether a helper's value names this one, for every instance.
func isOurs(value string) bool { return value == Program || isProgram(value) }
