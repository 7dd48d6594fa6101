package helper

import (
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// warnRescued is said when the token of a Secret in the cluster, named by other,
// stands in for the dead one of a mount.
func warnRescued(mount, other, instance string) error {
	return &message.Error{Code: "rescued", Topic: message.Warning,
		What: "the token from " + mount + " is dead on " + instance + "; " + other + " has a newer one, which counts until the mount has it too"}
}

// warnRescueFailed is said when the Secret in the cluster, named by other, could not
// stand in for a mounted one, for the reason why.
func warnRescueFailed(other string, why error) error {
	return &message.Error{Code: "rescue-failed", Topic: message.Warning,
		What: "no newer token could be read from " + other + ": " + message.As(why).What}
}

// warnRescueForeign is said when the Secret in the cluster that was to stand in for a
// mounted one, named by other, is for another instance.
func warnRescueForeign(other, have, instance string) error {
	return &message.Error{Code: "rescue-foreign", Topic: message.Warning,
		What: other + " is for " + have + ", so it has no newer token for " + instance}
}

// warnRescueRefused is said when the newer token from other, which was to stand in for
// a mounted one, was refused for the reason why.
func warnRescueRefused(other string, why error) error {
	return &message.Error{Code: "rescue-refused", Topic: message.Warning,
		What: other + " has a newer token, which is refused too: " + message.As(why).What}
}

// errMalformedPath is for a request for our instance whose path names no place
// that GitLab can have.
func errMalformedPath(why error) error {
	return &message.Error{Code: "malformed-path", Topic: message.Malformed, What: "the path " + why.Error() + "; nothing was answered",
		Hint: "correct the URL that git uses: git remote -v shows those of a repository"}
}

// errDowngraded is for a request for our host over plain http.
func errDowngraded(url string) error {
	return &message.Error{Code: "plain-http", Topic: message.Configuration,
		What: "git asks for the token over plain http, which would show it to the network; use " + url + " in the remote instead"}
}

// errTurnsChange is for users whose turns change faster than their tokens are verified.
func errTurnsChange() error {
	return &message.Error{Code: "turns-change", Topic: message.NotVerified,
		What: "another user's turn began while the token was checked, again and again", Hint: "run the command again"}
}

// errAmbiguous is for a request without a path for a host with two instances.
func errAmbiguous(one, other string) error {
	return &message.Error{Code: "ambiguous-instance", Topic: message.Configuration,
		What: "git does not say whether it wants the token of " + one + " or of " + other,
		Hint: "set credential.useHttpPath to true in git's configuration"}
}

// errAllowedUnverified is said when ACP_GITLAB_ON_UNVERIFIED=allow lets a token
// out over why.
func errAllowedUnverified(why error) error {
	m := *message.As(why)
	m.Code = "allowed-unverified"
	m.What += "; the token is sent to its own instance anyway"
	m.Hint = "ACP_GITLAB_ON_UNVERIFIED=allow says so; unset it to refuse what can't be verified"
	return &m
}

// errUnanswerable is for a credential that git's protocol can't carry.
func errUnanswerable(err error) error {
	return &message.Error{Code: "unanswerable", Topic: message.Configuration, What: err.Error(),
		Hint: "remove the user name from the remote's URL"}
}

// errGitRefused is said when GitLab's git refused a token; accepted says that its
// API did not, and checked that the API was asked after git's refusal.
func errGitRefused(s message.Subject, accepted, checked bool) error {
	what := "git on " + s.Instance + " refused the token from " + s.Where
	if accepted {
		what += ", which the API accepted"
	}
	hint := "try again: the token is checked anew; if it persists, check whether "
	if checked {
		hint = "check whether "
	}
	return &message.Error{Code: "git-refused", Topic: message.Authentication, What: what,
		Hint: hint + "an IP allow list, single sign-on or switched-off Git access over HTTP is in the way"}
}

// errRotated is said when git was refused a token that is no longer the current
// one.
func errRotated(s message.Subject) error {
	return &message.Error{Code: "rotated", Topic: message.Authentication,
		What: "git on " + s.Instance + " refused a token that has been replaced since",
		Hint: "try again: " + s.Where + " has another one now"}
}

// errOtherPassword is said when git was refused a password that came with this
// helper's user name, and of which nothing is known here.
func errOtherPassword(s message.Subject) error {
	return &message.Error{Code: "other-password", Topic: message.Authentication,
		What: "git on " + s.Instance + " refused a password that is not the token from " + s.Where,
		Hint: "if that was replaced a moment ago, try again; else check whether a password stands in the remote's URL (git remote -v), or another helper keeps one"}
}
