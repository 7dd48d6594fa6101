package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/cli"
	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// session is the pod of a session that two users share, on a platform that knows the
// owner's token only.
type session struct {
	gitlab   *gitlabtest.Server
	platform *gitlabtest.Platform
	dir      string
	env      map[string]string
}

// turnOf is a user's token, and what git gets with it: no two users share a part of that.
type turnOf struct{ token, answer string }

func newSession(t *testing.T) (s session, alice, bob turnOf) {
	t.Helper()
	s.dir = t.TempDir()
	var err error
	if s.gitlab, err = gitlabtest.Start(gitlabtest.Options{Dir: filepath.Join(s.dir, "gitlab")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.gitlab.Close)
	if s.platform, err = gitlabtest.StartPlatform(gitlabtest.PlatformOptions{Dir: filepath.Join(s.dir, "gitlab"), GitLab: s.gitlab}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.platform.Close)
	if err := s.gitlab.AddProject(gitlabtest.Project{Path: "group/project", Direct: map[int]int{7: 30, 8: 30}}); err != nil {
		t.Fatal(err)
	}
	add := func(id int, name, value, expires string, expiry int64) turnOf {
		s.gitlab.AddUser(gitlabtest.User{ID: id, Username: name})
		s.gitlab.AddToken(gitlabtest.Token{Value: value, UserID: id, ExpiresAt: expires, Scopes: []string{"api", "write_repository"}})
		return turnOf{value, fmt.Sprintf("username=oauth2\npassword=%s\npassword_expiry_utc=%d\n", value, expiry)}
	}
	alice = add(7, "alice", "glpat-CanaryAlice0FA1B2", "2027-12-31", 1830211200)
	bob = add(8, "bob", "glpat-CanaryBobs9E8D7C6", "2027-12-30", 1830124800)
	s.platform.AddSession("team", "one", "alice", "CanaryBotOfOne")
	s.platform.SetConnection("alice", &gitlabtest.PlatformConnection{Token: alice.token, InstanceURL: s.gitlab.URL()})
	s.env = map[string]string{
		"HOME": s.dir, "PATH": os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM": "1", "GIT_SSL_CAINFO": s.gitlab.CAFile(),
		"AGENTIC_SESSION_NAME": "one", "SESSION_ID": "one", "PROJECT_NAME": "team", "WORKSPACE_PATH": "/workspace",
		"BACKEND_API_URL": s.platform.URL() + "/api", "BOT_TOKEN": "CanaryBotOfOne", "ACP_TOKEN_FILE": filepath.Join(s.dir, "no-bot-token"),
		"ACP_GITLAB_INSTANCE_URL": s.gitlab.URL(), "ACP_GITLAB_CACHE_DIR": filepath.Join(s.dir, "cache"), "GITLAB_TOKEN": alice.token,
	}
	return s, alice, bob
}

func (s session) file() string { return filepath.Join(s.dir, "runner", ".ambient_gitlab_token") }

// turn does what the runner does when a user's turn begins; nil for its end.
func (s session) turn(user *turnOf) error {
	if user == nil {
		return os.Remove(s.file())
	}
	if err := os.MkdirAll(filepath.Dir(s.file()), 0o755); err != nil {
		return err
	}
	return os.WriteFile(s.file(), []byte(user.token), 0o600)
}

// get runs the program within this process.
func (s session) get(t *testing.T) (answer, said string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	host := strings.TrimPrefix(s.gitlab.URL(), "https://")
	code = cli.Run(t.Context(), cli.Env{
		Stdin: strings.NewReader("protocol=https\nhost=" + host + "\npath=group/project.git\n"), Stdout: &stdout, Stderr: &stderr,
		LookupEnv: func(name string) (string, bool) { value, set := s.env[name]; return value, set },
		Environ:   func() (all []string) { return []string{"PATH=" + s.env["PATH"]} },
		Getwd:     func() (string, error) { return s.dir, nil }, Exit: func(code int) { panic(code) },
		RunnerDir: filepath.Dir(s.file()), TempDir: s.dir, UserID: os.Getuid(),
	}, []string{"get"})
	return stdout.String(), stderr.String(), code
}

// A thousand turns of two users in one session: each gets what is theirs, and GitLab and
// the platform are asked once for each.
func TestAlternatingTurns(t *testing.T) {
	s, alice, bob := newSession(t)
	for n := range 1000 {
		user := []*turnOf{&alice, &bob}[n%2]
		if err := s.turn(user); err != nil {
			t.Fatal(err)
		}
		if answer, said, code := s.get(t); answer != user.answer || code != 0 {
			t.Fatalf("turn %d: exit code %d, %q, %q", n, code, answer, said)
		}
		if n%10 != 9 {
			continue
		}
		if err := s.turn(nil); err != nil {
			t.Fatal(err)
		}
		if answer, said, code := s.get(t); answer != "quit=1\n" || code != 1 || !strings.Contains(said, "authentication failed: no user's turn is running") {
			t.Fatalf("after turn %d: exit code %d, %q, %q", n, code, answer, said)
		}
	}
	if self, asked := s.gitlab.Count("self"), s.platform.Count("credentials"); self != 2 || asked != 2 {
		t.Errorf("GitLab was asked %d times about tokens, the platform %d times", self, asked)
	}
}

// A turn that begins or ends while git asks: git gets the whole answer of the user whose
// turn it was or is; none between turns.
func TestTurnsWhileGetting(t *testing.T) {
	s, alice, bob := newSession(t)
	turns := []*turnOf{&alice, &bob, nil, &bob, &alice, nil}
	refused := turnOf{answer: "quit=1\n"}
	outcome := func(user *turnOf) string {
		if user == nil {
			user = &refused
		}
		return user.answer
	}
	if err := s.turn(turns[0]); err != nil {
		t.Fatal(err)
	}
	got := map[bool]int{}
	for n := range 600 {
		before, after := turns[n%len(turns)], turns[(n+1)%len(turns)]
		changed := make(chan error, 1)
		go func() { changed <- s.turn(after) }()
		answer, said, code := s.get(t)
		if err := <-changed; err != nil {
			t.Fatal(err)
		}
		if answer != outcome(before) && answer != outcome(after) || (code == 0) != (answer != refused.answer) {
			t.Fatalf("turn %d: exit code %d, %q, %q", n, code, answer, said)
		}
		got[answer == outcome(after)]++
	}
	t.Logf("%d answers of the turn before, %d of the turn after", got[false], got[true])
}
