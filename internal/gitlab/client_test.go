package gitlab

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/token"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

const (
	canary  = "glpat-CanaryQ7x9Zk2WvB4n"
	project = "group/sub/project"
	agent   = "git-credential-acp/1.2.3"
	// atOnce is far more than anything takes that happens at once, and far less
	// than what would end it otherwise.
	atOnce = 20 * time.Second
)

var (
	guide = access.Policy{Minimum: access.Developer, Scopes: access.DefaultScopes(), Project: true}
	alone = access.Policy{Minimum: access.Developer, Scopes: access.DefaultScopes()}
)

// stand starts a GitLab with a user, the canary as a good token of theirs, and
// a project, number 42, in which they are a developer.
func stand(t *testing.T, o gitlabtest.Options) *gitlabtest.Server {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	server, err := gitlabtest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	server.AddUser(gitlabtest.User{ID: 7, Username: "dev"})
	server.AddToken(gitlabtest.Token{Value: canary, ID: 11, UserID: 7, Scopes: []string{"api", "write_repository"}})
	if err := server.AddProject(gitlabtest.Project{ID: 42, Path: project, Direct: map[int]int{7: access.Developer}, NoRepository: true}); err != nil {
		t.Fatal(err)
	}
	return server
}

// connect makes a client for the canary at a URL, which trusts the file of
// authorities, if one is named.
func connect(t testing.TB, at, caFile string, changes ...func(*Config)) *Client {
	t.Helper()
	i, err := instance.Parse(at, true)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := token.Parse(canary)
	if err != nil {
		t.Fatal(err)
	}
	config := Config{Instance: i, Token: tok, UserAgent: agent, Network: transport.Network{Roots: x509.NewCertPool()}}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil || !config.Network.Roots.AppendCertsFromPEM(pem) {
			t.Fatalf("no authorities in %s: %v", caFile, err)
		}
	}
	for _, change := range changes {
		change(&config)
	}
	c := New(config)
	t.Cleanup(c.Close)
	return c
}

// ask is a check that knows nothing yet, held to what is true of every verdict.
func ask(ctx context.Context, t testing.TB, c *Client, policy access.Policy) access.Verdict {
	t.Helper()
	v, _ := c.Check(ctx, project, policy, access.Facts{})
	hold(t, v)
	return v
}

func hold(t testing.TB, v access.Verdict) {
	t.Helper()
	if shown := fmt.Sprintf("%+v", v); strings.Contains(shown, "Canary") {
		t.Errorf("the token shows: %s", shown)
	}
	if (v.Reason == "") != (v.Outcome == access.Granted) || v.Wait < 0 {
		t.Errorf("%+v", v)
	}
}

func wantReason(t *testing.T, v access.Verdict, outcome access.Outcome, reason access.Reason) {
	t.Helper()
	if v.Outcome != outcome || v.Reason != reason {
		t.Errorf("%+v, want outcome %v, %q", v, outcome, reason)
	}
}

// within runs f and fails when it does not return at once.
func within(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(atOnce):
		t.Fatal("it went on and on")
	}
}

// The usual check: two requests at the same time on one connection, and
// nothing in them but what has to be.
func TestCheckCost(t *testing.T) {
	for _, o := range []gitlabtest.Options{{}, {Path: "/gitlab"}, {HTTP1Only: true}} {
		server := stand(t, o)
		wantReason(t, ask(t.Context(), t, connect(t, server.URL(), server.CAFile()), guide), access.Granted, "")
		requests := server.Requests()
		if len(requests) != 2 || server.Count("self") != 1 || server.Count("project") != 1 || server.Connections() != 1 {
			t.Errorf("%d connections, requests %+v", server.Connections(), requests)
		}
		for _, r := range requests {
			if (r.Proto == "HTTP/2.0") == o.HTTP1Only || r.Method != http.MethodGet || r.Scheme != "Bearer" || r.UserAgent != agent || r.Query != "" {
				t.Errorf("%+v", r)
			}
		}
	}
	// Without a project there is one request.
	server := stand(t, gitlabtest.Options{})
	wantReason(t, ask(t.Context(), t, connect(t, server.URL(), server.CAFile()), alone), access.Granted, "")
	if server.Count("all") != 1 || server.Count("self") != 1 {
		t.Errorf("requests %+v", server.Requests())
	}
}

// The two questions are on their way at the same time: neither waits for the
// other's answer.
func TestCheckAsksAtOnce(t *testing.T) {
	server := stand(t, gitlabtest.Options{})
	server.AddFault(gitlabtest.Fault{Match: "api", Hang: true})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var sent atomic.Int32
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) {
		// When both are out, this ends the check.
		if sent.Add(1) == 2 {
			cancel()
		}
	}})
	within(t, func() {
		wantReason(t, ask(ctx, t, connect(t, server.URL(), server.CAFile()), guide), access.Unverified, access.Interrupted)
	})
	if server.Connections() != 1 {
		t.Errorf("%d connections", server.Connections())
	}
}

