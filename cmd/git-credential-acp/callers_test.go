package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// These tests run the built program: its processes share files and locks.

var built struct {
	once      sync.Once
	dir, path string
	err       error
}

func program(t *testing.T) string {
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "git-credential-acp-test-"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.dir, "git-credential-acp")
		if runtime.GOOS == "windows" {
			built.path += ".exe"
		}
		build := exec.Command("go", "build", "-o", built.path, module+"/cmd/git-credential-acp")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// pod is a machine with a fake GitLab, a mounted Secret and the program.
type pod struct {
	t      *testing.T
	dir    string
	gitlab *gitlabtest.Server
	env    []string
}

const (
	podToken   = "glpat-Canary0FA1B2C3"
	otherToken = "glpat-Canary9E8D7C6B"
)

func newPod(t *testing.T, projects ...string) *pod {
	t.Helper()
	dir := t.TempDir()
	gitlab, err := gitlabtest.Start(gitlabtest.Options{Dir: filepath.Join(dir, "gitlab")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(gitlab.Close)
	gitlab.AddUser(gitlabtest.User{ID: 7, Username: "dev"})
	for _, value := range []string{podToken, otherToken} {
		gitlab.AddGoodToken(value, 7)
	}
	for _, path := range projects {
		if err := gitlab.AddProject(gitlabtest.Project{Path: path, Direct: map[int]int{7: 30}}); err != nil {
			t.Fatal(err)
		}
	}
	p := &pod{t: t, dir: dir, gitlab: gitlab}
	p.mount(podToken)
	if p.env, err = gitlab.Environ(dir, program(t)); err != nil {
		t.Fatal(err)
	}
	p.env = append(p.env, "ACP_GITLAB_SECRET_DIR="+p.path("secret"))
	p.git("config", "--global", "credential.helper", "acp")
	p.git("config", "--global", "credential.useHttpPath", "true")
	p.git("config", "--global", "user.name", "Test")
	p.git("config", "--global", "user.email", "test@example.com")
	gitlab.ResetRequests()
	return p
}

func (p *pod) path(name string) string { return filepath.Join(p.dir, name) }

func (p *pod) mount(token string) {
	p.t.Helper()
	if err := gitlabtest.WriteSecret(p.path("secret"), map[string]string{"token": token, "instanceUrl": p.gitlab.URL()}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pod) git(args ...string) {
	p.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = p.dir, p.env
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// get prepares one call of get for a project.
func (p *pod) get(project string) (cmd *exec.Cmd, out *bytes.Buffer) {
	cmd, out = exec.Command(program(p.t), "get"), &bytes.Buffer{}
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, out, out
	host := strings.TrimPrefix(p.gitlab.URL(), "https://")
	cmd.Stdin = strings.NewReader("protocol=https\nhost=" + host + "\npath=" + project + ".git\n")
	return cmd, out
}

func (p *pod) mustGet() {
	p.t.Helper()
	cmd, out := p.get("group/project")
	if err := cmd.Run(); err != nil || !strings.Contains(out.String(), "\npassword="+podToken+"\n") {
		p.t.Errorf("get: %v\n%s", err, out)
	}
}

// wantRequests checks the counts of the fake GitLab, and resets them.
func (p *pod) wantRequests(want map[string]int) {
	p.t.Helper()
	for endpoint, n := range want {
		if got := p.gitlab.Count(endpoint); got != n {
			p.t.Errorf("%d requests to %s, want %d", got, endpoint, n)
		}
	}
	p.gitlab.ResetRequests()
}

// A hundred concurrent calls make two requests, and all get the token.
func TestHundredAtOnce(t *testing.T) {
	p := newPod(t, "group/project")
	p.gitlab.AddFault(gitlabtest.Fault{Match: "api", Delay: 300 * time.Millisecond})
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() { p.mustGet() })
	}
	group.Wait()
	p.wantRequests(map[string]int{"self": 1, "project": 1, "api": 2})
}

// In an outage, concurrent calls share one call's failure.
func TestManyInAnOutage(t *testing.T) {
	t.Parallel()
	p := newPod(t, "group/project")
	p.gitlab.AddFault(gitlabtest.Fault{Match: "api", Status: 500, Delay: 400 * time.Millisecond})
	var started, done sync.WaitGroup
	for range 20 {
		started.Add(1)
		done.Go(func() {
			cmd, out := p.get("group/project")
			err := cmd.Start()
			started.Done()
			if err == nil {
				err = cmd.Wait()
			}
			if cmd.ProcessState.ExitCode() != 3 || !strings.Contains(out.String(), "not verified: ") {
				t.Errorf("get: %v\n%s", err, out)
			}
		})
	}
	done.Wait()
	// A process that starts after that failure makes up to ten requests of its own, with
	// retries. Without sharing, there would be 200.
	if got := p.gitlab.Count("api"); got < 2 || got > 50 {
		t.Errorf("%d requests", got)
	}
}

// Twenty submodules cloned at once: one request for the token, one for each project.
func TestSubmodulesAtOnce(t *testing.T) {
	t.Parallel()
	const modules = 20
	projects := []string{"group/super"}
	for n := range modules {
		projects = append(projects, fmt.Sprintf("group/lib%02d", n))
	}
	p := newPod(t, projects...)
	p.git("clone", p.gitlab.URL()+"/group/super.git", "super")
	for _, project := range projects[1:] {
		p.git("-C", "super", "submodule", "add", p.gitlab.URL()+"/"+project+".git", filepath.Base(project))
	}
	p.git("-C", "super", "commit", "-m", "submodules")
	p.git("-C", "super", "push", "origin", "main")
	if err := os.RemoveAll(p.path("cache")); err != nil {
		t.Fatal(err)
	}
	p.gitlab.ResetRequests()

	p.git("clone", "--recurse-submodules", "--jobs", "20", p.gitlab.URL()+"/group/super.git", "again")
	p.wantRequests(map[string]int{"self": 1, "project": 1 + modules, "api": 2 + modules})
	for _, project := range projects[1:] {
		if _, err := os.Stat(p.path("again/" + filepath.Base(project) + "/README.md")); err != nil {
			t.Error(err)
		}
	}
	entries, err := os.ReadDir(p.path("cache"))
	if err != nil || len(entries) == 0 || len(entries) > 256+64 {
		t.Errorf("%d files for verdicts, %v", len(entries), err)
	}
}

// If the caller that asks GitLab is killed, a waiting one asks.
func TestHolderKilled(t *testing.T) {
	t.Parallel()
	p := newPod(t, "group/project")
	p.gitlab.AddFault(gitlabtest.Fault{Match: "api", Hang: true})
	holder, _ := p.get("group/project")
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	p.await("api", 2)
	p.gitlab.ClearFaults()
	waiter, out := p.get("group/project")
	if err := waiter.Start(); err != nil {
		t.Fatal(err)
	}
	// Enough for one that doesn't wait to make a request.
	time.Sleep(500 * time.Millisecond)
	if n := p.gitlab.Count("api"); n != 2 {
		t.Errorf("%d requests while the first one waits for GitLab", n)
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait() // it was killed
	if err := waiter.Wait(); err != nil || !strings.Contains(out.String(), "password="+podToken) {
		t.Errorf("get: %v\n%s", err, out)
	}
	p.wantRequests(map[string]int{"self": 2, "project": 2})
}

// Twenty projects at once without a cache: one request for the token, and one for each
// project. In an outage, all share the token's failure.
func TestProjectsAtOnce(t *testing.T) {
	t.Parallel()
	const projects = 20
	var paths []string
	for n := range projects {
		paths = append(paths, fmt.Sprintf("group/lib%02d", n))
	}
	p := newPod(t, paths...)
	for _, test := range []struct {
		fault    gitlabtest.Fault
		code     int
		requests func(self, project int) bool
	}{
		{gitlabtest.Fault{Match: "api", Delay: 300 * time.Millisecond}, 0,
			func(self, project int) bool { return self == 1 && project == projects }},
		// One call asks for the token and its project, five times each.
		{gitlabtest.Fault{Match: "api", Status: 503}, 3,
			func(self, project int) bool { return self <= 10 && project <= 10 }},
	} {
		if err := os.RemoveAll(p.path("cache")); err != nil {
			t.Fatal(err)
		}
		p.gitlab.ResetRequests()
		p.gitlab.ClearFaults()
		p.gitlab.AddFault(test.fault)
		var group sync.WaitGroup
		for _, path := range paths {
			group.Go(func() {
				cmd, out := p.get(path)
				_ = cmd.Run() // its exit code counts
				if cmd.ProcessState.ExitCode() != test.code {
					t.Errorf("exit code %d, want %d\n%s", cmd.ProcessState.ExitCode(), test.code, out)
				}
			})
		}
		group.Wait()
		if self, project := p.gitlab.Count("self"), p.gitlab.Count("project"); !test.requests(self, project) {
			t.Errorf("exit code %d: %d requests about the token, %d about projects", test.code, self, project)
		}
	}
}

// While one call waits for a rate limit to reset, outside its time limit, the others make
// no requests; those with a shorter wait fail.
func TestManyAtARateLimit(t *testing.T) {
	t.Parallel()
	p := newPod(t, "group/project", "group/other")
	p.env = append(p.env, "ACP_GITLAB_TIMEOUT=2s")
	p.gitlab.AddFault(gitlabtest.Fault{Match: "api", Status: 429, Header: map[string][]string{"Retry-After": {"4"}}})
	first, out := p.get("group/project")
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if left, _ := filepath.Glob(p.path("cache/acp2-[0-9a-f]*")); len(left) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the limit is not in the cache")
		}
	}
	p.gitlab.ClearFaults()
	p.gitlab.ResetRequests()
	hasty, said := p.get("group/other")
	hasty.Env = append(hasty.Env, "ACP_GITLAB_RATE_LIMIT_WAIT=500ms")
	if err := hasty.Run(); err == nil || !strings.Contains(said.String(), "rate limit exceeded: ") {
		t.Errorf("get: %v\n%s", err, said)
	}
	p.wantRequests(map[string]int{"api": 0})
	patient, heard := p.get("group/other")
	if err := patient.Run(); err != nil || !strings.Contains(heard.String(), "password="+podToken) {
		t.Errorf("get: %v\n%s", err, heard)
	}
	if err := first.Wait(); err != nil || !strings.Contains(out.String(), "waiting: rate limited by ") || !strings.Contains(out.String(), "password="+podToken) {
		t.Errorf("get: %v\n%s", err, out)
	}
	p.wantRequests(map[string]int{"self": 1, "project": 2})
}

// Sessions with separate caches share a limit that is enough for half of them in a window:
// all get the token, although their time limit is shorter than a window.
func TestSessionsAtARateLimit(t *testing.T) {
	t.Parallel()
	const sessions = 12
	p := newPod(t, "group/project")
	p.env = append(p.env, "ACP_GITLAB_TIMEOUT=4s")
	p.gitlab.SetRateLimit(sessions, 6*time.Second)
	var group sync.WaitGroup
	for n := range sessions {
		cmd, out := p.get("group/project")
		cmd.Env = append(slices.Clone(p.env), "ACP_GITLAB_CACHE_DIR="+p.path(fmt.Sprintf("cache%d", n)))
		group.Go(func() {
			if err := cmd.Run(); err != nil || !strings.Contains(out.String(), "\npassword="+podToken+"\n") {
				t.Errorf("get: %v\n%s", err, out)
			}
		})
	}
	group.Wait()
	// A session makes no requests while it knows that the limit is used up: at most four
	// fail.
	if got := p.gitlab.Count("api"); got > 6*sessions {
		t.Errorf("%d requests", got)
	}
}

// If GitLab does not answer the first call, the others ask after half of their time limit,
// and the first uses their result.
func TestHolderHangs(t *testing.T) {
	t.Parallel()
	p := newPod(t, "group/project")
	p.env = append(p.env, "ACP_GITLAB_TIMEOUT=6s")
	p.gitlab.AddFault(gitlabtest.Fault{Match: "api", Hang: true, Times: 2})
	holder, out := p.get("group/project")
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	p.await("api", 2)
	p.mustGet()
	if err := holder.Wait(); err != nil || !strings.Contains(out.String(), "password="+podToken) || strings.Contains(out.String(), "not verified") {
		t.Errorf("get: %v\n%s", err, out)
	}
	p.wantRequests(map[string]int{"self": 2, "project": 2})
}

// If the Secret is replaced while a call waits for the lock, it returns the new token.
func TestSwapWhileWaiting(t *testing.T) {
	t.Parallel()
	p := newPod(t, "group/project")
	p.gitlab.AddFault(gitlabtest.Fault{Match: "api", Delay: time.Second, Times: 2})
	first, _ := p.get("group/project")
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	p.await("api", 2)
	second, out := p.get("group/project")
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	p.mount(otherToken)
	if err := p.gitlab.UpdateToken(podToken, func(tok *gitlabtest.Token) { tok.Revoked = true }); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait() // its token was revoked meanwhile: either result is right
	if err := second.Wait(); err != nil || !strings.Contains(out.String(), "password="+otherToken+"\n") {
		t.Errorf("get: %v\n%s", err, out)
	}
}

// await waits for requests.
func (p *pod) await(endpoint string, requests int) {
	p.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); p.gitlab.Count(endpoint) < requests; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("%d requests never came", requests)
		}
	}
}

