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
	"time"
)

// Bounds of what a server remembers. A fault such as an endless body, or a
// client in a loop, must not eat the memory of the test that watches it.
const (
	maxRequests = 10_000   // requests kept
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
	// Endpoint is what was asked for: a name as in [Fault.Match], else "other".
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

// requestLog keeps requests in the order of their arrival, bounded.
type requestLog struct {
	mu       sync.Mutex
	entries  []*Request
	evidence bytes.Buffer // all that the requests carried
	counts   map[string]int
	lost     bool // evidence was dropped, so that absence proves nothing
}

func newRequestLog() *requestLog { return &requestLog{counts: map[string]int{}} }

// begin notes a request before anything is done about it, so that one that is
// never answered is seen too. It reads ahead in the body to keep evidence of
// it, and leaves r.Body whole.
func (l *requestLog) begin(r *http.Request, rt route) *Request {
	e := &Request{
		Time: time.Now(), Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Endpoint: rt.endpoint,
		Proto: r.Proto, RemoteAddr: r.RemoteAddr, Host: r.Host, UserAgent: r.UserAgent(),
	}
	authorization := cmp.Or(r.Header.Get("Authorization"), r.Header.Get("Proxy-Authorization"))
	e.Authorized = authorization != "" || r.Header.Get("Private-Token") != ""
	e.Scheme, _, _ = strings.Cut(authorization, " ")
	if user, password, ok := basic(authorization); ok {
		e.Scheme, e.User, e.Blank = "Basic", user, password == ""
	}
	switch { // what a proxy is asked
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
		body, _ := io.ReadAll(io.LimitReader(r.Body, maxBody)) // an error is met again below
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

// finish notes what was answered.
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

// Requests lists what was asked of the server since it started or was last
// reset, oldest first; at most 10,000.
func (l *requestLog) Requests() []Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	rs := make([]Request, len(l.entries))
	for i, e := range l.entries {
		rs[i] = *e
	}
	return rs
}

// Count is how many requests an endpoint has got: a name as in
// [Request.Endpoint], "api" for all REST requests, or "all".
func (l *requestLog) Count(endpoint string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[endpoint]
}

// SawSecret reports whether any request carried the value: in its URL, in a
// header, in decoded Basic credentials, or in the first MiB of its body. When
// more has come in than could be kept, it answers true: a test must not pass on what
// was forgotten. A proxy does not see what goes through a tunnel.
func (l *requestLog) SawSecret(value string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost || bytes.Contains(l.evidence.Bytes(), []byte(value))
}

// evidence is all that a request says outside of its body: request line and
// headers as they came, and unescaped and decoded forms of the same. It is a
// small multiple of maxHeader at most.
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
	out, _ := io.ReadAll(io.LimitReader(z, maxBody)) // what came before an error is evidence too
	return out
}

// basic splits the value of an Authorization header of the Basic kind.
func basic(authorization string) (user, password string, ok bool) {
	r := http.Request{Header: http.Header{"Authorization": {authorization}}}
	return r.BasicAuth()
}