// Known facts are not requested again, and a token that is known to be invalid is not sent to
// GitLab.
func TestCheckKnown(t *testing.T) {
	server := stand(t, gitlabtest.Options{})
	c := connect(t, server.URL(), server.CAFile())
	_, facts := c.Check(t.Context(), project, alone, access.Facts{})
	server.ResetRequests()
	v, all := c.Check(t.Context(), project, guide, facts)
	wantReason(t, v, access.Granted, "")
	if server.Count("self") != 0 || server.Count("project") != 1 || server.Count("all") != 1 {
		t.Errorf("requests %+v", server.Requests())
	}
	if all.Self.UserID != 7 || all.Project.ID != 42 || all.Project.Level != access.Developer {
		t.Errorf("%+v", all)
	}
	server.ResetRequests()
	for _, known := range []access.Facts{
		{Self: access.Self{Reply: access.Reply{State: access.Rejected, Reason: access.TokenRevoked}}},
		{Project: access.Project{Reply: access.Reply{State: access.Rejected, Reason: access.TokenRevoked}}},
	} {
		v, _ := c.Check(t.Context(), project, guide, known)
		wantReason(t, v, access.Refused, access.TokenRevoked)
	}
	if server.Count("all") != 0 {
		t.Errorf("requests %+v", server.Requests())
	}
}

// The lowest of what the answers tell of the rate limit.
func TestCheckRate(t *testing.T) {
	server := stand(t, gitlabtest.Options{})
	_, facts := connect(t, server.URL(), server.CAFile()).Check(t.Context(), project, guide, access.Facts{})
	if facts.Rate != (access.Rate{}) {
		t.Errorf("nobody said anything, and yet: %+v", facts.Rate)
	}
	server.SetRateLimit(300, time.Minute)
	before := time.Now()
	_, facts = connect(t, server.URL(), server.CAFile()).Check(t.Context(), project, guide, access.Facts{})
	if rate := facts.Rate; rate.Limit != 300 || rate.Remaining != 298 || rate.Reset.Before(before) || rate.Reset.After(before.Add(2*time.Minute)) {
		t.Errorf("%+v", rate)
	}
	// Invalid rate limit headers are ignored.
	server.SetRateLimit(0, 0)
	for _, header := range []http.Header{
		{"RateLimit-Limit": {"many"}, "RateLimit-Remaining": {"1"}, "RateLimit-Reset": {"1"}},
		{"RateLimit-Limit": {"0"}, "RateLimit-Remaining": {"0"}, "RateLimit-Reset": {"1"}},
		{"RateLimit-Limit": {"300"}, "RateLimit-Remaining": {"1"}},
		{"RateLimit-Remaining": {"1"}, "RateLimit-Reset": {"1"}},
	} {
		server.AddFault(gitlabtest.Fault{Match: "api", Times: 2, Header: header})
		v, facts := connect(t, server.URL(), server.CAFile()).Check(t.Context(), project, guide, access.Facts{})
		wantReason(t, v, access.Granted, "")
		if facts.Rate != (access.Rate{}) {
			t.Errorf("%v: %+v", header, facts.Rate)
		}
	}
}

// A signal ends a check at once, in any phase.
func TestCheckInterrupted(t *testing.T) {
	t.Run("before it begins", func(t *testing.T) {
		server := stand(t, gitlabtest.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		within(t, func() {
			wantReason(t, ask(ctx, t, connect(t, server.URL(), server.CAFile()), guide), access.Unverified, access.Interrupted)
		})
		if server.Count("all") != 0 {
			t.Errorf("requests %+v", server.Requests())
		}
	})
	t.Run("before a later question", func(t *testing.T) {
		server := stand(t, gitlabtest.Options{})
		if err := server.UpdateProject(project, func(p *gitlabtest.Project) { p.Direct = map[int]int{7: access.Reporter} }); err != nil {
			t.Fatal(err)
		}
		server.AddFault(gitlabtest.Fault{Match: "member", Hang: true})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var sent atomic.Int32
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) {
			if sent.Add(1) == 3 {
				cancel()
			}
		}})
		within(t, func() {
			wantReason(t, ask(ctx, t, connect(t, server.URL(), server.CAFile()), guide), access.Unverified, access.Interrupted)
		})
	})
	t.Run("while it waits", func(t *testing.T) {
		server := stand(t, gitlabtest.Options{})
		server.AddFault(gitlabtest.Fault{Match: "api", Status: 429, Header: http.Header{"Retry-After": {"3600"}}})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		c := connect(t, server.URL(), server.CAFile(), func(c *Config) { c.OnWait = func(time.Duration, access.Reason) { cancel() } })
		within(t, func() { wantReason(t, ask(ctx, t, c, guide), access.Unverified, access.Interrupted) })
	})
	t.Run("while TLS hangs", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		c := connect(t, "https://"+mute(t, cancel), "")
		within(t, func() { wantReason(t, ask(ctx, t, c, guide), access.Unverified, access.Interrupted) })
	})
}

