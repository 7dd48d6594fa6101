package gitlabtest

import (
	"io"
	"net/http"
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
type Listener struct{ *web }

// StartListener starts a foreign host whose certificate is signed by dir's
// authority, the same as that of a [Server] in dir: it is trusted, and still
// must not see a token.
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
