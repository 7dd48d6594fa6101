package cli

import (
	"context"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/setup"
	"github.com/ambient-code/git-credential-acp/internal/source"
)

// who is the section for the identity, if requested and not set in git. A failure is
// reported, and the rest of setup continues.
func (r *setupRun) who(ctx context.Context, instances []instance.Instance) []setup.Section {
	if !r.identity {
		return nil
	}
	unset, problem := setup.UnsetIdentity(ctx, r.git, r.scopes()...)
	if problem != nil {
		r.fail(problem, asIs)
		return nil
	}
	if len(unset) == 0 {
		r.d.say.tell(noteIdentityKept(), asIs)
		return nil
	}
	found, problem := tokenOfOne(ctx, r.d, instances)
	if problem != nil {
		r.fail(problem, asIs)
		return nil
	}
	user, problem := profile(ctx, r.d, *found)
	if problem != nil {
		r.fail(problem, found.Token.Redact)
		return nil
	}
	section, err := setup.Identity(user.Name, user.Email, unset)
	if err != nil {
		r.fail(errIdentityUnusable(found.Instance.String()), found.Token.Redact)
		return nil
	}
	return []setup.Section{section}
}

// scopes are the scopes of git's configuration that may have an identity already; a nil scope is
// all that git reads here. Another container's git can't be asked.
func (r *setupRun) scopes() [][]string {
	switch {
	case r.git == nil || r.elsewhere():
		return nil
	case r.print || r.form != "":
		return [][]string{nil}
	}
	return [][]string{nil, {string(r.scope), "--includes"}}
}

// tokenOfOne is the token of the only instance, as get finds it.
func tokenOfOne(ctx context.Context, d *deps, instances []instance.Instance) (*source.Found, error) {
	if len(instances) > 1 {
		return nil, errIdentityAmbiguous()
	}
	found, looked, problem := newLookup(d).Find(ctx, credential.Request{})
	if problem != nil {
		return nil, problem
	}
	for n, place := range found {
		if place.Instance == instances[0] {
			return &found[n], place.Problem
		}
	}
	if len(found) > 0 {
		p := found[0]
		return nil, message.OtherInstance(instances[0].String(), p.Instance.String(), p.Where, p.Belongs)
	}
	return nil, message.NotConnected(instances[0].String(), looked, newLookup(d).Connect())
}

// profile returns the user of a token.
func profile(ctx context.Context, d *deps, found source.Found) (access.User, error) {
	ctx, stop, _, err := timeLimit(d).Start(ctx)
	if err != nil {
		return access.User{}, err
	}
	defer stop()
	server, err := newGitLab(d)
	if err != nil {
		return access.User{}, err
	}
	return server.User(ctx, found)
}