// mute is the address of a server that takes connections and says nothing.
func mute(t *testing.T, accepted func()) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	done := make(chan struct{})
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				accepted()
				<-done
				conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		close(done)
		l.Close()
		conns.Wait()
	})
	return l.Addr().String()
}

// The time limit holds in every phase, and the verdict names it.
func TestCheckTimeout(t *testing.T) {
	const limit = 300 * time.Millisecond
	for name, start := range map[string]func(t *testing.T) *Client{
		"no answer": func(t *testing.T) *Client {
			server := stand(t, gitlabtest.Options{})
			server.AddFault(gitlabtest.Fault{Match: "self", Hang: true})
			return connect(t, server.URL(), server.CAFile())
		},
		"no TLS": func(t *testing.T) *Client { return connect(t, "https://"+mute(t, func() {}), "") },
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t)
			c.config.Limit = limit
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			within(t, func() {
				v := ask(ctx, t, c, guide)
				wantReason(t, v, access.Unverified, access.Timeout)
				if v.Detail != "300ms" {
					t.Errorf("detail %q", v.Detail)
				}
			})
		})
	}
}

// A redirect within the API is followed, as that of a moved project.
func TestCheckRedirectInside(t *testing.T) {
	server := stand(t, gitlabtest.Options{Path: "/gitlab"})
	api := server.URL() + "/api/v4"
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, location := range []string{api + "/projects/42", "/gitlab/api/v4/projects/42", "42", api + "/x/../projects/42"} {
			server.ResetRequests()
			server.AddFault(gitlabtest.Fault{Match: "/gitlab/api/v4/projects/group", Times: 1, Status: status, RedirectTo: location})
			wantReason(t, ask(t.Context(), t, connect(t, server.URL(), server.CAFile()), guide), access.Granted, "")
			followed := 0
			for _, r := range server.Requests() {
				if r.Path == "/gitlab/api/v4/projects/42" {
					followed++
				}
				if r.Scheme != "Bearer" || r.UserAgent != agent {
					t.Errorf("%d to %s: %+v", status, location, r)
				}
			}
			if followed != 1 || server.Count("all") != 3 || server.Connections() != 1 {
				t.Errorf("%d to %s: %+v", status, location, server.Requests())
			}
		}
	}
	// Three in a row are enough for anything that GitLab does.
	hops := func(n int) access.Verdict {
		server.ResetRequests()
		at := "/gitlab/api/v4/projects/group"
		for i := range n {
			to := fmt.Sprintf("/gitlab/api/v4/hop%d", i)
			if i == n-1 {
				to = "/gitlab/api/v4/projects/42"
			}
			server.AddFault(gitlabtest.Fault{Match: at, Times: 1, RedirectTo: to})
			at = to
		}
		defer server.ClearFaults()
		return ask(t.Context(), t, connect(t, server.URL(), server.CAFile()), guide)
	}
	wantReason(t, hops(3), access.Granted, "")
	wantReason(t, hops(4), access.Unverified, access.InFront)
	if server.Count("project") != 1 {
		t.Errorf("the fourth was followed: %+v", server.Requests())
	}
	server.ResetRequests()
	server.AddFault(gitlabtest.Fault{Match: "project", RedirectTo: api + "/projects/42"})
	wantReason(t, ask(t.Context(), t, connect(t, server.URL(), server.CAFile()), guide), access.Unverified, access.InFront)
	if server.Count("project") != 4 {
		t.Errorf("%d requests in a circle", server.Count("project"))
	}
}

