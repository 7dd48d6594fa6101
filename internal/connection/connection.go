// Package connection is a user's GitLab connection: it stores, replaces and revokes
// the token, and never loses the only valid one.
package connection

import (
	"context"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// Keeper is a place that keeps a user's token: the platform, or a Secret.
type Keeper interface {
	// Where is the place in words.
	Where() string
	// Read gives what is kept. That there is nothing is no failure.
	Read(ctx context.Context) (Kept, error)
	// Write keeps a token in the place of what was read before. When that has
	// changed since, nothing happens, if the keeper can tell.
	Write(ctx context.Context, old Kept, tok token.Token, i instance.Instance) error
	// Try tells what would be in the way of a Write in the place of what was
	// read, as far as the keeper can tell. It changes nothing.
	Try(ctx context.Context, old Kept) error
	// Remove keeps no token any more.
	Remove(ctx context.Context, old Kept) error
}

// Kept is what a Keeper keeps.
type Kept struct {
	// Connected: there is something.
	Connected bool
	Instance  instance.Instance
	// Token is the zero value when the keeper does not give it away, or when
	// Problem says why it is none.
	Token   token.Token
	Problem error
	// Fixed says why Write can't change it, and Stuck why Remove can't take the
	// token out of it, as far as the keeper knows without asking; nil when they can.
	Fixed, Stuck error
	// CA gives the authorities that are kept along with it, in PEM form; nil for
	// a keeper that keeps none.
	CA func() ([]byte, error)
	// ID tells it from others of that name, and Server where it was read; both are
	// "" when the keeper does not say.
	ID, Server string
	// UpdatedAt is when it was stored, zero when the keeper does not say, and
	// Username whose it is, "" likewise.
	UpdatedAt time.Time
	Username  string

	// state is the keeper's own note of what was read.
	state any
}

// Same reports whether two tokens are one.
func Same(a, b token.Token) bool { return !a.IsZero() && a.Reveal() == b.Reveal() }
