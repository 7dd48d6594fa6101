// Package verify checks a token with GitLab. [GitLab] makes the requests; the others are
// decorators that cache, wait, limit the time and trace. Package cli decides their order.
//
// They have no state per call, so concurrent calls may share them (see package deadline).
package verify

import (
	"context"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/cache"
	"github.com/ambient-code/git-credential-acp/internal/deadline"
	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/gitnet"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/token"
	"github.com/ambient-code/git-credential-acp/internal/trace"
)

// GitLab asks GitLab, without a cache.
type GitLab struct {
	// Connect makes a client for the instance of a question's token; onLimit is as
	// in gitlab.Config.
	Connect func(q helper.Question, timeout time.Duration, onLimit func(time.Duration) bool) (*gitlab.Client, error)
	// Timeout is for messages; the context bounds the time.
	Timeout    func() (time.Duration, error)
	WaitBudget WaitBudget
}

// Verify requests what is not known yet.
func (g GitLab) Verify(ctx context.Context, q helper.Question) helper.Finding {
	timeout, problem := g.Timeout()
	if problem != nil {
		return helper.Finding{Problem: problem}
	}
	// A call that has waited is not held back again.
	held := deadline.Waited(ctx) > 0
	client, problem := g.Connect(q, timeout, func(wait time.Duration) bool { return !held && g.WaitBudget.allows(ctx, wait) })
	if problem != nil {
		return helper.Finding{Problem: problem}
	}
	defer client.Close()
	verdict, facts := client.Check(ctx, q.Project, q.Policy, q.Known)
	return helper.Finding{Verdict: verdict, Facts: facts}
}

// Forget does nothing.
func (GitLab) Forget(token.Token) bool { return false }

// Store opens the cache; the error is for an invalid setting.
type Store func() (cache.Store, error)

// Remembered answers from a fresh verdict in the cache, as for nearly every call: it opens
// one file and sets up nothing else.
type Remembered struct {
	helper.Verifier
	Store Store
	Trace *trace.Tracer
}

// Verify asks the next Verifier if the cache has no fresh verdict.
func (r Remembered) Verify(ctx context.Context, q helper.Question) helper.Finding {
	store, problem := r.Store()
	if problem != nil {
		return helper.Finding{Problem: problem}
	}
	began := time.Now()
	answer, fresh := store.Fresh(question(q))
	if r.Trace != nil {
		r.trace(store, began, fresh)
	}
	if !fresh {
		return r.Verifier.Verify(ctx, q)
	}
	f := finding(answer, q)
	f.Remembered = true
	return f
}

func (r Remembered) trace(store cache.Store, began time.Time, fresh bool) {
	if fresh {
		r.Trace.Step("memory", began, trace.Value{Key: trace.Outcome, Value: "remembered"})
		return
	}
	r.Trace.Step("memory", began, trace.Value{Key: trace.Outcome, Value: "miss"})
	if _, problem := store.Usable(); problem != nil {
		r.Trace.Step("cache", began, trace.Value{Key: trace.Outcome, Value: message.As(problem).What}, trace.Value{Key: trace.Reason, Value: message.As(problem).Code})
	}
}

// Cached caches the next Verifier's findings. Of concurrent calls with the same question,
// only one asks (see cache.Store.Verify).
type Cached struct {
	helper.Verifier
	Store    Store
	Progress Progress
}

// Verify asks the next Verifier for what the cache does not know.
func (c Cached) Verify(ctx context.Context, q helper.Question) helper.Finding {
	store, problem := c.Store()
	if problem != nil {
		return helper.Finding{Problem: problem}
	}
	store.OnLock = func() { c.Progress.locked(q.Found) }
	var asked helper.Finding
	answer := store.Verify(ctx, question(q), func(ctx context.Context, known access.Facts) (access.Verdict, access.Facts) {
		q.Known = known
		asked = c.Verifier.Verify(ctx, q)
		return asked.Verdict, asked.Facts
	})
	if asked.Problem != nil {
		return helper.Finding{Problem: asked.Problem}
	}
	return finding(answer, q)
}

