// Package transport makes HTTP connections as this program wants them: over TLS
// 1.2 or newer, with bounds on time and headers. It says whom to trust, and what
// was in the way when there is no answer.
package transport

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"time"
)

// MaxHeader bounds the headers of an answer in bytes.
const MaxHeader = 64 << 10

// dialTimeout bounds one attempt to connect, so that a lost packet leaves time
// for another.
const dialTimeout = 10 * time.Second

// Transport is an http.RoundTripper for one host.
type Transport struct {
	*http.Transport
	proxy proxySeen
}

// New makes a transport that trusts roots (nil means the system's authorities)
// and goes through the proxy that the function finds (nil means none).
func New(roots *x509.CertPool, proxy func(*http.Request) (*url.URL, error)) *Transport {
	t := &Transport{}
	t.Transport = &http.Transport{
		Proxy:                  t.proxy.watch(proxy),
		DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		OnProxyConnectResponse: proxyAnswered,
		ForceAttemptHTTP2:      true,
		// Requests at the same time share one HTTP/2 connection; without the
		// bound, each would open one.
		MaxConnsPerHost:        1,
		MaxResponseHeaderBytes: MaxHeader,
		DisableCompression:     true,
	}
	return t
}

// Told is the transport, whose requests are told when their answer begins, or
// when there is none (status 0); nil tells nobody.
func (t *Transport) Told(tell func(req *http.Request, status int, began time.Time)) http.RoundTripper {
	if tell == nil {
		return t
	}
	return told{t, tell}
}

type told struct {
	next http.RoundTripper
	tell func(*http.Request, int, time.Time)
}

func (t told) RoundTrip(req *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := t.next.RoundTrip(req)
	status := 0
	if err == nil {
		status = resp.StatusCode
	}
	t.tell(req, status, began)
	return resp, err
}
