// Package deadline bounds how long one call may take: all that it waits for shares
// one time limit, which does not run during a wait for a rate limit to reset.
package deadline

import (
	"context"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// call is the state of one call. It travels in the context.
type call struct {
	mu sync.Mutex
	// ends is when the time is up; zero until something has to be waited for.
	ends time.Time
	// waited is how long rate limits have been waited for.
	waited time.Duration
}

type key struct{}

// Begin starts a call. A call within another one is part of it.
func Begin(ctx context.Context) context.Context {
	if _, begun := ctx.Value(key{}).(*call); begun {
		return ctx
	}
	return context.WithValue(ctx, key{}, new(call))
}

// of is the call of ctx. Without Begin, every step is a call of its own.
func of(ctx context.Context) *call {
	if c, begun := ctx.Value(key{}).(*call); begun {
		return c
	}
	return new(call)
}

// Limit is the time limit of calls. Concurrent calls may share one.
type Limit struct {
	// Timeout is how long a call may take.
	Timeout func() (time.Duration, error)
	// Overrun is called when work goes on two seconds after its time was up: some
	// reads of files can't be called off. Nil for nothing.
	Overrun func()
}

// overtime is how long work may take to notice that its time is up.
const overtime = 2 * time.Second

// Start ends ctx when the time of the call is up, or by a signal that would end the
// process. The time begins with the first Start of a call. stop must be called when
// the work is done; timeout is the whole limit, for messages.
func (l Limit) Start(ctx context.Context) (_ context.Context, stop func(), timeout time.Duration, problem error) {
	if timeout, problem = l.Timeout(); problem != nil {
		return ctx, nil, 0, problem
	}
	c := of(ctx)
	c.mu.Lock()
	if c.ends.IsZero() {
		c.ends = time.Now().Add(timeout)
	}
	ends := c.ends
	c.mu.Unlock()
	ctx, restore := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	ctx, cancel := context.WithDeadline(ctx, ends)
	finished := l.watch(ctx)
	return ctx, func() { finished(); cancel(); restore() }, timeout, nil
}

// watch calls Overrun unless what it returns is called in time.
func (l Limit) watch(ctx context.Context) (finished func()) {
	if l.Overrun == nil {
		return func() {}
	}
	done := make(chan struct{})
	context.AfterFunc(ctx, func() {
		select {
		case <-done:
		case <-time.After(overtime):
			l.Overrun()
		}
	})
	return func() { close(done) }
}

// Waited is how long the call has waited for rate limits.
func Waited(ctx context.Context) time.Duration {
	c := of(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waited
}

// Wait waits for a rate limit, and moves the end of the call back by as much. It is
// false when ctx or a signal ended it.
func Wait(ctx context.Context, wait time.Duration) bool {
	c := of(ctx)
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
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waited += wait
	if !c.ends.IsZero() {
		c.ends = c.ends.Add(time.Since(began))
	}
	return true
}
