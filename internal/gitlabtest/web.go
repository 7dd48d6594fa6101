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

// maxWindow is the HTTP/2 receive window.
const maxWindow = 64 << 20

// webOptions are a server's options for connections.
type webOptions struct {
	// dir has the certificate authority, made if missing; "" for no TLS.
	dir         string
	plain       bool // no TLS, although there is an authority
	certificate CertificateKind
	hosts       []string
	anyName     bool // a certificate for each requested name
	clients     bool // require client certificates
	http1Only   bool
}

// web is what all servers of this package share: an HTTP server on loopback.
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

// startWeb starts a server with the handler h, and sets at before the first request.
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
	c.ErrorLog = log.New(io.Discard, "", 0) // tests refuse certificates on purpose
	c.BaseContext = func(net.Listener) context.Context { return w.ctx }
	c.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) }
	c.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			w.accepted.Add(1)
		}
	}
	// With the default window of 1 MiB, one larger push in ten hangs in git with curl 7.88
	// (Debian 12).
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

// CAFile is the PEM file of the certificate authority. It exists for plain and self-signed
// servers, too.
func (w *web) CAFile() string { return w.ca.file }

// Connections is the number of TCP connections since the start or the last reset, including
// failed handshakes.
func (w *web) Connections() int { return int(w.accepted.Load()) }

// ResetRequests clears the request log and the count of connections.
func (w *web) ResetRequests() {
	w.accepted.Store(0)
	w.reset()
}

// Close closes all connections and waits for handlers and git's processes. It may be called
// twice. It ends the context first, on which faults and git's processes wait.
func (w *web) Close() {
	w.cancel()
	w.server.CloseClientConnections()
	w.server.Close()
	for w.active.Load() > 0 { // with HTTP/2, handlers outlive their connection
		time.Sleep(time.Millisecond)
	}
}

// logged records a request and its reply.
func (w *web) logged(rw http.ResponseWriter, r *http.Request, rt route, answer func(*statusWriter)) {
	entry := w.begin(r, rt)
	sw := &statusWriter{ResponseWriter: rw}
	defer func() { w.finish(entry, sw.status) }()
	answer(sw)
}

// cut closes a request's TCP connection, without ending TLS or HTTP properly.
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
