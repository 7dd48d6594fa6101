package cli

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/config"
	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

// network says how git would reach a URL, so that it can be reached in the same
// way: by git's own environment, else by its configuration. What the repository
// itself says is never followed, since it would let whoever writes there choose
// whom to trust and through whom to send.
type network struct {
	app *app
	url string
	// config is git's configuration without the repository's, and settings are
	// those of http.* and http.<url>.* in it that apply.
	config   gitconfig.Config
	settings map[string]gitconfig.Entry
}

// network reads what git would. It starts git: nobody needs it before a connection
// is made.
func (a *app) network(url string) network {
	trusted := a.gitConfig().Trusted()
	return network{a, url, trusted, trusted.Match("http", url)}
}

// reach is how to reach the URL's host, trusting what trust says besides.
func (n network) reach(trust transport.Trust) (transport.Network, error) {
	var reach transport.Network
	var problem error
	if trust.Required, problem = n.file(n.app.config.CAInfo, "sslcainfo"); problem != nil {
		return reach, problem
	}
	if trust.Directory, problem = n.file(n.app.config.CAPath, "sslcapath"); problem != nil {
		return reach, problem
	}
	authorities, problem := n.app.roots(trust)
	if problem != nil {
		return reach, problem
	}
	reach.Roots, reach.Added, reach.Unread = authorities.Pool, authorities.Added, authorities.Unread
	reach.Remarks = func() string { return strings.Join(n.remarks(trust.Directory), "; ") }
	if problem = cmp.Or(n.identify(&reach), n.speak(&reach)); problem != nil {
		return reach, problem
	}
	return reach, n.goThrough(&reach)
}

// identify adds the certificate that git shows.
func (n network) identify(reach *transport.Network) error {
	certificate, problem := n.file(n.app.config.Cert, "sslcert")
	if problem != nil || certificate.Path == "" {
		return problem
	}
	key, problem := n.file(n.app.config.Key, "sslkey")
	if problem != nil {
		return problem
	}
	reach.Certificate, problem = transport.Identity(certificate, key)
	reach.CertificateBy = certificate.By
	return problem
}

// goThrough adds the proxy that git goes through.
func (n network) goThrough(reach *transport.Network) error {
	proxy, by, problem := n.proxy()
	switch {
	case problem != nil || proxy == nil:
		return problem
	case strings.HasPrefix(n.url, "http:"):
		// It would read the token on its way, git's as well as this program's.
		return errProxyReads(by)
	}
	reach.Proxy, reach.ProxyBy = http.ProxyURL(proxy), by
	if proxy.Scheme != "https" {
		return nil
	}
	authority, problem := n.file(n.app.config.ProxyCAInfo, "proxysslcainfo")
	if problem != nil {
		return problem
	}
	authorities, problem := n.app.roots(transport.Trust{Required: authority})
	reach.ProxyRoots = authorities.Pool
	return problem
}

// proxy is the proxy that git goes through (http.c, get_curl_handle), and the
// setting that names it; nil when git goes straight to the host.
func (n network) proxy() (*url.URL, string, error) {
	raw, by := n.proxySetting()
	at, err := url.Parse(n.url)
	if raw == "" || err == nil && bypassed(at.Hostname(), n.app.config.NoProxy()) {
		return nil, "", nil
	}
	proxy, err := parseProxy(raw)
	if err != nil {
		return nil, "", errProxyInvalid(by, err.Error())
	}
	return proxy, by, nil
}

// proxySetting is what names a proxy: git's configuration, else the environment,
// where a variable that is empty means none.
func (n network) proxySetting() (raw, by string) {
	if e, found := n.settings["proxy"]; found {
		return e.Value(), called(e)
	}
	variable := n.app.config.Proxy(!strings.HasPrefix(n.url, "http:"))
	return variable.Value, variable.Name
}

// optional before a path lets the file be missing (git 2.52).
const optional = ":(optional)"

