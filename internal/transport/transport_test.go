package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

const canary = "glpat-CanaryTransport"

// The authorities: the system's, the Secret's, those of a setting that must be
// right, and those of one that need not be.
func TestRoots(t *testing.T) {
	server, err := gitlabtest.Start(gitlabtest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	pem, err := os.ReadFile(server.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	nonsense, missing := filepath.Join(dir, "nonsense"), filepath.Join(dir, "missing")
	if err := os.WriteFile(nonsense, []byte("-----BEGIN CERTIFICATE-----\n"+canary), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		trust   Trust
		trusted bool
		problem string
	}{
		{"nothing", Trust{}, false, ""},
		{"of the Secret", Trust{PEM: pem, Where: "here"}, true, ""},
		{"of the Secret, nonsense", Trust{PEM: []byte("nonsense"), Where: "here"}, false, "the certificate authorities in here can't be used: it contains no certificate"},
		{"required", Trust{Required: Named{server.CAFile(), "SETTING"}}, true, ""},
		{"required, nonsense", Trust{Required: Named{nonsense, "SETTING"}}, false, nonsense + ", which SETTING names, can't be used: block 1 can't be read: it has no END line"},
		{"required, missing", Trust{Required: Named{missing, "SETTING"}}, false, missing + ", which SETTING names, can't be used: it can't be read"},
		{"required, a directory", Trust{Required: Named{dir, "SETTING"}}, false, "it can't be read"},
		{"optional", Trust{Optional: Named{server.CAFile(), "O"}}, true, ""},
		{"optional, nonsense", Trust{Optional: Named{nonsense, "O"}}, false, ""},
		{"optional, missing", Trust{Optional: Named{missing, "O"}}, false, ""},
		// A good one does not make up for a bad one: git fails over it, too.
		{"of the Secret, required missing", Trust{PEM: pem, Where: "here", Required: Named{missing, "SETTING"}}, false, "it can't be read"},
		{"of the Secret, optional missing", Trust{PEM: pem, Where: "here", Optional: Named{missing, "O"}}, true, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			roots, problem := Roots(test.trust)
			if test.problem != "" {
				if problem == nil || roots.Pool != nil || !strings.Contains(message.As(problem).What, test.problem) || strings.Contains(message.As(problem).What, "Canary") {
					t.Errorf("%v, want %q", problem, test.problem)
				}
				return
			}
			if problem != nil {
				t.Fatal(problem)
			}
			transport := New(Network{Roots: roots.Pool})
			t.Cleanup(transport.CloseIdleConnections)
			client := http.Client{Transport: transport}
			resp, err := client.Get(server.URL())
			if test.trusted != (err == nil) {
				t.Errorf("trusted %v, but %v", test.trusted, err)
			}
			if err == nil {
				resp.Body.Close()
			} else if f := transport.Fault(err); f.Reason != access.TLSUntrusted || f.Detail != "" {
				t.Errorf("%s, %q", f.Reason, f.Detail)
			}
		})
	}
}

// Faults differ by kind; nothing of the error's text is shown.
func TestFault(t *testing.T) {
	through, err := url.Parse("http://user:" + canary + "@proxy.example:3128")
	if err != nil {
		t.Fatal(err)
	}
	transport := New(Network{Proxy: http.ProxyURL(through)})
	if _, err := transport.Proxy(&http.Request{URL: through}); err != nil {
		t.Fatal(err)
	}
	_, late := (&net.Dialer{Timeout: time.Nanosecond}).DialContext(t.Context(), "tcp", "127.0.0.1:1")
	tests := []struct {
		err    error
		reason access.Reason
		detail string
		again  bool
	}{
		{&ProxyError{Status: 407}, access.ProxyLogin, "proxy.example:3128", false},
		{&ProxyError{Status: 403}, access.ProxyFailed, "proxy.example:3128 (which answered 403)", false},
		{&net.OpError{Op: "proxyconnect", Err: errors.New("refused")}, access.ProxyFailed, "proxy.example:3128", true},
		{&net.OpError{Op: "proxyconnect", Err: late}, access.ProxyFailed, "proxy.example:3128", true},
		{&net.OpError{Op: "remote error", Err: errors.New(canary)}, access.TLSFailed, "", false},
		{&net.DNSError{Name: "h", Err: "server " + canary, IsNotFound: true}, access.NameUnknown, "h", false},
		{&net.DNSError{Name: "h\x1b[2J\n", IsNotFound: true}, access.NameUnknown, `"h\x1b[2J\n"`, false},
		{&net.DNSError{Name: "h", IsTimeout: true}, access.DNSFailed, "h", true},
		{&net.DNSError{Name: "h"}, access.DNSFailed, "h", true},
		{late, access.Unreachable, "", true},
		{&ProxyError{Status: 502}, access.ProxyFailed, "proxy.example:3128 (which answered 502)", true},
		{ErrTooLarge, access.Garbled, "a reply of more than 1 MiB", false},
		{fmt.Errorf("%w: %w", ErrCut, errors.New(canary)), access.Garbled, "a truncated reply", true},
		{context.DeadlineExceeded, access.Timeout, "", false},
		{errors.New(canary), access.Unreachable, "", true},
	}
	for _, test := range tests {
		if f := transport.Fault(fmt.Errorf("wrapped: %w", test.err)); f.Reason != test.reason || f.Detail != test.detail || f.Again != test.again {
			t.Errorf("%v: %+v, want %s, %q, %v", test.err, f, test.reason, test.detail, test.again)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	for after, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "-7": 0, "1.5": 0, "soon": 0, "7s": 0,
		"Mon, 15 Jun 2026 12:01:00 GMT": time.Minute,
		"Mon, 15 Jun 2026 11:59:00 GMT": 0,
		"Fri, 31 Dec 9999 23:59:59 GMT": maxWait,
		"99999999999":                   maxWait,
		"86401":                         maxWait,
	} {
		if got := retryAfter(http.Header{"Retry-After": {after}}, now); got != want {
			t.Errorf("%q: %v, want %v", after, got, want)
		}
	}
}
