package gitlabtest

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cgi"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// GitLab's texts for git over HTTPS (lib/gitlab/git_access.rb).
const (
	textNotFound      = "The project you were looking for could not be found or you don't have permission to view it."
	textNoRepository  = "A repository for this project does not exist yet."
	textScopeDownload = "You are not allowed to download code."
	textScopeUpload   = "You are not allowed to upload code."
	textRoleDownload  = "You are not allowed to download code from this project."
	textRolePush      = "You are not allowed to push code to this project."
	textWikiDownload  = "You are not allowed to download files from this wiki."
	textWikiPush      = "You are not allowed to write to this project's wiki."
	textArchived      = "You can't push code to an archived project."
	textCommand       = "The command you're trying to execute is not allowed."
	textBanned        = "Too many failed authentication attempts from this IP"
	textDenied        = "HTTP Basic: Access denied. If a password was provided for Git authentication, the password was incorrect or you're required to use a token instead of a password. If a token was provided, it was either incorrect, expired, or improperly scoped. See %s/help/topics/git/troubleshooting_git.md#error-on-git-fetch-http-basic-access-denied"
	challenge         = `Basic realm="GitLab"`
)

// otherKinds are user names of other credentials: deploy tokens and CI job tokens
// (GitLab's documentation).
var otherKinds = regexp.MustCompile(`^([A-Za-z]*-ci-token|gitlab\+deploy-token-[0-9]+)$`)

// gitRefusal is what SetGitRefuses sets.
type gitRefusal struct {
	status int
	text   string
}

// SetGitRefuses makes git requests with credentials fail with status and text, although the
// API accepts them: an IP allow list, a missing SSO session, a token revoked a moment ago
// (401). Status 0 ends it.
func (s *Server) SetGitRefuses(text string, status int) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.refusal = gitRefusal{status: status, text: text}
}

// loginBan counts failed git logins by IP; a good one resets the count.
type loginBan struct {
	mu    sync.Mutex
	limit int
	fails map[string]int
}

// SetGitBan bans an IP from git after that many failed logins, and resets the counts; 0 is
// no ban.
func (s *Server) SetGitBan(limit int) {
	s.ban.mu.Lock()
	defer s.ban.mu.Unlock()
	s.ban.limit, s.ban.fails = limit, map[string]int{}
}

func (b *loginBan) banned(ip string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.limit > 0 && b.fails[ip] >= b.limit
}

func (b *loginBan) login(ip string, good bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.limit == 0:
	case good:
		delete(b.fails, ip)
	default:
		b.fails[ip]++
	}
}

// gitCaller is the user of a git request, and what the token allows.
type gitCaller struct {
	user       User
	anonymous  bool
	pull, push bool
}

// gitLogin authenticates a git or LFS request.
func (s *Server) gitLogin(r *http.Request) (gitCaller, *reply) {
	ip, _, _ := net.SplitHostPort(r.RemoteAddr)
	if s.ban.banned(ip) {
		p := plain(http.StatusForbidden, textBanned)
		return gitCaller{}, &p
	}
	name, password, ok := r.BasicAuth()
	if !ok {
		return gitCaller{anonymous: true, pull: true}, nil
	}
	s.state.mu.Lock()
	refusal := s.state.refusal
	s.state.mu.Unlock()
	if refusal.status != 0 {
		p := plain(refusal.status, refusal.text)
		if refusal.status == http.StatusUnauthorized {
			p = p.with("Www-Authenticate", challenge)
			s.ban.login(ip, false)
		}
		return gitCaller{}, &p
	}
	c, ok := s.gitCredential(name, password)
	s.ban.login(ip, ok)
	if !ok {
		return c, s.denied(r)
	}
	return c, nil
}

func (s *Server) denied(r *http.Request) *reply {
	p := plain(http.StatusUnauthorized, fmt.Sprintf(textDenied, s.base(r))).with("Www-Authenticate", challenge)
	return &p
}

// gitCredential looks up a password among the tokens. A blocked account can't log in;
// other forbidden accounts are refused later.
func (s *Server) gitCredential(name, password string) (gitCaller, bool) {
	t, ok := s.state.token(password)
	if !ok || t.Revoked || expired(t, s.opts.Now()) {
		return gitCaller{}, false
	}
	has := func(scopes ...string) bool {
		return slices.ContainsFunc(scopes, func(sc string) bool { return slices.Contains(t.Scopes, sc) })
	}
	if t.Kind == "oauth" && name != "oauth2" || t.Kind == "" && otherKinds.MatchString(name) {
		return gitCaller{}, false
	}
	u, ok := s.state.user(t.UserID)
	if !ok || strings.Contains(u.Forbidden, "blocked") {
		return gitCaller{}, false
	}
	return gitCaller{
		user: u,
		pull: has("api", "read_api", "read_repository", "write_repository"),
		push: has("api", "write_repository"),
	}, true
}

