package verify

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/deadline"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/trace"
)

// RateLimited waits and retries while the next Verifier is rate limited.
type RateLimited struct {
	helper.Verifier
	WaitBudget WaitBudget
}

// Verify waits as long as WaitBudget allows in total.
func (r RateLimited) Verify(ctx context.Context, q helper.Question) helper.Finding {
	if _, problem := r.WaitBudget.Limit(); problem != nil {
		return helper.Finding{Problem: problem}
	}
	for try := 0; ; try++ {
		f := r.Verifier.Verify(ctx, q)
		limited := f.Problem == nil && f.Verdict.Outcome == access.Unverified && f.Verdict.Reason == access.RateLimited
		if !limited || !r.WaitBudget.Wait(ctx, q.Found, max(f.Verdict.Wait, time.Second<<try)) {
			return f
		}
	}
}

// WaitBudget limits how long a call waits for rate limits.
type WaitBudget struct {
	// Limit is the total time.
	Limit    func() (time.Duration, error)
	Progress Progress
}

// allows reports whether a wait is within what the call has left.
func (p WaitBudget) allows(ctx context.Context, wait time.Duration) bool {
	limit, problem := p.Limit()
	return problem == nil && deadline.Waited(ctx)+wait <= limit
}

// Wait waits for a rate limit to reset, plus a random time, so that not all callers retry at
// once. It is false if that would exceed the call's or ctx's time, or after a signal.
func (p WaitBudget) Wait(ctx context.Context, of source.Found, wait time.Duration) bool {
	ends, bounded := ctx.Deadline()
	if !p.allows(ctx, wait) || bounded && time.Until(ends) <= wait {
		return false
	}
	limit, _ := p.Limit()
	p.Progress.Waits(of)(wait, access.RateLimited)
	return deadline.Wait(ctx, wait+rand.N(min(wait/4, limit-deadline.Waited(ctx)-wait)+time.Millisecond))
}

// Progress tells the user, and the trace, about waits.
type Progress struct {
	Trace *trace.Tracer
	// Tell prints a message after redact has removed the token.
	Tell func(m error, redact func(string) string)
}

// noticeable is the shortest wait with a message.
const noticeable = 2 * time.Second

// Waits reports waits between two tries.
func (p Progress) Waits(of source.Found) func(time.Duration, access.Reason) {
	return func(wait time.Duration, why access.Reason) {
		p.Trace.Step("wait", time.Now(), trace.Value{Key: trace.Wait, Value: wait}, trace.Value{Key: trace.Reason, Value: string(why)})
		if wait > noticeable {
			p.Tell(noteWait(wait, why, of.Instance.String()), of.Token.Redact)
		}
	}
}

// locked reports that another call asks the same.
func (p Progress) locked(of source.Found) {
	p.Trace.Step("lock", time.Now(), trace.Value{Key: trace.Outcome, Value: "another call is asking the same"})
	p.Tell(noteWaitForOther(of.Instance.String()), of.Token.Redact)
}