// A cached verdict needs no network, CA file, proxy or git, each of which would fail here.
func TestWarmTouchesNothing(t *testing.T) {
	p := newPod(t, "group/project")
	p.mustGet()
	p.gitlab.Close()
	trap := p.path("trap")
	if err := os.Mkdir(trap, 0o755); err != nil { // not a file of certificates
		t.Fatal(err)
	}
	p.env = []string{
		"HOME=/nonexistent", "PATH=/nonexistent", "TMPDIR=/nonexistent",
		"GIT_SSL_CAINFO=" + trap, "SSL_CERT_FILE=" + trap, "HTTPS_PROXY=http://127.0.0.1:1",
		"ACP_GITLAB_TIMEOUT=1ns",
		"ACP_GITLAB_SECRET_DIR=" + p.path("secret"), "ACP_GITLAB_CACHE_DIR=" + p.path("cache"),
	}
	p.mustGet()
	cmd, out := p.get("group/other")
	if err := cmd.Run(); err == nil {
		t.Errorf("without the cache, get succeeds: %s", out)
	}
}

// A blank line ends a request, although the input stays open.
func TestBlankLineEndsARequest(t *testing.T) {
	p := newPod(t, "group/project")
	cmd, out := p.get("group/project")
	request, err := io.ReadAll(cmd.Stdin)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = nil
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(append(request, '\n')); err != nil {
		t.Fatal(err)
	}
	// The pipe stays open, as at a terminal.
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "password="+podToken) {
		t.Errorf("get: %v\n%s", err, out)
	}
}
