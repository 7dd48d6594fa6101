package check

import (
	"fmt"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/message"
)

// errURLIsSSH is for a repository's URL in one of the forms of SSH; https is the
// same in the form that this program is about, "" when that is not known.
func errURLIsSSH(https string) error {
	m := &message.Error{Code: "url-is-ssh", Topic: message.Usage,
		What: "the URL is one for SSH, which uses keys and no token",
		Hint: "give the https URL of the repository"}
	if https != "" {
		m.Hint = "give the https URL, " + message.Quote(https) + "; " + setupSSH
	}
	return m
}

const setupSSH = "git-credential-acp setup --rewrite-ssh lets git use https for such remotes"

// errURLHasLogin is for a URL with a user name or a token in it, which is not shown.
func errURLHasLogin() error {
	return &message.Error{Code: "url-has-login", Topic: message.Usage, What: "the repository's URL has a user name or a token in it",
		Hint: "leave it out, and revoke the token if there was one: it stands in the shell's history now"}
}

// errNoAnswer is for a URL that get would not answer for, although there is a token.
func errNoAnswer() error {
	return &message.Error{Code: "no-answer", Topic: message.Configuration, What: "get gives no answer for this URL, although there is a token",
		Hint: "check that it is the URL of a repository, and nothing else"}
}

// errOtherUsername is for a user name with which git asks for another kind of
// credential.
func errOtherUsername(name string) error {
	return &message.Error{Code: "other-username", Topic: message.Configuration,
		What: "git asks with the user name " + name + ", which stands for a CI job's or a deploy token, and get gives no answer for one",
		Hint: "take the name out of the remote's URL (git remote -v), or out of credential.username"}
}

// warnClockPastExpiry is a warning about a token whose date has come by the clock
// here, and that GitLab calls alive.
func warnClockPastExpiry(date time.Time, instance string) error {
	return &message.Error{Code: "clock-past-expiry", Topic: message.Warning,
		What: "by the clock here the token expired on " + date.Format(time.DateOnly) + ", and " + instance + " calls it alive",
		Hint: "set the clock; if it is right, replace the token"}
}

// errURLNoProject is for a URL below an instance that names no project.
func errURLNoProject() error {
	return &message.Error{Code: "url-no-project", Topic: message.Usage,
		What: "the URL names no project: a project's path has two parts or more, its group's and its own",
		Hint: "give the URL of a repository, such as https://gitlab.example.com/group/project.git"}
}

// warnBranchUnseen is a warning that a branch was asked about and could not be looked
// at.
func warnBranchUnseen(branch string) error {
	return &message.Error{Code: "branch-unseen", Topic: message.Warning, What: "nothing is known of the branch " + message.Quote(branch) + ": no project was looked at",
		Hint: "give the URL of the repository"}
}

// warnSubPath is a warning about a Secret, in words, that kubelet never updates.
func warnSubPath(where string) error {
	return &message.Error{Code: "sub-path", Topic: message.Warning,
		What: where + " is mounted by subPath, which is never updated: a rotated token does not arrive",
		Hint: "mount the whole Secret as a directory, without subPath"}
}

// warnMountBehind is a warning about a mounted Secret, in words, whose token is dead,
// while another place has a newer one, which counts.
func warnMountBehind(mount, other string) error {
	return &message.Error{Code: "mount-behind", Topic: message.Warning,
		What: "the token from " + mount + " is dead; the newer one from " + other + " is used instead",
		Hint: "wait a minute or two, until kubelet has brought it in; it never does so where a Secret is mounted by subPath"}
}

// warnTokenFileShared is a warning about a token file that others can read.
func warnTokenFileShared(path string) error {
	return &message.Error{Code: "token-file-shared", Topic: message.Warning,
		What: "other users of this machine may read the token file " + message.Quote(path),
		Hint: "chmod 600 it"}
}

