package setup

import (
	"slices"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
)

// asks reports whether a configuration makes git do what our section for an
// instance says, for everything there: ask our helper and no other, since git
// would tell that one of every token that worked.
func asks(config gitconfig.Config, s Section) bool {
	return !slices.ContainsFunc(places(config, s.Sub), func(url string) bool {
		found := config.Credential(url)
		return len(found.Helpers) != 1 || !s.names(found.Helpers[0], url) || !found.UseHTTPPath || found.Username != username
	})
}

// names reports whether a helper that git asks at a URL is the section's: or, below
// its instance, that of another instance that lies there.
func (s Section) names(h gitconfig.Helper, url string) bool {
	if h.Value() == s.Lines[1].Value {
		return true
	}
	other, inner := h.Subsection()
	return url != s.Sub && inner && own(h.Value(), other)
}

// places are the URLs at an instance for which a configuration may say different
// things: its own, and those that a pattern names by a path below it.
func places(config gitconfig.Config, instance string) []string {
	scheme, rest, _ := strings.Cut(instance, "://")
	host, own, _ := strings.Cut(rest, "/")
	all := []string{instance}
	for _, entry := range config.Entries {
		pattern, inner := entry.Subsection()
		if entry.Section != credentialSection || !inner {
			continue
		}
		if _, after, whole := strings.Cut(pattern, "://"); whole {
			pattern = after
		}
		_, path, below := strings.Cut(strings.TrimRight(pattern, "/"), "/")
		if url := scheme + "://" + host + "/" + path; below && strings.HasPrefix(path+"/", strings.TrimPrefix(own+"/", "/")) && !slices.Contains(all, url) {
			all = append(all, url)
		}
	}
	return all
}

// Overruled says which helper a configuration makes git ask before ours for an
// instance whose section was written; nil when git asks none at all. It is false
// when ours is asked first.
func Overruled(config gitconfig.Config, s Section) (first *gitconfig.Helper, overruled bool) {
	for _, url := range places(config, s.Sub) {
		switch helpers := config.Credential(url).Helpers; {
		case len(helpers) == 0:
			return nil, true
		case !s.names(helpers[0], url):
			return &helpers[0], true
		}
	}
	return nil, false
}
