package gitlabtest

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fault makes a server reply wrongly. Only the first matching fault is used, in the order
// in which they were added, before authentication, the rate limit and the ban. With only
// Delay or Header, the normal reply follows.
type Fault struct {
	// Match is an endpoint ("self", "user", "project", "member", "branch", "merge_base",
	// "rotate", "revoke", "git", "lfs", "other"), "api" for all of
	// REST, "all", or the beginning of an escaped path, with its slash.
	// Another list is a [Platform]'s own.
	Match string
	Times int // number of requests; 0: all, until cleared
	// HTTP2 exempts requests over HTTP/1.1, and Unless ("Name:text") those with a header of
	// that name that contains the text.
	HTTP2  bool
	Unless string

	Status int         // reply with this status, Header and Body; 200 if only Body is set
	Header http.Header // added to normal replies, too
	Body   string

	Delay   time.Duration // before anything else; ends early if the client or the server closes
	Hang    bool          // never reply
	Close   bool          // close the connection without a reply
	Cut     bool          // close the connection after half of the body
	Endless bool          // a body of the right type without end
	Size    int64         // the normal reply, padded to that many bytes of valid JSON
	Drip    time.Duration // the normal reply, with this pause before each byte of its body

	// RedirectTo is a Location, with 302 unless Status is set; a "*" at its
	// end stands for the request's escaped path and query.
	RedirectTo string
	// HTML is the sign-in page of a proxy in front: text/html, with 200
	// unless Status is set.
	HTML bool
}

// matchNames are the endpoints for Fault.Match.
var matchNames = []string{"self", "user", "project", "member", "branch", "merge_base", "rotate", "revoke", "git", "lfs", "other", "api", "all"}

// faults are the faults of a server.
type faults struct {
	mu    sync.Mutex
	list  []*Fault
	names []string // endpoints for Match
}

// AddFault appends a fault. It panics if Match is unknown, since the fault would never be
// used.
func (fs *faults) AddFault(f Fault) {
	if !strings.HasPrefix(f.Match, "/") && !slices.Contains(fs.names, f.Match) {
		panic(fmt.Sprintf("gitlabtest: no endpoint %q for a fault", f.Match))
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f.Header = f.Header.Clone()
	fs.list = append(fs.list, &f)
}

// ClearFaults removes all faults. Requests that already hang continue to.
func (fs *faults) ClearFaults() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.list = nil
}

func (f *Fault) matches(rt route, r *http.Request) bool {
	name, text, _ := strings.Cut(f.Unless, ":")
	if f.HTTP2 && r.ProtoMajor < 2 || f.Unless != "" && strings.Contains(strings.Join(r.Header.Values(name), "\n"), text) {
		return false
	}
	switch f.Match {
	case "all", rt.endpoint:
		return true
	case "api":
		return rt.rest
	}
	return strings.HasPrefix(f.Match, "/") && strings.HasPrefix(r.URL.EscapedPath(), f.Match)
}

// take returns the fault for a request, and counts it.
func (fs *faults) take(rt route, r *http.Request) (Fault, bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for i, f := range fs.list {
		if !f.matches(rt, r) {
			continue
		}
		hit := *f
		switch f.Times--; f.Times {
		case 0:
			fs.list = slices.Delete(fs.list, i, i+1)
		case -1:
			f.Times = 0 // for all
		}
		return hit, true
	}
	return Fault{}, false
}

// answer replies with the fault for a request, otherwise with right.
func (fs *faults) answer(w http.ResponseWriter, r *http.Request, rt route, right func(http.ResponseWriter)) {
	if f, ok := fs.take(rt, r); ok {
		strike(f, w, r, rt, right)
		return
	}
	right(w)
}

