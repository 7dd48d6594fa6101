package gitlab

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// silence turns a fault of the connection into a reply. It reads the kind of an
// error, never its text.
func (c *Client) silence(err error) access.Reply {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		cert      *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		refused   *proxyError
		op        *net.OpError
		dns       *net.DNSError
	)
	switch {
	case errors.As(err, &refused):
		return silent(access.ProxyFailed, message.Quote(c.proxy.host())+" answered "+strconv.Itoa(refused.status)+", it")
	// The limit of one attempt to connect, to a proxy or to GitLab, looks like
	// the limit of all.
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return silent(access.ProxyFailed, message.Quote(c.proxy.host()))
	case errors.As(err, &op) && op.Op == "dial" && op.Timeout():
		return silent(access.Unreachable, c.config.Instance.String())
	case errors.Is(err, context.DeadlineExceeded):
		return silent(access.Timeout, "")
	case errors.As(err, &authority):
		return silent(access.TLSUntrusted, "")
	case errors.As(err, &name):
		return silent(access.TLSWrongName, "")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return silent(access.TLSExpired, "")
	case errors.As(err, &cert), errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch),
		// crypto/tls tells of alerts, either side's, by these names alone.
		errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"):
		return silent(access.TLSFailed, "")
	case errors.As(err, &dns):
		return silent(access.NameUnknown, message.Quote(dns.Name))
	case errors.Is(err, errTooLarge):
		return silent(access.Garbled, errTooLarge.Error())
	case errors.Is(err, errCut):
		return silent(access.Garbled, errCut.Error())
	}
	return silent(access.Unreachable, c.config.Instance.String())
}

// proxyError is a proxy's answer to CONNECT that is not 200.
type proxyError struct{ status int }

func (e *proxyError) Error() string { return "the proxy answered " + strconv.Itoa(e.status) }

func proxyAnswered(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return &proxyError{status: resp.StatusCode}
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

func (p *proxySeen) host() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.name
}
