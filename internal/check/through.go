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

// beyond is a request for a proxy's own URL as one for the instance behind it; false for other
// requests, which stay as they are.
func (r *run) beyond(request credential.Request) (credential.Request, bool) {
	for _, e := range r.config.Entries {
		if e.Section != "url" || e.Key != "insteadof" || e.Implicit() {
			continue
		}
		i, err := instance.Parse(e.Value(), true)
		if err != nil {
			continue
		}
		w, proxied := r.through(i.URL())
		at, err := url.Parse(w.base)
		if err != nil || !proxied || request.Protocol != at.Scheme || !sameMachine(request.Host, at.Host) {
			continue
		}
		if path, found := strings.CutPrefix("/"+request.Path+"/", at.Path); found {
			own := requestFor(i)
			own.Path = strings.Trim(strings.TrimPrefix(i.URL(), i.Origin())+"/"+path, "/")
			return own, true
		}
	}
	return request, false
}

// sameMachine reports whether two hosts of URLs are the same port of this machine.
func sameMachine(one, two string) bool {
	a, b := url.URL{Host: one}, url.URL{Host: two}
	return onLoopback(one) && onLoopback(two) && a.Port() == b.Port()
}

// onLoopback reports whether plain http may be used for a host.
func onLoopback(host string) bool {
	_, err := instance.Parse("http://"+host, true)
	return err == nil
}

// configuredThrough reports git's way through a proxy. No helper is asked on it.
func (g *gitHere) configuredThrough(w way) {
	g.good(stepHelpers, HelpersData{Helpers: []HelperData{}, Proxy: w.proxy}, "git uses the proxy %s for %s (%s in %s)", w.proxy, g.instance, w.by.Name(), message.Quote(w.by.Origin))
	if !g.place.found.Token.IsZero() {
		g.warn(stepHelpers, nil, warnTokenBesideProxy(g.place.found.Where))
	}
	if to, by, _ := g.config.Rewritten(g.place.url()+"/", true); !strings.HasPrefix(to, w.base) {
		g.warn(stepHelpers, nil, message.Elsewhere(g.place.url(), by.Name(), message.Quote(by.Origin)))
	}
	g.skip("git reaches the proxy over http on this machine", stepVerify)
	if g.repository() {
		g.runThrough(w)
	}
}

// runThrough makes git list the refs through a proxy.
func (g *gitHere) runThrough(w way) {
	ctx, cancel := g.limited()
	defer cancel()
	if err := reachable(ctx, w.proxy); err != nil && !g.interrupted() {
		g.fail(stepRun, errProxyUnreachable(w.proxy, file.Cause(err)))
	}
	target := g.place.url()
	switch remote := remoteThrough(g.config, w); {
	case g.done[stepRun]:
		return
	case g.given && project(g.place) == "":
		g.skip(noProject, stepRun)
		return
	case !g.given && remote == "":
		g.skip("no remote here is a repository on "+g.instance, stepRun)
		return
	case !g.given:
		target = remote
	}
	said, code := g.Here.git(ctx, g.result.Redact, "ls-remote", "--quiet", "--", target, "HEAD")
	switch {
	case g.interrupted():
	case code == 0:
		g.good(stepRun, nil, "git can list the refs through the proxy")
	case ctx.Err() != nil:
		g.fail(stepRun, errProxySilent(w.proxy, g.Limit.String()))
	case code < 0:
		g.skip("git could not be run", stepRun)
	default:
		words, hint := remoteWords(said)
		if words == "" {
			g.fail(stepRun, errGitFails(gitWords(said, g.result.Redact), ""))
			return
		}
		g.fail(stepRun, errProxyRefuses(w.proxy, g.result.Redact(words), g.result.Redact(hint)))
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
func remoteThrough(config gitconfig.Config, w way) string {
	for e, to := range remotes(config, "url") {
		if strings.HasPrefix(to, w.base) {
			name, _ := e.Subsection()
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
