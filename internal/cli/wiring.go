package cli

import (
	"cmp"
	"context"
	"math/rand/v2"
	"os/signal"
	"syscall"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/cache"
	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
	"github.com/ambient-code/git-credential-acp/internal/trace"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

// helper puts the parts together that answer git.
func (a *app) helper() helper.Helper {
	h := helper.Helper{
		Secrets:   a.secrets,
		Connect:   a.howToConnect(),
		Known:     a.known,
		Only:      a.only(),
		Rules:     func(string) (helper.Rules, error) { return a.rules() },
		MinAccess: a.minAccessFor,
		Remotes:   a.remotes,
		Verify:    a.verify,
		Forget: func(tok token.Token) bool {
			store, problem := a.verdicts()
			return problem == nil && store.Forget(tok)
		},
	}
	if a.trace != nil {
		h = traced(h, a.trace)
	}
	// A source that was asked for alone has no other behind it.
	if a.config.Secret.Value != "" && a.config.Source.Value != string(source.Mount) {
		h.Rescue = a.rescue
	}
	return h
}

// verify finds a verdict: the one that is remembered, else by asking GitLab,
// until the time limit or a signal ends it. The way through memory alone comes
// first, since it is the one that nearly every call takes: it sets up nothing.
func (a *app) verify(ctx context.Context, q helper.Question) helper.Finding {
	store, problem := a.verdicts()
	if problem != nil {
		return helper.Finding{Problem: problem}
	}
	question := cache.Question{Token: q.Found.Token, Instance: q.Found.Instance, Policy: q.Policy, After: q.After}
	if q.Policy.Project {
		question.Project = q.Project
	}
	began := time.Now()
	answer, fresh := store.Fresh(question)
	a.trace.Step("memory", began, trace.Value{Key: trace.Outcome, Value: map[bool]string{true: "remembered", false: "to be asked"}[fresh]})
	if a.trace != nil && !fresh {
		if _, problem := store.Usable(); problem != nil {
			a.trace.Step("cache", began, trace.Value{Key: trace.Outcome, Value: message.As(problem).What}, trace.Value{Key: trace.Reason, Value: message.As(problem).Code})
		}
	}
	if fresh {
		f := finding(answer, q)
		f.Remembered = true
		return f
	}
	store.OnLock = func() {
		a.trace.Step("lock", time.Now(), trace.Value{Key: trace.Outcome, Value: "another call is asking the same"})
		a.tell(noteWaitForOther(q.Found.Instance.String()), q.Found.Token.Redact)
	}
	if _, problem := a.config.RateLimitWait(); problem != nil {
		return helper.Finding{Problem: problem}
	}
	url := cmp.Or(q.URL, q.Found.Instance.URL())
	if by := authorizes(a.gitConfig(), url); by != "" {
		return helper.Finding{Problem: message.HeaderAuthorizes(by)}
	}
	for try := 0; ; try++ {
		if answer, problem = a.askOnce(ctx, q, question, store); problem != nil {
			return helper.Finding{Problem: problem}
		}
		v := answer.Verdict
		if v.Outcome != access.Unverified || v.Reason != access.RateLimited || !a.waitForReset(ctx, q.Found, max(v.Wait, time.Second<<try)) {
			found := finding(answer, q)
			if v.Outcome == access.Unverified {
				for _, by := range a.network(url).unfollowedHTTP() {
					found.Notes = append(found.Notes, message.SettingIgnored(by))
				}
			}
			return found
		}
	}
}

// askOnce finds a verdict within the time limit. It does not wait for a rate
// limit.
func (a *app) askOnce(ctx context.Context, q helper.Question, question cache.Question, store cache.Store) (answer cache.Answer, problem error) {
	ctx, stop, timeout, problem := a.limited(ctx)
	if problem != nil {
		return cache.Answer{}, problem
	}
	defer stop()
	held := a.rateWaited > 0
	answer = store.Verify(ctx, question, func(ctx context.Context, known access.Facts) (access.Verdict, access.Facts) {
		var client *gitlab.Client
		if client, problem = a.client(q, timeout, func(wait time.Duration) bool {
			// A call that has waited is not held back again.
			return !held && a.canWait(wait)
		}); problem != nil {
			return access.Verdict{}, access.Facts{}
		}
		defer client.Close()
		return client.Check(ctx, q.Project, q.Policy, known)
	})
	return answer, problem
}

// canWait reports whether a wait for a rate limit is within what
// ACP_GITLAB_RATE_LIMIT_WAIT leaves.
func (a *app) canWait(wait time.Duration) bool {
	limit, problem := a.config.RateLimitWait()
	return problem == nil && a.rateWaited+wait <= limit
}

// waitForReset waits for a rate limit to reset, and a little longer by chance, so
// that not all come back at once. The time limit stands still meanwhile. It is
// false when that would take longer than ACP_GITLAB_RATE_LIMIT_WAIT leaves, or ctx,
// or when a signal ends it.
func (a *app) waitForReset(ctx context.Context, found source.Found, wait time.Duration) bool {
	deadline, bounded := ctx.Deadline()
	if !a.canWait(wait) || bounded && time.Until(deadline) <= wait {
		return false
	}
	limit, _ := a.config.RateLimitWait()
	a.onWait(found)(wait, access.RateLimited)
	wait += rand.N(min(wait/4, limit-a.rateWaited-wait) + time.Millisecond)
	ctx, restore := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer restore()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	began := time.Now()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	}
	a.rateWaited += wait
	a.deadline = a.deadline.Add(time.Since(began))
	return true
}

