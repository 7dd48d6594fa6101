package cache

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// vainTTL is how long a Secret that did not help is left alone: as long as the
// refusal counts that it was to help with.
const vainTTL = refusalTTL

// OncePerDeadToken looks in another place for something better than a dead token, unless
// that was in vain half a minute ago: then it gives the note of that time.
// Callers do so one after another, for half of the time that ctx leaves.
func (s Store) OncePerDeadToken(ctx context.Context, dead token.Token, place string, look func() (helped bool, note error)) error {
	dir, ok := s.open(true)
	if !ok {
		_, note := look()
		return note
	}
	defer dir.close()
	c := s.call(dir, Question{Token: dead})
	name := c.token + "-s-" + digest("secret", place)[:40]
	patience, cancel := patience(ctx)
	defer cancel()
	_, release := dir.lock(patience, lockSecret, name, nil)
	defer release()
	if e, ok := c.load(name); ok && c.now().Sub(e.made()) < vainTTL {
		if e.Note == nil { // a nil *Error is not a nil error
			return nil
		}
		return e.Note
	}
	helped, note := look()
	if !helped && !errors.Is(ctx.Err(), context.Canceled) {
		c.save(name, entry{head: head{Made: c.now().UnixMilli()}, detail: detail{Note: message.As(note)}})
	}
	return note
}

// Instance gives the URL of the instance that the Secret at a place was for when
// it was last read; fresh says that this counts as if it were read now.
func (s Store) Instance(place string) (url string, fresh, known bool) {
	dir, ok := s.open(false)
	if !ok {
		return "", false, false
	}
	defer dir.close()
	c, name := s.place(dir, place)
	e, ok := c.load(name)
	age := c.now().Sub(e.made())
	if !ok || age > keep {
		return "", false, false
	}
	return e.Instance, age < c.TTL, true
}

// SaveInstance remembers the instance of the Secret at a place.
func (s Store) SaveInstance(place, url string) {
	dir, ok := s.open(true)
	if !ok {
		return
	}
	defer dir.close()
	c, name := s.place(dir, place)
	c.save(name, entry{head: head{Made: c.now().UnixMilli()}, detail: detail{Instance: url}})
}

// place is what is known of a Secret itself. There is no token to seal it with:
// the seal only shows that it is whole.
func (s Store) place(dir *directory, place string) (call, string) {
	c := s.call(dir, Question{})
	seal := sha256.Sum256([]byte("git-credential-acp place"))
	c.seal, c.token = seal[:], digest("place", place)[:16]
	return c, c.token + "-i-"
}
