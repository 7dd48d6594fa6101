package gitlabtest

import (
	"io"
	"net/http"
)

// ListenerOptions are for StartListener. The zero value asks for credentials over TLS.
type ListenerOptions struct {
	Hosts     []string // further names in the certificate
	PlainHTTP bool
	// AnyName issues a certificate for each requested name.
	AnyName bool
	// Redirect is a base URL: every request is redirected (302) to it plus its path and
	// query. git follows before it authenticates. Empty: ask for Basic credentials.
	Redirect string
}

// Listener is a server that is not GitLab: it asks for Basic credentials and records what it
// gets.
type Listener struct{ *web }

// StartListener starts a foreign host with a certificate from dir's authority, as a [Server]
// in dir has: it is trusted, but must not see a token.
func StartListener(dir string, o ListenerOptions) (*Listener, error) {
	l := &Listener{}
	err := startWeb(&l.web, webOptions{dir: dir, plain: o.PlainHTTP, hosts: o.Hosts, anyName: o.AnyName}, func(w http.ResponseWriter, r *http.Request) {
		l.logged(w, r, route{endpoint: "other"}, func(w *statusWriter) {
			if o.Redirect != "" {
				http.Redirect(w, r, o.Redirect+r.URL.RequestURI(), http.StatusFound)
				return
			}
			w.Header().Set("Www-Authenticate", `Basic realm="not GitLab"`)
			w.Header().Set("Content-Type", typePlain)
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, "who are you?\n")
		})
	})
	return l, err
}
