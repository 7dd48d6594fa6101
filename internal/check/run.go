package check

import (
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

// gitRun makes git list the refs, as at the start of a fetch, from the repository's own remote
// or the checked URL. It finds differences between git and this program. sound: nothing failed
// before; otherwise only what needs no login is checked.
func (r *run) gitRun(p place, sound bool) {
	if !r.repository() {
		return
	}
	target, name := p.url(), ""
	if p.found.Token.IsZero() {
		r.skip("there is no token", stepRun)
		return
	}
	if !r.given {
		var found bool
		if name, target, found = r.remoteOf(p); !found {
			if r.plain(p) {
				return
			}
			r.skip("no remote here is a repository on "+r.instance, stepRun)
			return
		}
	} else if project(p) == "" {
		r.skip(noProject, stepRun)
		return
	}
	if r.passwordMissing(name, target) {
		return
	}
	by, hint := r.otherLogin(p, name, target)
	if !r.pushes(p, name, by) {
		return
	}
	switch why := r.unrunnable(p, target, sound); {
	case by != "" && why != "":
		r.warn(stepRun, nil, warnGitLogsIn(by, hint))
		return
	case why != "":
		r.skip(why, stepRun)
		return
	}
	ctx, cancel := r.limited()
	defer cancel()
	said, code := r.Here.git(ctx, r.result.Redact, "ls-remote", "--quiet", "--", orURL(name, target), "HEAD")
	switch {
	case r.interrupted():
	case code == 0 && by == "":
		r.good(stepRun, nil, "git can list the refs")
	case code == 0:
		r.warn(stepRun, nil, warnGitLogsIn(by, hint))
	case ctx.Err() != nil:
		r.skip("git did not list the refs within "+r.Limit.String(), stepRun)
	case code < 0:
		r.skip("git could not be run", stepRun)
	case by != "":
		r.fail(stepRun, errGitLogsInInstead(by, hint))
	default:
		r.gitFailed(said)
	}
}

// gitFailed reports that git can't list the refs. Temporary failures of GitLab, such as a rate
// limit that this check used up, are not git's fault; TLS is a warning, as in the step before.
func (r *run) gitFailed(said string) {
	words := r.words(said)
	failed := errGitFails(words, r.ownHint(said))
	switch lower := strings.ToLower(words); {
	case strings.HasPrefix(words, string(message.NotVerified)), strings.HasPrefix(words, string(message.RateLimit)):
		r.skip("git could not be tried: "+words, stepRun)
	case strings.Contains(lower, "ssl") || strings.Contains(lower, "certificate") || strings.Contains(lower, "tls"):
		r.warn(stepRun, nil, failed)
	default:
		r.fail(stepRun, failed)
	}
}

// orURL is a remote by its name, or a URL where there is none.
func orURL(name, url string) string {
	if name != "" {
		return name
	}
	return url
}

// repository reports whether git accepts the working directory. It rejects one of another
// user, for example. If a URL is checked, that is not a failure.
func (r *run) repository() bool {
	ctx, cancel := r.limited()
	defer cancel()
	said, code := r.Here.git(ctx, r.result.Redact, "rev-parse", "--git-dir")
	if r.interrupted() {
		return false
	}
	if code != gitFatal || strings.Contains(said, "not a git repository") {
		return true
	}
	refused := errRepositoryRefused(r.words(said))
	if r.given {
		r.warn(stepRun, nil, refused)
	} else {
		r.fail(stepRun, refused)
	}
	return false
}

// words is this program's message in git's standard error, or git's fatal error. A server's
// text is ignored, and logins in URLs are removed.
func (r *run) words(said string) string {
	found := ""
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		if own, is := strings.CutPrefix(line, prefix+own+": "); is {
			return r.result.Redact(own)
		}
		if fatal, is := strings.CutPrefix(line, "fatal: "); is && !strings.Contains(line, "@") && !strings.HasPrefix(fatal, "remote error") {
			found = fatal
		}
	}
	return r.result.Redact(found)
}

// ownHint is this program's own hint in what git printed, "" for none.
func (r *run) ownHint(said string) string {
	_, after, _ := strings.Cut(said, prefix+own+": hint: ")
	hint, _, _ := strings.Cut(after, "\n")
	return r.result.Redact(hint)
}

// interrupted reports whether the check was, in the step git-run.
func (r *run) interrupted() bool {
	switch {
	case r.ctx.Err() == nil:
		return false
	case r.result.Reason == nil:
		r.fail(stepRun, errCheckInterrupted())
	default:
		r.skip("the check was interrupted", stepRun)
	}
	return true
}

