package connection

import (
	"context"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/platform"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// Platform stores the token on the platform, which does not return it and can't tell
// whether it has changed.
type Platform struct {
	Client *platform.Client
	// Limit bounds each call.
	Limit time.Duration
}

// Where names the platform.
func (p Platform) Where() string { return "the platform at " + p.Client.Platform().URL }

// Flag is that of Keeper.
func (Platform) Flag() string { return "--platform" }

// Read asks for the status of the connection.
func (p Platform) Read(ctx context.Context) (Kept, error) {
	ctx, cancel := context.WithTimeout(ctx, p.Limit)
	defer cancel()
	status, err := p.Client.Status(ctx)
	if err != nil {
		return Kept{}, err
	}
	return Kept{Found: source.Found{Where: p.Where(), Instance: status.Instance},
		Connected: status.Connected, UpdatedAt: status.UpdatedAt, Username: status.Username}, nil
}

// Write connects, which replaces the stored token.
func (p Platform) Write(ctx context.Context, _ Kept, tok token.Token, i instance.Instance) error {
	ctx, cancel := context.WithTimeout(ctx, p.Limit)
	defer cancel()
	_, err := p.Client.Connect(ctx, tok, i)
	return err
}

// Try always succeeds: the platform has no dry run.
func (p Platform) Try(context.Context, Kept) error { return nil }

// Remove disconnects.
func (p Platform) Remove(ctx context.Context, _ Kept) error {
	ctx, cancel := context.WithTimeout(ctx, p.Limit)
	defer cancel()
	return p.Client.Disconnect(ctx)
}
