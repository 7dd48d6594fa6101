package check

import (
	"fmt"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/message"
)

// errURLIsSSH is for an SSH URL; https is the same repository's https URL, "" when
// unknown.
func errURLIsSSH(https string) error {
	m := &message.Error{Code: "url-is-ssh", Topic: message.Usage,
		What: "the URL is an SSH URL, and SSH uses keys instead of tokens",
		Hint: "give the https URL of the repository"}
	if https != "" {
		m.Hint = "give the https URL, " + message.Quote(https) + "; " + setupSSH
	}
	return m
}

const setupSSH = "git-credential-acp setup --rewrite-ssh makes git use https for such remotes"

// errURLHasLogin is for a URL with a user name or a token, which is not shown.
func errURLHasLogin() error {
	return &message.Error{Code: "url-has-login", Topic: message.Usage, What: "the repository's URL contains a user name or a token",
		Hint: "remove it; if it was a token, revoke that, since it is now stored where the URL is (shell history, REPOS_JSON)"}
}

// errNoAnswer is for a URL that get does not answer, although there is a token.
func errNoAnswer() error {
	return &message.Error{Code: "no-answer", Topic: message.Configuration, What: "get does not answer for this URL, although there is a token",
		Hint: "check that it is the URL of a repository"}
}

// errOtherUsername is for a user name of another kind of credential.
func errOtherUsername(name string) error {
	return &message.Error{Code: "other-username", Topic: message.Configuration,
		What: "git asks with the user name " + name + ", which belongs to a CI job token or deploy token, so get does not answer",
		Hint: "remove the name from the remote's URL (git remote -v), or from credential.username"}
}

// warnClockPastExpiry is a warning about a token that has expired by the local clock
// but not for GitLab.
func warnClockPastExpiry(date time.Time, instance string) error {
	return &message.Error{Code: "clock-past-expiry", Topic: message.Warning,
		What: "by the clock here the token expired on " + date.Format(time.DateOnly) + ", but " + instance + " says that it is valid",
		Hint: "set the clock; if it is right, replace the token"}
}

// errURLNoProject is for a URL of an instance without a project's path.
func errURLNoProject() error {
	return &message.Error{Code: "url-no-project", Topic: message.Usage,
		What: "the URL names no project: its path needs at least a group and a project",
		Hint: "give the URL of a repository, such as https://gitlab.example.com/group/project.git"}
}

// warnBranchUnseen is a warning that --branch was not checked.
func warnBranchUnseen(branch string) error {
	return &message.Error{Code: "branch-unseen", Topic: message.Warning, What: "the branch " + message.Quote(branch) + " was not checked, since no project was",
		Hint: "give the URL of the repository"}
}

// warnSubPath is a warning about a Secret, named by where, that kubelet never updates.
func warnSubPath(where string) error {
	return &message.Error{Code: "sub-path", Topic: message.Warning,
		What: where + " is mounted by subPath, so it is never updated and a rotated token does not reach the pod",
		Hint: "mount the whole Secret as a directory, without subPath"}
}

// warnMountBehind is a warning about a mounted Secret whose token is no longer valid,
// while other has a newer one, which is used.
func warnMountBehind(mount, other string) error {
	return &message.Error{Code: "mount-behind", Topic: message.Warning,
		What: "the token from " + mount + " is no longer valid; using the newer one from " + other,
		Hint: "kubelet updates the mount within two minutes, unless the Secret is mounted by subPath"}
}

// warnTokenFileShared is a warning about a token file that other users can read.
func warnTokenFileShared(path string) error {
	return &message.Error{Code: "token-file-shared", Topic: message.Warning,
		What: "other users of this machine can read the token file " + message.Quote(path),
		Hint: "restrict it with chmod 600"}
}

// warnClockSkew is a warning about a local clock that differs from GitLab's.
func warnClockSkew(ahead time.Duration, instance string) error {
	way := "behind"
	if ahead < 0 {
		way = "ahead of"
	}
	return &message.Error{Code: "clock-skew", Topic: message.Warning,
		What: fmt.Sprintf("the clock here is %s %s that of %s", ahead.Abs().Round(time.Second), way, instance),
		Hint: "set the clock: certificates and token expiry depend on it"}
}

// warnScopesTooBroad is a warning about scopes that git does not need.
func warnScopesTooBroad(scopes []string) error {
	return &message.Error{Code: "scopes-too-broad", Topic: message.Warning,
		What: "the token has the " + message.Plural("scope", scopes) + ", which git does not need",
		Hint: "create a token with only the scopes " + message.ScopeList}
}

