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

// These tests run the program as it is built for release, in processes of its
// own: what is shared between callers is files and locks.

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

// pod is a machine with a stand-in GitLab, a mounted Secret and the program.
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

// wantRequests holds the stand-in's counts to what is expected, and resets them.
func (p *pod) wantRequests(want map[string]int) {
	p.t.Helper()
	for endpoint, n := range want {
		if got := p.gitlab.Count(endpoint); got != n {
			p.t.Errorf("%d requests to %s, want %d", got, endpoint, n)
		}
	}
	p.gitlab.ResetRequests()
}

// A hundred calls at once ask GitLab two questions, and all are answered.
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

// What one of many learns in vain counts for all who waited for it.
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
	// A process that was slow to start comes after the first answer and asks
	// again, ten times with retries. If none waited, there would be 200 requests.
	if got := p.gitlab.Count("api"); got < 2 || got > 50 {
		t.Errorf("%d requests", got)
	}
}

// Twenty submodules cloned at once: one question about the token, one about
// each project.
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

// The one that asks is killed: the next one asks, without waiting for it.
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
	// Long enough for one that doesn't wait to have asked.
	time.Sleep(500 * time.Millisecond)
	if n := p.gitlab.Count("api"); n != 2 {
		t.Errorf("%d requests while the first one asks", n)
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

// Twenty projects, cold and at once: one question about the token, which all
// wait for, and one about each project. In an outage, the token's trouble is
// everybody's.
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
		// One asks about the token and its own project, five times each.
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

// While one waits for a rate limit to reset, outside its time limit, the others
// hear of it and don't ask: those that don't want to wait that long are told so.
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
			t.Fatal("the limit is not made known")
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

// Sessions with a cache each share one limit, with room for one half of them in a
// window: all are answered, although each of them has less time than a window.
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
	// None asks while it knows that the limit is used up: twice two in vain each, at
	// the most.
	if got := p.gitlab.Count("api"); got > 6*sessions {
		t.Errorf("%d requests", got)
	}
}

// The one that asks gets no answer: the others wait for half their time, then
// ask for themselves, and what they learn serves the one as well.
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

// The Secret is swapped while a call waits for the lock: what it answers is one
// token, whole, that was found good.
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
	_ = first.Wait() // its token died while it asked: either answer is right
	if err := second.Wait(); err != nil || !strings.Contains(out.String(), "password="+otherToken+"\n") {
		t.Errorf("get: %v\n%s", err, out)
	}
}

// await waits until GitLab has been asked.
func (p *pod) await(endpoint string, requests int) {
	p.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); p.gitlab.Count(endpoint) < requests; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("%d requests never came", requests)
		}
	}
}

// What is remembered is answered without a network, authorities, proxy or git:
// each of them would fail or hang here if it were touched.
func TestWarmTouchesNothing(t *testing.T) {
	p := newPod(t, "group/project")
	p.mustGet()
	p.gitlab.Close()
	trap := p.path("trap")
	if err := os.Mkdir(trap, 0o755); err != nil { // a directory is no file of certificates
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
		t.Errorf("the traps trap nothing: %s", out)
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
	// The pipe stays open, as with a person at a terminal.
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "password="+podToken) {
		t.Errorf("get: %v\n%s", err, out)
	}
}
