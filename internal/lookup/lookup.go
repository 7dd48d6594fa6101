// Package lookup finds the user's token by the settings: in the places of package
// source, with the Secret in the cluster and the platform among them.
package lookup

import (
	"context"
	"errors"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/cache"
	"github.com/ambient-code/git-credential-acp/internal/config"
	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/deadline"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/kube"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/platform"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
	"github.com/ambient-code/git-credential-acp/internal/trace"
)

// Lookup is where tokens come from by the settings. Concurrent calls may share it.
type Lookup struct {
	Config config.Config
	// Known is the one configured instance; nil for none.
	Known *instance.Instance
	// Limit is the time limit for the cluster and the platform.
	Limit deadline.Limit
	// Store caches which instance a Secret in the cluster is for.
	Store func() (cache.Store, error)
	// Cluster and Platform are how to reach these.
	Cluster  kube.Config
	Platform platform.Environment
	// RunnerDir is as source.RunnerDir.
	RunnerDir string
}

// Find finds the places with a token that may answer a request.
func (l Lookup) Find(ctx context.Context, req credential.Request) (found []source.Found, looked []string, problem error) {
	// Even with an invalid source, what is found shows which requests to refuse.
	config, problem := l.sources()
	if config.Source == source.File && config.TokenFile == "" {
		problem = errTokenFileUnset()
	}
	config.Backend = func() (answer source.Answer) {
		// A missing connection is reported for the known instance only.
		answer, problem = l.backend(ctx)
		return answer
	}
	config.RunnerInstance = func(tok token.Token) source.Answer { return l.runnerInstance(ctx, req.Host, tok) }
	if l.Config.Secret.Value != "" || config.Source == source.API {
		config.API, config.APIWhere = l.clusterSecret(ctx, req)
	}
	found, looked = config.Find()
	if config.RunnerDir != "" && req.Host != "" {
		found = append(found, config.Unused(found[0])...)
	}
	return found, looked, problem
}

// retryTimeout is how long a call waits for a place that did not answer a call just before.
const retryTimeout = time.Second

// shortenWait limits the wait for the cluster or the platform, named by place, if it did not
// answer another call in the last half minute: otherwise each call would wait for the whole
// time limit. wait is the limit or less; ended must be called after the wait.
func shortenWait(ctx context.Context, open func() (cache.Store, error), place string, limit time.Duration) (_ context.Context, ended func(), wait time.Duration) {
	store, problem := open()
	if problem != nil {
		return ctx, func() {}, limit
	}
	if store.OfPlace(place).Get().Failed {
		wait = min(retryTimeout, limit)
		ctx, cancel := context.WithTimeout(ctx, wait)
		return ctx, cancel, wait
	}
	return ctx, func() {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			store.OfPlace(place).SaveFailed()
		}
	}, limit
}

// Newer reads the Secret of ACP_GITLAB_SECRET.
func (l Lookup) Newer(ctx context.Context) (source.Found, error) {
	name, err := kube.ParseName(l.Config.Secret.Value)
	if err != nil {
		return source.Found{}, message.SettingInvalid(l.Config.Secret.Name, err)
	}
	found, problem := l.readSecret(ctx, name)
	if problem != nil {
		found = source.Place(name.String())
		found.Problem = problem
	}
	return found, nil
}

// Connect says how to store a token where Find looks.
func (l Lookup) Connect() string {
	config, _ := l.sources()
	return config.Connect()
}

// sources are the settings of where to look for a token.
func (l Lookup) sources() (source.Config, error) {
	kind, problem := source.ParseSource(l.Config.Source.Value)
	config := source.Config{
		Source:            kind,
		Dirs:              l.Config.SecretDirs,
		TokenFile:         l.Config.TokenFile.Value,
		TokenEnv:          l.Config.Token,
		InstanceURL:       l.Config.InstanceURL.Value,
		AllowHTTPLoopback: l.Config.AllowHTTPLoopback,
	}
	if name, err := kube.ParseName(l.Config.Secret.Value); err == nil {
		config.Secret = name.String()
	}
	config.Session = l.Config.InSession()
	if problem == nil && l.InRunner() {
		config.RunnerDir = l.RunnerDir
	}
	return config, problem
}

// Traced traces the places that another source finds.
type Traced struct {
	helper.Source
	Trace *trace.Tracer
}

// Find traces what was found.
func (t Traced) Find(ctx context.Context, req credential.Request) ([]source.Found, []string, error) {
	began := time.Now()
	found, looked, problem := t.Source.Find(ctx, req)
	values := []trace.Value{{Key: trace.Count, Value: len(found)}}
	for _, f := range found {
		t.Trace.Hide(f.Token)
		values = append(values, trace.Value{Key: trace.Source, Value: string(f.Source)},
			trace.Value{Key: trace.Instance, Value: f.Instance.String()})
		values = append(values, reason(f.Problem)...)
	}
	t.Trace.Step("secret", began, append(values, reason(problem)...)...)
	return found, looked, problem
}

func reason(m error) []trace.Value {
	if m == nil {
		return nil
	}
	return []trace.Value{{Key: trace.Reason, Value: message.As(m).Code}}
}
