package serve

import (
	"strconv"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/message"
)

func decimal(n int) string { return strconv.Itoa(n) }

// errReadOnly is for a push with --read-only.
func errReadOnly() error {
	return &message.Error{Code: "policy-read-only", Topic: message.Permissions,
		What: "policy: this proxy allows no pushes",
		Hint: "it was started with --read-only"}
}

// errProjectNotAllowed is for a project that --project does not name.
func errProjectNotAllowed(project string, allowed []string) error {
	return &message.Error{Code: "policy-project", Topic: message.Permissions,
		What: "policy: this proxy does not serve the project " + message.Quote(project),
		Hint: "use " + message.Quote(strings.Join(allowed, ", ")) + ", or start the proxy with another --project"}
}

// errRefNotAllowed is for a ref that --allow-push does not name.
func errRefNotAllowed(allowed []string) error {
	return &message.Error{Code: "policy-ref", Topic: message.Permissions,
		What: "policy: only " + message.Quote(strings.Join(allowed, ",")) + " may be pushed",
		Hint: "push to such a branch, or start the proxy with another --allow-push"}
}

// errRefDelete is for a ref that would be deleted.
func errRefDelete() error {
	return &message.Error{Code: "policy-delete", Topic: message.Permissions,
		What: "policy: refs may not be deleted",
		Hint: "the proxy allows it with --allow-delete"}
}

// errRefMoved is for an existing ref other than a branch that would be changed.
func errRefMoved() error {
	return &message.Error{Code: "policy-moved", Topic: message.Permissions,
		What: "policy: only branches may be changed",
		Hint: "the proxy allows it for other refs with --allow-force"}
}

// errRefForced is for a branch that would lose commits.
func errRefForced() error {
	return &message.Error{Code: "policy-forced", Topic: message.Permissions,
		What: "policy: the branch would lose commits",
		Hint: "git pull first; the proxy allows it with --allow-force"}
}

// errRefUnproven is for a push that could not be verified to be a fast-forward.
func errRefUnproven(why string) error {
	return &message.Error{Code: "policy-unproven", Topic: message.Permissions,
		What: "policy: the push could not be verified to keep all commits of the branch: " + why,
		Hint: "push fewer commits at once, or to a new branch; the proxy skips this check with --allow-force"}
}

// errRefOther is for a ref in the same push as a refused one.
func errRefOther() error {
	return &message.Error{Code: "policy-other", Topic: message.Permissions,
		What: "policy: not pushed, since another ref in the same push was refused",
		Hint: "push it alone"}
}

// errOptionRefused is for a push option that would do more than push; why says what.
func errOptionRefused(option, why string) error {
	return &message.Error{Code: "policy-option", Topic: message.Permissions,
		What: "policy: the push option " + message.Quote(option) + " is not allowed: it " + why,
		Hint: "push without it (git push -o, push.pushOption in git's configuration)"}
}

// errPushMalformed is for a push, or another request with a body, that can't be read.
func errPushMalformed(why error) error {
	return &message.Error{Code: "push-malformed", Topic: message.Malformed, What: "the request can't be read: " + why.Error(),
		Hint: "try again with a current version of git or git-lfs"}
}

// errNotServed is for an address that is neither git's nor LFS's.
func errNotServed() error {
	return &message.Error{Code: "not-served", Topic: message.Malformed, What: "this proxy serves only git and LFS",
		Hint: "use localhost or a loopback address, and the project's path on GitLab, as in http://127.0.0.1:8466/group/project.git"}
}

// errBusy is for a request beyond the limit.
func errBusy(limit int) error {
	return &message.Error{Code: "proxy-busy", Topic: message.NotVerified, What: "this proxy serves at most " + decimal(limit) + " requests at once",
		Hint: "try again when other requests have ended"}
}

// errQuota is for a project that is not verified, to spare GitLab's rate limit.
func errQuota() error {
	return &message.Error{Code: "proxy-quota", Topic: message.RateLimit, What: "this proxy has asked GitLab about too many projects",
		Hint: "check the project's path, and try again in a minute; projects that were just in use are still served"}
}

// errLoginRefused is for a login that git on GitLab rejected during a request that can't
// be repeated.
func errLoginRefused(instance string) error {
	return &message.Error{Code: "login-refused", Topic: message.Authentication,
		What: "git on " + instance + " rejected the token, which was valid when the command began", Hint: "try again: the token will be checked again"}
}

// errLoginPaused is for a login that is not tried, because git on GitLab rejected the last ones.
func errLoginPaused(instance string) error {
	return &message.Error{Code: "login-paused", Topic: message.Authentication,
		What: "git on " + instance + " keeps rejecting the token, so this proxy does not try it now: GitLab could ban its address",
		Hint: "try again in a minute; check whether an IP allow list, single sign-on, or disabled Git access over HTTP is the cause"}
}

// errRedirectedAway is for a redirect to an address that this proxy does not serve.
func errRedirectedAway(instance string) error {
	return &message.Error{Code: "redirected-away", Topic: message.NotVerified, What: instance + " redirects to an address that this proxy does not serve",
		Hint: "check whether the project was moved, or a login page is in front of GitLab"}
}

// errAnswerUnusable is for a reply that is not GitLab's.
func errAnswerUnusable(instance, why string) error {
	return &message.Error{Code: "answer-unusable", Topic: message.NotVerified, What: "the reply of " + instance + " can't be forwarded: " + why,
		Hint: "check whether a proxy or a login page is in front of GitLab, and try again"}
}

// errListen is for an address that can't be listened on.
func errListen(where, why string) error {
	return &message.Error{Code: "listen-failed", Topic: message.Configuration, What: "can't listen on " + message.Quote(where) + ": " + why,
		Hint: "use --listen with a free port of a loopback address, such as 127.0.0.1:8466, or unix:PATH"}
}
