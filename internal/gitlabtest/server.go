// Package gitlabtest is a GitLab for tests and for the demo: the few REST
// endpoints that a credential helper asks, and real git repositories behind
// `git http-backend`, over TLS with HTTP/2, on a loopback address.
//
// Statuses, headers and bodies follow GitLab's source and documentation
// (versions up to 19.5). A test that passes here is worth only as
// much as that likeness, so a behaviour that GitLab doesn't have belongs in a
// [Fault], never in an endpoint.
//
// Beside the server stand the parts that a test of a whole machine needs: a
// [Listener] that is not GitLab and must never see a token, a [Proxy] that
// stands in for DNS and for distance, a [Platform] that stores tokens for
// sessions, and [WriteSecret], which mounts a Kubernetes Secret the way a
// kubelet does.
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

// Options says what kind of GitLab to start. The zero value but for Dir is an
// instance on https://127.0.0.1:<free port>.
type Options struct {
	// Dir holds the repositories and the certificate authority. It is
	// required and made if missing; two servers may share one, and then share
	// the authority, so that one CA file serves both.
	Dir string
	// Path is the relative URL root of the instance, such as "/gitlab"; empty
	// for an instance at the root of its host.
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
	// ClientCertificates lets only clients in that show a certificate signed by
	// the authority of Dir, as IssueClient makes them.
	ClientCertificates bool
}

// Server is a running GitLab. All its methods may be called at any time, from
// any goroutine, while clients are being served.
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

// Start makes the directories and the certificate and begins to serve. The
// error names what is missing: git, git-http-backend, or a usable Dir.
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
	// Each server has repositories of its own, even in a shared Dir: ids and
	// paths of two instances must not meet.
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

// serve is every request's way: what it asks for, what is remembered of it,
// what fault it meets, and only then GitLab.
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

// servePage answers for the web interface, of which there is none but the
// redirect to its sign-in page and what the go command asks.
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

// origin is scheme and host as the client used them, so that what GitLab says
// about itself stays true behind a [Proxy] that gives it another name.
func (s *Server) origin(r *http.Request) string {
	if r.TLS == nil {
		return "http://" + r.Host
	}
	return "https://" + r.Host
}

// MountSecret mounts a Secret with a token, an instance URL and the server's CA,
// or replaces it; see [WriteSecret].
func (s *Server) MountSecret(dir, token, instanceURL string) error {
	ca, err := os.ReadFile(s.CAFile())
	if err != nil {
		return fmt.Errorf("gitlabtest: %w", err)
	}
	return WriteSecret(dir, map[string]string{"token": token, "instanceUrl": instanceURL, "ca.crt": string(ca)})
}

// Environ makes dir/home and returns an environment with that home directory for
// git and the program: git trusts the server and asks nobody, the program is first
// on the PATH and has a cache in dir.
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

// AddGoodToken adds a token with all that the program needs: the default scopes
// and 90 days to live.
func (s *Server) AddGoodToken(value string, userID int) {
	s.AddToken(Token{Value: value, UserID: userID, Scopes: access.DefaultScopes(),
		ExpiresAt: time.Now().UTC().AddDate(0, 0, 90).Format(time.DateOnly)})
}