// No redirect leads out of the API: not to another path, port, scheme or host.
// Whoever is there never sees as much as a request.
func TestCheckRedirectOutside(t *testing.T) {
	dir := t.TempDir()
	names := []string{"gitlab.example.com", "sub.gitlab.example.com", "example.com", "evil.example", "gitlab.example.com.evil.example"}
	server := stand(t, gitlabtest.Options{Dir: dir, Path: "/gitlab", Hosts: names})
	secure, err := gitlabtest.StartListener(dir, gitlabtest.ListenerOptions{Hosts: names})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(secure.Close)
	plain, err := gitlabtest.StartListener(dir, gitlabtest.ListenerOptions{PlainHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(plain.Close)
	proxy, err := gitlabtest.StartProxy(gitlabtest.ProxyOptions{Routes: map[string]string{"gitlab.example.com:443": server.Addr(),
		"gitlab.example.com:8443": secure.Addr(), "gitlab.example.com:80": plain.Addr(), "gitlab.example.com.:443": secure.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	for _, name := range names[1:] {
		proxy.Route(name+":443", secure.Addr())
		proxy.Route(name+":80", plain.Addr())
	}
	through, err := url.Parse(proxy.URL())
	if err != nil {
		t.Fatal(err)
	}
	const api = "/gitlab/api/v4/projects/42"
	for name, location := range map[string]string{
		"another host":               "https://evil.example" + api,
		"a subdomain":                "https://sub.gitlab.example.com" + api,
		"the domain above":           "https://example.com" + api,
		"our host as a beginning":    "https://gitlab.example.com.evil.example" + api,
		"our host as a user":         "https://gitlab.example.com@evil.example" + api,
		"our host with a dot":        "https://gitlab.example.com." + api,
		"without a scheme":           "//evil.example" + api,
		"with a backslash":           `/\evil.example` + api,
		"another port":               "https://gitlab.example.com:8443" + api,
		"plain http":                 "http://gitlab.example.com" + api,
		"plain http, https's port":   "http://gitlab.example.com:443" + api,
		"another host, plain http":   "http://evil.example" + api,
		"a user":                     "https://user@gitlab.example.com" + api,
		"a user and a password":      "https://user:password@gitlab.example.com" + api,
		"the sign-in page":           "https://gitlab.example.com/gitlab/users/sign_in",
		"another version of the API": "https://gitlab.example.com/gitlab/api/v3/projects/42",
		"an API that only begins so": "https://gitlab.example.com/gitlab/api/v4evil/projects/42",
		"the API itself":             "https://gitlab.example.com/gitlab/api/v4",
		"another instance's API":     "https://gitlab.example.com/api/v4/projects/42",
		"out by dots":                "https://gitlab.example.com/gitlab/api/v4/../../users/sign_in",
		"out by dots, relative":      "../../../../users/sign_in",
		"another protocol":           "ftp://gitlab.example.com" + api,
		"a file":                     "file:///etc/passwd",
		"a script":                   "javascript:alert(1)",
	} {
		t.Run(name, func(t *testing.T) {
			server.ResetRequests()
			server.ClearFaults()
			server.AddFault(gitlabtest.Fault{Match: "api", RedirectTo: location})
			c := connect(t, "https://gitlab.example.com/gitlab", server.CAFile(), func(c *Config) { c.Network.Proxy = http.ProxyURL(through) })
			v := ask(t.Context(), t, c, guide)
			if v.Outcome != access.Unverified || v.Reason != access.InFront && v.Reason != access.Redirected {
				t.Errorf("%+v", v)
			}
			if server.Count("self") != 1 || server.Count("project") != 1 || server.Count("all") != 2 {
				t.Errorf("requests %+v", server.Requests())
			}
		})
	}
	if secure.Connections() != 0 || plain.Connections() != 0 || secure.SawSecret(canary) || plain.SawSecret(canary) || proxy.SawSecret(canary) {
		t.Errorf("somebody else was asked: %+v, %+v", secure.Requests(), plain.Requests())
	}
	for _, r := range proxy.Requests() {
		if r.Method != http.MethodConnect || r.Path != "gitlab.example.com:443" {
			t.Errorf("the proxy was asked for %s %s", r.Method, r.Path)
		}
	}
	if !server.SawSecret(canary) {
		t.Error("nobody saw the token: the test shows nothing")
	}
}

// Answers that are too long are not read to their end.
func TestCheckBounds(t *testing.T) {
	pad := func(n int) http.Header { return http.Header{"X-Pad": {strings.Repeat("a", n)}} }
	for _, o := range []gitlabtest.Options{{}, {HTTP1Only: true}} {
		server := stand(t, o)
		tests := []struct {
			name  string
			fault gitlabtest.Fault
			good  bool
		}{
			{"longest body", gitlabtest.Fault{Match: "api", Size: transport.MaxBody}, true},
			{"longer body", gitlabtest.Fault{Match: "self", Size: transport.MaxBody + 1}, false},
			{"longer body of a refusal", gitlabtest.Fault{Match: "self", Status: 403, Body: `{"message":"` + strings.Repeat("a", transport.MaxBody) + `"}`}, false},
			// The part within the limit is valid JSON, but not the whole reply.
			{"longer body for its white space", gitlabtest.Fault{Match: "self", Header: http.Header{"Content-Type": {"application/json"}}, Body: wellKnown +
				strings.Repeat(" ", transport.MaxBody+1-len(wellKnown))}, false},
			{"endless body", gitlabtest.Fault{Match: "project", Endless: true}, false},
			{"long header", gitlabtest.Fault{Match: "api", Header: pad(transport.MaxHeader / 2)}, true},
			{"longer header", gitlabtest.Fault{Match: "self", Header: pad(2 * transport.MaxHeader)}, false},
		}
		for _, test := range tests {
			t.Run(fmt.Sprintf("%s, HTTP/1.1 only %v", test.name, o.HTTP1Only), func(t *testing.T) {
				server.ClearFaults()
				server.ResetRequests()
				server.AddFault(test.fault)
				// Tries that are made again don't make the test long.
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				v := ask(ctx, t, connect(t, server.URL(), server.CAFile()), guide)
				if (v.Outcome == access.Granted) != test.good || !test.good && v.Outcome != access.Unverified {
					t.Errorf("%+v", v)
				}
				if strings.Contains(test.name, "body") && !test.good {
					wantReason(t, v, access.Unverified, access.Garbled)
					if v.Detail != "a reply of more than 1 MiB" {
						t.Errorf("%+v", v)
					}
					if server.Count(test.fault.Match) != 1 {
						t.Errorf("%d tries: it would be as long again", server.Count(test.fault.Match))
					}
				}
			})
		}
	}
}

// stub answers in the network's stead, so that time can be made up.
type stub func(*http.Request) (*http.Response, error)

func (s stub) RoundTrip(r *http.Request) (*http.Response, error) { return s(r) }

// stubbed is a client whose requests go to a function.
func stubbed(t testing.TB, answer stub, changes ...func(*Config)) *Client {
	t.Helper()
	c := connect(t, "https://gitlab.example.com", "", changes...)
	c.http.Transport = transport.Redirects{Next: answer, Allow: inside(c.config.Instance, c.config.Instance.API())}
	c.git.Transport = transport.Redirects{Next: answer, Allow: inside(c.config.Instance, c.config.Instance.URL())}
	return c
}

// reply makes a response; header is a list of names and values.
func reply(r *http.Request, status int, body string, header ...string) *http.Response {
	resp := &http.Response{StatusCode: status, Proto: "HTTP/2.0", ProtoMajor: 2, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r}
	for i := 0; i+1 < len(header); i += 2 {
		resp.Header.Set(header[i], header[i+1])
	}
	return resp
}

// wellKnown is what GitLab tells of a good token.
const wellKnown = `{"id":11,"user_id":7,"name":"n","scopes":["api","write_repository"],"active":true,"revoked":false,"expires_at":null}`

// right are the answers to a good token in a good project.
func right(r *http.Request) *http.Response {
	switch tail, _ := strings.CutPrefix(r.URL.EscapedPath(), "/api/v4"); tail {
	case "/personal_access_tokens/self":
		return reply(r, 200, wellKnown)
	case "/user":
		return reply(r, 200, `{"id":7,"username":"dev"}`)
	case "/projects/group%2Fsub%2Fproject":
		return reply(r, 200, `{"id":42,"permissions":{"project_access":{"access_level":30},"group_access":null}}`)
	case "/projects/42/members/all/7":
		return reply(r, 200, `{"id":7,"access_level":30}`)
	}
	return reply(r, 404, `{"error":"404 Not Found"}`)
}

func isSelf(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/self") }

// Which statuses are asked about again, and how long that takes: five tries
// with waits of a quarter of a second, doubled each time and up to a quarter
// longer.
func TestRetryStatus(t *testing.T) {
	for status := 200; status < 600; status++ {
		for _, body := range []string{`{"message":"x"}`, "no JSON"} {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				c := stubbed(t, func(r *http.Request) (*http.Response, error) {
					if isSelf(r) {
						tries++
					}
					return reply(r, status, body), nil
				})
				begun := time.Now()
				v := ask(t.Context(), t, c, alone)
				took := time.Since(begun)
				want := access.ServerError
				switch {
				case status == 429:
					want = access.RateLimited
				case body != "no JSON" && (status == 401 || status == 403 || status == 404):
					want = access.InFront
				case status < 500 || status == 501:
					if tries != 1 || took != 0 {
						t.Errorf("%d: %d tries in %v", status, tries, took)
					}
					return
				}
				const shortest = 3750 * time.Millisecond
				if tries != 5 || took < shortest || took > shortest*5/4+4*time.Millisecond {
					t.Errorf("%d: %d tries in %v", status, tries, took)
				}
				wantReason(t, v, access.Unverified, want)
			})
		}
	}
}

// cutShort is the right answer with its second half missing.
func cutShort(r *http.Request) *http.Response {
	resp := right(r)
	resp.Body = io.NopCloser(io.MultiReader(io.LimitReader(resp.Body, 30), failing{}))
	return resp
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// The wait that GitLab asks for is kept, a little longer by chance.
func TestRetryWait(t *testing.T) {
	// The clock of a bubble begins here.
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	date := func(in time.Duration) string { return start.Add(in).Format(http.TimeFormat) }
	unix := func(in time.Duration) string { return strconv.FormatInt(start.Add(in).Unix(), 10) }
	const usual = 250 * time.Millisecond
	tests := []struct {
		name   string
		header []string
		want   time.Duration
	}{
		{"nothing said", nil, usual},
		{"seconds", []string{"Retry-After", "7"}, 7 * time.Second},
		{"an hour", []string{"Retry-After", "3600"}, time.Hour},
		{"date", []string{"Retry-After", date(7 * time.Second)}, 7 * time.Second},
		{"date of the older kind", []string{"Retry-After", start.Add(7 * time.Second).Format(time.RFC850)}, 7 * time.Second},
		{"reset", []string{"RateLimit-Reset", unix(7 * time.Second)}, 7 * time.Second},
		{"both", []string{"Retry-After", "7", "RateLimit-Reset", unix(time.Minute)}, 7 * time.Second},
		{"the first is nonsense", []string{"Retry-After", "soon", "RateLimit-Reset", unix(7 * time.Second)}, 7 * time.Second},
		// There is nothing to wait for, or it can't be waited for.
		{"no seconds", []string{"Retry-After", "0"}, usual},
		{"date past", []string{"Retry-After", date(-time.Hour)}, usual},
		{"reset past", []string{"RateLimit-Reset", unix(-time.Hour)}, usual},
		{"negative", []string{"Retry-After", "-7"}, usual},
		{"fraction", []string{"Retry-After", "0.5"}, usual},
		{"nonsense", []string{"Retry-After", "later", "RateLimit-Reset", "later"}, usual},
	}
	for _, status := range []int{429, 503} {
		for _, test := range tests {
			if status != 429 && (test.name == "reset" || test.name == "the first is nonsense") {
				continue // when a limit's window ends says nothing about an outage
			}
			t.Run(fmt.Sprint(status, " ", test.name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					tries := 0
					c := stubbed(t, func(r *http.Request) (*http.Response, error) {
						if tries++; tries == 1 {
							return reply(r, status, "", test.header...), nil
						}
						return right(r), nil
					})
					begun := time.Now()
					wantReason(t, ask(t.Context(), t, c, alone), access.Granted, "")
					if took := time.Since(begun); tries != 2 || took < test.want || took > test.want*5/4+time.Millisecond {
						t.Errorf("%d tries in %v, want %v", tries, took, test.want)
					}
				})
			})
		}
	}
}

// A wait that would not end in time is not begun, and the verdict says how long
// it would have been.
func TestRetryInTime(t *testing.T) {
	for after, waits := range map[int]bool{3: true, 5: false, 60: false} {
		for status, reason := range map[int]access.Reason{429: access.RateLimited, 503: access.ServerError} {
			synctest.Test(t, func(t *testing.T) {
				tries, told := 0, 0
				c := stubbed(t, func(r *http.Request) (*http.Response, error) {
					if tries++; tries == 1 {
						return reply(r, status, "", "Retry-After", strconv.Itoa(after)), nil
					}
					return right(r), nil
				}, func(c *Config) { c.OnWait = func(time.Duration, access.Reason) { told++ } })
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				begun := time.Now()
				v := ask(ctx, t, c, alone)
				if waits {
					wantReason(t, v, access.Granted, "")
					return
				}
				wantReason(t, v, access.Unverified, reason)
				if took := time.Since(begun); tries != 1 || told != 0 || took != 0 || v.Wait != time.Duration(after)*time.Second {
					t.Errorf("%d after %d s: %d tries in %v, told %d times: %+v", status, after, tries, took, told, v)
				}
			})
		}
	}
	// With the usual waits, as many tries as fit: after 0, 0.25 and 0.75 s, and
	// up to a quarter more.
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		c := stubbed(t, func(r *http.Request) (*http.Response, error) {
			tries++
			return reply(r, 502, ""), nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		v := ask(ctx, t, c, alone)
		if took := time.Since(begun); tries != 3 || took >= time.Second {
			t.Errorf("%d tries in %v", tries, took)
		}
		wantReason(t, v, access.Unverified, access.ServerError)
		if v.Detail != "502 Bad Gateway" {
			t.Errorf("%+v", v)
		}
	})
}

// Time that runs out in a later try: what the tries before met says more.
func TestTimeoutAfterTry(t *testing.T) {
	for name, test := range map[string]struct {
		first  stub
		reason access.Reason
		detail string
	}{
		"nothing before":  {hang, access.Timeout, "2s"},
		"busy before":     {func(r *http.Request) (*http.Response, error) { return reply(r, 503, ""), nil }, access.ServerError, "503 Service Unavailable"},
		"limited before":  {func(r *http.Request) (*http.Response, error) { return reply(r, 429, ""), nil }, access.RateLimited, ""},
		"cut before":      {func(r *http.Request) (*http.Response, error) { return cutShort(r), nil }, access.Garbled, "a truncated reply"},
		"refused before":  {func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }, access.Unreachable, "gitlab.example.com"},
		"hangs in a body": {func(r *http.Request) (*http.Response, error) { return hanging(r), nil }, access.Timeout, "2s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				c := stubbed(t, func(r *http.Request) (*http.Response, error) {
					if tries++; tries == 1 {
						return test.first(r)
					}
					return hang(r)
				})
				c.config.Limit = 2 * time.Second
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				begun := time.Now()
				v := ask(ctx, t, c, alone)
				wantReason(t, v, access.Unverified, test.reason)
				if took := time.Since(begun); took != 2*time.Second || v.Detail != test.detail {
					t.Errorf("after %v: %+v, want %q", took, v, test.detail)
				}
			})
		})
	}
}

