package check

import (
	"slices"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// leaks warns of helpers that git also asks for other hosts, or over plain http, and
// that may give them the token. Helpers are not run to find out: they could
// prompt or store what they get.
func (g *gitHere) leaks() {
	before := g.warned[stepHelpers] // git can be run with them
	var warned []string
	for _, url := range elsewhere(g.place.found.Instance) {
		for _, h := range g.config.Credential(url).Helpers {
			place := helperName(h) + "\x00" + h.Origin
			if helperOf(h) == own || slices.Contains(warned, place) || !knowsToken(h, g.place.found.Path, g.result.Redact) {
				continue
			}
			warned = append(warned, place)
			g.warn(stepHelpers, nil, warnHelperLeaks(helperName(h), message.Quote(h.Origin), url))
		}
	}
	g.warned[stepHelpers] = before
}

// elsewhere are addresses where a token of an instance does not belong: a host that
// does not exist, the instance over plain http, and another host of its domain.
func elsewhere(i instance.Instance) []string {
	urls := []string{"https://gitlab.invalid", "http://gitlab.invalid"}
	rest, secure := strings.CutPrefix(i.URL(), "https://")
	if !secure {
		return urls
	}
	urls = append(urls, "http://"+rest)
	if _, domain, found := strings.Cut(i.Hostname(), "."); found && strings.Contains(domain, ".") {
		urls = append(urls, "https://gitlab-2."+domain)
	}
	return urls
}

// knowsToken reports whether a helper's text, as far as it can be read, gives a password
// that may be the token: it speaks of GitLab, or names the token or its file.
func knowsToken(h gitconfig.Helper, path string, redact func(string) string) bool {
	text := h.Text()
	lower := strings.ToLower(text)
	switch {
	case h.IsPlatformScript(), strings.Contains(lower, "glab auth git-credential"):
		return true
	case !strings.Contains(lower, "password") && !strings.Contains(lower, "credential="):
		return false
	}
	return strings.Contains(lower, "gitlab") || path != "" && strings.Contains(text, path) || redact(text) != text
}
