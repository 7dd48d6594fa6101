package connection

import (
	"context"
	"slices"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
)

// Renew makes GitLab create a new token that expires at a time, and stores it. GitLab revokes
// the old token at the same time, so the new one is saved to disk until it is stored.
func Renew(ctx context.Context, r Rotation, expires time.Time) error {
	release, err := r.Recovery.Hold()
	if err != nil {
		return err
	}
	defer release()
	if err := r.Recovery.unfinished(); err != nil {
		return err
	}
	t, err := findRenewable(ctx, r, expires)
	if err != nil {
		return err
	}
	if r.DryRun {
		r.Tell("make", "would have GitLab make a token that expires "+until(expires)+", which revokes the old one at once, and store it in "+r.Keeper.Where())
		return nil
	}
	record := Record{Keeper: r.Keeper.Where(), KeptID: t.kept.ID, Server: t.kept.Server, Owner: t.kept.Username,
		Instance: t.old.Instance.URL(), OldID: t.self.ID, UserID: t.self.UserID}
	if err := r.Recovery.Write(record); err != nil {
		return drop(r, errRecoveryUnwritable(r.Recovery.Path, err))
	}
	// From here on, an interruption could lose the new token.
	ctx = context.WithoutCancel(ctx)
	defer r.Shield()()
	made, err := r.GitLab.rotate(ctx, t.old, expires)
	switch {
	case err != nil:
		return drop(r, err)
	case made.State != access.Given:
		return notMade(ctx, r, t, made.Reply, expires)
	}
	record.Token = made.Token
	saved := r.Recovery.Write(record) == nil
	where := "is saved in " + message.Quote(r.Recovery.Path)
	if !saved {
		// The only copy is in memory, so it is stored at once.
		where = "could not be saved in " + message.Quote(r.Recovery.Path) + ", so it is stored at once"
	}
	r.Tell("make", "GitLab has made a token that expires "+until(made.ExpiresAt)+", and revoked the old one; the new one "+where)
	return finish(ctx, r, t, record, saved)
}

// findRenewable finds the token to be replaced by one that expires at a time, and checks
// that a new one can be stored, since GitLab revokes the old one.
func findRenewable(ctx context.Context, r Rotation, expires time.Time) (target, error) {
	t, err := find(ctx, r)
	switch {
	case err != nil:
		return target{}, err
	case !t.self.Granular && !slices.Contains(t.self.Scopes, "api") && !slices.Contains(t.self.Scopes, "self_rotate"):
		return target{}, errRotateScope(r.Keeper.Where())
	case !t.self.ExpiresAt.IsZero() && !expires.After(t.self.ExpiresAt):
		return target{}, errRotateExpiry(expires, t.self.ExpiresAt)
	}
	if err := r.Keeper.Try(ctx, t.kept); err != nil {
		return target{}, errRotateNoWay(err)
	}
	return t, annotatePods(ctx, r, true)
}

// notMade is the error for a request for a token without a usable reply. It asks whether the
// old token is still valid.
func notMade(ctx context.Context, r Rotation, t target, reply access.Reply, expires time.Time) error {
	why := r.GitLab.explainReply(t.old, reply)
	switch {
	case reply.Reason == access.AccessForbidden:
		return drop(r, errRotateDenied(t.old.Instance.String(), expires))
	case reply.State != access.Silent:
		return drop(r, errRotateNotMade(why))
	case reply.Reason == access.Timeout:
		// GitLab may still execute the request.
		return errRotateUncertain(why, r.Recovery)
	}
	_, err := r.GitLab.verify(ctx, t.old)
	switch {
	case err == nil:
		return drop(r, why)
	case message.Unverified(err):
		return errRotateUncertain(why, r.Recovery)
	}
	return drop(r, errRotateLost(r.Keeper.Where()))
}

// finish stores a token that GitLab has created, and removes the saved copy once it is
// stored. Without a saved copy, the token is stored before anything else.
func finish(ctx context.Context, r Rotation, t target, record Record, saved bool) error {
	fresh := source.Found{Token: record.Token, Where: "the new token", Renew: "run rotate with it", Instance: t.old.Instance, CA: t.old.CA}
	if saved {
		if over, err := unusable(ctx, r, t, record, fresh); over {
			return err
		}
	}
	if err := store(ctx, r, t, fresh); err != nil {
		switch {
		case message.Is(err, "rotate-overtaken") && saved:
			return errRotateTwo(r.Keeper.Where(), r.Recovery.Path)
		case !saved && r.Recovery.Write(record) != nil: // there may be room on the disk again
			return errRotateUnsaved(err, r.Recovery.Path)
		}
		return errRotateSaved(err, r.Recovery)
	}
	left := r.Recovery.Remove()
	// The new token is stored, so failing to annotate pods is not an error.
	if err := annotatePods(ctx, r, false); err != nil {
		r.Tell("pods", err.Error()+"; the new token arrives in the pods within two minutes")
	}
	if left != nil {
		return warnRecoveryLeft(r.Recovery.Path, left)
	}
	noteCopy(ctx, r, t)
	return nil
}

// unusable asks GitLab about a saved token. If the token can't be stored, the rotation is
// over and ends with the error. If GitLab does not answer, the token is stored anyway, since
// GitLab has created it.
func unusable(ctx context.Context, r Rotation, t target, record Record, fresh source.Found) (over bool, err error) {
	self, err := r.GitLab.verify(ctx, fresh)
	switch {
	case err != nil && dead(err):
		if !t.old.Token.IsZero() {
			if old, wrong := r.GitLab.verify(ctx, t.old); wrong == nil && old.ID == record.OldID {
				// GitLab does not know it, for example after a restore from a backup.
				return true, drop(r, warnRotateUnmade(r.Keeper.Where()))
			}
		}
		return true, errRotateDead(err, r.Recovery.Path)
	case err != nil:
		return !message.Unverified(err), errRotateSaved(err, r.Recovery)
	case record.UserID != 0 && self.UserID != record.UserID:
		return true, errRotateOtherUser(r.Keeper.Where())
	}
	return false, nil
}

// drop ends a rotation that changed nothing or can't be continued, with an error, and removes
// its record.
func drop(r Rotation, err error) error {
	if r.DryRun {
		return err
	}
	if left := r.Recovery.Remove(); left != nil {
		r.Tell("save", warnRecoveryLeft(r.Recovery.Path, left).Error())
	}
	return err
}
