package message

import (
	"time"
)

// Words of connect, status, disconnect and rotate. A keeper is the place that
// keeps a token: a Secret, or the platform.

// KeeperUnset is for a command that is not told where the token is kept.
func KeeperUnset(command string) error {
	return &Error{Code: "keeper-unset", Topic: Usage, What: command + " does not know where the token is kept",
		Hint: "name the place: --platform, or --secret namespace/name for a Secret of your own"}
}

// FlagsClash is for two flags that can't be given together.
func FlagsClash(one, other string) error {
	return &Error{Code: "flags-clash", Topic: Usage, What: "the flags " + one + " and " + other + " can't be given together",
		Hint: "git-credential-acp help shows the commands and flags"}
}

// TokenFromArgument is for a token on the command line.
func TokenFromArgument() error {
	return &Error{Code: "token-argument", Topic: Usage, What: "a token or another text was given as an argument",
		Hint: "give the token on standard input, by --token-file, or at the prompt; one that was typed as an argument stands in the shell's history: revoke it"}
}

// PromptEnded is for a prompt that was interrupted.
func PromptEnded() error {
	return &Error{Code: "prompt-ended", Topic: NotVerified, What: "no token was entered; nothing was changed",
		Hint: "run it again, or give the token on standard input or by --token-file"}
}

// InputLate is for a token that does not arrive on standard input.
func InputLate(limit time.Duration) error {
	return &Error{Code: "input-late", Topic: NotVerified, What: "no token came on standard input within " + limit.String() + "; nothing was changed",
		Hint: "write the token to standard input and end it, or name a file with --token-file"}
}

// NotStored is for a new token that is no good, or of which that could not be
// learned; why says so. Nothing was changed.
func NotStored(keeper string, why error) error {
	m := &Error{Code: "not-stored", Topic: As(why).Topic, What: "the token was not stored in " + keeper + ", since something is wrong with it (see above)",
		Hint: "mend what the lines above name, and connect again"}
	if Unverified(why) {
		m.What = "the token was not stored in " + keeper + ", since it could not be checked (see above)"
		m.Hint = "connect again when what the lines above name is over"
	}
	return m
}

// NotKept is for a token that was stored, and that the keeper does not have.
func NotKept(keeper string) error {
	return &Error{Code: "not-kept", Topic: NotVerified, What: keeper + " does not have what was just stored in it",
		Hint: "somebody else may be changing it at the same time; see git-credential-acp status, then try again"}
}

// NothingKept is for a keeper without a token.
func NothingKept(keeper string) error {
	return &Error{Code: "nothing-kept", Topic: Configuration, What: "there is no token in " + keeper,
		Hint: "git-credential-acp connect stores one there"}
}

// RevokeUnconfirmed is for a revocation that nobody has agreed to.
func RevokeUnconfirmed() error {
	return &Error{Code: "revoke-unconfirmed", Topic: Usage, What: "the token is not revoked without a yes; nothing was changed",
		Hint: "answer the question with yes, or give --yes where nobody can answer"}
}

// RevokeNothing is for a revocation of a token that nobody here knows.
func RevokeNothing(keeper string) error {
	return &Error{Code: "revoke-nothing", Topic: Configuration, What: "there is no token here to revoke: " + keeper + " does not give its own away",
		Hint: "disconnect without --revoke, and revoke the token on GitLab under Preferences → Access tokens"}
}

// RevokeOther is for a revocation of the token that a keeper does not give away,
// while the one that is here is dead, because of why; page is where GitLab lists
// the user's tokens.
func RevokeOther(why error, keeper, page string) error {
	return &Error{Code: "revoke-other", Topic: As(why).Topic,
		What: "nothing was changed: " + keeper + " does not give its token away, and the one here is another or dead: " + As(why).What,
		Hint: "disconnect without --revoke, and revoke the token at " + page}
}

// RevokeFailed is for a token that could not be revoked; nothing was changed.
func RevokeFailed(why error) error {
	return &Error{Code: "revoke-failed", Topic: As(why).Topic, What: "the token could not be revoked, and nothing was changed: " + As(why).What, Hint: As(why).Hint}
}

// Disagree is for places that don't agree about a connection.
func Disagree(what string) error {
	return &Error{Code: "disagree", Topic: Warning, What: what,
		Hint: "a rotated Secret takes a minute or two to reach a mount; if it lasts, connect again"}
}

