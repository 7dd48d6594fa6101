package gitlabtest

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// ListenerOptions say what kind of foreign host to start. The zero value asks
// for credentials over TLS.
type ListenerOptions struct {
	Hosts     []string // further names in the certificate
	PlainHTTP bool
	// AnyName shows every client a certificate for the name that it asked for.
	AnyName bool
	// Redirect is a base URL to which every request is sent with 302, its
	// path and query behind it: what git follows before it has authenticated,
	// to ask for the new host's credentials. Empty: ask for Basic credentials.
	Redirect string
}

// Listener is a server that is not GitLab: it asks for Basic credentials on
// everything, refuses all that it gets, and remembers it.
type Listener struct {
	web *web
	ca  *authority
}

// StartListener starts a foreign host whose certificate is signed by dir's
// authority, the same as that of a [Server] in dir: it is trusted, and still
// must not see a token.
func StartListener(dir string, o ListenerOptions) (*Listener, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("gitlabtest: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("gitlabtest: %w", err)
	}
	l := &Listener{}
	if l.ca, err = loadAuthority(dir); err != nil {
		return nil, err
	}
	var wo webOptions
	if !o.PlainHTTP {
		if wo.certificate, err = l.ca.issue(CertificateGood, o.Hosts); err != nil {
			return nil, err
		}
	}
	if o.AnyName {
		wo.certificateFor = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return l.ca.issue(CertificateGood, []string{hello.ServerName})
		}
	}
	l.web, err = newWeb(wo, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { l.serve(w, r, o.Redirect) }))
	if err != nil {
		return nil, err
	}
	l.web.start()
	return l, nil
}

func (l *Listener) serve(w http.ResponseWriter, r *http.Request, redirect string) {
	entry := l.web.log.begin(r, "other", false)
	sw := &statusWriter{ResponseWriter: w}
	defer func() { l.web.log.finish(entry, sw.status) }()
	if redirect != "" {
		http.Redirect(sw, r, redirect+r.URL.RequestURI(), http.StatusFound)
		return
	}
	sw.Header().Set("Www-Authenticate", `Basic realm="not GitLab"`)
	sw.Header().Set("Content-Type", typePlain)
	sw.WriteHeader(http.StatusUnauthorized)
	_, _ = io.WriteString(sw, "who are you?\n")
}

// URL is scheme, address and port, without a trailing slash.
func (l *Listener) URL() string { return l.web.url }

// Addr is host:port, as for [Proxy.Route].
func (l *Listener) Addr() string { return l.web.addr }

// CAFile is the PEM file of dir's authority.
func (l *Listener) CAFile() string { return l.ca.file }

// Requests lists what came in, oldest first.
func (l *Listener) Requests() []Request { return l.web.log.requests() }

// Connections is how many TCP connections came in, failed handshakes included.
func (l *Listener) Connections() int { return l.web.connections() }

// SawSecret is as [Server.SawSecret].
func (l *Listener) SawSecret(value string) bool { return l.web.log.saw(value) }

// Close ends it and leaves nothing behind.
func (l *Listener) Close() { l.web.close() }