// hanging is the right answer, of which the second half never comes.
func hanging(r *http.Request) *http.Response {
	resp := right(r)
	resp.Body = io.NopCloser(io.MultiReader(io.LimitReader(resp.Body, 30), readerFunc(func([]byte) (int, error) {
		<-r.Context().Done()
		return 0, r.Context().Err()
	})))
	return resp
}

// hang never answers.
var hang stub = func(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// People hear of a wait once, not once for each question, and again when the
// next one begins.
func TestOnWait(t *testing.T) {
	tests := []struct {
		name    string
		refuse  int // how many tries of each question meet a 429
		header  []string
		want    []time.Duration
		outcome access.Outcome
	}{
		{"none", 0, nil, nil, access.Granted},
		{"one", 1, []string{"Retry-After", "60"}, []time.Duration{time.Minute}, access.Granted},
		{"two", 2, []string{"Retry-After", "60"}, []time.Duration{time.Minute, time.Minute}, access.Granted},
		{"all, as long as usual", 9, nil, []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second}, access.Unverified},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				tries := map[string]int{}
				var told []time.Duration
				c := stubbed(t, func(r *http.Request) (*http.Response, error) {
					mu.Lock()
					defer mu.Unlock()
					if tries[r.URL.Path]++; tries[r.URL.Path] <= test.refuse {
						return reply(r, 429, "Retry later", test.header...), nil
					}
					return right(r), nil
				}, func(c *Config) {
					c.OnWait = func(wait time.Duration, why access.Reason) {
						mu.Lock()
						defer mu.Unlock()
						told = append(told, wait)
						if why != access.RateLimited {
							t.Errorf("because of %q", why)
						}
					}
				})
				if v := ask(t.Context(), t, c, guide); v.Outcome != test.outcome {
					t.Errorf("%+v", v)
				}
				if len(told) != len(test.want) {
					t.Fatalf("told %v, want about %v", told, test.want)
				}
				for i, want := range test.want {
					if told[i] < want || told[i] > want*5/4+time.Millisecond {
						t.Errorf("told %v, want about %v", told, test.want)
					}
				}
			})
		})
	}
}

