package serve

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/strictjson"
	"github.com/ambient-code/git-credential-acp/internal/token"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

// maxRequest bounds a request of LFS's API in bytes: git-lfs names 100 objects in one, in some
// 10 KiB. maxJSON bounds a reply, and maxText an error's text.
const (
	maxRequest = 256 << 10
	maxJSON    = 2 << 20
	maxText    = 16 << 10
)

// exchange is one request and its response.
type exchange struct {
	server  *Server
	client  *client
	request *http.Request
	route   Route
	// proxy is this proxy's URL for the client.
	proxy string
	began time.Time
	// ctx ends with the request, or at the idle timeout.
	ctx context.Context
	// body is what is sent to GitLab, and replay the same if it can be sent twice.
	body   io.Reader
	replay []byte
	length int64
	// found has the token in use, and tokens are all that were used.
	found  source.Found
	tokens tokens
	record Record
}

// serve answers a request that has a route.
func (x *exchange) serve() {
	policy := x.server.config.Policy
	x.body, x.length = x.client, x.request.ContentLength
	if !policy.project(x.route.Project) {
		x.refuse(http.StatusForbidden, errProjectNotAllowed(x.route.Project, policy.Projects))
		return
	}
	if err := x.readAPI(); err != nil {
		x.refuse(http.StatusBadRequest, errPushMalformed(err))
		return
	}
	if x.route.Operation == Push && policy.ReadOnly {
		x.refuse(http.StatusForbidden, errReadOnly())
		return
	}
	if !x.server.mayVerify(x.route.Repository) {
		x.client.Header().Set("Retry-After", "10")
		x.refuse(http.StatusTooManyRequests, errQuota())
		return
	}
	if err := x.verify(token.Token{}); err != nil {
		x.refuse(statusOf(err), err)
		return
	}
	x.server.verified(x.route.Repository)
	if x.route.kind == service && x.route.Operation == Push && !x.allowPush() {
		return
	}
	proxy := httputil.ReverseProxy{Rewrite: x.rewrite, Transport: x, ModifyResponse: x.modify,
		FlushInterval: -1, BufferPool: x.server, ErrorLog: log.New(io.Discard, "", 0)}
	proxy.ErrorHandler = func(_ http.ResponseWriter, _ *http.Request, err error) {
		var m *message.Error
		if !errors.As(err, &m) {
			err = errAnswerUnusable(x.server.config.Instance.String(), "it breaks HTTP")
		}
		x.refuse(statusOf(err), err)
	}
	// A copy: net/http looks at the body of the original to see whether all was read.
	request := x.request.WithContext(x.ctx)
	if request.Body = io.NopCloser(clientBody{x.body, x.client}); x.length == 0 {
		request.Body = http.NoBody
	}
	// GitLab may answer before it has the whole body.
	_ = http.NewResponseController(x.client).EnableFullDuplex()
	proxy.ServeHTTP(x.client, request)
}

// verify finds a token that may do what the request needs, instead of one that failed.
func (x *exchange) verify(failed token.Token) (err error) {
	var made time.Time
	x.found, made, err = x.server.config.Token(x.ctx, Want{Path: x.route.Repository, Minimum: x.server.config.Policy.minimum(x.route.Operation), Failed: failed})
	if x.record.Verified = err == nil; x.record.Verified && !made.IsZero() {
		x.record.VerdictAge = time.Since(made)
	}
	return err
}

// readAPI reads a body of LFS's API, which is small, so that it can be sent twice. A
// batch says which operation it is.
func (x *exchange) readAPI() error {
	if x.route.kind != lfsBatch && x.route.kind != lfsAPI || x.request.Method == http.MethodGet {
		if x.length == 0 {
			x.replay = []byte{}
		}
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(x.body, maxRequest+1))
	if err != nil || len(body) > maxRequest {
		return errors.New("its body does not end within 256 KiB")
	}
	x.body, x.replay, x.length = bytes.NewReader(body), body, int64(len(body))
	if x.route.kind != lfsBatch {
		return nil
	}
	var batch struct {
		Operation string `json:"operation"`
	}
	defer x.server.heavyWork(x.ctx)()
	operation, ok := map[string]Operation{"download": Fetch, "upload": Push}, false
	if strictjson.Decode(body, &batch) == nil {
		x.route.Operation, ok = operation[batch.Operation]
	}
	if !ok {
		return errors.New("it is no LFS batch with one operation")
	}
	return nil
}

// rewrite makes the request for GitLab, with only those of the client's headers that git and
// LFS need.
func (x *exchange) rewrite(p *httputil.ProxyRequest) {
	i := x.server.config.Instance
	p.Out.URL, _ = url.Parse(i.Origin() + x.route.Target) // it was parsed
	p.Out.Host = ""
	p.Out.Header = http.Header{}
	for _, name := range []string{"Accept", "Accept-Language", "Content-Encoding", "Git-Protocol", "User-Agent", "Range", "If-Range", "Pragma", "Cache-Control"} {
		if values := p.In.Header.Values(name); len(values) > 0 {
			p.Out.Header[name] = values
		}
	}
	// In parts, the token would not be found.
	if x.route.kind != lfsObject {
		p.Out.Header.Del("Range")
	}
	// GitLab must read a body as it was read here, not as a form with other parameters.
	if x.request.Method != http.MethodGet {
		p.Out.Header.Set("Content-Type", x.route.contentType())
	}
	if x.route.kind >= lfsBatch {
		p.Out.Header.Del("Content-Encoding")
	}
	// Compressed data can't be searched for the token.
	p.Out.Header.Set("Accept-Encoding", "identity")
	p.Out.ContentLength, p.Out.TransferEncoding = x.length, nil
	p.Out.Trailer = nil
}

