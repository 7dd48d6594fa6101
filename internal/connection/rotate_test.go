package connection

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
)

// A Replace that is killed at any step leaves a valid token in the keeper, and can be run
// again.
func TestReplaceKilled(t *testing.T) {
	t.Parallel()
	for _, kind := range keepers {
		for n := 1; ; n++ {
			s := newScene(t, kind)
			steps, killed := s.child("replace", n, "")
			s.check(true)
			if !s.alive(s.kept()) || !s.alive(freshCanary) {
				t.Fatalf("%s: the keeper has a dead token: %s", kind, steps)
			}
			if !killed {
				if s.kept() != freshCanary || s.alive(oldCanary) || n < 15 {
					t.Errorf("%s: after %d steps: %s", kind, n, steps)
				}
				break
			}
			code := ""
			switch {
			case kind == "secret" && s.kept() == freshCanary:
				code = "rotate-same" // only a person knows whether the old one may go
			case !s.alive(oldCanary):
				code = "rotate-old-dead"
			}
			s.want(Replace(t.Context(), s.rotation(), given(freshCanary)), code)
			if s.kept() != freshCanary || code == "" && s.alive(oldCanary) {
				t.Errorf("%s: not finished after %s", kind, steps)
			}
		}
	}
}

// The old token is revoked only after the new one is stored and verified.
func TestReplace(t *testing.T) {
	for _, test := range []struct {
		name, fresh string
		change      func(*Rotation)
		code        string
	}{
		{"stored", freshCanary, nil, ""},
		{"dry run", freshCanary, dryRun, ""},
		{"the same token", oldCanary, nil, "rotate-same"},
		{"another user's token", otherCanary, nil, "rotate-other-user"},
		{"a token that GitLab doesn't know", "glpat-CanaryOfNobody0004", nil, "token-unknown"},
		{"without a scope that is required", freshCanary, func(r *Rotation) { r.Scopes = []string{"sudo"} }, "rotate-scopes"},
		{"without a scope that the old one has", narrowCanary, nil, "rotate-scopes"},
		{"that ends no later", briefCanary, nil, "rotate-expiry"},
		{"a short wait", freshCanary, func(r *Rotation) { r.Grace = time.Millisecond }, ""},
	} {
		for _, kind := range keepers {
			t.Run(test.name+", "+kind, func(t *testing.T) {
				s := newScene(t, kind)
				r := s.rotation()
				if test.change != nil {
					test.change(&r)
				}
				s.want(Replace(t.Context(), r, given(test.fresh)), test.code)
				stored := test.code == "" && !r.DryRun
				if (s.kept() == freshCanary) != stored || s.alive(oldCanary) == stored || !s.alive(s.kept()) {
					t.Errorf("stored %v, the old token is alive: %v", s.kept() == freshCanary, s.alive(oldCanary))
				}
				if s.cluster != nil && s.cluster.key("other") != "stays" {
					t.Error("another key of the Secret is gone")
				}
				s.check(true)
			})
		}
	}
}

// During the grace period both tokens are valid. The old one is not revoked after an
// interruption, or if the keeper has another token at the end.
func TestGrace(t *testing.T) {
	for _, kind := range keepers {
		s := newScene(t, kind)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s.during = func(step string) {
			if step == "done wait" {
				if s.kept() != freshCanary || !s.alive(oldCanary) || !s.alive(freshCanary) {
					t.Errorf("%s: during the wait", kind)
				}
				cancel()
			}
		}
		s.want(Replace(ctx, s.rotation(func(r *Rotation) { r.Grace = time.Hour }), given(freshCanary)), "rotate-not-revoked")
		if !s.alive(oldCanary) || s.kept() != freshCanary {
			t.Errorf("%s: after the interruption", kind)
		}
		s.check(true)
	}
	s := newScene(t, "secret")
	s.during = func(step string) {
		if step == "done wait" {
			s.cluster.put(map[string]string{"token": otherCanary})
		}
	}
	s.want(Replace(t.Context(), s.rotation(func(r *Rotation) { r.Grace = time.Millisecond }), given(freshCanary)), "rotate-not-revoked")
	if !s.alive(oldCanary) {
		t.Error("the old token is revoked, and the Secret has another one")
	}
}

