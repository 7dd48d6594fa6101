package gitlabtest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestFaults(t *testing.T) {
	s := gitlab(t, Options{})
	c := client(t, s.CAFile())
	user, self := s.URL()+"/api/v4/user", s.URL()+"/api/v4/personal_access_tokens/self"
	ask := func(url string) (answer, error) { return send(t, c, http.MethodGet, url, "Bearer "+canary, "") }
	strike := func(f Fault, url string) (answer, error) {
		t.Helper()
		s.ClearFaults()
		s.AddFault(f)
		return ask(url)
	}

	s.AddFault(Fault{Match: "user", Times: 2, Status: 503, Body: "down", Header: http.Header{"Retry-After": {"1"}}})
	for i, want := range []int{503, 503, 200} {
		if a, err := ask(self); err != nil || a.status != 200 {
			t.Errorf("another endpoint: %d %v", a.status, err)
		}
		a, err := ask(user)
		if err != nil || a.status != want || want == 503 && (a.body != "down" || a.header.Get("Retry-After") != "1") {
			t.Errorf("request %d: %d %v", i, a.status, err)
		}
	}
	for _, match := range []string{"api", "all", "/api/v4/us"} {
		if a, err := strike(Fault{Match: match, Status: 500, Body: `{"x":1}`}, user); err != nil || a.status != 500 || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %v", match, a.status, err)
		}
	}
	for _, match := range []string{"git", "self", "/api/v4/x"} {
		if a, err := strike(Fault{Match: match, Status: 500}, user); err != nil || a.status != 200 {
			t.Errorf("%s: %d %v", match, a.status, err)
		}
	}
	if a, err := strike(Fault{Match: "user", HTML: true}, user); err != nil || a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") || !strings.Contains(a.body, "Sign in") {
		t.Errorf("html: %+v %v", a, err)
	}
	if a, err := strike(Fault{Match: "user", RedirectTo: "https://evil.invalid/x", Status: 307}, user); err != nil || a.status != 307 || a.header.Get("Location") != "https://evil.invalid/x" {
		t.Errorf("redirect: %+v %v", a, err)
	}
	if a, err := strike(Fault{Match: "user", RedirectTo: "https://evil.invalid*"}, user+"?a=b"); err != nil || a.status != 302 || a.header.Get("Location") != "https://evil.invalid/api/v4/user?a=b" {
		t.Errorf("redirect: %+v %v", a, err)
	}
	if _, err := strike(Fault{Match: "user", Close: true}, user); err == nil {
		t.Error("close: answered")
	}
	right, _ := strike(Fault{Match: "user", Header: http.Header{"X-Extra": {"1"}}}, user)
	if right.status != 200 || right.header.Get("X-Extra") != "1" {
		t.Errorf("header: %+v", right)
	}
	half, err := strike(Fault{Match: "user", Cut: true}, user)
	if err == nil || half.status != 200 || half.body == "" || !strings.HasPrefix(right.body, half.body) {
		t.Errorf("cut: %q %v", half.body, err)
	}
	big, err := strike(Fault{Match: "user", Size: 3 << 20}, user)
	if err != nil || len(big.body) != 3<<20 || !json.Valid([]byte(big.body)) || !strings.Contains(big.body[:300], `"username":"alice"`) {
		t.Errorf("size: %d bytes, %v", len(big.body), err)
	}
	start := time.Now()
	if a, err := strike(Fault{Match: "user", Delay: 60 * time.Millisecond}, user); err != nil || a.status != 200 || time.Since(start) < 60*time.Millisecond {
		t.Errorf("delay: %d %v after %v", a.status, err, time.Since(start))
	}
	start = time.Now()
	if a, err := strike(Fault{Match: "user", Drip: time.Millisecond}, user); err != nil || len(a.body) != len(right.body) || time.Since(start) < time.Duration(len(a.body))*time.Millisecond {
		t.Errorf("drip: %d bytes of %d, %v after %v", len(a.body), len(right.body), err, time.Since(start))
	}
	s.ClearFaults()
	if a, err := ask(user); err != nil || a.status != 200 {
		t.Errorf("cleared: %d %v", a.status, err)
	}
}

func TestFaultThatCannotMatch(t *testing.T) {
	s := gitlab(t, Options{})
	defer func() {
		if recover() == nil {
			t.Error("took a fault for no endpoint")
		}
	}()
	s.AddFault(Fault{Match: "users", Status: 500})
}

// Endless replies end when the client leaves and when the server closes.
func TestHangAndEndless(t *testing.T) {
	for _, o := range []Options{{}, {HTTP1Only: true}} {
		s := gitlab(t, o)
		c := client(t, s.CAFile())
		user := s.URL() + "/api/v4/user"
		idle := func() bool { return s.active.Load() == 0 }
		for _, f := range []Fault{{Match: "user", Hang: true}, {Match: "user", Delay: time.Hour}} {
			s.ClearFaults()
			s.AddFault(f)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			r, _ := http.NewRequestWithContext(ctx, http.MethodGet, user, nil)
			if _, err := c.Do(r); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%+v: %v", f, err)
			}
			cancel()
			eventually(t, "the handler ends with its client", idle)
		}
		s.ClearFaults()
		s.AddFault(Fault{Match: "user", Endless: true})
		res, err := c.Get(user)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.CopyN(io.Discard, res.Body, 8<<20); err != nil {
			t.Errorf("ended after %d: %v", n, err)
		}
		if ct := res.Header.Get("Content-Type"); ct != "application/json" {
			t.Errorf("type %q", ct)
		}
		s.Close()
		if _, err := io.Copy(io.Discard, res.Body); err == nil {
			t.Error("endless ended well")
		}
		res.Body.Close()
		if !idle() {
			t.Error("a handler outlived Close")
		}
	}
}

func TestGitFaults(t *testing.T) {
	s := gitlab(t, Options{})
	dir := t.TempDir()
	remote := s.URL() + "/" + project + ".git"
	s.AddFault(Fault{Match: "git", Status: 502, Times: 1})
	failGit(t, s, "oauth2:"+canary, dir, "error: 502", "ls-remote", remote)
	mustGit(t, s, dir, "ls-remote", remote)
	s.AddFault(Fault{Match: "git", Close: true})
	failGit(t, s, "oauth2:"+canary, dir, "unable to access", "ls-remote", remote)
}
