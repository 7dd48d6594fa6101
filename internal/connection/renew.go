package connection

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
)

// makeLimit is how long to wait for GitLab's new token, which is lost if the reply is.
const makeLimit = 2 * time.Minute

// Renew makes GitLab create a new token that expires at a time and revoke the old one, and
// stores the new one.
func (r Rotation) Renew(ctx context.Context, expires time.Time) error {
	return r.alone(func(r Rotation) error {
		if r.DryRun {
			return r.wouldRenew(ctx, expires)
		}
		return r.renew(ctx, expires)
	})
}

func (r Rotation) wouldRenew(ctx context.Context, expires time.Time) error {
	if err := r.unfinished(); err != nil {
		return err
	}
	if _, err := r.renewable(ctx, expires); err != nil {
		return err
	}
	r.Tell(stepMake, "would have GitLab make a token that expires "+until(expires)+", which revokes the old one at once, and store it in "+r.Keeper.Where())
	return nil
}

func (r Rotation) renew(ctx context.Context, expires time.Time) error {
	// Create the file first, to fail before GitLab creates a token.
	record := Record{Keeper: r.Keeper.Where()}
	switch err := r.Recovery.Claim(record); {
	case errors.Is(err, fs.ErrExist):
		if err := r.unfinished(); err != nil {
			return err
		}
		return errUnfinished(r.Recovery.Path) // it has just ended
	case err != nil:
		return errRecoveryUnwritable(r.Recovery.Path, err)
	}
	old, err := r.renewable(ctx, expires)
	if err != nil {
		return r.dropped(err)
	}
	record.Instance, record.OldID, record.UserID, record.Scopes = old.instance.URL(), old.self.ID, old.self.UserID, old.self.Scopes
	record.Owner, record.KeptID, record.Server = old.kept.Username, old.kept.ID, old.kept.Server
	if err := r.Recovery.Write(record); err != nil {
		return r.dropped(errRecoveryUnwritable(r.Recovery.Path, err))
	}
	// From here on, an interruption could lose the new token.
	ctx = context.WithoutCancel(ctx)
	defer r.Shield()()
	var made gitlab.Rotated
	err = r.ask(ctx, max(r.Limit, makeLimit), old.token, old, func(ctx context.Context, client *gitlab.Client) error {
		made = client.Rotate(ctx, expires)
		return nil
	})
	switch {
	case err != nil:
		return r.dropped(err)
	case made.State != access.Given:
		return r.unmadeBecause(ctx, old, made.Reply, expires)
	}
	record.Token = made.Token
	saved := r.Recovery.Write(record) == nil
	where := "is saved in " + message.Quote(r.Recovery.Path)
	if !saved {
		// The only copy is in memory, so it is stored at once.
		where = "could not be saved in " + message.Quote(r.Recovery.Path) + ", so it is stored at once"
	}
	r.Tell(stepMake, "GitLab has made a token that expires "+until(made.ExpiresAt)+", and revoked the old one; the new one "+where)
	return r.finish(ctx, old, record, saved)
}

// renewable finds the token to be replaced by one that expires at a time, and checks that a
// new one can be stored, since GitLab revokes the old one.
func (r Rotation) renewable(ctx context.Context, expires time.Time) (current, error) {
	old, err := r.read(ctx)
	switch {
	case err != nil:
		return current{}, err
	case !old.self.Granular && !slices.Contains(old.self.Scopes, "api") && !slices.Contains(old.self.Scopes, "self_rotate"):
		return current{}, errRotateScope(r.Keeper.Where())
	case !old.self.ExpiresAt.IsZero() && !expires.After(old.self.ExpiresAt):
		return current{}, errRotateExpiry(expires, old.self.ExpiresAt)
	}
	if err := r.try(ctx, old); err != nil {
		return current{}, err
	}
	return old, r.tryPods(ctx)
}

