package connection

import (
	"context"

	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/platform"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// Platform stores the token on the platform, which does not return it and can't tell
// whether it has changed.
type Platform struct{ Client *platform.Client }

// Where names the platform.
func (p Platform) Where() string { return "the platform at " + p.Client.Platform().URL }

// Read asks for the status of the connection.
func (p Platform) Read(ctx context.Context) (Kept, error) {
	status, problem := p.Client.Status(ctx)
	if problem != nil {
		return Kept{}, problem
	}
	return Kept{Connected: status.Connected, Instance: status.Instance, UpdatedAt: status.UpdatedAt, Username: status.Username}, nil
}

// Write connects, which replaces the stored token.
func (p Platform) Write(ctx context.Context, _ Kept, tok token.Token, i instance.Instance) error {
	_, problem := p.Client.Connect(ctx, tok, i)
	return problem
}

// Try always succeeds: the platform has no dry run.
func (p Platform) Try(context.Context, Kept) error { return nil }

// Remove disconnects.
func (p Platform) Remove(ctx context.Context, _ Kept) error {
	return p.Client.Disconnect(ctx)
}
