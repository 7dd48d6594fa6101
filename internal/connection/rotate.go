package connection

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/kube"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// Rotation says which token [Replace], [Renew] and [Resume] replace, and how. All fields
// must be set unless noted.
type Rotation struct {
	Keeper Keeper
	GitLab GitLab
	// Only is the one instance whose token may be replaced; nil for any.
	Only *instance.Instance
	// Here finds the token of an instance on this machine; the zero value if there is
	// none. nil for a keeper that returns its token.
	Here func(context.Context, instance.Instance) source.Found
	// Scopes are the required scopes, besides the old token's.
	Scopes []string
	// AllowHTTPLoopback lets instances be plain http on a loopback address.
	AllowHTTPLoopback bool
	// DryRun changes nothing.
	DryRun bool
	// Grace is how long Replace waits between storing the new token and revoking the old
	// one. After the wait, the new one is read back again.
	Grace time.Duration
	// Pods makes kubelet update the pods that mount the token, and returns their number;
	// with dryRun it only checks that it could. nil for none.
	Pods func(ctx context.Context, dryRun bool) (int, error)
	// Recovery is where a token that GitLab has created is saved until it is stored.
	Recovery Recovery
	// Shield is called before an interruption could lose the new token, and returns a
	// function to call when it is stored.
	Shield func() (safe func())
	// Tell is called after each step with its name and result.
	Tell func(step, text string)
}

// target is the token to replace: where it is stored, the token, and GitLab's facts about
// it.
type target struct {
	kept Kept
	old  source.Found
	self access.Self
}

// Replace stores a new token, and revokes the old one after the new one was stored, read
// back and verified. ask returns the new token and its place, after all other checks.
func Replace(ctx context.Context, r Rotation, ask func() (source.Found, error)) error {
	release, err := r.Recovery.Hold()
	if err != nil {
		return err
	}
	defer release()
	if err := r.Recovery.unfinished(); err != nil {
		return err
	}
	t, err := find(ctx, r)
	if err != nil {
		return err
	}
	if err := annotatePods(ctx, r, true); err != nil {
		return err
	}
	fresh, err := ask()
	if err != nil {
		return err
	}
	fresh.Instance, fresh.CA = t.old.Instance, t.old.CA
	if err := compare(ctx, r, t, fresh); err != nil {
		return err
	}
	if r.DryRun {
		wait := ""
		if r.Grace > 0 {
			wait = "wait " + r.Grace.String() + ", "
		}
		return wouldStore(ctx, r, t, ", read it back, "+wait+"and revoke the old one")
	}
	if err := store(ctx, r, t, fresh); err != nil {
		return err
	}
	err = annotatePods(ctx, r, false)
	if err == nil {
		err = grace(ctx, r, fresh)
	}
	if err == nil {
		err = r.GitLab.Revoke(ctx, t.old)
	}
	if err != nil {
		return errRotateNotRevoked(err, t.old.Instance.URL())
	}
	tellRevoked(r, t)
	noteCopy(ctx, r, t)
	return nil
}

// find finds the token to replace, and asks GitLab about it.
func find(ctx context.Context, r Rotation) (target, error) {
	kept, err := r.Keeper.Read(ctx)
	switch {
	case err != nil:
		return target{}, err
	case !kept.Connected:
		return target{}, message.NothingKept(r.Keeper.Where())
	case kept.Unwritable != nil:
		return target{}, errRotateNoWay(kept.Unwritable)
	case kept.Problem != nil:
		return target{}, kept.Problem
	case r.Only != nil && *r.Only != kept.Instance:
		return target{}, message.RotateOtherInstance(r.Keeper.Where(), kept.Instance.String(), r.Only.String())
	}
	t := target{kept: kept, old: oldToken(ctx, r, kept, kept.Instance)}
	if t.old.Token.IsZero() {
		return target{}, errRotateOldMissing(r.Keeper.Where(), kept.Instance.String())
	}
	switch t.self, err = r.GitLab.verify(ctx, t.old); {
	case err != nil && dead(err):
		return target{}, errRotateOldDead(err)
	case err != nil:
		return target{}, err
	}
	from := t.old.Where
	if kept.Token.IsZero() {
		if err := sameUser(ctx, r, t); err != nil {
			return target{}, err
		}
		from += ", which should be that of " + r.Keeper.Where() + " (which does not return its token),"
	}
	r.Tell("read", "the token "+message.Quote(t.self.Name)+" from "+from+" is alive; it expires "+until(t.self.ExpiresAt))
	return t, nil
}

// oldToken is the stored token, or, if the keeper does not return it, the one that is here.
func oldToken(ctx context.Context, r Rotation, kept Kept, i instance.Instance) source.Found {
	old := kept.Found
	if old.Token.IsZero() && r.Here != nil {
		old = r.Here(ctx, i)
	}
	old.Instance = i
	return old
}

// sameUser checks that the token here belongs to the user of the connection, if known: in a
// shared session, it may be another user's.
func sameUser(ctx context.Context, r Rotation, t target) error {
	if t.kept.Username == "" {
		return nil
	}
	user, err := r.GitLab.User(ctx, t.old)
	if err == nil && !strings.EqualFold(user.Username, t.kept.Username) {
		err = errRotateOtherUser(r.Keeper.Where())
	}
	return err
}

