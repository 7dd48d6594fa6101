package helper

import (
	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/cache"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
)

// warnRescued is for a dead token from mount that was replaced by the newer one
// from other, a Secret in the cluster.
func warnRescued(mount, other, instance string) error {
	return &message.Error{Code: "rescued", Topic: message.Warning,
		What: "the token from " + mount + " is no longer valid on " + instance + "; using the newer one from " + other}
}

// warnRescue says why newer, a Secret in the cluster, has no better token for q; nil if
// there is nothing to tell. newer.Problem is nil if the attempt was an earlier call's.
func warnRescue(failure cache.RescueFailure, q Question, newer source.Found) error {
	switch {
	case newer.Problem != nil:
		return warnRescueFailed(newer.Where, message.As(newer.Problem).What, "")
	case failure.Problem != "":
		return warnRescueFailed(newer.Where, "the attempt less than 30 s ago failed ("+failure.Problem+")", "git-credential-acp check tries again")
	case failure.Instance != "":
		return warnRescueForeign(newer.Where, failure.Instance, q.Found.Instance.String())
	case failure.Verdict.Outcome == access.Refused:
		newer.Instance = q.Found.Instance
		q.Found = newer
		return warnRescueRefused(newer.Where, message.Explain(failure.Verdict, SubjectOf(q)))
	}
	return nil
}

// warnRescueFailed is for a Secret in the cluster, other, that has no newer token than
// the mounted one, because of why.
func warnRescueFailed(other, why, hint string) error {
	return &message.Error{Code: "rescue-failed", Topic: message.Warning,
		What: "no newer token could be read from " + other + ": " + why, Hint: hint}
}

// warnRescueForeign is for a Secret in the cluster, other, that belongs to another
// instance than the mounted one.
func warnRescueForeign(other, have, instance string) error {
	return &message.Error{Code: "rescue-foreign", Topic: message.Warning,
		What: other + " is for " + have + ", so it has no newer token for " + instance}
}

// warnRescueRefused is for a newer token from other that GitLab rejects too, because
// of why.
func warnRescueRefused(other string, why error) error {
	return &message.Error{Code: "rescue-refused", Topic: message.Warning,
		What: "the newer token from " + other + " was rejected too: " + message.As(why).What}
}

// errMalformedPath is for a request for our instance whose path can't be a GitLab
// path.
func errMalformedPath(why error) error {
	return &message.Error{Code: "malformed-path", Topic: message.Malformed, What: "the path " + why.Error() + "; nothing was answered",
		Hint: "correct the URL that git uses (git remote -v)"}
}

// errDowngraded is for a request for our host over plain http.
func errDowngraded(url string) error {
	return &message.Error{Code: "plain-http", Topic: message.Configuration,
		What: "git asks for the token over plain http, which would expose it on the network; use " + url + " in the remote"}
}

// errTurnsChange is for users whose turns change faster than their tokens are verified.
func errTurnsChange() error {
	return &message.Error{Code: "turns-change", Topic: message.NotVerified,
		What: "other users' turns began each time the token was checked", Hint: "run the command again"}
}

// errAmbiguous is for a request without a path for a host with two instances.
func errAmbiguous(one, other string) error {
	return &message.Error{Code: "ambiguous-instance", Topic: message.Configuration,
		What: "the request does not say whether it is for " + one + " or " + other,
		Hint: "set credential.useHttpPath to true in git's configuration"}
}

// errAllowedUnverified is for a token that is sent despite why, because of
// ACP_GITLAB_ON_UNVERIFIED=allow.
func errAllowedUnverified(why error) error {
	m := *message.As(why)
	m.Code = "allowed-unverified"
	m.What += "; sending the token to its own instance anyway"
	m.Hint = "this is because ACP_GITLAB_ON_UNVERIFIED=allow is set"
	return &m
}

// errUnanswerable is for a credential that git's protocol can't carry.
func errUnanswerable(err error) error {
	return &message.Error{Code: "unanswerable", Topic: message.Configuration, What: err.Error(),
		Hint: "remove the user name from the remote's URL"}
}

// errGitRefused is for a token that git on GitLab rejected; accepted says that the
func errGitRefused(s message.Subject, accepted, checked bool) error {
	what := "git on " + s.Instance + " rejected the token from " + s.Where
	if accepted {
		what += ", which the API accepted"
	}
	hint := "try again: the token will be checked again; if it fails again, check whether "
	if checked {
		hint = "check whether "
	}
	return &message.Error{Code: "git-refused", Topic: message.Authentication, What: what,
		Hint: hint + "an IP allow list, single sign-on, or disabled Git access over HTTP is the cause"}
}

// errRotated is for a rejected token that has been replaced in its source since.
func errRotated(s message.Subject) error {
	return &message.Error{Code: "rotated", Topic: message.Authentication,
		What: "git on " + s.Instance + " rejected a token that has since been replaced",
		Hint: "try again: " + s.Where + " has a new token now"}
}

// errOtherPassword is for a rejected password with this helper's user name that did
// not come from this helper.
func errOtherPassword(s message.Subject) error {
	return &message.Error{Code: "other-password", Topic: message.Authentication,
		What: "git on " + s.Instance + " rejected a password that is not the token from " + s.Where,
		Hint: "if the token was just replaced, try again; otherwise look for a password in the remote's URL (git remote -v) or in another helper"}
}
