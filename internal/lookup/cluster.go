package lookup

import (
	"context"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/kube"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
)

// clusterSecret reads the Secret of ACP_GITLAB_SECRET for a request that may be for its
// instance; false if there is no such Secret. where names it; the variable's value is shown
// only if it is a valid name.
func (l Lookup) clusterSecret(ctx context.Context, req credential.Request) (read func() (source.Found, bool), where string) {
	text := l.Config.Secret.Value
	name, err := kube.ParseName(text)
	if err != nil {
		problem := message.SettingInvalid(l.Config.Secret.Name, err)
		if text == "" {
			problem = errClusterSecretUnset()
		}
		return func() (source.Found, bool) {
			place := source.Place("")
			place.Where, place.Problem = l.Config.Secret.Name, problem
			return place, true
		}, l.Config.Secret.Name
	}
	return func() (source.Found, bool) {
		expected, settled := expected(l, name)
		if settled && req.Host != "" && expected.Match(req.Protocol, req.Host, req.Path) != instance.Ours {
			place := source.Place(name.String())
			place.Instance = expected
			return place, true
		}
		limited := ctx
		if req.Host != "" && expected == (instance.Instance{}) {
			// The request may be for another instance.
			short, cancel := context.WithTimeout(ctx, otherTimeout)
			defer cancel()
			limited = short
		}
		found, problem := l.readSecret(limited, name)
		switch {
		case kube.Missing(problem):
			return source.Found{}, false
		case problem != nil:
			// The instance is known only from the cache.
			found = source.Place(name.String())
			found.Instance, found.Problem = expected, problem
		}
		return found, true
	}, source.InCluster(name.String())
}

// expected is the instance that a Secret of the cluster should be for: the configured one,
// or that of the Secret when it was last read; the zero value if unknown. settled: the Secret
// need not be read for another instance's request.
func expected(l Lookup, name kube.Name) (i instance.Instance, settled bool) {
	if l.Known != nil {
		return *l.Known, true
	}
	store, problem := l.Store()
	if problem != nil {
		return instance.Instance{}, false
	}
	known := store.OfPlace(placeOf(name, l.Cluster)).Get()
	if !known.Known {
		return instance.Instance{}, false
	}
	i, err := instance.Parse(known.URL, l.Config.AllowHTTPLoopback)
	return i, known.Fresh && err == nil
}

// placeOf identifies a Secret across clusters.
func placeOf(name kube.Name, cluster kube.Config) string {
	return name.String() + " " + cluster.Fingerprint()
}

// readSecret reads a Secret of the cluster within the time limit.
func (l Lookup) readSecret(ctx context.Context, name kube.Name) (source.Found, error) {
	ctx, stop, limit, problem := l.Limit.Start(ctx)
	if problem != nil {
		return source.Found{}, problem
	}
	defer stop()
	ctx, ended, _ := shortenWait(ctx, l.Store, placeOf(name, l.Cluster), limit)
	defer ended()
	client, problem := kube.Open(ctx, l.Cluster)
	if problem != nil {
		return source.Found{}, problem
	}
	defer client.Close()
	s, problem := client.Get(ctx, name)
	if problem != nil {
		return source.Found{}, problem
	}
	found := source.Read(name.String(), ObjectOf(s), l.Config.AllowHTTPLoopback)
	if store, problem := l.Store(); problem == nil && found.Instance != (instance.Instance{}) {
		store.OfPlace(placeOf(name, l.Cluster)).Save(found.Instance.URL())
	}
	return found, nil
}

// ObjectOf is a Secret of the cluster for package source.
func ObjectOf(s kube.Secret) source.Object {
	return source.Object{Type: s.Type, Changed: s.Changed, Key: func(key string) ([]byte, bool) {
		value, there := s.Data[key]
		return value.Reveal(), there
	}}
}

// otherTimeout is how long a request that may be for another instance waits for the cluster.
const otherTimeout = 5 * time.Second
