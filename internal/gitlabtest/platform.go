package gitlabtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// PlatformOptions say what kind of platform to start. The zero value but for Dir
// is one on https://127.0.0.1:<free port>, which takes any token.
type PlatformOptions struct {
	// Dir holds the certificate authority, as [Options].Dir does, and may be
	// the same.
	Dir string
	// Hosts are further DNS names or addresses in the certificate.
	Hosts     []string
	PlainHTTP bool
	// Certificate chooses a flaw in the server certificate.
	Certificate CertificateKind
	// GitLab is where a token is tried before it is stored, as newer platforms
	// do; nil: it is stored untried.
	GitLab *Server
}

// PlatformConnection is what the platform has stored of a user.
type PlatformConnection struct {
	Token string
	// InstanceURL is as it was sent; "" for gitlab.com.
	InstanceURL string
	UpdatedAt   time.Time
}

// platformSession is a session: whose it is, and its own token.
type platformSession struct{ user, token string }

// Platform is an Ambient Code Platform: the part of its API that is about GitLab
// connections.
type Platform struct {
	web    *web
	ca     *authority
	opts   PlatformOptions
	faults faults

	mu          sync.Mutex
	old         bool
	users       map[string]string // by token
	connections map[string]PlatformConnection
	sessions    map[string]platformSession // by project/name
}

// platformEndpoints are what Fault.Match may be on a Platform, beside paths.
var platformEndpoints = []string{"connect", "status", "disconnect", "test", "credentials", "other", "all"}

// StartPlatform starts a platform without users.
func StartPlatform(o PlatformOptions) (*Platform, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("gitlabtest: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("gitlabtest: %w", err)
	}
	p := &Platform{opts: o, users: map[string]string{}, connections: map[string]PlatformConnection{}, sessions: map[string]platformSession{}}
	p.faults.names = platformEndpoints
	if p.ca, err = loadAuthority(dir); err != nil {
		return nil, err
	}
	var wo webOptions
	if !o.PlainHTTP {
		if wo.certificate, err = p.ca.issue(o.Certificate, o.Hosts); err != nil {
			return nil, err
		}
	}
	if p.web, err = newWeb(wo, http.HandlerFunc(p.serve)); err != nil {
		return nil, err
	}
	p.web.start()
	return p, nil
}

// URL is scheme, address and port; the API lies below it at /api.
func (p *Platform) URL() string { return p.web.url }

// Addr is host:port, as for [Proxy.Route].
func (p *Platform) Addr() string { return p.web.addr }

// CAFile is the PEM file of Dir's authority.
func (p *Platform) CAFile() string { return p.ca.file }

// Close ends it and leaves nothing behind.
func (p *Platform) Close() { p.web.close() }

// AddUser adds a user with a token for the platform.
func (p *Platform) AddUser(name, token string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users[token] = name
}

// AddSession adds a session of a user's, or changes its token, the bot token.
func (p *Platform) AddSession(project, name, user, token string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sessions[project+"/"+name] = platformSession{user: user, token: token}
}

// SetConnection stores a user's connection, as if it had been connected
// elsewhere; nil removes it.
func (p *Platform) SetConnection(user string, c *PlatformConnection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c == nil {
		delete(p.connections, user)
		return
	}
	p.connections[user] = *c
}

// Connection is what is stored of a user.
func (p *Platform) Connection(user string) (PlatformConnection, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, found := p.connections[user]
	return c, found
}

// SetOld makes the platform an older one: to disconnect is a POST, and connect
// answers as its guide shows.
func (p *Platform) SetOld(old bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.old = old
}

// AddFault is as [Server.AddFault], with the endpoints "connect", "status",
// "disconnect", "test", "credentials", "other" and "all".
func (p *Platform) AddFault(f Fault) { p.faults.add(f) }

// ClearFaults is as [Server.ClearFaults].
func (p *Platform) ClearFaults() { p.faults.clear() }

// Requests is as [Server.Requests].
func (p *Platform) Requests() []Request { return p.web.log.requests() }

// ResetRequests is as [Server.ResetRequests].
func (p *Platform) ResetRequests() { p.web.reset() }

// Count is as [Server.Count].
func (p *Platform) Count(endpoint string) int { return p.web.log.count(endpoint) }

// SawSecret is as [Server.SawSecret].
func (p *Platform) SawSecret(value string) bool { return p.web.log.saw(value) }

// platformRoute finds the endpoint of a request; a credentials' argument is
// project/name.
func platformRoute(path string) route {
	rest, _ := strings.CutPrefix(path, "/api/")
	parts := strings.Split(rest, "/")
	switch {
	case len(parts) == 3 && parts[0] == "auth" && parts[1] == "gitlab":
		switch parts[2] {
		case "connect", "status", "disconnect", "test":
			return route{endpoint: parts[2], rest: true}
		}
	case len(parts) == 6 && parts[0] == "projects" && parts[2] == "agentic-sessions" && parts[4] == "credentials" && parts[5] == "gitlab":
		return route{endpoint: "credentials", rest: true, arg: parts[1] + "/" + parts[3]}
	}
	return route{endpoint: "other"}
}