// unmadeBecause is the error for a request for a token without a usable reply. It asks
// whether the old token is still valid.
func (r Rotation) unmadeBecause(ctx context.Context, old current, reply access.Reply, expires time.Time) error {
	why := r.explain(old.instance, reply)
	switch {
	case reply.Reason == access.AccessForbidden:
		return r.dropped(errRotateDenied(old.instance.String(), expires))
	case reply.State != access.Silent:
		return r.dropped(errRotateNotMade(why))
	case reply.Reason == access.Timeout:
		// GitLab may still execute the request.
		return errRotateUncertain(why, r.Recovery.Path)
	}
	_, err := r.verify(ctx, old.token, old, r.Keeper.Where())
	switch {
	case err == nil:
		return r.dropped(why)
	case message.Unverified(err):
		return errRotateUncertain(why, r.Recovery.Path)
	}
	return r.dropped(errRotateLost(r.Keeper.Where()))
}

// finish stores a token that GitLab has created, and removes the saved copy once it is
// stored. Without a saved copy, the token is stored before anything else.
func (r Rotation) finish(ctx context.Context, old current, record Record, saved bool) error {
	if saved {
		if over, err := r.usable(ctx, old, record); over {
			return err
		}
	}
	if err := r.store(ctx, old, record.Token); err != nil {
		switch {
		case message.Is(err, "rotate-overtaken") && saved:
			return errRotateTwo(r.Keeper.Where(), r.Recovery.Path)
		case !saved && r.Recovery.Write(record) != nil: // there may be room on the disk again
			return errRotateUnsaved(err, r.Recovery.Path)
		}
		return errRotateSaved(err, r.Recovery.Path)
	}
	err := r.Recovery.Remove()
	// The new token is stored, so failing to annotate pods is not an error.
	if late := r.annotatePods(ctx); late != nil {
		r.Tell(stepPods, late.Error()+"; the new token arrives in the pods within two minutes")
	}
	if err != nil {
		return warnRecoveryLeft(r.Recovery.Path, err)
	}
	return nil
}

// usable asks GitLab about a saved token. With over, the rotation ends with the error. If
// GitLab does not answer, the token is stored anyway, since GitLab has created it.
func (r Rotation) usable(ctx context.Context, old current, record Record) (over bool, err error) {
	self, err := r.verify(ctx, record.Token, old, "the new token")
	switch {
	case err != nil && dead(err):
		if again, still := r.verify(ctx, old.token, old, r.Keeper.Where()); !old.token.IsZero() && still == nil && again.ID == record.OldID {
			// GitLab does not know it, for example after a restore from a backup.
			return true, r.unmade()
		}
		return true, errRotateDead(err, r.Recovery.Path)
	case err != nil:
		return !message.Unverified(err), errRotateSaved(err, r.Recovery.Path)
	case record.UserID != 0 && self.UserID != record.UserID:
		return true, errRotateOtherUser(r.Keeper.Where())
	}
	return false, nil
}

// Resume finishes an interrupted Renew.
func (r Rotation) Resume(ctx context.Context) error {
	return r.alone(func(r Rotation) error { return r.resume(ctx) })
}

func (r Rotation) resume(ctx context.Context) error {
	record, found, err := r.Recovery.Read()
	switch {
	case err != nil:
		return errRecoveryUnreadable(r.Recovery.Path, err)
	case !found:
		return errNothingToResume(r.Recovery.Path)
	case record.Keeper != r.Keeper.Where():
		return errRecoveryElsewhere(r.Recovery.Path, message.Quote(record.Keeper))
	case record.OldID == 0 && record.Token.IsZero():
		return r.unmade()
	}
	old, err := r.recorded(ctx, record)
	switch {
	case err != nil:
		return err
	case record.Token.IsZero():
		return r.settle(ctx, old, record)
	}
	r.Tell(stepRead, "a token that GitLab made is saved in "+message.Quote(r.Recovery.Path))
	if err := r.superseded(ctx, old.kept, record); err != nil {
		return err
	}
	if r.DryRun {
		if err := r.try(ctx, old); err != nil {
			return err
		}
		r.Tell(stepStore, "would store it in "+r.Keeper.Where())
		return nil
	}
	defer r.Shield()()
	return r.finish(context.WithoutCancel(ctx), old, record, true)
}