// warnProjectMoved is a warning about a project with a new path.
func warnProjectMoved(s message.Subject, path string) error {
	return &message.Error{Code: "project-moved", Topic: message.Warning,
		What: "the project " + s.ProjectName() + " was moved to " + message.Quote(path),
		Hint: "update the remote: git remote set-url origin " + message.Quote(s.URL+"/"+path+".git")}
}

// warnProjectDeleted is a warning about a project that is marked for deletion.
func warnProjectDeleted(s message.Subject, on string) error {
	return &message.Error{Code: "project-deleted", Topic: message.Warning,
		What: "the project " + s.ProjectName() + " is marked for deletion on " + message.Quote(on),
		Hint: "ask its owner whether that is intended"}
}

// warnProjectArchived is a warning about an archived project.
func warnProjectArchived(s message.Subject) error {
	return &message.Error{Code: "project-archived", Topic: message.Warning,
		What: "the project " + s.ProjectName() + " is archived, so it is read-only",
		Hint: "ask an owner of the project to unarchive it, or work on a fork"}
}

// errBranchProtected is for a branch that this role can't push to.
func errBranchProtected(branch string, s message.Subject) error {
	return &message.Error{Code: "branch-protected", Topic: message.Permissions,
		What: "the branch " + message.Quote(branch) + " of the project " + s.ProjectName() + " is protected, and your role can't push to it",
		Hint: "push to another branch and open a merge request, or ask a maintainer to let you push to this one"}
}

// warnRateLow is a warning about a nearly exhausted rate limit.
func warnRateLow(remaining, limit int, reset time.Time) error {
	return &message.Error{Code: "rate-low", Topic: message.Warning,
		What: fmt.Sprintf("only %d of %d API requests are left until %s", remaining, limit, reset.UTC().Format("15:04:05 UTC")),
		Hint: "look for a loop that calls git or the API"}
}

// warnNotAHelper is a warning that git does not use this helper for a URL; asked are
// the helpers that it uses.
func warnNotAHelper(url string, asked []string) error {
	m := &message.Error{Code: "not-a-helper", Topic: message.Warning,
		What: "git does not use this helper for " + message.Quote(url),
		Hint: "run git-credential-acp setup"}
	if len(asked) > 0 {
		m.What += "; it uses " + strings.Join(asked, ", then ")
	}
	return m
}

// warnOtherHelperFirst is a warning about a helper that may answer before this one.
func warnOtherHelperFirst(name string) error {
	return &message.Error{Code: "other-helper-first", Topic: message.Warning,
		What: "git asks " + name + " before this helper, and uses the first answer",
		Hint: "run git-credential-acp setup, which makes this helper the only one for its instance"}
}

// warnHelperMissing is a warning about a configured helper that does not exist.
func warnHelperMissing(name string) error {
	return &message.Error{Code: "helper-missing", Topic: message.Warning,
		What: "git is configured to use the helper " + name + ", which was not found",
		Hint: "add the directory of git-credential-acp to the PATH, or set credential.helper to its absolute path"}
}

// warnStoreKeepsToken is a warning about a helper that writes tokens to disk.
func warnStoreKeepsToken(origin string) error {
	return &message.Error{Code: "store-keeps-token", Topic: message.Warning,
		What: "the helper store, in " + origin + ", writes every valid token to disk in plain text",
		Hint: "run git-credential-acp setup, which disables it for the instance, and remove the token from ~/.git-credentials"}
}

// warnHelperLeaks is a warning about a helper, by its name and where it is configured,
// that git asks for a URL elsewhere and that may give the token to it.
func warnHelperLeaks(name, origin, url string) error {
	return &message.Error{Code: "helper-leaks", Topic: message.Warning,
		What: "git also asks the helper " + name + ", in " + origin + ", for other addresses such as " + url + ", and it may give them the token",
		Hint: "run git-credential-acp setup --closed to disable it; in a session pod, put the output of setup --env=registry --closed into the agent registry, since the runner configures its helper repeatedly"}
}

// warnVerifyOff is a warning that the setting by turns TLS verification off.
func warnVerifyOff(by string) error {
	return &message.Error{Code: "verify-off", Topic: message.Warning,
		What: "TLS verification is off (" + by + "), so git would send the token to anyone who impersonates GitLab",
		Hint: "unset it, and set http.sslCAInfo to the authority's certificate instead"}
}

