package serve

import (
	"strconv"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/message"
)

func decimal(n int) string { return strconv.Itoa(n) }

// errReadOnly is for a push through a proxy that takes none.
func errReadOnly() error {
	return &message.Error{Code: "policy-read-only", Topic: message.Permissions,
		What: "policy: this proxy allows no pushes",
		Hint: "it was started with --read-only"}
}

// errProjectNotAllowed is for a project that --project does not name.
func errProjectNotAllowed(project string, allowed []string) error {
	return &message.Error{Code: "policy-project", Topic: message.Permissions,
		What: "policy: " + message.Quote(project) + " is none of the projects that this proxy serves",
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

// errRefMoved is for a ref other than a branch that exists and would be changed.
func errRefMoved() error {
	return &message.Error{Code: "policy-moved", Topic: message.Permissions,
		What: "policy: only branches may be moved",
		Hint: "the proxy allows it for other refs with --allow-force"}
}

// errRefForced is for a branch that would lose commits.
func errRefForced() error {
	return &message.Error{Code: "policy-forced", Topic: message.Permissions,
		What: "policy: the branch would lose commits",
		Hint: "git pull first; the proxy allows it with --allow-force"}
}

// errRefUnproven is for a branch of which it can't be shown that it loses no commits.
func errRefUnproven(why string) error {
	return &message.Error{Code: "policy-unproven", Topic: message.Permissions,
		What: "policy: it could not be shown that the branch loses no commits: " + why,
		Hint: "push fewer commits at once, or to a new branch; the proxy skips this check with --allow-force"}
}

// errRefOther is for a ref that was in one push with a refused one.
func errRefOther() error {
	return &message.Error{Code: "policy-other", Topic: message.Permissions,
		What: "policy: not pushed, since another ref of the same push was refused",
		Hint: "push it alone"}
}

// errOptionRefused is for a push option that would do more than push.
func errOptionRefused(option string) error {
	return &message.Error{Code: "policy-option", Topic: message.Permissions,
		What: "policy: the push option " + message.Quote(option) + " is not allowed",
		Hint: "it would change a branch that --allow-push does not name"}
}

// errPushMalformed is for ref updates that can't be read.
func errPushMalformed(why error) error {
	return &message.Error{Code: "push-malformed", Topic: message.Malformed, What: "the push can't be read: " + why.Error() + "; nothing was forwarded",
		Hint: "check that git itself, in a current version, makes the push"}
}

// errNotServed is for an address that is neither git's nor LFS's.
func errNotServed() error {
	return &message.Error{Code: "not-served", Topic: message.Malformed, What: "this proxy serves only git and LFS",
		Hint: "use the path that the project has on GitLab, as in http://127.0.0.1:8466/group/project.git"}
}

// errBusy is for a request beyond the limit.
func errBusy(limit int) error {
	return &message.Error{Code: "proxy-busy", Topic: message.NotVerified, What: "this proxy serves " + decimal(limit) + " requests at once, and no more",
		Hint: "try again when others have ended"}
}

// errLoginRefused is for a login that git on GitLab refused in the midst of a
// request, which can't be repeated.
func errLoginRefused(instance string) error {
	return &message.Error{Code: "login-refused", Topic: message.Authentication,
		What: "git on " + instance + " refused the token, which was good when the command began", Hint: "try again: the token is checked anew"}
}

// errRedirectedAway is for a redirect that leads nowhere that this proxy serves.
func errRedirectedAway(instance string) error {
	return &message.Error{Code: "redirected-away", Topic: message.NotVerified, What: instance + " redirects to an address that this proxy does not serve",
		Hint: "check whether the project was moved, or a login page is in front of GitLab"}
}

// errAnswerUnusable is for an answer that is not what GitLab answers.
func errAnswerUnusable(instance, why string) error {
	return &message.Error{Code: "answer-unusable", Topic: message.NotVerified, What: "the answer of " + instance + " can't be passed on: " + why,
		Hint: "check whether a proxy or a login page is in front of GitLab, and try again"}
}

// errListen is for an address that can't be listened on.
func errListen(where, why string) error {
	return &message.Error{Code: "listen-failed", Topic: message.Configuration, What: "can't listen on " + message.Quote(where) + ": " + why,
		Hint: "use --listen with a free port of a loopback address, such as 127.0.0.1:8466, or unix:PATH"}
}
