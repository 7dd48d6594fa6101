// Package serve is a proxy for git and LFS over HTTP that has the user's token, for
// clients that must not. It serves the repositories of one GitLab instance, under a
// policy.
package serve

import (
	"context"
	"errors"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

// Want is what a token is needed for.
type Want struct {
	// Path is the repository's path at the instance.
	Path string
	// Minimum is the access level that is needed.
	Minimum int
	// Failed is a token that git on GitLab has just rejected, the zero value for none.
	Failed token.Token
}

// Config is what a Server needs. All fields must be set unless noted.
type Config struct {
	// Instance is the served instance.
	Instance instance.Instance
	Policy   Policy
	// Token finds the token and has GitLab verify it. made is when a verdict from the
	// cache was made, the zero time for a new one.
	Token func(context.Context, Want) (found source.Found, made time.Time, err error)
	// Forget drops what is remembered of a token.
	Forget func(token.Token)
	// Reach returns how to connect to the instance, with the authorities of the token's
	// source.
	Reach func(source.Found) (transport.Network, error)
	// Ancestor reports whether the commit old is an ancestor of another, both of
	// which the project has on GitLab.
	Ancestor func(ctx context.Context, found source.Found, project, old, of string) (bool, error)
	// Done is called after each request; nil for none.
	Done func(Record)
	// Silence is the idle timeout of a request, and Grace the time for requests to end
	// after the server is stopped; 0 for five minutes and one minute.
	Silence, Grace time.Duration
	// Requests is the limit of concurrent requests, and half the limit of connections; 0
	// for 64.
	Requests int
}

// Record describes a completed request, without the token.
type Record struct {
	// Operation and Project are "" for a request that is not served.
	Operation Operation
	Project   string
	// Status is the HTTP status of the answer.
	Status int
	// Reason is the code of the refusal or failure, "upstream-" and the status of
	// GitLab's own refusal, or "interrupted" for an answer that ended early; "" for none.
	Reason string
	// Broken means that the answer ended early: the client or GitLab left, or the rest had
	// the token in it.
	Broken bool
	// Took is how long it took, and Upstream how long it was until GitLab's response
	// began; 0 if there was none.
	Took, Upstream time.Duration
	// VerdictAge is the age of the verdict on the token; Verified is false if there
	// was none.
	VerdictAge time.Duration
	Verified   bool
	// Received and Sent are the bytes of the bodies.
	Received, Sent int64
}

// Limits of connections.
const (
	// maxHeader bounds the header of a request in bytes.
	maxHeader     = 16 << 10
	headerTimeout = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	// maxHeavy bounds memory: each takes up to about 40 MiB.
	maxHeavy = 2
	// heavyTimeout is how long a push may take to send what heavy work reads.
	heavyTimeout = time.Minute
	// Clients spend the user's rate limit of GitLab's API: up to maxQuota questions at once,
	// then one more each quotaInterval. GitLab's own limit is at least 120 a minute, if it
	// is on. Repositories are free for quotaFree after a good verdict, which is cached as
	// long by default.
	maxQuota      = 100
	quotaInterval = 2 * time.Second
	quotaFree     = 5 * time.Minute
	// After maxRefusedLogins, git on GitLab is asked only once in refusedInterval: for ten failed
	// logins in a minute, GitLab can ban the address, which other pods share.
	maxRefusedLogins = 5
	refusedInterval  = 20 * time.Second
)

// Server is a proxy.
type Server struct {
	config Config
	slots  chan struct{}
	// ended is when a request last ended, in nanoseconds since 1970.
	ended atomic.Int64
	// heavy are for what takes memory: the commits of a push, and an answer of LFS's API.
	heavy   chan struct{}
	buffers sync.Pool
	quota   *rate.Limiter
	refused *rate.Limiter // of logins

	mu sync.Mutex
	// free are repositories that may be verified without quota, until a time.
	free     map[string]time.Time
	upstream *transport.Transport
	// authorities are those of upstream.
	authorities string
}

// New makes a server. It opens no listener or connection.
func New(c Config) *Server {
	if c.Silence == 0 {
		c.Silence = 5 * time.Minute
	}
	if c.Grace == 0 {
		c.Grace = time.Minute
	}
	if c.Requests == 0 {
		c.Requests = 64
	}
	return &Server{config: c, slots: make(chan struct{}, c.Requests), heavy: make(chan struct{}, maxHeavy),
		quota: rate.NewLimiter(rate.Every(quotaInterval), maxQuota), free: map[string]time.Time{},
		refused: rate.NewLimiter(rate.Every(refusedInterval), maxRefusedLogins),
		buffers: sync.Pool{New: func() any { return make([]byte, 32<<10) }}}
}

// Get and Put are those of httputil.BufferPool.
func (s *Server) Get() []byte { return s.buffers.Get().([]byte) } //nolint:forcetypeassert // nothing else is in it

// Put returns a buffer to the pool.
func (s *Server) Put(b []byte) { s.buffers.Put(b) } //nolint:staticcheck // a slice's header is little beside it

// Listen opens the address of --listen: HOST:PORT on a loopback address, or
// unix:PATH, for the user and the group. Whoever can connect can use the token, so nothing
// else is taken.
func Listen(ctx context.Context, where string) (net.Listener, error) {
	network, address := "tcp", where
	if path, unix := strings.CutPrefix(where, "unix:"); unix {
		network, address = "unix", path
		removeStale(ctx, path)
	} else {
		host, _, err := net.SplitHostPort(where)
		if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, errListen(where, "it is not HOST:PORT on a loopback address")
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, network, address)
	if err == nil && network == "unix" {
		err = os.Chmod(address, 0o660) //nolint:gosec // for the group of the clients
	}
	if err != nil {
		if l != nil {
			_ = l.Close()
		}
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return nil, errListen(where, err.Error())
	}
	return l, nil
}

// removeStale removes a socket without a listener, as left by a container that is restarted.
func removeStale(ctx context.Context, path string) {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		_ = os.Remove(path) // an error shows when it is listened on
	}
}

