package main

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// Only one of several concurrent rotations asks GitLab for a token. A second request with the
// old token would revoke the new one too.
func TestRotateNewAtOnce(t *testing.T) {
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
			t.Errorf("another error: %s", said)
		}
	}
	if n := r.gitlab.Count("rotate"); done != 1 || n != 1 || !r.alive(r.connected()) {
		t.Errorf("%d rotations, %d requests for a new token; alive: %v", done, n, r.alive(r.connected()))
	}
	if _, there := r.saved(); there {
		t.Error("the recovery file is left")
	}
}

// After the request for a token, signals don't end rotate: GitLab does not repeat the reply.
func TestRotateNewSignal(t *testing.T) {
	t.Parallel()
	r := newRotation(t)
	cmd, said := r.startNew(1500 * time.Millisecond)
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

// The request for a token has a longer timeout, since the token is lost with the reply.
func TestRotateNewSlow(t *testing.T) {
	t.Parallel()
	r := newRotation(t)
	r.env = append(r.env, "ACP_GITLAB_TIMEOUT=1s")
	r.gitlab.AddFault(gitlabtest.Fault{Match: "rotate", Delay: 2 * time.Second})
	r.want(0, "rotated: ", "--new")
	if !r.alive(r.connected()) {
		t.Error("the connection has a dead token")
	}
}

// A closed standard output does not interrupt rotate.
func TestRotateNewClosedOutput(t *testing.T) {
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

// Refusals before GitLab has created a token change nothing.
func TestRotateNewRefused(t *testing.T) {
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
			r.want(test.code, test.words, test.args...)
			if name == "too late a date" || name == "blocked" {
				r.gitlab.ResetRequests() // it was asked, and made none
			}
			r.unchanged()
			if _, there := r.saved(); there {
				t.Error("a record is left")
			}
		})
	}
}
