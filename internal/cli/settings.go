package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/cache"
	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/kube"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/setup"
	"github.com/ambient-code/git-credential-acp/internal/source"
)

// The environment variables that are read. docs/settings.md has a table of them; a
// test holds the two together.
const (
	envSecretDir    = "ACP_GITLAB_SECRET_DIR"
	envSecret       = "ACP_GITLAB_SECRET"
	envTokenFile    = "ACP_GITLAB_TOKEN_FILE"
	envToken        = "GITLAB_TOKEN"
	envInstanceURL  = "ACP_GITLAB_INSTANCE_URL"
	envMinAccess    = "ACP_GITLAB_MIN_ACCESS"
	envScopes       = "ACP_GITLAB_REQUIRED_SCOPES"
	envOnUnverified = "ACP_GITLAB_ON_UNVERIFIED"
	envTimeout      = "ACP_GITLAB_TIMEOUT"
	envRateWait     = "ACP_GITLAB_RATE_LIMIT_WAIT"
	envCacheDir     = "ACP_GITLAB_CACHE_DIR"
	envCacheTTL     = "ACP_GITLAB_CACHE_TTL"
	envRuntimeDir   = "XDG_RUNTIME_DIR"
	envStateHome    = "XDG_STATE_HOME"
	envSource       = "ACP_GITLAB_SOURCE"
	envHTTPLoopback = "ACP_GITLAB_ALLOW_HTTP_LOOPBACK"
	envCertFile     = "SSL_CERT_FILE"
	envCertDir      = "SSL_CERT_DIR"
	envTrace        = "ACP_GITLAB_TRACE"
	envNoColor      = "NO_COLOR"
	envTerm         = "TERM"
)

// Those about the platform; the ones that do not begin with ACP are a session
// pod's own.
const (
	envBackendURL       = "ACP_BACKEND_URL"
	envBackendAPI       = "BACKEND_API_URL"
	envBackendToken     = "ACP_TOKEN"
	envBackendTokenFile = "ACP_TOKEN_FILE"
	envProject          = "PROJECT_NAME"
	envSessionNamespace = "AGENTIC_SESSION_NAMESPACE"
	envSession          = "AGENTIC_SESSION_NAME"
	// defaultTokenFile is where a session pod has its own token for the
	// platform, which kubelet replaces while it runs.
	defaultTokenFile = "/var/run/secrets/ambient/bot-token"
)

// TokenVariables are the environment variables that hold a token. No program that
// is started from here may inherit them.
func TokenVariables() []string { return []string{envToken, envBackendToken} }

// Those that say where the Kubernetes API is; kubelet sets the last two.
const (
	envKubeconfig  = "KUBECONFIG"
	envServiceHost = "KUBERNETES_SERVICE_HOST"
	envServicePort = "KUBERNETES_SERVICE_PORT"
)

// Variables of git's own that say how it reaches a server (git-config(1), http.*).
// Proxies are those of curl, which git asks; http_proxy counts in lower case only.
const (
	envGitCAInfo       = "GIT_SSL_CAINFO"
	envGitCAPath       = "GIT_SSL_CAPATH"
	envGitCert         = "GIT_SSL_CERT"
	envGitKey          = "GIT_SSL_KEY"
	envGitNoVerify     = "GIT_SSL_NO_VERIFY"
	envGitProxyCAInfo  = "GIT_PROXY_SSL_CAINFO"
	envHTTPSProxy      = "HTTPS_PROXY"
	envHTTPSProxyLower = "https_proxy"
	envHTTPProxyLower  = "http_proxy"
	envAllProxy        = "ALL_PROXY"
	envAllProxyLower   = "all_proxy"
	envNoProxy         = "NO_PROXY"
	envNoProxyLower    = "no_proxy"
)

// Variables of git's own, which say where its repository and its configuration
// are (git(1), git-config(1)). docs/architecture.md has the table.
const (
	envGitGlobal     = "GIT_CONFIG_GLOBAL"
	envGitSystem     = "GIT_CONFIG_SYSTEM"
	envGitCount      = "GIT_CONFIG_COUNT"
	envGitParameters = "GIT_CONFIG_PARAMETERS"
	envHome          = "HOME"
	envConfigHome    = "XDG_CONFIG_HOME"
	envPath          = "PATH"
	prefixGitKey     = "GIT_CONFIG_KEY_"
	prefixGitValue   = "GIT_CONFIG_VALUE_"
	// maxPairs bounds how many pairs of the environment are read.
	maxPairs = 1000
)

const (
	defaultTimeout = 20 * time.Second
	defaultTTL     = 5 * time.Minute
	// defaultRateWait is two windows of GitLab's rate limits.
	defaultRateWait = 2 * time.Minute
)

