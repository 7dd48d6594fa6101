package connection

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// A Resume that is killed at any step can be resumed.
func TestResumeKilled(t *testing.T) {
	t.Parallel()
	for _, kind := range keepers {
		for n := 1; ; n++ {
			s := newScene(t, kind)
			if steps, killed := s.child("renew", 0, "done make"); !killed {
				t.Fatal(steps)
			}
			saved, _ := s.saved()
			steps, killed := s.child("resume", n, "")
			if !killed {
				if s.kept() != saved || n < 8 {
					t.Errorf("%s: after %d steps: %s", kind, n, steps)
				}
				s.check(true)
				break
			}
			if s.check(false); !s.alive(saved) {
				t.Fatalf("%s: the saved token is dead: %s", kind, steps)
			}
			if _, there := s.saved(); there {
				s.resume(fmt.Sprint(kind, steps), false, saved)
			}
			if s.kept() != saved {
				t.Errorf("%s: the saved token is not stored: %s", kind, steps)
			}
		}
	}
}

// Changes that may have happened since the interruption.
func TestResume(t *testing.T) {
	revoke := func(s *scene, value string, revoked bool) {
		if err := s.gitlab.UpdateToken(value, func(tok *gitlabtest.Token) { tok.Revoked = revoked }); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name, kind string
		// killAt is the step at which the rotation was interrupted.
		killAt string
		change func(s *scene, saved string)
		edit   func(*Rotation)
		code   string
		// kept is whether the record stays.
		kept bool
	}{
		{"nothing to resume", "secret", "before Read", func(s *scene, _ string) { _ = os.Remove(s.Recovery) }, nil, "nothing-to-resume", false},
		{"another keeper's", "secret", "done make", nil, func(r *Rotation) { r.Keeper.(stepped).Keeper.(*Secret).Name.Name = "other" }, "recovery-elsewhere", true},
		{"the saved token is dead", "platform", "done make", func(s *scene, saved string) { revoke(s, saved, true) }, nil, "rotate-dead", true},
		{"the saved token is dead", "secret", "done make", func(s *scene, saved string) { revoke(s, saved, true) }, nil, "rotate-dead", true},
		{"restored from a backup", "platform", "done make", func(s *scene, saved string) {
			revoke(s, saved, true)
			revoke(s, oldCanary, false)
		}, nil, "rotate-unmade", false},
		{"another token here", "platform", "shield", nil, func(r *Rotation) { r.Here = here(freshCanary) }, "rotate-overtaken", false},
		{"no token here", "platform", "done make", nil, func(r *Rotation) { r.Here = nil }, "", false},
		{"no token here, and none saved", "platform", "after POST self/rotate", nil, func(r *Rotation) { r.Here = nil }, "rotate-unknown", true},
		{"another instance's connection", "platform", "done make", func(s *scene, _ string) {
			s.platform.SetConnection("dev", &gitlabtest.PlatformConnection{Token: otherCanary, InstanceURL: "https://other.example"})
		}, nil, "rotate-other-instance", true},
		{"another user's connection", "platform", "done make", func(s *scene, _ string) { s.owner("somebody.else") }, nil, "recovery-owner", true},
		{"the same user's connection", "platform", "done make", func(s *scene, _ string) { s.owner("dev") }, nil, "", false},
		{"another token that works", "secret", "done make", func(s *scene, _ string) { s.cluster.put(map[string]string{"token": freshCanary}) }, nil, "rotate-two", true},
		{"another token that is dead", "secret", "done make", func(s *scene, _ string) {
			revoke(s, freshCanary, true)
			s.cluster.put(map[string]string{"token": freshCanary})
		}, nil, "", false},
		{"the Secret is deleted", "secret", "done make", func(s *scene, _ string) { s.cluster.secret = nil }, nil, "", false},
		{"dry run, saved", "platform", "done make", nil, dryRun, "", true},
		{"dry run, the reply is lost", "platform", "after POST self/rotate", nil, dryRun, "rotate-lost", true},
		{"dry run, another token here", "platform", "shield", nil, func(r *Rotation) {
			r.Here = here(freshCanary)
			r.DryRun = true
		}, "rotate-overtaken", true},
	} {
		t.Run(test.name+", "+test.kind, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, test.kind)
			if test.kind == "platform" {
				s.owner("dev")
			}
			if steps, killed := s.child("renew", 0, test.killAt); !killed {
				t.Fatal(steps)
			}
			saved, _ := s.saved()
			if s.platform != nil {
				s.platform.ClearFaults()
			}
			s.gitlab.ResetRequests()
			if test.change != nil {
				test.change(s, saved)
			}
			r := s.rotation()
			if test.edit != nil {
				test.edit(&r)
			}
			before := s.kept()
			s.want(Resume(t.Context(), r), test.code)
			if stored := test.code == "" && !r.DryRun; stored && s.kept() != saved || !stored && s.kept() != before {
				t.Errorf("stored %v, want %v", s.kept() != before, stored)
			}
			if _, there := s.saved(); there != test.kept {
				t.Errorf("the record is there: %v", there)
			}
			// No token is sent to an instance that it may not belong to.
			if n := s.gitlab.Count("api"); n > 0 && slices.Contains([]string{"rotate-other-instance", "rotate-unknown", "recovery-owner"}, test.code) {
				t.Errorf("GitLab was asked %d times", n)
			}
			s.check(!test.kept)
		})
	}
}
