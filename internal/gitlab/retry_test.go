package gitlab

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

// Which faults of the connection are met again.
func TestRetryFault(t *testing.T) {
	refusal := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	proxy := &net.OpError{Op: "proxyconnect", Net: "tcp", Err: syscall.ECONNREFUSED}
	tests := []struct {
		name   string
		err    error
		tries  int
		reason access.Reason
	}{
		{"refused", refusal, 5, access.Unreachable},
		{"reset", &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}, 5, access.Unreachable},
		{"ended", io.ErrUnexpectedEOF, 5, access.Unreachable},
		{"something new " + canary, errors.New("something new " + canary), 5, access.Unreachable},
		{"proxy refused", proxy, 5, access.ProxyFailed},
		{"proxy answers 502", &transport.ProxyError{Status: 502}, 5, access.ProxyFailed},
		{"proxy answers 302", &transport.ProxyError{Status: 302}, 5, access.ProxyFailed},
		{"proxy answers 403", &transport.ProxyError{Status: 403}, 1, access.ProxyFailed},
		{"proxy answers 407", &transport.ProxyError{Status: 407}, 1, access.ProxyLogin},
		{"SOCKS proxy wants a login", &net.OpError{Op: "socks connect", Err: errors.New("no acceptable authentication methods")}, 1, access.ProxyLogin},
		{"no such host", &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Name: "gitlab.example.com", IsNotFound: true}}, 1, access.NameUnknown},
		{"untrusted", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, 1, access.TLSUntrusted},
		{"wrong name", &tls.CertificateVerificationError{Err: x509.HostnameError{Host: "h", Certificate: &x509.Certificate{DNSNames: []string{"x"}}}}, 1, access.TLSWrongName},
		{"expired", &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}}, 1, access.TLSExpired},
		{"not good for this", &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.IncompatibleUsage}}, 1, access.TLSUnusable},
		{"alert", &net.OpError{Op: "remote error", Err: tls.AlertError(40)}, 1, access.TLSCiphers},
		{"not TLS", tls.RecordHeaderError{Msg: canary}, 1, access.TLSFailed},
		{"http on an https port", http.ErrSchemeMismatch, 1, access.TLSPlain},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				c := stubbed(t, func(*http.Request) (*http.Response, error) {
					tries++
					return nil, fmt.Errorf("wrapped: %w", test.err)
				})
				wantReason(t, ask(t.Context(), t, c, alone), access.Unverified, test.reason)
				if tries != test.tries {
					t.Errorf("%d tries, want %d", tries, test.tries)
				}
			})
		})
	}
	// One fault is retried, with any second reply.
	for name, cut := range map[string]stub{
		"refused":   func(*http.Request) (*http.Response, error) { return nil, refusal },
		"cut short": func(r *http.Request) (*http.Response, error) { return cutShort(r), nil },
		"busy":      func(r *http.Request) (*http.Response, error) { return reply(r, 503, "busy"), nil },
	} {
		t.Run(name+" once", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				seen := map[string]int{}
				c := stubbed(t, func(r *http.Request) (*http.Response, error) {
					mu.Lock()
					defer mu.Unlock()
					if seen[r.URL.Path]++; seen[r.URL.Path] == 1 {
						return cut(r)
					}
					return right(r), nil
				})
				wantReason(t, ask(t.Context(), t, c, guide), access.Granted, "")
				if fmt.Sprint(seen) != "map[/api/v4/personal_access_tokens/self:2 /api/v4/projects/group/sub/project:2]" {
					t.Errorf("%v", seen)
				}
			})
		})
	}
	t.Run("cut short each time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			tries := 0
			c := stubbed(t, func(r *http.Request) (*http.Response, error) {
				tries++
				return cutShort(r), nil
			})
			v := ask(t.Context(), t, c, alone)
			wantReason(t, v, access.Unverified, access.Garbled)
			if tries != 5 || v.Detail != "a truncated reply" {
				t.Errorf("%d tries, %+v", tries, v)
			}
		})
	})
}

// One attempt to connect that takes too long is tried again.
func TestDialTimeout(t *testing.T) {
	_, err := (&net.Dialer{Timeout: time.Nanosecond}).DialContext(context.Background(), "tcp", "127.0.0.1:1")
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		c := stubbed(t, func(r *http.Request) (*http.Response, error) {
			if tries++; tries == 1 {
				return nil, err
			}
			return right(r), nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		v := ask(ctx, t, c, alone)
		if v.Outcome != access.Granted {
			t.Errorf("%d tries: %+v", tries, v)
		}
	})
}

// Waits beyond all measure are neither begun nor taken for none.
func TestFarWait(t *testing.T) {
	for _, header := range [][]string{
		{"Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"},
		{"RateLimit-Reset", "1767225600000"},
		{"Retry-After", "99999999999"},
	} {
		t.Run(header[1], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				var told []time.Duration
				c := stubbed(t, func(r *http.Request) (*http.Response, error) {
					tries++
					return reply(r, 429, "", header...), nil
				}, func(c *Config) { c.OnWait = func(w time.Duration, _ access.Reason) { told = append(told, w) } })
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				begun := time.Now()
				v := ask(ctx, t, c, alone)
				if tries != 1 {
					t.Errorf("%v: %d tries in %v, told %v, %+v", header, tries, time.Since(begun), told, v)
				}
			})
		})
	}
}

