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

// TokenInstance is what is known about the instance of a token.
func (s Store) TokenInstance(tok token.Token) Instance { return s.instance(tokenFile(tok)) }

// SaveTokenInstance stores the URL of a token's instance, "" if nothing names one.
func (s Store) SaveTokenInstance(tok token.Token, url string) {
	s.saveInstance(tokenFile(tok), func(e *entry, now time.Time) { *e = entry{Made: now, Instance: url} })
}

// InstanceFailed stores that a request for the instance of a token failed.
func (s Store) InstanceFailed(tok token.Token) {
	s.saveInstance(tokenFile(tok), func(e *entry, now time.Time) { e.Tried = now })
}

// LockInstance waits until no other call asks for the same about the instance of a token,
// or ctx ends. It returns at once where there are no locks.
func (s Store) LockInstance(ctx context.Context, tok token.Token, question string) (release func()) {
	dir, _ := s.open(true)
	if dir == nil {
		return func() {}
	}
	_, unlock := dir.lock(ctx, s.call(dir, tokenFile(tok)).file+" "+kindInstance+question, nil)
	return func() { unlock(); dir.close() }
}

// SecretInstance is what is known about the instance of the Secret at a place.
func (s Store) SecretInstance(place string) Instance { return s.instance(fileOf("place", place)) }

// SaveSecretInstance stores the URL of the instance of the Secret at a place.
func (s Store) SaveSecretInstance(place, url string) {
	s.saveInstance(fileOf("place", place), func(e *entry, now time.Time) { *e = entry{Made: now, Instance: url} })
}

// Silent reports whether a place did not answer in the last 30 seconds.
func (s Store) Silent(place string) bool { return s.instance(fileOf("place", place)).Failed }

// SaveSilent stores that a place did not answer.
func (s Store) SaveSilent(place string) {
	s.saveInstance(fileOf("place", place), func(e *entry, now time.Time) { e.Tried = now })
}

func (s Store) instance(of names) (known Instance) {
	dir, _ := s.open(false)
	if dir == nil {
		return Instance{}
	}
	defer dir.close()
	c := s.call(dir, of)
	e := c.entry(c.read(), kindInstance)
	age := c.now().Sub(e.Made)
	known.Failed = c.now().Sub(e.Tried) < outageTTL
	if known.Known = age < maxAge; known.Known {
		known.URL, known.Fresh = e.Instance, age < c.TTL
	}
	return known
}

func (s Store) saveInstance(of names, change func(e *entry, now time.Time)) {
	dir, _ := s.open(true)
	if dir == nil {
		return
	}
	defer dir.close()
	c := s.call(dir, of)
	c.update(func(r *record) {
		e := c.entry(*r, kindInstance)
		change(&e, c.now())
		r.set(kindInstance, e)
	})
}
