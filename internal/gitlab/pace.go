package gitlab

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
)

// pace decides when requests are sent, by GitLab's rate limit as the replies tell it.
type pace struct {
	config *Config

	mu   sync.Mutex
	rate access.Rate
	// refused is the last 429, for a caller that waits for a limit itself.
	refused access.Reply
	// announced is the end of the last announced wait.
	announced time.Time
	// ahead is how far GitLab's clock is ahead of the local one; known if a reply had a
	// Date.
	ahead time.Duration
	known bool
}

// How long the second request is held back: near is how soon the TLS handshake of the first
// begins if GitLab is near, so that requests one by one cost little, and lead is how long
// to wait for the first reply then.
const (
	near = 40 * time.Millisecond
	lead = 500 * time.Millisecond
)

// hold waits until the second request may be sent: if GitLab is near, after the first reply,
// which shows whether the rate limit has room for another; otherwise at once, so that both
// are in flight together. If there is no room, it returns a reply, and held.
func (p *pace) hold(ctx context.Context, connected, answered <-chan struct{}) (reply access.Reply, held bool) {
	if p.config.OnLimit == nil {
		return access.Reply{}, false
	}
	for _, step := range []struct {
		event  <-chan struct{}
		within time.Duration
	}{{connected, near}, {answered, lead}} {
		timer := time.NewTimer(step.within)
		select {
		case <-step.event:
		case <-answered:
		case <-timer.C:
		case <-ctx.Done():
		}
		if !timer.Stop() {
			break
		}
	}
	p.mu.Lock()
	pressed := p.rate.Pressed(p.config.Now().Add(p.ahead))
	p.mu.Unlock()
	if pressed == 0 || !p.config.OnLimit(pressed+time.Second) {
		return access.Reply{}, false
	}
	reply = overLimit(pressed + time.Second)
	reply.Detail = access.Held
	return reply, true
}

// overLimit is the reply for a request for which the rate limit has no room; wait may be a
// second too long, since the headers have whole seconds.
func overLimit(wait time.Duration) access.Reply {
	return access.Reply{State: access.Silent, Reason: access.RateLimited, Wait: wait}
}

// usedUp is the reply for a request that would be rate limited, by an earlier reply.
func (p *pace) usedUp() (access.Reply, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.config.Now().Add(p.ahead)
	switch {
	case p.config.OnLimit == nil:
	case p.refused.State == access.Silent:
		return p.refused, true
	case p.rate.Limit > 0 && p.rate.Remaining <= 0 && p.rate.Reset.After(now):
		return overLimit(p.rate.Reset.Sub(now) + time.Second), true
	}
	return access.Reply{}, false
}

// note records the rate limit and the clock from a reply's headers.
func (p *pace) note(header http.Header) {
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		p.mu.Lock()
		p.ahead, p.known = date.Sub(p.config.Now().Truncate(time.Second)), true
		p.mu.Unlock()
	}
	limit, err1 := strconv.Atoi(header.Get("RateLimit-Limit"))
	remaining, err2 := strconv.Atoi(header.Get("RateLimit-Remaining"))
	reset, err3 := strconv.ParseInt(header.Get("RateLimit-Reset"), 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || limit <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate.Limit == 0 || remaining < p.rate.Remaining || !p.rate.Reset.After(p.config.Now().Add(p.ahead)) {
		p.rate = access.Rate{Limit: limit, Remaining: remaining, Reset: time.Unix(reset, 0)}
	}
}

// refuse records a 429.
func (p *pace) refuse(reply access.Reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = reply
}

func (p *pace) clock() (ahead time.Duration, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ahead, p.known
}

// lowest is the rate limit with the fewest requests left.
func (p *pace) lowest() access.Rate {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rate
}

// announce calls OnWait once for requests that wait together.
func (p *pace) announce(wait time.Duration, why access.Reason) {
	p.mu.Lock()
	defer p.mu.Unlock()
	until := p.config.Now().Add(wait)
	if p.config.OnWait == nil || until.Before(p.announced.Add(wait/2)) {
		return
	}
	p.announced = until
	p.config.OnWait(wait, why)
}
