package cli

import (
	"time"

	"github.com/ambient-code/git-credential-acp/internal/cache"
	"github.com/ambient-code/git-credential-acp/internal/deadline"
	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/gitnet"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/lookup"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/transport"
	"github.com/ambient-code/git-credential-acp/internal/verify"
)

// newHelper puts the parts together that answer git.
func newHelper(d *deps) helper.Helper {
	known, problem := knownInstance(d)
	attempts, _ := verdictStore(d) // the Verifier tells what is wrong with it
	h := helper.Helper{
		Source:   newLookup(d),
		Verifier: newVerifier(d),
		Attempts: attempts,
		Known:    known, KnownProblem: problem,
		Only:      onlyKnown(d),
		Rules:     func(string) (helper.Rules, error) { return rulesOf(d) },
		MinAccess: func(q helper.Question) (int, bool) { return minAccessFor(d, q) },
		Remotes:   func() []string { return d.git().RemoteURLs() },
	}
	// A source that was asked for alone has no other behind it.
	if d.config.Source.Value != string(source.Mount) {
		h.Backup = d.config.Secret.Value
	}
	if d.trace != nil {
		h.Source = lookup.Traced{Source: h.Source, Trace: d.trace}
		h.Remotes = func() []string { return tracedRemotes(d) }
	}
	return h
}

// newVerifier asks GitLab, around which stand the time limit, the cache, the waits for
// rate limits, and the trace.
func newVerifier(d *deps) helper.Verifier {
	progress := newProgress(d)
	store := func() (cache.Store, error) { return verdictStore(d) }
	var v helper.Verifier = verify.GitLab{Connect: func(q helper.Question, timeout time.Duration, onLimit func(time.Duration) bool) (*gitlab.Client, error) {
		return newClient(d, q, timeout, onLimit)
	}, Timeout: d.config.Timeout, Patience: newPatience(d)}
	v = verify.Cached{Verifier: v, Store: store, Progress: progress}
	v = verify.Limited{Verifier: v, Limit: timeLimit(d)}
	v = verify.AsGit{Verifier: v, Authorizes: func(url string) string { return gitnet.Authorizes(d.git(), url) },
		Ignored: func(url string) []string { return gitNetwork(d).To(url).Ignored() }}
	v = verify.RateLimited{Verifier: v, Patience: newPatience(d)}
	v = verify.Remembered{Verifier: v, Store: store, Trace: d.trace}
	if d.trace != nil {
		v = verify.Traced{Verifier: v, Trace: d.trace}
	}
	return v
}

func newProgress(d *deps) verify.Progress { return verify.Progress{Trace: d.trace, Tell: d.say.tell} }

func newPatience(d *deps) verify.Patience {
	return verify.Patience{Limit: d.config.RateLimitWait, Progress: newProgress(d)}
}

// timeLimit is the time limit of a run. Work that goes on after it ends the process: who
// waits on standard output gets what there is for that.
func timeLimit(d *deps) deadline.Limit {
	return deadline.Limit{Timeout: d.config.Timeout, Overrun: func() {
		d.say.tell(errOvertime(), asIs)
		_, _ = d.out.Writer.Write(d.last) // an error now can't be reported
		d.env.Exit(exitUnverified)
	}}
}

// newClient makes a client for the instance of a token. It goes there as git goes to
// the URL that it is working on. onLimit is what gitlab.Config says of it.
func newClient(d *deps, q helper.Question, limit time.Duration, onLimit func(time.Duration) bool) (*gitlab.Client, error) {
	trust, problem := trustOf(q.Found)
	if problem != nil {
		return nil, problem
	}
	reach, problem := gitNetwork(d).To(q.Target()).Network(trust)
	if problem != nil {
		return nil, problem
	}
	return gitlab.New(gitlab.Config{
		Instance:  q.Found.Instance,
		Token:     q.Found.Token,
		Network:   reach,
		Limit:     limit,
		UserAgent: userAgent(d),
		OnLimit:   onLimit,
		OnWait:    newProgress(d).Waits(q.Found),

		OnExchange: exchange(d.trace),
	}), nil
}

func userAgent(d *deps) string { return Name + "/" + d.env.Build.known().Version }

// trustOf are the authorities that came with a token.
func trustOf(found source.Found) (trust transport.Trust, problem error) {
	trust.Where = "the key ca.crt of the Secret"
	if found.CA != nil {
		trust.PEM, problem = found.CA()
	}
	return trust, problem
}
