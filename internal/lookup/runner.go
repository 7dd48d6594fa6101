package lookup

import (
	"cmp"
	"context"

	"github.com/ambient-code/git-credential-acp/internal/cache"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// InRunner reports whether the platform's runner says who acts here: if the source runner
// was asked for, or in auto if this is the runner's container.
func (l Lookup) InRunner() bool {
	switch source.Source(l.Config.Source.Value) {
	case source.Runner:
		return true
	case "", source.Auto:
		return l.Config.InRunner() || l.Config.Session.Value != "" && source.RunnerTraces(l.RunnerDir)
	}
	return false
}

// runnerInstance says which instance a token of the runner's belongs to: that of the
// connection on the platform if its token is this one, else that of the environment, else
// gitlab.com. The platform gives the token of the session's owner, whoever's turn it is,
// so only the same token's instance counts. While the platform does not answer, gitlab.com
// is no more than a guess, and the token is not sent there. The platform is not asked for
// the sake of a host that is no GitLab.
func (l Lookup) runnerInstance(ctx context.Context, host string, tok token.Token) source.Answer {
	variable := l.Config.InstanceURL
	url, where, problem := "", variable.Name, error(nil)
	if OnPlatform(l.Config) && !instance.OtherForge(host) {
		url, problem = l.remembered(ctx, tok, "connection", func() (string, error) { return l.connectedInstance(ctx, tok) })
	}
	switch {
	case problem != nil:
		return source.Answer{Problem: errTurnInstance(problem)}
	case url != "":
		where = "the instance URL of the connection on the platform"
	}
	return source.Answer{Where: where, InstanceURL: cmp.Or(url, variable.Value)}
}

// connectedInstance is the URL of the instance of the connection on the platform; "" if
// the token there is another one, or there is none.
func (l Lookup) connectedInstance(ctx context.Context, tok token.Token) (string, error) {
	if l.Config.InstanceURL.Value != "" {
		// The time limit is for GitLab, too.
		limit, _ := l.Config.Timeout()
		short, cancel := context.WithTimeout(ctx, min(otherTimeout, limit/4))
		defer cancel()
		ctx = short
	}
	answer, _ := l.backend(ctx)
	if answer.Problem != nil || !has(answer, tok) {
		return "", answer.Problem
	}
	return answer.InstanceURL, nil
}

// Keeps reports whether the connection on the platform has this token.
func (l Lookup) Keeps(ctx context.Context, tok token.Token) bool {
	answer, _ := l.backend(ctx)
	return answer.Problem == nil && has(answer, tok)
}

// has reports whether an answer is this token.
func has(answer source.Answer, tok token.Token) bool {
	if answer.Token == nil {
		return false
	}
	kept, err := token.Parse(answer.Token())
	return err == nil && kept.Reveal() == tok.Reveal()
}

// remembered gives the URL of a token's instance, or "" if nothing names one: what was
// learned before, else what ask gives. While ask fails, an older answer counts, and else,
// if ACP_GITLAB_INSTANCE_URL is set, that nothing names one: then it is left alone for
// half a minute. question tells what ask asks for; concurrent calls ask once.
func (l Lookup) remembered(ctx context.Context, tok token.Token, question string, ask func() (string, error)) (string, error) {
	store, problem := l.Store()
	if problem != nil {
		return "", problem
	}
	standby := l.Config.InstanceURL.Value != ""
	settled := func(known cache.Instance) bool { return known.Fresh || known.Failed && (known.Known || standby) }
	cached := store.OfToken(tok)
	known := cached.Get()
	if settled(known) {
		return known.URL, nil
	}
	// The wait for another call is a part of this one's time.
	limited, stop, _, problem := l.Limit.Start(ctx)
	if problem != nil {
		return "", problem
	}
	defer stop()
	waiting, cancel := context.WithTimeout(limited, otherTimeout)
	defer cancel()
	defer cached.Lock(waiting, question)()
	if known = cached.Get(); settled(known) || standby && waiting.Err() != nil {
		return known.URL, nil
	}
	url, problem := ask()
	switch {
	case problem == nil:
		cached.Save(url)
		return url, nil
	case !known.Known && !standby:
		return "", problem
	}
	cached.SaveFailed()
	return known.URL, nil
}
