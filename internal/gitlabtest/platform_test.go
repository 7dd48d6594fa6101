package gitlabtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// platform starts one with a user, a session of that user's and one of another.
func platform(t *testing.T, o PlatformOptions) *Platform {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	p, err := StartPlatform(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	p.AddUser("alice", "alices")
	p.AddUser("bob", "bobs")
	p.AddUser("", "cluster")
	p.AddSession("team", "one", "alice", "bot-one")
	p.AddSession("team", "two", "bob", "bot-two")
	return p
}

// known is a token long enough for the platform.
const known = "glpat-CanaryOfThePlatform"

const credentialsPath = "/api/projects/team/agentic-sessions/one/credentials/gitlab"

// The platform's answers, in the order of one user's story.
func TestPlatform(t *testing.T) {
	s := gitlab(t, Options{})
	s.AddToken(Token{Value: known, UserID: 1})
	p := platform(t, PlatformOptions{GitLab: s})
	c := client(t, p.CAFile())
	body := func(token, at string) string {
		return `{"personalAccessToken":"` + token + `","instanceUrl":"` + at + `"}`
	}
	const long = "glpat-CanaryNobodyKnows"
	p.AddFault(Fault{Match: "other", Status: 418})
	tests := []struct {
		method, path, token, body string
		status                    int
		want                      string
	}{
		{"GET", "/api/auth/gitlab/status", "", "", 401, `{"error":"Invalid or missing token"}`},
		{"GET", "/api/auth/gitlab/status", "wrong", "", 401, `{"error":"Token expired or invalid"}`},
		{"GET", "/api/auth/gitlab/status", "cluster", "", 401, `{"error":"User authentication required"}`},
		{"GET", "/api/auth/gitlab/status", "bot-one", "", 200, `{"connected":false}`},
		{"GET", "/api/auth/gitlab/status", "alices", "", 200, `{"connected":false}`},
		{"POST", "/api/auth/gitlab/status", "alices", "", 404, "404 page not found"},
		{"GET", credentialsPath, "bot-one", "", 404, `{"error":"GitLab credentials not configured"}`},
		{"POST", "/api/auth/gitlab/connect", "alices", "{}", 400, `{"error":"Invalid request body"}`},
		{"POST", "/api/auth/gitlab/connect", "alices", body("glpat-"+strings.Repeat("x", 250), s.URL()), 400, `{"error":"Invalid input: token must be at most 255 characters"}`},
		{"POST", "/api/auth/gitlab/connect", "alices", body("short", s.URL()), 400, `{"error":"Invalid input: token must be at least 20 characters"}`},
		{"POST", "/api/auth/gitlab/connect", "alices", body(long, "http://h"), 400, `{"error":"Invalid input: instance URL must use HTTPS"}`},
		{"POST", "/api/auth/gitlab/connect", "alices", body(long, s.URL()), 400, `{"error":"GitLab connectivity check failed: GitLab API returned status 401"}`},
		{"POST", "/api/auth/gitlab/test", "alices", body(long, s.URL()), 200, `{"error":"Invalid credentials","valid":false}`},
		{"POST", "/api/auth/gitlab/test", "", body(known, s.URL()), 200, `{"message":"GitLab connection successful","valid":true}`},
		{"POST", "/api/auth/gitlab/connect", "alices", body(known, s.URL()), 200, `{"instanceUrl":"` + s.URL() + `","message":"GitLab connected successfully"}`},
		{"GET", credentialsPath, "bot-one", "", 200, `{"email":"alice@example.com","instanceUrl":"` + s.URL() + `","provider":"gitlab","token":"` + known + `","userName":"Alice"}`},
		{"GET", credentialsPath, "alices", "", 200, `{"email":"alice@example.com","instanceUrl":"` + s.URL() + `","provider":"gitlab","token":"` + known + `","userName":"Alice"}`},
		{"GET", credentialsPath, "bot-two", "", 403, `{"error":"Access denied"}`},
		{"GET", credentialsPath, "cluster", "", 403, `{"error":"Access denied"}`},
		{"GET", strings.Replace(credentialsPath, "team", "other", 1), "bot-one", "", 403, `{"error":"Unauthorized to access project"}`},
		{"GET", credentialsPath, "bobs", "", 403, `{"error":"Access denied"}`},
		{"GET", credentialsPath, "wrong", "", 401, `{"error":"Token expired or invalid"}`},
		{"GET", credentialsPath, "", "", 401, `{"error":"Invalid or missing token"}`},
		{"GET", strings.Replace(credentialsPath, "one", "three", 1), "bot-one", "", 404, `{"error":"Session not found"}`},
		{"POST", "/api/auth/gitlab/disconnect", "alices", "", 404, "404 page not found"},
		{"DELETE", "/api/projects/team/auth/gitlab/disconnect", "alices", "", 404, "404 page not found"},
		{"POST", "/api/projects/team/auth/gitlab/disconnect", "bobs", "", 200, `{"message":"GitLab disconnected successfully"}`},
		{"DELETE", "/api/auth/gitlab/disconnect", "alices", "", 200, `{"message":"GitLab disconnected successfully"}`},
		{"GET", "/api/auth/gitlab/status", "alices", "", 200, `{"connected":false}`},
		{"GET", "/auth/gitlab/status", "alices", "", 418, ""},
	}
	for _, test := range tests {
		credential := ""
		if test.token != "" {
			credential = "Bearer " + test.token
		}
		got := mustSend(t, c, test.method, p.URL()+test.path, credential, test.body)
		if got.status != test.status || got.body != test.want {
			t.Errorf("%s %s with %q: %d %s, want %d %s", test.method, test.path, test.token, got.status, got.body, test.status, test.want)
		}
	}
	if !p.SawSecret(known) || p.SawSecret(known+"x") || p.Count("connect") != 6 || p.Requests()[0].Endpoint != "status" {
		t.Errorf("remembered: %d, %+v", p.Count("connect"), p.Requests()[0])
	}
}

// In a shared session, only a user's own token gets what is the user's.
func TestPlatformShared(t *testing.T) {
	p := platform(t, PlatformOptions{PlainHTTP: true})
	p.SetConnection("alice", &PlatformConnection{Token: known, InstanceURL: "https://gitlab.example.com"})
	p.SetConnection("bob", &PlatformConnection{Token: known + "2"})
	tests := []struct {
		token, acting, forwarded string
		status                   int
		want                     string
	}{
		{"bot-one", "", "", 200, known},
		{"bot-one", "bob", "", 200, known},
		{"bobs", "bob", "", 200, known + "2"},
		{"bobs", "", "", 403, ""},
		{"bobs", "alice", "", 403, ""},
		{"alices", "", "", 200, known},
		{"alices", "bob", "", 403, ""},
		{"", "", "alice", 200, known},
		{"bobs", "bob", "alice", 403, ""},
	}
	for _, test := range tests {
		req, _ := http.NewRequest(http.MethodGet, p.URL()+credentialsPath, nil)
		for name, value := range map[string]string{"Authorization": "Bearer " + test.token, "X-Runner-Current-User": test.acting, "X-Forwarded-User": test.forwarded} {
			req.Header.Set(name, value)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var body struct{ Token string }
		err = json.NewDecoder(resp.Body).Decode(&body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != test.status || body.Token != test.want {
			t.Errorf("%+v: %d %q, %v", test, resp.StatusCode, body.Token, err)
		}
	}
}

// The control plane's credentials.
func TestPlatformCredentials(t *testing.T) {
	p := platform(t, PlatformOptions{PlainHTTP: true})
	p.AddCredential(PlatformCredential{ID: "2aB", Provider: "gitlab", Token: known, URL: "https://gitlab.example.com", Project: "team"})
	p.AddCredential(PlatformCredential{ID: "3cD", Provider: "github", Token: known})
	const missing = `{"code":"ambient-404","href":"/api/ambient/v1/errors/404","id":"404","kind":"Error","reason":"Credential with id='%s' not found"}`
	tests := []struct {
		path, token string
		status      int
		want        string
	}{
		{"projects/team/credentials/2aB/token", "bot-one", 200, `{"credential_id":"2aB","provider":"gitlab","token":"` + known + `"}`},
		{"credentials/2aB/token", "bot-one", 200, `{"credential_id":"2aB","provider":"gitlab","token":"` + known + `"}`},
		{"credentials/2aB", "bot-one", 200, `{"href":"/api/ambient/v1/credentials/2aB","id":"2aB","kind":"Credential","name":"gitlab","provider":"gitlab","url":"https://gitlab.example.com"}`},
		{"credentials/3cD", "bot-one", 200, `{"href":"/api/ambient/v1/credentials/3cD","id":"3cD","kind":"Credential","name":"gitlab","provider":"github"}`},
		{"projects/other/credentials/2aB/token", "bot-one", 404, fmt.Sprintf(missing, "2aB")},
		{"credentials/4eF", "bot-one", 404, fmt.Sprintf(missing, "4eF")},
		{"credentials/2aB/token", "wrong", 401, `{"code":"ambient-401","href":"/api/ambient/v1/errors/401","id":"401","kind":"Error","reason":"Account authentication could not be verified"}`},
		{"credentials", "bot-one", 404, "404 page not found"},
	}
	for _, test := range tests {
		got := mustSend(t, http.DefaultClient, http.MethodGet, p.URL()+"/api/ambient/v1/"+test.path, "Bearer "+test.token, "")
		if got.status != test.status || got.body != test.want {
			t.Errorf("%s with %q: %d %s, want %d %s", test.path, test.token, got.status, got.body, test.status, test.want)
		}
	}
}

// An older platform, with a token stored before.
func TestPlatformOld(t *testing.T) {
	p := platform(t, PlatformOptions{PlainHTTP: true})
	p.SetOld(true)
	p.SetConnection("alice", &PlatformConnection{Token: known, UpdatedAt: noon()})
	tests := []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "status", "", 200, `{"connected":true,"instanceUrl":"","updatedAt":"1795348800"}`},
		{"POST", "connect", `{"personalAccessToken":"` + known + `.b.c"}`, 400, `{"error":"Invalid input: token contains invalid characters"}`},
		{"POST", "connect", `{"personalAccessToken":"` + known + `"}`, 200,
			`{"connected":true,"gitlabUserId":"0","instanceUrl":"","message":"GitLab account connected successfully","userId":"alice","username":""}`},
		{"DELETE", "disconnect", "", 404, "404 page not found"},
		{"POST", "disconnect", "", 200, `{"message":"GitLab disconnected successfully"}`},
	}
	for _, test := range tests {
		got := mustSend(t, http.DefaultClient, test.method, p.URL()+"/api/auth/gitlab/"+test.path, "Bearer alices", test.body)
		if got.status != test.status || got.body != test.want {
			t.Errorf("%s %s: %d %s, want %d %s", test.method, test.path, got.status, got.body, test.status, test.want)
		}
	}
	if c, found := p.Connection("alice"); found {
		t.Errorf("still there: %v", c.UpdatedAt)
	}
	defer func() {
		if recover() == nil {
			t.Error("a fault for an endpoint of GitLab was taken")
		}
	}()
	p.AddFault(Fault{Match: "project"})
}