// RotateSame is for a new token that is the old one.
func RotateSame(keeper string) error {
	return &Error{Code: "rotate-same", Topic: Configuration, What: "the new token is the one that is already in " + keeper + "; nothing was changed",
		Hint: "create a new token on GitLab, or have GitLab make one with --new; if an earlier rotate was interrupted, revoke the old one on GitLab"}
}

// RotateOldMissing is for a keeper that does not give its token away, where there
// is no other copy.
func RotateOldMissing(keeper, instance string) error {
	return &Error{Code: "rotate-old-missing", Topic: Configuration,
		What: keeper + " does not give its token away, and there is none for " + instance + " here to revoke",
		Hint: "run rotate where the token is mounted, or name it in ACP_GITLAB_TOKEN_FILE; connect replaces it without revoking it"}
}

// RotateOtherInstance is for a token here that is not of the instance that a
// keeper has one for.
func RotateOtherInstance(keeper, kept, here string) error {
	return &Error{Code: "rotate-other-instance", Topic: Configuration,
		What: keeper + " has a token of " + kept + ", and the one here is of " + here + "; nothing was changed",
		Hint: "name the instance with --instance, and run rotate where that token is"}
}

// RotateOldDead is for an old token that is no good any more, because of why.
func RotateOldDead(why error) error {
	return &Error{Code: "rotate-old-dead", Topic: As(why).Topic, What: "there is nothing to rotate: " + As(why).What,
		Hint: "git-credential-acp connect stores a new token in its place"}
}

// RotateOldGitLab is for a GitLab that can't tell what has to be known.
func RotateOldGitLab(instance string) error {
	return &Error{Code: "rotate-old-gitlab", Topic: Configuration,
		What: instance + " is too old to be asked about a token (15.5 is needed, and 16.10 for --new); nothing was changed",
		Hint: "create a token on GitLab and store it with git-credential-acp connect, then revoke the old one on GitLab"}
}

// RotateScope is for an old token that may not have itself replaced.
func RotateScope(keeper string) error {
	return &Error{Code: "rotate-scope", Topic: Permissions,
		What: "the token in " + keeper + " has neither of the scopes api and self_rotate, so GitLab makes no new one for it; nothing was changed",
		Hint: "create a token on GitLab, and run rotate without --new"}
}

// RotateScopes is for a new token that may do less than is needed.
func RotateScopes(missing []string) error {
	return &Error{Code: "rotate-scopes", Topic: Permissions,
		What: "the new token lacks the " + plural("scope", missing) + ", which the old one has or which is asked for; nothing was changed",
		Hint: "create one with all of them, or store it with git-credential-acp connect if less is meant"}
}

// RotateExpiry is for a new token that does not live longer.
func RotateExpiry(fresh, old time.Time) error {
	return &Error{Code: "rotate-expiry", Topic: Configuration,
		What: "the new token would expire on " + fresh.UTC().Format(time.DateOnly) + ", not later than the old one, on " + old.UTC().Format(time.DateOnly) + "; nothing was changed",
		Hint: "choose a later date (--expires with --new)"}
}

// RotateOtherUser is for a new token of somebody else.
func RotateOtherUser(keeper string) error {
	return &Error{Code: "rotate-other-user", Topic: Authentication,
		What: "the new token belongs to another user than the one in " + keeper + "; nothing was changed",
		Hint: "create it with the same account, or store it with git-credential-acp connect if another is meant"}
}

// RotateOvertaken is for a keeper in which another token was stored meanwhile.
func RotateOvertaken(keeper string) error {
	return &Error{Code: "rotate-overtaken", Topic: Configuration,
		What: "somebody else has stored another token in " + keeper + " meanwhile, which was left as it is",
		Hint: "see git-credential-acp status, and run rotate again if it is still wanted"}
}

// RotateNoWay is for a keeper that would not take a token, because of why.
func RotateNoWay(why error) error {
	m := &Error{Code: "rotate-no-way", Topic: As(why).Topic,
		What: "a new token could not be stored, so nothing was changed: " + As(why).What, Hint: As(why).Hint}
	if As(why).Code == "kube-immutable" {
		m.Hint += "; then revoke the old token on GitLab"
	}
	return m
}

