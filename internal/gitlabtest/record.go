package gitlabtest

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Bounds of what a server remembers. A fault such as an endless body, or a
// client in a loop, must not eat the memory of the test that watches it.
const (
	maxRequests = 10_000   // requests kept; the oldest are dropped
	maxHeader   = 64 << 10 // bytes of header and URL taken, so that their evidence is bounded too
	maxBody     = 1 << 20  // bytes of body kept of each
	maxAll      = 64 << 20 // bytes of evidence kept of all
)

// Request is one request that a server has seen.
type Request struct {
	Time time.Time // when its header had been read
	// Method, Path, Query, Proto, RemoteAddr, Host and UserAgent are as on
	// the wire; Path is still escaped, without the query.
	Method, Path, Query, Proto, RemoteAddr, Host, UserAgent string
	// Endpoint is what was asked for: a name as in [Fault.Match] ("self",
	// "user", "project", "member", "branch", "rotate", "revoke", "version",
	// "git", "lfs"), else "other".
	Endpoint string
	// Status is what was answered; 0 while there is no answer, and for good
	// if the connection was cut before one.
	Status int
	// Authorized says that it carried Authorization or PRIVATE-TOKEN (for a
	// proxy: Proxy-Authorization), whatever they were worth.
	Authorized bool
	// Scheme is that of Authorization: "Bearer", "Basic", or "". User is the
	// Basic user name.
	Scheme, User string
	// Blank says that it was Basic without a password: what curl sends of itself
	// when a URL has a user name in it.
	Blank bool
}

// logEntry is a request and the raw evidence of what it carried.
type logEntry struct {
	Request
	evidence []byte
	body     []byte
	gzipped  bool
}

// requestLog keeps requests in the order of their arrival, bounded.
type requestLog struct {
	mu      sync.Mutex
	entries []*logEntry
	counts  map[string]int
	size    int
	lost    bool // evidence was dropped, so that absence proves nothing
}

func newRequestLog() *requestLog { return &requestLog{counts: map[string]int{}} }

// begin notes a request before anything is done about it, so that one that is
// never answered is seen too. It reads ahead in the body to keep evidence of
// it, and leaves r.Body whole.
func (l *requestLog) begin(r *http.Request, endpoint string, rest bool) *logEntry {
	e := &logEntry{Request: Request{
		Time: time.Now(), Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Endpoint: endpoint,
		Proto: r.Proto, RemoteAddr: r.RemoteAddr, Host: r.Host, UserAgent: r.UserAgent(),
		Authorized: r.Header.Get("Authorization") != "" || r.Header.Get("Private-Token") != "" || r.Header.Get("Proxy-Authorization") != "",
	}}
	e.Scheme, e.User = scheme(r.Header)
	if _, password, ok := r.BasicAuth(); ok {
		e.Blank = password == ""
	}
	switch { // what a proxy is asked
	case r.Method == http.MethodConnect:
		e.Path = r.Host
	case r.URL.IsAbs():
		e.Path = r.URL.Scheme + "://" + r.URL.Host + e.Path
	}
	e.evidence = evidence(r)
	e.gzipped = r.Header.Get("Content-Encoding") == "gzip"

	l.mu.Lock()
	if len(l.entries) >= maxRequests {
		l.drop(maxRequests / 10) // many at a time: dropping moves all the others
	}
	l.entries = append(l.entries, e)
	l.counts[endpoint]++
	l.counts["all"]++
	if rest {
		l.counts["api"]++
	}
	l.keep(len(e.evidence))
	l.mu.Unlock()

	if r.Body != nil && r.Body != http.NoBody {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
		l.mu.Lock()
		e.body = body
		l.keep(len(body))
		l.mu.Unlock()
		r.Body = &prefixedBody{Reader: io.MultiReader(bytes.NewReader(body), failing{err}, r.Body), Closer: r.Body}
	}
	return e
}

// keep counts n more bytes of evidence and drops the oldest evidence beyond the
// bound.
func (l *requestLog) keep(n int) {
	l.size += n
	for _, e := range l.entries {
		if l.size <= maxAll {
			return
		}
		if n := len(e.evidence) + len(e.body); n > 0 {
			l.size -= n
			e.evidence, e.body = nil, nil
			l.lost = true
		}
	}
}