// warnGitDistrusts is a warning that git does not trust an authority that this helper
// knows from the Secret.
func warnGitDistrusts(instance string) error {
	return &message.Error{Code: "git-distrusts", Topic: message.Warning,
		What: "git does not trust the certificate of " + instance + "; this helper does, because of the Secret's key ca.crt",
		Hint: "set git's http.sslCAInfo or GIT_SSL_CAINFO to the authority's certificate, for example the Secret's file ca.crt"}
}

// warnTokenStored is a warning about a secret in git's configuration: entry is the
// setting's name, and remote its remote, "" for none.
func warnTokenStored(entry, origin, remote string) error {
	m := &message.Error{Code: "token-stored", Topic: message.Warning,
		What: entry + " in " + origin + " contains a token or password",
		Hint: "remove and revoke it; this helper provides the token"}
	if remote != "" {
		m.Hint = "run git remote set-url " + remote + " with the URL alone, and revoke the token; this helper provides one"
	}
	return m
}

// warnConfigSkipped is a warning about unreadable git configuration; why is git's
// error.
func warnConfigSkipped(why error) error {
	return &message.Error{Code: "config-skipped", Topic: message.Warning,
		What: "some of git's configuration was not read: " + why.Error(),
		Hint: "check that git config --list works here"}
}

// warnProgramLeaks is a warning about a program older than the version that fixes
// credential leaks, cve.
func warnProgramLeaks(program, version, fixed, cve string) error {
	return &message.Error{Code: "program-leaks", Topic: message.Warning,
		What: program + " " + version + " is older than " + fixed + ", which fixes " + cve + " (leaked credentials); check can't tell whether this build has a backported fix",
		Hint: "update to " + fixed + " or newer, or confirm that this build has the fix"}
}

// warnProgramSilent is a warning about a program that does not print its version.
func warnProgramSilent(program, why string) error {
	return &message.Error{Code: "program-silent", Topic: message.Warning,
		What: program + " does not print its version: " + why,
		Hint: "check which " + program + " is first on the PATH, and that it works"}
}

// errCheckInterrupted is for a check that was interrupted by a signal.
func errCheckInterrupted() error {
	return &message.Error{Code: "check-interrupted", Topic: message.NotVerified, What: "the check was interrupted by a signal", Hint: "run the command again"}
}

// errRepositoryRefused is for a repository that git rejects; words are git's error.
func errRepositoryRefused(words string) error {
	m := &message.Error{Code: "repository-refused", Topic: message.Configuration,
		What: "git rejects the repository in this directory: " + message.Quote(words),
		Hint: "git status shows the same error here; fix its cause"}
	if _, rest, found := strings.Cut(words, "dubious ownership in repository at '"); found {
		m.Hint = "run as the directory's owner, or trust it: git config --global --add safe.directory " + message.Quote(strings.TrimSuffix(rest, "'"))
	}
	if strings.Contains(words, "cannot use bare repository") {
		m.Hint = "safe.bareRepository is explicit: name the repository with git --git-dir or GIT_DIR"
	}
	return m
}

// errPasswordEmpty is for a remote whose URL has an empty password.
func errPasswordEmpty(remote string) error {
	return &message.Error{Code: "password-empty", Topic: message.Configuration,
		What: "the URL of the remote " + remote + " has an empty password, which git uses instead of asking this helper",
		Hint: "remove the colon before the @, or the whole user name: git remote set-url " + remote + " with the URL alone"}
}

// warnPushElsewhere is a warning about a setting, by name and origin, that sends pushes
// to another address than the one checked.
func warnPushElsewhere(setting, origin string) error {
	return &message.Error{Code: "push-elsewhere", Topic: message.Warning,
		What: "git pushes to another address than it fetches from (" + setting + " in " + origin + ")",
		Hint: "check the push address too, if it is https (git remote -v)"}
}

// warnGitLogsIn is a warning about a login, by, that git uses before it asks a helper;
// hint is how to remove it.
func warnGitLogsIn(by, hint string) error {
	return &message.Error{Code: "git-logs-in", Topic: message.Warning,
		What: "git logs in with " + by + " before it asks this helper",
		Hint: hint + ": each failed login counts toward GitLab's ban of this address"}
}

// errGitLogsInInstead is for a git that fails with a login, by, that it uses instead of
// this helper's; hint is how to remove it.
func errGitLogsInInstead(by, hint string) error {
	return &message.Error{Code: "git-logs-in-in-vain", Topic: message.Configuration,
		What: "git fails: it logs in with " + by + " instead of this helper's credential",
		Hint: hint}
}

