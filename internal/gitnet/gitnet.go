// Package gitnet finds out how git would reach a URL, from git's environment and
// configuration, so that it can be reached in the same way. A repository's own
// configuration is ignored, since it could choose whom to trust and which proxy to use.
package gitnet

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

// Settings say how git reaches servers.
type Settings struct {
	// Config has the variables.
	Config config.Config
	// Program is git, and Git its configuration in the working directory. They are called
	// on demand, since they start git.
	Program func() gitconfig.Git
	Git     func() gitconfig.Config
}

// Way is how git reaches one URL.
type Way struct {
	Settings
	url string
	// config is git's configuration without the repository's, and settings are its http.*
	// and http.<url>.* settings for the URL.
	config   gitconfig.Config
	settings map[string]gitconfig.Entry
}

// To is the way to a URL.
func (s Settings) To(url string) Way {
	trusted := s.Git().Trusted()
	return Way{s, url, trusted, trusted.Match("http", url)}
}

// PlainProxy is the proxy for a server other than git's, from the environment only.
func (s Settings) PlainProxy(address string) (*url.URL, string, error) {
	return Way{Settings: s, url: address}.proxy()
}

// Network is how to reach the URL's host, trusting trust in addition.
func (w Way) Network(trust transport.Trust) (transport.Network, error) {
	var reach transport.Network
	var problem error
	if trust.Required, problem = w.file(w.Config.CAInfo, "sslcainfo"); problem != nil {
		return reach, problem
	}
	if trust.Directory, problem = w.file(w.Config.CAPath, "sslcapath"); problem != nil {
		return reach, problem
	}
	authorities, problem := w.Roots(trust)
	if problem != nil {
		return reach, problem
	}
	reach.Roots, reach.Added, reach.Unread = authorities.Pool, authorities.Added, authorities.Unread
	reach.Remarks = func() string { return strings.Join(w.remarks(trust.Directory), "; ") }
	if problem = cmp.Or(w.identify(&reach), w.speak(&reach)); problem != nil {
		return reach, problem
	}
	return reach, w.goThrough(&reach)
}

// identify adds git's client certificate.
func (w Way) identify(reach *transport.Network) error {
	certificate, problem := w.file(w.Config.Cert, "sslcert")
	if problem != nil || certificate.Path == "" {
		return problem
	}
	key, problem := w.file(w.Config.Key, "sslkey")
	if problem != nil {
		return problem
	}
	reach.Certificate, problem = transport.Identity(certificate, key)
	reach.CertificateBy = certificate.By
	return problem
}

// goThrough adds git's proxy.
func (w Way) goThrough(reach *transport.Network) error {
	proxy, by, problem := w.proxy()
	switch {
	case problem != nil || proxy == nil:
		return problem
	case strings.HasPrefix(w.url, "http:"):
		// It could read the token, both git's and this program's.
		return errProxyReads(by)
	}
	reach.Proxy, reach.ProxyBy = http.ProxyURL(proxy), by
	if proxy.Scheme != "https" {
		return nil
	}
	authority, problem := w.file(w.Config.ProxyCAInfo, "proxysslcainfo")
	if problem != nil {
		return problem
	}
	authorities, problem := w.Roots(transport.Trust{Required: authority})
	reach.ProxyRoots = authorities.Pool
	return problem
}

// proxy is git's proxy (http.c, get_curl_handle), and the setting that names it; nil for
// none.
func (w Way) proxy() (*url.URL, string, error) {
	raw, by := w.proxySetting()
	at, err := url.Parse(w.url)
	if raw == "" || err == nil && bypassed(at.Hostname(), w.Config.NoProxy()) {
		return nil, "", nil
	}
	proxy, err := parseProxy(raw)
	if err != nil {
		return nil, "", errProxyInvalid(by, err.Error())
	}
	return proxy, by, nil
}

// proxySetting is the proxy's setting: git's configuration, or the environment, where an
// empty variable means none.
func (w Way) proxySetting() (raw, by string) {
	if e, found := w.settings["proxy"]; found {
		return e.Value(), called(e)
	}
	variable := w.Config.Proxy(!strings.HasPrefix(w.url, "http:"))
	return variable.Value, variable.Name
}

