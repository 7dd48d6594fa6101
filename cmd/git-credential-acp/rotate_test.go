package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// rotation is a pod in which the platform's token is rotated. rotate_new_test.go has the tests
// of --new, rotate_resume_test.go those of --resume.
type rotation struct {
	*pod
	platform *gitlabtest.Platform
}

const platformToken = "eyJh.CanaryUserA7B3C9D1.c2ln"

func newRotation(t *testing.T) *rotation {
	t.Helper()
	r := &rotation{pod: newPod(t)}
	platform, err := gitlabtest.StartPlatform(gitlabtest.PlatformOptions{Dir: filepath.Join(r.dir, "gitlab"), GitLab: r.gitlab})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(platform.Close)
	r.platform = platform
	platform.AddUser("dev", platformToken)
	platform.SetConnection("dev", &gitlabtest.PlatformConnection{Token: podToken, InstanceURL: r.gitlab.URL()})
	for token, days := range map[string]int{podToken: 20, otherToken: 60} {
		if err := r.gitlab.UpdateToken(token, func(t *gitlabtest.Token) { t.ExpiresAt = time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly) }); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"old": podToken, "new": otherToken} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.env = append(r.env, "ACP_BACKEND_URL="+platform.URL(), "ACP_TOKEN="+platformToken, "GIT_SSL_CAINFO="+r.gitlab.CAFile(),
		"ACP_GITLAB_SECRET_DIR="+filepath.Join(r.dir, "none"), "ACP_GITLAB_TOKEN_FILE="+filepath.Join(r.dir, "old"),
		"ACP_GITLAB_INSTANCE_URL="+r.gitlab.URL(), "ACP_GITLAB_TIMEOUT=20s", "XDG_STATE_HOME="+filepath.Join(r.dir, "state"))
	return r
}

// command is the program; its output is in the buffer after it has ended.
func (r *rotation) command(args ...string) (*exec.Cmd, *bytes.Buffer) {
	r.t.Helper()
	cmd := exec.Command(program(r.t), append([]string{"rotate", "--platform"}, args...)...)
	said := &bytes.Buffer{}
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = r.env, r.dir, said, said
	return cmd, said
}

func (r *rotation) start(args ...string) (*exec.Cmd, *bytes.Buffer) {
	r.t.Helper()
	cmd, said := r.command(args...)
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	return cmd, said
}

