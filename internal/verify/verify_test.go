package verify

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/cache"
	"github.com/ambient-code/git-credential-acp/internal/config"
	"github.com/ambient-code/git-credential-acp/internal/deadline"
	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
	"github.com/ambient-code/git-credential-acp/internal/gitnet"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

const canary = "glpat-CanaryVerifyQ7x9Zk2W"

// world is a Verifier that is put together as in package cli, for a fake GitLab.
type world struct {
	gitlab   *gitlabtest.Server
	verifier helper.Verifier
	question helper.Question
	// settings are git's, in the environment.
	settings [][2]string
	// wait is how long rate limits are waited for.
	wait time.Duration
}

func newWorld(t *testing.T) *world {
	t.Helper()
	server, err := gitlabtest.Start(gitlabtest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	server.AddUser(gitlabtest.User{ID: 1, Username: "alice"})
	server.AddToken(gitlabtest.Token{Value: canary, ID: 1, UserID: 1, Scopes: access.DefaultScopes()})
	i, err := instance.Parse(server.URL(), true)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := token.Parse(canary)
	if err != nil {
		t.Fatal(err)
	}
	found := source.Found{Source: source.File, Where: "a file", Instance: i, Token: tok,
		CA: func() ([]byte, error) { return os.ReadFile(server.CAFile()) }}
	w := &world{gitlab: server, question: helper.Question{Found: found, Policy: access.Policy{Scopes: access.DefaultScopes()}}, wait: time.Minute}
	net := gitnet.Settings{Config: config.Read(func(string) (string, bool) { return "", false }),
		Git: func() gitconfig.Config { return gitconfig.Config{Entries: gitconfig.FromEnvironment(w.settings, "")} }}
	timeout := func() (time.Duration, error) { return 20 * time.Second, nil }
	progress := Progress{Tell: func(error, func(string) string) {}}
	patience := WaitBudget{Limit: func() (time.Duration, error) { return w.wait, nil }, Progress: progress}
	dirs := []string{filepath.Join(t.TempDir(), "cache")}
	store := func() (cache.Store, error) { return cache.Store{Dirs: dirs, TTL: time.Minute}, nil }
	var v helper.Verifier = GitLab{Connect: Clients{Net: net, Progress: progress}.Connect, Timeout: timeout, WaitBudget: patience}
	v = Cached{Verifier: v, Store: store, Progress: progress}
	v = Limited{Verifier: v, Limit: deadline.Limit{Timeout: timeout}}
	v = AsGit{Verifier: v, Net: net}
	v = RateLimited{Verifier: v, WaitBudget: patience}
	w.verifier = Remembered{Verifier: v, Store: store}
	return w
}

// verify is one call.
func (w *world) verify(t *testing.T, want access.Outcome, reason access.Reason) helper.Finding {
	t.Helper()
	f := w.verifier.Verify(deadline.Begin(t.Context()), w.question)
	if f.Problem != nil || f.Verdict.Outcome != want || f.Verdict.Reason != reason {
		t.Errorf("%+v, want %v %s", f, want, reason)
	}
	return f
}

// The second call is answered from memory, until the token is forgotten.
func TestRemembered(t *testing.T) {
	w := newWorld(t)
	if f := w.verify(t, access.Granted, ""); f.Remembered {
		t.Error("remembered at first")
	}
	asked := len(w.gitlab.Requests())
	if f := w.verify(t, access.Granted, ""); !f.Remembered || f.Made.IsZero() || len(w.gitlab.Requests()) != asked {
		t.Errorf("%+v after %d requests", f, len(w.gitlab.Requests()))
	}
	if !w.verifier.Forget(w.question.Found.Token) || w.verifier.Forget(w.question.Found.Token) {
		t.Error("not forgotten, or twice")
	}
	if f := w.verify(t, access.Granted, ""); f.Remembered || len(w.gitlab.Requests()) == asked {
		t.Errorf("%+v", f)
	}
}

// Concurrent calls that share a Verifier make the requests of one, and each has a time
// of its own.
func TestShared(t *testing.T) {
	w := newWorld(t)
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() { w.verify(t, access.Granted, "") })
	}
	group.Wait()
	if n := len(w.gitlab.Requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// A rate limit is waited for, unless that takes longer than the call may wait.
func TestRateLimited(t *testing.T) {
	w := newWorld(t)
	w.gitlab.SetRateLimit(1, 4*time.Second)
	w.verify(t, access.Granted, "")
	w.verifier.Forget(w.question.Found.Token)
	w.verify(t, access.Granted, "") // in the next window
	w.verifier.Forget(w.question.Found.Token)
	w.wait = 0
	w.verify(t, access.Unverified, access.RateLimited)
}

// If git logs in by itself, GitLab is not asked; settings that only git follows are named if
// nothing was learned.
func TestAsGit(t *testing.T) {
	w := newWorld(t)
	w.settings = [][2]string{{"http.extraHeader", "Authorization: Basic x"}}
	if f := w.verifier.Verify(t.Context(), w.question); !message.Is(f.Problem, "header-authorizes") || len(w.gitlab.Requests()) > 0 {
		t.Errorf("%+v", f)
	}
	w.settings = [][2]string{{"http.sslCipherList", "x"}}
	w.gitlab.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if f := w.verifier.Verify(ctx, w.question); f.Verdict.Outcome != access.Unverified || len(f.Notes) != 1 || !message.Is(f.Notes[0], "setting-ignored") {
		t.Errorf("%+v", f)
	}
}
