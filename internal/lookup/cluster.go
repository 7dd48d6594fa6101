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

// clusterSecret reads the Secret of ACP_GITLAB_SECRET for a request, if that may
// be for its instance; false when there is no such Secret. where names it; what
// the variable holds is shown only when it is a name.
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
		expected, settled := l.expected(name)
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
		found, problem := l.readSecret(limited, name)
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
func (l Lookup) expected(name kube.Name) (i instance.Instance, settled bool) {
	if l.Known != nil {
		return *l.Known, true
	}
	store, problem := l.Store()
	if problem != nil {
		return instance.Instance{}, false
	}
	known := store.SecretInstance(placeOf(name, l.Cluster))
	if !known.Known {
		return instance.Instance{}, false
	}
	i, err := instance.Parse(known.URL, l.Config.AllowHTTPLoopback)
	return i, known.Fresh && err == nil
}

// placeOf tells a Secret from one of the same name in another cluster.
func placeOf(name kube.Name, cluster kube.Config) string {
	return name.String() + " " + cluster.Fingerprint()
}

// readSecret reads a Secret of the cluster within the time limit.
func (l Lookup) readSecret(ctx context.Context, name kube.Name) (source.Found, error) {
	ctx, stop, _, problem := l.Limit.Start(ctx)
	if problem != nil {
		return source.Found{}, problem
	}
	defer stop()
	client, problem := kube.Open(ctx, l.Cluster)
	if problem != nil {
		return source.Found{}, problem
	}
	s, problem := client.Get(ctx, name)
	if problem != nil {
		return source.Found{}, problem
	}
	found := source.Read(name.String(), ObjectOf(s), l.Config.AllowHTTPLoopback)
	if store, problem := l.Store(); problem == nil && found.Instance != (instance.Instance{}) {
		store.SaveSecretInstance(placeOf(name, l.Cluster), found.Instance.URL())
	}
	return found, nil
}

// ObjectOf is a Secret of the cluster as package source takes it.
func ObjectOf(s kube.Secret) source.Object {
	return source.Object{Type: s.Type, Changed: s.Changed, Key: func(key string) ([]byte, bool) {
		value, there := s.Data[key]
		return value.Reveal(), there
	}}
}

// patience is how long a request that may well be another's waits for the cluster.
const patience = 5 * time.Second
