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

// connTrace records the connection's events of a check's requests: the last of each, since
// failures may be temporary.
type connTrace struct {
	mu        sync.Mutex
	addresses []string
	connected string
	tls       *tls.ConnectionState
	untrusted *x509.Certificate
	sent      time.Time
	answered  time.Duration
}

// watch records the requests of a context.
func (j *connTrace) watch(ctx context.Context) context.Context {
	note := func(f func()) {
		j.mu.Lock()
		defer j.mu.Unlock()
		f()
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSDone: func(info httptrace.DNSDoneInfo) {
			note(func() {
				j.addresses = nil
				for _, address := range info.Addrs {
					j.addresses = append(j.addresses, address.String())
				}
			})
		},
		ConnectDone: func(_, address string, err error) {
			if err == nil {
				note(func() { j.connected = address })
			}
		},
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			note(func() {
				var bad *tls.CertificateVerificationError
				j.tls, j.untrusted = nil, nil
				if err == nil {
					j.tls = &state
				} else if errors.As(err, &bad) && len(bad.UnverifiedCertificates) > 0 {
					j.untrusted = bad.UnverifiedCertificates[len(bad.UnverifiedCertificates)-1]
				}
			})
		},
		WroteRequest: func(httptrace.WroteRequestInfo) { note(func() { j.sent = time.Now() }) },
		GotFirstResponseByte: func() {
			note(func() {
				// With HTTP/2, an answer can be seen before the end of its request is.
				if j.answered == 0 && !j.sent.IsZero() {
					j.answered = time.Since(j.sent)
				}
			})
		},
	})
}

// fault is the step that failed with reason.
func (j *connTrace) fault(reason access.Reason, proxy string, i instance.Instance) string {
	j.mu.Lock()
	defer j.mu.Unlock()
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
	case j.connected == "" && len(j.addresses) == 0 && proxy == "" && net.ParseIP(hostOf(i)) == nil:
		return stepDNS
	case j.connected == "":
		return stepTCP
	case j.tls == nil && encrypted(i):
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
func (j *connTrace) signer() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.untrusted == nil {
		return ""
	}
	return nameOf(j.untrusted)
}

func nameOf(cert *x509.Certificate) string {
	return cmp.Or(cert.Issuer.CommonName, cert.Issuer.String())
}

// tell reports a successful step of the connection.
func (j *connTrace) tell(s *steps, step, proxy string, i instance.Instance) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch step {
	case stepProxy:
		if proxy == "" {
			s.good(step, ProxyData{}, "none is used")
			return
		}
		s.good(step, ProxyData{Proxy: proxy}, "%s is used", message.Quote(proxy))
	case stepDNS:
		switch {
		case proxy != "":
			s.skip("the proxy resolves the host name", step)
		case len(j.addresses) == 0 && net.ParseIP(hostOf(i)) == nil:
			s.skip("git's http.curloptResolve sets the address", step)
		case len(j.addresses) == 0:
			s.skip("the host is an IP address", step)
		default:
			s.good(step, DNSData{Addresses: j.addresses}, "%s is %s", hostOf(i), list(j.addresses))
		}
	case stepTCP:
		to := "connected to "
		if proxy != "" {
			to += "the proxy at "
		}
		s.good(step, TCPData{Address: j.connected}, "%s%s", to, j.connected)
	case stepTLS:
		if j.tls == nil {
			s.skip("it is plain http, on this machine", step)
			return
		}
		cert := j.tls.PeerCertificates[0]
		data := TLSData{Version: tls.VersionName(j.tls.Version), Issuer: nameOf(cert), NotAfter: cert.NotAfter.UTC().Format(time.RFC3339)}
		s.good(step, data, "%s, signed by %s, valid until %s", data.Version, message.Quote(data.Issuer), cert.NotAfter.UTC().Format(time.DateOnly))
	case stepAPI:
		took := max(j.answered.Milliseconds(), 1)
		s.good(step, APIData{URL: i.API(), Milliseconds: took}, "%s answers, in %d ms", i.API(), took)
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