func (p *Platform) serve(w http.ResponseWriter, r *http.Request) {
	rt := platformRoute(r.URL.EscapedPath())
	entry := p.web.log.begin(r, rt.endpoint, rt.rest)
	sw := &statusWriter{ResponseWriter: w}
	defer func() { p.web.log.finish(entry, sw.status) }()
	answer := func(w http.ResponseWriter) { p.answer(r, rt).write(w) }
	if f, ok := p.faults.take(rt, r); ok {
		strike(f, sw, r, rt, answer)
		return
	}
	answer(sw)
}

// unrouted is how the platform's web framework answers what it has no route for,
// another method included.
func unrouted() reply { return plain(http.StatusNotFound, "404 page not found") }

func (p *Platform) answer(r *http.Request, rt route) reply {
	p.mu.Lock()
	defer p.mu.Unlock()
	methods := map[string]string{"connect": http.MethodPost, "status": http.MethodGet, "test": http.MethodPost,
		"credentials": http.MethodGet, "disconnect": http.MethodDelete}
	if p.old {
		methods["disconnect"] = http.MethodPost
	}
	if methods[rt.endpoint] != r.Method {
		return unrouted()
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if rt.endpoint == "credentials" {
		return p.credentials(rt.arg, token)
	}
	user, known := p.users[token]
	if !known {
		for _, session := range p.sessions {
			if session.token == token {
				return routeError(http.StatusUnauthorized, "User authentication required")
			}
		}
		return routeError(http.StatusUnauthorized, "Invalid or missing token")
	}
	switch rt.endpoint {
	case "connect":
		return p.connect(r, user)
	case "test":
		return p.test(r)
	case "disconnect":
		delete(p.connections, user)
		return message(http.StatusOK, "GitLab disconnected successfully")
	}
	c, found := p.connections[user]
	if !found {
		return jsonReply(http.StatusOK, map[string]any{"connected": false})
	}
	return jsonReply(http.StatusOK, map[string]any{
		"connected": true, "instanceUrl": c.InstanceURL, "updatedAt": strconv.FormatInt(c.UpdatedAt.Unix(), 10)})
}

// platformRequest is the body of connect and test.
type platformRequest struct {
	Token       string `json:"personalAccessToken"`
	InstanceURL string `json:"instanceUrl"`
}

// invalid is what the platform has against a request, "" for nothing.
func (p *Platform) invalid(r *http.Request, body *platformRequest) string {
	if json.NewDecoder(r.Body).Decode(body) != nil || body.Token == "" {
		return "Invalid request body"
	}
	switch {
	case body.InstanceURL != "" && !strings.HasPrefix(body.InstanceURL, "https://"):
		return "Invalid input: instance URL must use HTTPS"
	case len(body.Token) < 20:
		return "Invalid input: token must be at least 20 characters"
	case p.old && strings.Contains(body.Token, "."):
		return "Invalid input: token contains invalid characters"
	}
	return ""
}

// tried is the user of a token on its instance; false when the platform has no
// success there.
func (p *Platform) tried(body platformRequest) (User, bool) {
	gitlab := p.opts.GitLab
	if gitlab == nil {
		return User{}, true
	}
	t, found := gitlab.Token(body.Token)
	if !found || t.Revoked || expired(t, gitlab.opts.Now()) || body.InstanceURL != gitlab.URL() {
		return User{}, false
	}
	return gitlab.state.user(t.UserID)
}

func (p *Platform) connect(r *http.Request, user string) reply {
	var body platformRequest
	if text := p.invalid(r, &body); text != "" {
		return routeError(http.StatusBadRequest, text)
	}
	account, good := p.tried(body)
	if !good {
		return routeError(http.StatusBadRequest, "GitLab connectivity check failed: GitLab API returned status 401")
	}
	p.connections[user] = PlatformConnection{Token: body.Token, InstanceURL: body.InstanceURL, UpdatedAt: time.Now()}
	if p.old {
		return jsonReply(http.StatusOK, map[string]any{
			"userId": user, "gitlabUserId": strconv.Itoa(account.ID), "username": account.Username,
			"instanceUrl": body.InstanceURL, "connected": true, "message": "GitLab account connected successfully"})
	}
	return jsonReply(http.StatusOK, map[string]any{"message": "GitLab connected successfully", "instanceUrl": body.InstanceURL})
}

func (p *Platform) test(r *http.Request) reply {
	var body platformRequest
	if text := p.invalid(r, &body); text != "" {
		return routeError(http.StatusBadRequest, text)
	}
	if _, good := p.tried(body); !good {
		return jsonReply(http.StatusOK, map[string]any{"valid": false, "error": "Invalid credentials"})
	}
	return jsonReply(http.StatusOK, map[string]any{"valid": true, "message": "GitLab connection successful"})
}

// credentials answers a session's own token, and its user's.
func (p *Platform) credentials(name, token string) reply {
	user, known := p.users[token]
	for _, session := range p.sessions {
		known = known || session.token == token
	}
	session, found := p.sessions[name]
	switch {
	case !known || token == "":
		return routeError(http.StatusUnauthorized, "Invalid or missing token")
	case !found:
		return routeError(http.StatusNotFound, "Session not found")
	case session.token != token && session.user != user:
		return routeError(http.StatusForbidden, "Access denied: session belongs to different user")
	}
	c, connected := p.connections[session.user]
	if !connected {
		return routeError(http.StatusNotFound, "GitLab credentials not configured")
	}
	return jsonReply(http.StatusOK, map[string]any{"token": c.Token, "instanceUrl": c.InstanceURL,
		"userName": session.user, "email": session.user + "@example.com", "provider": "gitlab"})
}