// warnClockSkew is a warning about clocks that disagree.
func warnClockSkew(ahead time.Duration, instance string) error {
	way := "behind"
	if ahead < 0 {
		way = "ahead of"
	}
	return &message.Error{Code: "clock-skew", Topic: message.Warning,
		What: fmt.Sprintf("the clock here is %s %s that of %s", ahead.Abs().Round(time.Second), way, instance),
		Hint: "set the clock: certificates and tokens' expiry depend on it"}
}

// warnScopesTooBroad is a warning about scopes that nobody needs for git.
func warnScopesTooBroad(scopes []string) error {
	return &message.Error{Code: "scopes-too-broad", Topic: message.Warning,
		What: "the token has the " + message.Plural("scope", scopes) + ", which work on a repository does not need",
		Hint: "create a token with the scopes " + message.ScopeList + " alone"}
}

// warnProjectMoved is a warning about a project that has another path now.
func warnProjectMoved(s message.Subject, path string) error {
	return &message.Error{Code: "project-moved", Topic: message.Warning,
		What: "the project " + s.ProjectName() + " was moved to " + message.Quote(path),
		Hint: "update the remote: git remote set-url origin " + message.Quote(s.URL+"/"+path+".git")}
}

// warnProjectDeleted is a warning about a project that is about to be deleted.
func warnProjectDeleted(s message.Subject, on string) error {
	return &message.Error{Code: "project-deleted", Topic: message.Warning,
		What: "the project " + s.ProjectName() + " is marked for deletion on " + message.Quote(on),
		Hint: "ask its owner whether that is intended"}
}

// warnProjectArchived is a warning about a project that can only be read.
func warnProjectArchived(s message.Subject) error {
	return &message.Error{Code: "project-archived", Topic: message.Warning,
		What: "the project " + s.ProjectName() + " is archived: it can be fetched from, not pushed to",
		Hint: "ask an owner of the project to unarchive it, or work on a fork"}
}

// errBranchProtected is for a branch that this role can't push to.
func errBranchProtected(branch string, s message.Subject) error {
	return &message.Error{Code: "branch-protected", Topic: message.Permissions,
		What: "the branch " + message.Quote(branch) + " of the project " + s.ProjectName() + " is protected, and your role can't push to it",
		Hint: "push to another branch and open a merge request, or ask a maintainer to let you push to this one"}
}

// warnRateLow is a warning about a rate limit that is nearly used up.
func warnRateLow(remaining, limit int, reset time.Time) error {
	return &message.Error{Code: "rate-low", Topic: message.Warning,
		What: fmt.Sprintf("only %d of %d requests are left until %s", remaining, limit, reset.UTC().Format("15:04:05 UTC")),
		Hint: "look for a loop that calls git or the API without pause"}
}

// warnNotAHelper is a warning about a git that does not ask this program for a URL;
// asked are the helpers that it does ask.
func warnNotAHelper(url string, asked []string) error {
	m := &message.Error{Code: "not-a-helper", Topic: message.Warning,
		What: "git does not ask this helper for " + message.Quote(url),
		Hint: "git-credential-acp setup tells git to"}
	if len(asked) > 0 {
		m.What += ", but " + strings.Join(asked, ", then ")
	}
	return m
}

// warnOtherHelperFirst is a warning about a helper that may answer before this one.
func warnOtherHelperFirst(name string) error {
	return &message.Error{Code: "other-helper-first", Topic: message.Warning,
		What: "git asks " + name + " before this helper, and takes the first answer",
		Hint: "git-credential-acp setup puts this helper first, and alone, for its instance"}
}

// warnHelperMissing is a warning about a git that is told to ask this program by a
// name under which it is not there.
func warnHelperMissing(name string) error {
	return &message.Error{Code: "helper-missing", Topic: message.Warning,
		What: "git is told to ask the helper " + name + ", which is not there",
		Hint: "put the directory of git-credential-acp on the PATH, or its whole path into credential.helper"}
}

