package gitlabtest

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func proxy(t *testing.T, o ProxyOptions) *Proxy {
	t.Helper()
	p, err := StartProxy(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// through is a client that goes through the proxy for everything.
func through(t *testing.T, caFile string, p *Proxy, user string) *http.Client {
	t.Helper()
	c := client(t, caFile)
	u, err := url.Parse(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		u.User = url.UserPassword(user, "secret-of-the-proxy")
	}
	c.Transport.(*http.Transport).Proxy = http.ProxyURL(u)
	return c
}

// connectThrough opens a tunnel by hand.
func connectThrough(t *testing.T, p *Proxy, hostport string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(p.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "CONNECT "+hostport+" HTTP/1.1\r\nHost: "+hostport+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: http.MethodConnect})
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("CONNECT: %v %v", res, err)
	}
	return c
}

func TestProxyNames(t *testing.T) {
	s := gitlab(t, Options{Path: "/gitlab", Hosts: []string{"gitlab.example.com"}})
	p := proxy(t, ProxyOptions{Routes: map[string]string{"GitLab.example.com:443": s.Addr()}})
	c := through(t, s.CAFile(), p, "")
	a := mustSend(t, c, http.MethodGet, "https://gitlab.example.com/gitlab/api/v4/projects/7", "Bearer "+canary, "")
	if a.status != 200 || a.proto != "HTTP/2.0" || !strings.Contains(a.body, `"http_url_to_repo":"https://gitlab.example.com/gitlab/group/sub/project.git"`) {
		t.Errorf("%d %s %s", a.status, a.proto, a.body)
	}
	for _, u := range []string{"https://gitlab.example.com:8443/", "https://example.org/", s.URL()} {
		if _, err := send(t, c, http.MethodGet, u, "", ""); err == nil || !strings.Contains(err.Error(), "Bad Gateway") {
			t.Errorf("%s: %v", u, err)
		}
	}
	got := p.Requests()
	if len(got) != 4 || got[0].Method != "CONNECT" || got[0].Path != "gitlab.example.com:443" || got[0].Status != 200 || got[2].Path != "example.org:443" || got[2].Status != 502 {
		t.Errorf("%+v", got)
	}
	if p.SawSecret(canary) {
		t.Error("the token was outside the tunnel")
	}
	p.Route("example.org:443", s.Addr())
	if _, err := send(t, c, http.MethodGet, "https://example.org/", "", ""); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("new route: %v", err)
	}
	// And git itself.
	out, err := gitRun(t, s.CAFile(), "oauth2:"+canary, t.TempDir(), "-c", "http.proxy="+p.URL(), "ls-remote", "https://gitlab.example.com/gitlab/"+project+".git")
	if strings.Contains(out, "refs/heads/main") == (err != nil) || err != nil {
		t.Errorf("git: %v %s", err, out)
	}
	p.Route("gitlab.example.com:443", "192.0.2.1:443")
	if _, err := p.dial(t.Context(), "tcp", "gitlab.example.com:443"); err == nil || !strings.Contains(err.Error(), "not a loopback address") {
		t.Errorf("left the machine: %v", err)
	}
}