// finding adds to a verdict what people should know of it.
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

// limited ends ctx after the time limit, or by a signal that would end the
// process. The limit is for all that one run waits for: it begins with the first
// that does. stop must be called when the work is done.
func (a *app) limited(ctx context.Context) (_ context.Context, stop func(), limit time.Duration, problem error) {
	if limit, problem = a.config.Timeout(); problem != nil {
		return ctx, nil, 0, problem
	}
	if a.deadline.IsZero() {
		a.deadline = time.Now().Add(limit)
	}
	ctx, restore := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	ctx, cancel := context.WithDeadline(ctx, a.deadline)
	finished := a.guard(ctx)
	return ctx, func() { finished(); cancel(); restore() }, limit, nil
}

// guard ends the process when the time limit or a signal has ended ctx and the
// work goes on all the same: some reads of files can't be called off. Whoever
// waits on standard output gets what there is for that. What it returns calls it
// off.
func (a *app) guard(ctx context.Context) func() {
	finished := make(chan struct{})
	context.AfterFunc(ctx, func() {
		select {
		case <-finished:
		case <-time.After(overtime):
			a.tell(errOvertime(), asIs)
			_, _ = a.out.Writer.Write(a.last) // what is lost now is told to nobody
			a.env.Exit(exitUnverified)
		}
	})
	return func() { close(finished) }
}

// overtime is how long the work may take to notice that its time is up.
const overtime = 2 * time.Second

func (a *app) onWait(found source.Found) func(time.Duration, access.Reason) {
	return func(wait time.Duration, why access.Reason) {
		a.trace.Step("wait", time.Now(), trace.Value{Key: trace.Wait, Value: wait}, trace.Value{Key: trace.Reason, Value: string(why)})
		if wait > noticeable {
			a.tell(noteWait(wait, why, found.Instance.String()), found.Token.Redact)
		}
	}
}

// client makes a client for the instance of a token. It goes there as git goes to
// the URL that it is working on. onLimit is what gitlab.Config says of it.
func (a *app) client(q helper.Question, limit time.Duration, onLimit func(time.Duration) bool) (*gitlab.Client, error) {
	trust := transport.Trust{Where: "the key ca.crt of the Secret"}
	if q.Found.CA != nil {
		var problem error
		if trust.PEM, problem = q.Found.CA(); problem != nil {
			return nil, problem
		}
	}
	reach, problem := a.network(cmp.Or(q.URL, q.Found.Instance.URL())).reach(trust)
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
		OnWait:    a.onWait(q.Found),

		OnExchange: exchange(a.trace),
	}), nil
}

func (a *app) userAgent() string { return Name + "/" + a.env.Build.known().Version }

// noticeable is the wait from which on people are told.
const noticeable = 2 * time.Second
