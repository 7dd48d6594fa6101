package cli

import (
	"cmp"
	"context"

	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// inRunner reports whether the platform's runner says who acts here: if the source runner
// was asked for, or in auto if this is the runner's container.
func (a *app) inRunner() bool {
	switch source.Source(a.config.Source.Value) {
	case source.Runner:
		return true
	case "", source.Auto:
		return a.config.InRunner() || a.config.Session.Value != "" && source.RunnerTraces(a.runnerDir())
	}
	return false
}

func (a *app) runnerDir() string { return cmp.Or(a.env.RunnerDir, source.RunnerDir) }

// runnerInstance says which instance a token of the runner's belongs to: that of the
// connection on the platform if its token is this one, else that of the environment, else
// gitlab.com. The platform gives the token of the session's owner, whoever's turn it is,
// so only the same token's instance counts. While the platform does not answer, gitlab.com
// is no more than a guess, and the token is not sent there.
func (a *app) runnerInstance(ctx context.Context, tok token.Token) source.Answer {
	variable := a.config.InstanceURL
	url, where, problem := "", variable.Name, error(nil)
	if a.config.BackendURL.Value != "" || a.config.BackendAPIURL.Value != "" {
		url, problem = a.remembered(tok, variable.Value != "", func() (string, error) { return a.connectedInstance(ctx, tok) })
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
func (a *app) connectedInstance(ctx context.Context, tok token.Token) (string, error) {
	if a.config.InstanceURL.Value != "" {
		// The time limit is for GitLab, too.
		short, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		ctx = short
	}
	answer, none := a.backend(ctx)
	if answer.Problem != nil || none != nil {
		return "", answer.Problem
	}
	if kept, err := token.Parse(answer.Token()); err != nil || kept.Reveal() != tok.Reveal() {
		return "", nil
	}
	return answer.InstanceURL, nil
}

// remembered gives the URL of a token's instance, or "" if nothing names one: what was
// learned before, else what ask gives. While ask fails, an older answer counts, and else,
// if there is a standby, that nothing names one: then it is left alone for half a minute.
func (a *app) remembered(tok token.Token, standby bool, ask func() (string, error)) (string, error) {
	store, problem := a.verdicts()
	if problem != nil {
		return "", problem
	}
	known := store.TokenInstance(tok)
	url := known.URL
	if !known.Fresh && !(known.InVain && (known.Known || standby)) {
		asked, problem := ask()
		switch {
		case problem == nil:
			url = asked
			store.SaveTokenInstance(tok, url)
		case !known.Known && !standby:
			return "", problem
		default:
			store.InstanceInVain(tok)
		}
	}
	return url, nil
}