// errGitFails is for a git that can't list the refs although all checks passed; words
// and hint say why, "" when unknown.
func errGitFails(words, hint string) error {
	m := &message.Error{Code: "git-fails", Topic: message.Configuration, What: "git itself can't list the refs",
		Hint: "run git ls-remote here to see git's output, and check git's configuration for this URL (git config --list --show-origin)"}
	if hint != "" {
		m.Hint = message.Printable(hint)
	}
	if words != "" {
		m.What += ": " + message.Printable(words)
	}
	return m
}

// errProxyUnreachable is for a proxy of git's configuration that can't be connected to.
func errProxyUnreachable(proxy, why string) error {
	return &message.Error{Code: "proxy-unreachable", Topic: message.NotVerified, What: "git can't reach its proxy " + proxy + ": " + why,
		Hint: "git-credential-acp serve has to run there, in this pod or on this machine; git-credential-acp setup --remove makes git reach GitLab directly again"}
}

// errProxyUnknown is for an http URL of this machine that may be a proxy's.
func errProxyUnknown(proxy string) error {
	return &message.Error{Code: "proxy-unknown", Topic: message.Configuration,
		What: proxy + " is not known as the proxy of an instance: no rule of git's configuration leads there",
		Hint: "if git-credential-acp serve listens there, run git-credential-acp setup --proxy " + proxy + " --instance URL, and check the URL on GitLab"}
}

// errProxySilent is for a proxy that did not answer git in time.
func errProxySilent(proxy, limit string) error {
	return &message.Error{Code: "proxy-silent", Topic: message.NotVerified, What: "git got no reply through its proxy " + proxy + " within " + limit,
		Hint: "look at the log of git-credential-acp serve, or set ACP_GITLAB_TIMEOUT higher"}
}

// errProxyRefuses is for what the proxy, or GitLab through it, told git. Words begin with a
// topic if they are the proxy's own.
func errProxyRefuses(proxy, words, hint string) error {
	m := &message.Error{Code: "proxy-refuses", Topic: message.Configuration, What: message.Printable(words) + " (from the proxy " + proxy + ")",
		Hint: "look at the log of git-credential-acp serve"}
	if hint != "" {
		m.Hint = message.Printable(hint)
	}
	for _, topic := range []message.Topic{message.Authentication, message.Permissions, message.Configuration, message.RateLimit, message.NotVerified} {
		if what, found := strings.CutPrefix(m.What, string(topic)+": "); found {
			m.Topic, m.What = topic, what
		}
	}
	return m
}

// warnTokenBesideProxy is a warning about a token, named by where, that programs here can
// read although git uses a proxy.
func warnTokenBesideProxy(where string) error {
	return &message.Error{Code: "token-beside-proxy", Topic: message.Warning,
		What: "git uses a proxy so that no token is needed here, but there is one: " + where,
		Hint: "give the token only to the proxy's container; docs/sidecar.md has the manifests"}
}

// add is err with text added to its What.
func add(err error, text string) error {
	e := *message.As(err)
	e.What += text
	return &e
}

// signed adds the signer that the certificate names.
func signed(err error, signer string) error { return add(err, " (signer: "+message.Quote(signer)+")") }

// holding adds the scopes that the token has.
func holding(err error, scopes []string) error {
	held := "none"
	if len(scopes) > 0 {
		var quoted []string
		for _, scope := range scopes {
			quoted = append(quoted, message.Quote(scope))
		}
		held = message.List(quoted)
	}
	return add(err, "; it has "+held)
}

// brokenOff adds that a connection was lost.
func brokenOff(err error) error { return add(err, " (the connection was lost before a reply)") }

// besides adds the warnings among notes, such as failed attempts to rescue.
func besides(err error, notes []error) error {
	for _, note := range notes {
		if m := message.As(note); m.Topic == message.Warning {
			err = add(err, "; "+m.What)
		}
	}
	return err
}

// warnCAUnread is a warning about certificates of authorities that can't be used, each
// with its place and the cause, in a file with others that can.
func warnCAUnread(blocks []string) error {
	return &message.Error{Code: "ca-unread", Topic: message.Warning, What: strings.Join(blocks, "; "),
		Hint: "replace those certificates, or remove them if not needed"}
}

// IsSSH reports that a repository's URL is an SSH URL.
func IsSSH(err error) bool { return message.Is(err, "url-is-ssh") }
