package connection

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/kube"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// Rotation replaces the token that a keeper keeps. All fields must be set unless
// noted.
//
// The order of its steps is what keeps a working token at hand: the old one is
// revoked only when the new one is stored, read back and found to work. Where
// GitLab itself makes the new token, it revokes the old one at that moment; so the
// new one is on disk before anything else is tried, until the keeper has it.
type Rotation struct {
	Keeper Keeper
	// Only is the one instance whose token may be replaced; nil for any.
	Only *instance.Instance
	// Here finds the token of an instance on this machine, and where it was found,
	// in words, for a keeper that does not give its own away.
	Here func(context.Context, instance.Instance) (token.Token, string)
	// NewFrom is where a token that Replace is given comes from, in words.
	NewFrom string
	// Shield is called before what an interruption would lose comes about, and
	// returns what is to be called when it is safe.
	Shield func() (safe func())
	// Connect makes a client for a token. The authorities that are kept along with
	// it count for its instance; they are nil for none.
	Connect func(tok token.Token, i instance.Instance, ca func() ([]byte, error)) (*gitlab.Client, error)
	// Limit bounds each step.
	Limit time.Duration
	// Scopes are those that a token must hold, whatever the old one held.
	Scopes []string
	// AllowHTTPLoopback lets instances be plain http on a loopback address.
	AllowHTTPLoopback bool
	// DryRun changes nothing.
	DryRun bool
	// Grace is how long Replace waits between storing the new token and revoking
	// the old one. After a wait, the new one is read back once more.
	Grace time.Duration
	// Pods makes kubelet bring a stored token to the pods that mount it, and returns
	// how many pods there are; with dryRun it only checks that it could. nil for
	// none.
	Pods func(ctx context.Context, dryRun bool) (int, error)
	// Recovery is where a token that GitLab has made is kept until it is stored.
	Recovery Recovery
	// Tell is told of each step when it is done.
	Tell func(step, text string)
}

// patience is how long GitLab may take to make a token: to give up on the answer
// is to give up the token.
const patience = 2 * time.Minute

// Steps of a rotation, as they are told.
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

// current is the token to replace, what GitLab says of it, and where it is kept.
type current struct {
	kept     Kept
	token    token.Token
	instance instance.Instance
	self     access.Self
	// from is where the token was found, if the keeper does not give it away.
	from string
}

// alone keeps other rotations of the same place away while one is under way.
func (r Rotation) alone(do func() error) error {
	release, err := r.Recovery.Hold()
	switch {
	case errors.Is(err, file.ErrHeld):
		return errUnderWay(r.Keeper.Where())
	case err != nil:
		return errRecoveryUnwritable(r.Recovery.Path, err)
	}
	defer release()
	return do()
}

// Replace puts a new token in the place of the old one, which it then revokes. It
// asks for the new one when nothing is known that would be in the way.
func (r Rotation) Replace(ctx context.Context, ask func() (token.Token, error)) error {
	return r.alone(func() error { return r.replace(ctx, ask) })
}

func (r Rotation) replace(ctx context.Context, ask func() (token.Token, error)) error {
	if problem := r.unfinished(); problem != nil {
		return problem
	}
	old, problem := r.read(ctx)
	if problem == nil {
		problem = r.tryPods(ctx)
	}
	if problem != nil {
		return problem
	}
	fresh, problem := ask()
	if problem != nil {
		return problem
	}
	if Same(fresh, old.token) {
		return errRotateSame(r.Keeper.Where())
	}
	self, problem := r.verify(ctx, fresh, old, r.NewFrom)
	if problem == nil {
		problem = r.fits(self, old)
	}
	if problem != nil {
		return problem
	}
	r.Tell(stepVerify, "the new token is alive, of the same user, and holds the scopes; it expires "+until(self.ExpiresAt))
	if r.DryRun {
		if problem := r.try(ctx, old); problem != nil {
			return problem
		}
		then := ", read it back, and revoke the old one"
		if r.Grace > 0 {
			then = ", read it back, wait " + r.Grace.String() + ", and revoke the old one"
		}
		r.Tell(stepStore, "would store it in "+r.Keeper.Where()+then)
		return nil
	}
	if problem := r.store(ctx, old, fresh); problem != nil {
		return problem
	}
	if problem := r.arrive(ctx, old, fresh); problem != nil {
		return errRotateNotRevoked(problem, old.instance.URL())
	}
	return r.revoke(ctx, old)
}

