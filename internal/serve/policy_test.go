package serve

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

func TestPolicy(t *testing.T) {
	one, two, none := strings.Repeat("1", 40), strings.Repeat("2", 40), strings.Repeat("0", 40)
	for _, row := range []struct {
		policy  Policy
		update  Update
		code    string
		forward bool
	}{
		{Policy{}, Update{none, one, "refs/heads/main"}, "", false},
		{Policy{}, Update{one, two, "refs/heads/main"}, "", true},
		{Policy{}, Update{one, one, "refs/heads/main"}, "", false},
		{Policy{}, Update{one, none, "refs/heads/main"}, "policy-delete", false},
		{Policy{}, Update{none, one, "refs/tags/v1"}, "policy-ref", false},
		{Policy{}, Update{none, one, "refs/merge-requests/1/head"}, "policy-ref", false},
		{Policy{Refs: []string{"refs/tags/*"}}, Update{none, one, "refs/tags/v1"}, "", false},
		{Policy{Refs: []string{"refs/tags/*"}}, Update{one, two, "refs/tags/v1"}, "policy-moved", false},
		{Policy{Refs: []string{"refs/tags/*"}, Force: true}, Update{one, two, "refs/tags/v1"}, "", false},
		{Policy{Refs: []string{"refs/tags/*"}, Force: true}, Update{one, none, "refs/tags/v1"}, "policy-delete", false},
		{Policy{Refs: []string{"refs/tags/*"}, Delete: true}, Update{one, none, "refs/tags/v1"}, "", false},
		{Policy{Refs: []string{"refs/heads/a*b", "refs/heads/c"}}, Update{none, one, "refs/heads/ab"}, "", false},
		{Policy{Refs: []string{"refs/heads/a*b", "refs/heads/c"}}, Update{none, one, "refs/heads/a/x/b"}, "", false},
		{Policy{Refs: []string{"refs/heads/a*b", "refs/heads/c"}}, Update{none, one, "refs/heads/a"}, "policy-ref", false},
		{Policy{Refs: []string{"refs/heads/a*a"}}, Update{none, one, "refs/heads/a"}, "policy-ref", false},
		{Policy{Refs: []string{"refs/heads/c"}}, Update{none, one, "refs/heads/c/d"}, "policy-ref", false},
		{Policy{Refs: []string{"refs/heads/c"}, Force: true}, Update{one, two, "refs/heads/c"}, "", false},
	} {
		forward, why := row.policy.update(row.update)
		if code := ""; why != nil && message.As(why).Code != row.code || why == nil && row.code != code || forward != row.forward {
			t.Errorf("%+v %v: %v, %v", row.policy, row.update, why, forward)
		}
	}
	maintainer, none0 := access.Maintainer, access.NoRole
	for _, row := range []struct {
		policy      Policy
		fetch, push int
	}{{Policy{}, access.Reporter, access.Developer}, {Policy{MinAccess: &maintainer}, access.Maintainer, access.Maintainer}, {Policy{MinAccess: &none0}, access.NoRole, access.Developer}} {
		if fetch, push := row.policy.minimum(Fetch), row.policy.minimum(Push); fetch != row.fetch || push != row.push {
			t.Errorf("%+v: %d and %d", row.policy, fetch, push)
		}
	}
	for text, want := range map[string]bool{"group/project": true, "group/*": true, "a/b/c": true, "a/b/*": true, "group": false, "*": false, "/*": false, "group/": false,
		"/group/project": false, "group/../x": false, "group/project.git": false, "group/*/x": false, "group//x": false, "": false} {
		if ValidProject(text) != want {
			t.Errorf("project %q is valid: %v", text, !want)
		}
	}
	for text, want := range map[string]bool{"refs/heads/*": true, "refs/*": true, "refs/heads/main": true, "refs/heads/a*b": true, "main": false, "*": false,
		"heads/*": false, "refs/heads/*/*": false, "refs/heads/..": false, "refs/heads/": false, "": false, "refs/heads/x y": false} {
		if ValidRefs(text) != want {
			t.Errorf("pattern %q is valid: %v", text, !want)
		}
	}
}

// Whether a branch loses commits is asked of GitLab where the push does not show it;
// what can't be shown is refused.
func TestForward(t *testing.T) {
	git := repository(t, "sha1")
	git(history(30), "fast-import", "--quiet", "--force")
	at := func(rev string) string { return git("", "rev-parse", rev) }
	answers := map[string]error{}
	p := start(t, true, func(c *Config) {
		c.Ancestor = func(_ context.Context, _ source.Found, project, old, of string) (bool, error) {
			err, known := answers[of]
			return known && err == nil && old == at("main~20") && project == "group/project", err
		}
	}, git0)
	push := func(path, old, tip, excluded string) string {
		pack := git(tip+"\n"+excluded+"\n", "pack-objects", "--stdout", "--revs", "-q") + "\n"
		command := old + " " + at(tip) + " refs/heads/main\x00 report-status object-format=sha1"
		return p.send(t, post(path, fmt.Sprintf("%04x%s0000%s", len(command)+4, command, pack)), false)
	}
	answers[at("main~10")], answers[at("main~11")] = nil, message.SettingInvalid("x", fmt.Errorf("y"))
	for _, row := range []struct{ path, old, tip, excluded, want string }{
		{pushPack, "main~10", "main", "^main~10", "read"},
		{pushPack, "main~20", "main", "^main~10", "read"},
		{pushPack, "main~20", "main~10", "^main", "read"},
		{pushPack, "main~21", "main", "^main~10", "would lose commits"},
		{pushPack, "main", "main~10", "^main", "would lose commits"},
		{pushPack, "main~20", "main", "^main~11", "could not be verified"},
		{"/group/project.wiki.git/git-receive-pack", "main~20", "main", "^main~10", "could not be verified"},
		{"/group/project.wiki.git/git-receive-pack", "main~10", "main", "^main~10", "read"},
	} {
		if answer := push(row.path, at(row.old), row.tip, row.excluded); !strings.Contains(answer, row.want) {
			t.Errorf("%+v: %q", row, answer)
		}
	}
}

// git0 is git, by another name where that is git's own.
var git0 = http.HandlerFunc(git)

// A new authority that comes with the token is used from the next request on.
func TestAuthorityChanges(t *testing.T) {
	p := start(t, true, nil, git)
	var reached []string
	reach := p.server.config.Reach
	p.server.config.Reach = func(found source.Found) (transport.Network, error) {
		ca, _ := found.CA()
		reached = append(reached, string(ca))
		return reach(found)
	}
	tokenOf := p.server.config.Token
	authority := "one"
	p.server.config.Token = func(ctx context.Context, w Want) (source.Found, time.Time, error) {
		found, made, err := tokenOf(ctx, w)
		found.CA = func() ([]byte, error) { return []byte(authority), nil }
		return found, made, err
	}
	for _, authority = range []string{"one", "one", "two", "two", "one"} {
		if answer := p.send(t, get(fetchRefs), false); status(answer) != "200" {
			t.Errorf("%q", answer)
		}
	}
	if !slices.Equal(reached, []string{"one", "two", "one"}) {
		t.Errorf("%q", reached)
	}
}
