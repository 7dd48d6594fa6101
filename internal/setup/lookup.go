package setup

import (
	"slices"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
)

// asks reports whether our section for an instance is effective for everything there: git
// asks our helper and no other, which git would send every valid token. For another
// section with helpers, it reports whether git asks exactly those.
func asks(config gitconfig.Config, s Section) bool {
	if s.resets() {
		return slices.EqualFunc(config.Credential(s.probe()).Helpers, s.helpers(), func(h gitconfig.Helper, value string) bool { return h.Value() == value })
	}
	return !slices.ContainsFunc(config.Below(s.Sub), func(url string) bool {
		found := config.Credential(url)
		named := strings.Contains(url, "@") // a user name in the URL takes precedence
		return len(found.Helpers) != 1 || !s.names(found.Helpers[0]) ||
			!s.Refuses() && (!found.UseHTTPPath || found.Username != username && !named)
	})
}

// asksAll reports whether asks is true for all sections with helpers.
func asksAll(config gitconfig.Config, sections []Section) bool {
	return !slices.ContainsFunc(sections, func(s Section) bool { return s.Name == credentialSection && !asks(config, s) })
}

// names reports whether a helper is the section's, or that of an instance below it.
func (s Section) names(h gitconfig.Helper) bool {
	if h.Value() == s.Lines[1].Value {
		return true
	}
	other, inner := h.Subsection()
	return inner && own(h.Value(), other) && strings.HasPrefix(other, s.Sub+"/")
}

// Overruled is the helper that git asks before ours for an instance whose section was
// written; nil if git asks none. It is false if ours is asked first, by whatever entry.
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

// MinAccessFor is the lowest level that git's configuration sets for one of several URLs
// of what is asked for; false when it sets none.
func MinAccessFor(config gitconfig.Config, urls ...string) (level int, set bool) {
	for _, url := range urls {
		if other, found := MinAccessAt(config, url); found && (!set || other < level) {
			level, set = other, true
		}
	}
	return level, set
}

// MinAccessAt is the level in the closest entry for a URL that names a helper; false
// when that is not this helper, or has no level.
func MinAccessAt(config gitconfig.Config, url string) (level int, set bool) {
	entry, found := config.Trusted().Match("credential", url)["helper"]
	if !found {
		return 0, false
	}
	text, set := MinAccess(entry.Value())
	level, err := access.ParseLevel(text)
	return level, set && err == nil
}
