package platform

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/token"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

const (
	pat      = "glpat-CanaryOfTheUser0"
	other    = "glpat-CanaryOfAnother0"
	user     = "sha256~CanaryOfAlice"
	bot      = "eyJh.CanaryOfTheBot.c2ln"
	somebody = "CanaryOfNobody"
	// limit bounds every question here; nothing takes that long but what hangs.
	limit = 30 * time.Second
)

// stand starts a platform with a user and her session, and a GitLab where it
// tries tokens.
func stand(t *testing.T, o gitlabtest.PlatformOptions) (*gitlabtest.Platform, *gitlabtest.Server) {
	t.Helper()
	o.Dir = t.TempDir()
	gitlab, err := gitlabtest.Start(gitlabtest.Options{Dir: o.Dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(gitlab.Close)
	gitlab.AddUser(gitlabtest.User{ID: 7, Username: "alice"})
	gitlab.AddToken(gitlabtest.Token{Value: pat, UserID: 7})
	o.GitLab = gitlab
	platform, err := gitlabtest.StartPlatform(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(platform.Close)
	platform.AddUser("alice", user)
	platform.AddSession("team", "one", "alice", bot)
	platform.AddSession("team", "two", "bob", "bobs")
	return platform, gitlab
}

func connect(t *testing.T, p *gitlabtest.Platform, tok string, changes ...func(*Config)) *Client {
	t.Helper()
	base, err := ParseBase(p.URL()+"/api", true)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := token.ParseBearer(tok)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(p.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	config := Config{Base: base, Token: parsed, TokenFrom: "here", Network: transport.Network{Roots: x509.NewCertPool()}, Limit: limit, UserAgent: "git-credential-acp/1.2.3"}
	config.Network.Roots.AppendCertsFromPEM(pem)
	for _, change := range changes {
		change(&config)
	}
	c := New(config)
	t.Cleanup(c.Close)
	return c
}

func parsed(t *testing.T, tok, at string) (token.Token, instance.Instance) {
	t.Helper()
	parsed, err := token.Parse(tok)
	if err != nil {
		t.Fatal(err)
	}
	i, err := instance.Parse(at, true)
	if err != nil {
		t.Fatal(err)
	}
	return parsed, i
}

func name(t *testing.T, text string) Name {
	t.Helper()
	n, err := ParseName(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// want fails unless the message has the code, and says whether something was
// learned; "" is no message.
func want(t *testing.T, m error, code string, unverified bool) {
	t.Helper()
	switch {
	case m == nil:
		if code != "" {
			t.Errorf("no message, want %s", code)
		}
	case message.As(m).Code != code || message.Unverified(m) != unverified:
		t.Errorf("%s, unverified %v, want %s, %v: %v", message.As(m).Code, message.Unverified(m), code, unverified, message.As(m).Lines())
	case strings.Contains(strings.Join(message.As(m).Lines(), " "), "Canary"):
		t.Errorf("a token, or a text of the server's, shows: %v", message.As(m).Lines())
	}
}

// One user's story, with a platform of today and an older one.
func TestStory(t *testing.T) {
	for _, old := range []bool{false, true} {
		t.Run(fmt.Sprintf("old %v", old), func(t *testing.T) {
			p, gitlab := stand(t, gitlabtest.PlatformOptions{})
			p.SetOld(old)
			c := connect(t, p, user)
			session := connect(t, p, bot)
			tok, i := parsed(t, pat, gitlab.URL())
			team, one := name(t, "team"), name(t, "one")

			if got, m := c.Status(t.Context()); m != nil || got != (Connection{}) {
				t.Errorf("before: %+v, %v", got, m)
			}
			if got, m := session.SessionCredentials(t.Context(), team, one); m != nil || got.Token != nil {
				t.Errorf("before: %v, %v", got.InstanceURL, m)
			}
			wantUser := ""
			if old {
				wantUser = "alice"
			}
			if got, m := c.Connect(t.Context(), tok, i); m != nil || got != (Connection{Connected: true, Instance: i, Username: wantUser}) {
				t.Errorf("connect: %+v, %v", got, m)
			}
			got, m := c.Status(t.Context())
			if m != nil || !got.Connected || got.Instance != i || time.Since(got.UpdatedAt) > time.Minute || time.Since(got.UpdatedAt) < -time.Second {
				t.Errorf("status: %+v, %v", got, m)
			}
			found, m := session.SessionCredentials(t.Context(), team, one)
			if m != nil || found.Token == nil || found.Token() != pat || found.InstanceURL != gitlab.URL() {
				t.Errorf("credentials: %v, %v", found.InstanceURL, m)
			}
			want(t, c.Disconnect(t.Context()), "", false)
			if _, connected := p.Connection("alice"); connected {
				t.Error("still connected")
			}
			want(t, c.Disconnect(t.Context()), "", false)

			for _, r := range p.Requests() {
				if r.UserAgent != "git-credential-acp/1.2.3" || r.Scheme != "Bearer" || !strings.HasPrefix(r.Path, "/api/") {
					t.Errorf("%+v", r)
				}
			}
		})
	}
}

// The platform's refusals, each with its own message.
func TestRefused(t *testing.T) {
	p, gitlab := stand(t, gitlabtest.PlatformOptions{})
	tok, i := parsed(t, pat, gitlab.URL())
	unknown, _ := parsed(t, other, gitlab.URL())
	short, _ := parsed(t, "CanaryShort", gitlab.URL())
	_, plain := parsed(t, pat, "http://localhost")
	team := name(t, "team")
	c, session := connect(t, p, user), connect(t, p, bot)

	_, m := c.Connect(t.Context(), unknown, i)
	want(t, m, "platform-check", false)
	_, m = c.Connect(t.Context(), short, i)
	want(t, m, "platform-input", false)
	if !strings.Contains(message.As(m).What, "the form of the token") {
		t.Error(m)
	}
	_, m = c.Connect(t.Context(), tok, plain)
	want(t, m, "platform-input", false)
	if !strings.Contains(message.As(m).What, "the address of localhost") {
		t.Error(m)
	}
	_, m = session.SessionCredentials(t.Context(), team, name(t, "two"))
	want(t, m, "platform-forbidden", false)
	_, m = session.SessionCredentials(t.Context(), team, name(t, "three"))
	want(t, m, "session-not-found", false)
	if _, connected := p.Connection("alice"); connected {
		t.Error("something was stored")
	}

	c = connect(t, p, somebody)
	_, m = c.Connect(t.Context(), tok, i)
	want(t, m, "platform-unauthorized", false)
	_, m = c.Status(t.Context())
	want(t, m, "platform-unauthorized", false)
	want(t, c.Disconnect(t.Context()), "platform-unauthorized", false)
	_, m = c.SessionCredentials(t.Context(), team, name(t, "one"))
	want(t, m, "platform-unauthorized", false)
	if !strings.Contains(message.As(m).What, "the token from here") {
		t.Error(m)
	}
}

// Answers that are none, to a question and to a change. What has been asked for
// and may have been done is said to be uncertain; and no change is asked for
// twice.
func TestNoAnswer(t *testing.T) {
	quoting := `{"error":"Canary says the server","message":"Canary"}`
	tests := []struct {
		name  string
		fault gitlabtest.Fault
		// code is what a question gets, and refused whether that is for good.
		code    string
		refused bool
		// uncertain is what becomes of a change.
		uncertain bool
		// asked is how often a question is asked.
		asked int
	}{
		{"500", gitlabtest.Fault{Status: 500, Body: quoting}, "platform-error", false, true, 5},
		{"501 page", gitlabtest.Fault{Status: 501, HTML: true}, "platform-error", false, true, 1},
		{"502", gitlabtest.Fault{Status: 502}, "platform-error", false, true, 5},
		{"503 page", gitlabtest.Fault{Status: 503, HTML: true}, "platform-error", false, true, 5},
		{"503 for long", gitlabtest.Fault{Status: 503, Header: http.Header{"Retry-After": {"60"}}}, "platform-error", false, true, 1},
		{"504", gitlabtest.Fault{Status: 504}, "platform-error", false, true, 5},
		{"429", gitlabtest.Fault{Status: 429}, "platform-busy", false, false, 5},
		{"429 for long", gitlabtest.Fault{Status: 429, Header: http.Header{"Retry-After": {"3600"}}}, "platform-busy", false, false, 1},
		{"401", gitlabtest.Fault{Status: 401, Body: quoting}, "platform-unauthorized", true, false, 1},
		{"401 of another", gitlabtest.Fault{Status: 401, Body: `{"message":"Canary"}`}, "platform-page", false, false, 5},
		{"403 of another", gitlabtest.Fault{Status: 403, Body: `{"message":"Canary"}`}, "platform-page", false, false, 5},
		{"401 without a user", gitlabtest.Fault{Status: 401, Body: `{"error":"User authentication required"}`}, "platform-no-user", true, false, 1},
		{"407", gitlabtest.Fault{Status: 407}, "proxy-login", false, false, 1},
		{"401 page", gitlabtest.Fault{Status: 401, HTML: true}, "platform-page", false, false, 5},
		{"403", gitlabtest.Fault{Status: 403, Body: `{"error":"Access denied"}`}, "platform-forbidden", true, false, 1},
		{"403 page", gitlabtest.Fault{Status: 403, HTML: true}, "platform-page", false, false, 5},
		{"page", gitlabtest.Fault{HTML: true}, "platform-page", false, false, 5},
		{"text", gitlabtest.Fault{Status: 200, Body: "Canary"}, "platform-page", false, false, 5},
		{"404 page", gitlabtest.Fault{Status: 404, HTML: true}, "platform-absent", false, false, 5},
		{"404 in plain text", gitlabtest.Fault{Status: 404, Body: "404 page not found", Header: http.Header{"Content-Type": {"text/plain"}}}, "platform-absent", false, false, 1},
		{"404", gitlabtest.Fault{Status: 404, Body: quoting}, "platform-absent", false, false, 1},
		{"302", gitlabtest.Fault{RedirectTo: "https://sso.invalid/Canary"}, "platform-redirect", false, false, 1},
		{"302 nowhere", gitlabtest.Fault{Status: 302}, "platform-redirect", false, false, 1},
		{"307 broken", gitlabtest.Fault{Status: 307, RedirectTo: "https://[::Canary"}, "platform-redirect", false, false, 1},
		{"418", gitlabtest.Fault{Status: 418, Body: quoting}, "platform-garbled", false, false, 1},
		{"broken", gitlabtest.Fault{Status: 200, Body: `{"connected":`}, "platform-garbled", false, true, 1},
		{"empty", gitlabtest.Fault{Status: 200, Body: `{}`}, "platform-garbled", false, true, 1},
		{"other types", gitlabtest.Fault{Status: 200, Body: `{"connected":"Canary","valid":"yes","token":7,"message":1,"instanceUrl":[]}`}, "platform-garbled", false, true, 1},
		{"twice", gitlabtest.Fault{Status: 200, Body: `{"connected":false,"Connected":true,"valid":true,"VALID":true,"token":"a","Token":"b","message":"x","instanceUrl":""}`},
			"platform-garbled", false, true, 1},
		{"nothing", gitlabtest.Fault{Status: 200, Body: `{"connected":null,"valid":null,"token":null}`}, "platform-garbled", false, true, 1},
		{"of another kind", gitlabtest.Fault{Status: 200, Body: `{"token":"ghp_Canary","provider":"github"}`}, "platform-garbled", false, true, 1},
		{"cut", gitlabtest.Fault{Cut: true}, "platform-garbled", false, true, 5},
		{"closed", gitlabtest.Fault{Close: true}, "unreachable", false, true, 5},
		{"endless", gitlabtest.Fault{Endless: true}, "platform-garbled", false, true, 1},
		{"too large", gitlabtest.Fault{Size: transport.MaxBody + 1}, "platform-garbled", false, true, 1},
	}
	// At the same time, since most of it is waiting.
	var group sync.WaitGroup
	defer group.Wait()
	for _, test := range tests {
		group.Go(func() {
			t.Run(test.name, func(t *testing.T) {
				p, gitlab := stand(t, gitlabtest.PlatformOptions{})
				p.SetConnection("alice", &gitlabtest.PlatformConnection{Token: pat, InstanceURL: gitlab.URL(), UpdatedAt: time.Now()})
				test.fault.Match = "all"
				p.AddFault(test.fault)
				// Each has a connection of its own: a fault of one must not be the
				// others'.
				c, session := connect(t, p, user), connect(t, p, bot)
				tok, i := parsed(t, pat, gitlab.URL())
				team, one := name(t, "team"), name(t, "one")
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				var all sync.WaitGroup
				for endpoint, question := range map[string]func() error{
					"status":      func() error { _, m := c.Status(ctx); return m },
					"credentials": func() error { _, m := session.SessionCredentials(ctx, team, one); return m },
				} {
					all.Go(func() {
						want(t, question(), test.code, !test.refused)
						if asked := p.Count(endpoint); asked != test.asked {
							t.Errorf("%s: asked %d times, want %d", endpoint, asked, test.asked)
						}
					})
				}
				all.Wait()
				code := test.code
				if test.uncertain {
					code = "platform-uncertain"
				}
				_, m := c.Connect(t.Context(), tok, i)
				want(t, m, code, !test.refused)
				if asked := p.Count("connect"); asked != 1 {
					t.Errorf("connect: asked %d times", asked)
				}
			})
		})
	}
}

// Disconnect asks once with DELETE, and by POST only a platform that has no such
// DELETE.
func TestDisconnectOnce(t *testing.T) {
	for name, test := range map[string]struct {
		fault gitlabtest.Fault
		code  string
		asked string
	}{
		"error":                {gitlabtest.Fault{Status: 500}, "platform-uncertain", "DELETE"},
		"closed":               {gitlabtest.Fault{Close: true}, "platform-uncertain", "DELETE"},
		"page":                 {gitlabtest.Fault{HTML: true}, "platform-page", "DELETE"},
		"refused":              {gitlabtest.Fault{Status: 400, Body: `{"error":"Canary"}`}, "platform-garbled", "DELETE"},
		"not found":            {gitlabtest.Fault{Status: 404}, "platform-absent", "DELETE POST"},
		"not allowed":          {gitlabtest.Fault{Status: 405}, "platform-page", "DELETE POST"},
		"not allowed, in JSON": {gitlabtest.Fault{Status: 405, Body: `{}`}, "platform-garbled", "DELETE POST"},
		"not found once":       {gitlabtest.Fault{Status: 404, Times: 1}, "platform-absent", "DELETE POST"},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := stand(t, gitlabtest.PlatformOptions{})
			test.fault.Match = "disconnect"
			p.AddFault(test.fault)
			want(t, connect(t, p, user).Disconnect(t.Context()), test.code, true)
			var methods []string
			for _, r := range p.Requests() {
				methods = append(methods, r.Method)
			}
			if got := strings.Join(methods, " "); got != test.asked {
				t.Errorf("asked with %s, want %s", got, test.asked)
			}
		})
	}
}

// A change whose answer was lost was made all the same, and is said to be
// uncertain; one that was never sent is not.
func TestUncertain(t *testing.T) {
	p, gitlab := stand(t, gitlabtest.PlatformOptions{})
	p.AddFault(gitlabtest.Fault{Match: "connect", Cut: true})
	c := connect(t, p, user)
	tok, i := parsed(t, pat, gitlab.URL())
	_, m := c.Connect(t.Context(), tok, i)
	want(t, m, "platform-uncertain", true)
	if _, connected := p.Connection("alice"); !connected {
		t.Error("the stand-in has not done it: this test shows nothing")
	}
	p.Close()
	c = connect(t, p, user)
	_, m = c.Connect(t.Context(), tok, i)
	want(t, m, "unreachable", true)
	want(t, c.Disconnect(t.Context()), "unreachable", true)
}

// An answer about another instance than the one asked for is not taken for a
// success.
func TestOtherInstance(t *testing.T) {
	p, gitlab := stand(t, gitlabtest.PlatformOptions{})
	c := connect(t, p, user)
	tok, i := parsed(t, pat, gitlab.URL())
	_, hosted := parsed(t, pat, "https://gitlab.com")
	for body, at := range map[string]instance.Instance{
		`{"message":"GitLab connected successfully","instanceUrl":""}`:                         i,
		`{"message":"GitLab connected successfully","instanceUrl":"https://h/"}`:               i,
		`{"message":"GitLab connected successfully","instanceUrl":"glpat-Canary"}`:             i,
		`{"message":"GitLab connected successfully"}`:                                          hosted,
		`{"connected":false,"message":"Canary","instanceUrl":"https://gitlab.com"}`:            hosted,
		`{"instanceUrl":"https://gitlab.com"}`:                                                 hosted,
		`{"connected":true,"message":"Canary","instanceUrl":"https://gitlab.com.example.com"}`: hosted,
	} {
		p.ClearFaults()
		p.AddFault(gitlabtest.Fault{Match: "connect", Body: body})
		_, m := c.Connect(t.Context(), tok, at)
		want(t, m, "platform-uncertain", true)
	}
	for _, body := range []string{
		`{"message":"GitLab connected successfully","instanceUrl":""}`,
		`{"message":"GitLab connected successfully","instanceUrl":"https://GitLab.com:443/"}`,
		`{"connected":true,"instanceUrl":"https://gitlab.com","username":"alice"}`,
	} {
		p.ClearFaults()
		p.AddFault(gitlabtest.Fault{Match: "connect", Body: body})
		if got, m := c.Connect(t.Context(), tok, hosted); m != nil || got.Instance != hosted {
			t.Errorf("%s: %v", body, m)
		}
	}
}

// Stored connections in all their forms.
func TestStatusForms(t *testing.T) {
	p, _ := stand(t, gitlabtest.PlatformOptions{})
	c := connect(t, p, user)
	at := time.Unix(1790000000, 0)
	for updated, want := range map[string]time.Time{
		`"1790000000"`: at, `1790000000`: at, `"` + at.UTC().Format(time.RFC3339) + `"`: at,
		`""`: {}, `null`: {}, `"soon"`: {}, `{}`: {}, `-1`: {}, `"0"`: {},
	} {
		p.ClearFaults()
		p.AddFault(gitlabtest.Fault{Match: "status", Body: `{"connected":true,"instanceUrl":"","updatedAt":` + updated + `}`})
		got, m := c.Status(t.Context())
		if m != nil || got.Instance.URL() != "https://gitlab.com" || !got.UpdatedAt.Equal(want) {
			t.Errorf("%s: %+v, %v", updated, got, m)
		}
	}
	p.ClearFaults()
	p.AddFault(gitlabtest.Fault{Match: "status", Body: `{"connected":true,"instanceUrl":"http://user:Canary@gitlab.example.com"}`})
	_, m := c.Status(t.Context())
	want(t, m, "instance-invalid", false)
}

// A question is asked again after trouble that passes, and waits as long as it is
// asked to.
func TestRetry(t *testing.T) {
	page := http.Header{"Content-Type": {"application/json"}}
	var group sync.WaitGroup
	defer group.Wait()
	for name, fault := range map[string]gitlabtest.Fault{
		"503":               {Status: 503, Header: http.Header{"Retry-After": {"1"}}},
		"503, longer":       {Status: 503, Times: 1, Header: http.Header{"Retry-After": {"3"}}},
		"429":               {Status: 429, Header: http.Header{"Retry-After": {"1"}}},
		"429, longer":       {Status: 429, Times: 1, Header: http.Header{"Retry-After": {"3"}}},
		"closed":            {Close: true},
		"login page":        {HTML: true},
		"404 of an ingress": {Status: 404, HTML: true},
		"403 of a firewall": {Status: 403, Header: page, Body: `{"message":"Canary"}`},
		"401 of a gateway":  {Status: 401, Header: page, Body: `{"message":"Canary"}`},
	} {
		group.Go(func() {
			t.Run(name, func(t *testing.T) {
				p, gitlab := stand(t, gitlabtest.PlatformOptions{})
				p.SetConnection("alice", &gitlabtest.PlatformConnection{Token: pat, InstanceURL: gitlab.URL()})
				fault.Match, fault.Times = "credentials", cmp.Or(fault.Times, 2)
				p.AddFault(fault)
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				got, m := connect(t, p, bot).SessionCredentials(ctx, Name{"team"}, Name{"one"})
				if m != nil || got.Token == nil || p.Count("credentials") != fault.Times+1 {
					t.Errorf("%v, %d requests", m, p.Count("credentials"))
				}
			})
		})
	}
}

// No request waits longer than its context, and the error names why it ended.
func TestLimit(t *testing.T) {
	p, gitlab := stand(t, gitlabtest.PlatformOptions{})
	c := connect(t, p, user)
	tok, i := parsed(t, pat, gitlab.URL())
	within := func(limit time.Duration, match string, f gitlabtest.Fault, ask func(context.Context) error) error {
		p.ClearFaults()
		f.Match = match
		p.AddFault(f)
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		begun := time.Now()
		m := ask(ctx)
		if took := time.Since(begun); took > limit+2*time.Second {
			t.Errorf("%s: it took %v", match, took)
		}
		return m
	}
	status := func(ctx context.Context) error { _, m := c.Status(ctx); return m }
	m := within(300*time.Millisecond, "status", gitlabtest.Fault{Hang: true}, status)
	want(t, m, "timeout", true)
	if !strings.Contains(message.As(m).What, "within the time limit (30s)") {
		t.Error(m)
	}
	want(t, within(300*time.Millisecond, "status", gitlabtest.Fault{Delay: time.Hour}, status), "timeout", true)
	// The fault before the timeout says more than the timeout.
	p.ClearFaults()
	p.AddFault(gitlabtest.Fault{Match: "status", Status: 503, Times: 1})
	want(t, within(600*time.Millisecond, "other", gitlabtest.Fault{Hang: true}, status), "", true)
	m = within(300*time.Millisecond, "connect", gitlabtest.Fault{Hang: true},
		func(ctx context.Context) error { _, m := c.Connect(ctx, tok, i); return m })
	want(t, m, "platform-uncertain", true)

	p.ClearFaults()
	p.AddFault(gitlabtest.Fault{Match: "status", Hang: true})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	want(t, status(ctx), "interrupted", true)
}

// The tokens go to the platform alone: not where it redirects to, not to a proxy
// of plain http, not to one that is not who it says.
func TestConfined(t *testing.T) {
	p, gitlab := stand(t, gitlabtest.PlatformOptions{})
	listener, err := gitlabtest.StartListener(t.TempDir(), gitlabtest.ListenerOptions{PlainHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(listener.Close)
	tok, i := parsed(t, pat, gitlab.URL())
	c := connect(t, p, user)
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, to := range []string{listener.URL() + "*", p.URL() + "/api/auth/gitlab/status", "/elsewhere"} {
			p.ClearFaults()
			p.AddFault(gitlabtest.Fault{Match: "connect", Status: status, RedirectTo: to})
			_, m := c.Connect(t.Context(), tok, i)
			want(t, m, "platform-redirect", true)
		}
	}
	if n := len(listener.Requests()); n > 0 || p.Count("status") > 0 || p.Count("other") > 0 {
		t.Errorf("redirects were followed: %d there, %v here", n, p.Requests())
	}

	proxy, err := gitlabtest.StartProxy(gitlabtest.ProxyOptions{Routes: map[string]string{p.Addr(): p.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	at, err := url.Parse(proxy.URL())
	if err != nil {
		t.Fatal(err)
	}
	through := func(c *Config) { c.Network.Proxy = http.ProxyURL(at) } // as it is then
	if _, m := connect(t, p, user, through).Status(t.Context()); m != nil {
		t.Error(m)
	}
	if len(proxy.Requests()) != 1 || proxy.SawSecret(user) {
		t.Errorf("through the proxy: %+v", proxy.Requests())
	}
	plain, _ := stand(t, gitlabtest.PlatformOptions{PlainHTTP: true})
	if _, m := connect(t, plain, user, through).Status(t.Context()); m != nil {
		t.Error(m)
	}
	if len(proxy.Requests()) != 1 {
		t.Errorf("plain http went through the proxy: %+v", proxy.Requests())
	}
	proxy.Route(p.Addr(), "")
	_, m := connect(t, p, user, through).Status(t.Context())
	want(t, m, "proxy-failed", true)
	// A proxy's own replies are not taken for the platform's, with any status.
	for _, status := range []int{302, 404, 405, 503} {
		proxy, err := gitlabtest.StartProxy(gitlabtest.ProxyOptions{Answer: &status})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(proxy.Close)
		if at, err = url.Parse(proxy.URL()); err != nil {
			t.Fatal(err)
		}
		want(t, connect(t, p, user, through).Disconnect(t.Context()), "proxy-failed", true)
		if n := len(proxy.Requests()); n != 1 {
			t.Errorf("%d: %d requests", status, n)
		}
	}
}

// A server with an invalid certificate gets no request.
func TestTLS(t *testing.T) {
	for kind, code := range map[gitlabtest.CertificateKind]string{
		gitlabtest.CertificateExpired: "tls-expired", gitlabtest.CertificateWrongName: "tls-wrong-name", gitlabtest.CertificateSelfSigned: "tls-untrusted",
	} {
		p, _ := stand(t, gitlabtest.PlatformOptions{Certificate: kind})
		_, m := connect(t, p, user).Status(t.Context())
		want(t, m, code, true)
		if strings.Contains(strings.Join(message.As(m).Lines(), " "), "instance") || strings.Contains(message.As(m).Hint, "Secret") {
			t.Errorf("it speaks of GitLab: %v", message.As(m).Lines())
		}
		if n := len(p.Requests()); n > 0 {
			t.Errorf("%s: %d requests", kind, n)
		}
	}
	base, err := ParseBase("https://platform.invalid", false)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := stand(t, gitlabtest.PlatformOptions{})
	_, m := connect(t, p, user, func(c *Config) { c.Base = base }).Status(t.Context())
	want(t, m, "name-unknown", true)
}

// No value with a token prints it.
func TestUnprintable(t *testing.T) {
	p, gitlab := stand(t, gitlabtest.PlatformOptions{})
	p.SetConnection("alice", &gitlabtest.PlatformConnection{Token: pat, InstanceURL: gitlab.URL()})
	c := connect(t, p, bot)
	got, m := c.SessionCredentials(t.Context(), name(t, "team"), name(t, "one"))
	if m != nil || got.Token() != pat {
		t.Fatal(m)
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		fmt.Fprintf(&out, verb+verb+verb+verb, c, *c, c.config, got)
	}
	if bytes.Contains(out.Bytes(), []byte("Canary")) {
		t.Errorf("printed: %s", out.Bytes())
	}
}

// An address without /api is tried as it stands where there is no API below it, and
// one with it is not.
func TestAddressAsItStands(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		if r.URL.Path != "/projects/team/agentic-sessions/one/credentials/gitlab" || r.Header.Get("Authorization") != "Bearer "+bot {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"token":"`+pat+`","instanceUrl":"https://h","provider":"gitlab"}`)
	}))
	defer server.Close()
	p, _ := stand(t, gitlabtest.PlatformOptions{})
	project, _ := ParseName("team")
	session, _ := ParseName("one")
	at := func(address string) func(*Config) {
		return func(c *Config) {
			var err error
			if c.Base, err = ParseBase(address, true); err != nil {
				t.Fatal(err)
			}
			c.AllowHTTPLoopback = true
		}
	}
	got, m := connect(t, p, bot, at(server.URL)).SessionCredentials(t.Context(), project, session)
	if m != nil || got.Token == nil || got.Token() != pat || len(asked) != 2 {
		t.Errorf("%v, asked %v", m, asked)
	}
	asked = nil
	if _, m := connect(t, p, bot, at(server.URL+"/api")).SessionCredentials(t.Context(), project, session); m == nil || len(asked) != 1 {
		t.Errorf("with /api: %v, asked %v", m, asked)
	}
}
