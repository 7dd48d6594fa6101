package cache

import (
	"context"
	"errors"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// Vain is why another place had nothing better than a dead token: codes and values, of
// which the caller makes words. The zero value is for a token that is the same there.
type Vain struct {
	// Problem is the code of the message that says why the place could not be read.
	Problem string `json:",omitzero"`
	// Instance is the one that the other token is for.
	Instance string `json:",omitzero"`
	// Verdict is the refusal of the other token.
	Verdict access.Verdict `json:",omitzero"`
}

// Turn is the attempt of one call to replace a dead token by what another place has.
// Calls with the same token take turns.
type Turn struct {
	call call
	key  string
	end  func()
}

// Turn waits for other calls, for half of the time that ctx leaves. If one of them
// was in vain in the last 30 seconds, known is true, and vain says why. End must be
// called.
func (s Store) Turn(ctx context.Context, dead token.Token, place string) (t Turn, vain Vain, known bool) {
	dir, _ := s.open(true)
	if dir == nil {
		return Turn{}, Vain{}, false
	}
	t = Turn{call: s.call(dir, tokenFile(dead)), key: kindVain + digest(place)}
	half, cancel := halfOf(ctx)
	defer cancel()
	_, release := dir.lock(half, t.call.file+" "+t.key, nil)
	t.end = func() { release(); dir.close() }
	e := t.call.entry(t.call.read(), t.key)
	known = t.call.now().Sub(e.Made) < refusalTTL
	return t, e.Vain, known
}

// InVain stores that the attempt was in vain. A call that was interrupted learned
// nothing.
func (t Turn) InVain(ctx context.Context, why Vain) {
	if t.end != nil && !errors.Is(ctx.Err(), context.Canceled) {
		t.call.update(func(r *record) { r.set(t.key, entry{Made: t.call.now(), Vain: why}) })
	}
}

// End lets the next call have its turn.
func (t Turn) End() {
	if t.end != nil {
		t.end()
	}
}