// The rate limit's reset, which every answer has, is no wait of an outage.
func TestResetDuringOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		c := stubbed(t, func(r *http.Request) (*http.Response, error) {
			if tries++; tries == 1 {
				return reply(r, 503, "", "RateLimit-Limit", "2000", "RateLimit-Remaining", "1999", "RateLimit-Reset", strconv.FormatInt(time.Now().Unix()+60, 10)), nil
			}
			return right(r), nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		v := ask(ctx, t, c, alone)
		if v.Outcome != access.Granted {
			t.Errorf("%d tries: %+v", tries, v)
		}
	})
}

// A redirect to no address is something in front of GitLab, at once.
func TestLocationBroken(t *testing.T) {
	for _, location := range []string{"https://[::1", "%zz", "https://gitlab.example.com:port/"} {
		t.Run(location, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				c := stubbed(t, func(r *http.Request) (*http.Response, error) {
					tries++
					return reply(r, 302, "", "Location", location), nil
				})
				v := ask(t.Context(), t, c, alone)
				if v.Reason != access.InFront || tries != 1 {
					t.Errorf("%s: %d tries: %+v", location, tries, v)
				}
			})
		})
	}
}

// A redirect that climbs out of the API by encoded dots is not followed.
func TestLocationClimbs(t *testing.T) {
	server := stand(t, gitlabtest.Options{Path: "/gitlab"})
	server.AddFault(gitlabtest.Fault{Match: "api", RedirectTo: server.URL() + "/api/v4/%2e%2e/%2e%2e/users/sign_in"})
	v := ask(t.Context(), t, connect(t, server.URL(), server.CAFile()), guide)
	for _, r := range server.Requests() {
		if strings.Contains(r.Path, "%2e") {
			t.Errorf("followed: %+v (%+v)", r.Path, v)
		}
	}
}

// A status that says all is not hidden by trouble with its body.
func TestStatusBeforeBody(t *testing.T) {
	big := strings.Repeat("x", transport.MaxBody+1)
	for status, want := range map[int]access.Reason{500: access.ServerError, 302: access.InFront, 429: access.RateLimited} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				c := stubbed(t, func(r *http.Request) (*http.Response, error) {
					tries++
					return reply(r, status, big, "Retry-After", "60"), nil
				})
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				v := ask(ctx, t, c, alone)
				if v.Reason != want {
					t.Errorf("%d: %d tries, %+v, want %s", status, tries, v, want)
				}
			})
		})
		t.Run(strconv.Itoa(status)+", cut", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				c := stubbed(t, func(r *http.Request) (*http.Response, error) {
					tries++
					resp := reply(r, status, "", "Retry-After", "60")
					resp.Body = io.NopCloser(failing{})
					return resp, nil
				})
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				v := ask(ctx, t, c, alone)
				if v.Reason != want {
					t.Errorf("%d cut: %d tries, %+v, want %s", status, tries, v, want)
				}
			})
		})
	}
}

// An answer that is not GitLab's own is retried like a 503, and told when the
// retries are used up.
func TestInFrontRetried(t *testing.T) {
	page := http.Header{"Content-Type": {"text/html"}}
	data := http.Header{"Content-Type": {"application/json"}}
	for name, front := range map[string]struct {
		fault gitlabtest.Fault
		want  access.Reason
	}{
		"JSON 401":     {gitlabtest.Fault{Status: 401, Header: data, Body: `{"message":"Unauthorized"}`}, access.InFront},
		"JSON 403":     {gitlabtest.Fault{Status: 403, Header: data, Body: `{"message":"Forbidden"}`}, access.InFront},
		"JSON 404":     {gitlabtest.Fault{Status: 404, Header: data, Body: `{"message":"404 page not found"}`}, access.InFront},
		"HTML":         {gitlabtest.Fault{HTML: true}, access.InFront},
		"HTML 403":     {gitlabtest.Fault{HTML: true, Status: 403}, access.InFront},
		"HTML 404":     {gitlabtest.Fault{HTML: true, Status: 404}, access.NotGitLab},
		"text 404":     {gitlabtest.Fault{Status: 404, Header: http.Header{"Content-Type": {"text/plain"}}, Body: "default backend - 404"}, access.NotGitLab},
		"page as JSON": {gitlabtest.Fault{Status: 401, Header: page, Body: `{"message":"401 Unauthorized"}`}, access.InFront},
	} {
		t.Run(name, func(t *testing.T) {
			server := stand(t, gitlabtest.Options{})
			front.fault.Match, front.fault.Times = "self", 1
			server.AddFault(front.fault)
			v := ask(t.Context(), t, connect(t, server.URL(), server.CAFile()), alone)
			if v.Outcome != access.Granted || server.Count("all") != 2 {
				t.Errorf("%d requests: %+v", server.Count("all"), v)
			}
		})
		t.Run(name+" for ever", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				c := stubbed(t, func(r *http.Request) (*http.Response, error) {
					tries++
					contentType := cmp.Or(front.fault.Header.Get("Content-Type"), "text/html")
					return reply(r, cmp.Or(front.fault.Status, 200), front.fault.Body, "Content-Type", contentType), nil
				})
				began := time.Now()
				v := ask(t.Context(), t, c, alone)
				if took := time.Since(began); v.Reason != front.want || tries != 5 || took > 5*time.Second {
					t.Errorf("%d tries in %v: %+v", tries, took, v)
				}
			})
		})
	}
}
