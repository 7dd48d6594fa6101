package cache

import (
	"context"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/token"
)

// Instance is what is known about the instance that a token or a Secret is for.
type Instance struct {
	// Known: the instance was determined in the last 25 hours. URL is its URL, "" if
	// nothing names one.
	Known bool
	URL   string
	// Fresh: it need not be determined again. Failed: an attempt to do so failed in the
	// last 30 seconds.
	Fresh, Failed bool
}

// Instances caches the instance of one token or place.
type Instances struct {
	store Store
	of    names
}

// OfToken is the cache for the instance of a token.
func (s Store) OfToken(tok token.Token) Instances { return Instances{s, tokenFile(tok)} }

// OfPlace is the cache for the instance of what is stored at a place, such as a Secret.
func (s Store) OfPlace(place string) Instances { return Instances{s, fileOf("place", place)} }

// Get is what is known.
func (i Instances) Get() (known Instance) {
	dir, _ := i.store.open(false)
	if dir == nil {
		return Instance{}
	}
	defer dir.close()
	c := i.store.call(dir, i.of)
	e := c.entry(c.read(), kindInstance)
	age := c.now().Sub(e.Made)
	known.Failed = c.now().Sub(e.Tried) < outageTTL
	if known.Known = age < maxAge; known.Known {
		known.URL, known.Fresh = e.Instance, age < c.TTL
	}
	return known
}

// Save stores the URL of the instance, "" if nothing names one.
func (i Instances) Save(url string) {
	i.change(func(e *entry, now time.Time) { *e = entry{Made: now, Instance: url} })
}

// SaveFailed stores that a request for the instance failed.
func (i Instances) SaveFailed() {
	i.change(func(e *entry, now time.Time) { e.Tried = now })
}

func (i Instances) change(change func(e *entry, now time.Time)) {
	dir, _ := i.store.open(true)
	if dir == nil {
		return
	}
	defer dir.close()
	c := i.store.call(dir, i.of)
	c.update(func(r *record) {
		e := c.entry(*r, kindInstance)
		change(&e, c.now())
		r.set(kindInstance, e)
	})
}

// Lock waits until no other call asks the same question about the instance, or ctx ends. It
// returns at once where there are no locks.
func (i Instances) Lock(ctx context.Context, question string) (release func()) {
	dir, _ := i.store.open(true)
	if dir == nil {
		return func() {}
	}
	_, unlock := dir.lock(ctx, i.store.call(dir, i.of).file+" "+kindInstance+question, nil)
	return func() { unlock(); dir.close() }
}