// A caller that waits for rate limits itself gets a 429 at once, and no question is
// asked for which the answers so far show no room.
func TestOnLimit(t *testing.T) {
	begin := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // of a bubble's clock
	left := func(remaining int) []string {
		return []string{"RateLimit-Limit", "300", "RateLimit-Remaining", strconv.Itoa(remaining), "RateLimit-Reset", strconv.FormatInt(begin.Add(55*time.Second).Unix(), 10)}
	}
	for name, test := range map[string]struct {
		status  int
		header  []string
		canWait bool
		wait    time.Duration // 0: both are asked
		held    bool
	}{
		"refused":                {429, []string{"Retry-After", "30"}, true, 30 * time.Second, false},
		"refused, without time":  {429, []string{"Retry-After", "30"}, false, 30 * time.Second, false},
		"the last":               {200, left(0), true, 56 * time.Second, true},
		"the last, without time": {200, left(0), false, 56 * time.Second, false},
		"soon gone":              {200, left(150), true, 56 * time.Second, true},
		"soon gone, no time":     {200, left(150), false, 0, false},
		"enough":                 {200, left(290), true, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				c := stubbed(t, func(r *http.Request) (*http.Response, error) {
					asked++
					if !isSelf(r) {
						return right(r), nil
					}
					if test.status != 200 {
						return reply(r, test.status, "", test.header...), nil
					}
					answer := right(r)
					for n := 0; n < len(test.header); n += 2 {
						answer.Header.Set(test.header[n], test.header[n+1])
					}
					return answer, nil
				}, func(c *Config) { c.OnLimit = func(time.Duration) bool { return test.canWait } })
				v := ask(t.Context(), t, c, guide)
				if test.wait == 0 {
					wantReason(t, v, access.Granted, "")
					return
				}
				wantReason(t, v, access.Unverified, access.RateLimited)
				if v.Wait != test.wait || asked != 1 || (v.Detail == access.Held) != test.held {
					t.Errorf("asked %d: %+v", asked, v)
				}
			})
		})
	}
}