// warnStoreKeepsToken is a warning about a helper that writes tokens to disk.
func warnStoreKeepsToken(origin string) error {
	return &message.Error{Code: "store-keeps-token", Topic: message.Warning,
		What: "the helper store, in " + origin + ", writes every token that works to disk, in plain text",
		Hint: "git-credential-acp setup takes it out for its instance; remove the token from ~/.git-credentials"}
}

// warnHelperLeaks is a warning about a helper, by its name and where it is configured,
// that git asks for a URL elsewhere and that may give the token to it.
func warnHelperLeaks(name, origin, url string) error {
	return &message.Error{Code: "helper-leaks", Topic: message.Warning,
		What: "git also asks the helper " + name + ", in " + origin + ", for other addresses such as " + url + ", and it may give them the token",
		Hint: "git-credential-acp setup --closed leaves it out; in a session pod, put what setup --env=registry --closed prints into the agent registry, since the runner sets its helper again and again"}
}

// warnVerifyOff is a warning about a git that does not verify certificates, because
// of the setting by.
func warnVerifyOff(by string) error {
	return &message.Error{Code: "verify-off", Topic: message.Warning,
		What: "verification is off, by " + by + ": git gives the token to anybody who answers in GitLab's place",
		Hint: "unset it, and name the authority's certificate in http.sslCAInfo instead"}
}

// warnGitDistrusts is a warning about a git that does not know the authority of an
// instance, which this program knows by the Secret.
func warnGitDistrusts(instance string) error {
	return &message.Error{Code: "git-distrusts", Topic: message.Warning,
		What: "git itself does not trust the certificate of " + instance + ", which this helper does by the Secret's key ca.crt",
		Hint: "name the authority in git's http.sslCAInfo or in GIT_SSL_CAINFO; the Secret's own file ca.crt will do"}
}

// warnTokenStored is a warning about a secret in git's configuration: entry is the
// setting's name, and remote the remote that it belongs to, "" for none.
func warnTokenStored(entry, origin, remote string) error {
	m := &message.Error{Code: "token-stored", Topic: message.Warning,
		What: "a token or password stands in " + entry + " in " + origin,
		Hint: "remove and revoke it; this helper gives git the token"}
	if remote != "" {
		m.Hint = "git remote set-url " + remote + " with the URL alone, and revoke what stood there; this helper gives git the token"
	}
	return m
}

// warnConfigSkipped is a warning that some of git's configuration could not be read,
// with what git says.
func warnConfigSkipped(why error) error {
	return &message.Error{Code: "config-skipped", Topic: message.Warning,
		What: "some of git's configuration was not read: " + why.Error(),
		Hint: "check that git config --list works here"}
}

// warnProgramLeaks is a warning about a program older than the version that fixes
// credential leaks, cve.
func warnProgramLeaks(program, version, fixed, cve string) error {
	return &message.Error{Code: "program-leaks", Topic: message.Warning,
		What: program + " " + version + " is older than " + fixed + ", which fixes " + cve + " (leaked credentials); check can't tell whether this build is patched",
		Hint: "update it to " + fixed + " or newer, or make sure that whoever built it has backported the fix"}
}

// warnProgramSilent is a warning about a program that does not tell its version.
func warnProgramSilent(program, why string) error {
	return &message.Error{Code: "program-silent", Topic: message.Warning,
		What: program + " does not tell its version: " + why,
		Hint: "see which " + program + " stands first on the PATH, and whether it works"}
}

// errCheckInterrupted is for a check that a signal ends.
func errCheckInterrupted() error {
	return &message.Error{Code: "check-interrupted", Topic: message.NotVerified, What: "the check was interrupted by a signal", Hint: "run the command again"}
}

// errRepositoryRefused is for a directory in which git gives up; words are git's.
func errRepositoryRefused(words string) error {
	m := &message.Error{Code: "repository-refused", Topic: message.Configuration,
		What: "git does not work in the repository here: " + message.Quote(words),
		Hint: "git status says the same here; correct what it names"}
	if _, rest, found := strings.Cut(words, "dubious ownership in repository at '"); found {
		m.Hint = "work as the user who owns the directory, or trust it: git config --global --add safe.directory " + message.Quote(strings.TrimSuffix(rest, "'"))
	}
	if strings.Contains(words, "cannot use bare repository") {
		m.Hint = "safe.bareRepository is explicit: name the repository with git --git-dir or GIT_DIR"
	}
	return m
}

