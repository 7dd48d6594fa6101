package gitlab

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

// attempt is one question, over all its tries.
type attempt struct {
	// once forbids a second try: the first may have changed something.
	once   bool
	client *Client
	ctx    context.Context
	// answer is where a 200 is decoded to, and reply what the last try's answer
	// says; its zero value means that it was not read.
	answer any
	body   []byte
	reply  access.Reply
	// tries counts the waits so far, and wait is the one that comes next.
	tries int
	wait  time.Duration
	// last is what the try before met, told when time runs out.
	last access.Reply
}

// silence turns a fault of the connection, or of a body, into a reply.
func (c *Client) silence(err error) access.Reply {
	reason, detail := c.transport.Fault(err)
	switch {
	case reason != access.Unreachable:
		return silent(reason, detail)
	case errors.Is(err, errTooLarge):
		return silent(access.Garbled, errTooLarge.Error())
	case errors.Is(err, errCut):
		return silent(access.Garbled, errCut.Error())
	}
	return silent(access.Unreachable, c.config.Instance.String())
}

var (
	errTooLarge = errors.New("an answer of more than 1 MiB")
	errCut      = errors.New("an answer that was cut short")
)

// read takes the body of a response. Of one that says all by its status, it takes
// none: trouble with that must not hide the status.
func (a *attempt) read(resp *http.Response) error {
	if resp.StatusCode >= 300 && resp.StatusCode < 400 || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500 {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return fmt.Errorf("%w: %w", errCut, err)
	}
	if len(body) > maxBody {
		return errTooLarge
	}
	a.body = body
	a.reply = a.answered(resp)
	return nil
}

// check says whether a try is made again: after faults of the connection and
// answers that mean "not now", and only if the wait before it leaves time.
func (a *attempt) check(ctx context.Context, resp *http.Response, err error) (bool, error) {
	switch {
	case ctx.Err() != nil:
		// DNS that did not answer in time says more than the time limit.
		if reply := a.client.silence(cmp.Or(err, ctx.Err())); reply.Reason == access.DNSFailed {
			a.last = reply
		}
		return false, ctx.Err()
	case err != nil:
		a.last = a.client.silence(err)
		return passing(a.last.Reason) && !lasting(err) && a.waitable(ctx), err
	case a.reply.Reason == access.InFront || a.reply.Reason == access.NotGitLab:
		// Not GitLab's answer: what is in front of it may let the next try through.
		a.last = a.reply
		a.last.Wait = transport.RetryAfter(resp.Header, a.client.config.Now())
		return a.waitable(ctx), nil
	case !transport.NotNow(resp.StatusCode):
		return false, nil
	}
	a.last = refusedService(resp, a.client.config.Now())
	if a.last.Reason == access.RateLimited && a.client.config.OnLimit != nil {
		a.client.mu.Lock()
		a.client.refused = a.last
		a.client.mu.Unlock()
		return false, nil
	}
	return a.waitable(ctx), nil
}

// waitable decides on the wait before the next try: what GitLab asks for, else a
// quarter of a second doubled each time; a little longer by chance, so that pods
// that were refused together don't come back together. It is false for a wait
// that would not end in time.
func (a *attempt) waitable(ctx context.Context) bool {
	if a.once {
		return false
	}
	a.wait = a.last.Wait
	if a.wait == 0 {
		a.wait = 250 * time.Millisecond << a.tries
	}
	a.tries++
	spread := a.wait/4 + time.Millisecond
	if deadline, limited := ctx.Deadline(); limited {
		spread = min(spread, deadline.Sub(a.client.config.Now())-a.wait)
	}
	if spread <= 0 {
		return false
	}
	a.wait += rand.N(spread)
	return true
}

// backoff is called before a wait.
func (a *attempt) backoff(_, _ time.Duration, _ int, _ *http.Response) time.Duration {
	a.reply = access.Reply{}
	a.client.announce(a.wait, a.last.Reason)
	return a.wait
}

// passing reports whether a fault may be gone a moment later.
func passing(reason access.Reason) bool {
	switch reason {
	case access.Unreachable, access.DNSFailed, access.ProxyFailed, access.Garbled:
		return true
	}
	return false
}

// lasting reports a fault that will be there again, whatever its reason says: an
// answer without end, a proxy's certificate, or its refusal.
func lasting(err error) bool {
	var certificate *tls.CertificateVerificationError
	var proxy *transport.ProxyError
	return errors.Is(err, errTooLarge) || errors.As(err, &certificate) ||
		errors.As(err, &proxy) && proxy.Status >= 400 && !transport.NotNow(proxy.Status)
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

// failed is the reply when there is no response.
func (a *attempt) failed(err error) access.Reply {
	switch {
	case errors.Is(a.ctx.Err(), context.Canceled):
		return silent(access.Interrupted, "")
	case a.ctx.Err() == nil && err != nil:
		return a.client.silence(err)
	case a.last.State == access.Silent:
		// Time ran out between two tries: what they met says more.
		return a.last
	}
	return silent(access.Timeout, "")
}

func silent(reason access.Reason, detail string) access.Reply {
	return access.Reply{State: access.Silent, Reason: reason, Detail: detail}
}
