package platform

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/strictjson"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

// request is what differs between requests.
type request struct {
	method, path string
	// body is sent as JSON; nil is none.
	body any
	// changes means that it is not retried, which could undo another change in
	// between.
	changes bool
}

func change(method, path string, body any) request {
	return request{method: method, path: path, body: body, changes: true}
}

// reply is the platform's reply: JSON, and neither 429 nor 5xx.
type reply struct {
	status int
	body   []byte
}

// errorText is the platform's text of a refusal, to be compared and never shown.
func (a reply) errorText() string {
	var body struct {
		Error string `json:"error"`
		// The control plane's form.
		Kind   string `json:"kind"`
		Reason string `json:"reason"`
	}
	switch {
	case strictjson.Decode(a.body, &body) != nil:
		return "" // any other form says nothing to us
	case body.Error == "" && body.Kind == "Error":
		return body.Reason
	}
	return body.Error
}

// send makes a request. It handles the replies and failures that mean the same for each
// request; a reply that comes with an error still has its status.
func (c *Client) send(ctx context.Context, q request) (got reply, problem error) {
	req, err := transport.Request(ctx, q.method, c.config.Base.URL()+q.path, q.body, c.config.Token.Reveal(), c.config.UserAgent)
	if err != nil {
		return reply{}, c.garbled("an invalid address")
	}
	var sent atomic.Bool
	req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }}))
	retry := &transport.Retry{Once: q.changes, Read: func(a transport.Answer) transport.Fault {
		got = reply{a.Status, a.Body}
		return read(a, got)
	}}
	fault := retry.Do(c.transport, c.http, req)
	if fault.Reason == "" {
		return got, denied(c.platform, got)
	}
	problem = c.explain(fault)
	// A server error, or no reply at all, says nothing of what was done.
	if q.changes && sent.Load() && (got.status == 0 || got.status >= 500) {
		problem = errUncertain(problem)
	}
	return got, problem
}

// read is the fault of a reply. One that denies access is only believed in the
// platform's own form.
func read(a transport.Answer, got reply) transport.Fault {
	switch {
	case a.Fault.Reason == access.NotGitLab && strings.HasPrefix(a.Header.Get("Content-Type"), "text/plain"):
		// So the platform answers itself about a path that it doesn't have.
		a.Fault.Again = false
	case a.Fault.Reason == "" && denies(a.Status) && got.errorText() == "":
		return a.NotOwn(strconv.Itoa(a.Status) + ", and not the platform's")
	}
	return a.Fault
}

func denies(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

// denied is the message for a 401 or a 403 of the platform's own, nil for other
// answers.
func denied(p Endpoint, got reply) error {
	switch {
	case !denies(got.status):
		return nil
	case strings.HasPrefix(got.errorText(), "User authentication required"):
		return errNoUser(p)
	case got.status == http.StatusUnauthorized:
		return errUnauthorized(p)
	}
	return errForbidden(p)
}

// explain is the message for a fault.
func (c *Client) explain(f transport.Fault) error {
	switch {
	case f.Reason == access.RateLimited:
		return errBusy(c.platform, f.Wait)
	case f.Reason == access.ServerError:
		return errError(c.platform, f.Detail)
	case f.Redirect():
		return errRedirect(c.platform, f.Status, f.To)
	case f.Reason == access.NotGitLab:
		return errAbsent(c.platform)
	case f.Reason == access.InFront:
		return errPage(c.platform, f.Detail)
	case f.Reason == access.Garbled:
		return c.garbled(f.Detail)
	case f.Reason == access.Unreachable:
		f.Detail = c.config.Base.URL()
	case f.Reason == access.Timeout:
		f.Detail = c.config.Limit.String()
	}
	return errSilent(access.Verdict{Reason: f.Reason, Detail: f.Detail}, c.platform)
}
