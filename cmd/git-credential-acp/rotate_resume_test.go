package main

import (
	"strings"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// killAt starts a rotation, and kills it during the gate's request.
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

// newGates are all requests of rotate --new, in order.
var newGates = []gate{{true, "status", 1}, {false, "self", 1}, {false, "rotate", 1}, {false, "self", 2},
	{true, "connect", 1}, {true, "status", 2}, {false, "self", 3}}

// A rotate --new that is killed at any request leaves a valid token on the platform or in the
// recovery file, and --resume finishes it.
func TestRotateResumeAfterKill(t *testing.T) {
	for _, g := range newGates {
		t.Run(g.String(), func(t *testing.T) {
			t.Parallel()
			r := newRotation(t)
			r.killAt(g, "--new")
			saved, there := r.saved()
			if !r.alive(podToken) && !r.alive(saved) {
				t.Fatal("no valid token is left")
			}
			if !there {
				if !r.alive(podToken) || r.connected() != podToken {
					t.Fatal("something was changed, and there is no record")
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

// While a rotate --new waits for GitLab, --resume and other rotations are refused: a second
// request with the old token would revoke the new one too.
func TestRotateResumeWhileRunning(t *testing.T) {
	t.Parallel()
	r := newRotation(t)
	cmd, said := r.startNew(2 * time.Second)
	for _, args := range [][]string{{"--resume"}, {"--new"}, {"--token-file", "new"}} {
		r.want(1, "is running; nothing was changed", args...)
	}
	_ = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 0 || r.gitlab.Count("rotate") != 1 || !r.alive(r.connected()) || r.alive(podToken) {
		t.Errorf("%d requests for a token: %s", r.gitlab.Count("rotate"), said)
	}
}