// remoteOf finds the remote of the repository here that is for the project, else the
// first one on the instance, and the URL that git makes of it.
func (r *run) remoteOf(p place) (name, target string, found bool) {
	for _, e := range r.config.Entries {
		remote, ok := e.Subsection()
		if !ok || e.Section != "remote" || e.Key != "url" || e.Implicit() {
			continue
		}
		to, _, _ := r.config.Rewritten(e.Value(), false)
		if !r.onInstance(p, to) {
			continue
		}
		its, _ := p.found.Instance.ProjectOf(to)
		if same := strings.EqualFold(its, project(p)); same || !found {
			name, target, found = remote, to, true
			if same {
				return name, target, true
			}
		}
	}
	return name, target, found
}

// plain reports a remote on the instance over plain http, for which git gets no token.
func (r *run) plain(p place) bool {
	for _, e := range r.config.Entries {
		if _, ok := e.Subsection(); !ok || e.Section != "remote" || e.Key != "url" || e.Implicit() {
			continue
		}
		to, _, _ := r.config.Rewritten(e.Value(), false)
		at, err := url.Parse(strings.TrimSpace(to))
		if err == nil && p.found.Instance.Match(strings.ToLower(at.Scheme), at.Host, strings.TrimPrefix(at.Path, "/")) == instance.Downgraded {
			r.fail(stepRun, message.URLIsHTTP(p.found.Instance.URL()))
			return true
		}
	}
	return false
}

// onInstance reports a remote's URL that is on the instance, whatever its path.
func (r *run) onInstance(p place, remote string) bool {
	at, err := url.Parse(strings.TrimSpace(remote))
	return err == nil && strings.EqualFold(at.Scheme+"://"+strings.TrimSuffix(at.Host, ":443"), p.found.Instance.Origin())
}

// pushes checks a remote's addresses for pushes only; by is the reported login for fetches.
// False means that a push has an empty password.
func (r *run) pushes(p place, name, by string) bool {
	for _, e := range r.config.Entries {
		if remote, ok := e.Subsection(); name == "" || !ok || remote != name || e.Section != "remote" || e.Key != "pushurl" || e.Implicit() {
			continue
		}
		to, _, _ := r.config.Rewritten(e.Value(), false)
		if its, _ := p.found.Instance.ProjectOf(to); !strings.EqualFold(its, project(p)) || its == "" {
			r.warn(stepRun, nil, warnPushElsewhere(e.Name(), message.Quote(e.Origin)))
			continue
		}
		if r.passwordMissing(name, to) {
			return false
		}
		if other, hint := r.otherLogin(p, name, to); other != "" && other != by {
			r.warn(stepRun, nil, warnGitLogsIn(other, hint))
		}
	}
	return true
}

// unrunnable is why git is not run: it would fail for a reported reason, prompt, or send the
// token to a helper that stores it. "" means that it can be run.
func (r *run) unrunnable(p place, target string, sound bool) string {
	helpers := r.config.Credential(target).Helpers
	tokenless := []source.Source{source.Env, source.Backend}
	switch _, diverted := r.config.Diverted(target, false); {
	case !sound:
		return earlier
	case diverted:
		return "git uses another address"
	case r.warned[stepHelpers] || r.warned[stepVerify]:
		return "fix the problems with git above first"
	case slices.ContainsFunc(helpers, func(h gitconfig.Helper) bool { return helperOf(h) != own }):
		return "git would also ask other helpers and send them the token"
	case slices.Contains(tokenless, p.found.Source):
		return "check does not pass a token in the environment to other programs"
	}
	return ""
}

// passwordMissing reports a URL with an empty password, which git uses without asking a helper.
func (r *run) passwordMissing(name, target string) bool {
	at, err := url.Parse(target)
	if err != nil || at.User == nil {
		return false
	}
	if password, set := at.User.Password(); !set || password != "" {
		return false
	}
	r.fail(stepRun, errPasswordEmpty(message.Quote(name)))
	return true
}

// otherLogin is a login that git uses before it asks a helper, and the hint for it; "" for
// none.
func (r *run) otherLogin(p place, name, target string) (by, hint string) {
	own := p.found.Token.Reveal()
	for _, e := range r.config.Entries {
		if e.Section != "http" || e.Key != "extraheader" || e.Implicit() {
			continue
		}
		header, _, _ := strings.Cut(e.Value(), ":")
		alone := r.config
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
	path, content := r.Here.netrc()
	if password, found := netrcPassword(content, at.Hostname()); found && password != own {
		return "the entry for " + at.Hostname() + " in " + message.Quote(path), "remove that entry, or the entry default"
	}
	return "", ""
}
