package cli

import (
	"cmp"
	"context"
	"sync"

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
)

// newLookup is where tokens come from.
func newLookup(d *deps) lookup.Lookup {
	known, _ := knownInstance(d)
	return lookup.Lookup{Config: d.config, Known: known, Limit: timeLimit(d), Store: func() (cache.Store, error) { return verdictStore(d) }, Cluster: clusterConfig(d), Platform: platformEnvironment(d), RunnerDir: cmp.Or(d.env.RunnerDir, source.RunnerDir)}
}

// clusterConfig is how to reach the Kubernetes API.
func clusterConfig(d *deps) kube.Config {
	return kube.Config{
		Kubeconfig:  d.config.Kubeconfig.Value,
		Home:        d.config.Home.Value,
		ServiceHost: d.config.ServiceHost.Value,
		ServicePort: d.config.ServicePort.Value,
		UserAgent:   userAgent(d),
	}
}

// platformEnvironment is how to reach the platform.
func platformEnvironment(d *deps) platform.Environment {
	return platform.Environment{Config: d.config, Net: gitNetwork(d), UserAgent: userAgent(d), OnExchange: exchange(d.trace),
		Hide: d.say.hide}
}

// onlyKnown reports whether to answer for the known instance only: with the flag, or so that the
// platform is not asked for other instances. In the runner, the connection's instance wins over
// the variable's.
func onlyKnown(d *deps) bool {
	return d.flags.instance != nil || d.config.InstanceURL.Value != "" && d.config.Source.Value == string(source.Backend)
}

// knownInstance is the instance of the --instance flag, else of the environment.
func knownInstance(d *deps) (*instance.Instance, error) {
	raw, where := d.config.InstanceURL.Value, d.config.InstanceURL.Name
	switch {
	case d.flags.instance != nil:
		raw, where = *d.flags.instance, "--"+flagInstance
	case raw == "":
		return nil, nil
	}
	i, err := instance.Parse(raw, d.config.AllowHTTPLoopback)
	if err != nil {
		return nil, message.InstanceInvalid(where, err)
	}
	return &i, nil
}

func rulesOf(d *deps) (helper.Rules, error) {
	config := d.config
	if d.flags.minAccess != nil {
		level, err := access.ParseLevel(*d.flags.minAccess)
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

// rulesFor are the rules for git's request for a URL: with the level of the helper that it asks
// first, or a lower one of the closest entry.
func rulesFor(d *deps, url string) (helper.Rules, error) {
	rules, problem := rulesOf(d)
	if problem != nil || d.flags.minAccess != nil {
		return rules, problem
	}
	if helpers := d.git().Credential(url).Helpers; len(helpers) > 0 {
		if text, set := setup.MinAccess(helpers[0].Value()); set {
			level, err := access.ParseLevel(text)
			if err != nil {
				return rules, message.SettingInvalid("--"+flagMinAccess+" in "+message.Quote(helpers[0].Name()), err)
			}
			rules.Minimum = level
		}
	}
	if level, set := setup.MinAccessAt(d.git(), url); set {
		rules.Minimum = min(rules.Minimum, level)
	}
	return rules, nil
}

// verdictStore is the cache.
func verdictStore(d *deps) (cache.Store, error) {
	ttl, problem := d.config.CacheTTL()
	return cache.Store{TTL: ttl, Dirs: d.config.CacheDirs(d.env.TempDir, d.env.UserID)}, problem
}

// gitOnce reads git's configuration in the working directory, once.
func gitOnce(d *deps) func() gitconfig.Config {
	return sync.OnceValue(func() gitconfig.Config { return gitProgram(d).Read(context.Background(), gitCommand(d)) })
}

// gitProgram is the git program on the PATH.
func gitProgram(d *deps) gitconfig.Git {
	dir, _ := d.env.Getwd()
	return gitconfig.Locate(dir, d.config.Path.Value, gitconfig.Environment(d.env.Environ(), gitCommand(d)))
}

// gitNetwork says how git reaches servers.
func gitNetwork(d *deps) gitnet.Settings {
	return gitnet.Settings{Config: d.config, Program: func() gitconfig.Git { return gitProgram(d) }, Git: d.git}
}

// gitCommand is git's configuration in the environment.
func gitCommand(d *deps) []gitconfig.Entry {
	pairs, _ := d.config.GitPairs() // without them, a remote may look like no project
	return gitconfig.FromEnvironment(pairs, d.config.GitParameters.Value)
}