// Serve serves until ctx ends. git's commands that run then may finish within Config.Grace:
// requests are taken until there has been none for a second.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: log.New(io.Discard, "", 0), ConnState: AtMost(2 * s.config.Requests), Protocols: new(http.Protocols),
		DisableGeneralOptionsHandler: true,
	}
	server.Protocols.SetHTTP1(true)
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.Grace)
		defer cancel()
		s.drain(grace)
		if server.Shutdown(grace) != nil {
			_ = server.Close()
		}
	})
	err := server.Serve(l)
	if !stop() {
		<-stopped
		return nil
	}
	return err
}

// drain waits until no request has run for a moment, which is more than git takes between the
// requests of a command.
func (s *Server) drain(ctx context.Context) {
	const quiet = time.Second
	tick := time.NewTicker(quiet / 20)
	defer tick.Stop()
	for len(s.slots) > 0 || time.Since(time.Unix(0, s.ended.Load())) < quiet {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// AtMost is an http.Server.ConnState that closes connections beyond a number.
func AtMost(limit int) func(net.Conn, http.ConnState) {
	var open atomic.Int64
	return func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			if open.Add(1) > int64(limit) {
				_ = c.Close()
			}
		case http.StateClosed, http.StateHijacked:
			open.Add(-1)
		case http.StateActive, http.StateIdle:
		}
	}
}

// ServeHTTP is that of http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancelCause(r.Context())
	x := &exchange{server: s, client: newClient(w, r, s.config.Silence, cancel), request: r, proxy: "http://" + r.Host, began: time.Now(), ctx: ctx}
	defer x.end()
	select {
	case s.slots <- struct{}{}:
		defer func() {
			s.ended.Store(time.Now().UnixNano())
			<-s.slots
		}()
	default:
		w.Header().Set("Retry-After", "5")
		x.refuse(http.StatusServiceUnavailable, errBusy(s.config.Requests))
		return
	}
	var served bool
	if x.route, served = Parse(s.config.Instance, r.Method, r.RequestURI); !served || !plainRequest(r) {
		x.refuse(http.StatusNotFound, errNotServed())
		return
	}
	x.serve()
}

// plainRequest reports a request as git makes them: without a body where none belongs, for a
// name of this machine, not from a web page, and not to switch protocols. An h2c upgrade (RFC
// 7540, 3.2), which git asks for with http.version=HTTP/2, may be ignored.
func plainRequest(r *http.Request) bool {
	upgrade := strings.Join(r.Header.Values("Upgrade"), ",")
	host := (&url.URL{Host: r.Host}).Hostname()
	return (strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()) && strings.Trim(r.Host, letters+".:[]") == "" &&
		(r.Method != http.MethodGet || r.ContentLength == 0) && r.Header.Get("Origin")+r.Header.Get("Sec-Fetch-Site") == "" &&
		(upgrade == "" || upgrade == "h2c")
}

// mayVerify reports whether the quota allows to verify a repository. Otherwise, made-up
// projects and spellings of a name would use up the user's rate limit.
func (s *Server) mayVerify(repository string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Before(s.free[repository]) || s.quota.Allow()
}

// verified frees a repository of the quota for a while.
func (s *Server) verified(repository string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(s.free, func(_ string, until time.Time) bool { return until.Before(now) })
	s.free[repository] = now.Add(quotaFree)
}

// reach is the transport to the instance, a new one if the authorities of the token's source
// have changed.
func (s *Server) reach(found source.Found) (*transport.Transport, error) {
	var authorities []byte
	if found.CA != nil {
		var err error
		if authorities, err = found.CA(); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.upstream != nil && s.authorities == string(authorities) {
		return s.upstream, nil
	}
	network, err := s.config.Reach(found)
	if err != nil {
		return nil, err
	}
	if s.upstream != nil {
		s.upstream.CloseIdleConnections()
	}
	s.upstream, s.authorities = transport.New(network).Lasting(s.config.Requests), string(authorities)
	return s.upstream, nil
}

// statusOf is the HTTP status for a message. It is never 401, for which git would ask for a
// password.
func statusOf(err error) int {
	switch m := message.As(err); m.Topic {
	case message.NotVerified:
		return http.StatusBadGateway
	case message.RateLimit:
		return http.StatusServiceUnavailable
	case message.Malformed:
		return http.StatusBadRequest
	}
	return http.StatusForbidden
}
