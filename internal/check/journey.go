package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// journey is what the requests of a check met on their way: the last of each,
// since a fault may pass.
type journey struct {
	mu        sync.Mutex
	addresses []string
	connected string
	tls       *tls.ConnectionState
	untrusted *x509.Certificate
	sent      time.Time
	answered  time.Duration
}

// watch has the requests of a context tell the journey.
func (j *journey) watch(ctx context.Context) context.Context {
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
		GotConn: func(info httptrace.GotConnInfo) {
			note(func() { j.connected = info.Conn.RemoteAddr().String() })
		},
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			note(func() {
				var bad *tls.CertificateVerificationError
				if errors.As(err, &bad) && len(bad.UnverifiedCertificates) > 0 {
					j.untrusted = bad.UnverifiedCertificates[len(bad.UnverifiedCertificates)-1]
				} else if err == nil {
					j.tls, j.untrusted = &state, nil
				}
			})
		},
		WroteRequest: func(httptrace.WroteRequestInfo) { note(func() { j.sent = time.Now() }) },
		GotFirstResponseByte: func() {
			note(func() {
				if j.answered == 0 {
					j.answered = time.Since(j.sent)
				}
			})
		},
	})
}

// signer names who signed a certificate that was not trusted, "" when that was
// not the trouble.
func (j *journey) signer() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.untrusted == nil {
		return ""
	}
	return nameOf(j.untrusted)
}

func nameOf(cert *x509.Certificate) string {
	if cert.Issuer.CommonName != "" {
		return cert.Issuer.CommonName
	}
	return cert.Issuer.String()
}

// tell reports a step of the way that went well.
func (j *journey) tell(r *run, step, proxy string, i instance.Instance) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case step == stepProxy && proxy == "":
		r.good(step, nil, "none")
	case step == stepProxy:
		r.good(step, ProxyData{Proxy: proxy}, "%s", message.Quote(proxy))
	case step == stepDNS && len(j.addresses) > 0:
		r.good(step, DNSData{Addresses: j.addresses}, "%s%s", strings.Join(j.addresses[:min(len(j.addresses), shown)], ", "), more(len(j.addresses)))
	case step == stepDNS && proxy != "":
		r.skip("left to the proxy", step)
	case step == stepDNS:
		r.skip("the host is an address", step)
	case step == stepTCP:
		host, port, _ := net.SplitHostPort(j.connected)
		r.good(step, TCPData{Address: j.connected}, "connected to %s, port %s", host, port)
	case step == stepTLS && j.tls == nil:
		r.skip("plain http, on a loopback address", step)
	case step == stepTLS:
		cert := j.tls.PeerCertificates[0]
		data := TLSData{Version: tls.VersionName(j.tls.Version), Issuer: nameOf(cert), NotAfter: cert.NotAfter.UTC().Format(time.RFC3339)}
		r.good(step, data, "%s, signed by %s, valid until %s", data.Version, message.Quote(data.Issuer), cert.NotAfter.UTC().Format(time.DateOnly))
	case step == stepAPI:
		took := max(j.answered.Milliseconds(), 1)
		r.good(step, APIData{URL: i.API(), Milliseconds: took}, "%s answers, in %d ms", i.API(), took)
	}
}

// shown is how many addresses of a host are shown.
const shown = 3

func more(n int) string {
	if n <= shown {
		return ""
	}
	return " and others"
}
