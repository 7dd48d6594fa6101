package gitlabtest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"time"
)

// ProxyOptions say what kind of proxy to start. The zero value refuses all.
type ProxyOptions struct {
	// Routes maps host:port names, in lower case, to addresses that listen
	// (https://gitlab.example.com is "gitlab.example.com:443"). "*:443" is any
	// other name with that port, "*" any other at all. Names without a route
	// get 502: nothing leaves the machine.
	Routes map[string]string
	// Delay is a round trip: bytes take half of it in each direction, and a
	// CONNECT is answered after one more, as connecting to a distant host
	// takes one. Bandwidth is not limited.
	Delay time.Duration
	// RequireAuth answers 407 to requests without Proxy-Authorization of the
	// Basic kind; any user name but the empty one will do.
	RequireAuth bool
	// Answer, when not nil, is the status of every answer; nothing is
	// connected, not even with 200.
	Answer *int
	// Dir, when not empty, makes clients speak TLS with the proxy, whose
	// certificate is signed by the authority of that directory (see
	// [Options.Dir]).
	Dir string
}

// Proxy is an HTTP proxy (CONNECT, and absolute URIs for plain HTTP) that
// stands in for DNS and for distance. The Path of its requests is the host:port of a
// CONNECT, else the whole URL.
type Proxy struct {
	*web
	routes
	opts    ProxyOptions
	forward *httputil.ReverseProxy
	tunnels sync.WaitGroup
}

// StartProxy starts a proxy on a loopback address.
func StartProxy(o ProxyOptions) (*Proxy, error) {
	p := &Proxy{opts: o}
	p.to = map[string]string{}
	for name, addr := range o.Routes {
		p.Route(name, addr)
	}
	p.forward = &httputil.ReverseProxy{
		Rewrite:   func(*httputil.ProxyRequest) {},
		Transport: &http.Transport{DialContext: p.dial, DisableKeepAlives: true, DisableCompression: true},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			http.Error(w, "no route", http.StatusBadGateway)
		},
		ModifyResponse: func(resp *http.Response) error {
			pause(resp.Request, o.Delay/2)
			return nil
		},
	}
	err := startWeb(&p.web, webOptions{dir: o.Dir, http1Only: true}, p.serve) // curl 7.88 can't tell proxies of HTTP/2 apart
	return p, err
}

// Close cuts all tunnels and leaves nothing behind.
func (p *Proxy) Close() {
	p.web.Close()
	p.tunnels.Wait()
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	p.logged(w, r, route{endpoint: "other"}, func(w *statusWriter) {
		user, _, _ := basic(r.Header.Get("Proxy-Authorization"))
		switch {
		case p.opts.RequireAuth && user == "":
			w.Header().Set("Proxy-Authenticate", `Basic realm="proxy"`)
			http.Error(w, "proxy authentication required", http.StatusProxyAuthRequired)
		case p.opts.Answer != nil:
			http.Error(w, "the proxy answers by itself", *p.opts.Answer)
		case r.Method == http.MethodConnect:
			p.connect(w, r)
		case !r.URL.IsAbs():
			http.Error(w, "this is a proxy", http.StatusBadRequest)
		case pause(r, p.opts.Delay*3/2): // connecting, and half of the request's own round trip
			p.forward.ServeHTTP(w, r)
		}
	})
}

// connect opens a tunnel. It outlives the handler, whose connection it takes
// over, and ends with either side or with Close.
func (p *Proxy) connect(w *statusWriter, r *http.Request) {
	far, err := p.dial(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, "no route", http.StatusBadGateway)
		return
	}
	pause(r, p.opts.Delay)
	near, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = far.Close()
		panic(http.ErrAbortHandler)
	}
	w.status = http.StatusOK
	_ = near.SetDeadline(time.Time{})
	_, _ = io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n") // the tunnel meets the error again
	p.tunnels.Go(func() { tunnel(p.ctx, near, rw.Reader, far, p.opts.Delay/2) })
}

// routes are the names that a proxy knows.
type routes struct {
	mu sync.Mutex
	to map[string]string
}

// Route adds a name, or moves it to another address; an empty address takes it
// away. Tunnels that are open stay.
func (rs *routes) Route(hostport, addr string) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.to[strings.ToLower(hostport)] = addr
}

// dial connects to where a name leads, on loopback or not at all.
func (rs *routes) dial(ctx context.Context, _, hostport string) (net.Conn, error) {
	rs.mu.Lock()
	port := hostport[strings.LastIndexByte(hostport, ':')+1:]
	addr := cmp.Or(rs.to[strings.ToLower(hostport)], rs.to["*:"+port], rs.to["*"])
	rs.mu.Unlock()
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("gitlabtest: no route to %q", hostport)
	}
	if ip := net.ParseIP(host); host != "localhost" && !ip.IsLoopback() {
		return nil, fmt.Errorf("gitlabtest: %s is not a loopback address", addr)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

// tunnel carries both ways between two connections until either ends or ctx does; what
// comes from near is read from reader. Bytes are on their way for a time.
func tunnel(ctx context.Context, near net.Conn, reader io.Reader, far net.Conn, late time.Duration) {
	end := func() {
		_ = near.Close()
		_ = far.Close()
	}
	defer context.AfterFunc(ctx, end)()
	defer end()
	var ways sync.WaitGroup
	ways.Go(func() { carry(far, reader, end, late) })
	ways.Go(func() { carry(near, far, end, late) })
	ways.Wait()
}

// packet is bytes on their way, or the end of them.
type packet struct {
	due  time.Time
	data []byte
}

// carry copies one direction, each byte late but none waiting for the one before:
// distance, not a narrow line. An error in writing is the end of both directions.
func carry(to net.Conn, from io.Reader, end func(), late time.Duration) {
	line := make(chan packet, 256) // bounds what is in flight to 8 MiB
	var writer sync.WaitGroup
	writer.Go(func() {
		for pk := range line {
			time.Sleep(time.Until(pk.due))
			if _, err := to.Write(pk.data); err != nil {
				end() // from here on nothing can be written, and the reader ends
			}
		}
		if t, ok := to.(interface{ CloseWrite() error }); ok {
			_ = t.CloseWrite()
		}
	})
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		line <- packet{time.Now().Add(late), bytes.Clone(buf[:n])}
		if err != nil {
			break
		}
	}
	close(line)
	writer.Wait()
}
