package cache

import (
	"time"

	"github.com/ambient-code/git-credential-acp/internal/token"
)

// TokenInstance is what is remembered of the instance of a token.
type TokenInstance struct {
	// Known: whoever knows has answered, in the last 25 hours. URL is the instance's,
	// "" if the answer was that nothing names one.
	Known bool
	URL   string
	// Fresh: the answer counts as if it were of now. InVain: an attempt failed less
	// than half a minute ago.
	Fresh, InVain bool
}

// TokenInstance gives what is remembered of the instance of a token.
func (s Store) TokenInstance(tok token.Token) TokenInstance {
	dir, ok := s.open(false)
	if !ok {
		return TokenInstance{}
	}
	defer dir.close()
	c := s.call(dir, Question{Token: tok})
	e, ok := c.load(c.instance)
	if !ok {
		return TokenInstance{}
	}
	now := c.now()
	known := TokenInstance{Known: e.Made != 0 && now.Sub(e.made()) < keep, InVain: now.Sub(time.UnixMilli(e.Tried)) < outageTTL}
	if known.Known {
		known.URL, known.Fresh = e.Instance, now.Sub(e.made()) < c.TTL
	}
	return known
}

// SaveTokenInstance remembers the URL of a token's instance, "" if nothing names one.
func (s Store) SaveTokenInstance(tok token.Token, url string) {
	s.saveInstance(tok, func(e *entry, now int64) { *e = entry{head: head{Made: now}, detail: detail{Instance: url}} })
}

// InstanceInVain remembers that nobody could be asked about the instance of a token.
func (s Store) InstanceInVain(tok token.Token) {
	s.saveInstance(tok, func(e *entry, now int64) { e.Tried = now })
}

func (s Store) saveInstance(tok token.Token, change func(e *entry, now int64)) {
	dir, ok := s.open(true)
	if !ok {
		return
	}
	defer dir.close()
	c := s.call(dir, Question{Token: tok})
	e, _ := c.load(c.instance)
	change(&e, c.now().UnixMilli())
	c.save(c.instance, e)
}
