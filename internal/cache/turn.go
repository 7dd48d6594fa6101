package cache

import (
	"context"
	"errors"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// RescueFailure is why another place had no valid token: codes and values, no text. The
// zero value is for the same token there.
type RescueFailure struct {
	// Problem is the code of the error from reading the place.
	Problem string `json:",omitzero"`
	// Instance is the other token's.
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
// failed in the last 30 seconds, known is true, and failure says why. End must be
// called.
func (s Store) Turn(ctx context.Context, dead token.Token, place string) (t Turn, failure RescueFailure, known bool) {
	dir, _ := s.open(true)
	if dir == nil {
		return Turn{}, RescueFailure{}, false
	}
	t = Turn{call: s.call(dir, tokenFile(dead)), key: kindFailure + digest(place)}
	half, cancel := halfOf(ctx)
	defer cancel()
	_, release := dir.lock(half, t.call.file+" "+t.key, nil)
	t.end = func() { release(); dir.close() }
	e := t.call.entry(t.call.read(), t.key)
	known = t.call.now().Sub(e.Made) < refusalTTL
	return t, e.RescueFailure, known
}

// Failed stores that the attempt failed. A call that was interrupted learned
// nothing.
func (t Turn) Failed(ctx context.Context, why RescueFailure) {
	if t.end != nil && !errors.Is(ctx.Err(), context.Canceled) {
		t.call.update(func(r *record) { r.set(t.key, entry{Made: t.call.now(), RescueFailure: why}) })
	}
}

// End lets the next call have its turn.
func (t Turn) End() {
	if t.end != nil {
		t.end()
	}
}
