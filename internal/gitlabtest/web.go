package gitlabtest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// maxWindow is how much of HTTP/2 request bodies may be on the way unread.
const maxWindow = 64 << 20

// webOptions are what the servers of this package differ in on the wire.
type webOptions struct {
	// dir has the certificate authority, and is made if missing; "" for no TLS.
	dir         string
	plain       bool // no TLS, although there is an authority
	certificate CertificateKind
	hosts       []string
	anyName     bool // a certificate for each name that is asked for
	clients     bool // clients need a certificate of the authority
	http1Only   bool
}

// web is a server on a loopback address: what all servers of this package share.
type web struct {
	*requestLog
	ca     *authority
	server *httptest.Server
	ctx    context.Context // ends when Close begins
	cancel context.CancelFunc

	active   atomic.Int64 // handlers that are running
	accepted atomic.Int64
}

type connKey struct{}

// startWeb starts a server that answers by h, and sets at before the first request.
func startWeb(at **web, o webOptions, h http.HandlerFunc) error {
	w := &web{requestLog: newRequestLog()}
	*at = w
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.active.Add(1)
		defer w.active.Add(-1)
		if w.ctx.Err() != nil {
			panic(http.ErrAbortHandler)
		}
		h(rw, r)
	}))
	c := w.server.Config
	c.MaxHeaderBytes, c.ReadHeaderTimeout = maxHeader, 30*time.Second
	c.ErrorLog = log.New(io.Discard, "", 0) // refused certificates are what tests are about
	c.BaseContext = func(net.Listener) context.Context { return w.ctx }
	c.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) }
	c.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			w.accepted.Add(1)
		}
	}
	// With the usual window of 1 MiB, one push in ten of more than that hangs
	// for good in git with curl 7.88 (Debian 12): after a pause, curl reads on
	// behind the end that git has told it, and git waits for itself.
	c.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: maxWindow, MaxReceiveBufferPerConnection: maxWindow}
	if err := w.secure(o); err != nil {
		_ = w.server.Listener.Close()
		return err
	}
	if w.server.TLS == nil {
		w.server.Start()
	} else {
		w.server.StartTLS()
	}
	return nil
}

// secure loads the authority and makes the server's certificate.
func (w *web) secure(o webOptions) (err error) {
	if o.dir == "" {
		return nil
	}
	dir, err := filepath.Abs(o.dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return fmt.Errorf("gitlabtest: %w", err)
	}
	if w.ca, err = loadAuthority(dir); err != nil || o.plain {
		return err
	}
	certificate, err := w.ca.issue(o.certificate, o.hosts)
	if err != nil {
		return err
	}
	w.server.EnableHTTP2 = !o.http1Only
	w.server.TLS = &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12}
	if o.anyName {
		w.server.TLS.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return w.ca.issue(CertificateGood, []string{hello.ServerName})
		}
	}
	if o.clients {
		w.server.TLS.ClientAuth, w.server.TLS.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		w.server.TLS.ClientCAs.AddCert(w.ca.cert)
	}
	return nil
}

// URL is scheme, address and port, without a trailing slash.
func (w *web) URL() string { return w.server.URL }

// Addr is host:port, as for [Proxy.Route].
func (w *web) Addr() string { return w.server.Listener.Addr().String() }

// CAFile names the PEM file with the authority that signed the certificate. It
// exists for plain and for self-signed servers too, where it helps nobody.
func (w *web) CAFile() string { return w.ca.file }

// Connections is how many TCP connections were accepted since the start or the
// last reset, failed handshakes included.
func (w *web) Connections() int { return int(w.accepted.Load()) }

// ResetRequests forgets all requests, evidence and connections seen so far.
func (w *web) ResetRequests() {
	w.accepted.Store(0)
	w.reset()
}

// Close cuts all connections and returns when no request is being served any more
// and git's processes have ended. It may be called twice. The context ends first: on
// it, faults and git's processes hang.
func (w *web) Close() {
	w.cancel()
	w.server.CloseClientConnections()
	w.server.Close()
	for w.active.Load() > 0 { // with HTTP/2, handlers outlive their connection
		time.Sleep(time.Millisecond)
	}
}

// logged answers a request by answer, and notes it in the log.
func (w *web) logged(rw http.ResponseWriter, r *http.Request, rt route, answer func(*statusWriter)) {
	entry := w.begin(r, rt)
	sw := &statusWriter{ResponseWriter: rw}
	defer func() { w.finish(entry, sw.status) }()
	answer(sw)
}

// cut closes the TCP connection under a request at once, without TLS's or
// HTTP's goodbye.
func cut(r *http.Request) {
	c, _ := r.Context().Value(connKey{}).(net.Conn)
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if c != nil {
		_ = c.Close()
	}
	panic(http.ErrAbortHandler)
}

// statusWriter remembers the status for the request log.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(code int) {
	if w.status == 0 {
		w.status = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach Flush and Hijack.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
