// Package gitlabtest is a local fake GitLab for tests and the demo: the REST endpoints that
// a credential helper uses, and real git repositories behind `git http-backend`, over TLS
// with HTTP/2, on a loopback address.
//
// Statuses, headers and bodies follow GitLab's source and documentation (versions up to
// 19.5). A behavior that GitLab doesn't have belongs in a [Fault], never in an endpoint.
//
// It also has a [Listener] that is not GitLab and must never see a token, a [Proxy] with its
// own names and delays, a [Platform] that stores tokens for sessions, and [WriteSecret],
// which mounts a Kubernetes Secret as kubelet does.
package gitlabtest

import (
	"errors"
	"fmt"
	"html"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
)

// Options are for Start. Dir is required. By default, the instance is on
// https://127.0.0.1:<free port>.
type Options struct {
	// Dir has the repositories and the certificate authority, and is made if missing. Servers
	// with the same Dir share the authority.
	Dir string
	// Path is the relative URL root of the instance, such as "/gitlab", or empty.
	Path string
	// Hosts are further DNS names or addresses in the certificate; 127.0.0.1,
	// ::1 and localhost are always in it.
	Hosts []string
	// PlainHTTP serves without TLS.
	PlainHTTP bool
	// HTTP1Only offers no HTTP/2 in the TLS handshake.
	HTTP1Only bool
	// Now is the server's clock for expiry, rotation and rate limits; nil is
	// time.Now. Certificates always follow the real clock, because clients do.
	Now func() time.Time
	// Certificate chooses a flaw in the server certificate.
	Certificate CertificateKind
	// ClientCertificates requires a client certificate of Dir's authority (IssueClient).
	ClientCertificates bool
}

// Server is a running GitLab. Its methods may be called concurrently.
type Server struct {
	*web
	faults
	opts  Options
	root  string // this server's own directory below Options.Dir
	git   gitProgram
	state state

	limits rateLimits
	ban    loginBan
}

// Start starts a server. It fails without git, git-http-backend or a usable Dir.
func Start(o Options) (*Server, error) {
	if o.Dir == "" {
		return nil, errors.New("gitlabtest: Options.Dir is required")
	}
	if o.Path != "" && (!strings.HasPrefix(o.Path, "/") || strings.HasSuffix(o.Path, "/")) {
		return nil, fmt.Errorf("gitlabtest: path %q must begin with a slash and not end with one", o.Path)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{opts: o}
	s.state.init()
	s.names = matchNames
	var err error
	if err = startWeb(&s.web, webOptions{dir: o.Dir, plain: o.PlainHTTP, certificate: o.Certificate, hosts: o.Hosts, clients: o.ClientCertificates, http1Only: o.HTTP1Only}, s.serve); err != nil {
		return nil, err
	}
	// Servers that share Dir have their own repositories.
	if s.root, err = os.MkdirTemp(filepath.Dir(s.ca.file), "gitlab-"); err == nil {
		s.git, err = newGitProgram(s.root)
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("gitlabtest: %w", err)
	}
	return s, nil
}

// URL is the instance's URL as a user would write it, with Options.Path and
// without a trailing slash.
func (s *Server) URL() string { return s.web.URL() + s.opts.Path }

// serve routes and records a request, then replies with a fault or as GitLab.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	rt := s.route(r)
	answer := func(w http.ResponseWriter) {
		switch {
		case rt.rest:
			s.serveAPI(w, r, rt)
		case rt.repo != nil && rt.endpoint == "lfs":
			s.serveLFS(w, r, rt.repo)
		case rt.repo != nil:
			s.serveGit(w, r, rt.repo)
		default:
			s.servePage(w, r)
		}
	}
	s.logged(w, r, rt, func(w *statusWriter) { s.faults.answer(w, r, rt, answer) })
}

// goGet tells the go command the repository of a package
// (lib/gitlab/middleware/go.rb). For a project that the caller can't see, it names
// the first two parts of the path, as if there were no subgroups.
func (s *Server) goGet(w http.ResponseWriter, r *http.Request, parts []string) {
	name := strings.Join(parts[:min(len(parts), 2)], "/")
	user, password, _ := r.BasicAuth()
	c, _ := s.gitCredential(user, password)
	for n := len(parts); n >= 2; n-- {
		if p, _, ok := s.state.project(strings.Join(parts[:n], "/")); ok && p.visible(c.user) {
			name = p.Path
			break
		}
	}
	root := html.EscapeString(r.Host + s.opts.Path + "/" + name)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = fmt.Fprintf(w, "<html><head><meta name=\"go-import\" content=\"%[1]s git https://%[1]s.git\"></head></html>\n", root)
}

// servePage is the web interface: only the redirect to the sign-in page, and go-get.
func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, s.opts.Path)
	if r.URL.Query().Get("go-get") == "1" {
		s.goGet(w, r, strings.Split(strings.Trim(path, "/"), "/"))
		return
	}
	if path == "" || path == "/" {
		http.Redirect(w, r, s.origin(r)+s.opts.Path+"/users/sign_in", http.StatusFound)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write([]byte("<!DOCTYPE html>\n<html><head><title>Not Found</title></head><body><h1>404</h1></body></html>\n"))
}

// origin is scheme and host as the client used them, since a [Proxy] can give the server
// another name.
func (s *Server) origin(r *http.Request) string {
	if r.TLS == nil {
		return "http://" + r.Host
	}
	return "https://" + r.Host
}

// MountSecret mounts or replaces a Secret with a token, an instance URL and the server's CA;
// see [WriteSecret].
func (s *Server) MountSecret(dir, token, instanceURL string) error {
	ca, err := os.ReadFile(s.CAFile())
	if err != nil {
		return fmt.Errorf("gitlabtest: %w", err)
	}
	return WriteSecret(dir, map[string]string{"token": token, "instanceUrl": instanceURL, "ca.crt": string(ca)})
}

// Environ makes dir/home and returns an environment with that home directory for git and the
// program: git trusts the server and doesn't prompt, the program is first on the PATH, and
// its cache is in dir.
func (s *Server) Environ(dir, program string) ([]string, error) {
	home := filepath.Join(dir, "home")
	if err := os.Mkdir(home, 0o755); err != nil {
		return nil, fmt.Errorf("gitlabtest: %w", err)
	}
	return []string{
		"HOME=" + home, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C",
		"PATH=" + filepath.Dir(program) + string(os.PathListSeparator) + os.Getenv("PATH"),
		"GIT_SSL_CAINFO=" + s.CAFile(),
		"ACP_GITLAB_CACHE_DIR=" + filepath.Join(dir, "cache"),
	}, nil
}

// AddGoodToken adds a token with the default scopes that expires in 90 days.
func (s *Server) AddGoodToken(value string, userID int) {
	s.AddToken(Token{Value: value, UserID: userID, Scopes: access.DefaultScopes(),
		ExpiresAt: time.Now().UTC().AddDate(0, 0, 90).Format(time.DateOnly)})
}
