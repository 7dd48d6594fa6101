package gitlab

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

// A scope without a name is none, and grants nothing.
func TestEmptyScopes(t *testing.T) {
	for _, scopes := range []string{`[null]`, `[""]`} {
		body := strings.Replace(wellKnown, `["api","write_repository"]`, scopes, 1)
		v := ask(t.Context(), t, answering(t, atSelf, 200, body), guide)
		if v.Outcome == access.Granted {
			t.Errorf("scopes %s: granted", scopes)
		}
	}
}

// A token that may not even ask about itself is refused in words.
func TestSelfForbidden(t *testing.T) {
	v := ask(t.Context(), t, answering(t, atSelf, 403, `{"error":"insufficient_scope","error_description":"x","scope":"api"}`), guide)
	if m := message.Explain(v, message.Subject{Instance: "h"}); message.As(m).Topic != message.Permissions {
		t.Errorf("%+v: %v", v, m)
	}
}

// Not being told a role is not the same as having none.
func TestMemberForbidden(t *testing.T) {
	v := ask(t.Context(), t, answering(t, atMember, 403, `{"error":"insufficient_granular_scope","error_description":"x"}`), guide)
	if v.Reason == access.LevelTooLow {
		t.Errorf("%+v: %v", v, message.Explain(v, message.Subject{Instance: "h", Project: "g/p"}))
	}
}

// One attempt to connect that takes too long is tried again.
func TestDialTimeout(t *testing.T) {
	_, err := (&net.Dialer{Timeout: time.Nanosecond}).DialContext(context.Background(), "tcp", "127.0.0.1:1")
	c := connect(t, "https://h", "")
	got := c.silence(err)
	if got.Reason != access.Unreachable || !transport.Transient(got.Reason, err) {
		t.Errorf("%v (%T): %+v", err, errors.Unwrap(err), got)
	}
	if got := c.silence(&net.OpError{Op: "proxyconnect", Err: err}); got.Reason != access.ProxyFailed {
		t.Errorf("to a proxy: %+v", got)
	}
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
				if took := time.Since(began); v.Reason != front.want || tries != 1+maxRetries || took > 5*time.Second {
					t.Errorf("%d tries in %v: %+v", tries, took, v)
				}
			})
		})
	}
}