// secrets finds the places with a token that may answer a request.
func (a *app) secrets(ctx context.Context, req credential.Request) ([]source.Found, []string, error) {
	// With a source that there isn't, what is found still tells whose requests
	// to refuse over it.
	config, problem := a.sources()
	if config.Source == source.File && config.TokenFile == "" {
		problem = errTokenFileUnset()
	}
	config.Backend = func() (answer source.Answer) {
		// That the user has not connected GitLab is told for the instance that
		// is known; of another one, it says nothing.
		answer, problem = a.backend(ctx)
		return answer
	}
	if a.env.Getenv(envSecret) != "" || config.Source == source.API {
		config.API, config.APIWhere = a.clusterSecret(ctx, req)
	}
	found, looked := config.Find()
	return found, looked, problem
}

// howToConnect says how to bring a token to where it is looked for.
func (a *app) howToConnect() string {
	config, _ := a.sources()
	return config.Connect()
}

// sources are the settings of where to look for a token.
func (a *app) sources() (source.Config, error) {
	kind, problem := source.ParseSource(a.env.Getenv(envSource))
	config := source.Config{
		Source:            kind,
		Dirs:              filepath.SplitList(a.env.Getenv(envSecretDir)),
		TokenFile:         a.env.Getenv(envTokenFile),
		TokenEnv:          func() string { return a.env.Getenv(envToken) },
		InstanceURL:       a.env.Getenv(envInstanceURL),
		AllowHTTPLoopback: a.allowHTTPLoopback(),
	}
	if len(config.Dirs) == 0 {
		config.Dirs = []string{source.DefaultDir}
	}
	if name, err := kube.ParseName(a.env.Getenv(envSecret)); err == nil {
		config.Secret = name.String()
	}
	config.Session = a.env.Getenv(envSession) != "" || a.env.Getenv(envBackendAPI) != "" || a.env.Getenv(envServiceHost) != ""
	return config, problem
}

// only reports whether the instance that is known is the one to answer for at
// all. A flag says so; and the platform is not asked for a token that can't be
// meant.
func (a *app) only() bool {
	return a.instanceGiven || a.env.Getenv(envSource) == string(source.Backend) && a.env.Getenv(envInstanceURL) != ""
}

func (a *app) allowHTTPLoopback() bool { return a.env.Getenv(envHTTPLoopback) == "1" }

// known is the instance of the --instance flag, else of the environment.
func (a *app) known() (*instance.Instance, error) {
	raw, where := a.instanceFlag, "--"+flagInstance
	if !a.instanceGiven {
		if raw, where = a.env.Getenv(envInstanceURL), envInstanceURL; raw == "" {
			return nil, nil
		}
	}
	i, err := instance.Parse(raw, a.allowHTTPLoopback())
	if err != nil {
		return nil, message.InstanceInvalid(where, err)
	}
	return &i, nil
}

func (a *app) rules() (helper.Rules, error) {
	rules := helper.Rules{Minimum: access.Developer, Scopes: access.DefaultScopes()}
	var err error
	switch text := a.env.Getenv(envMinAccess); {
	case a.minAccess != nil:
		if rules.Minimum, err = access.ParseLevel(*a.minAccess); err != nil {
			return rules, errFlagInvalid("--"+flagMinAccess, "is "+err.Error())
		}
	case text != "":
		if rules.Minimum, err = access.ParseLevel(text); err != nil {
			return rules, message.SettingInvalid(envMinAccess, err)
		}
	}
	if text := a.env.Getenv(envScopes); text != "" {
		if rules.Scopes, err = access.ParseScopes(text); err != nil {
			return rules, message.SettingInvalid(envScopes, err)
		}
	}
	switch a.env.Getenv(envOnUnverified) {
	case "", "deny":
	case "allow":
		rules.AllowUnverified = true
	default:
		return rules, message.SettingInvalid(envOnUnverified, errors.New("neither deny nor allow"))
	}
	return rules, nil
}

// minAccessFor is the lowest level that git's configuration sets for a question: for
// its URL, or for its project, which counts for the project's wiki, too.
func (a *app) minAccessFor(q helper.Question) (level int, set bool) {
	level, set = a.minAccessAt(q.URL)
	if other, found := a.minAccessAt(q.Found.Instance.URL() + "/" + q.Project); found && (!set || other < level) {
		return other, true
	}
	return level, set
}

// minAccessAt is the level in the closest entry for a URL that names a helper; false
// when that is not this helper, or has no level.
func (a *app) minAccessAt(url string) (level int, set bool) {
	entry, found := a.gitConfig().Trusted().Match("credential", url)["helper"]
	if !found {
		return 0, false
	}
	text, set := setup.MinAccess(entry.Value())
	level, err := access.ParseLevel(text)
	return level, set && err == nil
}

// rulesFor are the rules by which git gets an answer for a URL: with the level of
// the helper that it asks first, or a lower one of the closest entry.
func (a *app) rulesFor(url string) (helper.Rules, error) {
	rules, problem := a.rules()
	if problem != nil || a.minAccess != nil {
		return rules, problem
	}
	if helpers := a.gitConfig().Credential(url).Helpers; len(helpers) > 0 {
		if text, set := setup.MinAccess(helpers[0].Value()); set {
			level, err := access.ParseLevel(text)
			if err != nil {
				return rules, message.SettingInvalid("--"+flagMinAccess+" in "+message.Quote(helpers[0].Name()), err)
			}
			rules.Minimum = level
		}
	}
	if level, set := a.minAccessAt(url); set {
		rules.Minimum = min(rules.Minimum, level)
	}
	return rules, nil
}

