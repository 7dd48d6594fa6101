package message

import (
	"fmt"
	"strings"
	"time"
)

// URLIsSSH is for a repository's URL in one of the forms of SSH; https is the
// same in the form that this program is about, "" when that is not known.
func URLIsSSH(https string) error {
	m := &Error{Code: "url-is-ssh", Topic: Usage,
		What: "the URL is one for SSH, which uses keys and no token",
		Hint: "give the https URL of the repository"}
	if https != "" {
		m.Hint = "give the https URL, " + Quote(https) + "; " + setupSSH
	}
	return m
}

const setupSSH = "git-credential-acp setup --rewrite-ssh lets git use https for such remotes"

// URLInvalid is for an argument that is no repository's URL.
func URLInvalid(why string) error {
	return &Error{Code: "url-invalid", Topic: Usage, What: "the repository's URL " + why,
		Hint: "give it in the form https://gitlab.example.com/group/project.git"}
}

// URLHasLogin is for a URL with a user name or a token in it, which is not shown.
func URLHasLogin() error {
	return &Error{Code: "url-has-login", Topic: Usage, What: "the repository's URL has a user name or a token in it",
		Hint: "leave it out, and revoke the token if there was one: it stands in the shell's history now"}
}

// URLIsHTTP is for a URL over plain http of an instance, whose address is url.
func URLIsHTTP(url string) error {
	return &Error{Code: "url-is-http", Topic: Configuration,
		What: "the URL is plain http, which would show the token to the network",
		Hint: "use " + url + ", in the remote too (git remote -v shows it)"}
}

// URLForeign is for a URL of a host that no token is for; have are the
// instances that there are tokens for, or that alone are answered for.
func URLForeign(host string, have []string) error {
	return &Error{Code: "url-foreign", Topic: Configuration,
		What: "get answers for " + strings.Join(have, ", ") + " here, and not for " + Quote(host),
		Hint: "see that the URL is right, and that ACP_GITLAB_INSTANCE_URL and --instance don't name another instance; else connect that one under Settings → Integrations → GitLab"}
}

// NoToken is for a check without a URL where there is no token at all; connect is as
// for [NotConnected].
func NoToken(looked []string, connect string) error {
	return &Error{Code: "no-token", Topic: Configuration,
		What: "GitLab is not connected: there is no token (looked at " + strings.Join(looked, ", ") + ")", Hint: connect}
}

// FlagInvalid is for a flag with a value that can't be.
func FlagInvalid(name, why string) error {
	return &Error{Code: "flag-invalid", Topic: Usage, What: "the flag " + name + " " + why,
		Hint: "git-credential-acp help shows the commands and flags"}
}

// CommandUnknown is for a command that does not exist; similar are the names of
// those that may have been meant.
func CommandUnknown(similar []string) error {
	m := &Error{Code: "command-unknown", Topic: Usage, What: "there is no such command",
		Hint: "git-credential-acp help shows the commands and flags"}
	if len(similar) > 0 {
		m.Hint = "did you mean " + strings.Join(similar, " or ") + "? " + m.Hint
	}
	return m
}

// OutputLost is said when the result of a command, or the answer to git, can't be
// written.
func OutputLost(why string) error {
	return &Error{Code: "output-lost", Topic: NotVerified, What: "the result could not be written: " + why,
		Hint: "check that standard output is open for writing, that its disk is not full, and that its reader still runs"}
}

// FilesExhausted is for a process that can't open the files that it needs.
func FilesExhausted(why string) error {
	return &Error{Code: "files-exhausted", Topic: Configuration, What: "too few files can be opened: " + why,
		Hint: "raise the limit (ulimit -n 256), or close what the calling program leaves open"}
}

// NoAnswer is for a URL that get would not answer for, although there is a token.
func NoAnswer() error {
	return &Error{Code: "no-answer", Topic: Configuration, What: "get gives no answer for this URL, although there is a token",
		Hint: "see that it is the URL of a repository, and nothing else"}
}

// Elsewhere is a warning about a rule of git's, named by its key and origin, by
// which git does not use a URL at all.
func Elsewhere(url, key, origin string) error {
	return &Error{Code: "elsewhere", Topic: Warning,
		What: "git uses another address in the place of " + Quote(url) + ", and asks for no login there: so says " + Quote(key) + " in " + origin,
		Hint: "take that rule out, or use the other address's own way to log in, such as an SSH key"}
}