// RotateNoPods is for pods that can't be annotated, because of why, before anything
// else was done.
func RotateNoPods(why error) error {
	return &Error{Code: "rotate-no-pods", Topic: As(why).Topic,
		What: "the pods could not be annotated, so nothing was changed: " + As(why).What,
		Hint: As(why).Hint + "; without --pods, kubelet brings the new token within two minutes"}
}

// GraceInterrupted is why an old token was not revoked: a signal came during the
// wait before that.
func GraceInterrupted() error {
	return &Error{Code: "grace-interrupted", Topic: NotVerified, What: "the wait before that was interrupted by a signal",
		Hint: "revoke the old token on GitLab when it is no longer needed"}
}

// RotateTwo is for a token that GitLab made, where somebody else has stored
// another one meanwhile, which works.
func RotateTwo(keeper, path string) error {
	return &Error{Code: "rotate-two", Topic: Configuration,
		What: "somebody else has stored another token in " + keeper + " meanwhile, which was left as it is; the one that GitLab made is in " + Quote(path),
		Hint: "to use that one, give the key token of the file to git-credential-acp connect; else revoke it on GitLab; then remove the file"}
}

// RotateNotRevoked is for an old token that lives on although the new one is
// stored, because of why.
func RotateNotRevoked(why error, url string) error {
	return &Error{Code: "rotate-not-revoked", Topic: As(why).Topic,
		What: "the new token is stored, but the old one was not revoked: " + As(why).What,
		Hint: "revoke the old one at " + TokensPage(url)}
}

// RotateLost is for a token that GitLab made, and whose answer never came.
func RotateLost(keeper string) error {
	return &Error{Code: "rotate-lost", Topic: Authentication,
		What: "GitLab has revoked the token in " + keeper + ", and its answer with the new one was lost on the way",
		Hint: "create a token on GitLab and store it with git-credential-acp connect"}
}

// RotateUncertain is for a rotation of which nobody knows whether it happened,
// because of why.
func RotateUncertain(why error, path string) error {
	return &Error{Code: "rotate-uncertain", Topic: As(why).Topic,
		What: As(why).What + "; nobody knows yet whether GitLab has replaced the token (noted in " + Quote(path) + ")",
		Hint: "run git-credential-acp rotate --resume when GitLab can be reached; don't repeat --new before"}
}

// RotateUnknown is for an interrupted rotation whose old token is not here.
func RotateUnknown(keeper string) error {
	return &Error{Code: "rotate-unknown", Topic: Configuration,
		What: "what became of the interrupted rotation can't be told: " + keeper + " does not give its token away, and there is none here",
		Hint: "run rotate --resume where the token is mounted, or connect a new one and remove the file"}
}

// RotateSaved is for a token that GitLab made and that could not be stored,
// because of why: it is saved.
func RotateSaved(why error, path string) error {
	m := &Error{Code: "rotate-saved", Topic: As(why).Topic,
		What: As(why).What + "; the new token is safe in " + Quote(path) + ", and the old one is revoked",
		Hint: "run git-credential-acp rotate --resume to store it"}
	if As(why).Code == "kube-immutable" {
		m.Hint = "delete the Secret with kubectl, and run git-credential-acp rotate --resume, which creates it again with the new token; then recreate the pods that mount it"
	}
	return m
}

// RotateUnsaved is for a token that GitLab made and that could neither be stored,
// because of why, nor saved.
func RotateUnsaved(why error, path string) error {
	return &Error{Code: "rotate-unsaved", Topic: As(why).Topic,
		What: As(why).What + "; the new token could not be saved in " + Quote(path) + " either, and the old one is revoked",
		Hint: "see git-credential-acp status whether the new one has arrived; if not, create a token on GitLab and store it with git-credential-acp connect, then remove the file"}
}

// RotateDead is for a saved token that is no good any more, because of why.
func RotateDead(why error, path string) error {
	return &Error{Code: "rotate-dead", Topic: As(why).Topic,
		What: As(why).What + "; it is the one saved in " + Quote(path) + ", and was not stored",
		Hint: "create a token on GitLab and store it with git-credential-acp connect, then remove the file"}
}

// RotateUnmade is for an interrupted rotation in which nothing had happened.
func RotateUnmade(keeper string) error {
	return &Error{Code: "rotate-unmade", Topic: Warning,
		What: "nothing had happened: GitLab has made no token, and " + keeper + " is as it was before",
		Hint: "run rotate --new again if it is still wanted"}
}

