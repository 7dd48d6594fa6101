package gitlabtest

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// Bounds of the request log.
const (
	maxRequests = 10_000   // requests kept
	maxHeader   = 64 << 10 // bytes of a request's header and URL
	maxBody     = 1 << 20  // bytes kept of a body
	maxAll      = 64 << 20 // bytes kept of all requests
)

// Request is a request that a server got.
type Request struct {
	// As sent; Path is escaped and without the query.
	Method, Path, Query, Proto, UserAgent string
	// Endpoint is a name as in [Fault.Match], or "other".
	Endpoint string
	// Status is that of the reply; 0 before it, or if the connection was cut.
	Status int
	// Authorized reports Authorization, PRIVATE-TOKEN or Proxy-Authorization, valid or not.
	Authorized bool
	// Scheme is that of Authorization: "Bearer", "Basic", or "".
	Scheme string
	// Blank reports Basic without a password, as curl sends for a URL with a user name.
	Blank bool
}

// requestLog keeps requests in order of arrival, bounded.
type requestLog struct {
	mu       sync.Mutex
	entries  []*Request
	evidence bytes.Buffer // URLs, headers and bodies
	counts   map[string]int
	lost     bool // some was dropped, so SawSecret can't say no
}

func newRequestLog() *requestLog { return &requestLog{counts: map[string]int{}} }

// begin records a request before the reply, so that those without one are included. It
// reads ahead in the body, and leaves r.Body complete.
func (l *requestLog) begin(r *http.Request, rt route) *Request {
	e := &Request{Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Proto: r.Proto, UserAgent: r.UserAgent(), Endpoint: rt.endpoint}
	authorization := cmp.Or(r.Header.Get("Authorization"), r.Header.Get("Proxy-Authorization"))
	e.Authorized = authorization != "" || r.Header.Get("Private-Token") != ""
	e.Scheme, _, _ = strings.Cut(authorization, " ")
	if _, password, ok := basic(authorization); ok {
		e.Scheme, e.Blank = "Basic", password == ""
	}
	switch { // requests to a proxy
	case r.Method == http.MethodConnect:
		e.Path = r.Host
	case r.URL.IsAbs():
		e.Path = r.URL.Scheme + "://" + r.URL.Host + e.Path
	}
	l.mu.Lock()
	if len(l.entries) < maxRequests {
		l.entries = append(l.entries, e)
	} else {
		l.lost = true
	}
	l.counts[rt.endpoint]++
	l.counts["all"]++
	if rt.rest {
		l.counts["api"]++
	}
	l.mu.Unlock()
	l.keep(evidence(r))
	if r.Body != nil && r.Body != http.NoBody {
		body, _ := io.ReadAll(io.LimitReader(r.Body, maxBody)) // an error recurs below
		l.keep(body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			l.keep(inflate(body))
		}
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
	}
	return e
}

func (l *requestLog) keep(evidence []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.evidence.Len()+len(evidence) > maxAll {
		l.lost = true
		return
	}
	l.evidence.Write(evidence)
	l.evidence.WriteByte('\n')
}

// finish records the reply's status.
func (l *requestLog) finish(e *Request, status int) {
	l.mu.Lock()
	e.Status = status
	l.mu.Unlock()
}

func (l *requestLog) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries, l.counts, l.evidence, l.lost = nil, map[string]int{}, bytes.Buffer{}, false
}

// Requests returns the requests since the start or the last reset, oldest first; at most
// 10,000.
func (l *requestLog) Requests() []Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	rs := make([]Request, len(l.entries))
	for i, e := range l.entries {
		rs[i] = *e
	}
	return rs
}

// Count is the number of requests to an endpoint: a name as in [Request.Endpoint], "api" for
// all REST requests, or "all".
func (l *requestLog) Count(endpoint string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[endpoint]
}

// SawSecret reports whether a request had the value in its URL, a header, decoded Basic
// credentials, or the first MiB of its body. It is true if not all could be kept. A proxy
// does not see what goes through a tunnel.
func (l *requestLog) SawSecret(value string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost || bytes.Contains(l.evidence.Bytes(), []byte(value))
}

// evidence is a request line and headers, as sent and decoded.
func evidence(r *http.Request) []byte {
	query, _ := url.QueryUnescape(r.URL.RawQuery)
	b := bytes.NewBufferString(strings.Join([]string{r.Method, r.Host, r.RequestURI, r.URL.Path, query, ""}, "\n"))
	for k, vs := range r.Header {
		for _, v := range vs {
			b.WriteString(k + ": " + v + "\n")
			for word := range strings.FieldsSeq(v) {
				b.WriteString(decode(word) + "\n")
			}
		}
	}
	return b.Bytes()
}

// decode returns the text in a base64 word, as in Basic credentials.
func decode(word string) string {
	word = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(word, "="))
	text, _ := base64.RawStdEncoding.DecodeString(word)
	return string(text)
}

func inflate(b []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	out, _ := io.ReadAll(io.LimitReader(z, maxBody)) // keep what came before an error
	return out
}

// basic splits the value of an Authorization header of the Basic kind.
func basic(authorization string) (user, password string, ok bool) {
	r := http.Request{Header: http.Header{"Authorization": {authorization}}}
	return r.BasicAuth()
}