// Forget removes the verdicts for a token.
func (c Cached) Forget(tok token.Token) bool {
	store, problem := c.Store()
	return problem == nil && store.Forget(tok)
}

// question is the cache's key for verdicts.
func question(q helper.Question) cache.Question {
	key := cache.Question{Token: q.Found.Token, Instance: q.Found.Instance, Policy: q.Policy, After: q.After}
	if q.Policy.Project {
		key.Project = q.Project
	}
	return key
}

// finding is a cached answer with messages for the user.
func finding(answer cache.Answer, q helper.Question) helper.Finding {
	f := helper.Finding{Verdict: answer.Verdict, Made: answer.Made}
	if answer.Bridged > 0 {
		f.Notes = append(f.Notes, errBridged(answer.Trouble, answer.Bridged, helper.SubjectOf(q)))
	}
	if answer.Tell {
		f.Notes = append(f.Notes, message.Expiry(answer.Verdict, time.Now(), helper.SubjectOf(q)))
	}
	return f
}

// Limited limits the time of the next Verifier.
type Limited struct {
	helper.Verifier
	Limit deadline.Limit
}

// Verify ends at the call's time limit.
func (l Limited) Verify(ctx context.Context, q helper.Question) helper.Finding {
	ctx, stop, _, problem := l.Limit.Start(ctx)
	if problem != nil {
		return helper.Finding{Problem: problem}
	}
	defer stop()
	return l.Verifier.Verify(ctx, q)
}

// AsGit checks git's own settings for the URL before the next Verifier.
type AsGit struct {
	helper.Verifier
	Net gitnet.Settings
}

// Verify refuses if git would not use the token. If GitLab gave no verdict, it names
// settings that may be the cause.
func (a AsGit) Verify(ctx context.Context, q helper.Question) helper.Finding {
	if by := gitnet.Authorizes(a.Net.Git(), q.Target()); by != "" {
		return helper.Finding{Problem: message.HeaderAuthorizes(by)}
	}
	f := a.Verifier.Verify(ctx, q)
	if f.Problem == nil && f.Verdict.Outcome == access.Unverified {
		for _, by := range a.Net.To(q.Target()).Ignored() {
			f.Notes = append(f.Notes, message.SettingIgnored(by))
		}
	}
	return f
}

// Traced traces the next Verifier.
type Traced struct {
	helper.Verifier
	Trace *trace.Tracer
}

var outcomes = map[access.Outcome]string{access.Unverified: "unverified", access.Refused: "refused", access.Granted: "granted"}

// Verify traces the result.
func (t Traced) Verify(ctx context.Context, q helper.Question) helper.Finding {
	began := time.Now()
	f := t.Verifier.Verify(ctx, q)
	values := []trace.Value{{Key: trace.Instance, Value: q.Found.Instance.String()}, {Key: trace.Project, Value: q.Project},
		{Key: trace.Outcome, Value: outcomes[f.Verdict.Outcome]}}
	if f.Verdict.Reason != "" {
		values = append(values, trace.Value{Key: trace.Reason, Value: string(f.Verdict.Reason)})
	}
	if f.Problem != nil {
		values = append(values, trace.Value{Key: trace.Reason, Value: message.As(f.Problem).Code})
	}
	t.Trace.Step("verify", began, values...)
	return f
}

// Forget traces whether anything was cached.
func (t Traced) Forget(tok token.Token) bool {
	t.Trace.Hide(tok)
	began := time.Now()
	outcome, known := "not known", t.Verifier.Forget(tok)
	if known {
		outcome = "forgotten"
	}
	t.Trace.Step("forget", began, trace.Value{Key: trace.Outcome, Value: outcome})
	return known
}
