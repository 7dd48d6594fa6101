package cli

import (
	"time"

	"github.com/ambient-code/git-credential-acp/internal/deadline"
	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/gitnet"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/lookup"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/transport"
	"github.com/ambient-code/git-credential-acp/internal/verify"
)

// helper puts the parts together that answer git.
func (a *app) helper() helper.Helper {
	known, problem := a.known()
	attempts, _ := a.verdicts() // the Verifier tells what is wrong with it
	h := helper.Helper{
		Source:   a.lookup(),
		Verifier: a.verifier(),
		Attempts: attempts,
		Known:    known, KnownProblem: problem,
		Only:      a.only(),
		Rules:     func(string) (helper.Rules, error) { return a.rules() },
		MinAccess: a.minAccessFor,
		Remotes:   a.remotes,
	}
	// A source that was asked for alone has no other behind it.
	if a.config.Source.Value != string(source.Mount) {
		h.Backup = a.config.Secret.Value
	}
	if a.trace != nil {
		h.Source = lookup.Traced{Source: h.Source, Trace: a.trace}
		h.Remotes = a.tracedRemotes
	}
	return h
}

// verifier asks GitLab, around which stand the time limit, the cache, the waits for
// rate limits, and the trace.
func (a *app) verifier() helper.Verifier {
	progress := a.progress()
	var v helper.Verifier = verify.GitLab{Connect: a.client, Timeout: a.config.Timeout, Patience: a.patience()}
	v = verify.Cached{Verifier: v, Store: a.verdicts, Progress: progress}
	v = verify.Limited{Verifier: v, Limit: a.limit()}
	v = verify.AsGit{Verifier: v, Authorizes: func(url string) string { return gitnet.Authorizes(a.gitConfig(), url) },
		Ignored: func(url string) []string { return a.reach().To(url).Ignored() }}
	v = verify.RateLimited{Verifier: v, Patience: a.patience()}
	v = verify.Remembered{Verifier: v, Store: a.verdicts, Trace: a.trace}
	if a.trace != nil {
		v = verify.Traced{Verifier: v, Trace: a.trace}
	}
	return v
}

func (a *app) progress() verify.Progress { return verify.Progress{Trace: a.trace, Tell: a.tell} }

func (a *app) patience() verify.Patience {
	return verify.Patience{Limit: a.config.RateLimitWait, Progress: a.progress()}
}

// limit is the time limit of a run. Work that goes on after it ends the process: who
// waits on standard output gets what there is for that.
func (a *app) limit() deadline.Limit {
	return deadline.Limit{Timeout: a.config.Timeout, Overrun: func() {
		a.tell(errOvertime(), asIs)
		_, _ = a.out.Writer.Write(a.last) // an error now can't be reported
		a.env.Exit(exitUnverified)
	}}
}

// client makes a client for the instance of a token. It goes there as git goes to
// the URL that it is working on. onLimit is what gitlab.Config says of it.
func (a *app) client(q helper.Question, limit time.Duration, onLimit func(time.Duration) bool) (*gitlab.Client, error) {
	trust, problem := trustOf(q.Found)
	if problem != nil {
		return nil, problem
	}
	reach, problem := a.reach().To(q.Target()).Network(trust)
	if problem != nil {
		return nil, problem
	}
	return gitlab.New(gitlab.Config{
		Instance:  q.Found.Instance,
		Token:     q.Found.Token,
		Network:   reach,
		Limit:     limit,
		UserAgent: a.userAgent(),
		OnLimit:   onLimit,
		OnWait:    a.progress().Waits(q.Found),

		OnExchange: exchange(a.trace),
	}), nil
}

func (a *app) userAgent() string { return Name + "/" + a.env.Build.known().Version }

// trustOf are the authorities that came with a token.
func trustOf(found source.Found) (trust transport.Trust, problem error) {
	trust.Where = "the key ca.crt of the Secret"
	if found.CA != nil {
		trust.PEM, problem = found.CA()
	}
	return trust, problem
}
