package check

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// connEvents are the connection's events: the last of each, since failures may be temporary.
type connEvents struct {
	addresses []string
	connected string
	tls       *tls.ConnectionState
	untrusted *x509.Certificate
	sent      time.Time
	answered  time.Duration
}

// connTrace records the connection's events of a check's requests.
type connTrace struct {
	mu     sync.Mutex
	events connEvents
}

// seen are the events so far.
func (t *connTrace) seen() connEvents {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.events
}

// watch records the requests of a context.
func (t *connTrace) watch(ctx context.Context) context.Context {
	note := func(f func(e *connEvents)) {
		t.mu.Lock()
		defer t.mu.Unlock()
		f(&t.events)
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSDone: func(info httptrace.DNSDoneInfo) {
			note(func(e *connEvents) {
				e.addresses = nil
				for _, address := range info.Addrs {
					e.addresses = append(e.addresses, address.String())
				}
			})
		},
		ConnectDone: func(_, address string, err error) {
			if err == nil {
				note(func(e *connEvents) { e.connected = address })
			}
		},
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			note(func(e *connEvents) {
				var bad *tls.CertificateVerificationError
				e.tls, e.untrusted = nil, nil
				if err == nil {
					e.tls = &state
				} else if errors.As(err, &bad) && len(bad.UnverifiedCertificates) > 0 {
					e.untrusted = bad.UnverifiedCertificates[len(bad.UnverifiedCertificates)-1]
				}
			})
		},
		WroteRequest: func(httptrace.WroteRequestInfo) { note(func(e *connEvents) { e.sent = time.Now() }) },
		GotFirstResponseByte: func() {
			note(func(e *connEvents) {
				// With HTTP/2, an answer can be seen before the end of its request is.
				if e.answered == 0 && !e.sent.IsZero() {
					e.answered = time.Since(e.sent)
				}
			})
		},
	})
}

// fault is the step that failed with reason.
func (e connEvents) fault(reason access.Reason, proxy string, i instance.Instance) string {
	switch {
	case reason == access.NameUnknown || reason == access.DNSFailed:
		return stepDNS
	case reason == access.ProxyFailed || reason == access.ProxyLogin && proxy != "":
		return stepProxy
	case strings.HasPrefix(string(reason), "tls-"):
		return stepTLS
	case reason != access.Unreachable && reason != access.Timeout && reason != access.Interrupted:
		return stepAPI
	// Otherwise, it is the first step that was not reached.
	case e.connected == "" && len(e.addresses) == 0 && proxy == "" && net.ParseIP(hostOf(i)) == nil:
		return stepDNS
	case e.connected == "":
		return stepTCP
	case e.tls == nil && encrypted(i):
		return stepTLS
	}
	return stepAPI
}

// hostOf is an instance's host, without port.
func hostOf(i instance.Instance) string {
	_, host, _ := strings.Cut(i.Origin(), "://")
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.Trim(host, "[]")
}

func encrypted(i instance.Instance) bool { return strings.HasPrefix(i.Origin(), "https://") }

// signer is the signer of an untrusted certificate, "" for other failures.
func (e connEvents) signer() string {
	if e.untrusted == nil {
		return ""
	}
	return nameOf(e.untrusted)
}

func nameOf(cert *x509.Certificate) string {
	return cmp.Or(cert.Issuer.CommonName, cert.Issuer.String())
}

// The steps of a successful connection.

func reportProxy(a *answers) {
	if a.way.ProxyHost == "" {
		a.good(stepProxy, ProxyData{}, "none is used")
		return
	}
	a.good(stepProxy, ProxyData{Proxy: a.way.ProxyHost}, "%s is used", message.Quote(a.way.ProxyHost))
}

func reportDNS(a *answers) {
	host, addresses := hostOf(a.question.Found.Instance), a.seen.addresses
	switch {
	case a.way.ProxyHost != "":
		a.skip("the proxy resolves the host name", stepDNS)
	case len(addresses) == 0 && net.ParseIP(host) == nil:
		a.skip("git's http.curloptResolve sets the address", stepDNS)
	case len(addresses) == 0:
		a.skip("the host is an IP address", stepDNS)
	default:
		a.good(stepDNS, DNSData{Addresses: addresses}, "%s is %s", host, list(addresses))
	}
}

func reportTCP(a *answers) {
	to := "connected to "
	if a.way.ProxyHost != "" {
		to += "the proxy at "
	}
	a.good(stepTCP, TCPData{Address: a.seen.connected}, "%s%s", to, a.seen.connected)
}

func reportTLS(a *answers) {
	if len(a.way.Unread) > 0 {
		a.warn(stepTLS, nil, warnCAUnread(a.way.Unread))
	}
	if a.seen.tls == nil {
		a.skip("it is plain http, on this machine", stepTLS)
		return
	}
	cert := a.seen.tls.PeerCertificates[0]
	data := TLSData{Version: tls.VersionName(a.seen.tls.Version), Issuer: nameOf(cert), NotAfter: cert.NotAfter.UTC().Format(time.RFC3339)}
	a.good(stepTLS, data, "%s, signed by %s, valid until %s", data.Version, message.Quote(data.Issuer), cert.NotAfter.UTC().Format(time.DateOnly))
}

func reportAPI(a *answers) {
	url, took := a.question.Found.Instance.API(), max(a.seen.answered.Milliseconds(), 1)
	a.good(stepAPI, APIData{URL: url, Milliseconds: took}, "%s answers, in %d ms", url, took)
}

func reportClock(a *answers) {
	ahead := a.way.ClockAhead
	data := ClockData{AheadSeconds: int(ahead.Seconds())}
	switch {
	case !a.way.ClockKnown:
		a.skip("GitLab's replies have no date", stepClock)
	case ahead.Abs() > maxSkew:
		a.warn(stepClock, data, warnClockSkew(ahead, a.question.Found.Instance.String()))
	default:
		a.good(stepClock, data, "the clock here matches GitLab's")
	}
}

// shown is how many of a list are shown.
const shown = 20

// list joins at most shown items.
func list(items []string) string {
	if len(items) <= shown {
		return strings.Join(items, ", ")
	}
	return strings.Join(items[:shown], ", ") + " and others"
}