// OtherUsername is for a user name with which git asks for another kind of
// credential.
func OtherUsername(name string) error {
	return &Error{Code: "other-username", Topic: Configuration,
		What: "git asks with the user name " + name + ", which stands for a CI job's or a deploy token, and get gives no answer for one",
		Hint: "take the name out of the remote's URL (git remote -v), or out of credential.username"}
}

// ClockPastExpiry is a warning about a token whose date has come by the clock
// here, and that GitLab calls alive.
func ClockPastExpiry(date time.Time, instance string) error {
	return &Error{Code: "clock-past-expiry", Topic: Warning,
		What: "by the clock here the token expired on " + date.Format(time.DateOnly) + ", and " + instance + " calls it alive",
		Hint: "set the clock; if it is right, replace the token"}
}

// URLNoProject is for a URL below an instance that names no project.
func URLNoProject() error {
	return &Error{Code: "url-no-project", Topic: Usage,
		What: "the URL names no project: a project's path has two parts or more, its group's and its own",
		Hint: "give the URL of a repository, such as https://gitlab.example.com/group/project.git"}
}

// BranchUnseen is a warning that a branch was asked about and could not be looked
// at.
func BranchUnseen(branch string) error {
	return &Error{Code: "branch-unseen", Topic: Warning, What: "nothing is known of the branch " + Quote(branch) + ": no project was looked at",
		Hint: "give the URL of the repository"}
}

// SubPath is a warning about a Secret, in words, that kubelet never updates.
func SubPath(where string) error {
	return &Error{Code: "sub-path", Topic: Warning,
		What: where + " is mounted by subPath, which is never updated: a rotated token does not arrive",
		Hint: "mount the whole Secret as a directory, without subPath"}
}

// MountBehind is a warning about a mounted Secret, in words, whose token is dead,
// while another place has a newer one, which counts.
func MountBehind(mount, other string) error {
	return &Error{Code: "mount-behind", Topic: Warning,
		What: "the token from " + mount + " is dead; the newer one from " + other + " stands in for it",
		Hint: "wait a minute or two, until kubelet has brought it in; it never does so where a Secret is mounted by subPath"}
}

// TokenFileShared is a warning about a token file that others can read.
func TokenFileShared(path string) error {
	return &Error{Code: "token-file-shared", Topic: Warning,
		What: "other users of this machine may read the token file " + Quote(path),
		Hint: "chmod 600 it"}
}

// ClockSkew is a warning about clocks that disagree.
func ClockSkew(ahead time.Duration, instance string) error {
	way := "behind"
	if ahead < 0 {
		way = "ahead of"
	}
	return &Error{Code: "clock-skew", Topic: Warning,
		What: fmt.Sprintf("the clock here is %s %s that of %s", ahead.Abs().Round(time.Second), way, instance),
		Hint: "set the clock: certificates and the expiry of tokens are held against it"}
}

// ScopesTooBroad is a warning about scopes that nobody needs for git.
func ScopesTooBroad(scopes []string) error {
	return &Error{Code: "scopes-too-broad", Topic: Warning,
		What: "the token has the " + plural("scope", scopes) + ", which work on a repository does not need",
		Hint: "create a token with the scopes " + scopeList + " alone"}
}

// ProjectMoved is a warning about a project that has another path now.
func ProjectMoved(s Subject, path string) error {
	return &Error{Code: "project-moved", Topic: Warning,
		What: "the project " + s.project() + " was moved to " + Quote(path),
		Hint: "update the remote: git remote set-url origin " + Quote(s.URL+"/"+path+".git")}
}

// ProjectDeleted is a warning about a project that is about to be deleted.
func ProjectDeleted(s Subject, on string) error {
	return &Error{Code: "project-deleted", Topic: Warning,
		What: "the project " + s.project() + " is marked for deletion on " + Quote(on),
		Hint: "ask its owner whether that is meant"}
}

// ProjectArchived is a warning about a project that can only be read.
func ProjectArchived(s Subject) error {
	return &Error{Code: "project-archived", Topic: Warning,
		What: "the project " + s.project() + " is archived: it can be fetched from, not pushed to",
		Hint: "ask an owner of the project to unarchive it, or work on a fork"}
}

