// Package config reads the environment once into a typed Config. An invalid value is
// reported by the method that returns it, so that it affects only requests that need it.
package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// Setting is a variable's name and value, and whether it is set, possibly to "".
type Setting struct {
	Name, Value string
	Set         bool
}

// Variables with a token. Config has functions for them, so that printing it can't show
// one.
const (
	TokenVariable         = "GITLAB_TOKEN"
	PlatformTokenVariable = "ACP_TOKEN"
	BotTokenVariable      = "BOT_TOKEN"
)

// RepositoriesVariable has the repositories of a session, for check --all.
const RepositoriesVariable = "REPOS_JSON"

// SessionTokenFile is a session pod's own token for the platform, which kubelet updates.
const SessionTokenFile = "/var/run/secrets/ambient/bot-token"

const (
	defaultSecretDir = "/var/run/secrets/acp/gitlab"
	defaultTimeout   = 20 * time.Second
	defaultCacheTTL  = 5 * time.Minute
	// defaultRateLimitWait is two windows of GitLab's rate limits.
	defaultRateLimitWait = 2 * time.Minute
	// maxPairs bounds how many pairs of git's configuration are read.
	maxPairs = 1000
)

// Config is the environment. variables.go says what each variable means.
type Config struct {
	// Where the user's token is. SecretDirs is never empty.
	SecretDirs                             []string
	Secret, TokenFile, InstanceURL, Source Setting
	// Token returns the value of GITLAB_TOKEN.
	Token             func() string
	AllowHTTPLoopback bool

	// How it is checked; use the methods.
	minAccess, scopes, onUnverified  Setting
	timeout, rateLimitWait, cacheTTL Setting
	cacheDir, runtimeDir, noColor    Setting
	terminal                         Setting
	Trace                            Setting
	BackendURL, BackendAPIURL        Setting
	// PlatformToken returns the value of ACP_TOKEN.
	PlatformToken func() string
	// BotToken gives the value of BOT_TOKEN.
	BotToken func() string
	// Repositories gives the value of REPOS_JSON, which may hold a login.
	Repositories func() string
	// PlatformTokenFile has a value even where it is not set.
	PlatformTokenFile                  Setting
	Project, SessionNamespace, Session Setting
	// SessionID is the session's name, or in pods of the control plane its id (a
	// KSUID); there, Session is a display name. HydratedSession and Namespace are what
	// init-hydrate has instead of Session and SessionNamespace.
	SessionID, HydratedSession, Namespace Setting
	// CredentialIDs maps providers to credentials, as JSON.
	CredentialIDs                        Setting
	userID, workspacePath                Setting
	Kubeconfig, ServiceHost, ServicePort Setting
	Home, StateHome, ConfigHome, Path    Setting

	// How git reaches a server (git-config(1), http.*). Proxies are curl's, which git
	// uses; http_proxy is read in lower case only.
	CAInfo, CAPath, Cert, Key, NoVerify, ProxyCAInfo Setting
	CertFile, CertDir                                Setting
	httpProxy                                        Setting
	httpsProxies, noProxies                          []Setting

	// Where git's configuration is.
	GitGlobal, GitSystem, GitParameters Setting
	gitCount                            Setting
	gitPairs                            [][2]string
}