// recorded finds the token of an interrupted rotation. A token is sent to its own instance
// only, and a connection to another instance is not replaced.
func (r Rotation) recorded(ctx context.Context, record Record) (current, error) {
	i, err := instance.Parse(record.Instance, r.AllowHTTPLoopback)
	if err != nil {
		return current{}, errRecoveryUnreadable(r.Recovery.Path, err)
	}
	kept, err := r.Keeper.Read(ctx)
	switch {
	case err != nil:
		return current{}, err
	case kept.Problem != nil && kept.Instance == instance.Instance{}:
		return current{}, kept.Problem
	case record.KeptID != kept.ID && record.Server != kept.Server:
		// It may have been recreated, or is reached by another address.
		return current{}, errRecoveryReplaced(r.Recovery.Path, r.Keeper.Where())
	case record.Owner != "" && kept.Username != "" && record.Owner != kept.Username:
		return current{}, errRecoveryOwner(r.Recovery.Path, r.Keeper.Where())
	case r.Only != nil && *r.Only != i:
		return current{}, message.RotateOtherInstance(r.Keeper.Where(), i.String(), r.Only.String())
	// A Secret without a token names its instance only by default.
	case kept.Connected && kept.Instance != i && !source.NoToken(kept.Problem):
		return current{}, message.RotateOtherInstance(r.Keeper.Where(), kept.Instance.String(), i.String())
	}
	return r.held(ctx, kept, i), nil
}

// superseded is an error if another valid token was stored since the rotation was
// interrupted: the user has to choose between them.
func (r Rotation) superseded(ctx context.Context, kept Kept, record Record) error {
	if kept.Token.IsZero() || Same(kept.Token, record.Token) {
		return nil
	}
	self, err := r.verify(ctx, kept.Token, current{kept: kept, instance: kept.Instance}, r.Keeper.Where())
	switch {
	case err != nil && message.Unverified(err):
		return err
	case err == nil && self.ID != record.OldID:
		return errRotateTwo(r.Keeper.Where(), r.Recovery.Path)
	}
	return nil
}

// settle ends a rotation that was interrupted before the reply was saved.
func (r Rotation) settle(ctx context.Context, old current, record Record) error {
	if old.token.IsZero() {
		return errRotateUnknown(r.Keeper.Where())
	}
	self, err := r.verify(ctx, old.token, old, r.Keeper.Where())
	switch {
	case err != nil && message.Unverified(err):
		return err
	case err == nil && self.ID == record.OldID:
		return r.unmade()
	case err == nil:
		return r.dropped(errRotateOvertaken(r.Keeper.Where()))
	}
	return r.dropped(errRotateLost(r.Keeper.Where()))
}

// unmade ends an interrupted rotation in which GitLab created no token.
func (r Rotation) unmade() error {
	return r.dropped(warnRotateUnmade(r.Keeper.Where()))
}

// dropped ends a rotation that changed nothing or can't be continued, and removes its
// record.
func (r Rotation) dropped(why error) error {
	if r.DryRun {
		return why
	}
	if err := r.Recovery.Remove(); err != nil {
		r.Tell(stepSave, warnRecoveryLeft(r.Recovery.Path, err).Error())
	}
	return why
}

// unfinished is an error if an earlier rotation must be finished first.
func (r Rotation) unfinished() error {
	_, found, err := r.Recovery.Read()
	switch {
	case err != nil:
		return errRecoveryUnreadable(r.Recovery.Path, err)
	case found:
		return errUnfinished(r.Recovery.Path)
	}
	return nil
}
