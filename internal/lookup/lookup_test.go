package lookup

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/cache"
	"github.com/ambient-code/git-credential-acp/internal/config"
	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/deadline"
	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
	"github.com/ambient-code/git-credential-acp/internal/gitnet"
	"github.com/ambient-code/git-credential-acp/internal/kube"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/platform"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

const (
	canary      = "glpat-CanaryOfTheUser000"
	otherCanary = "glpat-CanaryOfAnother000"
	userCanary  = "sha256~CanaryOfAlice0000"
	ours        = "https://gitlab.example.com"
)

// testLookup looks as in an environment, with a cache of its own.
func testLookup(t *testing.T, environment map[string]string) Lookup {
	t.Helper()
	dir := t.TempDir()
	if _, set := environment["ACP_GITLAB_SECRET_DIR"]; !set {
		environment["ACP_GITLAB_SECRET_DIR"] = filepath.Join(dir, "none")
	}
	c := config.Read(func(name string) (string, bool) {
		value, set := environment[name]
		return value, set
	})
	store := cache.Store{Dirs: []string{filepath.Join(dir, "cache")}, TTL: time.Minute}
	return Lookup{
		Config:  c,
		Limit:   deadline.Limit{Timeout: func() (time.Duration, error) { return 20 * time.Second, nil }},
		Store:   func() (cache.Store, error) { return store, nil },
		Cluster: kube.Config{Kubeconfig: environment["KUBECONFIG"], UserAgent: "test"},
		Platform: platform.Environment{Config: c, UserAgent: "test", Hide: func(token.Bearer) {},
			Net: gitnet.Settings{Config: c, Git: func() gitconfig.Config { return gitconfig.Config{} }}},
		RunnerDir: filepath.Join(dir, "runner"),
	}
}

// request is git's for a host.
func request(host string) credential.Request {
	return credential.Request{Protocol: "https", Host: host}
}

// one is the only place that a request finds.
func one(t *testing.T, l Lookup, host string) source.Found {
	t.Helper()
	found, looked, problem := l.Find(t.Context(), request(host))
	if problem != nil || len(found) != 1 {
		t.Fatalf("%d places, looked at %q: %v", len(found), looked, problem)
	}
	return found[0]
}

// wantFound fails if a place has another token or instance, or another problem.
func wantFound(t *testing.T, f source.Found, tok, instance, code string) {
	t.Helper()
	got := ""
	if f.Problem != nil {
		got = message.As(f.Problem).Code
	}
	url := ""
	if f.Instance.String() != "" {
		url = f.Instance.URL()
	}
	if f.Token.Reveal() != tok || url != instance || got != code {
		t.Errorf("token as wanted: %t, instance %q, problem %v; want %q, %q", f.Token.Reveal() == tok, url, f.Problem, instance, code)
	}
	if f.Problem != nil && strings.Contains(strings.Join(message.As(f.Problem).Lines(), "\n"), "Canary") {
		t.Errorf("a secret is in %v", f.Problem)
	}
}

