package connection

import (
	"context"

	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
)

// Resume finishes an interrupted [Renew] by its record.
func Resume(ctx context.Context, r Rotation) error {
	release, err := r.Recovery.Hold()
	if err != nil {
		return err
	}
	defer release()
	record, found, err := r.Recovery.Read()
	switch {
	case err != nil:
		return err
	case !found:
		return errNothingToResume(r.Recovery.Path)
	case record.Keeper != r.Keeper.Where():
		return errRecoveryElsewhere(r.Recovery.Path, message.Quote(record.Keeper))
	}
	t, err := findRecorded(ctx, r, record)
	if err != nil {
		return err
	}
	if record.Token.IsZero() {
		return withoutToken(ctx, r, t, record)
	}
	r.Tell("read", "a token that GitLab made is saved in "+message.Quote(r.Recovery.Path))
	if err := superseded(ctx, r, t.kept, record); err != nil {
		return err
	}
	if r.DryRun {
		return wouldStore(ctx, r, t, "")
	}
	defer r.Shield()()
	return finish(context.WithoutCancel(ctx), r, t, record, true)
}

// findRecorded finds the token of an interrupted rotation. A token is sent to its own
// instance only, and a connection to another instance is not replaced.
func findRecorded(ctx context.Context, r Rotation, record Record) (target, error) {
	i, err := instance.Parse(record.Instance, r.AllowHTTPLoopback)
	if err != nil {
		return target{}, errRecoveryUnreadable(r.Recovery.Path, err)
	}
	kept, err := r.Keeper.Read(ctx)
	switch {
	case err != nil:
		return target{}, err
	case kept.Problem != nil && kept.Instance == instance.Instance{}:
		return target{}, kept.Problem
	case record.KeptID != kept.ID && record.Server != kept.Server:
		// It may have been recreated, or is reached by another address.
		return target{}, errRecoveryReplaced(r.Recovery.Path, r.Keeper.Where())
	case record.Owner != "" && kept.Username != "" && record.Owner != kept.Username:
		return target{}, errRecoveryOwner(r.Recovery)
	case r.Only != nil && *r.Only != i:
		return target{}, message.RotateOtherInstance(r.Keeper.Where(), i.String(), r.Only.String())
	// A Secret without a token names its instance only by default.
	case kept.Connected && kept.Instance != i && !source.NoToken(kept.Problem):
		return target{}, message.RotateOtherInstance(r.Keeper.Where(), kept.Instance.String(), i.String())
	}
	return target{kept: kept, old: oldToken(ctx, r, kept, i)}, nil
}

// superseded is an error if another valid token was stored since the rotation was
// interrupted: the user has to choose between them.
func superseded(ctx context.Context, r Rotation, kept Kept, record Record) error {
	if kept.Token.IsZero() || Same(kept.Token, record.Token) {
		return nil
	}
	self, err := r.GitLab.verify(ctx, kept.Found)
	switch {
	case err != nil && message.Unverified(err):
		return err
	case err == nil && self.ID != record.OldID:
		return errRotateTwo(r.Keeper.Where(), r.Recovery.Path)
	}
	return nil
}

// withoutToken ends a rotation that was interrupted before GitLab's reply was saved.
func withoutToken(ctx context.Context, r Rotation, t target, record Record) error {
	if t.old.Token.IsZero() {
		return errRotateUnknown(r.Recovery)
	}
	self, err := r.GitLab.verify(ctx, t.old)
	switch {
	case err != nil && message.Unverified(err):
		return err
	case err == nil && self.ID == record.OldID:
		return drop(r, warnRotateUnmade(r.Keeper.Where()))
	case err == nil:
		return drop(r, errRotateOvertaken(r.Keeper.Where()))
	}
	return drop(r, errRotateLost(r.Keeper.Where()))
}
