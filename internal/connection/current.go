package connection

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// current is the token to replace, GitLab's reply about it, and where it is stored.
type current struct {
	kept     Kept
	token    token.Token
	instance instance.Instance
	self     access.Self
	// from is where the token was found, if the keeper does not return it.
	from string
}

// held is the stored token, or, if the keeper does not return it, the one that is here.
func (r Rotation) held(ctx context.Context, kept Kept, i instance.Instance) current {
	old := current{kept: kept, token: kept.Token, instance: i}
	if kept.Token.IsZero() && r.Here != nil {
		old.token, old.from = r.Here(ctx, i)
	}
	return old
}

// read finds the token to replace, and asks GitLab about it.
func (r Rotation) read(ctx context.Context) (current, error) {
	kept, err := r.Keeper.Read(ctx)
	switch {
	case err != nil:
		return current{}, err
	case !kept.Connected:
		return current{}, message.NothingKept(r.Keeper.Where())
	case kept.Fixed != nil:
		return current{}, errRotateNoWay(kept.Fixed)
	case kept.Problem != nil:
		return current{}, kept.Problem
	case r.Only != nil && *r.Only != kept.Instance:
		return current{}, message.RotateOtherInstance(r.Keeper.Where(), kept.Instance.String(), r.Only.String())
	}
	old := r.held(ctx, kept, kept.Instance)
	where := r.Keeper.Where()
	if kept.Token.IsZero() {
		where = old.from
	}
	if old.token.IsZero() {
		return current{}, errRotateOldMissing(r.Keeper.Where(), old.instance.String())
	}
	switch old.self, err = r.verify(ctx, old.token, old, where); {
	case err != nil && dead(err):
		return current{}, errRotateOldDead(err)
	case err != nil:
		return current{}, err
	}
	if err := r.sameUser(ctx, old); err != nil {
		return current{}, err
	}
	if kept.Token.IsZero() {
		where += ", which should be that of " + r.Keeper.Where() + " (which does not return its token),"
	}
	r.Tell(stepRead, "the token "+message.Quote(old.self.Name)+" from "+where+" is alive; it expires "+until(old.self.ExpiresAt))
	return old, nil
}

// dead reports whether a token is permanently invalid.
func dead(err error) bool {
	return slices.ContainsFunc([]access.Reason{access.TokenRevoked, access.TokenExpired, access.TokenUnknown}, func(reason access.Reason) bool {
		return message.Is(err, string(reason))
	})
}

// sameUser checks that the token here belongs to the user of the connection, if known: in a
// shared session, it may be another user's.
func (r Rotation) sameUser(ctx context.Context, old current) error {
	if !old.kept.Token.IsZero() || old.kept.Username == "" {
		return nil
	}
	return r.ask(ctx, r.Limit, old.token, old, func(ctx context.Context, client *gitlab.Client) error {
		switch user := client.User(ctx); {
		case user.State != access.Given:
			return r.explain(old.instance, user.Reply)
		case !strings.EqualFold(user.Username, old.kept.Username):
			return errRotateOtherUser(r.Keeper.Where())
		}
		return nil
	})
}

// fits compares a new token with the old one, by GitLab's reply.
func (r Rotation) fits(ctx context.Context, old current, fresh token.Token) error {
	if Same(fresh, old.token) {
		return errRotateSame(r.Keeper.Where())
	}
	self, err := r.verify(ctx, fresh, old, r.NewFrom)
	if err != nil {
		return err
	}
	wanted := slices.Concat(r.Scopes, old.self.Scopes)
	slices.Sort(wanted)
	missing := access.MissingScopes(slices.Compact(wanted), self.Scopes)
	switch {
	case self.UserID != old.self.UserID:
		return errRotateOtherUser(r.Keeper.Where())
	case len(missing) > 0 && !self.Granular:
		return errRotateScopes(missing)
	case !self.ExpiresAt.IsZero() && !old.self.ExpiresAt.IsZero() && !self.ExpiresAt.After(old.self.ExpiresAt):
		return errRotateExpiry(self.ExpiresAt, old.self.ExpiresAt)
	}
	r.Tell(stepVerify, "the new token is alive, of the same user, and holds the scopes; it expires "+until(self.ExpiresAt))
	return nil
}

// revoke revokes the old token on GitLab.
func (r Rotation) revoke(ctx context.Context, old current) error {
	err := r.ask(ctx, r.Limit, old.token, old, func(ctx context.Context, client *gitlab.Client) error {
		if reply := client.Revoke(ctx); reply.State != access.Given {
			return r.explain(old.instance, reply)
		}
		return nil
	})
	if err != nil {
		return errRotateNotRevoked(err, old.instance.URL())
	}
	said := "the old token is revoked"
	if old.kept.Token.IsZero() {
		said = "the token from " + old.from + " is revoked; if " + r.Keeper.Where() + " had another one, that one lives on: see " +
			message.TokensPage(old.instance.URL())
	}
	r.Tell(stepRevoke, said)
	return nil
}

// ask calls do with a client for a token of the instance of old, within a limit.
func (r Rotation) ask(ctx context.Context, limit time.Duration, tok token.Token, old current, do func(context.Context, *gitlab.Client) error) error {
	client, err := r.Connect(tok, old.instance, old.kept.CA)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return do(ctx, client)
}

// verify asks GitLab about a token, without a project.
func (r Rotation) verify(ctx context.Context, tok token.Token, old current, where string) (self access.Self, err error) {
	err = r.ask(ctx, r.Limit, tok, old, func(ctx context.Context, client *gitlab.Client) error {
		verdict, facts := client.Check(ctx, "", access.Policy{}, access.Facts{})
		switch {
		case verdict.Outcome != access.Granted:
			return message.Explain(verdict, r.subject(old.instance, where))
		case facts.Self.State != access.Given:
			return errRotateOldGitLab(old.instance.String())
		}
		self = facts.Self
		return nil
	})
	return self, err
}

func (r Rotation) subject(i instance.Instance, where string) message.Subject {
	return message.Subject{Instance: i.String(), URL: i.URL(), Where: where, Renew: "run rotate with it"}
}

// explain is the message for a reply without an answer.
func (r Rotation) explain(i instance.Instance, reply access.Reply) error {
	v := access.Verdict{Outcome: access.Refused, Reason: reply.Reason, Detail: reply.Detail, Wait: reply.Wait}
	if v.Reason == access.Timeout {
		v.Detail = r.Limit.String()
	}
	switch reply.State {
	case access.Silent:
		v.Outcome = access.Unverified
	case access.Absent:
		return errRotateOldGitLab(i.String())
	}
	return message.Explain(v, r.subject(i, r.Keeper.Where()))
}

// until is a token's expiry date as text.
func until(at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return "on " + at.UTC().Format(time.DateOnly)
}
