package transport

import (
	"cmp"
	"context"
	"crypto/tls"
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
	ErrTooLarge = errors.New("an answer of more than 1 MiB")
	ErrCut      = errors.New("an answer that was cut short")
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

// Retry sends one request, and sends it again while Judge says so.
type Retry struct {
	// Max is the number of retries. With the backoff between them (250 ms, doubled
	// each time), three take about 2 s and four about 4 s.
	Max int
	// MaxWait is the longest wait a server may ask for before a retry; 0 means that
	// only the context's deadline counts.
	MaxWait time.Duration
	// Judge is called after each try, with the answer and its JSON body or with an
	// error. It reports whether to try again, and the wait that the server asks for,
	// 0 for the usual backoff.
	Judge func(resp *http.Response, body []byte, err error) (retry bool, wait time.Duration)
	// OnWait is called before each wait; nil for nothing.
	OnWait func(wait time.Duration)

	tries int
	wait  time.Duration
	ended error
}

// Do sends the request. A nil error means that the last call of Judge decided; else
// the request's context ended before there was another answer.
func (r *Retry) Do(client *http.Client, req *retryablehttp.Request) error {
	resp, err := (&retryablehttp.Client{
		HTTPClient:   client,
		RetryMax:     r.Max,
		CheckRetry:   r.check,
		Backoff:      r.backoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}).Do(req)
	switch {
	case r.ended == nil && resp == nil && req.Context().Err() != nil:
		r.ended = cmp.Or(err, req.Context().Err()) // it ended during a wait
	case resp != nil:
		_ = resp.Body.Close()
	}
	return r.ended
}

// check decides on another try. A wait that would not end before the deadline is
// not begun. The wait is up to a quarter longer than it must be, so that pods
// that were refused together don't come back together.
func (r *Retry) check(ctx context.Context, resp *http.Response, err error) (bool, error) {
	var body []byte
	if err == nil {
		body, err = read(resp)
	}
	if ctx.Err() != nil {
		r.ended = cmp.Or(err, ctx.Err())
		return false, nil
	}
	retry, asked := r.Judge(resp, body, err)
	if !retry || r.tries >= r.Max || r.MaxWait > 0 && asked > r.MaxWait {
		return false, nil
	}
	r.wait = cmp.Or(asked, 250*time.Millisecond<<r.tries)
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
		r.OnWait(r.wait)
	}
	return r.wait
}

// read takes the body of an answer in JSON. Where the status says all, it takes
// none: trouble with the body must not hide the status.
func read(resp *http.Response) ([]byte, error) {
	status := resp.StatusCode
	if status >= 300 && status < 400 || status == http.StatusTooManyRequests || status >= 500 || !IsJSON(resp.Header) {
		return nil, nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrCut, err)
	case len(body) > MaxBody:
		return nil, ErrTooLarge
	}
	return body, nil
}

// Transient reports whether a fault, whose reason is that of [Transport.Fault], may
// be gone a moment later. An answer without end, a proxy's certificate and its
// refusal are there again.
func Transient(reason access.Reason, err error) bool {
	var certificate *tls.CertificateVerificationError
	var proxy *ProxyError
	switch {
	case errors.Is(err, ErrTooLarge), errors.As(err, &certificate), errors.As(err, &proxy) && proxy.Status >= 400 && !NotNow(proxy.Status):
		return false
	case reason == access.Unreachable, reason == access.DNSFailed, reason == access.ProxyFailed, reason == access.Garbled:
		return true
	}
	return false
}
