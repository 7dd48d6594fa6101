package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// Fault is what kept a service from answering a request itself. The zero value is
// none.
type Fault struct {
	Reason access.Reason
	// Detail is an addition to the reason for messages, without text from a server; "" for
	// none.
	Detail string
	// Status is that of the answer, or of a proxy's answer to CONNECT; 0 for none.
	Status int
	// Wait is how long the answer asks to wait, 0 if it doesn't say.
	Wait time.Duration
	// To and Path are where a redirect leads that was not followed: see [notFollowedTo].
	To, Path string
	// Again means that it may be gone a moment later.
	Again bool
}

// Redirect reports an answer that redirects and was not followed; a proxy's answer to
// CONNECT is none.
func (f Fault) Redirect() bool {
	return f.Reason == access.InFront && f.Status >= 300 && f.Status < 400
}

// faultOf classifies an error of net/http's client or of a body by its kind, never by
// its text. An error of no known kind is access.Unreachable.
func faultOf(err error) Fault {
	f := connectionFault(err)
	if f.Reason == "" {
		f.Reason, f.Detail = tlsFault(err)
	}
	if f.Reason == "" {
		f.Reason, f.Detail = bodyFault(err)
	}
	f.Again = transient(f, err)
	return f
}

// connectionFault is for a connection that could not be opened, or not in time.
func connectionFault(err error) Fault {
	var (
		cert    *tls.CertificateVerificationError
		refused *ProxyError
		op      *net.OpError
		dns     *net.DNSError
	)
	switch {
	case errors.As(err, &refused) && refused.Status == http.StatusProxyAuthRequired:
		return Fault{Reason: access.ProxyLogin, Status: refused.Status}
	case errors.As(err, &refused):
		return Fault{Reason: access.ProxyFailed, Status: refused.Status, Detail: " (which answered " + strconv.Itoa(refused.Status) + ")"}
	case errors.As(err, &op) && op.Op == "socks connect" && socksLogin(op.Err):
		return Fault{Reason: access.ProxyLogin}
	// The limit of one attempt to connect, to a proxy or to the host, looks like
	// the limit of all.
	case errors.As(err, &op) && (op.Op == "proxyconnect" || op.Op == "socks connect"):
		if errors.As(err, &cert) {
			return Fault{Reason: access.ProxyFailed, Detail: ", whose certificate can't be verified,"}
		}
		return Fault{Reason: access.ProxyFailed}
	case errors.As(err, &dns):
		return Fault{Reason: nameFault(dns), Detail: message.Quote(dns.Name)}
	case errors.As(err, &op) && op.Op == "dial" && op.Timeout():
		return Fault{Reason: access.Unreachable}
	case errors.Is(err, context.DeadlineExceeded):
		return Fault{Reason: access.Timeout}
	}
	return Fault{}
}

// bodyFault is for an answer that can't be used, and for all that is not known.
func bodyFault(err error) (reason access.Reason, detail string) {
	for _, known := range []error{ErrTooLarge, ErrCut} {
		if errors.Is(err, known) {
			return access.Garbled, known.Error()
		}
	}
	if errors.Is(err, errBroken) {
		return access.Garbled, "it breaks HTTP"
	}
	return access.Unreachable, ""
}

// transient reports whether a fault may be gone a moment later. A proxy's certificate,
// its refusal, and an answer that is too large stay the same.
func transient(f Fault, err error) bool {
	var cert *tls.CertificateVerificationError
	switch {
	case errors.Is(err, ErrTooLarge), errors.As(err, &cert), f.Status >= 400 && !notNow(f.Status):
		return false
	}
	return slices.Contains([]access.Reason{access.Unreachable, access.DNSFailed, access.ProxyFailed, access.Garbled}, f.Reason)
}

// Fault is [faultOf] with the transport's details: the proxy's name, the name that was being
// resolved, and settings that are ignored.
func (t *Transport) Fault(err error) Fault {
	f := faultOf(err)
	switch f.Reason {
	case access.ProxyLogin, access.ProxyFailed:
		f.Detail = t.proxyName() + f.Detail
	case access.Timeout:
		if name := t.resolving.Load(); name != nil {
			return Fault{Reason: access.DNSFailed, Detail: message.Quote(*name), Again: true}
		}
	case access.NameUnknown, access.DNSFailed:
	default:
		var cert *tls.CertificateVerificationError
		if !errors.As(err, &cert) && t.clientCertificateRefused(err) {
			return Fault{Reason: access.TLSClient, Detail: t.network.CertificateBy}
		}
		if reason, cause := tlsFault(err); reason != "" {
			f.Detail = t.remarks(reason, cause)
		}
	}
	return f
}

// RequestFault is the fault of a request that failed with err. After the end of its context,
// that is the fault, unless a DNS server did not answer, which explains more than the time
// limit.
func (t *Transport) RequestFault(ctx context.Context, err error) Fault {
	f := t.Fault(err)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return Fault{Reason: access.Interrupted}
	case ctx.Err() == nil || f.Reason == access.DNSFailed:
		return f
	}
	return Fault{Reason: access.Timeout}
}

