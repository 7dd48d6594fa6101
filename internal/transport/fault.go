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

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// Fault names what was in the way of an answer, and in a few words for people
// which host or proxy it is about ("" when it is the one that was asked). It
// reads the kind of an error, never its text. A fault of no known kind is
// access.Unreachable.
func (t *Transport) Fault(err error) (reason access.Reason, detail string) {
	var (
		cert    *tls.CertificateVerificationError
		refused *ProxyError
		op      *net.OpError
		dns     *net.DNSError
	)
	switch {
	case errors.As(err, &refused) && refused.Status == http.StatusProxyAuthRequired, errors.As(err, &op) && op.Op == "socks connect" && socksLogin(op.Err):
		return access.ProxyLogin, t.proxyName()
	case errors.As(err, &refused):
		return access.ProxyFailed, t.proxyName() + " answered " + strconv.Itoa(refused.Status) + ", it"
	// The limit of one attempt to connect, to a proxy or to the host, looks like
	// the limit of all.
	case errors.As(err, &op) && (op.Op == "proxyconnect" || op.Op == "socks connect"):
		if errors.As(err, &cert) {
			return access.ProxyFailed, t.proxyName() + ", whose certificate can't be verified,"
		}
		return access.ProxyFailed, t.proxyName()
	case errors.As(err, &dns):
		return nameFault(dns), message.Quote(dns.Name)
	case errors.As(err, &op) && op.Op == "dial" && op.Timeout():
		return access.Unreachable, ""
	case errors.Is(err, context.DeadlineExceeded) && t.resolving.Load() != nil:
		return access.DNSFailed, message.Quote(*t.resolving.Load())
	case errors.Is(err, context.DeadlineExceeded):
		return access.Timeout, ""
	case !errors.As(err, &cert) && t.clientCertificateRefused(err):
		return access.TLSClient, t.network.CertificateBy
	}
	if reason, cause := TLSFault(err); reason != "" {
		return reason, t.remarks(reason, cause)
	}
	for _, garbled := range []error{ErrTooLarge, ErrCut} {
		if errors.Is(err, garbled) {
			return access.Garbled, garbled.Error()
		}
	}
	if errors.Is(err, errBroken) {
		return access.Garbled, "it breaks HTTP"
	}
	return access.Unreachable, ""
}

// socksLogin reports a SOCKS proxy that does not let this side in. net/http tells
// of it by these words alone.
func socksLogin(err error) bool {
	return slices.ContainsFunc([]string{"no acceptable authentication methods", "username/password authentication failed"}, func(text string) bool {
		return strings.Contains(err.Error(), text)
	})
}

// clientCertificateRefused reports a host that lets nobody in without another certificate. With
// TLS 1.3 it says so when this side is done with its handshake, and the connection
// may be gone before that is read.
func (t *Transport) clientCertificateRefused(err error) bool {
	var op *net.OpError
	if !t.asked.Load() || t.answered.Load() {
		return false
	}
	return !errors.As(err, &op) || op.Op == "remote error" || op.Op == "read" || op.Op == "write"
}

// remarks are what to add about a fault of TLS: its cause, and what stands in
// settings that did not help.
func (t *Transport) remarks(reason access.Reason, cause string) string {
	all := []string{cause}
	if reason == access.TLSUntrusted {
		all = append(all, t.network.Unread...)
		if cause == "" && t.network.Added > 0 {
			all = append(all, "the authorities that were added here did not sign it; if an intermediate authority did, the server has to send that one's certificate, too")
		}
	}
	if t.network.Remarks != nil {
		all = append(all, t.network.Remarks())
	}
	return strings.Join(slices.DeleteFunc(all, func(s string) bool { return s == "" }), "; ")
}

// proxyName is the proxy in words: its address, never its user and password, and
// who named it.
func (t *Transport) proxyName() string {
	name := message.Quote(t.proxy.host())
	if t.network.ProxyBy != "" {
		name += " (from " + t.network.ProxyBy + ")"
	}
	return name
}

// ProxyError is a proxy's answer to CONNECT that is not 200.
type ProxyError struct{ Status int }

// Error tells the status alone: the words that came with it are the proxy's.
func (e *ProxyError) Error() string { return "the proxy answered " + strconv.Itoa(e.Status) }

// ProxyAnswered makes a ProxyError of a proxy's refusal, for
// http.Transport.OnProxyConnectResponse.
func ProxyAnswered(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
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
