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

// Turn is the attempt of one call to replace a dead token by what another place has.
// Calls with the same token take turns.
type Turn struct {
	call call
	name string
	end  func()
}

// Turn waits for other calls, for half of the time that ctx leaves. If one of them
// was in vain half a minute ago or less, vain is true, and note is that of InVain.
// End must be called.
func (s Store) Turn(ctx context.Context, dead token.Token, place string) (t Turn, note error, vain bool) {
	dir, ok := s.open(true)
	if !ok {
		return Turn{}, nil, false
	}
	c := s.call(dir, Question{Token: dead})
	t = Turn{call: c, name: c.token + "-s-" + digest("secret", place)[:40]}
	patience, cancel := patience(ctx)
	_, release := dir.lock(patience, lockSecret, t.name, nil)
	t.end = func() { release(); cancel(); dir.close() }
	if e, ok := c.load(t.name); ok && c.now().Sub(e.made()) < vainTTL {
		if e.Note != nil { // a nil *Error is not a nil error
			note = e.Note
		}
		return t, note, true
	}
	return t, nil, false
}

// InVain remembers that the attempt was in vain, and what there is to tell of it. A
// call that was interrupted learned nothing.
func (t Turn) InVain(ctx context.Context, note error) {
	if t.end != nil && !errors.Is(ctx.Err(), context.Canceled) {
		t.call.save(t.name, entry{head: head{Made: t.call.now().UnixMilli()}, detail: detail{Note: message.As(note)}})
	}
}

// End lets the next call have its turn.
func (t Turn) End() {
	if t.end != nil {
		t.end()
	}
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