func (a *app) timeout() (time.Duration, error) {
	return a.duration(envTimeout, defaultTimeout, time.Nanosecond)
}

// rateWait is how long is waited in all for a rate limit to reset.
func (a *app) rateWait() (time.Duration, error) {
	return a.duration(envRateWait, defaultRateWait, 0)
}

// duration is the time that a variable says: least or more, or what is standard
// without it.
func (a *app) duration(name string, standard, least time.Duration) (time.Duration, error) {
	text := a.env.Getenv(name)
	if text == "" {
		return standard, nil
	}
	value, err := time.ParseDuration(text)
	if err != nil || value < least {
		return 0, message.SettingInvalid(name, errors.New("not a time such as 20s or 5m"))
	}
	return value, nil
}

// verdicts is where verdicts are remembered.
func (a *app) verdicts() (cache.Store, error) {
	ttl, problem := a.duration(envCacheTTL, defaultTTL, 0)
	if problem != nil {
		return cache.Store{}, problem
	}
	store := cache.Store{TTL: ttl}
	switch dir := a.env.Getenv(envCacheDir); dir {
	case "off":
	case "":
		if runtime := a.env.Getenv(envRuntimeDir); runtime != "" {
			store.Dirs = append(store.Dirs, filepath.Join(runtime, Name))
		}
		store.Dirs = append(store.Dirs, filepath.Join(a.env.TempDir, Name+"-"+strconv.Itoa(a.env.UserID)))
	default:
		store.Dirs = []string{dir}
	}
	return store, nil
}

// remotes are the URLs of the remotes of the repository that git is working in.
func (a *app) remotes() []string { return a.gitConfig().RemoteURLs() }

// gitConfig is git's configuration where git is working, read once.
func (a *app) gitConfig() gitconfig.Config {
	a.gitRead.Do(func() { a.gitSettings = a.gitProgram().Read(context.Background(), a.gitCommand()) })
	return a.gitSettings
}

// gitProgram is git's own program, as it was started here. A directory of the PATH
// within the repository is passed over: whoever writes there must not choose what
// is run.
func (a *app) gitProgram() gitconfig.Git {
	git := gitconfig.Git{Env: gitconfig.Environment(a.env.Environ(), a.gitCommand())}
	git.Dir, _ = a.env.Getwd()
	dirs := filepath.SplitList(a.env.Getenv(envPath))
	if top := workTree(real(git.Dir)); top != "" {
		dirs = slices.DeleteFunc(dirs, func(dir string) bool {
			inner, err := filepath.Rel(top, real(dir))
			return err == nil && filepath.IsLocal(inner)
		})
	}
	git.Program = gitconfig.Find("git", strings.Join(dirs, string(filepath.ListSeparator)))
	return git
}

// workTree is the top of the work tree that a directory is in; "" for none, and for
// one that is the whole file system.
func workTree(dir string) string {
	for parent := filepath.Dir(dir); parent != dir; dir, parent = parent, filepath.Dir(parent) {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			return dir
		}
	}
	return ""
}

// real is a path without links, or as it is when that can't be told.
func real(path string) string {
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		return resolved
	}
	return path
}

// gitCommand is git's configuration in the environment.
func (a *app) gitCommand() []gitconfig.Entry {
	pairs, _ := a.gitPairs() // without them, a remote may look like no project
	return gitconfig.FromEnvironment(pairs, a.env.Getenv(envGitParameters))
}

// gitPairs are keys and values of git's configuration in the environment.
func (a *app) gitPairs() ([][2]string, error) {
	text := a.env.Getenv(envGitCount)
	if text == "" {
		return nil, nil
	}
	count, err := strconv.Atoi(text)
	if err != nil || count < 0 || count > maxPairs {
		return nil, message.SettingInvalid(envGitCount, fmt.Errorf("not a number from 0 to %d", maxPairs))
	}
	var pairs [][2]string
	for n := range count {
		pairs = append(pairs, [2]string{
			a.env.Getenv(prefixGitKey + strconv.Itoa(n)), a.env.Getenv(prefixGitValue + strconv.Itoa(n))})
	}
	return pairs, nil
}

// globalConfig are the user's files of configuration, in git's order. Without a
// home there are none: a relative path would lead into the repository.
func (a *app) globalConfig(home string) []string {
	if global, set := a.env.LookupEnv(envGitGlobal); set {
		return []string{global}
	}
	var files []string
	if dir := a.env.Getenv(envConfigHome); dir != "" {
		files = append(files, filepath.Join(dir, "git", "config"))
	} else if home != "" {
		files = append(files, filepath.Join(home, ".config", "git", "config"))
	}
	if home != "" {
		files = append(files, filepath.Join(home, ".gitconfig"))
	}
	return files
}
