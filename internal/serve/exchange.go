package serve

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
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

// exchange is one request and its answer.
type exchange struct {
	server  *Server
	client  http.ResponseWriter
	request *http.Request
	route   Route
	// self is the proxy's address for the client.
	self  string
	began time.Time
	// ctx ends with the request, or at the idle timeout.
	ctx    context.Context
	cancel context.CancelFunc
	// silence aborts the request unless it has ended, when the connection may have
	// another one.
	mu      sync.Mutex
	silence *time.Timer
	over    bool
	// hangUp ends the request to GitLab. Before its answer's body is closed early: with
	// HTTP/2, that waits for the client's body otherwise.
	hangUp context.CancelFunc
	// body is what is sent to GitLab, and replay the same when it can be sent twice.
	body   io.Reader
	replay []byte
	length int64
	// received: the client has sent all of the body. count is what it has sent, in bytes.
	received atomic.Bool
	count    atomic.Int64
	// found has the token in use, and tokens are all that were used.
	found  source.Found
	tokens []token.Token
	// questions counts those to GitLab about the push.
	questions int
	record    Record
}

func (x *exchange) minimum() int { return x.server.config.Policy.minimum(x.route.Operation) }

// serve answers a request that has a route.
func (x *exchange) serve() {
	policy := x.server.config.Policy
	x.body, x.length = touching{x.request.Body, x, true}, x.request.ContentLength
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
	if err := x.verify(token.Token{}); err != nil {
		x.refuse(statusOf(err), err)
		return
	}
	if x.route.kind == service && x.route.Operation == Push && !x.judgePush() {
		return
	}
	proxy := httputil.ReverseProxy{Rewrite: x.rewrite, Transport: x, ModifyResponse: x.modify, ErrorHandler: x.failed,
		FlushInterval: -1, BufferPool: x.server, ErrorLog: log.New(io.Discard, "", 0)}
	// A copy: net/http looks at the body of the original to see whether all was read.
	request := x.request.WithContext(x.ctx)
	if request.Body = io.NopCloser(x.body); x.length == 0 {
		request.Body = http.NoBody
	}
	// GitLab may answer before it has the whole body.
	_ = http.NewResponseController(x.client).EnableFullDuplex()
	proxy.ServeHTTP(x, request)
}

// verify finds a token that may do what the request needs, instead of one that failed.
func (x *exchange) verify(failed token.Token) (err error) {
	var made time.Time
	x.found, made, err = x.server.config.Token(x.ctx, Want{Path: x.route.Repository, Minimum: x.minimum(), Failed: failed})
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
	defer x.heavy()()
	operation, ok := map[string]Operation{"download": Fetch, "upload": Push}, false
	if strictjson.Decode(body, &batch) == nil {
		x.route.Operation, ok = operation[batch.Operation]
	}
	if !ok {
		return errors.New("it is no LFS batch with one operation")
	}
	return nil
}

// judgePush reads the ref updates of a push and checks them against the policy; false if it
// has refused the push.
func (x *exchange) judgePush() bool {
	in := bufio.NewReaderSize(x.body, 32<<10)
	switch encodings := x.request.Header.Values("Content-Encoding"); strings.Join(encodings, ",") {
	case "":
	case "gzip", "x-gzip":
		plain, err := gzip.NewReader(in)
		if err != nil {
			x.refuse(http.StatusBadRequest, errPushMalformed(errors.New("it is not compressed as it says")))
			return false
		}
		in = bufio.NewReaderSize(plain, 32<<10)
		x.request.Header.Del("Content-Encoding")
		x.length = -1
	default:
		x.refuse(http.StatusUnsupportedMediaType, errPushMalformed(errors.New("it is compressed in a way that is not known here")))
		return false
	}
	updates, err := ReadUpdates(in)
	if err != nil {
		x.refuse(http.StatusBadRequest, errPushMalformed(err))
		return false
	}
	held, refused := x.refusals(updates, in)
	x.body = io.MultiReader(bytes.NewReader(updates.Raw), bytes.NewReader(held), in)
	if refused != nil {
		x.reject(updates, refused, in)
		return false
	}
	return true
}