// arrive gives those who still have the old token the time to get the new one.
func (r Rotation) arrive(ctx context.Context, old current, fresh token.Token) error {
	if r.Pods != nil {
		n, problem := r.pods(ctx, false)
		if problem != nil {
			return problem
		}
		r.Tell(stepPods, "annotated "+count(n)+", so that kubelet brings the new token at once")
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
	if r.Pods == nil {
		return nil
	}
	n, problem := r.pods(ctx, true)
	if problem != nil {
		return errRotateNoPods(problem)
	}
	r.Tell(stepPods, "--pods selects "+count(n))
	return nil
}

func (r Rotation) pods(ctx context.Context, dryRun bool) (int, error) {
	return within(ctx, r.Limit, func(ctx context.Context) (int, error) { return r.Pods(ctx, dryRun) })
}

// count is a number of pods in words.
func count(n int) string {
	switch n {
	case 0:
		return "no running pod"
	case 1:
		return "1 pod"
	}
	return strconv.Itoa(n) + " pods"
}

// Renew has GitLab make a new token, which expires at a time, and puts it in the
// place of the old one, which GitLab revokes.
func (r Rotation) Renew(ctx context.Context, expires time.Time) error {
	return r.alone(func() error { return r.renew(ctx, expires) })
}

func (r Rotation) renew(ctx context.Context, expires time.Time) error {
	if r.DryRun {
		if problem := r.unfinished(); problem != nil {
			return problem
		}
		_, problem := r.renewable(ctx, expires)
		if problem == nil {
			r.Tell(stepMake, "would have GitLab make a token that expires "+until(expires)+", which revokes the old one at once, and store it in "+r.Keeper.Where())
		}
		return problem
	}
	record := Record{Keeper: r.Keeper.Where()}
	// Before the old token is read: another rotation that is under way would
	// replace it, and to have GitLab replace it once more would revoke the new one
	// too. And what can't be written now could not be written when it counts.
	switch err := r.Recovery.Claim(record); {
	case errors.Is(err, fs.ErrExist):
		if problem := r.unfinished(); problem != nil {
			return problem
		}
		return errUnfinished(r.Recovery.Path) // it has just ended
	case err != nil:
		return errRecoveryUnwritable(r.Recovery.Path, err)
	}
	old, problem := r.renewable(ctx, expires)
	if problem != nil {
		return r.calledOff(problem)
	}
	record.Instance, record.OldID, record.UserID, record.Scopes = old.instance.URL(), old.self.ID, old.self.UserID, old.self.Scopes
	record.Owner, record.KeptID, record.Server = old.kept.Username, old.kept.ID, old.kept.Server
	if err := r.Recovery.Write(record); err != nil {
		return r.calledOff(errRecoveryUnwritable(r.Recovery.Path, err))
	}
	client, problem := r.Connect(old.token, old.instance, old.kept.CA)
	if problem != nil {
		return r.calledOff(problem)
	}
	defer client.Close()
	// From here on, an interruption would lose what can't be had again.
	ctx = context.WithoutCancel(ctx)
	defer r.Shield()()
	asking, cancel := context.WithTimeout(ctx, max(r.Limit, patience))
	made := client.Rotate(asking, expires)
	cancel()
	if made.State != access.Given {
		return r.unanswered(ctx, old, made.Reply, expires)
	}
	record.Token = made.Token
	saved := r.Recovery.Write(record) == nil
	if saved {
		r.Tell(stepMake, "GitLab has made a token that expires "+until(made.ExpiresAt)+", and revoked the old one; the new one is saved in "+message.Quote(r.Recovery.Path))
	} else {
		// The only copy is in memory: it goes to where it is meant to be kept.
		r.Tell(stepMake, "GitLab has made a token that expires "+until(made.ExpiresAt)+", and revoked the old one; the new one could not be saved in "+message.Quote(r.Recovery.Path)+", so it is stored at once")
	}
	return r.finish(ctx, old, record, saved)
}

// renewable finds the token that GitLab is to replace by one that expires at a
// time.
func (r Rotation) renewable(ctx context.Context, expires time.Time) (current, error) {
	old, problem := r.read(ctx)
	switch {
	case problem != nil:
		return current{}, problem
	case !old.self.Granular && !slices.Contains(old.self.Scopes, "api") && !slices.Contains(old.self.Scopes, "self_rotate"):
		return current{}, errRotateScope(r.Keeper.Where())
	case !old.self.ExpiresAt.IsZero() && !expires.After(old.self.ExpiresAt):
		return current{}, errRotateExpiry(expires, old.self.ExpiresAt)
	}
	// What can't be stored now must not be made: the old token would be lost.
	problem = r.try(ctx, old)
	if problem == nil {
		problem = r.tryPods(ctx)
	}
	if problem != nil {
		return current{}, problem
	}
	return old, nil
}

// Resume finishes what an interrupted Renew left behind.
func (r Rotation) Resume(ctx context.Context) error {
	return r.alone(func() error { return r.resume(ctx) })
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
	i, err := instance.Parse(record.Instance, r.AllowHTTPLoopback)
	if err != nil {
		return errRecoveryUnreadable(r.Recovery.Path, err)
	}
	kept, problem := within(ctx, r.Limit, r.Keeper.Read)
	switch {
	case problem != nil:
		return problem
	case kept.Problem != nil && kept.Instance == instance.Instance{}:
		return kept.Problem
	case record.KeptID != kept.ID && record.Server != kept.Server:
		// It may have been made anew where it was, or be reached by another address.
		return errRecoveryReplaced(r.Recovery.Path, r.Keeper.Where())
	case record.Owner != "" && kept.Username != "" && record.Owner != kept.Username:
		return errRecoveryOwner(r.Recovery.Path, r.Keeper.Where())
	case r.Only != nil && *r.Only != i:
		return message.RotateOtherInstance(r.Keeper.Where(), i.String(), r.Only.String())
	}
	// The note may be of another instance than what is kept by now. No token is
	// shown to any but its own, and no connection replaced by another's.
	if kept.Connected && kept.Instance != i && !unfilled(kept) {
		return message.RotateOtherInstance(r.Keeper.Where(), kept.Instance.String(), i.String())
	}
	old := current{kept: kept, token: kept.Token, instance: i}
	if kept.Token.IsZero() && r.Here != nil {
		old.token, old.from = r.Here(ctx, i)
	}
	if record.Token.IsZero() {
		return r.settle(ctx, old, record)
	}
	r.Tell(stepRead, "a token that GitLab made is saved in "+message.Quote(r.Recovery.Path))
	if problem := r.superseded(ctx, kept, record); problem != nil {
		return problem
	}
	if r.DryRun {
		if problem := r.try(ctx, old); problem != nil {
			return problem
		}
		r.Tell(stepStore, "would store it in "+r.Keeper.Where())
		return nil
	}
	defer r.Shield()()
	return r.finish(context.WithoutCancel(ctx), old, record, true)
}

// unfilled reports a place that is there and has no token: whose it is, it only
// says by default.
func unfilled(kept Kept) bool {
	return source.NoToken(kept.Problem)
}

// superseded says whether another token has been stored since a rotation was
// interrupted, one that works: nobody but a person can tell which of them is meant.
func (r Rotation) superseded(ctx context.Context, kept Kept, record Record) error {
	if kept.Token.IsZero() || Same(kept.Token, record.Token) {
		return nil
	}
	self, problem := r.verify(ctx, kept.Token, current{kept: kept, instance: kept.Instance}, r.Keeper.Where())
	switch {
	case problem != nil && message.Unverified(problem):
		return problem
	case problem == nil && self.ID != record.OldID:
		return errRotateTwo(r.Keeper.Where(), r.Recovery.Path)
	}
	return nil
}

// settle ends a rotation that was interrupted before its answer was saved.
func (r Rotation) settle(ctx context.Context, old current, record Record) error {
	if old.token.IsZero() {
		return errRotateUnknown(r.Keeper.Where())
	}
	self, problem := r.verify(ctx, old.token, old, r.Keeper.Where())
	switch {
	case problem != nil && message.Unverified(problem):
		return problem
	case problem == nil && self.ID != record.OldID:
		return r.calledOff(errRotateOvertaken(r.Keeper.Where()))
	case problem == nil:
		return r.unmade()
	case !r.DryRun:
		if err := r.Recovery.Remove(); err != nil {
			r.Tell(stepSave, warnRecoveryLeft(r.Recovery.Path, err).Error())
		}
	}
	return errRotateLost(r.Keeper.Where())
}

// unmade ends an interrupted rotation in which GitLab has made no token.
func (r Rotation) unmade() error {
	if !r.DryRun {
		if err := r.Recovery.Remove(); err != nil {
			return warnRecoveryLeft(r.Recovery.Path, err)
		}
	}
	return warnRotateUnmade(r.Keeper.Where())
}

// finish stores a token that GitLab has made, and drops the saved copy when it is
// sure that it is kept. Without a saved copy, storing comes before all else.
func (r Rotation) finish(ctx context.Context, old current, record Record, saved bool) error {
	if saved {
		self, problem := r.verify(ctx, record.Token, old, "the new token")
		switch {
		case problem != nil && dead(problem):
			if again, still := r.verify(ctx, old.token, old, r.Keeper.Where()); !old.token.IsZero() && still == nil && again.ID == record.OldID {
				// GitLab knows nothing of it, as after it was restored from a backup.
				return r.unmade()
			}
			return errRotateDead(problem, r.Recovery.Path)
		case problem != nil && !message.Unverified(problem):
			return errRotateSaved(problem, r.Recovery.Path)
		case problem == nil && record.UserID != 0 && self.UserID != record.UserID:
			return errRotateOtherUser(r.Keeper.Where())
		}
		// Without an answer, it is stored all the same: GitLab has just made it.
	}
	if problem := r.store(ctx, old, record.Token); problem != nil {
		if message.Is(problem, "rotate-overtaken") && saved {
			return errRotateTwo(r.Keeper.Where(), r.Recovery.Path)
		}
		// There may be room on the disk again.
		if !saved && r.Recovery.Write(record) != nil {
			return errRotateUnsaved(problem, r.Recovery.Path)
		}
		return errRotateSaved(problem, r.Recovery.Path)
	}
	err := r.Recovery.Remove()
	if r.Pods != nil {
		// The new token is stored, so this is no failure of the rotation.
		if n, problem := r.pods(ctx, false); problem != nil {
			r.Tell(stepPods, problem.Error()+"; the new token arrives in the pods within two minutes")
		} else {
			r.Tell(stepPods, "annotated "+count(n)+", so that kubelet brings the new token at once")
		}
	}
	if err != nil {
		return warnRecoveryLeft(r.Recovery.Path, err)
	}
	return nil
}

// dead reports that GitLab says of a token that it will never work again.
func dead(m error) bool {
	return message.Is(m, string(access.TokenRevoked)) || message.Is(m, string(access.TokenExpired)) || message.Is(m, string(access.TokenUnknown))
}

// unanswered tells what became of a rotation whose answer did not come, by
// asking whether the old token still lives.
func (r Rotation) unanswered(ctx context.Context, old current, reply access.Reply, expires time.Time) error {
	problem := r.explain(old.instance, reply)
	switch {
	case reply.Reason == access.AccessForbidden:
		return r.calledOff(errRotateDenied(old.instance.String(), expires))
	case reply.State != access.Silent:
		return r.calledOff(errRotateNotMade(problem))
	case reply.Reason == access.Timeout:
		// It may still come about.
		return errRotateUncertain(problem, r.Recovery.Path)
	}
	_, state := r.verify(ctx, old.token, old, r.Keeper.Where())
	switch {
	case state == nil:
		return r.calledOff(problem)
	case message.Unverified(state):
		return errRotateUncertain(problem, r.Recovery.Path)
	}
	return r.calledOff(errRotateLost(r.Keeper.Where()))
}

// calledOff ends a rotation that has changed nothing, or that nothing can be done
// about.
func (r Rotation) calledOff(problem error) error {
	if err := r.Recovery.Remove(); err != nil {
		r.Tell(stepSave, warnRecoveryLeft(r.Recovery.Path, err).Error())
	}
	return problem
}

// unfinished says whether an earlier rotation has to be finished first.
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

// read finds the token to replace, and what GitLab says of it.
func (r Rotation) read(ctx context.Context) (current, error) {
	kept, problem := within(ctx, r.Limit, r.Keeper.Read)
	switch {
	case problem != nil:
		return current{}, problem
	case !kept.Connected:
		return current{}, message.NothingKept(r.Keeper.Where())
	case kept.Fixed != nil:
		return current{}, errRotateNoWay(kept.Fixed)
	case kept.Problem != nil:
		return current{}, kept.Problem
	}
	if r.Only != nil && *r.Only != kept.Instance {
		return current{}, message.RotateOtherInstance(r.Keeper.Where(), kept.Instance.String(), r.Only.String())
	}
	where := r.Keeper.Where()
	old := current{kept: kept, token: kept.Token, instance: kept.Instance}
	if kept.Token.IsZero() && r.Here != nil {
		old.token, old.from = r.Here(ctx, kept.Instance)
		where = old.from
	}
	if old.token.IsZero() {
		return current{}, errRotateOldMissing(r.Keeper.Where(), old.instance.String())
	}
	switch old.self, problem = r.verify(ctx, old.token, old, where); {
	case problem != nil && dead(problem):
		return current{}, errRotateOldDead(problem)
	case problem != nil:
		return current{}, problem
	}
	if problem := r.sameUser(ctx, old); problem != nil {
		return current{}, problem
	}
	if kept.Token.IsZero() {
		where += ", which should be that of " + r.Keeper.Where() + " (it does not give its own away),"
	}
	r.Tell(stepRead, "the token "+message.Quote(old.self.Name)+" from "+where+" is alive; it expires "+until(old.self.ExpiresAt))
	return old, nil
}

// sameUser sees that the token that is here is of the user whose connection it is
// to replace, where the keeper tells: in a session that several people share, it
// may be somebody else's.
func (r Rotation) sameUser(ctx context.Context, old current) error {
	if !old.kept.Token.IsZero() || old.kept.Username == "" {
		return nil
	}
	client, problem := r.Connect(old.token, old.instance, old.kept.CA)
	if problem != nil {
		return problem
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, r.Limit)
	defer cancel()
	user := client.User(ctx)
	switch {
	case user.State != access.Given:
		return r.explain(old.instance, user.Reply)
	case !strings.EqualFold(user.Username, old.kept.Username):
		return errRotateOtherUser(r.Keeper.Where())
	}
	return nil
}

// verify asks GitLab about a token, alone.
func (r Rotation) verify(ctx context.Context, tok token.Token, old current, where string) (access.Self, error) {
	i := old.instance
	client, problem := r.Connect(tok, i, old.kept.CA)
	if problem != nil {
		return access.Self{}, problem
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, r.Limit)
	defer cancel()
	verdict, facts := client.Check(ctx, "", access.Policy{}, access.Facts{})
	switch {
	case verdict.Outcome != access.Granted:
		return access.Self{}, message.Explain(verdict, r.subject(i, where))
	case facts.Self.State != access.Given:
		return access.Self{}, errRotateOldGitLab(i.String())
	}
	return facts.Self, nil
}

func (r Rotation) subject(i instance.Instance, where string) message.Subject {
	return message.Subject{Instance: i.String(), URL: i.URL(), Where: where, Renew: "run rotate with it"}
}

func (r Rotation) explain(i instance.Instance, reply access.Reply) error {
	v := access.Verdict{Outcome: access.Refused, Reason: reply.Reason, Detail: reply.Detail, Wait: reply.Wait}
	if v.Reason == access.Timeout {
		v.Detail = r.Limit.String()
	}
	switch reply.State {
	case access.Silent:
		v.Outcome = access.Unverified
	case access.Absent:
		return errRotateOldGitLab(i.String())
	}
	return message.Explain(v, r.subject(i, r.Keeper.Where()))
}

// fits holds a new token against the old one.
func (r Rotation) fits(self access.Self, old current) error {
	if self.UserID != old.self.UserID {
		return errRotateOtherUser(r.Keeper.Where())
	}
	wanted := slices.Concat(r.Scopes, old.self.Scopes)
	slices.Sort(wanted)
	if missing := access.MissingScopes(slices.Compact(wanted), self.Scopes); len(missing) > 0 && !self.Granular {
		return errRotateScopes(missing)
	}
	if !self.ExpiresAt.IsZero() && !old.self.ExpiresAt.IsZero() && !self.ExpiresAt.After(old.self.ExpiresAt) {
		return errRotateExpiry(self.ExpiresAt, old.self.ExpiresAt)
	}
	return nil
}

// store writes a token, reads it back, and checks that it works.
func (r Rotation) store(ctx context.Context, old current, fresh token.Token) error {
	if problem := r.write(ctx, old, fresh); problem != nil {
		return problem
	}
	r.Tell(stepStore, "stored in "+r.Keeper.Where())
	return r.readBack(ctx, old, fresh)
}

// readBack checks that a stored token is kept, and that it works.
func (r Rotation) readBack(ctx context.Context, old current, fresh token.Token) error {
	kept, problem := within(ctx, r.Limit, r.Keeper.Read)
	switch {
	case problem != nil:
		return problem
	case kept.Problem != nil:
		return kept.Problem
	case !kept.Connected || kept.Instance != old.instance || !kept.Token.IsZero() && !Same(kept.Token, fresh):
		return message.NotKept(r.Keeper.Where())
	}
	if _, problem := r.verify(ctx, fresh, old, r.Keeper.Where()); problem != nil {
		return problem
	}
	if kept.Token.IsZero() {
		r.Tell(stepBack, r.Keeper.Where()+" is connected, and the new token works")
	} else {
		r.Tell(stepBack, r.Keeper.Where()+" has the new token, and it works")
	}
	return nil
}

// try sees that a token could be stored.
func (r Rotation) try(ctx context.Context, old current) error {
	problem := withinDo(ctx, r.Limit, func(ctx context.Context) error { return r.Keeper.Try(ctx, old.kept) })
	if problem == nil {
		return nil
	}
	return errRotateNoWay(problem)
}

// write stores a token. When only other things have changed in the place where it
// goes, since the old one was read, it is written there all the same.
func (r Rotation) write(ctx context.Context, old current, fresh token.Token) error {
	for tries := 1; ; tries++ {
		problem := withinDo(ctx, r.Limit, func(ctx context.Context) error {
			return r.Keeper.Write(ctx, old.kept, fresh, old.instance)
		})
		if problem == nil || tries == maxTries || !kube.Conflict(problem) {
			return problem
		}
		now, trouble := within(ctx, r.Limit, r.Keeper.Read)
		switch {
		case trouble != nil:
			return problem
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

// maxTries is how often a token is written while other things change beside it.
const maxTries = 5

func (r Rotation) revoke(ctx context.Context, old current) error {
	client, problem := r.Connect(old.token, old.instance, old.kept.CA)
	if problem != nil {
		return errRotateNotRevoked(problem, old.instance.URL())
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, r.Limit)
	defer cancel()
	if reply := client.Revoke(ctx); reply.State != access.Given {
		return errRotateNotRevoked(r.explain(old.instance, reply), old.instance.URL())
	}
	said := "the old token is revoked"
	if old.kept.Token.IsZero() {
		said = "the token from " + old.from + " is revoked; if " + r.Keeper.Where() + " had another one, that one lives on: see " +
			message.TokensPage(old.instance.URL())
	}
	r.Tell(stepRevoke, said)
	return nil
}

// until is a token's end in words.
func until(at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return "on " + at.UTC().Format(time.DateOnly)
}

// within bounds one step.
func within[T any](ctx context.Context, limit time.Duration, step func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return step(ctx)
}

func withinDo(ctx context.Context, limit time.Duration, step func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return step(ctx)
}
