package platform

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/strictjson"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

const (
	// maxRetries is how often a question is asked again. With the waits between
	// them (a quarter of a second, doubled each time) that is about 2 s of an
	// outage, such as a backend that is being replaced.
	maxRetries = 3
	// maxWait is the longest wait before one of them; who asks for more is not
	// asked again.
	maxWait = 2 * time.Second
)

// question is one request, but for what all requests have.
type question struct {
	method, path string
	// body is sent as JSON; nil is none.
	body any
	// changes means that it is asked once: a repeated one could undo what
	// somebody else did in between.
	changes bool
}

func change(method, path string, body any) question {
	return question{method: method, path: path, body: body, changes: true}
}

// answer is one of the platform's own: JSON, and neither 429 nor 5xx.
type answer struct {
	status int
	body   []byte
}

// said is the platform's text about a refusal: to be compared, never shown.
func (a answer) said() string {
	var body struct {
		Error string `json:"error"`
	}
	if strictjson.Decode(a.body, &body) != nil {
		return "" // any other form says nothing to us
	}
	return body.Error
}

// ask sends a question, and sorts out all that means the same for each of them.
// The status of the answer counts beside a message, too.
func (c *Client) ask(ctx context.Context, q question) (answer, error) {
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	got, learned, problem := c.send(ctx, q)
	if q.changes && !learned && sent.Load() {
		problem = errUncertain(problem)
	}
	return got, problem
}

// send is ask without regard to what changes; learned is false when the platform
// may have worked on the question without an answer coming back.
func (c *Client) send(ctx context.Context, q question) (got answer, learned bool, problem error) {
	req, err := transport.Request(ctx, q.method, c.config.Base.URL()+q.path, q.body, c.config.Token.Reveal(), c.config.UserAgent)
	if err != nil {
		return answer{}, true, c.garbled("an address that can't be asked")
	}
	retry := &transport.Retry{MaxWait: maxWait, Judge: func(resp *http.Response, body []byte, err error) (bool, time.Duration) {
		if err != nil {
			reason, _ := c.transport.Fault(err)
			got, problem, learned = answer{}, c.silent(err), false
			return transport.Transient(reason, err), 0
		}
		got = answer{resp.StatusCode, body}
		problem, learned = c.sort(resp, got), got.status < 500
		return transport.NotNow(got.status), transport.RetryAfter(resp.Header, time.Now())
	}}
	if !q.changes {
		retry.Max = maxRetries
	}
	err = retry.Do(c.http, req)
	switch {
	case err == nil:
		return got, learned, problem
	case errors.Is(ctx.Err(), context.Canceled):
		problem = c.told(access.Interrupted, "")
	case problem == nil:
		// What the try before met would say more than the time limit.
		problem = c.told(access.Timeout, c.config.Limit.String())
	}
	return answer{}, false, problem
}

// sort is the message for an answer that means the same to each question, nil for
// the others.
func (c *Client) sort(resp *http.Response, got answer) error {
	switch status := got.status; {
	case status == http.StatusTooManyRequests:
		return errBusy(c.platform, transport.RetryAfter(resp.Header, time.Now()))
	case status >= 500:
		return errError(c.platform, transport.Status(status))
	case status >= 300 && status < 400:
		to, _ := transport.NotFollowed(c.config.Base.URL()+"/", resp.Header)
		return errRedirect(c.platform, status, to)
	case status == http.StatusProxyAuthRequired:
		return c.told(access.ProxyLogin, "")
	case status == http.StatusNotFound && !transport.IsJSON(resp.Header):
		return errAbsent(c.platform)
	case !transport.IsJSON(resp.Header):
		return errPage(c.platform, strconv.Itoa(status)+" and no JSON")
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return c.denied(got)
	}
	return nil
}

// denied is the message for a 401 or a 403. What does not have the platform's form
// is not the platform's.
func (c *Client) denied(got answer) error {
	said := got.said()
	switch {
	case said == "":
		return errPage(c.platform, strconv.Itoa(got.status)+", and not the platform's")
	case strings.HasPrefix(said, "User authentication required"):
		return errNoUser(c.platform)
	case got.status == http.StatusUnauthorized:
		return errUnauthorized(c.platform)
	}
	return errForbidden(c.platform)
}

// silent is the message for a fault of the connection.
func (c *Client) silent(err error) error {
	reason, detail := c.transport.Fault(err)
	switch reason {
	case access.Garbled:
		return c.garbled(detail)
	case access.Unreachable:
		detail = c.config.Base.URL()
	case access.Timeout:
		detail = c.config.Limit.String()
	}
	return c.told(reason, detail)
}

func (c *Client) told(reason access.Reason, detail string) error {
	return errSilent(access.Verdict{Reason: reason, Detail: detail}, c.platform)
}
