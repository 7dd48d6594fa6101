package source

import (
	"time"

	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// Object is a Secret from the Kubernetes API.
type Object struct {
	// Type is the Secret's; only Opaque ones contain a user's token.
	Type string
	// Changed is when it was last changed, zero if unknown.
	Changed time.Time
	// Key returns a key's value; false if it does not exist.
	Key func(name string) ([]byte, bool)
}

// opaque is the type of generic Secrets. Others can have similar keys: a ServiceAccount's
// has token and ca.crt.
const opaque = "Opaque"

// InCluster is the name of a Secret, by namespace/name, in messages.
func InCluster(name string) string { return "the Secret " + message.Quote(name) + " in the cluster" }

// Place is a Secret of the cluster, by namespace/name, that was not read yet.
func Place(name string) Found {
	return Found{Source: API, Where: InCluster(name), Renew: storing(name), Belongs: belongsKey,
		Changed: func() time.Time { return time.Time{} }}
}

// Read returns what a mount of a Secret of the cluster, by namespace/name, would.
func Read(name string, object Object, allowHTTPLoopback bool) Found {
	f := Place(name)
	f.Changed = func() time.Time { return object.Changed }
	if object.Type != opaque {
		f.Problem = errSecretType(f.Where, object.Type)
		return f
	}
	keys := map[string]content{}
	for _, key := range deciding {
		keys[key] = object.content(key, maxValue)
	}
	place := func(key string) string { return "the key " + key + " of " + f.Where }
	f.CA = func() ([]byte, error) {
		return object.content(KeyCA, maxCA).authorities(place(KeyCA))
	}
	// It exists, so it is not empty like a mount of a missing Secret.
	f.take(keys, func() (bool, error) { return false, nil }, place, allowHTTPLoopback)
	return f
}

func (o Object) content(key string, limit int) content {
	value, there := o.Key(key)
	c := content{there: there, text: string(value)}
	if len(value) > limit {
		c.text, c.err = "", file.ErrTooLarge
	}
	return c
}
