package cli

import (
	"context"
	"path/filepath"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/cache"
	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
	"github.com/ambient-code/git-credential-acp/internal/gitnet"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/kube"
	"github.com/ambient-code/git-credential-acp/internal/lookup"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/platform"
	"github.com/ambient-code/git-credential-acp/internal/setup"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// lookup is where tokens come from.
func (a *app) lookup() lookup.Lookup {
	known, _ := a.known()
	return lookup.Lookup{Config: a.config, Known: known, Limit: a.limit(), Store: a.verdicts, Cluster: a.cluster(), Platform: a.platform(), RunnerDir: a.env.RunnerDir}
}

// cluster is how to reach the Kubernetes API.
func (a *app) cluster() kube.Config {
	return kube.Config{
		Kubeconfig:  a.config.Kubeconfig.Value,
		Home:        a.config.Home.Value,
		ServiceHost: a.config.ServiceHost.Value,
		ServicePort: a.config.ServicePort.Value,
		UserAgent:   a.userAgent(),
	}
}

// platform is how to reach the platform.
func (a *app) platform() platform.Environment {
	return platform.Environment{Config: a.config, Net: a.reach(), UserAgent: a.userAgent(), OnExchange: exchange(a.trace),
		Hide: func(bearer token.Bearer) { a.bearer = bearer }}
}

// only reports whether the instance that is known is the one to answer for at
// all. A flag says so; and the platform is not asked for a token that can't be
// meant.
func (a *app) only() bool {
	return a.instanceGiven || a.config.InstanceURL.Value != "" && (a.config.Source.Value == string(source.Backend) || a.lookup().InRunner())
}

// known is the instance of the --instance flag, else of the environment.
func (a *app) known() (*instance.Instance, error) {
	raw, where := a.instanceFlag, "--"+flagInstance
	if !a.instanceGiven {
		if raw, where = a.config.InstanceURL.Value, a.config.InstanceURL.Name; raw == "" {
			return nil, nil
		}
	}
	i, err := instance.Parse(raw, a.config.AllowHTTPLoopback)
	if err != nil {
		return nil, message.InstanceInvalid(where, err)
	}
	return &i, nil
}

func (a *app) rules() (helper.Rules, error) {
	config := a.config
	if a.minAccess != nil {
		level, err := access.ParseLevel(*a.minAccess)
		if err != nil {
			return helper.Rules{}, errFlagInvalid("--"+flagMinAccess, "is "+err.Error())
		}
		config = config.WithMinAccess(level)
	}
	policy, problem := config.Policy()
	if problem != nil {
		return helper.Rules{}, problem
	}
	allow, problem := config.AllowUnverified()
	return helper.Rules{Minimum: policy.Minimum, Scopes: policy.Scopes, AllowUnverified: allow}, problem
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

// verdicts is where verdicts are remembered.
func (a *app) verdicts() (cache.Store, error) {
	ttl, problem := a.config.CacheTTL()
	return cache.Store{TTL: ttl, Dirs: a.config.CacheDirs(a.env.TempDir, a.env.UserID)}, problem
}

// remotes are the URLs of the remotes of the repository that git is working in.
func (a *app) remotes() []string { return a.gitConfig().RemoteURLs() }

// gitConfig is git's configuration where git is working, read once.
func (a *app) gitConfig() gitconfig.Config {
	a.gitRead.Do(func() { a.gitSettings = a.gitProgram().Read(context.Background(), a.gitCommand()) })
	return a.gitSettings
}

// gitProgram is git's own program, as it was started here.
func (a *app) gitProgram() gitconfig.Git {
	dir, _ := a.env.Getwd()
	return gitconfig.Locate(dir, a.config.Path.Value, gitconfig.Environment(a.env.Environ(), a.gitCommand()))
}

// reach says how git reaches servers.
func (a *app) reach() gitnet.Settings {
	return gitnet.Settings{Config: a.config, Program: a.gitProgram, Git: a.gitConfig}
}

// gitCommand is git's configuration in the environment.
func (a *app) gitCommand() []gitconfig.Entry {
	pairs, _ := a.config.GitPairs() // without them, a remote may look like no project
	return gitconfig.FromEnvironment(pairs, a.config.GitParameters.Value)
}

// globalConfig are the user's files of configuration, in git's order. Without a
// home there are none: a relative path would lead into the repository.
func (a *app) globalConfig(home string) []string {
	if global := a.config.GitGlobal; global.Set {
		return []string{global.Value}
	}
	var files []string
	if dir := a.config.ConfigHome.Value; dir != "" {
		files = append(files, filepath.Join(dir, "git", "config"))
	} else if home != "" {
		files = append(files, filepath.Join(home, ".config", "git", "config"))
	}
	if home != "" {
		files = append(files, filepath.Join(home, ".gitconfig"))
	}
	return files
}
