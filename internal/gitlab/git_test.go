package gitlab

import (
	"net/http"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// Replies of git on GitLab, with real repositories.
func TestRefs(t *testing.T) {
	server := stand(t, gitlabtest.Options{})
	for _, p := range []gitlabtest.Project{
		{Path: "a/mine", Direct: map[int]int{7: 30}, OldPaths: []string{"a/old"}},
		{Path: "a/read", Direct: map[int]int{7: 20}},
		{Path: "a/archived", Direct: map[int]int{7: 50}, Archived: true},
		{Path: "a/empty", Direct: map[int]int{7: 30}, Empty: true},
	} {
		if err := server.AddProject(p); err != nil {
			t.Fatal(err)
		}
	}
	const other = "glpat-CanaryScope5j7k9m2p"
	server.AddToken(gitlabtest.Token{Value: other, UserID: 7, Scopes: []string{"read_user"}})
	c := connect(t, server.URL(), server.CAFile())
	defer c.Close()
	for _, test := range []struct {
		path     string
		service  Service
		password string
		state    access.State
		reason   access.Reason
		count    int
	}{
		{"a/mine.git", Fetch, canary, access.Given, "", 1},
		{"a/mine.git", Push, canary, access.Given, "", 1},
		{"a/mine", Push, canary, access.Given, "", 1}, // one redirect to the name with .git
		{"a/old.git", Push, canary, access.Given, "", 1},
		{"a/empty.git", Fetch, canary, access.Given, "", 0},
		{"a/empty.git", Push, canary, access.Given, "", 0},
		{"a/read.git", Fetch, canary, access.Given, "", 1},
		{"a/read.git", Push, canary, access.Forbidden, access.GitRole, 0},
		{"a/archived.git", Push, canary, access.Forbidden, access.GitArchived, 0},
		{"a/none.git", Fetch, canary, access.Forbidden, access.GitAbsent, 0},
		{"a/mine.git", Fetch, other, access.Forbidden, access.GitScope, 0},
		{"a/mine.git", Push, other, access.Forbidden, access.GitScope, 0},
		{"a/mine.git", Fetch, "glpat-CanaryUnknown3x5", access.Forbidden, access.GitLogin, 0},
	} {
		got := c.Refs(t.Context(), test.path, test.service, "oauth2", test.password)
		if got.State != test.state || got.Reason != test.reason || (got.Count > 0) != (test.count > 0) {
			t.Errorf("%s %s: %+v", test.path, test.service, got)
		}
	}
}

// Replies of something in front of git.
func TestRefsRefused(t *testing.T) {
	const refs = "001e# service=git-upload-pack\n0000"
	for _, test := range []struct {
		status int
		text   string
		header []string
		state  access.State
		reason access.Reason
	}{
		{403, "Too many failed authentication attempts from this IP", nil, access.Forbidden, access.GitBanned},
		{403, "Cannot find valid SSO session. Please login via your group's SSO at https://x.example", nil, access.Forbidden, access.GitSSO},
		{403, "Git access over HTTP is not allowed", nil, access.Forbidden, access.GitHTTPOff},
		{403, "Pushing over HTTP is not allowed.", nil, access.Forbidden, access.GitHTTPOff},
		{403, "You are not allowed to download code.", nil, access.Forbidden, access.GitScope},
		{403, "You are not allowed to push code to this project.", nil, access.Forbidden, access.GitRole},
		{403, "something else", nil, access.Forbidden, access.GitForbidden},
		{403, "<html>something else</html>", []string{"Content-Type", "text/html; charset=utf-8"}, access.Silent, access.InFront},
		{401, "", []string{"Www-Authenticate", `Basic realm="GitLab"`}, access.Forbidden, access.GitLogin},
		{401, "HTTP Basic: Access denied. x", nil, access.Forbidden, access.GitLogin},
		{401, "", nil, access.Silent, access.InFront},
		{401, "", []string{"Www-Authenticate", `Basic realm="proxy"`}, access.Silent, access.InFront},
		{404, "", nil, access.Forbidden, access.GitAbsent},
		{404, "<html>", []string{"Content-Type", "text/html"}, access.Silent, access.InFront},
		{407, "", nil, access.Silent, access.ProxyLogin},
		{429, "Retry later", []string{"Retry-After", "7"}, access.Silent, access.RateLimited},
		{503, "", nil, access.Silent, access.ServerError},
		{200, "<html>sign in</html>", nil, access.Silent, access.InFront},
		{200, refs + "zzzz", nil, access.Silent, access.InFront},
		{302, "", []string{"Location", "https://elsewhere.example/x/info/refs?service=git-upload-pack"}, access.Silent, access.Redirected},
		{302, "", []string{"Location", "https://elsewhere.example/login"}, access.Silent, access.InFront},
	} {
		c := stubbed(t, func(r *http.Request) (*http.Response, error) {
			if r.URL.Host != "gitlab.example.com" {
				t.Errorf("%s was asked", r.URL.Host)
			}
			return reply(r, test.status, test.text, test.header...), nil
		})
		got := c.Refs(t.Context(), "a/b.git", Fetch, "oauth2", canary)
		if got.State != test.state || got.Reason != test.reason {
			t.Errorf("%d %q: %+v", test.status, test.text, got)
		}
		if test.status == 429 && got.Wait != 7*time.Second {
			t.Errorf("wait %v", got.Wait)
		}
	}
}

// The clock on the other side is known from its answers.
func TestClockAhead(t *testing.T) {
	c := stubbed(t, func(r *http.Request) (*http.Response, error) {
		resp := right(r)
		resp.Header.Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		return resp, nil
	})
	if c.Connection().ClockKnown {
		t.Error("known before anything was asked")
	}
	c.User(t.Context())
	if way := c.Connection(); !way.ClockKnown || way.ClockAhead < 59*time.Minute || way.ClockAhead > 61*time.Minute {
		t.Errorf("%v", way)
	}
}