// file is the path that a variable (the zero value for none) names, else a setting of
// git's.
func (n network) file(variable config.Setting, key string) (transport.Named, error) {
	if path := variable.Value; path != "" {
		return named(variable), rooted(variable.Name, path)
	}
	e, found := n.settings[key]
	if !found || e.Value() == "" {
		return transport.Named{}, nil
	}
	by := called(e)
	value, mayMiss := strings.CutPrefix(e.Value(), optional)
	path := value
	// git takes these for paths as they are.
	if !strings.HasPrefix(key, "proxy") {
		var err error
		if path, err = n.app.gitProgram().Expand(context.Background(), value); err != nil {
			return transport.Named{}, errPathInvalid(by, err.Error())
		}
	}
	if problem := rooted(by, path); problem != nil {
		return transport.Named{}, problem
	}
	if _, err := os.Stat(path); mayMiss && errors.Is(err, os.ErrNotExist) {
		return transport.Named{}, nil
	}
	return transport.Named{Path: path, By: by}, nil
}

// named is what a variable names.
func named(variable config.Setting) transport.Named {
	return transport.Named{Path: variable.Value, By: variable.Name}
}

// rooted refuses relative paths: they lead into whatever repository git works in,
// and whoever writes there would choose whom to trust.
func rooted(by string, paths ...string) error {
	for _, path := range paths {
		if path != "" && !filepath.IsAbs(path) {
			return errPathInvalid(by, "it is relative to whatever directory git runs in")
		}
	}
	return nil
}

// called names a setting and where it stands.
func called(e gitconfig.Entry) string { return e.Name() + " in " + message.Quote(e.Origin) }

// everywhere are the settings as git itself has them, the repository's own among
// them. They are for telling people, and for nothing else.
func (n network) everywhere() map[string]gitconfig.Entry {
	return n.app.gitConfig().Match("http", n.url)
}

// verifyOff names the setting by which git verifies no certificate at this URL,
// which is never followed here; "" when it does verify.
func (n network) verifyOff() string {
	if variable := n.app.config.NoVerify; variable.Set {
		return variable.Name
	}
	if e, found := n.everywhere()["sslverify"]; found && !e.Bool() {
		return called(e)
	}
	return ""
}

// unfollowed are the settings that git follows to this URL and this program does
// not, each by name and place: no verification of certificates, and what the
// repository says of authorities and certificates.
func (n network) unfollowed() []string {
	var all []string
	if by := n.verifyOff(); by != "" {
		all = append(all, by)
	}
	settings := n.everywhere()
	for key, variable := range n.fileVariables() {
		if e, found := settings[key]; found && !e.Scope.Trusted() && variable.Value == "" {
			all = append(all, called(e))
		}
	}
	return all
}

// fileVariables are the keys of git's settings that name files, and the variables
// that take precedence over them.
func (n network) fileVariables() iter.Seq2[string, config.Setting] {
	return func(yield func(string, config.Setting) bool) {
		c := n.app.config
		_ = yield("sslcainfo", c.CAInfo) && yield("sslcapath", c.CAPath) && yield("sslcert", c.Cert) && yield("sslkey", c.Key)
	}
}

// remarks are for people whose connection failed over TLS.
func (n network) remarks(directory transport.Named) []string {
	var all []string
	for _, by := range n.unfollowed() {
		all = append(all, notFollowed(by))
	}
	for key, variable := range n.fileVariables() {
		if e, found := n.settings[key]; found && variable.Value != "" && variable.Value != e.Value() {
			all = append(all, hides(variable.Name, called(e)))
		}
	}
	if info, err := os.Stat(directory.Path); directory.Path != "" && (err != nil || !info.IsDir()) {
		all = append(all, unreadable(directory.Path, directory.By))
	}
	return all
}

// roots are the authorities to trust: the system's, those of trust, and those
// that the environment names.
func (a *app) roots(trust transport.Trust) (transport.Authorities, error) {
	if trust.Required.Path == "" {
		trust.Required = named(a.config.CAInfo)
	}
	trust.Optional, trust.OptionalDirs = named(a.config.CertFile), named(a.config.CertDir)
	problem := cmp.Or(rooted(trust.Required.By, trust.Required.Path), rooted(trust.Optional.By, trust.Optional.Path),
		rooted(trust.OptionalDirs.By, filepath.SplitList(trust.OptionalDirs.Path)...))
	if problem != nil {
		return transport.Authorities{}, problem
	}
	return transport.Roots(trust)
}