// strike replies with a fault; answer writes the normal reply.
func strike(f Fault, w http.ResponseWriter, r *http.Request, rt route, answer func(http.ResponseWriter)) {
	if f.Delay > 0 && !pause(r, f.Delay) {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), f.Header)
	switch {
	case f.Hang:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case f.Close:
		cut(r)
	case f.Cut:
		right := hold(answer)
		release(w, right, right.Body.Bytes()[:right.Body.Len()/2], int64(right.Body.Len()))
		_ = http.NewResponseController(w).Flush()
		pause(r, 20*time.Millisecond) // HTTP/2 writes frames out after Flush has returned
		cut(r)
	case f.Endless:
		endless(w, r, rt)
	case f.Drip > 0:
		drip(w, r, hold(answer), f.Drip)
	case f.Size > 0:
		right := hold(answer)
		release(w, right, nil, f.Size)
		_, _ = io.Copy(w, blowUp(right.Body.Bytes(), f.Size))
	case f.RedirectTo != "":
		to, whole := strings.CutSuffix(f.RedirectTo, "*")
		if whole {
			to += r.URL.RequestURI()
		}
		w.Header().Set("Location", to)
		f.page(w, http.StatusFound, `<html><body>You are being <a href="`+to+`">redirected</a>.</body></html>`)
	case f.HTML:
		f.page(w, http.StatusOK, signInPage)
	case f.Status != 0 || f.Body != "":
		if w.Header().Get("Content-Type") == "" {
			w.Header().Set("Content-Type", typePlain)
			if strings.HasPrefix(f.Body, "{") {
				w.Header().Set("Content-Type", typeJSON)
			}
		}
		w.WriteHeader(cmp.Or(f.Status, http.StatusOK))
		_, _ = io.WriteString(w, f.Body)
	default:
		answer(w)
	}
}

const signInPage = `<!DOCTYPE html>
<html><head><title>Sign in - Corporate SSO</title></head>
<body><form action="/sso/login" method="post"><input name="user"><input name="password" type="password"></form></body></html>
`

// page writes HTML; the fault's own status and body take precedence.
func (f Fault) page(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(cmp.Or(f.Status, status))
	_, _ = io.WriteString(w, cmp.Or(f.Body, body))
}

// pause waits; false if the client or the server closes first.
func pause(r *http.Request, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-r.Context().Done():
		return false
	}
}

// hold records a reply.
func hold(answer func(http.ResponseWriter)) *httptest.ResponseRecorder {
	held := httptest.NewRecorder()
	answer(held)
	return held
}

// release sends a recorded reply with another body and Content-Length.
func release(w http.ResponseWriter, held *httptest.ResponseRecorder, body []byte, length int64) {
	maps.Copy(w.Header(), held.Result().Header)
	w.Header().Set("Content-Length", strconv.FormatInt(length, 10))
	w.WriteHeader(held.Code)
	_, _ = w.Write(body)
}

// blowUp pads a JSON object to size bytes; another one if there is none or it is longer.
func blowUp(right []byte, size int64) io.Reader {
	const open, shut = `,"pad":"`, `"}`
	head := bytes.TrimSuffix(bytes.TrimSpace(right), []byte("}"))
	if len(head) < 2 || head[0] != '{' || int64(len(head)+len(open)+len(shut)) > size {
		head = []byte(`{"id":1`)
	}
	pad := max(0, size-int64(len(head)+len(open)+len(shut)))
	return io.LimitReader(io.MultiReader(bytes.NewReader(head), strings.NewReader(open), io.LimitReader(letters{}, pad), strings.NewReader(shut)), size)
}

// drip sends a reply byte by byte.
func drip(w http.ResponseWriter, r *http.Request, right *httptest.ResponseRecorder, gap time.Duration) {
	body := right.Body.Bytes()
	release(w, right, nil, int64(len(body)))
	for n := range body {
		_ = http.NewResponseController(w).Flush()
		if !pause(r, gap) {
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(body[n : n+1])
	}
}

// letters reads as an endless run of one letter.
type letters struct{}

func (letters) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'a'
	}
	return len(b), nil
}

// endless writes until the client or the server closes: JSON for the API, packet lines for
// git.
func endless(w http.ResponseWriter, r *http.Request, rt route) {
	start, block := `{"id":1,"name":"`, strings.Repeat("a", 32<<10)
	w.Header().Set("Content-Type", typeJSON)
	if rt.endpoint == "git" && rt.repo != nil {
		w.Header().Set("Content-Type", "application/x-"+rt.repo.service+"-advertisement")
		start = "001e# service=git-upload-pack\n0000"
		line := fmt.Sprintf("%s refs/heads/%s\n", strings.Repeat("1", 40), strings.Repeat("a", 100))
		block = strings.Repeat(fmt.Sprintf("%04x%s", len(line)+4, line), 200)
	}
	w.WriteHeader(http.StatusOK)
	_, err := io.WriteString(w, start)
	for err == nil && r.Context().Err() == nil {
		_, err = io.WriteString(w, block)
	}
	panic(http.ErrAbortHandler) // don't end the body properly
}