// RoundTrip sends the request with the token, and retries once if GitLab rejects the login
// and there is a new token.
func (x *exchange) RoundTrip(out *http.Request) (*http.Response, error) {
	resp, err := x.send(out)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	_ = resp.Body.Close()
	failed := x.found.Token
	x.server.config.Forget(failed)
	if x.replay == nil {
		return nil, errLoginRefused(x.server.config.Instance.String())
	}
	if err = x.verify(failed); err != nil {
		return nil, err
	}
	if resp, err = x.send(out); err == nil && resp.StatusCode == http.StatusUnauthorized {
		_ = resp.Body.Close()
		x.server.config.Forget(x.found.Token)
		err = errLoginRefused(x.server.config.Instance.String())
	}
	return resp, err
}

func (x *exchange) send(out *http.Request) (*http.Response, error) {
	if x.server.refused.Tokens() < 1 {
		return nil, errLoginPaused(x.server.config.Instance.String())
	}
	way, err := x.server.reach(x.found)
	if err != nil {
		return nil, err
	}
	// Without the context of ReverseProxy, which would forward informational responses.
	ctx, hangUp := context.WithCancel(x.ctx)
	req := out.Clone(ctx)
	if len(x.replay) > 0 {
		req.Body = io.NopCloser(bytes.NewReader(x.replay))
	}
	x.tokens = append(x.tokens, x.found.Token)
	req.SetBasicAuth("oauth2", x.found.Token.Reveal())
	began := time.Now()
	resp, err := way.RoundTrip(req)
	if err != nil {
		hangUp()
		return nil, x.noReply(err, way.Fault(err))
	}
	x.record.Upstream = time.Since(began)
	if resp.StatusCode == http.StatusUnauthorized {
		x.server.refused.Allow()
	}
	// A copy: HTTP/2 sets trailers in the original when the body ends.
	passed := *resp
	passed.Trailer = nil
	passed.Body = upstreamBody{resp.Body, x.client.active, hangUp}
	if passed.StatusCode == http.StatusSwitchingProtocols {
		_ = passed.Body.Close()
		return nil, errAnswerUnusable(x.server.config.Instance.String(), "it switches protocols")
	}
	if x.route.kind == lfsBatch || x.route.kind == lfsAPI {
		return &passed, nil // rewriteAPI searches it
	}
	passed.Body = newGuard(passed.Body, x.tokens.forms(), func() {
		x.record.Reason = message.As(errAnswerUnusable("", errLeak.Error())).Code
	})
	return &passed, nil
}

// upstreamBody is the body of GitLab's response. Closing it early ends the request first: with
// HTTP/2, that would wait for the client's body otherwise.
type upstreamBody struct {
	io.ReadCloser
	active func()
	hangUp context.CancelFunc
}

func (b upstreamBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.active()
	return n, err
}

func (b upstreamBody) Close() error {
	b.hangUp()
	return b.ReadCloser.Close()
}

// noReply is why there is no reply: the client ended the request, or GitLab can't be reached.
func (x *exchange) noReply(err error, fault transport.Fault) error {
	var malformed *message.Error
	switch {
	case errors.Is(context.Cause(x.ctx), errIdle):
		fault = transport.Fault{Reason: access.Timeout}
	case x.ctx.Err() != nil:
		fault = transport.Fault{Reason: access.Interrupted}
	case errors.As(err, &malformed):
		return malformed
	}
	i := x.server.config.Instance
	switch fault.Reason {
	case access.Unreachable:
		fault.Detail = cmp.Or(fault.Detail, i.String())
	case access.Timeout:
		fault.Detail = x.server.config.Silence.String()
	}
	return message.Explain(access.Verdict{Outcome: access.Unverified, Reason: fault.Reason, Detail: fault.Detail},
		message.Subject{Instance: i.String(), URL: i.URL(), Project: x.route.Project, Where: x.found.Where, Renew: x.found.Renew, Trust: x.found.Trust})
}

// refuse answers with a message, which git shows after "remote:" and git-lfs as it is.
func (x *exchange) refuse(status int, err error) {
	m := message.As(err)
	x.record.Reason = m.Code
	x.tell(status, strings.Join(m.Lines(), "\n"))
}

// tell answers with a text in the client's format.
func (x *exchange) tell(status int, text string) {
	text = x.tokens.redact(text)
	header := x.client.Header()
	header.Set("Cache-Control", "no-cache")
	header.Set("X-Content-Type-Options", "nosniff")
	body := []byte(text + "\n")
	header.Set("Content-Type", "text/plain; charset=utf-8")
	if x.route.kind >= lfsBatch {
		header.Set("Content-Type", typeLFS)
		body, _ = json.Marshal(map[string]string{"message": strings.ReplaceAll(text, "\n", "; ")}) // never fails
	}
	header.Set("Content-Length", decimal(len(body)))
	x.client.WriteHeader(status)
	_, _ = x.client.Write(body)
}

// end is deferred. ReverseProxy panics when a response that has begun can't be completed.
func (x *exchange) end() {
	broken := recover()
	if broken != nil {
		x.record.Broken, x.record.Reason = true, cmp.Or(x.record.Reason, "interrupted")
	}
	x.client.end(broken == nil && !x.client.complete.Load() && x.ctx.Err() == nil)
	if x.server.config.Done != nil {
		x.record.Operation, x.record.Project, x.record.Took = x.route.Operation, x.route.Project, time.Since(x.began)
		x.record.Status, x.record.Received, x.record.Sent = x.client.status, x.client.received.Load(), x.client.sent
		x.server.config.Done(x.record)
	}
	if broken != nil {
		panic(broken)
	}
}
