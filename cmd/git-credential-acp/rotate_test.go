package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// rotation is a machine on which the platform's token is rotated.
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

// command is the program; what it says is in the buffer when it has ended.
func (r *rotation) command(args ...string) (*exec.Cmd, *bytes.Buffer) {
	r.t.Helper()
	cmd := exec.Command(program(r.t), append([]string{"rotate", "--platform"}, args...)...)
	said := &bytes.Buffer{}
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = r.env, r.dir, said, said
	return cmd, said
}

// start starts it.
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

// gate is a request at which something happens.
type gate struct {
	platform bool
	endpoint string
	n        int // the n-th of them
}

func (g gate) String() string { return fmt.Sprintf("%s %d", g.endpoint, g.n) }

// fault strikes at the gate's request alone.
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

// killAt starts a rotation and kills it while the gate's request is open.
func (r *rotation) killAt(g gate, args ...string) {
	r.t.Helper()
	r.fault(g, gitlabtest.Fault{Hang: true})
	cmd, said := r.start(args...)
	deadline := time.Now().Add(20 * time.Second)
	for r.count(g) < g.n {
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			r.t.Fatalf("the request never came: %s", said)
		}
		time.Sleep(2 * time.Millisecond)
	}
	if err := cmd.Process.Kill(); err != nil {
		r.t.Fatal(err)
	}
	_ = cmd.Wait()
	r.gitlab.ClearFaults()
	r.platform.ClearFaults()
	r.gitlab.ResetRequests()
	r.platform.ResetRequests()
}

// renewGates are all requests of a rotation by GitLab, in their order.
var renewGates = []gate{{true, "status", 1}, {false, "self", 1}, {false, "rotate", 1}, {false, "self", 2},
	{true, "connect", 1}, {true, "status", 2}, {false, "self", 3}}

// Killed at any request, a rotation by GitLab leaves a working token at hand, and
// can be finished.
func TestRenewKilled(t *testing.T) {
	for _, g := range renewGates {
		t.Run(g.String(), func(t *testing.T) {
			t.Parallel()
			r := newRotation(t)
			r.killAt(g, "--new")
			saved, there := r.saved()
			if !r.alive(podToken) && !r.alive(saved) {
				t.Fatal("no working token is at hand")
			}
			if !there {
				if !r.alive(podToken) || r.connected() != podToken {
					t.Fatal("something happened, and nothing is noted")
				}
				return
			}
			if code, said := r.run("--new"); code != 1 || !strings.Contains(said, "an earlier rotation was interrupted") {
				t.Errorf("rotated on top of an unfinished rotation: %d %s", code, said)
			}
			if n := r.gitlab.Count("rotate"); n > 0 {
				t.Errorf("GitLab was asked again, %d times", n)
			}
			code, said := r.run("--resume")
			if code != 0 || !r.alive(r.connected()) {
				t.Errorf("%d %s", code, said)
			}
			if told := strings.Contains(said, "rotated: "); told != (r.connected() != podToken) {
				t.Errorf("called rotated: %v: %s", told, said)
			}
			if saved != "" && r.connected() != saved {
				t.Error("another token than the saved one was stored")
			}
			if _, there := r.saved(); there {
				t.Error("the recovery file is left")
			}
		})
	}
}

// Of several rotations at once, one has GitLab make a token. A second request with
// the old one would revoke the new one as well.
func TestRenewAtOnce(t *testing.T) {
	r := newRotation(t)
	r.gitlab.AddFault(gitlabtest.Fault{Match: "self", Delay: 50 * time.Millisecond})
	var cmds []*exec.Cmd
	var outs []*bytes.Buffer
	for range 6 {
		cmd, out := r.start("--new")
		cmds, outs = append(cmds, cmd), append(outs, out)
	}
	done := 0
	for n, cmd := range cmds {
		_ = cmd.Wait()
		switch said := outs[n].String(); {
		case cmd.ProcessState.ExitCode() == 0:
			done++
		case !strings.Contains(said, "another rotation of the token in ") && !strings.Contains(said, "there is nothing to rotate"):
			t.Errorf("refused in other words: %s", said)
		}
	}
	if n := r.gitlab.Count("rotate"); done != 1 || n != 1 || !r.alive(r.connected()) {
		t.Errorf("%d rotations, %d requests for a new token; alive: %v", done, n, r.alive(r.connected()))
	}
	if _, there := r.saved(); there {
		t.Error("the recovery file is left")
	}
}

// During --grace both tokens work; an interruption leaves the old one alive. At the
// end, the old one is revoked.
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