// Unfinished is for an earlier rotation that has to be finished first.
func Unfinished(path string) error {
	return &Error{Code: "rotate-unfinished", Topic: Configuration,
		What: "another rotation was interrupted; it is noted in " + Quote(path),
		Hint: "run git-credential-acp rotate --resume first"}
}

// UnderWay is for a rotation of the same place that has not ended.
func UnderWay(keeper string) error {
	return &Error{Code: "rotate-under-way", Topic: Configuration,
		What: "another rotation of the token in " + keeper + " is under way; nothing was changed",
		Hint: "wait until it has ended, then see git-credential-acp status"}
}

// RotateShielded is said when a signal comes while a new token is not safe yet.
func RotateShielded() error {
	return &Error{Code: "rotate-shielded", Topic: Waiting, What: "it ends when the new token is safe, which takes two minutes at most"}
}

// RotateDenied is for a GitLab that makes no token that expires at a time.
func RotateDenied(instance string, expires time.Time) error {
	return &Error{Code: "rotate-denied", Topic: Permissions,
		What: instance + " makes no new token that expires on " + expires.UTC().Format(time.DateOnly) + " for this one; nothing was changed",
		Hint: "choose an earlier date with --expires, since an administrator may have set a shorter life; else create a token on GitLab, and run rotate without --new"}
}

// RotateNotMade is for a GitLab that refuses to make a token, because of why.
func RotateNotMade(why error) error {
	return &Error{Code: "rotate-not-made", Topic: As(why).Topic, What: "GitLab made no new token, and nothing was changed: " + As(why).What, Hint: As(why).Hint}
}

// RecoveryReplaced is for a note of a place that is another one of the same name, in
// another cluster.
func RecoveryReplaced(path, keeper string) error {
	return &Error{Code: "recovery-replaced", Topic: Configuration,
		What: "the interrupted rotation in " + Quote(path) + " is of another cluster than the one in which " + keeper + " was looked at; nothing was changed",
		Hint: "see that the kubeconfig leads to the same cluster; if it does, give the key token of the file to git-credential-acp connect, then remove the file"}
}

// RecoveryOwner is for a note of the rotation of another user's connection.
func RecoveryOwner(path, keeper string) error {
	return &Error{Code: "recovery-owner", Topic: Configuration,
		What: "the interrupted rotation in " + Quote(path) + " is of another user's connection in " + keeper + "; nothing was changed",
		Hint: "run rotate --resume with that user's token for the platform"}
}

// NothingToResume is for a rotation that left nothing behind.
func NothingToResume(path string) error {
	return &Error{Code: "nothing-to-resume", Topic: Configuration,
		What: "no interrupted rotation is noted in " + Quote(path),
		Hint: "see that --secret, --platform and --recovery-dir are the same as before"}
}

// RecoveryElsewhere is for a note of another keeper's rotation.
func RecoveryElsewhere(path, keeper string) error {
	return &Error{Code: "recovery-elsewhere", Topic: Configuration,
		What: "the interrupted rotation in " + Quote(path) + " is of another place: " + keeper,
		Hint: "name that place with --secret or --platform"}
}

// RecoveryUnwritable is for a note that can't be written, or removed.
func RecoveryUnwritable(path string, why error) error {
	return &Error{Code: "recovery-unwritable", Topic: Configuration,
		What: Quote(path) + ", where a new token would be safe until it is stored, can't be written: " + why.Error() + "; GitLab was not asked for one",
		Hint: "name a directory of your own with --recovery-dir"}
}

// RecoveryUnreadable is for a note that can't be read or trusted.
func RecoveryUnreadable(path string, why error) error {
	return &Error{Code: "recovery-unreadable", Topic: Configuration,
		What: Quote(path) + ", the note of an interrupted rotation, can't be used: " + why.Error(),
		Hint: "if it holds a token (the key token of the JSON), store it with git-credential-acp connect; then remove the file"}
}

// RecoveryLeft is said when the saved copy of a stored token could not be
// removed.
func RecoveryLeft(path string, why error) error {
	return &Error{Code: "recovery-left", Topic: Warning,
		What: "the file " + Quote(path) + ", which may hold a copy of the token, could not be removed: " + why.Error(),
		Hint: "remove it"}
}
