// Package transport makes HTTP connections over TLS 1.2 or newer, with limits on
// time and headers. It loads CA bundles and names the causes of failures.
package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// MaxHeader bounds the headers of an answer in bytes.
const MaxHeader = 64 << 10

// dialTimeout bounds one attempt to connect, so that a lost packet leaves time
// for another.
const dialTimeout = 10 * time.Second

// Network is how a host is reached. The zero value goes straight to it and trusts
// the system's authorities.
type Network struct {
	// Roots are the authorities to trust; nil means the system's.
	Roots *x509.CertPool
	// Added and Unread are those of [Authorities], for messages.
	Added  int
	Unread []string
	// Certificate is shown to a host that asks for one, nil for none, and
	// CertificateBy is the setting that names it.
	Certificate   *tls.Certificate
	CertificateBy string
	// Proxy returns the proxy for a request, nil for none, and ProxyBy is the setting
	// that names it, "" if unknown.
	Proxy   func(*http.Request) (*url.URL, error)
	ProxyBy string
	// ProxyRoots are the authorities to trust for a proxy over TLS. It must be set if and
	// only if all requests go through such a proxy.
	ProxyRoots *x509.CertPool
	// HTTP1 disables HTTP/2.
	HTTP1 bool
	// Header is added to each request, except for headers that the request has. It may
	// contain a secret.
	Header http.Header
	// Cookies are sent to the host, nil for none; those that the host sets are
	// dropped. They may be secrets.
	Cookies http.CookieJar
	// Addresses are those to connect to instead of resolving a name, by "host:port"
	// in lower case, or "*:port" for any host.
	Addresses map[string][]string
	// OnExchange is called for each request when its reply begins, or without one (status
	// 0); nil for none.
	OnExchange func(req *http.Request, status int, began time.Time)
	// Remarks returns additions to the message for failed TLS, about settings that are
	// ignored or overridden. Nil for none.
	Remarks func() string
}

// Transport is an http.RoundTripper for one host.
type Transport struct {
	*http.Transport
	network Network
	proxy   proxySeen
	// certRequested: the host requested a client certificate; replied: it has replied to a
	// request.
	certRequested, replied atomic.Bool
	// resolving is the host name of the last lookup, until it is resolved.
	resolving atomic.Pointer[string]
	// dials counts the connections that were opened, or tried to.
	dials atomic.Int32
	// lasting lifts the bound of dials.
	lasting bool
}

// RoundTrip is that of http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := t.roundTrip(req)
	if t.network.OnExchange != nil {
		status := 0
		if err == nil {
			status = resp.StatusCode
		}
		t.network.OnExchange(req, status, began)
	}
	return resp, err
}

func (t *Transport) roundTrip(req *http.Request) (*http.Response, error) {
	var connected atomic.Bool
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn:  func(httptrace.GotConnInfo) { connected.Store(true) },
		DNSStart: func(info httptrace.DNSStartInfo) { t.resolving.Store(&info.Host) },
		DNSDone: func(info httptrace.DNSDoneInfo) {
			if info.Err == nil {
				t.resolving.Store(nil)
			}
		},
	})
	resp, err := t.Transport.RoundTrip(t.network.addHeaders(req.Clone(ctx)))
	switch {
	case err == nil:
		t.replied.Store(true)
	case connected.Load() && req.Context().Err() == nil && !cutOff(err):
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	return resp, err
}

// addHeaders adds the network's headers and cookies to a request.
func (n Network) addHeaders(req *http.Request) *http.Request {
	for name, values := range n.Header {
		// The program's own User-Agent may be replaced.
		if _, set := req.Header[name]; !set || name == "User-Agent" {
			req.Header[name] = values
		}
	}
	if n.Cookies != nil {
		for _, cookie := range n.Cookies.Cookies(req.URL) {
			req.AddCookie(cookie)
		}
	}
	return req
}

// errBroken is for a reply that violates HTTP or exceeds limits.
var errBroken = errors.New("an invalid HTTP reply")

// cutOff reports whether an error is the connection's, not the reply's.
func cutOff(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// maxDials is the limit of connections of one transport, more than all tries need. net/http
// retries forever if a server refuses each request (RFC 9113, 6.8).
const maxDials = 32

var errDials = errors.New("too many connections were lost")

// dial opens a connection, if there have not been too many.
func (t *Transport) dial(open func(ctx context.Context, network, address string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if t.dials.Add(1) > maxDials && !t.lasting {
			return nil, errDials
		}
		conn, err := open(ctx, network, address)
		return conn, confirmName(ctx, err)
	}
}

// connect opens a connection to the first configured address of a host and port that
// answers, or makes the dialer resolve the name.
func (n Network) connect(dialer *net.Dialer) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		_, port, _ := net.SplitHostPort(address)
		known := n.Addresses[strings.ToLower(address)]
		if known == nil {
			known = n.Addresses["*:"+port]
		}
		if known == nil {
			return dialer.DialContext(ctx, network, address)
		}
		for _, host := range known {
			if conn, err = dialer.DialContext(ctx, network, net.JoinHostPort(host, port)); err == nil || ctx.Err() != nil {
				break
			}
		}
		return conn, err
	}
}

// New makes a transport for one host. It opens no connection.
func New(n Network) *Transport {
	t := &Transport{network: n}
	dialer := &net.Dialer{Timeout: dialTimeout}
	t.Transport = &http.Transport{
		Proxy:       t.proxy.watch(n.Proxy),
		DialContext: t.dial(n.connect(dialer)),
		TLSClientConfig: &tls.Config{RootCAs: n.Roots, MinVersion: tls.VersionTLS12,
			GetClientCertificate: t.certificate},
		OnProxyConnectResponse: proxyAnswered,
		ForceAttemptHTTP2:      true,
		// Requests at the same time share one HTTP/2 connection; without the
		// bound, each would open one.
		MaxConnsPerHost:        1,
		MaxResponseHeaderBytes: MaxHeader,
		DisableCompression:     true,
	}
	if n.HTTP1 {
		t.Protocols = new(http.Protocols)
		t.Protocols.SetHTTP1(true)
		t.ForceAttemptHTTP2 = false
		t.MaxConnsPerHost = 2 // the two first questions, at the same time
	}
	if n.ProxyRoots != nil {
		// net/http would use the host's authorities and client certificate for the
		// proxy too.
		proxyDialer := &tls.Dialer{NetDialer: dialer, Config: &tls.Config{RootCAs: n.ProxyRoots, MinVersion: tls.VersionTLS12}}
		t.DialTLSContext = t.dial(proxyDialer.DialContext)
	}
	return t
}

// certificate is the client certificate for a host that requests one.
func (t *Transport) certificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	t.certRequested.Store(true)
	if t.network.Certificate != nil {
		return t.network.Certificate, nil
	}
	return &tls.Certificate{}, nil
}

// Lasting is for a transport of a server, with up to that many connections at once.
func (t *Transport) Lasting(connections int) *Transport {
	t.lasting = true
	t.MaxConnsPerHost, t.MaxIdleConnsPerHost = connections, connections
	t.IdleConnTimeout = 90 * time.Second
	return t
}