// refusals are the refused updates, nil if all are allowed; held is what was read of the
// pack.
func (x *exchange) refusals(u Updates, pack io.Reader) (held []byte, refused map[string]error) {
	policy := x.server.config.Policy
	refused = map[string]error{}
	var forward []Update
	option := policy.options(u.Options)
	for _, update := range u.List {
		moves, why := policy.update(update)
		if why = cmp.Or(why, option); why != nil {
			refused[update.Ref] = why
		} else if moves && len(forward) == maxMoved {
			refused[update.Ref] = errRefUnproven("more than " + decimal(maxMoved) + " branches move")
		} else if moves {
			forward = append(forward, update)
		}
	}
	if len(refused) > 0 || len(forward) == 0 {
		return nil, nonEmpty(refused)
	}
	defer x.heavy()()
	var read bytes.Buffer
	known, err := readCommits(io.TeeReader(io.LimitReader(pack, maxHeld), &read), len(forward[0].New))
	for _, update := range forward {
		if why := x.lost(known, err, update); why != nil {
			refused[update.Ref] = why
		}
	}
	return read.Bytes(), nonEmpty(refused)
}

// heavy waits until a part of a request that takes memory may begin; the result ends it.
func (x *exchange) heavy() (done func()) {
	select {
	case x.server.heavy <- struct{}{}:
		return func() { <-x.server.heavy }
	case <-x.ctx.Done():
		return func() {}
	}
}

func nonEmpty(m map[string]error) map[string]error {
	if len(m) == 0 {
		return nil
	}
	return m
}

// lost is an error unless an update is a fast-forward: the commits in the pack, and GitLab for
// those that it already has, must lead to the old one.
func (x *exchange) lost(known *commits, incomplete error, u Update) error {
	found, frontier := known.reaches(u.New, u.Old)
	if found {
		return nil
	}
	for _, commit := range frontier {
		if x.questions == maxQuestions || x.route.Wiki || x.ctx.Err() != nil {
			return errRefUnproven("it joins too many others")
		}
		x.questions++
		ancestor, err := x.server.config.Ancestor(x.ctx, x.found, x.route.Project, u.Old, commit)
		switch {
		case err != nil:
			return errRefUnproven(message.As(err).What)
		case ancestor:
			return nil
		}
	}
	if incomplete != nil && !errors.Is(incomplete, io.EOF) {
		return errRefUnproven("the push has " + errCommits.Error())
	}
	return errRefForced()
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
	x.hangUp()
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
		x.hangUp()
		_ = resp.Body.Close()
		x.server.config.Forget(x.found.Token)
		err = errLoginRefused(x.server.config.Instance.String())
	}
	return resp, err
}

func (x *exchange) send(out *http.Request) (*http.Response, error) {
	way, err := x.server.reach(x.found)
	if err != nil {
		return nil, err
	}
	// Without the context of ReverseProxy, which would forward informational responses.
	var ctx context.Context
	ctx, x.hangUp = context.WithCancel(x.ctx)
	req := out.Clone(ctx)
	if len(x.replay) > 0 {
		req.Body = io.NopCloser(bytes.NewReader(x.replay))
	}
	x.tokens = append(x.tokens, x.found.Token)
	req.SetBasicAuth("oauth2", x.found.Token.Reveal())
	began := time.Now()
	resp, err := way.RoundTrip(req)
	if err != nil {
		return nil, x.unreachable(way, err)
	}
	x.record.Upstream = time.Since(began)
	// A copy: HTTP/2 sets trailers in the original when the body ends.
	passed := *resp
	passed.Trailer = nil
	if passed.StatusCode == http.StatusSwitchingProtocols {
		_ = resp.Body.Close()
		return nil, x.unusable("it switches protocols")
	}
	passed.Body = touching{resp.Body, x, false}
	if x.route.kind == lfsBatch || x.route.kind == lfsAPI {
		return &passed, nil // rewriteAPI searches it
	}
	var forms [][]byte
	for _, t := range x.tokens {
		forms = append(forms, needles(t)...)
	}
	passed.Body = newGuard(passed.Body, forms, func() { x.record.Reason = message.As(x.unusable(errLeak.Error())).Code })
	return &passed, nil
}