// errPasswordEmpty is for a remote whose URL has an empty password.
func errPasswordEmpty(remote string) error {
	return &message.Error{Code: "password-empty", Topic: message.Configuration,
		What: "the URL of the remote " + remote + " has an empty password; git logs in with it and does not ask this helper",
		Hint: "remove the colon before the @, or the whole login: git remote set-url " + remote + " with the URL alone"}
}

// warnPushElsewhere is a warning about a setting, by its name and origin, that sends
// pushes to another address than the one that was checked.
func warnPushElsewhere(setting, origin string) error {
	return &message.Error{Code: "push-elsewhere", Topic: message.Warning,
		What: "git pushes to another address than it fetches from: so says " + setting + " in " + origin,
		Hint: "check that address too, if it is https; git remote -v shows both"}
}

// warnGitLogsIn is a warning about a login, by, that git uses before it asks a helper;
// hint is how to be rid of it.
func warnGitLogsIn(by, hint string) error {
	return &message.Error{Code: "git-logs-in", Topic: message.Warning,
		What: "git logs in with " + by + " before it asks this helper",
		Hint: hint + ": each command that fails to log in with it counts for GitLab's ban of this address"}
}

// errGitLogsInInVain is for a git that fails with a login, by, that it uses before it
// asks a helper, or instead; hint is how to be rid of it.
func errGitLogsInInVain(by, hint string) error {
	return &message.Error{Code: "git-logs-in-in-vain", Topic: message.Configuration,
		What: "git fails: it logs in with " + by + ", and not with what this helper answers",
		Hint: hint}
}

// errGitFails is for a git that can't list the refs although all checks passed; words
// say why, git's or this program's own, whose hint is the better one.
func errGitFails(words, hint string) error {
	m := &message.Error{Code: "git-fails", Topic: message.Configuration, What: "git itself can't list the refs",
		Hint: "git ls-remote shows all of its output here; check git's configuration for this URL (git config --list --show-origin)"}
	if hint != "" {
		m.Hint = message.Printable(hint)
	}
	if words != "" {
		m.What += ": " + message.Printable(words)
	}
	return m
}

// add is err with more at the end of what it says.
func add(err error, text string) error {
	e := *message.As(err)
	e.What += text
	return &e
}

// signed adds who signed the certificate that err is about, in the certificate's
// own words.
func signed(err error, signer string) error { return add(err, " (signer: "+message.Quote(signer)+")") }

// holding adds the scopes that the token does hold.
func holding(err error, scopes []string) error {
	held := "none"
	if len(scopes) > 0 {
		var quoted []string
		for _, scope := range scopes {
			quoted = append(quoted, message.Quote(scope))
		}
		held = message.List(quoted)
	}
	return add(err, "; it holds "+held)
}

// brokenOff adds that there had been a connection.
func brokenOff(err error) error { return add(err, " any more: it broke off before an answer") }

// besides adds the warnings among notes: what was tried in vain.
func besides(err error, notes []error) error {
	for _, note := range notes {
		if m := message.As(note); m.Topic == message.Warning {
			err = add(err, "; "+m.What)
		}
	}
	return err
}

// warnCAUnread is a warning about certificates of authorities that can't be used,
// each with its place and the cause, beside others that can.
func warnCAUnread(blocks []string) error {
	return &message.Error{Code: "ca-unread", Topic: message.Warning, What: strings.Join(blocks, "; "),
		Hint: "replace what is named, or remove it if it is not needed"}
}

// IsSSH reports that a repository's URL is one for SSH.
func IsSSH(err error) bool { return message.Is(err, "url-is-ssh") }