// An answer that rules the token out ends the other question, however long that
// one would take, and is the verdict.
func TestCheckRejectedEndsOther(t *testing.T) {
	rejected := func(r *http.Request) *http.Response {
		return reply(r, 401, `{"error":"invalid_token","error_description":"Token was revoked. You have to re-authorize from the user."}`)
	}
	for _, selfRejected := range []bool{true, false} {
		for name, other := range map[string]stub{
			"hangs":       hang,
			"has to wait": func(r *http.Request) (*http.Response, error) { return reply(r, 429, "", "Retry-After", "3600"), nil },
		} {
			t.Run(fmt.Sprintf("the other %s, self rejected %v", name, selfRejected), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := stubbed(t, func(r *http.Request) (*http.Response, error) {
						if isSelf(r) == selfRejected {
							return rejected(r), nil
						}
						return other(r)
					})
					begun := time.Now()
					wantReason(t, ask(t.Context(), t, c, guide), access.Refused, access.TokenRevoked)
					if took := time.Since(begun); took != 0 {
						t.Errorf("it took %v", took)
					}
				})
			})
		}
	}
}

// A fault's detail contains nothing of the error's text, which is untrusted.
func TestSilenceDetail(t *testing.T) {
	through, err := url.Parse("http://user:glpat-CanaryProxyPassword@proxy.example:3128")
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, "https://h:8443/gitlab", "", func(c *Config) { c.Network.Proxy = http.ProxyURL(through) })
	if _, err := c.transport.Proxy(&http.Request{URL: through}); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		err  error
		want access.Reply
	}{
		{&net.OpError{Op: "proxyconnect", Err: errors.New("refused")}, silent(access.ProxyFailed, "proxy.example:3128")},
		{&net.DNSError{Name: "h", Err: "server " + canary, IsNotFound: true}, silent(access.NameUnknown, "h")},
		{&net.DNSError{Name: "h\x1b[2J\n"}, silent(access.DNSFailed, `"h\x1b[2J\n"`)},
		{transport.ErrTooLarge, silent(access.Garbled, "a reply of more than 1 MiB")},
		{fmt.Errorf("%w: %w", transport.ErrCut, errors.New(canary)), silent(access.Garbled, "a truncated reply")},
		{errors.New(canary), silent(access.Unreachable, "h:8443/gitlab")},
		{context.DeadlineExceeded, silent(access.Timeout, "")},
	}
	for _, test := range tests {
		if got := silence(c.config.Instance, c.transport.Fault(fmt.Errorf("wrapped: %w", test.err))); got != test.want {
			t.Errorf("%v: %+v, want %+v", test.err, got, test.want)
		}
	}
}

