package check

import (
	"cmp"
	"iter"
	"net/url"
	"slices"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
)

// gitFatal is git's exit code for fatal errors (git's usage.c, die).
const gitFatal = 128

// listRefs makes git list the refs, as at the start of a fetch, from the repository's own remote
// or the checked URL. It finds differences between git and this program. sound: nothing failed
// before; otherwise only what needs no login is checked.
func (g *gitHere) listRefs(sound bool) {
	if !g.repository() {
		return
	}
	target, name := g.place.url(), ""
	if g.place.found.Token.IsZero() {
		g.skip("there is no token", stepRun)
		return
	}
	if !g.given {
		var found bool
		if name, target, found = remoteOf(g.config, g.place); !found {
			if overHTTP(g.config, g.place.found.Instance) {
				g.fail(stepRun, message.URLIsHTTP(g.place.found.Instance.URL()))
				return
			}
			g.skip("no remote here is a repository on "+g.instance, stepRun)
			return
		}
	} else if project(g.place) == "" {
		g.skip(noProject, stepRun)
		return
	}
	if emptyPassword(target) {
		g.fail(stepRun, errPasswordEmpty(message.Quote(name)))
		return
	}
	by, hint := g.otherLogin(name, target)
	if !g.pushes(name, by) {
		return
	}
	switch why := g.unrunnable(target, sound); {
	case by != "" && why != "":
		g.warn(stepRun, nil, warnGitLogsIn(by, hint))
		return
	case why != "":
		g.skip(why, stepRun)
		return
	}
	ctx, cancel := g.limited()
	defer cancel()
	said, code := g.Here.git(ctx, g.result.Redact, "ls-remote", "--quiet", "--", cmp.Or(name, target), "HEAD")
	switch {
	case g.interrupted():
	case code == 0 && by == "":
		g.good(stepRun, nil, "git can list the refs")
	case code == 0:
		g.warn(stepRun, nil, warnGitLogsIn(by, hint))
	case ctx.Err() != nil:
		g.skip("git did not list the refs within "+g.Limit.String(), stepRun)
	case code < 0:
		g.skip("git could not be run", stepRun)
	case by != "":
		g.fail(stepRun, errGitLogsInInstead(by, hint))
	default:
		reportFailed(&g.steps, said)
	}
}

// reportFailed reports that git can't list the refs. Temporary failures of GitLab, such as a rate
// limit that this check used up, are not git's fault; TLS is a warning, as in the step before.
func reportFailed(s *steps, said string) {
	words := gitWords(said, s.result.Redact)
	failed := errGitFails(words, ownHint(said, s.result.Redact))
	switch lower := strings.ToLower(words); {
	case strings.HasPrefix(words, string(message.NotVerified)), strings.HasPrefix(words, string(message.RateLimit)):
		s.skip("git could not be tried: "+words, stepRun)
	case strings.Contains(lower, "ssl") || strings.Contains(lower, "certificate") || strings.Contains(lower, "tls"):
		s.warn(stepRun, nil, failed)
	default:
		s.fail(stepRun, failed)
	}
}

// repository reports whether git accepts the working directory. It rejects one of another
// user, for example. If a URL is checked, that is not a failure.
func (g *gitHere) repository() bool {
	ctx, cancel := g.limited()
	defer cancel()
	said, code := g.Here.git(ctx, g.result.Redact, "rev-parse", "--git-dir")
	if g.interrupted() {
		return false
	}
	if code != gitFatal || strings.Contains(said, "not a git repository") {
		return true
	}
	refused := errRepositoryRefused(gitWords(said, g.result.Redact))
	if g.given {
		g.warn(stepRun, nil, refused)
	} else {
		g.fail(stepRun, refused)
	}
	return false
}

// gitWords is this program's message in git's standard error, or git's fatal error. A server's
// text is ignored, and logins in URLs are removed.
func gitWords(said string, redact func(string) string) string {
	found := ""
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		if own, is := strings.CutPrefix(line, prefix+own+": "); is {
			return redact(own)
		}
		if fatal, is := strings.CutPrefix(line, "fatal: "); is && !strings.Contains(line, "@") && !strings.HasPrefix(fatal, "remote error") {
			found = fatal
		}
	}
	return redact(found)
}

// ownHint is this program's own hint in what git printed, "" for none.
func ownHint(said string, redact func(string) string) string {
	_, after, _ := strings.Cut(said, prefix+own+": hint: ")
	hint, _, _ := strings.Cut(after, "\n")
	return redact(hint)
}

// interrupted reports whether the check was, in the step git-run.
func (g *gitHere) interrupted() bool {
	switch {
	case g.ctx.Err() == nil:
		return false
	case g.result.Reason == nil:
		g.fail(stepRun, errCheckInterrupted())
	default:
		g.skip("the check was interrupted", stepRun)
	}
	return true
}

