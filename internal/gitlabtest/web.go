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
	"sync"
	"time"
)

// closeTimeout bounds how long close waits for handlers and connections. Past
// it something is stuck that a test's leak check should see rather than a test
// run that never ends.
const closeTimeout = 10 * time.Second

// maxWindow is how much of HTTP/2 request bodies may be on the way unread.
const maxWindow = 64 << 20

// webOptions are what the servers of this package differ in on the wire.
type webOptions struct {
	addr        string
	certificate *tls.Certificate // nil: no TLS
	// certificateFor, if not nil, makes another one for a client.
	certificateFor func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	clients        *x509.CertPool // nil: clients need no certificate
	http1Only      bool
}

// web is the part that GitLab, the foreign listener and the proxy share: a
// loopback listener, its log, and an end that leaves nothing behind.
type web struct {
	url  string // scheme://host:port
	addr string
	log  *requestLog

	ln     net.Listener
	srv    *http.Server
	ctx    context.Context // ends when close begins
	cancel context.CancelFunc

	mu       sync.Mutex
	changed  *sync.Cond
	closed   bool
	handlers int
	open     int // connections that net/http still serves
	accepted int
	served   chan struct{}
}

type connKey struct{}

// newWeb listens, so that the address is known, and does not serve h before
// start is called: h may need what is built upon the web. Addresses that are
// not loopback are refused.
func newWeb(o webOptions, h http.Handler) (*web, error) {
	if o.addr == "" {
		o.addr = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(o.addr)
	if err != nil {
		return nil, fmt.Errorf("gitlabtest: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("gitlabtest: %s is not a loopback address", o.addr)
	}
	ln, err := net.Listen("tcp", o.addr)
	if err != nil {
		return nil, fmt.Errorf("gitlabtest: %w", err)
	}
	w := &web{addr: ln.Addr().String(), ln: ln, log: newRequestLog(), served: make(chan struct{})}
	w.changed = sync.NewCond(&w.mu)
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.url = "http://" + w.addr
	w.srv = &http.Server{
		Handler:           w.counted(h),
		MaxHeaderBytes:    maxHeader,
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // refused certificates are what tests are about
		BaseContext:       func(net.Listener) context.Context { return w.ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		ConnState: w.connState,
	}
	// With the usual window of 1 MiB, one push in ten of more than that hangs
	// for good in git with curl 7.88 (Debian 12): after a pause, curl reads on
	// behind the end that git has told it, and git waits for itself.
	w.srv.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: maxWindow, MaxReceiveBufferPerConnection: maxWindow}
	w.srv.Protocols = new(http.Protocols)
	w.srv.Protocols.SetHTTP1(true)
	if o.certificate != nil {
		w.url = "https://" + w.addr
		w.srv.Protocols.SetHTTP2(!o.http1Only)
		w.srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*o.certificate}, GetCertificate: o.certificateFor, MinVersion: tls.VersionTLS12}
		if o.clients != nil {
			w.srv.TLSConfig.ClientAuth, w.srv.TLSConfig.ClientCAs = tls.RequireAndVerifyClientCert, o.clients
		}
	}
	return w, nil
}

// start serves until close.
func (w *web) start() {
	go func() {
		defer close(w.served)
		if w.srv.TLSConfig != nil {
			_ = w.srv.ServeTLS(w.ln, "", "")
		} else {
			_ = w.srv.Serve(w.ln)
		}
	}()
}

// counted keeps close from returning while a request is being served. A
// request that comes after close has begun is cut.
func (w *web) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		if w.closed {
			w.mu.Unlock()
			panic(http.ErrAbortHandler)
		}
		w.handlers++
		w.mu.Unlock()
		defer func() {
			w.mu.Lock()
			w.handlers--
			w.changed.Broadcast()
			w.mu.Unlock()
		}()
		h.ServeHTTP(rw, r)
	})
}

func (w *web) connState(_ net.Conn, st http.ConnState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch st {
	case http.StateNew:
		w.open++
		w.accepted++
	case http.StateClosed, http.StateHijacked:
		w.open--
		w.changed.Broadcast()
	}
}

// connections is how many TCP connections were accepted since the start or the
// last reset, those that failed the TLS handshake included.
func (w *web) connections() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.accepted
}

func (w *web) reset() {
	w.mu.Lock()
	w.accepted = 0
	w.mu.Unlock()
	w.log.reset()
}

// close ends everything in the order that leaves nobody waiting: first the
// context, on which faults and git's processes hang, then the connections.
func (w *web) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	_ = w.srv.Close()
	<-w.served

	late := time.AfterFunc(closeTimeout, func() {
		w.mu.Lock()
		w.handlers, w.open = 0, 0
		w.changed.Broadcast()
		w.mu.Unlock()
	})
	defer late.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.handlers > 0 || w.open > 0 {
		w.changed.Wait()
	}
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