// Read reads the environment with lookup, which is os.LookupEnv or the like.
func Read(lookup func(string) (string, bool)) Config {
	get := func(name string) Setting {
		value, set := lookup(name)
		return Setting{name, value, set}
	}
	hidden := func(name string) func() string {
		value, _ := lookup(name)
		return func() string { return value }
	}
	c := Config{
		Secret: get("ACP_GITLAB_SECRET"), TokenFile: get("ACP_GITLAB_TOKEN_FILE"), InstanceURL: get("ACP_GITLAB_INSTANCE_URL"),
		Source: get("ACP_GITLAB_SOURCE"), Token: hidden(TokenVariable),
		SecretDirs:        filepath.SplitList(get("ACP_GITLAB_SECRET_DIR").Value),
		AllowHTTPLoopback: get("ACP_GITLAB_ALLOW_HTTP_LOOPBACK").Value == "1",

		minAccess: get("ACP_GITLAB_MIN_ACCESS"), scopes: get("ACP_GITLAB_REQUIRED_SCOPES"), onUnverified: get("ACP_GITLAB_ON_UNVERIFIED"),
		timeout: get("ACP_GITLAB_TIMEOUT"), rateLimitWait: get("ACP_GITLAB_RATE_LIMIT_WAIT"),
		cacheDir: get("ACP_GITLAB_CACHE_DIR"), cacheTTL: get("ACP_GITLAB_CACHE_TTL"), runtimeDir: get("XDG_RUNTIME_DIR"),
		Trace: get("ACP_GITLAB_TRACE"), noColor: get("NO_COLOR"), terminal: get("TERM"),

		BackendURL: get("ACP_BACKEND_URL"), BackendAPIURL: get("BACKEND_API_URL"),
		Repositories: hidden(RepositoriesVariable), PlatformToken: hidden(PlatformTokenVariable), BotToken: hidden(BotTokenVariable), PlatformTokenFile: get("ACP_TOKEN_FILE"),
		Project: get("PROJECT_NAME"), SessionNamespace: get("AGENTIC_SESSION_NAMESPACE"), Session: get("AGENTIC_SESSION_NAME"),
		SessionID: get("SESSION_ID"), HydratedSession: get("SESSION_NAME"), Namespace: get("NAMESPACE"), CredentialIDs: get("CREDENTIAL_IDS"),
		userID: get("USER_ID"), workspacePath: get("WORKSPACE_PATH"),
		Kubeconfig: get("KUBECONFIG"), ServiceHost: get("KUBERNETES_SERVICE_HOST"), ServicePort: get("KUBERNETES_SERVICE_PORT"),
		Home: get("HOME"), StateHome: get("XDG_STATE_HOME"), ConfigHome: get("XDG_CONFIG_HOME"), Path: get("PATH"),

		CAInfo: get("GIT_SSL_CAINFO"), CAPath: get("GIT_SSL_CAPATH"), Cert: get("GIT_SSL_CERT"), Key: get("GIT_SSL_KEY"),
		NoVerify: get("GIT_SSL_NO_VERIFY"), ProxyCAInfo: get("GIT_PROXY_SSL_CAINFO"),
		CertFile: get("SSL_CERT_FILE"), CertDir: get("SSL_CERT_DIR"), httpProxy: get("http_proxy"),
		httpsProxies: []Setting{get("https_proxy"), get("HTTPS_PROXY"), get("all_proxy"), get("ALL_PROXY")},
		noProxies:    []Setting{get("no_proxy"), get("NO_PROXY")},

		GitGlobal: get("GIT_CONFIG_GLOBAL"), GitSystem: get("GIT_CONFIG_SYSTEM"), GitParameters: get("GIT_CONFIG_PARAMETERS"),
		gitCount: get("GIT_CONFIG_COUNT"),
	}
	if len(c.SecretDirs) == 0 {
		c.SecretDirs = []string{defaultSecretDir}
	}
	if c.PlatformTokenFile.Value == "" {
		c.PlatformTokenFile.Value = SessionTokenFile
	}
	if count, ok := c.pairs(); ok {
		for n := range count {
			c.gitPairs = append(c.gitPairs, [2]string{
				get("GIT_CONFIG_KEY_" + strconv.Itoa(n)).Value, get("GIT_CONFIG_VALUE_" + strconv.Itoa(n)).Value})
		}
	}
	return c
}

// Policy is the required access level and scopes.
func (c Config) Policy() (access.Policy, error) {
	policy := access.Policy{Minimum: access.Developer, Scopes: access.DefaultScopes()}
	var err error
	if c.minAccess.Value != "" {
		if policy.Minimum, err = access.ParseLevel(c.minAccess.Value); err != nil {
			return policy, message.SettingInvalid(c.minAccess.Name, err)
		}
	}
	if c.scopes.Value != "" {
		if policy.Scopes, err = access.ParseScopes(c.scopes.Value); err != nil {
			return policy, message.SettingInvalid(c.scopes.Name, err)
		}
	}
	return policy, nil
}

// MinAccessSet reports whether a lowest access level is set.
func (c Config) MinAccessSet() bool { return c.minAccess.Value != "" }

// WithMinAccess is the configuration with another lowest access level, which takes
// precedence over the variable.
func (c Config) WithMinAccess(level int) Config {
	c.minAccess.Value = strconv.Itoa(level)
	return c
}

