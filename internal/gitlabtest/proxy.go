package gitlabtest

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
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
// stands in for DNS and for distance.
type Proxy struct {
	web       *web
	ca        *authority
	opts      ProxyOptions
	transport *http.Transport
	tunnels   sync.WaitGroup

	mu     sync.Mutex
	routes map[string]string
	conns  map[net.Conn]bool // both ends of all tunnels; nil once closed
}

// StartProxy starts a proxy on a loopback address.
func StartProxy(o ProxyOptions) (*Proxy, error) {
	p := &Proxy{opts: o, routes: map[string]string{}, conns: map[net.Conn]bool{}}
	for name, addr := range o.Routes {
		p.Route(name, addr)
	}
	p.transport = &http.Transport{DialContext: p.dial, DisableKeepAlives: true, DisableCompression: true}
	var wo webOptions
	var err error
	if o.Dir != "" {
		if p.ca, err = loadAuthority(o.Dir); err != nil {
			return nil, err
		}
		if wo.certificate, err = p.ca.issue(CertificateGood, nil); err != nil {
			return nil, err
		}
		wo.http1Only = true // curl 7.88 can't tell proxies of HTTP/2 apart
	}
	if p.web, err = newWeb(wo, http.HandlerFunc(p.serve)); err != nil {
		return nil, err
	}
	p.web.start()
	return p, nil
}

// CAFile is the PEM file of the authority of ProxyOptions.Dir, which must be set.
func (p *Proxy) CAFile() string { return p.ca.file }

// URL is what HTTPS_PROXY, http.proxy and the like want.
func (p *Proxy) URL() string { return p.web.url }

// Requests lists what was asked of the proxy, oldest first. Path is the
// host:port of a CONNECT, else the whole URL.
func (p *Proxy) Requests() []Request { return p.web.log.requests() }

// Connections is how many TCP connections clients have made.
func (p *Proxy) Connections() int { return p.web.connections() }

// SawSecret is as [Server.SawSecret], for what the proxy itself can read: not
// what goes through a tunnel.
func (p *Proxy) SawSecret(value string) bool { return p.web.log.saw(value) }

// Route adds a name, or moves it to another address; an empty address takes it
// away. Tunnels that are open stay.
func (p *Proxy) Route(hostport, addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	routes := maps.Clone(p.routes)
	routes[strings.ToLower(hostport)] = addr
	p.routes = routes
}

// Close cuts all tunnels and leaves nothing behind.
func (p *Proxy) Close() {
	p.cut()
	p.web.close()
	p.tunnels.Wait()
	p.transport.CloseIdleConnections()
}

