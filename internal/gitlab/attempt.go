package gitlab

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

// attempt is one question, over all its tries.
type attempt struct {
	client *Client
	// once forbids a second try: the first may have changed something.
	once bool
	// answer is where a 200 is decoded to, nil for nothing.
	answer any
	// last is what the last try met.
	last access.Reply
}

// silence turns a fault of the connection, or of a body, into a reply.
func (c *Client) silence(err error) access.Reply {
	reason, detail := c.transport.Fault(err)
	if reason == access.Unreachable {
		detail = c.config.Instance.String()
	}
	return silent(reason, detail)
}

// judge says whether a try is made again: after faults of the connection, answers
// that mean "not now", and answers that are not GitLab's, since what is in front of
// it may let the next one through.
func (a *attempt) judge(resp *http.Response, body []byte, err error) (retry bool, wait time.Duration) {
	if err != nil {
		a.last = a.client.silence(err)
		return transport.Transient(a.last.Reason, err), 0
	}
	a.client.note(resp.Header)
	a.last = a.answered(resp, body)
	switch status := resp.StatusCode; {
	case a.last.Reason == access.RateLimited && a.client.config.OnLimit != nil:
		a.client.mu.Lock()
		a.client.refused = a.last
		a.client.mu.Unlock()
		return false, 0
	case transport.NotNow(status):
		return true, a.last.Wait
	case status >= 300 && status < 400:
		return false, 0
	}
	return a.last.Reason == access.InFront || a.last.Reason == access.NotGitLab, transport.RetryAfter(resp.Header, a.client.config.Now())
}

// refusedService is the reply for a status that means "not now". Times in it are
// by the server's clock, where the answer tells it.
func refusedService(resp *http.Response, now time.Time) access.Reply {
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		now = date
	}
	reply := silent(access.ServerError, transport.Status(resp.StatusCode))
	reply.Wait = transport.RetryAfter(resp.Header, now)
	if resp.StatusCode == http.StatusTooManyRequests {
		reply = overLimit(reply.Wait)
		// GitLab tells this with every answer; only here is it a wait.
		if reset, err := strconv.ParseInt(resp.Header.Get("RateLimit-Reset"), 10, 64); err == nil && reply.Wait == 0 {
			reply.Wait = transport.Wait(time.Unix(reset, 0).Sub(now))
		}
	}
	return reply
}

// ended is the reply when the context ended before there was an answer.
func (a *attempt) ended(ctx context.Context, err error) access.Reply {
	if errors.Is(ctx.Err(), context.Canceled) {
		return silent(access.Interrupted, "")
	}
	// A DNS server that did not answer in time, or what the try before met, says
	// more than the time limit.
	if reply := a.client.silence(err); reply.Reason == access.DNSFailed {
		return reply
	}
	if a.last.State == access.Silent {
		return a.last
	}
	return silent(access.Timeout, "")
}

func silent(reason access.Reason, detail string) access.Reply {
	return access.Reply{State: access.Silent, Reason: reason, Detail: detail}
}