// AllowUnverified reports whether git gets a token that could not be verified.
func (c Config) AllowUnverified() (bool, error) {
	switch c.onUnverified.Value {
	case "", "deny":
		return false, nil
	case "allow":
		return true, nil
	}
	return false, message.SettingInvalid(c.onUnverified.Name, errors.New("neither deny nor allow"))
}

// Timeout is the limit for one verification.
func (c Config) Timeout() (time.Duration, error) {
	return c.timeout.duration(defaultTimeout, time.Nanosecond)
}

// RateLimitWait is the total time to wait for rate limits to reset.
func (c Config) RateLimitWait() (time.Duration, error) {
	return c.rateLimitWait.duration(defaultRateLimitWait, 0)
}

// CacheTTL is how long a good verdict is fresh.
func (c Config) CacheTTL() (time.Duration, error) { return c.cacheTTL.duration(defaultCacheTTL, 0) }

// duration is the value as a duration of at least least; standard if unset.
func (s Setting) duration(standard, least time.Duration) (time.Duration, error) {
	if s.Value == "" {
		return standard, nil
	}
	value, err := time.ParseDuration(s.Value)
	if err != nil || value < least {
		return 0, message.SettingInvalid(s.Name, errors.New("not a time such as 20s or 5m"))
	}
	return value, nil
}

// CacheDirs are the candidates for the cache directory in order; none for no cache. temp
// is the directory for temporary files, and user the user's ID.
func (c Config) CacheDirs(temp string, user int) []string {
	const name = "git-credential-acp"
	switch {
	case c.cacheDir.Value == "off":
		return nil
	case c.cacheDir.Value != "":
		return []string{c.cacheDir.Value}
	}
	dirs := []string{filepath.Join(temp, name+"-"+strconv.Itoa(user))}
	if c.runtimeDir.Value != "" {
		dirs = append([]string{filepath.Join(c.runtimeDir.Value, name)}, dirs...)
	}
	return dirs
}

// Color reports whether a terminal's output may have colors (https://no-color.org).
func (c Config) Color() bool { return c.noColor.Value == "" && c.terminal.Value != "dumb" }

// InSession reports whether this is a pod.
func (c Config) InSession() bool {
	return c.Session.Value != "" || c.BackendAPIURL.Value != "" || c.ServiceHost.Value != ""
}

// InRunner reports whether this is the container of the platform's runner, by what the
// operator and the control plane set there alone: AGENTIC_SESSION_NAME, which may be an empty
// display name, and at least two of the others, since a session may override variables. A pod that sets AGENTIC_SESSION_NAME and
// BACKEND_API_URL itself, to use the platform as a source, is none, and neither is
// init-hydrate. Any other empty variable counts as absent.
func (c Config) InRunner() bool {
	count := 0
	for _, s := range []Setting{c.SessionID, c.userID, c.workspacePath, c.BackendAPIURL} {
		if s.Value != "" {
			count++
		}
	}
	return c.Session.Set && count >= 2
}

// Proxy is the variable that names the proxy for https, or else for http; one that is
// set to nothing means none. The zero value means that none is set.
func (c Config) Proxy(https bool) Setting {
	if !https && c.httpProxy.Set {
		return c.httpProxy
	}
	if !https {
		return first(c.httpsProxies[2:])
	}
	return first(c.httpsProxies)
}

// NoProxy lists the hosts that are reached without a proxy.
func (c Config) NoProxy() string { return first(c.noProxies).Value }

func first(settings []Setting) Setting {
	for _, s := range settings {
		if s.Set {
			return s
		}
	}
	return Setting{}
}

// GitPairs are the keys and values of git's configuration in the environment.
func (c Config) GitPairs() ([][2]string, error) {
	if _, ok := c.pairs(); !ok {
		return nil, message.SettingInvalid(c.gitCount.Name, fmt.Errorf("not a number from 0 to %d", maxPairs))
	}
	return c.gitPairs, nil
}

// pairs is the number of pairs; false if it is invalid.
func (c Config) pairs() (int, bool) {
	if c.gitCount.Value == "" {
		return 0, true
	}
	count, err := strconv.Atoi(c.gitCount.Value)
	return count, err == nil && count >= 0 && count <= maxPairs
}
