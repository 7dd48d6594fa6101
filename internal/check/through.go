package check

import (
	"context"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
)

// way is how git reaches an instance through the proxy of serve: a rule of its
// configuration, as setup --proxy writes it.
type way struct {
	// base is the rule's address, and proxy that without a path.
	base, proxy string
	by          gitconfig.Entry
}

// through is the way of a URL through a proxy: a rule leads to http on a loopback address.
func (r *run) through(target string) (w way, found bool) {
	_, w.by, found = r.config.Rewritten(target+"/", false)
	w.base, _ = w.by.Subsection()
	at, err := url.Parse(w.base)
	if r.TokenOnly || !found || err != nil || at.Scheme != "http" {
		return w, false
	}
	proxy, err := instance.Parse(at.Scheme+"://"+at.Host, true)
	w.proxy = proxy.Origin()
	return w, err == nil
}

// HasToken is why a token here is not checked.
func HasToken(proxy string) string { return "git uses the proxy " + proxy + ", which has the token" }

// behind are the instances that git reaches through a proxy: that of a request, or all for
// one without a host.
func (r *run) behind(request credential.Request) (places []place) {
	for _, e := range r.config.Entries {
		if e.Section != "url" || e.Key != "insteadof" || e.Implicit() {
			continue
		}
		i, err := instance.Parse(e.Value(), true)
		p := place{found: source.Found{Instance: i}, request: request}
		if request.Host == "" {
			p.request = requestFor(i)
		}
		w, proxied := r.through(p.url())
		if err != nil || !proxied || w.by.Value() != e.Value() || slices.ContainsFunc(places, func(other place) bool { return other.found.Instance == i }) {
			continue
		}
		places = append(places, p)
	}
	return places
}

// configuredThrough reports git's way through a proxy. No helper is asked on it.
func (r *run) configuredThrough(p place, w way) {
	r.good(stepHelpers, HelpersData{Helpers: []HelperData{}, Proxy: w.proxy}, "git uses the proxy %s for %s (%s in %s)", w.proxy, r.instance, w.by.Name(), message.Quote(w.by.Origin))
	if !p.found.Token.IsZero() {
		r.warn(stepHelpers, nil, warnTokenBesideProxy(p.found.Where))
	}
	if to, by, _ := r.config.Rewritten(p.url()+"/", true); !strings.HasPrefix(to, w.base) {
		r.warn(stepHelpers, nil, message.Elsewhere(p.url(), by.Name(), message.Quote(by.Origin)))
	}
	r.skip("git reaches the proxy over http on this machine", stepVerify)
	if r.repository() {
		r.runThrough(p, w)
	}
}

// runThrough makes git list the refs through a proxy.
func (r *run) runThrough(p place, w way) {
	ctx, cancel := r.limited()
	defer cancel()
	if err := reachable(ctx, w.proxy); err != nil && !r.interrupted() {
		r.fail(stepRun, errProxyUnreachable(w.proxy, file.Cause(err)))
	}
	target := p.url()
	switch remote := r.remoteThrough(w); {
	case r.done[stepRun]:
		return
	case r.given && project(p) == "":
		r.skip(noProject, stepRun)
		return
	case !r.given && remote == "":
		r.skip("no remote here is a repository on "+r.instance, stepRun)
		return
	case !r.given:
		target = remote
	}
	said, code := r.Here.git(ctx, r.result.Redact, "ls-remote", "--quiet", "--", target, "HEAD")
	switch {
	case r.interrupted():
	case code == 0:
		r.good(stepRun, nil, "git can list the refs through the proxy")
	case ctx.Err() != nil:
		r.fail(stepRun, errProxySilent(w.proxy, r.Limit.String()))
	case code < 0:
		r.skip("git could not be run", stepRun)
	default:
		words, hint := remoteWords(said)
		if words == "" {
			r.fail(stepRun, errGitFails(r.words(said), ""))
			return
		}
		r.fail(stepRun, errProxyRefuses(w.proxy, r.result.Redact(words), r.result.Redact(hint)))
	}
}

// reachable connects to a proxy.
func reachable(ctx context.Context, proxy string) error {
	at, err := url.Parse(proxy)
	if err != nil {
		return err
	}
	port := at.Port()
	if port == "" {
		port = "80"
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(at.Hostname(), port))
	if err == nil {
		err = conn.Close()
	}
	return err
}

// remoteThrough is the first remote of the repository here that git reaches by a way, "" for none.
func (r *run) remoteThrough(w way) string {
	for _, e := range r.config.Entries {
		name, ok := e.Subsection()
		if !ok || e.Section != "remote" || e.Key != "url" || e.Implicit() {
			continue
		}
		if to, _, _ := r.config.Rewritten(e.Value(), false); strings.HasPrefix(to, w.base) {
			return name
		}
	}
	return ""
}

// remoteWords are the first line that a server sent in what git printed, and its hint.
func remoteWords(said string) (words, hint string) {
	for line := range strings.Lines(said) {
		text, sent := strings.CutPrefix(strings.TrimSpace(line), "remote: ")
		after, isHint := strings.CutPrefix(text, "hint: ")
		switch {
		case sent && isHint && hint == "":
			hint = after
		case sent && !isHint && words == "":
			words = text
		}
	}
	return words, hint
}
