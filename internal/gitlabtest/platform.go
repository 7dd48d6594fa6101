package gitlabtest

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// PlatformOptions are for StartPlatform. Dir is required. By default, the platform is on
// https://127.0.0.1:<free port> and accepts any token.
type PlatformOptions struct {
	// Dir holds the certificate authority, as [Options].Dir does, and may be
	// the same.
	Dir string
	// Hosts are further DNS names or addresses in the certificate.
	Hosts     []string
	PlainHTTP bool
	// Certificate chooses a flaw in the server certificate.
	Certificate CertificateKind
	// GitLab checks tokens before they are stored, as newer platforms do; nil: no check.
	GitLab *Server
}

// PlatformConnection is a user's stored connection.
type PlatformConnection struct {
	Token string
	// InstanceURL is as it was sent; "" for gitlab.com.
	InstanceURL string
	UpdatedAt   time.Time
}

// PlatformCredential is a credential of the control plane.
type PlatformCredential struct {
	ID, Provider, Token, URL string
	// Project owns it, "" for none.
	Project string
}

// platformSession is a session's owner and bot token.
type platformSession struct{ user, token string }

// Platform is a fake Ambient Code Platform: its API for GitLab connections, as of a backend
// without SSO, and the control plane's credentials.
type Platform struct {
	*web
	faults
	opts PlatformOptions

	mu          sync.Mutex
	old         bool
	users       map[string]string // by token
	connections map[string]PlatformConnection
	sessions    map[string]platformSession // by project/name
	credentials map[string]PlatformCredential
}

// platformEndpoints are the endpoints for a Platform's Fault.Match: credentials is a
// session's, credential and credential-token are the control plane's.
var platformEndpoints = []string{"connect", "status", "disconnect", "test", "credentials", "credential", "credential-token", "other", "all"}

// StartPlatform starts a platform without users.
func StartPlatform(o PlatformOptions) (*Platform, error) {
	p := &Platform{opts: o, users: map[string]string{}, connections: map[string]PlatformConnection{}, sessions: map[string]platformSession{}, credentials: map[string]PlatformCredential{}}
	p.names = platformEndpoints
	err := startWeb(&p.web, webOptions{dir: o.Dir, plain: o.PlainHTTP, certificate: o.Certificate, hosts: o.Hosts}, p.serve)
	return p, err
}

// AddUser adds a user with a token for the platform. With an empty name, it is a token of
// the cluster without a user.
func (p *Platform) AddUser(name, token string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users[token] = name
}

// AddSession adds a user's session, or changes its bot token.
func (p *Platform) AddSession(project, name, user, token string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sessions[project+"/"+name] = platformSession{user: user, token: token}
}

// AddCredential adds or replaces a credential of the control plane.
func (p *Platform) AddCredential(c PlatformCredential) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.credentials[c.ID] = c
}

// SetConnection stores a user's connection; nil removes it.
func (p *Platform) SetConnection(user string, c *PlatformConnection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c == nil {
		delete(p.connections, user)
		return
	}
	p.connections[user] = *c
}

// Connection returns a user's connection.
func (p *Platform) Connection(user string) (PlatformConnection, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, found := p.connections[user]
	return c, found
}

// SetOld makes it an older platform: disconnect is a POST, and connect replies as in its
// guide.
func (p *Platform) SetOld(old bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.old = old
}