// cut closes all that is held, and all that ever will be.
func (p *Proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// dial connects to where a name leads, on loopback or not at all.
func (p *Proxy) dial(ctx context.Context, _, hostport string) (net.Conn, error) {
	p.mu.Lock()
	routes := p.routes
	p.mu.Unlock()
	port := hostport[strings.LastIndexByte(hostport, ':')+1:]
	addr := cmp.Or(routes[strings.ToLower(hostport)], routes["*:"+port], routes["*"])
	if addr == "" {
		return nil, fmt.Errorf("gitlabtest: no route to %q", hostport)
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("gitlabtest: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("gitlabtest: %s is not a loopback address", addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	entry := p.web.log.begin(r, "other", false)
	sw := &statusWriter{ResponseWriter: w}
	defer func() { p.web.log.finish(entry, sw.status) }()
	_, user := scheme(http.Header{"Authorization": r.Header["Proxy-Authorization"]})
	switch {
	case p.opts.RequireAuth && user == "":
		sw.Header().Set("Proxy-Authenticate", `Basic realm="proxy"`)
		http.Error(sw, "proxy authentication required", http.StatusProxyAuthRequired)
	case p.opts.Answer != nil:
		http.Error(sw, "the proxy answers by itself", *p.opts.Answer)
	case r.Method == http.MethodConnect:
		p.connect(sw, r)
	case r.URL.IsAbs():
		p.forward(sw, r)
	default:
		http.Error(sw, "this is a proxy", http.StatusBadRequest)
	}
}

// hopHeaders concern one connection and are not passed on (RFC 9110, 7.6.1).
var hopHeaders = []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// forward passes a plain request on.
func (p *Proxy) forward(w http.ResponseWriter, r *http.Request) {
	if !pause(r, p.opts.Delay*3/2) { // connecting, and half of the request's own round trip
		panic(http.ErrAbortHandler)
	}
	out := r.Clone(r.Context())
	out.RequestURI, out.Close = "", false
	for _, h := range hopHeaders {
		out.Header.Del(h)
	}
	res, err := p.transport.RoundTrip(out)
	if err != nil {
		http.Error(w, "no route", http.StatusBadGateway)
		return
	}
	defer func() { _ = res.Body.Close() }()
	if !pause(r, p.opts.Delay/2) {
		panic(http.ErrAbortHandler)
	}
	for _, h := range hopHeaders {
		res.Header.Del(h)
	}
	maps.Copy(w.Header(), res.Header)
	w.WriteHeader(res.StatusCode)
	_, _ = io.Copy(w, res.Body)
}

// connect opens a tunnel. It outlives the handler, whose connection it takes
// over, and ends with either side or with Close.
func (p *Proxy) connect(w *statusWriter, r *http.Request) {
	far, err := p.dial(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, "no route", http.StatusBadGateway)
		return
	}
	if !pause(r, p.opts.Delay) {
		_ = far.Close()
		panic(http.ErrAbortHandler)
	}
	near, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = far.Close()
		http.Error(w, "no tunnel", http.StatusInternalServerError)
		return
	}
	w.status = http.StatusOK
	if !p.hold(near, far) {
		return
	}
	_ = near.SetDeadline(time.Time{})
	if _, err := io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		p.drop(near, far)
		return
	}
	p.tunnels.Go(func() { p.join(near, early{rw.Reader, near}, far) })
}

// join carries both ways between two connections that are held; what comes from
// near is read from reader.
func (p *Proxy) join(near, reader, far net.Conn) {
	defer p.drop(near, far)
	var ways sync.WaitGroup
	ways.Go(func() { p.carry(far, reader) })
	ways.Go(func() { p.carry(near, far) })
	ways.Wait()
}

// hold keeps a tunnel's ends for Close, or closes them when that has been.
func (p *Proxy) hold(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.conns == nil {
			_ = c.Close()
		} else {
			p.conns[c] = true
		}
	}
	return p.conns != nil
}

func (p *Proxy) drop(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		delete(p.conns, c)
	}
}

// early reads what net/http had buffered of a hijacked connection, then the
// connection itself.
type early struct {
	buffered *bufio.Reader
	net.Conn
}

func (e early) Read(b []byte) (int, error) {
	if n := e.buffered.Buffered(); n > 0 {
		return e.buffered.Read(b[:min(n, len(b))])
	}
	return e.Conn.Read(b)
}

// packet is bytes on their way, or the end of them.
type packet struct {
	due  time.Time
	data []byte
}

// carry copies one direction, each byte half a round trip late but none
// waiting for the one before: distance, not a narrow line. An error on either
// side ends both directions.
func (p *Proxy) carry(to, from net.Conn) {
	line := make(chan packet, 256) // bounds what is in flight to 8 MiB
	var writer sync.WaitGroup
	writer.Go(func() {
		broken := false
		for pk := range line {
			if broken {
				continue // so that the reader never blocks
			}
			time.Sleep(time.Until(pk.due))
			if _, err := to.Write(pk.data); err != nil {
				broken = true
				_ = from.Close()
			}
		}
		if t, ok := to.(interface{ CloseWrite() error }); ok && !broken {
			_ = t.CloseWrite()
		}
	})
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			line <- packet{time.Now().Add(p.opts.Delay / 2), bytes.Clone(buf[:n])}
		}
		if err != nil {
			break
		}
	}
	close(line)
	writer.Wait()
}
