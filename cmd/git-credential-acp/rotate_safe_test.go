package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// wants runs rotate and fails unless it ends with the code and says the words.
func (r *rotation) wants(code int, words string, args ...string) {
	r.t.Helper()
	if got, said := r.run(args...); got != code || !strings.Contains(said, words) {
		r.t.Errorf("rotate %q: exit code %d, want %d and %q:\n%s", args, got, code, words, said)
	}
}

// untouched fails when GitLab was asked for a token, or the connection changed.
func (r *rotation) untouched() {
	r.t.Helper()
	if n := r.gitlab.Count("rotate"); n > 0 || !r.alive(podToken) || r.connected() != podToken {
		r.t.Errorf("%d requests for a token; the old one is alive: %v, and connected: %v", n, r.alive(podToken), r.connected() == podToken)
	}
}

// status has the platform say whose the connection is.
func (r *rotation) status(username string) {
	r.platform.AddFault(gitlabtest.Fault{Match: "status", Status: http.StatusOK,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   fmt.Sprintf(`{"connected":true,"instanceUrl":%q,"username":%q}`, r.gitlab.URL(), username)})
}

// underWay starts a rotation, and returns when GitLab was asked for a token, which
// takes it a time.
func (r *rotation) underWay(delay time.Duration) (*exec.Cmd, *bytes.Buffer) {
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

// While GitLab makes a token, neither a resumption nor another rotation comes in
// between: a second request with the old token would revoke the new one, too.
func TestResumeWhileUnderWay(t *testing.T) {
	r := newRotation(t)
	cmd, said := r.underWay(2 * time.Second)
	for _, args := range [][]string{{"--resume"}, {"--new"}, {"--token-file", "new"}} {
		r.wants(1, "is running; nothing was changed", args...)
	}
	_ = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 0 || r.gitlab.Count("rotate") != 1 || !r.alive(r.connected()) || r.alive(podToken) {
		t.Errorf("%d requests for a token: %s", r.gitlab.Count("rotate"), said)
	}
}

// From the request for a token on, no signal ends it: the answer could not be had
// again.
func TestRenewSignalled(t *testing.T) {
	r := newRotation(t)
	cmd, said := r.underWay(1500 * time.Millisecond)
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		time.Sleep(100 * time.Millisecond)
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 0 || !r.alive(r.connected()) || r.connected() == podToken ||
		strings.Count(said.String(), "rotate exits once the new token is stored") != 1 {
		t.Errorf("exit code %d: %s", code, said)
	}
}

// GitLab may take longer than other answers do: to give up is to lose the token.
func TestRenewSlow(t *testing.T) {
	r := newRotation(t)
	r.env = append(r.env, "ACP_GITLAB_TIMEOUT=1s")
	r.gitlab.AddFault(gitlabtest.Fault{Match: "rotate", Delay: 2 * time.Second})
	r.wants(0, "rotated: ", "--new")
	if !r.alive(r.connected()) {
		t.Error("the connection has a dead token")
	}
}

// A reader that goes away ends nothing half-way.
func TestRenewUnread(t *testing.T) {
	r := newRotation(t)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = reader.Close()
	cmd, _ := r.command("--new")
	cmd.Stdout = writer
	_ = cmd.Run() // it could not tell all, and may say so
	_ = writer.Close()
	if _, there := r.saved(); there || !r.alive(r.connected()) || r.connected() == podToken {
		t.Errorf("%v; there is a record: %v", cmd.ProcessState, there)
	}
}

// What GitLab or this program refuses before anything was made is told, and
// changes nothing.
func TestRenewRefused(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(r *rotation)
		args    []string
		code    int
		words   string
	}{
		"too late a date":  {nil, []string{"--new", "--expires", "2999-01-31"}, 1, "does not rotate this token to one that expires on 2999-01-31; nothing was changed"},
		"no later date":    {nil, []string{"--new", "--expires", time.Now().UTC().AddDate(0, 0, 20).Format(time.DateOnly)}, 1, "no later than the old one"},
		"no scope for it":  {func(r *rotation) { r.scopes(podToken, "write_repository", "read_api") }, []string{"--new"}, 1, "has neither the scope api nor self_rotate"},
		"another's token":  {func(r *rotation) { r.status("somebody.else") }, []string{"--new"}, 1, "belong to different users"},
		"another instance": {nil, []string{"--new", "--instance", "https://other.example"}, 1, "but the one here is for other.example"},
		"blocked": {func(r *rotation) {
			r.gitlab.AddFault(gitlabtest.Fault{Match: "rotate", Status: 403, Header: http.Header{"Content-Type": {"application/json"}},
				Body: `{"message":"403 Forbidden - Your account has been blocked."}`})
		}, []string{"--new"}, 1, "GitLab created no new token, and nothing was changed: "},
		"an outage":       {func(r *rotation) { r.gitlab.AddFault(gitlabtest.Fault{Match: "self", Status: 501}) }, []string{"--new"}, 3, "not verified: 127.0.0.1"},
		"nowhere to save": {nil, []string{"--new", "--recovery-dir", "/proc/none"}, 1, "nothing was changed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRotation(t)
			if test.prepare != nil {
				test.prepare(r)
			}
			r.wants(test.code, test.words, test.args...)
			if name == "too late a date" || name == "blocked" {
				r.gitlab.ResetRequests() // it was asked, and made none
			}
			r.untouched()
			if _, there := r.saved(); there {
				t.Error("a record is left")
			}
		})
	}
}

func (r *rotation) scopes(token string, scopes ...string) {
	r.t.Helper()
	if err := r.gitlab.UpdateToken(token, func(t *gitlabtest.Token) { t.Scopes = scopes }); err != nil {
		r.t.Fatal(err)
	}
}