// gitAccess checks access to a repository, in the order of GitLab's GitAccess#check:
// account, scope, project, repository, archived, role.
func (s *Server) gitAccess(r *http.Request, c gitCaller, rt *repoRoute) (p Project, moved bool, refused *reply) {
	p, moved, ok := s.state.project(rt.path)
	ok = ok && (!p.GroupOnly || rt.wiki)
	no := func(status int, text string) (Project, bool, *reply) {
		a := plain(status, text)
		return p, moved, &a
	}
	if c.anonymous && (rt.push() || !ok || !p.codeVisible(User{})) {
		return p, moved, s.denied(r)
	}
	download, push := textRoleDownload, textRolePush
	if rt.wiki {
		download, push = textWikiDownload, textWikiPush
	}
	switch {
	case c.user.Forbidden != "":
		return no(http.StatusForbidden, c.user.Forbidden)
	case rt.push() && !c.push:
		return no(http.StatusForbidden, textScopeUpload)
	case !rt.push() && !c.pull:
		return no(http.StatusForbidden, textScopeDownload)
	case !rt.push() && rt.service != "git-upload-pack":
		return no(http.StatusForbidden, textCommand)
	case !ok || !p.visible(c.user):
		return no(http.StatusNotFound, textNotFound)
	case p.NoRepository:
		return no(http.StatusNotFound, textNoRepository)
	case rt.push() && p.Archived:
		return no(http.StatusForbidden, textArchived)
	case rt.push() && !p.pushable(c.user, false):
		return no(http.StatusForbidden, push)
	case !rt.push() && !p.codeVisible(c.user):
		return no(http.StatusForbidden, download)
	}
	return p, moved, nil
}

// serveGit checks access, then runs git http-backend.
func (s *Server) serveGit(w http.ResponseWriter, r *http.Request, rt *repoRoute) {
	if !rt.suffix {
		// GitLab serves the first request of a URL without ".git" by sending
		// git to the one with it; git follows there and goes on from it.
		if rt.rpc != "/info/refs" {
			s.servePage(w, r)
			return
		}
		path := strings.TrimSuffix(r.URL.EscapedPath(), rt.rpc)
		http.Redirect(w, r, s.origin(r)+path+".git"+rt.rpc+"?"+r.URL.RawQuery, http.StatusMovedPermanently)
		return
	}
	c, refused := s.gitLogin(r)
	if refused != nil {
		refused.write(w)
		return
	}
	p, moved, refused := s.gitAccess(r, c, rt)
	if refused != nil {
		refused.write(w)
		return
	}
	env := []string{"GIT_PROJECT_ROOT=" + s.git.repositories, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=" + c.user.Username}
	if v := r.Header.Get("Git-Protocol"); v != "" {
		env = append(env, "GIT_PROTOCOL="+v)
	}
	if !p.pushable(c.user, true) && !rt.wiki {
		env = append(env, "GITLABTEST_PROTECTED="+strings.Join(p.ProtectedBranches, " "))
	}
	if moved {
		// As GitLab words it, and after a push only
		// (lib/gitlab/checks/container_moved.rb).
		env = append(env, fmt.Sprintf("GITLABTEST_NOTICE=Project '%s' was moved to '%s'.\n\nPlease update your Git remote:\n\n  git remote set-url origin %s/%s.git",
			rt.path, p.Path, s.base(r), p.Path))
	}
	s.backend(w, r, "/"+s.git.name(p.ID, rt.wiki)+rt.rpc, env)
}

// backend runs git http-backend for one request, without the credential: other users can
// read an environment.
func (s *Server) backend(w http.ResponseWriter, r *http.Request, path string, env []string) {
	inner := r.Clone(r.Context())
	inner.URL.Path, inner.URL.RawPath = path, ""
	inner.Header = http.Header{}
	for _, k := range []string{"Accept", "Accept-Encoding", "Content-Encoding", "Content-Type", "User-Agent"} {
		if v := r.Header.Values(k); v != nil {
			inner.Header[k] = v
		}
	}
	// net/http has decoded the chunks.
	inner.TransferEncoding = nil
	h := &cgi.Handler{
		Path: s.git.backend, Root: "/", Dir: s.git.home, Env: s.git.env(env...),
		Stderr: io.Discard, Logger: log.New(io.Discard, "", 0),
	}
	h.ServeHTTP(w, inner)
}
