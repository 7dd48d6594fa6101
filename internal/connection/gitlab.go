package connection

import (
	"context"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
)

// GitLab asks a token's instance about the token.
type GitLab struct {
	// Connect makes a client for a token and its instance, trusting its authorities.
	Connect func(source.Found) (*gitlab.Client, error)
	// Limit bounds each question.
	Limit time.Duration
}

// ask calls do with a client for a token, within the limit.
func (g GitLab) ask(ctx context.Context, found source.Found, do func(context.Context, *gitlab.Client) error) error {
	client, err := g.Connect(found)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, g.Limit)
	defer cancel()
	return do(ctx, client)
}

// Self returns GitLab's facts about a valid token. From GitLab before 15.5, they have no
// state.
func (g GitLab) Self(ctx context.Context, found source.Found) (self access.Self, err error) {
	err = g.ask(ctx, found, func(ctx context.Context, client *gitlab.Client) error {
		verdict, facts := client.Check(ctx, "", access.Policy{}, access.Facts{})
		self = facts.Self
		return g.explain(found, verdict)
	})
	return self, err
}

// verify is Self for a GitLab that can rotate tokens.
func (g GitLab) verify(ctx context.Context, found source.Found) (access.Self, error) {
	self, err := g.Self(ctx, found)
	if err == nil && self.State != access.Given {
		err = errRotateOldGitLab(found.Instance.String())
	}
	return self, err
}

// User returns the user of a token.
func (g GitLab) User(ctx context.Context, found source.Found) (user access.User, err error) {
	err = g.ask(ctx, found, func(ctx context.Context, client *gitlab.Client) error {
		user = client.User(ctx)
		return g.explain(found, access.JudgeUser(user))
	})
	return user, err
}

// Revoke revokes a token. It succeeds if it is revoked already.
func (g GitLab) Revoke(ctx context.Context, found source.Found) error {
	return g.ask(ctx, found, func(ctx context.Context, client *gitlab.Client) error {
		return g.explainReply(found, client.Revoke(ctx))
	})
}

// makeLimit is how long to wait for GitLab's new token, which is lost if the reply is.
const makeLimit = 2 * time.Minute

// rotate asks GitLab for a token in place of another. An error means that it was not asked.
func (g GitLab) rotate(ctx context.Context, found source.Found, expires time.Time) (made gitlab.Rotated, err error) {
	g.Limit = max(g.Limit, makeLimit)
	err = g.ask(ctx, found, func(ctx context.Context, client *gitlab.Client) error {
		made = client.Rotate(ctx, expires)
		return nil
	})
	return made, err
}

// explainReply is the error for a reply to a request that changes the token, nil for
// success.
func (g GitLab) explainReply(found source.Found, reply access.Reply) error {
	v := access.Verdict{Outcome: access.Refused, Reason: reply.Reason, Detail: reply.Detail, Wait: reply.Wait}
	switch reply.State {
	case access.Given:
		return nil
	case access.Silent:
		v.Outcome = access.Unverified
	case access.Absent:
		return errRotateOldGitLab(found.Instance.String())
	}
	return g.explain(found, v)
}

// explain is the error for a verdict about a token, nil for a good one.
func (g GitLab) explain(found source.Found, v access.Verdict) error {
	if v.Outcome == access.Granted {
		return nil
	}
	if v.Reason == access.Timeout {
		v.Detail = g.Limit.String()
	}
	return message.Explain(v, helper.SubjectOf(helper.Question{Found: found}))
}