// AnswerFault classifies an answer of a JSON API by its status and headers; the zero
// value is an answer in JSON that may be the service's own. Dates are compared with
// the server's clock, or with now where the answer has no date.
func AnswerFault(status int, header http.Header, now time.Time) Fault {
	f := StatusFault(status, header, now)
	switch {
	case f.Reason != "" || isJSON(header):
		return f
	case status == http.StatusNotFound:
		f.Reason = access.NotGitLab
	default:
		f.Reason, f.Detail = access.InFront, strconv.Itoa(status)+" and no JSON"
	}
	f.Wait, f.Again = retryAfter(header, serverTime(header, now)), true
	return f
}

// StatusFault classifies an answer, whatever its body, by a status that no service
// uses for what it was asked: 3xx, 407, 429 and 5xx.
func StatusFault(status int, header http.Header, now time.Time) Fault {
	f := Fault{Status: status, Again: notNow(status)}
	now = serverTime(header, now)
	switch {
	case status == http.StatusTooManyRequests:
		f.Reason, f.Wait = access.RateLimited, retryAfter(header, now)
		// GitLab sends this with every answer; only here does it ask for a wait.
		if reset, err := strconv.ParseInt(header.Get("RateLimit-Reset"), 10, 64); err == nil && f.Wait == 0 {
			f.Wait = bounded(time.Unix(reset, 0).Sub(now))
		}
	case status >= 500:
		f.Reason, f.Detail, f.Wait = access.ServerError, Status(status), retryAfter(header, now)
	case status >= 300 && status < 400:
		f.Reason = access.InFront
		f.To, f.Path = notFollowedTo(header)
	case status == http.StatusProxyAuthRequired:
		f.Reason = access.ProxyLogin
	}
	return f
}

// NotOwn is the fault of an answer in JSON that does not have the service's own form.
// It is retried, since it may come from something in front of the service.
func (a Answer) NotOwn(detail string) Fault {
	return Fault{Reason: access.InFront, Detail: detail, Status: a.Status, Wait: a.wait, Again: true}
}

// socksLogin reports a SOCKS proxy that rejects the login. net/http's errors for it have no
// type.
func socksLogin(err error) bool {
	return slices.ContainsFunc([]string{"no acceptable authentication methods", "username/password authentication failed"}, func(text string) bool {
		return strings.Contains(err.Error(), text)
	})
}

// clientCertificateRefused reports whether a host rejected the client certificate. With TLS
// 1.3 it does so after the client's side of the handshake, and the connection may be closed
// before the alert is read.
func (t *Transport) clientCertificateRefused(err error) bool {
	var op *net.OpError
	if !t.certRequested.Load() || t.replied.Load() {
		return false
	}
	return !errors.As(err, &op) || op.Op == "remote error" || op.Op == "read" || op.Op == "write"
}

// remarks are the details of a TLS failure: its cause, and settings that are ignored.
func (t *Transport) remarks(reason access.Reason, cause string) string {
	all := []string{cause}
	if reason == access.TLSUntrusted {
		all = append(all, t.network.Unread...)
		if cause == "" && t.network.Added > 0 {
			all = append(all, "none of the authorities added here signed it; if an intermediate authority did, the server must send that certificate too")
		}
	}
	if t.network.Remarks != nil {
		all = append(all, t.network.Remarks())
	}
	return strings.Join(slices.DeleteFunc(all, func(s string) bool { return s == "" }), "; ")
}

// proxyName is the proxy's address, without user and password, and the setting that names
// it.
func (t *Transport) proxyName() string {
	name := message.Quote(t.proxy.host())
	if t.network.ProxyBy != "" {
		name += " (from " + t.network.ProxyBy + ")"
	}
	return name
}

// ProxyError is a proxy's answer to CONNECT that is not 200.
type ProxyError struct{ Status int }

// Error has the status only, no text of the proxy's.
func (e *ProxyError) Error() string { return "the proxy answered " + strconv.Itoa(e.Status) }

// proxyAnswered makes a ProxyError of a proxy's refusal, for
// http.Transport.OnProxyConnectResponse.
func proxyAnswered(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return &ProxyError{Status: resp.StatusCode}
	}
	return nil
}

// proxySeen remembers which proxy was used, to name it in a message.
type proxySeen struct {
	mu   sync.Mutex
	name string
}

func (p *proxySeen) watch(find func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	if find == nil {
		return nil
	}
	return func(req *http.Request) (*url.URL, error) {
		proxy, err := find(req)
		if proxy != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.name = proxy.Host // never its user and password
		}
		return proxy, err
	}
}

// ProxyHost is the proxy that was used last, as host and port; "" for none.
func (t *Transport) ProxyHost() string { return t.proxy.host() }

func (p *proxySeen) host() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.name
}