// compare checks that a new token can take the place of the old one.
func compare(ctx context.Context, r Rotation, t target, fresh source.Found) error {
	if Same(fresh.Token, t.old.Token) {
		return errRotateSame(r.Keeper.Where())
	}
	self, err := r.GitLab.verify(ctx, fresh)
	if err != nil {
		return err
	}
	wanted := slices.Concat(r.Scopes, t.self.Scopes)
	slices.Sort(wanted)
	missing := access.MissingScopes(slices.Compact(wanted), self.Scopes)
	switch {
	case self.UserID != t.self.UserID:
		return errRotateOtherUser(r.Keeper.Where())
	case len(missing) > 0 && !self.Granular:
		return errRotateScopes(missing)
	case !self.ExpiresAt.IsZero() && !t.self.ExpiresAt.IsZero() && !self.ExpiresAt.After(t.self.ExpiresAt):
		return errRotateExpiry(self.ExpiresAt, t.self.ExpiresAt)
	}
	r.Tell("verify", "the new token is alive, of the same user, and holds the scopes; it expires "+until(self.ExpiresAt))
	return nil
}

// wouldStore ends a dry run. then is what a rotation does after storing the new token.
func wouldStore(ctx context.Context, r Rotation, t target, then string) error {
	if err := r.Keeper.Try(ctx, t.kept); err != nil {
		return errRotateNoWay(err)
	}
	r.Tell("store", "would store it in "+r.Keeper.Where()+then)
	return nil
}

// store writes a token, reads it back, and checks that it works.
func store(ctx context.Context, r Rotation, t target, fresh source.Found) error {
	if err := writeToken(ctx, r.Keeper, t, fresh.Token); err != nil {
		return err
	}
	r.Tell("store", "stored in "+r.Keeper.Where())
	return verifyStored(ctx, r, fresh)
}

// maxTries is how many times a write is tried while other parts of the Secret change.
const maxTries = 5

// writeToken stores a token, also if other parts of the Secret have changed since the old one
// was read.
func writeToken(ctx context.Context, keeper Keeper, t target, fresh token.Token) error {
	for tries := 1; ; tries++ {
		err := keeper.Write(ctx, t.kept, fresh, t.old.Instance)
		if err == nil || tries == maxTries || !kube.Conflict(err) {
			return err
		}
		now, unread := keeper.Read(ctx)
		switch {
		case unread != nil:
			return err
		case !now.Connected:
			return message.NothingKept(keeper.Where())
		case Same(now.Token, fresh):
			return nil // the reply to an earlier try was lost
		case !Same(now.Token, t.old.Token) || now.Instance != t.old.Instance:
			return errRotateOvertaken(keeper.Where())
		}
		t.kept = now
	}
}

// verifyStored checks that the new token was stored and is valid.
func verifyStored(ctx context.Context, r Rotation, fresh source.Found) error {
	kept, err := readBack(ctx, r.Keeper, fresh.Token, fresh.Instance)
	if err != nil {
		return err
	}
	fresh.Where = r.Keeper.Where()
	if _, err := r.GitLab.verify(ctx, fresh); err != nil {
		return err
	}
	text := " has the new token, and it works"
	if kept.Token.IsZero() {
		text = " is connected, and the new token works"
	}
	r.Tell("read back", r.Keeper.Where()+text)
	return nil
}

// annotatePods makes kubelet update the pods that mount the token; with dryRun, it only
// checks that it could.
func annotatePods(ctx context.Context, r Rotation, dryRun bool) error {
	if r.Pods == nil {
		return nil
	}
	n, err := r.Pods(ctx, dryRun)
	pods := strconv.Itoa(n) + " pods"
	switch n {
	case 0:
		pods = "no running pod"
	case 1:
		pods = "1 pod"
	}
	switch {
	case err != nil && dryRun:
		return errRotateNoPods(err)
	case err != nil:
		return err
	case dryRun:
		r.Tell("pods", "--pods selects "+pods)
	default:
		r.Tell("pods", "annotated "+pods+", so that kubelet brings the new token at once")
	}
	return nil
}

// grace waits until users of the old token have got the new one, which must still be stored
// then.
func grace(ctx context.Context, r Rotation, fresh source.Found) error {
	if r.Grace <= 0 {
		return nil
	}
	r.Tell("wait", "the old token is revoked in "+r.Grace.String()+"; an interruption keeps it alive")
	select {
	case <-ctx.Done():
		return errGraceInterrupted()
	case <-time.After(r.Grace):
	}
	return verifyStored(ctx, r, fresh)
}

func tellRevoked(r Rotation, t target) {
	text := "the old token is revoked"
	if t.kept.Token.IsZero() {
		text = "the token from " + t.old.Where + " is revoked; if " + r.Keeper.Where() + " had another one, that one lives on: see " +
			message.TokensPage(t.old.Instance.URL())
	}
	r.Tell("revoke", text)
}

// noteCopy tells where on this machine the old token still is, if anywhere.
func noteCopy(ctx context.Context, r Rotation, t target) {
	if r.Here == nil {
		return
	}
	if found := r.Here(ctx, t.old.Instance); Same(found.Token, t.old.Token) {
		r.Tell("note", found.Where+" still has the old token; replace it there, too")
	}
}

// dead reports whether a token is permanently invalid.
func dead(err error) bool {
	return slices.ContainsFunc([]access.Reason{access.TokenRevoked, access.TokenExpired, access.TokenUnknown}, func(reason access.Reason) bool {
		return message.Is(err, string(reason))
	})
}

// until is a token's expiry date as text.
func until(at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return "on " + at.UTC().Format(time.DateOnly)
}
