package platform

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/strictjson"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

const (
	// maxBody bounds the body of an answer in bytes.
	maxBody = 1 << 20
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

// still follows no redirect: the platform's API has none, and the tokens are for
// it alone. Without a Location, net/http hands the answer back as it is.
type still struct{ next http.RoundTripper }

func (s still) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := s.next.RoundTrip(req)
	if err == nil && resp.Header.Get("Location") != "" {
		resp.Header[notFollowed] = []string{resp.Header.Get("Location")}
		resp.Header.Del("Location")
	}
	return resp, err
}

// notFollowed is the header under which still keeps a Location. Its form is not
// canonical, so no server can send it.
const notFollowed = "location"

// ask sends a question, and sorts out all that means the same for each of them.
// The status of the answer counts beside a message, too.
func (c *Client) ask(ctx context.Context, q question) (answer, error) {
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	got, problem, learned := c.send(ctx, q)
	if q.changes && !learned && sent.Load() {
		problem = errUncertain(problem)
	}
	return got, problem
}

// send is ask without regard to what changes; learned is false when the platform
// may have worked on the question without an answer coming back.
func (c *Client) send(ctx context.Context, q question) (got answer, problem error, learned bool) {
	req, err := c.request(ctx, q)
	if err != nil {
		return answer{}, c.garbled("an address that can't be asked"), true
	}
	tries := &tries{client: c, changes: q.changes}
	resp, err := (&retryablehttp.Client{
		HTTPClient:   c.http,
		RetryMax:     maxRetries,
		CheckRetry:   tries.check,
		Backoff:      tries.backoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}).Do(req)
	if resp != nil {
		defer func() { _ = resp.Body.Close() }()
	}
	if err != nil || resp == nil {
		return answer{}, tries.failed(ctx, err), false
	}
	got = answer{status: resp.StatusCode}
	switch status := resp.StatusCode; {
	case status == http.StatusTooManyRequests || status >= 500:
		return got, c.refusedService(resp), status == http.StatusTooManyRequests
	case status >= 300 && status < 400:
		to := ""
		if location := resp.Header[notFollowed]; len(location) > 0 {
			to, _ = transport.Target(c.config.Base.URL()+"/", location[0])
		}
		return got, errRedirect(c.platform, status, to), true
	case status == http.StatusProxyAuthRequired:
		return got, c.told(access.ProxyLogin, ""), true
	case !transport.IsJSON(resp.Header):
		if status == http.StatusNotFound {
			return got, errAbsent(c.platform), true
		}
		return got, errPage(c.platform, strconv.Itoa(status)+" and no JSON"), true
	}
	got.body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case ctx.Err() != nil:
		return got, tries.failed(ctx, err), false
	case err != nil:
		return got, c.garbled("an answer that was cut short"), false
	case len(got.body) > maxBody:
		return got, c.garbled("an answer of more than 1 MiB"), false
	case got.status == http.StatusUnauthorized || got.status == http.StatusForbidden:
		return got, c.denied(got), true
	}
	return got, nil, true
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

func (c *Client) request(ctx context.Context, q question) (*retryablehttp.Request, error) {
	var body any
	if q.body != nil {
		encoded, err := json.Marshal(q.body)
		if err != nil {
			return nil, err
		}
		body = encoded
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, q.method, c.config.Base.URL()+q.path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.config.Token.Reveal())
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.config.UserAgent)
	if q.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// tries are those of one question.
type tries struct {
	client  *Client
	changes bool
	// wait comes next, and met is what the last try did, told when time runs out.
	wait  time.Duration
	count int
	met   error
}

// check says whether a question is asked again: after faults of the connection
// that may be gone a moment later and answers that mean "not now", and only if
// the wait before it is short and leaves time.
func (t *tries) check(ctx context.Context, resp *http.Response, err error) (bool, error) {
	var asked time.Duration
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case t.changes:
		return false, err
	case err != nil:
		reason, _ := t.client.transport.Fault(err)
		if reason != access.Unreachable && reason != access.DNSFailed && reason != access.ProxyFailed {
			return false, err
		}
		t.met = t.client.silent(err)
	case transport.NotNow(resp.StatusCode):
		asked = transport.RetryAfter(resp.Header, time.Now())
		t.met = t.client.refusedService(resp)
	default:
		return false, nil
	}
	// A little longer by chance, so that pods that were refused together don't
	// come back together.
	t.wait = max(asked, 250*time.Millisecond<<t.count)
	t.wait += rand.N(t.wait/4 + 1)
	t.count++
	deadline, limited := ctx.Deadline()
	return asked <= maxWait && (!limited || time.Until(deadline) > t.wait), err
}

func (t *tries) backoff(time.Duration, time.Duration, int, *http.Response) time.Duration {
	return t.wait
}

// failed is the message when there is no answer.
func (t *tries) failed(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return t.client.told(access.Interrupted, "")
	case ctx.Err() == nil:
		return t.client.silent(err)
	case t.met != nil:
		// Time ran out between two tries: what they met says more.
		return t.met
	}
	return t.client.told(access.Timeout, t.client.config.Limit.String())
}

// refusedService is the message for a status that means "not now".
func (c *Client) refusedService(resp *http.Response) error {
	if resp.StatusCode == http.StatusTooManyRequests {
		return errBusy(c.platform, transport.RetryAfter(resp.Header, time.Now()))
	}
	return errError(c.platform, transport.Status(resp.StatusCode))
}

// errSilent is the message for a fault of the connection.
func (c *Client) silent(err error) error {
	reason, detail := c.transport.Fault(err)
	switch reason {
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