// BranchProtected is for a branch that this role can't push to.
func BranchProtected(branch string, s Subject) error {
	return &Error{Code: "branch-protected", Topic: Permissions,
		What: "the branch " + Quote(branch) + " of the project " + s.project() + " is protected, and your role can't push to it",
		Hint: "push to another branch and open a merge request, or ask a maintainer to let you push to this one"}
}

// RateLow is a warning about a rate limit that is nearly used up.
func RateLow(remaining, limit int, reset time.Time) error {
	return &Error{Code: "rate-low", Topic: Warning,
		What: fmt.Sprintf("only %d of %d requests are left until %s", remaining, limit, reset.UTC().Format("15:04:05 UTC")),
		Hint: "look for a loop that calls git or the API without pause"}
}

// NotAHelper is a warning about a git that does not ask this program for a URL;
// asked are the helpers that it does ask.
func NotAHelper(url string, asked []string) error {
	m := &Error{Code: "not-a-helper", Topic: Warning,
		What: "git does not ask this helper for " + Quote(url),
		Hint: "git-credential-acp setup tells git to"}
	if len(asked) > 0 {
		m.What += ", but " + strings.Join(asked, ", then ")
	}
	return m
}

// OtherHelperFirst is a warning about a helper that may answer before this one.
func OtherHelperFirst(name string) error {
	return &Error{Code: "other-helper-first", Topic: Warning,
		What: "git asks " + name + " before this helper, and takes the first answer",
		Hint: "git-credential-acp setup puts this helper first, and alone, for its instance"}
}

// HelperMissing is a warning about a git that is told to ask this program by a
// name under which it is not there.
func HelperMissing(name string) error {
	return &Error{Code: "helper-missing", Topic: Warning,
		What: "git is told to ask the helper " + name + ", which is not there",
		Hint: "put the directory of git-credential-acp on the PATH, or its whole path into credential.helper"}
}

// StoreKeepsToken is a warning about a helper that writes tokens to disk.
func StoreKeepsToken(origin string) error {
	return &Error{Code: "store-keeps-token", Topic: Warning,
		What: "the helper store, in " + origin + ", writes every token that works to disk, in plain text",
		Hint: "git-credential-acp setup takes it out for its instance; remove the token from ~/.git-credentials"}
}

// VerifyOff is a warning about a git that does not verify certificates, because
// of the setting by.
func VerifyOff(by string) error {
	return &Error{Code: "verify-off", Topic: Warning,
		What: "verification is off, by " + by + ": git gives the token to anybody who answers in GitLab's place",
		Hint: "unset it, and name the authority's certificate in http.sslCAInfo instead"}
}

// GitDistrusts is a warning about a git that does not know the authority of an
// instance, which this program knows by the Secret.
func GitDistrusts(instance string) error {
	return &Error{Code: "git-distrusts", Topic: Warning,
		What: "git itself does not trust the certificate of " + instance + ", which this helper does by the Secret's key ca.crt",
		Hint: "name the authority in git's http.sslCAInfo or in GIT_SSL_CAINFO; the Secret's own file ca.crt will do"}
}

// TokenStored is a warning about a secret in git's configuration: entry is the
// setting's name, and remote the remote that it belongs to, "" for none.
func TokenStored(entry, origin, remote string) error {
	m := &Error{Code: "token-stored", Topic: Warning,
		What: "a token or password stands in " + entry + " in " + origin,
		Hint: "take it out and revoke it; this helper gives git the token"}
	if remote != "" {
		m.Hint = "git remote set-url " + remote + " with the URL alone, and revoke what stood there; this helper gives git the token"
	}
	return m
}

// ConfigSkipped is a warning that some of git's configuration could not be read,
// with what git says.
func ConfigSkipped(why error) error {
	return &Error{Code: "config-skipped", Topic: Warning,
		What: "some of git's configuration was not read: " + why.Error(),
		Hint: "check that git config --list works here"}
}

// ProgramLeaks is a warning about a program older than the version that fixes
// credential leaks, cve.
func ProgramLeaks(program, version, fixed, cve string) error {
	return &Error{Code: "program-leaks", Topic: Warning,
		What: program + " " + version + " is older than " + fixed + ", which fixes " + cve + " (leaked credentials); check can't tell whether this build is patched",
		Hint: "update it to " + fixed + " or newer, or make sure that whoever built it has backported the fix"}
}