// The user's name, and the address for commits.
func TestUser(t *testing.T) {
	server := stand(t, gitlabtest.Options{})
	for _, test := range []struct{ email, commit, want string }{
		{"dev@example.com", "", "dev@example.com"},
		{"dev@example.com", "7-dev@users.noreply.example.com", "7-dev@users.noreply.example.com"},
		{"", "", ""},
	} {
		server.AddUser(gitlabtest.User{ID: 7, Username: "dev", Name: "Dev Eloper", Email: test.email, CommitEmail: test.commit})
		user := connect(t, server.URL(), server.CAFile()).User(t.Context())
		if user.State != access.Given || user.Username != "dev" || user.Name != "Dev Eloper" || user.Email != test.want {
			t.Errorf("%+v, want the address %q", user, test.want)
		}
	}
	// A GitLab that has no commit_email, and one that says null.
	for body, want := range map[string]string{
		`{"id":7,"username":"dev","name":"Dev","email":"dev@example.com"}`:                     "dev@example.com",
		`{"id":7,"username":"dev","name":"Dev","email":"dev@example.com","commit_email":null}`: "dev@example.com",
		`{"id":7,"username":"dev","name":"Dev","email":17}`:                                    "",
	} {
		c := stubbed(t, func(r *http.Request) (*http.Response, error) {
			return reply(r, http.StatusOK, body, "Content-Type", "application/json"), nil
		})
		if user := c.User(t.Context()); user.State != access.Given || user.Email != want {
			t.Errorf("%s: %+v", body, user)
		}
	}
}

// A panic in either request reaches the caller's goroutine, where it is reported.
func TestPanic(t *testing.T) {
	for _, at := range []string{"/self", "/projects/"} {
		c := stubbed(t, func(r *http.Request) (*http.Response, error) {
			if strings.Contains(r.URL.Path, at) {
				panic(at)
			}
			return right(r), nil
		})
		func() {
			defer func() {
				if got := recover(); got != at {
					t.Errorf("%s: recovered %v", at, got)
				}
			}()
			ask(t.Context(), t, c, guide)
			t.Errorf("%s: nothing happened", at)
		}()
	}
}

// A server with TLS 1.1 or older never gets the token.
func TestOldTLS(t *testing.T) {
	for version, want := range map[uint16]access.Reason{tls.VersionTLS11: access.TLSVersion, tls.VersionTLS12: access.Garbled} {
		heard := 0
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			heard++
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte("{}"))
		}))
		server.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: version}
		server.StartTLS()
		roots := x509.NewCertPool()
		roots.AddCert(server.Certificate())
		c := connect(t, server.URL, "", func(c *Config) { c.Network.Roots = roots })
		v, _ := c.Check(t.Context(), "", access.Policy{Minimum: access.Developer, Scopes: access.DefaultScopes()}, access.Facts{})
		server.Close()
		if v.Reason != want || (heard > 0) != (version == tls.VersionTLS12) {
			t.Errorf("%s: %+v, %d requests", tls.VersionName(version), v, heard)
		}
	}
}
