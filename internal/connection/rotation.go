package connection

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/kube"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// Rotation replaces a keeper's token. All fields must be set unless noted.
//
// Order matters: the old token is revoked only after the new one is stored, read back and
// verified. If GitLab creates the new token, it revokes the old one at the same time, so the
// new one is saved to disk first, until the keeper has it.
type Rotation struct {
	Keeper Keeper
	// Only is the one instance whose token may be replaced; nil for any.
	Only *instance.Instance
	// Here finds the token of an instance on this machine, and the name of its source,
	// for a keeper that does not return its own.
	Here func(context.Context, instance.Instance) (token.Token, string)
	// NewFrom names the source of Replace's new token.
	NewFrom string
	// Shield is called before an interruption could lose the new token, and returns a
	// function to call when it is stored.
	Shield func() (safe func())
	// Connect makes a client for a token, trusting the authorities that are stored with
	// it, nil for none.
	Connect func(tok token.Token, i instance.Instance, ca func() ([]byte, error)) (*gitlab.Client, error)
	// Limit bounds each step.
	Limit time.Duration
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
	// Tell is called after each step.
	Tell func(step, text string)
}

// The names of a rotation's steps.
const (
	stepRead   = "read"
	stepVerify = "verify"
	stepMake   = "make"
	stepSave   = "save"
	stepStore  = "store"
	stepBack   = "read back"
	stepPods   = "pods"
	stepWait   = "wait"
	stepRevoke = "revoke"
)

// timed is a Keeper with a time limit for each call.
type timed struct {
	Keeper
	limit time.Duration
}

func (k timed) Read(ctx context.Context) (Kept, error) {
	ctx, cancel := context.WithTimeout(ctx, k.limit)
	defer cancel()
	return k.Keeper.Read(ctx)
}

func (k timed) Try(ctx context.Context, old Kept) error {
	ctx, cancel := context.WithTimeout(ctx, k.limit)
	defer cancel()
	return k.Keeper.Try(ctx, old)
}

func (k timed) Write(ctx context.Context, old Kept, tok token.Token, i instance.Instance) error {
	ctx, cancel := context.WithTimeout(ctx, k.limit)
	defer cancel()
	return k.Keeper.Write(ctx, old, tok, i)
}

// alone runs do while no other rotation of the same place can run.
func (r Rotation) alone(do func(Rotation) error) error {
	release, err := r.Recovery.Hold()
	switch {
	case errors.Is(err, file.ErrHeld):
		return errUnderWay(r.Keeper.Where())
	case err != nil:
		return errRecoveryUnwritable(r.Recovery.Path, err)
	}
	defer release()
	r.Keeper = timed{r.Keeper, r.Limit}
	return do(r)
}

// Replace stores a new token and revokes the old one. It asks for the new one after all
// other checks.
func (r Rotation) Replace(ctx context.Context, ask func() (token.Token, error)) error {
	return r.alone(func(r Rotation) error { return r.replace(ctx, ask) })
}

func (r Rotation) replace(ctx context.Context, ask func() (token.Token, error)) error {
	if err := r.unfinished(); err != nil {
		return err
	}
	old, err := r.read(ctx)
	if err != nil {
		return err
	}
	if err := r.tryPods(ctx); err != nil {
		return err
	}
	fresh, err := ask()
	if err != nil {
		return err
	}
	if err := r.fits(ctx, old, fresh); err != nil {
		return err
	}
	if r.DryRun {
		return r.wouldReplace(ctx, old)
	}
	if err := r.store(ctx, old, fresh); err != nil {
		return err
	}
	if err := r.arrive(ctx, old, fresh); err != nil {
		return errRotateNotRevoked(err, old.instance.URL())
	}
	return r.revoke(ctx, old)
}

// wouldReplace ends a dry run of Replace.
func (r Rotation) wouldReplace(ctx context.Context, old current) error {
	if err := r.try(ctx, old); err != nil {
		return err
	}
	wait := ""
	if r.Grace > 0 {
		wait = "wait " + r.Grace.String() + ", "
	}
	r.Tell(stepStore, "would store it in "+r.Keeper.Where()+", read it back, "+wait+"and revoke the old one")
	return nil
}