func (x *exchange) unusable(why string) error {
	return errAnswerUnusable(x.server.config.Instance.String(), why)
}

// unreachable is the error for a failed connection or a missing reply.
func (x *exchange) unreachable(way *transport.Transport, err error) error {
	fault := way.Fault(err)
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

// failed is called by ReverseProxy if there is no reply to forward.
func (x *exchange) failed(_ http.ResponseWriter, _ *http.Request, err error) {
	var m *message.Error
	if !errors.As(err, &m) {
		err = x.unusable("it breaks HTTP")
	}
	x.refuse(statusOf(err), err)
}

// refuse answers with a message, which git shows after "remote:" and git-lfs as it is.
func (x *exchange) refuse(status int, err error) {
	m := message.As(err)
	x.record.Reason = m.Code
	x.tell(status, strings.Join(m.Lines(), "\n"))
}

// tell answers with a text in the client's format.
func (x *exchange) tell(status int, text string) {
	for _, t := range x.tokens {
		text = t.Redact(text)
	}
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
	x.WriteHeader(status)
	_, _ = x.Write(body)
}

// Header, WriteHeader and Write are those of http.ResponseWriter.
func (x *exchange) Header() http.Header { return x.client.Header() }

// WriteHeader forwards a status. A connection with an unread body is not reused: the rest could
// be parsed as a request.
func (x *exchange) WriteHeader(status int) {
	x.record.Status = status
	if !x.received.Load() {
		x.client.Header().Set("Connection", "close")
	}
	x.client.WriteHeader(status)
}

func (x *exchange) Write(p []byte) (int, error) {
	n, err := x.client.Write(p)
	x.record.Sent += int64(n)
	x.touch()
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (x *exchange) Unwrap() http.ResponseWriter { return x.client }

// touch is called for each read and write.
func (x *exchange) touch() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.over {
		x.silence.Reset(x.server.config.Silence)
	}
}

// abort ends an idle request.
func (x *exchange) abort() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return
	}
	x.cancel()
	past := time.Unix(1, 0)
	control := http.NewResponseController(x.client)
	_ = control.SetReadDeadline(past)
	_ = control.SetWriteDeadline(past)
}

// lingering is how long a client may continue to send after an early answer, which could be
// lost if the connection were closed.
const lingering = time.Second

// end is deferred. ReverseProxy panics when an answer that has begun can't be completed.
func (x *exchange) end() {
	broken := recover()
	if broken != nil {
		x.record.Broken, x.record.Reason = true, cmp.Or(x.record.Reason, "interrupted")
	}
	x.mu.Lock()
	x.silence.Stop()
	x.over = true
	x.mu.Unlock()
	early := broken == nil && !x.received.Load() && x.ctx.Err() == nil
	x.cancel()
	if control := http.NewResponseController(x.client); early && control.Flush() == nil && control.SetReadDeadline(time.Now().Add(lingering)) == nil {
		_, _ = io.Copy(io.Discard, x.request.Body)
	}
	if x.server.config.Done != nil {
		x.record.Operation, x.record.Project, x.record.Took = x.route.Operation, x.route.Project, time.Since(x.began)
		x.record.Received = x.count.Load()
		x.server.config.Done(x.record)
	}
	if broken != nil {
		panic(broken)
	}
}

// touching is a body, the client's or GitLab's.
type touching struct {
	io.ReadCloser
	x      *exchange
	client bool
}

func (t touching) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	t.x.touch()
	if t.client {
		t.x.count.Add(int64(n))
		t.x.received.Store(errors.Is(err, io.EOF))
	}
	return n, err
}
