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

// ProxyOptions are for StartProxy. The zero value refuses everything.
type ProxyOptions struct {
	// Routes maps host:port, in lower case, to loopback addresses (https://gitlab.example.com
	// is "gitlab.example.com:443"). "*:443" is any other name with that port, "*" any other.
	// Without a route, the proxy replies 502: nothing leaves the machine.
	Routes map[string]string
	// Delay is a round trip's time; a CONNECT takes one more. Bandwidth is not limited.
	Delay time.Duration
	// RequireAuth replies 407 to requests without Basic Proxy-Authorization; any user name
	// is accepted.
	RequireAuth bool
	// Answer, unless nil, is the status of every reply; nothing is connected.
	Answer *int
	// Dir, unless empty, makes it a TLS proxy with a certificate of that directory's
	// authority (see [Options.Dir]).
	Dir string
}

// Proxy is an HTTP proxy (CONNECT, and absolute URIs for plain HTTP) with its own names and
// delays. The Path of its requests is the host:port of a CONNECT, otherwise the whole URL.
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

// Close closes all connections.
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
		case pause(r, p.opts.Delay*3/2): // connecting, and half of the request's round trip
			p.forward.ServeHTTP(w, r)
		}
	})
}

// connect opens a tunnel, which takes over the connection and ends with either side or Close.
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
	_, _ = io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n") // an error recurs in the tunnel
	p.tunnels.Go(func() { tunnel(p.ctx, near, rw.Reader, far, p.opts.Delay/2) })
}

// routes are the names that a proxy knows.
type routes struct {
	mu sync.Mutex
	to map[string]string
}

// Route sets the address of a name; "" removes it. Open tunnels stay.
func (rs *routes) Route(hostport, addr string) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.to[strings.ToLower(hostport)] = addr
}

// dial connects to a name's address, on loopback only.
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

// tunnel copies in both directions, delayed, until either connection or ctx ends. reader has
// what near sends.
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

// packet is delayed data, or the end of it.
type packet struct {
	due  time.Time
	data []byte
}

// carry copies one direction with a delay that doesn't limit the bandwidth. A write error
// ends both directions.
func carry(to net.Conn, from io.Reader, end func(), late time.Duration) {
	line := make(chan packet, 256) // bounds what is in flight to 8 MiB
	var writer sync.WaitGroup
	writer.Go(func() {
		for pk := range line {
			time.Sleep(time.Until(pk.due))
			if _, err := to.Write(pk.data); err != nil {
				end() // the reader ends
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
