package cli

import (
	"runtime/debug"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/cache"
	"github.com/ambient-code/git-credential-acp/internal/deadline"
	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/lookup"
	"github.com/ambient-code/git-credential-acp/internal/setup"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/trace"
	"github.com/ambient-code/git-credential-acp/internal/verify"
)

// newHelper is the helper that answers git.
func newHelper(d *deps) helper.Helper {
	known, problem := knownInstance(d)
	attempts, _ := verdictStore(d) // the Verifier tells what is wrong with it
	h := helper.Helper{
		Source:   newLookup(d),
		Verifier: newVerifier(d),
		Attempts: attempts,
		Known:    known, KnownProblem: problem,
		Only:  onlyKnown(d),
		Rules: func(string) (helper.Rules, error) { return rulesOf(d) },
		MinAccess: func(q helper.Question) (int, bool) {
			return setup.MinAccessFor(d.git(), q.URL, q.Found.Instance.URL()+"/"+q.Project)
		},
		Remotes: func() []string { return d.git().RemoteURLs() },
	}
	// A source that is configured as the only one has no backup.
	if d.config.Source.Value != string(source.Mount) {
		h.Backup = d.config.Secret.Value
	}
	if d.trace != nil {
		h.Source = lookup.Traced{Source: h.Source, Trace: d.trace}
		h.Remotes = func() []string {
			began := time.Now()
			urls := d.git().RemoteURLs()
			d.trace.Step("remotes", began, trace.Value{Key: trace.Count, Value: len(urls)})
			return urls
		}
	}
	return h
}

// newVerifier asks GitLab, with the time limit, the cache, waits for rate limits, and the trace
// as decorators.
func newVerifier(d *deps) helper.Verifier {
	progress := newProgress(d)
	store := func() (cache.Store, error) { return verdictStore(d) }
	connect := func(q helper.Question, timeout time.Duration, onLimit func(time.Duration) bool) (*gitlab.Client, error) {
		// Reading the system's authorities makes 3 MB of garbage: keep the heap smaller.
		debug.SetGCPercent(50)
		return newClients(d).Connect(q, timeout, onLimit)
	}
	var v helper.Verifier = verify.GitLab{Connect: connect, Timeout: d.config.Timeout, WaitBudget: newWaitBudget(d)}
	v = verify.Cached{Verifier: v, Store: store, Progress: progress}
	v = verify.Limited{Verifier: v, Limit: timeLimit(d)}
	v = verify.AsGit{Verifier: v, Net: gitNetwork(d)}
	v = verify.RateLimited{Verifier: v, WaitBudget: newWaitBudget(d)}
	v = verify.Remembered{Verifier: v, Store: store, Trace: d.trace}
	if d.trace != nil {
		v = verify.Traced{Verifier: v, Trace: d.trace}
	}
	return v
}

func newProgress(d *deps) verify.Progress { return verify.Progress{Trace: d.trace, Tell: d.say.tell} }

func newWaitBudget(d *deps) verify.WaitBudget {
	return verify.WaitBudget{Limit: d.config.RateLimitWait, Progress: newProgress(d)}
}

// timeLimit is the time limit of a run. If work exceeds it, the process prints its answer for
// that case and exits.
func timeLimit(d *deps) deadline.Limit {
	return deadline.Limit{Timeout: d.config.Timeout, Overrun: func() {
		d.say.tell(errOvertime(), asIs)
		_, _ = d.out.Writer.Write(d.last) // an error now can't be reported
		d.env.Exit(exitUnverified)
	}}
}

// newClients makes clients that reach GitLab as git does.
func newClients(d *deps) verify.Clients {
	return verify.Clients{Net: gitNetwork(d), UserAgent: userAgent(d), OnExchange: exchange(d.trace), Progress: newProgress(d)}
}

func userAgent(d *deps) string { return Name + "/" + d.env.Build.known().Version }