// platformRoute finds the endpoint of a request; a credentials' argument is
// project/name, and a credential's the same or /id.
func platformRoute(path string) route {
	rest, _ := strings.CutPrefix(path, "/api/")
	if rest, found := strings.CutPrefix(rest, "ambient/v1/"); found {
		return credentialRoute(strings.Split(rest, "/"))
	}
	parts := strings.Split(rest, "/")
	switch {
	case len(parts) == 5 && parts[0] == "projects" && parts[2] == "auth" && parts[3] == "gitlab" && parts[4] == "disconnect":
		return route{endpoint: parts[4], rest: true, arg: "project"}
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

// credentialRoute is for [projects/P/]credentials/ID[/token].
func credentialRoute(parts []string) route {
	project := ""
	if len(parts) > 2 && parts[0] == "projects" {
		project, parts = parts[1], parts[2:]
	}
	switch {
	case len(parts) == 2 && parts[0] == "credentials":
		return route{endpoint: "credential", rest: true, arg: project + "/" + parts[1]}
	case len(parts) == 3 && parts[0] == "credentials" && parts[2] == "token":
		return route{endpoint: "credential-token", rest: true, arg: project + "/" + parts[1]}
	}
	return route{endpoint: "other"}
}

func (p *Platform) serve(w http.ResponseWriter, r *http.Request) {
	rt := platformRoute(r.URL.EscapedPath())
	p.logged(w, r, rt, func(w *statusWriter) {
		p.faults.answer(w, r, rt, func(w http.ResponseWriter) { p.answer(r, rt).write(w) })
	})
}

// unrouted is the web framework's reply for an unknown route or method.
func unrouted() reply { return plain(http.StatusNotFound, "404 page not found") }

func (p *Platform) answer(r *http.Request, rt route) reply {
	p.mu.Lock()
	defer p.mu.Unlock()
	methods := map[string]string{"connect": http.MethodPost, "status": http.MethodGet, "test": http.MethodPost,
		"credentials": http.MethodGet, "disconnect": http.MethodDelete, "credential": http.MethodGet, "credential-token": http.MethodGet}
	if p.old || rt.arg == "project" {
		methods["disconnect"] = http.MethodPost
	}
	if methods[rt.endpoint] != r.Method {
		return unrouted()
	}
	if rt.endpoint == "test" {
		return p.test(r)
	}
	user, bot, refused := p.caller(r)
	switch {
	case strings.HasPrefix(rt.endpoint, "credential-") || rt.endpoint == "credential":
		return p.credential(rt, refused)
	case refused != nil:
		return *refused
	case rt.endpoint == "credentials":
		return p.sessionCredentials(rt.arg, user, bot, r.Header.Get("X-Runner-Current-User"))
	case user == "":
		return routeError(http.StatusUnauthorized, "User authentication required")
	}
	switch rt.endpoint {
	case "connect":
		return p.connect(r, user)
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

// caller is the user of a request: from the login proxy's header, which is not checked, or
// from the token; "" for none. bot is the session of a bot token.
func (p *Platform) caller(r *http.Request) (user, bot string, refused *reply) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if name := r.Header.Get("X-Forwarded-User"); name != "" {
		return name, "", nil
	}
	if name, known := p.users[token]; known {
		return name, "", nil
	}
	for name, session := range p.sessions {
		if session.token == token && token != "" {
			return session.user, name, nil
		}
	}
	text := "Token expired or invalid"
	if token == "" {
		text = "Invalid or missing token"
	}
	answer := routeError(http.StatusUnauthorized, text)
	return "", "", &answer
}

// platformRequest is the body of connect and test.
type platformRequest struct {
	Token       string `json:"personalAccessToken"`
	InstanceURL string `json:"instanceUrl"`
}

// invalid is the error of an invalid request, or "".
func (p *Platform) invalid(r *http.Request, body *platformRequest) string {
	if json.NewDecoder(r.Body).Decode(body) != nil || body.Token == "" {
		return "Invalid request body"
	}
	switch {
	case body.InstanceURL != "" && !strings.HasPrefix(body.InstanceURL, "https://"):
		return "Invalid input: instance URL must use HTTPS"
	case len(body.Token) < 20:
		return "Invalid input: token must be at least 20 characters"
	case len(body.Token) > 255:
		return "Invalid input: token must be at most 255 characters"
	case p.old && strings.Contains(body.Token, "."):
		return "Invalid input: token contains invalid characters"
	}
	return ""
}

// tried is the user of a token on its instance; false if the token doesn't work.
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

// sessionCredentials are the owner's for the session's bot token, whichever user the runner
// names. A user's token gets the user's, if the runner names that user, or the owner if it
// names none.
func (p *Platform) sessionCredentials(name, user, bot, acting string) reply {
	session, found := p.sessions[name]
	project, _, _ := strings.Cut(name, "/")
	switch {
	case bot != "" && !strings.HasPrefix(bot, project+"/"):
		return routeError(http.StatusForbidden, "Unauthorized to access project")
	case !found:
		return routeError(http.StatusNotFound, "Session not found")
	case bot != "" && bot != name, bot == "" && user != cmp.Or(acting, session.user), user == "":
		return routeError(http.StatusForbidden, "Access denied")
	}
	c, connected := p.connections[user]
	if !connected {
		return routeError(http.StatusNotFound, "GitLab credentials not configured")
	}
	// Without a user if GitLab rejects the token.
	account, _ := p.tried(platformRequest{c.Token, c.InstanceURL})
	return jsonReply(http.StatusOK, map[string]any{"token": c.Token, "instanceUrl": c.InstanceURL,
		"userName": cmp.Or(account.Name, account.Username), "email": account.Email, "provider": "gitlab"})
}

// credential is a credential of the control plane, or its token.
func (p *Platform) credential(rt route, refused *reply) reply {
	failed := func(status int, reason string) reply {
		id := strconv.Itoa(status)
		return jsonReply(status, map[string]any{"kind": "Error", "id": id, "href": "/api/ambient/v1/errors/" + id, "code": "ambient-" + id, "reason": reason})
	}
	if refused != nil {
		return failed(http.StatusUnauthorized, "Account authentication could not be verified")
	}
	project, id, _ := strings.Cut(rt.arg, "/")
	c, found := p.credentials[id]
	switch {
	case !found || project != "" && project != c.Project:
		return failed(http.StatusNotFound, "Credential with id='"+id+"' not found")
	case rt.endpoint == "credential-token":
		return jsonReply(http.StatusOK, map[string]any{"credential_id": c.ID, "provider": c.Provider, "token": c.Token})
	}
	body := map[string]any{"id": c.ID, "kind": "Credential", "href": "/api/ambient/v1/credentials/" + c.ID, "name": "gitlab", "provider": c.Provider}
	if c.URL != "" {
		body["url"] = c.URL
	}
	return jsonReply(http.StatusOK, body)
}
