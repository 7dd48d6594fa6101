package connection

import (
	"time"

	"github.com/ambient-code/git-credential-acp/internal/kube"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// errRotateSame is for a new token that is the old one.
func errRotateSame(keeper string) error {
	return &message.Error{Code: "rotate-same", Topic: message.Configuration, What: "the new token is the one that is already in " + keeper + "; nothing was changed",
		Hint: "create a new token on GitLab, or have GitLab make one with --new; if an earlier rotate was interrupted, revoke the old one on GitLab"}
}

// errRotateOldMissing is for a keeper that does not give its token away, where there
// is no other copy.
func errRotateOldMissing(keeper, instance string) error {
	return &message.Error{Code: "rotate-old-missing", Topic: message.Configuration,
		What: keeper + " does not give its token away, and there is none for " + instance + " here to revoke",
		Hint: "run rotate where the token is mounted, or name it in ACP_GITLAB_TOKEN_FILE; connect replaces it without revoking it"}
}

// errRotateOldDead is for an old token that is no good any more, because of why.
func errRotateOldDead(why error) error {
	return &message.Error{Code: "rotate-old-dead", Topic: message.As(why).Topic, What: "there is nothing to rotate: " + message.As(why).What,
		Hint: "git-credential-acp connect stores a new token in its place"}
}

// errRotateOldGitLab is for a GitLab that can't tell what has to be known.
func errRotateOldGitLab(instance string) error {
	return &message.Error{Code: "rotate-old-gitlab", Topic: message.Configuration,
		What: instance + " is too old to be asked about a token (15.5 is needed, and 16.10 for --new); nothing was changed",
		Hint: "create a token on GitLab and store it with git-credential-acp connect, then revoke the old one on GitLab"}
}

// errRotateScope is for an old token that may not have itself replaced.
func errRotateScope(keeper string) error {
	return &message.Error{Code: "rotate-scope", Topic: message.Permissions,
		What: "the token in " + keeper + " has neither of the scopes api and self_rotate, so GitLab makes no new one for it; nothing was changed",
		Hint: "create a token on GitLab, and run rotate without --new"}
}

// errRotateScopes is for a new token that may do less than is needed.
func errRotateScopes(missing []string) error {
	return &message.Error{Code: "rotate-scopes", Topic: message.Permissions,
		What: "the new token lacks the " + message.Plural("scope", missing) + ", which the old one has or which is asked for; nothing was changed",
		Hint: "create one with all of them, or store it with git-credential-acp connect if less is meant"}
}

// errRotateExpiry is for a new token that does not live longer.
func errRotateExpiry(fresh, old time.Time) error {
	return &message.Error{Code: "rotate-expiry", Topic: message.Configuration,
		What: "the new token would expire on " + fresh.UTC().Format(time.DateOnly) + ", not later than the old one, on " + old.UTC().Format(time.DateOnly) + "; nothing was changed",
		Hint: "choose a later date (--expires with --new)"}
}

// errRotateOtherUser is for a new token of somebody else.
func errRotateOtherUser(keeper string) error {
	return &message.Error{Code: "rotate-other-user", Topic: message.Authentication,
		What: "the new token belongs to another user than the one in " + keeper + "; nothing was changed",
		Hint: "create it with the same account, or store it with git-credential-acp connect if another is meant"}
}

// errRotateOvertaken is for a keeper in which another token was stored meanwhile.
func errRotateOvertaken(keeper string) error {
	return &message.Error{Code: "rotate-overtaken", Topic: message.Configuration,
		What: "somebody else has stored another token in " + keeper + " meanwhile, which was kept",
		Hint: "see git-credential-acp status, and run rotate again if it is still wanted"}
}

// errRotateNoWay is for a keeper that would not take a token, because of why.
func errRotateNoWay(why error) error {
	m := &message.Error{Code: "rotate-no-way", Topic: message.As(why).Topic,
		What: "a new token could not be stored, so nothing was changed: " + message.As(why).What, Hint: message.As(why).Hint}
	if kube.Immutable(why) {
		m.Hint += "; then revoke the old token on GitLab"
	}
	return m
}

// errRotateNoPods is for pods that can't be annotated, because of why, before anything
// else was done.
func errRotateNoPods(why error) error {
	return &message.Error{Code: "rotate-no-pods", Topic: message.As(why).Topic,
		What: "the pods could not be annotated, so nothing was changed: " + message.As(why).What,
		Hint: message.As(why).Hint + "; without --pods, kubelet brings the new token within two minutes"}
}

// errGraceInterrupted is why an old token was not revoked: a signal came during the
// wait before that.
func errGraceInterrupted() error {
	return &message.Error{Code: "grace-interrupted", Topic: message.NotVerified, What: "the wait before that was interrupted by a signal",
		Hint: "revoke the old token on GitLab when it is no longer needed"}
}

// errRotateTwo is for a token that GitLab made, where somebody else has stored
// another one meanwhile, which works.
func errRotateTwo(keeper, path string) error {
	return &message.Error{Code: "rotate-two", Topic: message.Configuration,
		What: "somebody else has stored another token in " + keeper + " meanwhile, which was kept; the one that GitLab made is in " + message.Quote(path),
		Hint: "to use that one, give the key token of the file to git-credential-acp connect; else revoke it on GitLab; then remove the file"}
}

// errRotateNotRevoked is for an old token that lives on although the new one is
// stored, because of why.
func errRotateNotRevoked(why error, url string) error {
	return &message.Error{Code: "rotate-not-revoked", Topic: message.As(why).Topic,
		What: "the new token is stored, but the old one was not revoked: " + message.As(why).What,
		Hint: "revoke the old one at " + message.TokensPage(url)}
}

// errRotateLost is for a token that GitLab made, and whose answer never came.
func errRotateLost(keeper string) error {
	return &message.Error{Code: "rotate-lost", Topic: message.Authentication,
		What: "GitLab has revoked the token in " + keeper + ", and its answer with the new one was lost on the way",
		Hint: "create a token on GitLab and store it with git-credential-acp connect"}
}

// errRotateUncertain is for a rotation of which nobody knows whether it happened,
// because of why.
func errRotateUncertain(why error, path string) error {
	return &message.Error{Code: "rotate-uncertain", Topic: message.As(why).Topic,
		What: message.As(why).What + "; nobody knows yet whether GitLab has replaced the token (noted in " + message.Quote(path) + ")",
		Hint: "run git-credential-acp rotate --resume when GitLab can be reached; don't repeat --new before"}
}

// errRotateUnknown is for an interrupted rotation whose old token is not here.
func errRotateUnknown(keeper string) error {
	return &message.Error{Code: "rotate-unknown", Topic: message.Configuration,
		What: "what became of the interrupted rotation can't be told: " + keeper + " does not give its token away, and there is none here",
		Hint: "run rotate --resume where the token is mounted, or connect a new one and remove the file"}
}

// errRotateSaved is for a token that GitLab made and that could not be stored,
// because of why: it is saved.
func errRotateSaved(why error, path string) error {
	m := &message.Error{Code: "rotate-saved", Topic: message.As(why).Topic,
		What: message.As(why).What + "; the new token is safe in " + message.Quote(path) + ", and the old one is revoked",
		Hint: "run git-credential-acp rotate --resume to store it"}
	if kube.Immutable(why) {
		m.Hint = "delete the Secret with kubectl, and run git-credential-acp rotate --resume, which creates it again with the new token; then recreate the pods that mount it"
	}
	return m
}

// errRotateUnsaved is for a token that GitLab made and that could neither be stored,
// because of why, nor saved.
func errRotateUnsaved(why error, path string) error {
	return &message.Error{Code: "rotate-unsaved", Topic: message.As(why).Topic,
		What: message.As(why).What + "; the new token could not be saved in " + message.Quote(path) + " either, and the old one is revoked",
		Hint: "see git-credential-acp status whether the new one has arrived; if not, create a token on GitLab and store it with git-credential-acp connect, then remove the file"}
}

// errRotateDead is for a saved token that is no good any more, because of why.
func errRotateDead(why error, path string) error {
	return &message.Error{Code: "rotate-dead", Topic: message.As(why).Topic,
		What: message.As(why).What + "; it is the one saved in " + message.Quote(path) + ", and was not stored",
		Hint: "create a token on GitLab and store it with git-credential-acp connect, then remove the file"}
}

// warnRotateUnmade is for an interrupted rotation in which nothing had happened.
func warnRotateUnmade(keeper string) error {
	return &message.Error{Code: "rotate-unmade", Topic: message.Warning,
		What: "nothing had happened: GitLab has made no token, and " + keeper + " is as it was before",
		Hint: "run rotate --new again if it is still wanted"}
}

// errUnfinished is for an earlier rotation that has to be finished first.
func errUnfinished(path string) error {
	return &message.Error{Code: "rotate-unfinished", Topic: message.Configuration,
		What: "another rotation was interrupted; it is noted in " + message.Quote(path),
		Hint: "run git-credential-acp rotate --resume first"}
}

// errUnderWay is for a rotation of the same place that has not ended.
func errUnderWay(keeper string) error {
	return &message.Error{Code: "rotate-under-way", Topic: message.Configuration,
		What: "another rotation of the token in " + keeper + " is under way; nothing was changed",
		Hint: "wait until it has ended, then see git-credential-acp status"}
}

// errRotateDenied is for a GitLab that makes no token that expires at a time.
func errRotateDenied(instance string, expires time.Time) error {
	return &message.Error{Code: "rotate-denied", Topic: message.Permissions,
		What: instance + " makes no new token that expires on " + expires.UTC().Format(time.DateOnly) + " for this one; nothing was changed",
		Hint: "choose an earlier date with --expires, since an administrator may have set a shorter life; else create a token on GitLab, and run rotate without --new"}
}

// errRotateNotMade is for a GitLab that refuses to make a token, because of why.
func errRotateNotMade(why error) error {
	return &message.Error{Code: "rotate-not-made", Topic: message.As(why).Topic, What: "GitLab made no new token, and nothing was changed: " + message.As(why).What, Hint: message.As(why).Hint}
}

// errRecoveryReplaced is for a note of a place that is another one of the same name, in
// another cluster.
func errRecoveryReplaced(path, keeper string) error {
	return &message.Error{Code: "recovery-replaced", Topic: message.Configuration,
		What: "the interrupted rotation in " + message.Quote(path) + " is of another cluster than the one in which " + keeper + " was looked at; nothing was changed",
		Hint: "check that the kubeconfig leads to the same cluster; if it does, give the key token of the file to git-credential-acp connect, then remove the file"}
}

// errRecoveryOwner is for a note of the rotation of another user's connection.
func errRecoveryOwner(path, keeper string) error {
	return &message.Error{Code: "recovery-owner", Topic: message.Configuration,
		What: "the interrupted rotation in " + message.Quote(path) + " is of another user's connection in " + keeper + "; nothing was changed",
		Hint: "run rotate --resume with that user's token for the platform"}
}

// errNothingToResume is for a rotation that left nothing behind.
func errNothingToResume(path string) error {
	return &message.Error{Code: "nothing-to-resume", Topic: message.Configuration,
		What: "no interrupted rotation is noted in " + message.Quote(path),
		Hint: "check that --secret, --platform and --recovery-dir are the same as before"}
}

// errRecoveryElsewhere is for a note of another keeper's rotation.
func errRecoveryElsewhere(path, keeper string) error {
	return &message.Error{Code: "recovery-elsewhere", Topic: message.Configuration,
		What: "the interrupted rotation in " + message.Quote(path) + " is of another place: " + keeper,
		Hint: "name that place with --secret or --platform"}
}

// errRecoveryUnwritable is for a note that can't be written, or removed.
func errRecoveryUnwritable(path string, why error) error {
	return &message.Error{Code: "recovery-unwritable", Topic: message.Configuration,
		What: message.Quote(path) + ", where a new token would be safe until it is stored, can't be written: " + why.Error() + "; GitLab was not asked for one",
		Hint: "name a directory of your own with --recovery-dir"}
}

// errRecoveryUnreadable is for a note that can't be read or trusted.
func errRecoveryUnreadable(path string, why error) error {
	return &message.Error{Code: "recovery-unreadable", Topic: message.Configuration,
		What: message.Quote(path) + ", the note of an interrupted rotation, can't be used: " + why.Error(),
		Hint: "if it holds a token (the key token of the JSON), store it with git-credential-acp connect; then remove the file"}
}

// warnRecoveryLeft is said when the saved copy of a stored token could not be
// removed.
func warnRecoveryLeft(path string, why error) error {
	return &message.Error{Code: "recovery-left", Topic: message.Warning,
		What: "the file " + message.Quote(path) + ", which may hold a copy of the token, could not be removed: " + why.Error(),
		Hint: "remove it"}
}