// remotes are the remotes' values of a key, url or pushurl, as git rewrites them.
func remotes(config gitconfig.Config, key string) iter.Seq2[gitconfig.Entry, string] {
	return func(yield func(gitconfig.Entry, string) bool) {
		for _, e := range config.Entries {
			if _, named := e.Subsection(); !named || e.Section != "remote" || e.Key != key || e.Implicit() {
				continue
			}
			if to, _, _ := config.Rewritten(e.Value(), false); !yield(e, to) {
				return
			}
		}
	}
}

// remoteOf finds the remote of the repository here that is for the project, else the
// first one on the instance, and the URL that git makes of it.
func remoteOf(config gitconfig.Config, p place) (name, target string, found bool) {
	for e, to := range remotes(config, "url") {
		if !onInstance(p.found.Instance, to) {
			continue
		}
		remote, _ := e.Subsection()
		its, _ := p.found.Instance.ProjectOf(to)
		if strings.EqualFold(its, project(p)) {
			return remote, to, true
		}
		if !found {
			name, target, found = remote, to, true
		}
	}
	return name, target, found
}

// overHTTP reports whether a remote is on the instance over plain http, for which git gets no
// token.
func overHTTP(config gitconfig.Config, i instance.Instance) bool {
	for _, to := range remotes(config, "url") {
		at, err := url.Parse(strings.TrimSpace(to))
		if err == nil && i.Match(strings.ToLower(at.Scheme), at.Host, strings.TrimPrefix(at.Path, "/")) == instance.Downgraded {
			return true
		}
	}
	return false
}

// onInstance reports a remote's URL that is on the instance, whatever its path.
func onInstance(i instance.Instance, remote string) bool {
	at, err := url.Parse(strings.TrimSpace(remote))
	return err == nil && strings.EqualFold(at.Scheme+"://"+strings.TrimSuffix(at.Host, ":443"), i.Origin())
}

// pushes checks a remote's addresses for pushes only; by is the reported login for fetches.
// False means that a push has an empty password.
func (g *gitHere) pushes(name, by string) bool {
	for e, to := range remotes(g.config, "pushurl") {
		if remote, _ := e.Subsection(); name == "" || remote != name {
			continue
		}
		if its, _ := g.place.found.Instance.ProjectOf(to); !strings.EqualFold(its, project(g.place)) || its == "" {
			g.warn(stepRun, nil, warnPushElsewhere(e.Name(), message.Quote(e.Origin)))
			continue
		}
		if emptyPassword(to) {
			g.fail(stepRun, errPasswordEmpty(message.Quote(name)))
			return false
		}
		if other, hint := g.otherLogin(name, to); other != "" && other != by {
			g.warn(stepRun, nil, warnGitLogsIn(other, hint))
		}
	}
	return true
}

// unrunnable is why git is not run: it would fail for a reported reason, prompt, or send the
// token to a helper that stores it. "" means that it can be run.
func (g *gitHere) unrunnable(target string, sound bool) string {
	helpers := g.config.Credential(target).Helpers
	tokenless := []source.Source{source.Env, source.Backend}
	switch _, diverted := g.config.Diverted(target, false); {
	case !sound:
		return earlier
	case diverted:
		return "git uses another address"
	case g.warned[stepHelpers] || g.warned[stepVerify]:
		return "fix the problems with git above first"
	case slices.ContainsFunc(helpers, func(h gitconfig.Helper) bool { return helperOf(h) != own }):
		return "git would also ask other helpers and send them the token"
	case slices.Contains(tokenless, g.place.found.Source):
		return "check does not pass a token in the environment to other programs"
	}
	return ""
}

// emptyPassword reports a URL with an empty password, which git uses without asking a helper.
func emptyPassword(target string) bool {
	at, err := url.Parse(target)
	if err != nil || at.User == nil {
		return false
	}
	password, set := at.User.Password()
	return set && password == ""
}

// otherLogin is a login that git uses before it asks a helper, and the hint for it; "" for
// none.
func (g *gitHere) otherLogin(name, target string) (by, hint string) {
	own := g.place.found.Token.Reveal()
	for _, e := range g.config.Entries {
		if e.Section != "http" || e.Key != "extraheader" || e.Implicit() {
			continue
		}
		header, _, _ := strings.Cut(e.Value(), ":")
		alone := g.config
		alone.Entries = []gitconfig.Entry{e}
		if _, applies := alone.Match("http", target)["extraheader"]; applies && strings.EqualFold(strings.TrimSpace(header), "authorization") {
			return "the Authorization header of " + e.Name() + " in " + message.Quote(e.Origin), "remove that setting"
		}
	}
	at, err := url.Parse(target)
	if err != nil {
		return "", ""
	}
	if password, set := at.User.Password(); set {
		if password == own {
			return "", ""
		}
		return "the password in the URL of the remote " + message.Quote(name), "git remote set-url " + message.Quote(name) + " with the URL alone"
	}
	path, content := g.Here.netrc()
	if password, found := netrcPassword(content, at.Hostname()); found && password != own {
		return "the entry for " + at.Hostname() + " in " + message.Quote(path), "remove that entry, or the entry default"
	}
	return "", ""
}