// drop forgets the n oldest requests.
func (l *requestLog) drop(n int) {
	for _, e := range l.entries[:n] {
		l.size -= len(e.evidence) + len(e.body)
		e.evidence, e.body = nil, nil
	}
	l.lost = true
	l.entries = append([]*logEntry(nil), l.entries[n:]...)
}

// finish notes what was answered.
func (l *requestLog) finish(e *logEntry, status int) {
	l.mu.Lock()
	e.Status = status
	l.mu.Unlock()
}

func (l *requestLog) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries, l.counts, l.size, l.lost = nil, map[string]int{}, 0, false
}

func (l *requestLog) requests() []Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	rs := make([]Request, len(l.entries))
	for i, e := range l.entries {
		rs[i] = e.Request
	}
	return rs
}

func (l *requestLog) count(endpoint string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[endpoint]
}

// saw reports whether any request carried the value. Once evidence had to be
// dropped it answers true: a test must not pass on what was forgotten.
func (l *requestLog) saw(value string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost {
		return true
	}
	for _, e := range l.entries {
		if bytes.Contains(e.evidence, []byte(value)) || bytes.Contains(e.body, []byte(value)) {
			return true
		}
		if e.gzipped && bytes.Contains(inflate(e.body), []byte(value)) {
			return true
		}
	}
	return false
}

// evidence is all that a request says outside of its body: request line and
// headers as they came, and unescaped and decoded forms of the same. It is a
// small multiple of maxHeader at most.
func evidence(r *http.Request) []byte {
	var b bytes.Buffer
	add := func(parts ...string) {
		for _, p := range parts {
			b.WriteString(p)
			b.WriteByte('\n')
		}
	}
	add(r.Method, r.Host, r.RequestURI, r.URL.Path)
	if q, err := url.QueryUnescape(r.URL.RawQuery); err == nil {
		add(q)
	}
	for k, vs := range r.Header {
		for _, v := range vs {
			add(k + ": " + v)
			for word := range strings.FieldsSeq(v) {
				add(decode(word))
			}
		}
	}
	return b.Bytes()
}

// decode returns the text in a base64 word, as in Basic credentials.
func decode(word string) string {
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if b, err := enc.DecodeString(word); err == nil {
			return string(b)
		}
	}
	return ""
}

func inflate(b []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	out, _ := io.ReadAll(io.LimitReader(z, maxBody)) // what came before an error is evidence too
	return out
}

// scheme reads which kind of credential a request carries, in the canonical
// spelling, and a Basic one's user name.
func scheme(h http.Header) (name, user string) {
	v := h.Get("Authorization")
	if v == "" {
		v = h.Get("Proxy-Authorization")
	}
	name, _, _ = strings.Cut(v, " ")
	switch {
	case strings.EqualFold(name, "basic"):
		u, _, _ := parseBasic(v)
		return "Basic", u
	case strings.EqualFold(name, "bearer"):
		return "Bearer", ""
	}
	return name, ""
}

// parseBasic splits the value of an Authorization header of the Basic kind.
func parseBasic(v string) (user, password string, ok bool) {
	r := http.Request{Header: http.Header{"Authorization": {v}}}
	return r.BasicAuth()
}

// prefixedBody is a request body whose beginning has been read.
type prefixedBody struct {
	io.Reader
	io.Closer
}

// failing repeats an error that was met while reading ahead.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err == nil {
		return 0, io.EOF
	}
	return 0, f.err
}

// Requests lists what was asked of the server since it started or was last
// reset, oldest first; at most 10,000.
func (s *Server) Requests() []Request { return s.web.log.requests() }

// ResetRequests forgets all requests, evidence and connections seen so far.
func (s *Server) ResetRequests() { s.web.reset() }

// Count is how many requests an endpoint has got: a name as in
// [Request.Endpoint], "api" for all REST requests, or "all".
func (s *Server) Count(endpoint string) int { return s.web.log.count(endpoint) }

// Connections is how many TCP connections were accepted since the start or the
// last reset, failed handshakes included.
func (s *Server) Connections() int { return s.web.connections() }

// SawSecret reports whether any request carried the value: in its URL, in a
// header, in decoded Basic credentials, or in the first MiB of its body. When
// more has come in than could be kept, it answers true.
func (s *Server) SawSecret(value string) bool { return s.web.log.saw(value) }
