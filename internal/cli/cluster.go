package cli

import (
	"context"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/cache"
	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/kube"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// cluster is how to reach the Kubernetes API.
func (a *app) cluster() kube.Config {
	return kube.Config{
		Kubeconfig:  a.config.Kubeconfig.Value,
		Home:        a.config.Home.Value,
		ServiceHost: a.config.ServiceHost.Value,
		ServicePort: a.config.ServicePort.Value,
		UserAgent:   Name + "/" + a.env.Build.known().Version,
	}
}

// clusterSecret reads the Secret of ACP_GITLAB_SECRET for a request, if that may
// be for its instance; false when there is no such Secret. where names it; what
// the variable holds is shown only when it is a name.
func (a *app) clusterSecret(ctx context.Context, req credential.Request) (read func() (source.Found, bool), where string) {
	text := a.config.Secret.Value
	name, err := kube.ParseName(text)
	if err != nil {
		problem := message.SettingInvalid(a.config.Secret.Name, err)
		if text == "" {
			problem = errClusterSecretUnset()
		}
		return func() (source.Found, bool) {
			place := source.Place("")
			place.Where, place.Problem = a.config.Secret.Name, problem
			return place, true
		}, a.config.Secret.Name
	}
	return func() (source.Found, bool) {
		expected, settled := a.expected(name)
		if settled && req.Host != "" && expected.Match(req.Protocol, req.Host, req.Path) != instance.Ours {
			place := source.Place(name.String())
			place.Instance = expected
			return place, true
		}
		limited := ctx
		if req.Host != "" && expected == (instance.Instance{}) {
			// It may well be another's request.
			short, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			limited = short
		}
		found, problem := a.readSecret(limited, name)
		switch {
		case kube.Missing(problem):
			return source.Found{}, false
		case problem != nil:
			// Whose requests this refuses is known only from before.
			found = source.Place(name.String())
			found.Instance, found.Problem = expected, problem
		}
		return found, true
	}, source.InCluster(name.String())
}

// expected is the instance that a Secret of the cluster should be for: the one
// that this helper is set up for, else the one that the Secret was for when it
// was read last; the zero value when nobody knows. settled says that the Secret
// need not be read for another instance's request.
func (a *app) expected(name kube.Name) (i instance.Instance, settled bool) {
	if known, _ := a.known(); known != nil {
		return *known, true
	}
	store, problem := a.verdicts()
	if problem != nil {
		return instance.Instance{}, false
	}
	url, fresh, known := store.Instance(a.placeOf(name))
	if !known {
		return instance.Instance{}, false
	}
	i, err := instance.Parse(url, a.config.AllowHTTPLoopback)
	return i, fresh && err == nil
}

// placeOf tells a Secret from one of the same name in another cluster.
func (a *app) placeOf(name kube.Name) string { return name.String() + " " + a.cluster().Fingerprint() }

// readSecret reads a Secret of the cluster within the time limit.
func (a *app) readSecret(ctx context.Context, name kube.Name) (source.Found, error) {
	ctx, stop, _, problem := a.limit().Start(ctx)
	if problem != nil {
		return source.Found{}, problem
	}
	defer stop()
	client, problem := kube.Open(ctx, a.cluster())
	if problem != nil {
		return source.Found{}, problem
	}
	s, problem := client.Get(ctx, name)
	if problem != nil {
		return source.Found{}, problem
	}
	found := source.Read(name.String(), objectOf(s), a.config.AllowHTTPLoopback)
	if store, problem := a.verdicts(); problem == nil && found.Instance != (instance.Instance{}) {
		store.SaveInstance(a.placeOf(name), found.Instance.URL())
	}
	return found, nil
}

// objectOf is a Secret of the cluster as package secret takes it.
func objectOf(s kube.Secret) source.Object {
	return source.Object{Type: s.Type, Changed: s.Changed, Key: func(key string) ([]byte, bool) {
		value, there := s.Data[key]
		return value.Reveal(), there
	}}
}

// patience is how long what may do without the cluster waits for it: a refusal,
// for a newer token, and a request that nobody knows to be ours.
const patience = 5 * time.Second

// rescue tries what the Secret of ACP_GITLAB_SECRET has instead of a dead token,
// unless that was in vain a moment ago.
func (a *app) rescue(ctx context.Context, dead token.Token, try helper.Try) error {
	store, problem := a.verdicts()
	if problem != nil {
		return problem
	}
	return a.rescueOnce(ctx, store, dead, try)
}

// rescueOnce does so with what store remembers; the zero Store remembers nothing.
func (a *app) rescueOnce(ctx context.Context, store cache.Store, dead token.Token, try helper.Try) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return store.OncePerDeadToken(ctx, dead, a.config.Secret.Value, func() (bool, error) { return a.tryCluster(ctx, try) })
}

func (a *app) tryCluster(ctx context.Context, try helper.Try) (helped bool, note error) {
	name, err := kube.ParseName(a.config.Secret.Value)
	if err != nil {
		return false, message.SettingInvalid(a.config.Secret.Name, err)
	}
	found, problem := a.readSecret(ctx, name)
	if problem != nil {
		return false, message.RescueFailed(source.InCluster(name.String()), problem)
	}
	return try(found)
}