// Failed requests. The fault is set after the step at; endpoint is GitLab's, or the
// platform's with the prefix "platform ".
func TestFaults(t *testing.T) {
	refused := gitlabtest.Fault{Status: 403, Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"message":"403 Forbidden"}`}
	for _, test := range []struct {
		name, at, endpoint string
		fault              gitlabtest.Fault
		do, code           string
		// oldAlive, stored and saved are what is true afterwards.
		oldAlive, stored, saved bool
	}{
		{"the reply with the token is lost", "", "rotate", gitlabtest.Fault{Cut: true}, "renew", "rotate-lost", false, false, false},
		{"no reply, and no token", "", "rotate", gitlabtest.Fault{Close: true}, "renew", "unreachable", true, false, false},
		{"GitLab makes no token", "", "rotate", refused, "renew", "rotate-denied", true, false, false},
		{"GitLab is down", "", "self", gitlabtest.Fault{Status: 501}, "renew", "server-error", true, false, false},
		{"GitLab is down afterwards", "done make", "self", gitlabtest.Fault{Status: 501}, "renew", "rotate-saved", false, true, true},
		{"the platform refuses it", "done make", "platform connect", gitlabtest.Fault{Status: 501}, "renew", "rotate-saved", false, false, true},
		{"the platform's reply is lost", "done make", "platform connect", gitlabtest.Fault{Cut: true}, "renew", "rotate-saved", false, true, true},
		{"the platform is down afterwards", "done store", "platform status", gitlabtest.Fault{Status: 501}, "renew", "rotate-saved", false, true, true},
		{"not revoked", "done store", "revoke", gitlabtest.Fault{Status: 501}, "replace", "rotate-not-revoked", true, true, false},
		{"not revoked, refused", "done store", "revoke", refused, "replace", "rotate-not-revoked", true, true, false},
		{"the reply to the revocation is lost", "done store", "revoke", gitlabtest.Fault{Cut: true, Times: 1}, "replace", "", false, true, false},
		{"the platform's reply is lost, replace", "done verify", "platform connect", gitlabtest.Fault{Cut: true}, "replace", "platform-uncertain", true, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, "platform")
			add := s.gitlab.AddFault
			endpoint, atPlatform := strings.CutPrefix(test.endpoint, "platform ")
			if atPlatform {
				add = s.platform.AddFault
			}
			test.fault.Match = endpoint
			s.during = func(step string) {
				if step == test.at {
					add(test.fault)
				}
			}
			s.during("")
			s.Do = test.do
			s.want(s.run(s.rotation()), test.code)
			saved, there := s.saved()
			if s.alive(oldCanary) != test.oldAlive || (s.kept() != oldCanary) != test.stored || (saved != "") != test.saved {
				t.Errorf("the old token is alive: %v, the new one stored: %v, saved: %v", s.alive(oldCanary), s.kept() != oldCanary, saved != "")
			}
			s.check(!test.saved)
			if s.during = nil; there {
				s.gitlab.ClearFaults()
				s.platform.ClearFaults()
				s.resume(test.name, false, saved)
			}
		})
	}
}

// After a failure of any request, a valid token is left, the error has a hint, and Resume
// finishes the rotation.
func TestFaultsAnywhere(t *testing.T) {
	t.Parallel()
	// The requests of a rotation in their order, and which of its kind each is.
	type request struct {
		endpoint string
		n        int
	}
	orders := map[string][]request{
		"renew":   {{"status", 1}, {"self", 1}, {"rotate", 1}, {"self", 2}, {"connect", 1}, {"status", 2}, {"self", 3}},
		"replace": {{"status", 1}, {"self", 1}, {"self", 2}, {"connect", 1}, {"status", 2}, {"self", 3}, {"revoke", 1}},
	}
	faults := map[string]gitlabtest.Fault{"500": {Status: 500}, "cut": {Cut: true}, "closed": {Close: true}, "a page": {HTML: true},
		"403": {Status: 403, Body: `{"message":"403 Forbidden"}`, Header: http.Header{"Content-Type": {"application/json"}}}}
	for do, order := range orders {
		for kind, fault := range faults {
			for _, at := range order {
				t.Run(fmt.Sprint(do, at, kind), func(t *testing.T) {
					t.Parallel()
					s := newScene(t, "platform")
					add := s.gitlab.AddFault
					if at.endpoint == "status" || at.endpoint == "connect" {
						add = s.platform.AddFault
					}
					if at.n > 1 {
						add(gitlabtest.Fault{Match: at.endpoint, Times: at.n - 1, Delay: time.Nanosecond})
					}
					fault := fault
					fault.Match, fault.Times = at.endpoint, 1
					add(fault)
					s.Do = do
					err := s.run(s.rotation())
					saved, there := s.saved()
					switch lost := at.endpoint == "rotate" && kind == "cut"; {
					case lost:
						s.want(err, "rotate-lost")
					case err == nil && (!s.alive(s.kept()) || s.kept() == oldCanary || there):
						t.Error("no error, but not rotated")
					case err != nil && message.As(err).Hint == "":
						t.Errorf("no hint: %v", err)
					case !s.alive(oldCanary) && !s.alive(saved) && !s.alive(s.kept()):
						t.Errorf("no valid token is left: %v", err)
					}
					if n := s.gitlab.Count("rotate"); n > 1 {
						t.Errorf("GitLab was asked for a token %d times", n)
					}
					s.check(!there)
					if there {
						s.resume(kind, false, saved)
					}
				})
			}
		}
	}
}

// Changes of the Secret between the read and the write.
func TestConflicts(t *testing.T) {
	type change func(c *cluster)
	beside := func(c *cluster) { c.change(map[string]string{"other": "changed"}) }
	swapped := func(c *cluster) { c.change(map[string]string{"token": otherCanary}) }
	gone := func(c *cluster) { c.secret = nil }
	for _, test := range []struct {
		name   string
		change change
		// times is how often it happens.
		times         int
		code, renewed string
		stored        bool
	}{
		{"another key", beside, 1, "", "", true},
		{"another key, again and again", beside, 99, "kube-conflict", "rotate-saved", false},
		{"another token", swapped, 1, "rotate-overtaken", "rotate-two", false},
		{"deleted", gone, 1, "nothing-kept", "rotate-saved", false},
	} {
		for do, code := range map[string]string{"replace": test.code, "renew": test.renewed} {
			t.Run(test.name+", "+do, func(t *testing.T) {
				s := newScene(t, "secret")
				left := test.times
				s.cluster.before = func(_ http.ResponseWriter, r *http.Request) bool {
					if r.Method == http.MethodPatch && r.URL.Query().Get("dryRun") == "" && left > 0 {
						left--
						test.change(s.cluster)
					}
					return false
				}
				s.Do = do
				s.want(s.run(s.rotation()), code)
				saved, _ := s.saved()
				if fresh := s.kept() != oldCanary && s.kept() != otherCanary && s.kept() != ""; fresh != test.stored {
					t.Errorf("stored: %v", fresh)
				}
				switch {
				case do == "replace" && s.alive(oldCanary) == test.stored:
					t.Errorf("the old token is alive: %v", s.alive(oldCanary))
				case do == "renew" && (saved != "") == test.stored:
					t.Errorf("the new token is saved: %v", saved != "")
				}
				s.check(test.stored || do == "replace")
			})
		}
	}
}

// The authorities of the token here are used for both tokens, since the platform stores none.
func TestAuthoritiesHere(t *testing.T) {
	s := newScene(t, "platform")
	r := s.rotation()
	r.Here = func(ctx context.Context, i instance.Instance) source.Found {
		found := here(oldCanary)(ctx, i)
		found.CA = func() ([]byte, error) { return []byte("the authorities"), nil }
		return found
	}
	connect := r.GitLab.Connect
	r.GitLab.Connect = func(found source.Found) (*gitlab.Client, error) {
		if found.CA == nil || found.Instance.URL() != s.GitLab {
			t.Errorf("a client for %s without authorities", found.Instance.URL())
		}
		return connect(found)
	}
	s.want(Replace(t.Context(), r, given(freshCanary)), "")
	if s.kept() != freshCanary || s.alive(oldCanary) {
		t.Error("not rotated")
	}
}