// ProgramSilent is a warning about a program that does not tell its version.
func ProgramSilent(program, why string) error {
	return &Error{Code: "program-silent", Topic: Warning,
		What: program + " does not tell its version: " + why,
		Hint: "see which " + program + " stands first on the PATH, and whether it works"}
}

// CheckInterrupted is for a check that a signal ends.
func CheckInterrupted() error {
	return &Error{Code: "check-interrupted", Topic: NotVerified, What: "the check was interrupted by a signal", Hint: "run the command again"}
}

// TraceUnusable is a warning about a trace that can't be written.
func TraceUnusable(where, why string) error {
	return &Error{Code: "trace-unusable", Topic: Warning, What: "nothing is traced to " + Quote(where) + ": " + why,
		Hint: "set ACP_GITLAB_TRACE to 1 for standard error, or to the absolute path of a file that can be written"}
}

// TerminationLog is said when the reason could not be left for Kubernetes.
func TerminationLog(path, why string) error {
	return &Error{Code: "termination-log", Topic: Warning,
		What: "the reason could not be written to " + Quote(path) + ": " + why,
		Hint: "see that the file of --termination-log can be written; Kubernetes' own is /dev/termination-log"}
}

// CacheUnusable is said of a directory that verdicts can't be remembered in.
func CacheUnusable(path, why, hint string) error {
	return &Error{Code: "cache-unusable", Topic: Warning,
		What: "verdicts can't be cached in " + Quote(path) + ": " + why + "; every git command asks GitLab", Hint: hint}
}

// RepositoryRefused is for a directory in which git gives up; words are git's.
func RepositoryRefused(words string) error {
	m := &Error{Code: "repository-refused", Topic: Configuration,
		What: "git does not work in the repository here: " + Quote(words),
		Hint: "git status says the same here; correct what it names"}
	if _, rest, found := strings.Cut(words, "dubious ownership in repository at '"); found {
		m.Hint = "work as the user who owns the directory, or trust it: git config --global --add safe.directory " + Quote(strings.TrimSuffix(rest, "'"))
	}
	if strings.Contains(words, "cannot use bare repository") {
		m.Hint = "safe.bareRepository is explicit: name the repository with git --git-dir or GIT_DIR"
	}
	return m
}

// PasswordEmpty is for a remote whose URL has an empty password.
func PasswordEmpty(remote string) error {
	return &Error{Code: "password-empty", Topic: Configuration,
		What: "the URL of the remote " + remote + " has an empty password; git logs in with it and does not ask this helper",
		Hint: "remove the colon before the @, or the whole login: git remote set-url " + remote + " with the URL alone"}
}

// PushElsewhere is a warning about a setting, by its name and origin, that sends
// pushes to another address than the one that was checked.
func PushElsewhere(setting, origin string) error {
	return &Error{Code: "push-elsewhere", Topic: Warning,
		What: "git pushes to another address than it fetches from: so says " + setting + " in " + origin,
		Hint: "check that address too, if it is https; git remote -v shows both"}
}

// GitLogsIn is a warning about a login, by, that git uses before it asks a helper;
// hint is how to be rid of it.
func GitLogsIn(by, hint string) error {
	return &Error{Code: "git-logs-in", Topic: Warning,
		What: "git logs in with " + by + " before it asks this helper",
		Hint: hint + ": each command that fails to log in with it counts for GitLab's ban of this address"}
}

// GitLogsInInVain is for a git that fails with a login, by, that it uses before it
// asks a helper, or instead; hint is how to be rid of it.
func GitLogsInInVain(by, hint string) error {
	return &Error{Code: "git-logs-in-in-vain", Topic: Configuration,
		What: "git fails: it logs in with " + by + ", and not with what this helper answers",
		Hint: hint}
}

// GitFails is for a git that can't list the refs although all checks passed; words
// say why, git's or this program's own.
func GitFails(words string) error {
	m := &Error{Code: "git-fails", Topic: Configuration, What: "git itself can't list the refs",
		Hint: "git ls-remote shows all of its output here; check git's configuration for this URL (git config --list --show-origin)"}
	if words != "" {
		m.What += ": " + Printable(words)
	}
	return m
}