func (r *rotation) run(args ...string) (code int, said string) {
	r.t.Helper()
	cmd, out := r.start(args...)
	_ = cmd.Wait()
	for _, secret := range []string{podToken, otherToken, platformToken, "CanaryRotated"} {
		if strings.Contains(out.String(), secret[len("glpat-"):]) {
			r.t.Errorf("a token was printed: %s", out)
		}
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// saved is the token in the recovery file; "" without one. there says whether
// there is a file.
func (r *rotation) saved() (token string, there bool) {
	r.t.Helper()
	files, err := filepath.Glob(filepath.Join(r.dir, "state", "*", "*.json"))
	if err != nil || len(files) > 1 {
		r.t.Fatalf("%v %v", files, err)
	}
	if len(files) == 0 {
		return "", false
	}
	info, err := os.Stat(files[0])
	if err != nil || info.Mode().Perm() != 0o600 {
		r.t.Errorf("the recovery file has mode %v (%v)", info.Mode(), err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		r.t.Fatal(err)
	}
	var record struct{ Token string }
	if err := json.Unmarshal(data, &record); err != nil {
		r.t.Fatal(err)
	}
	return record.Token, true
}

func (r *rotation) alive(token string) bool {
	t, known := r.gitlab.Token(token)
	return known && !t.Revoked
}

func (r *rotation) connected() string {
	c, _ := r.platform.Connection("dev")
	return c.Token
}

// gate is a request at which a test intervenes.
type gate struct {
	platform bool
	endpoint string
	n        int // the n-th of them
}

func (g gate) String() string { return fmt.Sprintf("%s %d", g.endpoint, g.n) }

// fault makes only the gate's request fail.
func (r *rotation) fault(g gate, f gitlabtest.Fault) {
	add := r.gitlab.AddFault
	if g.platform {
		add = r.platform.AddFault
	}
	f.Match, f.Times = g.endpoint, 1
	if g.n > 1 {
		add(gitlabtest.Fault{Match: g.endpoint, Times: g.n - 1, Delay: time.Nanosecond})
	}
	add(f)
}

func (r *rotation) count(g gate) int {
	if g.platform {
		return r.platform.Count(g.endpoint)
	}
	return r.gitlab.Count(g.endpoint)
}

// During --grace both tokens are valid, and an interruption does not revoke the old one. At
// the end, it is revoked.
func TestRotateGrace(t *testing.T) {
	r := newRotation(t)
	cmd, said := r.command("--token-file", "new", "--grace", "1h")
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = writer
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	told := make(chan bool, 1)
	go func() {
		defer close(told)
		for lines := bufio.NewScanner(reader); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "wait ") {
				told <- strings.Contains(lines.Text(), "the old token is revoked in 1h0m0s")
			}
		}
	}()
	select {
	case right := <-told:
		if !right || r.connected() != otherToken || !r.alive(podToken) {
			t.Errorf("told %v; connected %v, alive %v", right, r.connected() == otherToken, r.alive(podToken))
		}
	case <-time.After(30 * time.Second):
		t.Error("it does not wait")
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 3 || !strings.Contains(said.String(), "the old one was not revoked: --grace was interrupted") || !strings.Contains(said.String(), "hint: ") {
		t.Errorf("%d %s", code, said)
	}
	if !r.alive(podToken) || !r.alive(otherToken) {
		t.Error("a token is revoked")
	}

	r = newRotation(t)
	if code, said := r.run("--token-file", "new", "--grace", "1ms", "--dry-run"); code != 0 || !strings.Contains(said, "wait 1ms, and revoke the old one") || r.connected() != podToken {
		t.Errorf("%d %s", code, said)
	}
	if code, said := r.run("--token-file", "new", "--grace", "1ms"); code != 0 || r.alive(podToken) || r.connected() != otherToken {
		t.Errorf("%d %s", code, said)
	}
	for args, words := range map[string]string{
		"--new --grace 1s": "--new and --grace", "--resume --grace 1s": "--resume and --grace", "--grace -1s": "--grace is negative",
		"--grace x": "the flag --grace can't have that value", "--pods app=x": "--pods and --platform", "--pods a=b=c": "--pods is not a label selector", "--pods=": "--pods is not a label selector",
	} {
		if code, said := r.run(strings.Fields(args)...); code != 2 || !strings.Contains(said, words) {
			t.Errorf("%s: %d %s", args, code, said)
		}
	}
}

// want runs rotate, and fails unless it exits with the code and prints the words.
func (r *rotation) want(code int, words string, args ...string) {
	r.t.Helper()
	if got, said := r.run(args...); got != code || !strings.Contains(said, words) {
		r.t.Errorf("rotate %q: exit code %d, want %d and %q:\n%s", args, got, code, words, said)
	}
}

// unchanged fails if GitLab was asked for a token, or the connection changed.
func (r *rotation) unchanged() {
	r.t.Helper()
	if n := r.gitlab.Count("rotate"); n > 0 || !r.alive(podToken) || r.connected() != podToken {
		r.t.Errorf("%d requests for a token; the old one is alive: %v, and connected: %v", n, r.alive(podToken), r.connected() == podToken)
	}
}

// status makes the platform return the connection's user.
func (r *rotation) status(username string) {
	r.platform.AddFault(gitlabtest.Fault{Match: "status", Status: http.StatusOK,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   fmt.Sprintf(`{"connected":true,"instanceUrl":%q,"username":%q}`, r.gitlab.URL(), username)})
}

// startNew starts rotate --new, and returns when GitLab was asked for a token; the reply takes
// a while.
func (r *rotation) startNew(delay time.Duration) (*exec.Cmd, *bytes.Buffer) {
	r.t.Helper()
	r.gitlab.AddFault(gitlabtest.Fault{Match: "rotate", Delay: delay})
	cmd, said := r.start("--new")
	for deadline := time.Now().Add(20 * time.Second); r.gitlab.Count("rotate") == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			r.t.Fatalf("GitLab was not asked for a token: %s", said)
		}
	}
	return cmd, said
}

func (r *rotation) scopes(token string, scopes ...string) {
	r.t.Helper()
	if err := r.gitlab.UpdateToken(token, func(t *gitlabtest.Token) { t.Scopes = scopes }); err != nil {
		r.t.Fatal(err)
	}
}
