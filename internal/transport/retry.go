package transport

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/ambient-code/git-credential-acp/internal/access"
)

// MaxBody bounds the body of an answer in bytes.
const MaxBody = 1 << 20

// Errors of a body that can't be used.
var (
	ErrTooLarge = errors.New("a reply of more than 1 MiB")
	ErrCut      = errors.New("a truncated reply")
)

// Request makes a request of a JSON API. A body of nil is none. It fails for a URL
// or a body that can't be sent.
func Request(ctx context.Context, method, url string, body any, bearer, userAgent string) (*retryablehttp.Request, error) {
	var content any
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = encoded
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", userAgent)
	return req, nil
}

// maxRetries is how often a request is sent again. With the backoff between tries
// (250 ms, doubled each time) that covers an outage of about 4 s.
const maxRetries = 4

// Answer is an answer to a request of a JSON API. Body is nil if Fault has a reason.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	// Fault is what [AnswerFault] says of it.
	Fault Fault

	wait time.Duration
}

// Retry sends one request, and sends it again while its fault may be gone a moment
// later, up to four times and within the context's deadline. It waits as long as the
// server asks for, else with exponential backoff.
type Retry struct {
	// Once forbids a second try, for requests that change something.
	Once bool
	// Read is called with each answer, and returns its fault: Answer.Fault, or one that
	// only the body shows. The zero value is an answer of the service's own.
	Read func(Answer) Fault
	// OnWait is called before each wait; nil for nothing.
	OnWait func(wait time.Duration, why access.Reason)
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	transport *Transport
	last      Fault
	ended     bool
	tries     int
	wait      time.Duration
}

// Do sends the request through a client that uses t. It returns the fault of the last
// try, or, if the context ended before that had an answer, of the try before.
func (r *Retry) Do(t *Transport, client *http.Client, req *retryablehttp.Request) Fault {
	r.transport = t
	if r.Now == nil {
		r.Now = time.Now
	}
	resp, err := (&retryablehttp.Client{
		HTTPClient:   client,
		RetryMax:     maxRetries,
		CheckRetry:   r.check,
		Backoff:      r.backoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}).Do(req)
	switch ctx := req.Context(); {
	case resp != nil:
		_ = resp.Body.Close()
	case !r.ended && ctx.Err() != nil:
		r.end(ctx, cmp.Or(err, ctx.Err())) // it ended during a wait
	}
	return r.last
}

// end is called when the context ends before there is an answer. What the try before
// met says more than the time limit.
func (r *Retry) end(ctx context.Context, err error) {
	r.ended = true
	if f := r.transport.RequestFault(ctx, err); f.Reason != access.Timeout || r.last.Reason == "" {
		r.last = f
	}
}

// check decides on another try. A wait that would not end before the deadline is
// not begun. The wait is up to a quarter longer than it must be, so that pods
// that were refused together don't come back together.
func (r *Retry) check(ctx context.Context, resp *http.Response, err error) (bool, error) {
	var answer Answer
	if err == nil {
		answer, err = r.answer(resp)
	}
	if ctx.Err() != nil {
		r.end(ctx, cmp.Or(err, ctx.Err()))
		return false, nil
	}
	if err != nil {
		r.last = r.transport.Fault(err)
	} else {
		r.last = r.Read(answer)
	}
	if !r.last.Again || r.Once || r.tries >= maxRetries {
		return false, nil
	}
	r.wait = cmp.Or(r.last.Wait, 250*time.Millisecond<<r.tries)
	spread := r.wait/4 + time.Millisecond
	if deadline, limited := ctx.Deadline(); limited {
		spread = min(spread, time.Until(deadline)-r.wait)
	}
	if spread <= 0 {
		return false, nil
	}
	r.wait += rand.N(spread)
	r.tries++
	return true, nil
}

func (r *Retry) backoff(time.Duration, time.Duration, int, *http.Response) time.Duration {
	if r.OnWait != nil {
		r.OnWait(r.wait, r.last.Reason)
	}
	return r.wait
}

// answer classifies an answer, and reads the body of one in JSON. Where the status
// says all, the body is not read: trouble with it must not hide the status.
func (r *Retry) answer(resp *http.Response) (Answer, error) {
	answer := Answer{Status: resp.StatusCode, Header: resp.Header, Fault: AnswerFault(resp.StatusCode, resp.Header, r.Now()),
		wait: retryAfter(resp.Header, serverTime(resp.Header, r.Now()))}
	if answer.Fault.Reason != "" {
		return answer, nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody+1))
	switch {
	case err != nil:
		return Answer{}, fmt.Errorf("%w: %w", ErrCut, err)
	case len(body) > MaxBody:
		return Answer{}, ErrTooLarge
	}
	answer.Body = body
	return answer, nil
}