// try checks that a token could be stored.
func (r Rotation) try(ctx context.Context, old current) error {
	if err := r.Keeper.Try(ctx, old.kept); err != nil {
		return errRotateNoWay(err)
	}
	return nil
}

// store writes a token, reads it back, and checks that it works.
func (r Rotation) store(ctx context.Context, old current, fresh token.Token) error {
	if err := r.write(ctx, old, fresh); err != nil {
		return err
	}
	r.Tell(stepStore, "stored in "+r.Keeper.Where())
	return r.readBack(ctx, old, fresh)
}

// maxTries is how many times a write is tried while other parts of the Secret change.
const maxTries = 5

// write stores a token, also if other parts of the Secret have changed since the old one
// was read.
func (r Rotation) write(ctx context.Context, old current, fresh token.Token) error {
	for tries := 1; ; tries++ {
		err := r.Keeper.Write(ctx, old.kept, fresh, old.instance)
		if err == nil || tries == maxTries || !kube.Conflict(err) {
			return err
		}
		now, unread := r.Keeper.Read(ctx)
		switch {
		case unread != nil:
			return err
		case !now.Connected:
			return message.NothingKept(r.Keeper.Where())
		case Same(now.Token, fresh):
			return nil // an interrupted try had come through
		case !Same(now.Token, old.token) || now.Instance != old.instance:
			return errRotateOvertaken(r.Keeper.Where())
		}
		old.kept = now
	}
}

// readBack checks that the token was stored and is valid.
func (r Rotation) readBack(ctx context.Context, old current, fresh token.Token) error {
	kept, err := r.Keeper.Read(ctx)
	switch {
	case err != nil:
		return err
	case kept.Problem != nil:
		return kept.Problem
	case !kept.Connected || kept.Instance != old.instance || !kept.Token.IsZero() && !Same(kept.Token, fresh):
		return message.NotKept(r.Keeper.Where())
	}
	if _, err := r.verify(ctx, fresh, old, r.Keeper.Where()); err != nil {
		return err
	}
	said := " has the new token, and it works"
	if kept.Token.IsZero() {
		said = " is connected, and the new token works"
	}
	r.Tell(stepBack, r.Keeper.Where()+said)
	return nil
}

// arrive waits until pods with the old token have got the new one.
func (r Rotation) arrive(ctx context.Context, old current, fresh token.Token) error {
	if err := r.annotatePods(ctx); err != nil {
		return err
	}
	if r.Grace <= 0 {
		return nil
	}
	r.Tell(stepWait, "the old token is revoked in "+r.Grace.String()+"; an interruption keeps it alive")
	select {
	case <-ctx.Done():
		return errGraceInterrupted()
	case <-time.After(r.Grace):
	}
	return r.readBack(ctx, old, fresh)
}

// tryPods checks that the pods could be annotated.
func (r Rotation) tryPods(ctx context.Context) error {
	n, err := r.pods(ctx, true)
	switch {
	case err != nil:
		return errRotateNoPods(err)
	case r.Pods != nil:
		r.Tell(stepPods, "--pods selects "+count(n))
	}
	return nil
}

func (r Rotation) annotatePods(ctx context.Context) error {
	n, err := r.pods(ctx, false)
	if err == nil && r.Pods != nil {
		r.Tell(stepPods, "annotated "+count(n)+", so that kubelet brings the new token at once")
	}
	return err
}

func (r Rotation) pods(ctx context.Context, dryRun bool) (int, error) {
	if r.Pods == nil {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.Limit)
	defer cancel()
	return r.Pods(ctx, dryRun)
}

// count is a number of pods as text.
func count(n int) string {
	switch n {
	case 0:
		return "no running pod"
	case 1:
		return "1 pod"
	}
	return strconv.Itoa(n) + " pods"
}