// cluster is an API server with the Secret team/mine, and the number of its requests. While
// status is not 0, it answers with that.
func cluster(t *testing.T) (kubeconfig string, status, requests *atomic.Int32) {
	t.Helper()
	status, requests = new(atomic.Int32), new(atomic.Int32)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		w.Header().Set("Content-Type", "application/json")
		code := int(status.Load())
		switch {
		case code == 0 && r.URL.Path == "/api/v1/namespaces/team/secrets/mine":
			_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Secret", "apiVersion": "v1", "type": "Opaque",
				"metadata": map[string]any{"name": "mine", "namespace": "team"},
				"data":     map[string][]byte{"token": []byte(canary), "instanceUrl": []byte(ours)}})
			return
		case code == 0:
			code = http.StatusNotFound
		}
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
			"reason": map[int]string{404: "NotFound", 403: "Forbidden"}[code], "details": map[string]string{"name": "mine", "kind": "secrets"}})
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	ca, err := json.Marshal(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
"clusters": [{"name": "c", "cluster": {"server": %q, "certificate-authority-data": %s}}], "users": [{"name": "u", "user": {"token": "CanaryOfTheAccount"}}]}`, s.URL, ca)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return kubeconfig, status, requests
}

// A Secret of the cluster is read once for its own instance, and not again for another's
// requests while its instance is cached.
func TestClusterSecret(t *testing.T) {
	kubeconfig, status, requests := cluster(t)
	l := testLookup(t, map[string]string{"ACP_GITLAB_SECRET": "team/mine", "KUBECONFIG": kubeconfig})
	wantFound(t, one(t, l, "gitlab.example.com"), canary, ours, "")
	before := requests.Load()
	wantFound(t, one(t, l, "elsewhere.example.com"), "", ours, "")
	if requests.Load() != before {
		t.Error("the Secret was read for another instance")
	}
	if newer, err := l.Newer(t.Context()); err != nil || newer.Token.Reveal() != canary || requests.Load() == before {
		t.Errorf("newer: %v, %d requests", err, requests.Load()-before)
	}
	status.Store(http.StatusForbidden)
	wantFound(t, one(t, l, "gitlab.example.com"), "", ours, "kube-forbidden")
	status.Store(http.StatusNotFound)
	if found, _, problem := l.Find(t.Context(), request("gitlab.example.com")); len(found) != 0 || problem != nil {
		t.Errorf("a missing Secret: %d places, %v", len(found), problem)
	}
}

// Settings of sources that name no place are reported, with the place that is found if any.
func TestSettings(t *testing.T) {
	tests := []struct {
		name        string
		environment map[string]string
		found, code string
	}{
		{"an invalid name of a Secret", map[string]string{"ACP_GITLAB_SECRET": canary + "/"}, "setting-invalid", ""},
		{"api without a Secret", map[string]string{"ACP_GITLAB_SOURCE": "api"}, "cluster-secret-unset", ""},
		{"file without a path", map[string]string{"ACP_GITLAB_SOURCE": "file"}, "", "token-file-unset"},
		{"an unknown source", map[string]string{"ACP_GITLAB_SOURCE": canary}, "", "setting-invalid"},
		{"nothing", map[string]string{}, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			found, _, problem := testLookup(t, test.environment).Find(t.Context(), request("gitlab.example.com"))
			switch {
			case test.code != "" && !message.Is(problem, test.code), test.code == "" && problem != nil:
				t.Errorf("%v, want %q", problem, test.code)
			case test.found == "" && len(found) != 0, test.found != "" && len(found) != 1:
				t.Errorf("%d places", len(found))
			case test.found != "":
				wantFound(t, found[0], "", "", test.found)
			}
		})
	}
}

// aPlatform is a platform with a session of alice's, who has connected GitLab with a token
// unless it is "", and the environment of the session.
func aPlatform(t *testing.T, tok string) (*gitlabtest.Platform, map[string]string) {
	t.Helper()
	p, err := gitlabtest.StartPlatform(gitlabtest.PlatformOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	p.AddUser("alice", userCanary)
	p.AddSession("team", "one", "alice", "CanaryOfTheBot")
	if tok != "" {
		p.SetConnection("alice", &gitlabtest.PlatformConnection{Token: tok, InstanceURL: ours})
	}
	return p, map[string]string{"ACP_BACKEND_URL": p.URL() + "/api", "ACP_TOKEN": userCanary, "GIT_SSL_CAINFO": p.CAFile(),
		"PROJECT_NAME": "team", "AGENTIC_SESSION_NAME": "one"}
}

// The platform is asked for the bound credential, or else for that of the session's owner.
func TestBackend(t *testing.T) {
	tests := []struct {
		name, connected    string
		change             map[string]string
		tok, instance      string
		problem, placeless string
	}{
		{name: "the session's", connected: canary, tok: canary, instance: ours},
		{name: "not connected", placeless: "platform-not-connected"},
		{name: "no project", connected: canary, change: map[string]string{"PROJECT_NAME": ""}, problem: "session-unknown"},
		{name: "no session", connected: canary, change: map[string]string{"AGENTIC_SESSION_NAME": ""}, problem: "session-unknown"},
		{name: "another variable for the session", connected: canary, tok: canary, instance: ours,
			change: map[string]string{"AGENTIC_SESSION_NAME": "", "SESSION_NAME": "one"}},
		{name: "the bound one", connected: otherCanary, tok: canary, instance: "https://bound.example.com",
			change: map[string]string{"CREDENTIAL_IDS": `{"gitlab": "2abcdefghijklmnopqrstuvwxyz"}`}},
		{name: "another provider's", connected: canary, tok: canary, instance: ours,
			change: map[string]string{"CREDENTIAL_IDS": `{"github": "2abcdefghijklmnopqrstuvwxyz"}`}},
		{name: "none bound and no session", change: map[string]string{"CREDENTIAL_IDS": `{}`, "AGENTIC_SESSION_NAME": ""}, placeless: "credential-unbound"},
		{name: "invalid ids", connected: canary, change: map[string]string{"CREDENTIAL_IDS": canary}, problem: "setting-invalid"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, environment := aPlatform(t, test.connected)
			p.AddCredential(gitlabtest.PlatformCredential{ID: "2abcdefghijklmnopqrstuvwxyz", Provider: "gitlab", Token: canary,
				URL: "https://bound.example.com", Project: "team"})
			environment["ACP_GITLAB_SOURCE"] = "backend"
			for name, value := range test.change {
				environment[name] = value
			}
			l := testLookup(t, environment)
			if test.placeless == "" {
				f := one(t, l, "gitlab.example.com")
				wantFound(t, f, test.tok, test.instance, test.problem)
				return
			}
			found, _, problem := l.Find(t.Context(), request("gitlab.example.com"))
			if len(found) != 0 || !message.Is(problem, test.placeless) {
				t.Errorf("%d places, %v; want %s", len(found), problem, test.placeless)
			}
		})
	}
}

// The token of a turn belongs to the connection's instance only if the connection has the
// same token. Without an answer, it is not guessed.
func TestRunnerInstance(t *testing.T) {
	const variable = "https://variable.example.com"
	tests := []struct {
		name, connected, variable, host string
		down                            bool
		instance, problem               string
		requests                        int
	}{
		{name: "the same token", connected: canary, variable: variable, instance: ours, requests: 1},
		{name: "another token", connected: otherCanary, variable: variable, instance: variable, requests: 1},
		{name: "another token, no variable", connected: otherCanary, instance: source.DefaultInstanceURL, requests: 1},
		{name: "not connected", instance: source.DefaultInstanceURL, requests: 1},
		{name: "another forge", connected: canary, host: "github.com", instance: source.DefaultInstanceURL},
		{name: "no answer", down: true, connected: canary, problem: "turn-instance", requests: -1},
		{name: "no answer, variable", down: true, connected: canary, variable: variable, instance: variable, requests: -1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, environment := aPlatform(t, test.connected)
			environment["ACP_GITLAB_SOURCE"], environment["ACP_GITLAB_INSTANCE_URL"] = "runner", test.variable
			if test.down {
				p.AddFault(gitlabtest.Fault{Match: "all", Status: http.StatusNotImplemented})
			}
			l := testLookup(t, environment)
			if err := os.MkdirAll(l.RunnerDir, 0o700); err != nil {
				t.Fatal(err)
			}
			// The name is the runner's, as in package source.
			if err := os.WriteFile(filepath.Join(l.RunnerDir, ".ambient_gitlab_token"), []byte(canary), 0o600); err != nil {
				t.Fatal(err)
			}
			host := test.host
			if host == "" {
				host = "gitlab.example.com"
			}
			tok := canary
			if test.problem != "" {
				tok = ""
			}
			for range 2 { // the second time from the cache, if it is known
				wantFound(t, one(t, l, host), tok, test.instance, test.problem)
			}
			if got := p.Count("all"); test.requests >= 0 && got != test.requests {
				t.Errorf("%d requests, want %d", got, test.requests)
			}
			if kept := l.Keeps(t.Context(), token.Issued(canary)); kept != (test.connected == canary && !test.down) {
				t.Errorf("the connection has the token: %t", kept)
			}
		})
	}
}
