// Package connection is a user's GitLab connection: it stores, replaces and revokes
// the token, and never loses the only valid one.
package connection

import (
	"context"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// Keeper is a place that stores a user's token: the platform, or a Secret. It limits the
// time of each call.
type Keeper interface {
	// Where names the place.
	Where() string
	// Flag is the command line's flag for it.
	Flag() string
	// Read returns what is stored. It succeeds if there is nothing.
	Read(ctx context.Context) (Kept, error)
	// Write replaces what was read before by a token. If that has changed since, and
	// the keeper can detect it, nothing is changed.
	Write(ctx context.Context, old Kept, tok token.Token, i instance.Instance) error
	// Try returns the error that Write would, as far as the keeper can tell, without
	// changing anything.
	Try(ctx context.Context, old Kept) error
	// Remove removes the token.
	Remove(ctx context.Context, old Kept) error
}

// Kept is what a Keeper stores.
type Kept struct {
	// Found is the token, its instance and its place. Token is the zero value if the
	// keeper does not return it, or if there is a Problem.
	source.Found
	// Connected: something is stored.
	Connected bool
	// Unwritable is why Write would fail, and Unremovable why Remove would, as far as
	// known without a request; nil if they wouldn't.
	Unwritable, Unremovable error
	// ID distinguishes it from others of its name, and Server is where it was read; both
	// are "" if unknown.
	ID, Server string
	// UpdatedAt is when it was stored, zero if unknown, and Username its user, ""
	// likewise.
	UpdatedAt time.Time
	Username  string

	// state is the keeper's own data about what was read.
	state any
}

// Same reports whether two tokens are equal.
func Same(a, b token.Token) bool { return !a.IsZero() && a.Reveal() == b.Reveal() }

// Store stores a token in place of any other, and reads it back.
func Store(ctx context.Context, keeper Keeper, tok token.Token, i instance.Instance) error {
	old, err := keeper.Read(ctx)
	if err != nil {
		return err
	}
	if err := keeper.Write(ctx, old, tok, i); err != nil {
		return err
	}
	_, err = readBack(ctx, keeper, tok, i)
	return err
}

// readBack reads a token that was just stored, and checks that it is there.
func readBack(ctx context.Context, keeper Keeper, tok token.Token, i instance.Instance) (Kept, error) {
	kept, err := keeper.Read(ctx)
	switch {
	case err != nil:
	case kept.Problem != nil:
		err = kept.Problem
	case !kept.Connected || kept.Instance != i || !kept.Token.IsZero() && !Same(kept.Token, tok):
		err = errNotKept(keeper.Where())
	}
	return kept, err
}
