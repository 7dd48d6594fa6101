package connection

import (
	"time"

	"github.com/ambient-code/git-credential-acp/internal/kube"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// errNotKept is for a keeper that returns another token than the one just stored.
func errNotKept(keeper string) error {
	return &message.Error{Code: "not-kept", Topic: message.NotVerified, What: keeper + " does not have the token that was just stored",
		Hint: "another program may have changed it at the same time; run git-credential-acp status, then try again"}
}

// errRotateSame is for a new token that equals the old one.
func errRotateSame(keeper string) error {
	return &message.Error{Code: "rotate-same", Topic: message.Configuration, What: "the new token is already the one in " + keeper + "; nothing was changed",
		Hint: "create a new token on GitLab, or let GitLab create one with --new; if an earlier rotate was interrupted, revoke the old token on GitLab"}
}

// errRotateOldMissing is for a keeper that does not return its token, when no other
// source has it.
func errRotateOldMissing(keeper, instance string) error {
	return &message.Error{Code: "rotate-old-missing", Topic: message.Configuration,
		What: keeper + " does not return its token, and there is no other copy for " + instance + " here to revoke",
		Hint: "run rotate where the token is mounted, or set ACP_GITLAB_TOKEN_FILE to its file; to replace it without revoking it, use connect"}
}

// errRotateOldDead is for an old token that is no longer valid, because of why.
func errRotateOldDead(why error) error {
	return &message.Error{Code: "rotate-old-dead", Topic: message.As(why).Topic, What: "there is nothing to rotate: " + message.As(why).What,
		Hint: "replace the token with git-credential-acp connect"}
}

// errRotateOldGitLab is for a GitLab without the API that rotate needs.
func errRotateOldGitLab(instance string) error {
	return &message.Error{Code: "rotate-old-gitlab", Topic: message.Configuration,
		What: instance + " is too old (this needs GitLab 15.5, and 16.10 for rotate --new)",
		Hint: "create a token on GitLab and store it with git-credential-acp connect, then revoke the old one on GitLab"}
}

// errRotateScope is for an old token without a scope for rotation.
func errRotateScope(keeper string) error {
	return &message.Error{Code: "rotate-scope", Topic: message.Permissions,
		What: "the token in " + keeper + " has neither the scope api nor self_rotate, so GitLab can't rotate it; nothing was changed",
		Hint: "create a token on GitLab, and run rotate without --new"}
}

// errRotateScopes is for a new token that lacks scopes.
func errRotateScopes(missing []string) error {
	return &message.Error{Code: "rotate-scopes", Topic: message.Permissions,
		What: "the new token lacks the " + message.Plural("scope", missing) + ", which the old one has or a setting requires; nothing was changed",
		Hint: "create a token with all of them; if fewer are intended, store it with git-credential-acp connect"}
}

// errRotateExpiry is for a new token that expires no later than the old one.
func errRotateExpiry(fresh, old time.Time) error {
	return &message.Error{Code: "rotate-expiry", Topic: message.Configuration,
		What: "the new token would expire on " + fresh.UTC().Format(time.DateOnly) + ", no later than the old one (" + old.UTC().Format(time.DateOnly) + "); nothing was changed",
		Hint: "choose a later date (--expires with --new)"}
}

// errRotateOtherUser is for a new token of another user.
func errRotateOtherUser(keeper string) error {
	return &message.Error{Code: "rotate-other-user", Topic: message.Authentication,
		What: "the new token and the one in " + keeper + " belong to different users; nothing was changed",
		Hint: "create it with the same account; if another user is intended, store it with git-credential-acp connect"}
}

// errRotateOvertaken is for a keeper in which another token was stored during rotate.
func errRotateOvertaken(keeper string) error {
	return &message.Error{Code: "rotate-overtaken", Topic: message.Configuration,
		What: "another token was stored in " + keeper + " during rotate; it was not overwritten",
		Hint: "run git-credential-acp status, and run rotate again if still needed"}
}

// errRotateNoWay is for a keeper that can't store a token, because of why.
func errRotateNoWay(why error) error {
	m := &message.Error{Code: "rotate-no-way", Topic: message.As(why).Topic,
		What: "a new token could not be stored, so nothing was changed: " + message.As(why).What, Hint: message.As(why).Hint}
	if kube.Immutable(why) {
		m.Hint += "; then revoke the old token on GitLab"
	}
	return m
}

// errRotateNoPods is for pods that can't be annotated, because of why; nothing was
// changed.
func errRotateNoPods(why error) error {
	return &message.Error{Code: "rotate-no-pods", Topic: message.As(why).Topic,
		What: "the pods could not be annotated, so nothing was changed: " + message.As(why).What,
		Hint: message.As(why).Hint + "; without --pods, the new token reaches the pods within two minutes"}
}

// errGraceInterrupted is for a signal during the wait before the old token is revoked.
func errGraceInterrupted() error {
	return &message.Error{Code: "grace-interrupted", Topic: message.NotVerified, What: "--grace was interrupted by a signal",
		Hint: "revoke the old token on GitLab when it is no longer needed"}
}

// errRotateTwo is for a token that GitLab created while another valid one was stored.
func errRotateTwo(keeper, path string) error {
	return &message.Error{Code: "rotate-two", Topic: message.Configuration,
		What: "another token was stored in " + keeper + " during rotate; it was not overwritten, and the one that GitLab created is in " + message.Quote(path),
		Hint: "to use the one in the file, pass its key token to git-credential-acp connect; otherwise revoke it on GitLab; then remove the file"}
}

// errRotateNotRevoked is for an old token that is still valid, because of why, after
// the new one was stored.
func errRotateNotRevoked(why error, url string) error {
	return &message.Error{Code: "rotate-not-revoked", Topic: message.As(why).Topic,
		What: "the new token is stored, but the old one was not revoked: " + message.As(why).What,
		Hint: "revoke the old one at " + message.TokensPage(url)}
}

// errRotateLost is for a token that GitLab created in a reply that was lost.
func errRotateLost(keeper string) error {
	return &message.Error{Code: "rotate-lost", Topic: message.Authentication,
		What: "GitLab has revoked the token in " + keeper + ", but the reply with the new one was lost",
		Hint: "create a token on GitLab and store it with git-credential-acp connect"}
}

// errRotateUncertain is for a rotation with an unknown result, because of why.
func errRotateUncertain(why error, r Recovery) error {
	return &message.Error{Code: "rotate-uncertain", Topic: message.As(why).Topic,
		What: message.As(why).What + "; GitLab may or may not have replaced the token (recorded in " + message.Quote(r.Path) + ")",
		Hint: "run git-credential-acp rotate " + r.Flags + " --resume when GitLab can be reached, and not rotate --new"}
}

// errRotateUnknown is for an interrupted rotation whose old token is not here.
func errRotateUnknown(r Recovery) error {
	return &message.Error{Code: "rotate-unknown", Topic: message.Configuration,
		What: "the result of the interrupted rotation can't be determined: " + r.Keeper + " does not return its token, and there is no other copy here",
		Hint: "run git-credential-acp rotate " + r.Flags + " --resume where the token is mounted, or connect a new token and remove the file"}
}

// errRotateSaved is for a token that GitLab created and that could not be stored,
// because of why, but is in the recovery file.
func errRotateSaved(why error, r Recovery) error {
	m := &message.Error{Code: "rotate-saved", Topic: message.As(why).Topic,
		What: message.As(why).What + "; the new token is saved in " + message.Quote(r.Path) + ", and the old one is revoked",
		Hint: "run git-credential-acp rotate " + r.Flags + " --resume to store it"}
	if kube.Immutable(why) {
		m.Hint = "delete the Secret with kubectl, and run git-credential-acp rotate " + r.Flags + " --resume, which creates it again with the new token; then recreate the pods that mount it"
	}
	return m
}

// errRotateUnsaved is for a token that GitLab created and that could be neither stored,
// because of why, nor saved.
func errRotateUnsaved(why error, path string) error {
	return &message.Error{Code: "rotate-unsaved", Topic: message.As(why).Topic,
		What: message.As(why).What + "; the new token could not be saved in " + message.Quote(path) + " either, and the old one is revoked",
		Hint: "run git-credential-acp status to see whether the new one was stored; if not, create a token on GitLab and store it with git-credential-acp connect, then remove the file"}
}

// errRotateDead is for a saved token that is no longer valid, because of why.
func errRotateDead(why error, path string) error {
	return &message.Error{Code: "rotate-dead", Topic: message.As(why).Topic,
		What: message.As(why).What + "; this is the token saved in " + message.Quote(path) + ", and it was not stored",
		Hint: "create a token on GitLab and store it with git-credential-acp connect, then remove the file"}
}

// warnRotateUnmade is for an interrupted rotation without effect.
func warnRotateUnmade(keeper string) error {
	return &message.Error{Code: "rotate-unmade", Topic: message.Warning,
		What: "the interrupted rotation had no effect: GitLab created no token, and " + keeper + " is unchanged",
		Hint: "run rotate --new again if still needed"}
}

// errUnfinished is for an earlier rotation that must be resumed first.
func errUnfinished(r Recovery) error {
	return &message.Error{Code: "rotate-unfinished", Topic: message.Configuration,
		What: "an earlier rotation was interrupted; it is recorded in " + message.Quote(r.Path),
		Hint: "run git-credential-acp rotate " + r.Flags + " --resume first"}
}

// errUnderWay is for another running rotation of the same token.
func errUnderWay(keeper string) error {
	return &message.Error{Code: "rotate-under-way", Topic: message.Configuration,
		What: "another rotation of the token in " + keeper + " is running; nothing was changed",
		Hint: "wait until it has ended, then run git-credential-acp status"}
}

// errRotateDenied is for a GitLab that rejects the expiry date.
func errRotateDenied(instance string, expires time.Time) error {
	return &message.Error{Code: "rotate-denied", Topic: message.Permissions,
		What: instance + " does not rotate this token to one that expires on " + expires.UTC().Format(time.DateOnly) + "; nothing was changed",
		Hint: "choose an earlier date with --expires, since an administrator may have set a shorter maximum; otherwise create a token on GitLab, and run rotate without --new"}
}

// errRotateNotMade is for a GitLab that creates no token, because of why.
func errRotateNotMade(why error) error {
	return &message.Error{Code: "rotate-not-made", Topic: message.As(why).Topic, What: "GitLab created no new token, and nothing was changed: " + message.As(why).What, Hint: message.As(why).Hint}
}

// errRecoveryReplaced is for a recovery file of a Secret of the same name in another
// cluster.
func errRecoveryReplaced(path, keeper string) error {
	return &message.Error{Code: "recovery-replaced", Topic: message.Configuration,
		What: "the interrupted rotation in " + message.Quote(path) + " belongs to another cluster than that of " + keeper + "; nothing was changed",
		Hint: "check that the kubeconfig names the same cluster; if it does, pass the key token of the file to git-credential-acp connect, then remove the file"}
}

// errRecoveryOwner is for a recovery file of another user's connection.
func errRecoveryOwner(r Recovery) error {
	return &message.Error{Code: "recovery-owner", Topic: message.Configuration,
		What: "the interrupted rotation in " + message.Quote(r.Path) + " belongs to another user's connection in " + r.Keeper + "; nothing was changed",
		Hint: "run git-credential-acp rotate " + r.Flags + " --resume with that user's token for the platform"}
}

// errNothingToResume is for rotate --resume without a recovery file.
func errNothingToResume(path string) error {
	return &message.Error{Code: "nothing-to-resume", Topic: message.Configuration,
		What: "no interrupted rotation is recorded in " + message.Quote(path),
		Hint: "check that --secret, --platform and --recovery-dir are the same as before"}
}

// errRecoveryElsewhere is for a recovery file of another keeper.
func errRecoveryElsewhere(path, keeper string) error {
	return &message.Error{Code: "recovery-elsewhere", Topic: message.Configuration,
		What: "the interrupted rotation in " + message.Quote(path) + " belongs to " + keeper,
		Hint: "name that one with --secret or --platform"}
}

// errRecoveryUnwritable is for a recovery file that can't be written or removed.
func errRecoveryUnwritable(path string, why error) error {
	return &message.Error{Code: "recovery-unwritable", Topic: message.Configuration,
		What: "the recovery file " + message.Quote(path) + " can't be written: " + why.Error() + "; nothing was changed",
		Hint: "name another directory, which only you can write to, with --recovery-dir"}
}

// errRecoveryUnreadable is for a recovery file that can't be read or trusted.
func errRecoveryUnreadable(path string, why error) error {
	return &message.Error{Code: "recovery-unreadable", Topic: message.Configuration,
		What: "the recovery file " + message.Quote(path) + " can't be used: " + why.Error(),
		Hint: "if it contains a token (its key token), store that with git-credential-acp connect; then remove the file"}
}

// warnRecoveryLeft is for a recovery file that could not be removed.
func warnRecoveryLeft(path string, why error) error {
	return &message.Error{Code: "recovery-left", Topic: message.Warning,
		What: "the recovery file " + message.Quote(path) + ", which may contain the token, could not be removed: " + why.Error(),
		Hint: "remove it"}
}