// optional before a path lets the file be missing (git 2.52).
const optional = ":(optional)"

// file is the path in a variable (the zero value for none), or in a git setting.
func (w Way) file(variable config.Setting, key string) (transport.Named, error) {
	if path := variable.Value; path != "" {
		return named(variable), rooted(variable.Name, path)
	}
	e, found := w.settings[key]
	if !found || e.Value() == "" {
		return transport.Named{}, nil
	}
	by := called(e)
	value, mayMiss := strings.CutPrefix(e.Value(), optional)
	path := value
	// git does not expand these paths.
	if !strings.HasPrefix(key, "proxy") {
		var err error
		if path, err = w.Program().Expand(context.Background(), value); err != nil {
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

// named is the file of a variable.
func named(variable config.Setting) transport.Named {
	return transport.Named{Path: variable.Value, By: variable.Name}
}

// rooted rejects relative paths: they would refer to the repository, which could choose whom
// to trust.
func rooted(by string, paths ...string) error {
	for _, path := range paths {
		if path != "" && !filepath.IsAbs(path) {
			return errPathInvalid(by, "it is relative to whatever directory git runs in")
		}
	}
	return nil
}

// called names a setting and its origin.
func called(e gitconfig.Entry) string { return e.Name() + " in " + message.Quote(e.Origin) }

// everywhere are the settings with the repository's own, for messages only.
func (w Way) everywhere() map[string]gitconfig.Entry {
	return w.Git().Match("http", w.url)
}

// VerifyOff names the setting that turns off git's TLS verification for this URL, which is
// ignored here; "" for none.
func (w Way) VerifyOff() string {
	if variable := w.Config.NoVerify; variable.Set {
		return variable.Name
	}
	if e, found := w.everywhere()["sslverify"]; found && !e.Bool() {
		return called(e)
	}
	return ""
}

// unfollowed are the settings that git uses for this URL and this program ignores, each by
// name and place: those that turn verification off, and the repository's about authorities
// and certificates.
func (w Way) unfollowed() []string {
	var all []string
	if by := w.VerifyOff(); by != "" {
		all = append(all, by)
	}
	settings := w.everywhere()
	for key, variable := range w.fileVariables() {
		if e, found := settings[key]; found && !e.Scope.Trusted() && variable.Value == "" {
			all = append(all, called(e))
		}
	}
	return all
}

// fileVariables are the keys of git settings with files, and the variables that override
// them.
func (w Way) fileVariables() iter.Seq2[string, config.Setting] {
	return func(yield func(string, config.Setting) bool) {
		c := w.Config
		_ = yield("sslcainfo", c.CAInfo) && yield("sslcapath", c.CAPath) && yield("sslcert", c.Cert) && yield("sslkey", c.Key)
	}
}

// remarks are additions to the message for failed TLS.
func (w Way) remarks(directory transport.Named) []string {
	var all []string
	for _, by := range w.unfollowed() {
		all = append(all, notFollowed(by))
	}
	for key, variable := range w.fileVariables() {
		if e, found := w.settings[key]; found && variable.Value != "" && variable.Value != e.Value() {
			all = append(all, hides(variable.Name, called(e)))
		}
	}
	if info, err := os.Stat(directory.Path); directory.Path != "" && (err != nil || !info.IsDir()) {
		all = append(all, unreadable(directory.Path, directory.By))
	}
	return all
}

// Roots are the authorities to trust: the system's, those of trust, and those in the
// environment.
func (s Settings) Roots(trust transport.Trust) (transport.Authorities, error) {
	if trust.Required.Path == "" {
		trust.Required = named(s.Config.CAInfo)
	}
	trust.Optional, trust.OptionalDirs = named(s.Config.CertFile), named(s.Config.CertDir)
	problem := cmp.Or(rooted(trust.Required.By, trust.Required.Path), rooted(trust.Optional.By, trust.Optional.Path),
		rooted(trust.OptionalDirs.By, filepath.SplitList(trust.OptionalDirs.Path)...))
	if problem != nil {
		return transport.Authorities{}, problem
	}
	return transport.Roots(trust)
}