// A proxy can lead all names elsewhere, to a host that has a certificate for each
// of them.
func TestProxyAnyName(t *testing.T) {
	s := gitlab(t, Options{Hosts: []string{"gitlab.example.com"}})
	l, err := StartListener(s.opts.Dir, ListenerOptions{AnyName: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	p := proxy(t, ProxyOptions{Routes: map[string]string{"gitlab.example.com:443": s.Addr(), "*": l.Addr(), "*:7443": "127.0.0.1:1"}})
	c := through(t, s.CAFile(), p, "")
	for at, want := range map[string]int{
		"https://gitlab.example.com/x":              404,
		"https://gitlab.example.com:8443/x":         401,
		"https://gitlab.example.com.evil.example/x": 401,
		"https://evil.example/x":                    401,
	} {
		if a := mustSend(t, c, http.MethodGet, at, "", ""); a.status != want {
			t.Errorf("%s: %d, want %d", at, a.status, want)
		}
	}
	if resp, err := c.Get("https://evil.example:7443/x"); err == nil {
		_ = resp.Body.Close()
		t.Errorf("a route to nowhere: %s", resp.Status)
	}
	if n := len(l.Requests()); n != 3 {
		t.Errorf("%d requests elsewhere", n)
	}
}

func TestProxyAuthentication(t *testing.T) {
	s := gitlab(t, Options{Hosts: []string{"gitlab.example.com"}})
	p := proxy(t, ProxyOptions{Routes: map[string]string{"gitlab.example.com:443": s.Addr()}, RequireAuth: true})
	const u = "https://gitlab.example.com/api/v4/user"
	if _, err := send(t, through(t, s.CAFile(), p, ""), http.MethodGet, u, "Bearer "+canary, ""); err == nil || !strings.Contains(err.Error(), "Proxy Authentication Required") {
		t.Errorf("without: %v", err)
	}
	if a := mustSend(t, through(t, s.CAFile(), p, "me"), http.MethodGet, u, "Bearer "+canary, ""); a.status != 200 {
		t.Errorf("with: %d", a.status)
	}
	got := p.Requests()
	if len(got) != 2 || got[0].Status != 407 || got[0].Authorized || !got[1].Authorized || !p.SawSecret("secret-of-the-proxy") {
		t.Errorf("%+v", got)
	}
	status := 403
	refusing := proxy(t, ProxyOptions{Routes: map[string]string{"gitlab.example.com:443": s.Addr()}, Answer: &status})
	if _, err := send(t, through(t, s.CAFile(), refusing, ""), http.MethodGet, u, "", ""); err == nil || !strings.Contains(err.Error(), "Forbidden") {
		t.Errorf("answer: %v", err)
	}
}

func TestProxyDelay(t *testing.T) {
	const trip = 60 * time.Millisecond
	s := gitlab(t, Options{Hosts: []string{"gitlab.example.com"}})
	p := proxy(t, ProxyOptions{Routes: map[string]string{"gitlab.example.com:443": s.Addr()}, Delay: trip})
	c := through(t, s.CAFile(), p, "")
	// measure wants at least that many round trips.
	measure := func(what string, trips int, cold bool) {
		t.Helper()
		if cold {
			c.CloseIdleConnections()
		}
		start := time.Now()
		if a := mustSend(t, c, http.MethodGet, "https://gitlab.example.com/api/v4/user", "Bearer "+canary, ""); a.status != 200 {
			t.Fatalf("%d", a.status)
		}
		if d := time.Since(start); d < time.Duration(trips)*trip {
			t.Errorf("%s: %v is less than %d round trips", what, d, trips)
		}
	}
	measure("connecting, TLS 1.3, and the request", 3, true)
	measure("the request alone", 1, false)
}

func TestProxyPlain(t *testing.T) {
	s := gitlab(t, Options{PlainHTTP: true})
	p := proxy(t, ProxyOptions{Routes: map[string]string{"gitlab.example.com:80": s.Addr(), "gitlab.example.com:8080": s.Addr()}})
	c := through(t, s.CAFile(), p, "me")
	for _, host := range []string{"gitlab.example.com:8080", "gitlab.example.com"} {
		a := mustSend(t, c, http.MethodGet, "http://"+host+"/api/v4/user", "Bearer "+canary, "")
		if a.status != 200 || !strings.Contains(a.body, "http://"+host+"/alice") {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if a := mustSend(t, c, http.MethodGet, "http://other.example.com/x?y", "", ""); a.status != 502 {
		t.Errorf("%d", a.status)
	}
	if got := p.Requests(); got[0].Path != "http://gitlab.example.com:8080/api/v4/user" || !got[0].Authorized {
		t.Errorf("%+v", got[0])
	}
	if !p.SawSecret(canary) || s.SawSecret("secret-of-the-proxy") {
		t.Error("evidence is wrong")
	}
}

func TestListener(t *testing.T) {
	dir := t.TempDir()
	s := gitlab(t, Options{Dir: dir})
	for _, plainHTTP := range []bool{false, true} {
		l, err := StartListener(dir, ListenerOptions{PlainHTTP: plainHTTP, Hosts: []string{"evil.example"}})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		// git asks its helper for the foreign host and sends what it gets; what
		// no helper of ours would give it.
		failGit(t, s, "mallory:glpat-CanaryLeaked", t.TempDir(), "Authentication failed", "ls-remote", l.URL()+"/group/sub/project.git")
		got := l.Requests()
		if len(got) != 2 || got[0].Authorized || got[0].Status != 401 || !got[1].Authorized {
			t.Errorf("%+v", got)
		}
		if !l.SawSecret("glpat-CanaryLeaked") || l.SawSecret(canary) {
			t.Error("evidence is wrong")
		}
	}
}

// A redirect before authentication makes git ask for the new host.
func TestListenerRedirect(t *testing.T) {
	dir := t.TempDir()
	s := gitlab(t, Options{Dir: dir, Path: "/gitlab"})
	l, err := StartListener(dir, ListenerOptions{Redirect: s.URL()})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out := mustGit(t, s, t.TempDir(), "ls-remote", l.URL()+"/"+project+".git")
	if !strings.Contains(out, "redirecting to "+s.URL()) || !strings.Contains(out, "refs/heads/main") {
		t.Errorf("%s", out)
	}
	if l.SawSecret(canary) || !s.SawSecret(canary) || len(l.Requests()) != 1 {
		t.Errorf("evidence is wrong: %+v", l.Requests())
	}
}

// A proxy over TLS has an authority of its own.
func TestProxyTLS(t *testing.T) {
	s := gitlab(t, Options{Hosts: []string{"gitlab.example.com"}})
	p := proxy(t, ProxyOptions{Dir: t.TempDir(), Routes: map[string]string{"gitlab.example.com:443": s.Addr()}})
	remote := "https://gitlab.example.com/" + project + ".git"
	if out, err := gitRun(t, s.CAFile(), "oauth2:"+canary, t.TempDir(), "-c", "http.proxy="+p.URL(), "ls-remote", remote); err == nil {
		t.Errorf("git trusts the proxy: %s", out)
	}
	if out, err := gitRun(t, s.CAFile(), "oauth2:"+canary, t.TempDir(), "-c", "http.proxy="+p.URL(), "-c", "http.proxySSLCAInfo="+p.CAFile(), "ls-remote", remote); err != nil || !strings.Contains(out, "refs/heads/main") {
		t.Errorf("git: %v %s", err, out)
	}
	if got := p.Requests(); len(got) == 0 || got[0].Path != "gitlab.example.com:443" || !strings.HasPrefix(p.URL(), "https://") {
		t.Errorf("%s: %+v", p.URL(), got)
	}
}

// A SOCKS proxy knows its names, for Go's clients and for git.
func TestSOCKS(t *testing.T) {
	s := gitlab(t, Options{Hosts: []string{"gitlab.example.com"}})
	p, err := StartSOCKS(map[string]string{"gitlab.example.com:443": s.Addr(), s.Addr(): s.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	c := client(t, s.CAFile())
	c.Transport.(*http.Transport).Proxy = http.ProxyURL(&url.URL{Scheme: "socks5h", Host: p.Addr()})
	for _, u := range []string{"https://gitlab.example.com", s.URL()} {
		if a := mustSend(t, c, http.MethodGet, u+"/api/v4/user", "Bearer "+canary, ""); a.status != 200 {
			t.Errorf("%s: %d", u, a.status)
		}
	}
	if _, err := send(t, c, http.MethodGet, "https://elsewhere.example/", "", ""); err == nil || !strings.Contains(err.Error(), "host unreachable") {
		t.Errorf("an unknown name: %v", err)
	}
	out, err := gitRun(t, s.CAFile(), "oauth2:"+canary, t.TempDir(), "-c", "http.proxy=socks5h://"+p.Addr(), "ls-remote", "https://gitlab.example.com/"+project+".git")
	if err != nil || !strings.Contains(out, "refs/heads/main") {
		t.Errorf("git: %v %s", err, out)
	}
	asked := p.Asked()
	if want := []string{"gitlab.example.com:443", s.Addr(), "elsewhere.example:443"}; len(asked) < 4 || !slices.Equal(asked[:3], want) {
		t.Errorf("asked for %q", asked)
	}
	// Other protocols than SOCKS are cut off.
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes for another protocol", n)
	}
}
