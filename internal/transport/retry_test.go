package transport

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/ambient-code/git-credential-acp/internal/access"
)

// stub is a server's side of an exchange, without a network, so that waits cost
// nothing.
type stub func(try int) *http.Response

func (s stub) client() (*http.Client, *int) {
	tries := new(int)
	return &http.Client{Transport: Redirects{Next: roundTripper(func(req *http.Request) (*http.Response, error) {
		*tries++
		resp := s(*tries)
		if resp == nil {
			<-req.Context().Done()
			return nil, req.Context().Err()
		}
		resp.Request = req
		return resp, nil
	})}}, tries
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// respond makes an answer with a body and headers, given as names and values.
func respond(status int, body string, header ...string) *http.Response {
	recorder := httptest.NewRecorder()
	for pair := range slices.Chunk(header, 2) {
		recorder.Header().Set(pair[0], pair[1])
	}
	recorder.WriteHeader(status)
	_, _ = recorder.WriteString(body)
	return recorder.Result()
}

// The policy that all clients share: which answers are asked for again, how often,
// and how long the wait is.
func TestRetry(t *testing.T) {
	json, html := []string{"Content-Type", "application/json"}, []string{"Content-Type", "text/html"}
	for name, test := range map[string]struct {
		answer *http.Response
		once   bool
		reason access.Reason
		tries  int
		// shortest is the shortest time that the waits take.
		shortest time.Duration
	}{
		"JSON":             {respond(200, `{}`, json...), false, "", 1, 0},
		"JSON refusal":     {respond(403, `{}`, json...), false, "", 1, 0},
		"not its own form": {respond(418, `{}`, json...), false, access.InFront, 5, 3750 * time.Millisecond},
		"429":              {respond(429, ""), false, access.RateLimited, 5, 3750 * time.Millisecond},
		"429 with a wait":  {respond(429, "", "Retry-After", "2"), false, access.RateLimited, 5, 8 * time.Second},
		"429 with a reset": {respond(429, "", "RateLimit-Reset", "7", "Date", "Thu, 01 Jan 1970 00:00:04 GMT"), false, access.RateLimited, 5, 12 * time.Second},
		"429 for an hour":  {respond(429, "", "Retry-After", "3600"), false, access.RateLimited, 1, 0},
		"500":              {respond(500, `{}`, json...), false, access.ServerError, 5, 3750 * time.Millisecond},
		"501":              {respond(501, `{}`, json...), false, access.ServerError, 1, 0},
		"502 page":         {respond(502, "<html>", html...), false, access.ServerError, 5, 3750 * time.Millisecond},
		"503 with a wait":  {respond(503, "", "Retry-After", "1"), false, access.ServerError, 5, 4 * time.Second},
		"503 with a reset": {respond(503, "", "RateLimit-Reset", "9999999999"), false, access.ServerError, 5, 3750 * time.Millisecond},
		"200 page":         {respond(200, "<html>", html...), false, access.InFront, 5, 3750 * time.Millisecond},
		"403 page":         {respond(403, "<html>", append(html, "Retry-After", "2")...), false, access.InFront, 5, 8 * time.Second},
		"404 page":         {respond(404, "<html>", html...), false, access.NotGitLab, 5, 3750 * time.Millisecond},
		"407":              {respond(407, ""), false, access.ProxyLogin, 1, 0},
		"302":              {respond(302, "", "Location", "https://login.example/?secret"), false, access.InFront, 1, 0},
		"304":              {respond(304, ""), false, access.InFront, 1, 0},
		"a change, 503":    {respond(503, ""), true, access.ServerError, 1, 0},
		"a change, page":   {respond(200, "<html>", html...), true, access.InFront, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				transport := New(Network{})
				client, tries := stub(func(int) *http.Response { return test.answer }).client()
				var waited time.Duration
				retry := &Retry{Once: test.once, OnWait: func(wait time.Duration, why access.Reason) {
					waited += wait
					if why != test.reason {
						t.Errorf("waits because of %s", why)
					}
				}, Read: func(a Answer) Fault {
					if a.Status == 418 {
						return a.NotOwn("418, and not its own")
					}
					return a.Fault
				}}
				f := retry.Do(transport, client, request(ctx, t))
				if f.Reason != test.reason || *tries != test.tries {
					t.Errorf("%d tries: %+v", *tries, f)
				}
				if longest := test.shortest + test.shortest/4 + 10*time.Millisecond; waited < test.shortest || waited > longest {
					t.Errorf("waited %v, want %v to %v", waited, test.shortest, longest)
				}
			})
		})
	}
}

func request(ctx context.Context, t *testing.T) *retryablehttp.Request {
	t.Helper()
	req, err := Request(ctx, http.MethodGet, "https://h/", nil, "canary", "test")
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// The fault of a try is kept if the context ends before the next reply, and a wait that would
// not end in time is not begun.
func TestRetryEnds(t *testing.T) {
	for name, test := range map[string]struct {
		answer stub
		cancel bool
		reason access.Reason
		tries  int
	}{
		"no answer":           {func(int) *http.Response { return nil }, false, access.Timeout, 1},
		"interrupted":         {func(int) *http.Response { return nil }, true, access.Interrupted, 1},
		"busy, then silent":   {func(try int) *http.Response { return map[int]*http.Response{1: respond(503, "")}[try] }, false, access.ServerError, 2},
		"busy, interrupted":   {func(try int) *http.Response { return map[int]*http.Response{1: respond(503, "")}[try] }, true, access.Interrupted, 2},
		"busy for 4 s":        {func(int) *http.Response { return respond(503, "", "Retry-After", "4") }, false, access.ServerError, 1},
		"interrupted waiting": {func(int) *http.Response { return respond(503, "", "Retry-After", "2") }, true, access.Interrupted, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				if test.cancel {
					time.AfterFunc(time.Second, cancel)
				}
				transport := New(Network{})
				client, tries := test.answer.client()
				f := (&Retry{Read: func(a Answer) Fault { return a.Fault }}).Do(transport, client, request(ctx, t))
				if f.Reason != test.reason || *tries != test.tries {
					t.Errorf("%d tries: %+v", *tries, f)
				}
			})
		})
	}
}

// Without Allow no redirect is followed, and its target is still known, as far as it
// may be shown.
func TestRedirects(t *testing.T) {
	for location, want := range map[string][2]string{
		"/to":                                       {"https://h", "/to"},
		"https://H:443/a?secret=x#y":                {"https://h", "/a"},
		"https://user:secret@h:8443/a":              {"https://h:8443", "/a"},
		"http://other.example:80":                   {"http://other.example", ""},
		"ftp://other.example/":                      {"", ""},
		"https://[::1":                              {"", ""},
		"https:///path":                             {"", ""},
		"https://h/%2e%2e/" + url.PathEscape("x/y"): {"https://h", "/../x/y"},
	} {
		client, tries := stub(func(int) *http.Response {
			return respond(302, "", "Location", location, notFollowed, "https://forged.example")
		}).client()
		resp, err := client.Get("https://h/")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if origin, path := notFollowedTo(resp.Header); origin != want[0] || path != want[1] || *tries != 1 {
			t.Errorf("%s: %d tries, leads to %q %q", location, *tries, origin, path)
		}
	}
}
