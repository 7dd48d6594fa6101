package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/setup"
)

// errFlagInvalid is for a flag with a value that can't be.
func errFlagInvalid(name, why string) error {
	return &message.Error{Code: "flag-invalid", Topic: message.Usage, What: "the flag " + name + " " + why,
		Hint: "git-credential-acp help shows the commands and flags"}
}

// errURLsSeveral is for several URLs where one can be checked.
func errURLsSeveral() error {
	m := *message.As(message.URLInvalid("has another one behind it; one can be checked at a time"))
	m.Hint = "check --all takes several, and prints one line for each"
	return &m
}

// errCommandUnknown is for a command that does not exist; similar are the names of
// those that may have been meant.
func errCommandUnknown(similar []string) error {
	m := &message.Error{Code: "command-unknown", Topic: message.Usage, What: "there is no such command",
		Hint: "git-credential-acp help shows the commands and flags"}
	if len(similar) > 0 {
		m.Hint = "did you mean " + strings.Join(similar, " or ") + "? " + m.Hint
	}
	return m
}

// errOutputLost is said when the result of a command, or the answer to git, can't be
// written.
func errOutputLost(why string) error {
	return &message.Error{Code: "output-lost", Topic: message.NotVerified, What: "the result could not be written: " + why,
		Hint: "check that standard output is open for writing, that its disk is not full, and that its reader still runs"}
}

// errFilesExhausted is for a process that can't open the files that it needs.
func errFilesExhausted(why string) error {
	return &message.Error{Code: "files-exhausted", Topic: message.Configuration, What: "too few files can be opened: " + why,
		Hint: "raise the limit (ulimit -n 256), or close what the calling program leaves open"}
}

// warnTraceUnusable is a warning about a trace that can't be written.
func warnTraceUnusable(where, why string) error {
	return &message.Error{Code: "trace-unusable", Topic: message.Warning, What: "nothing is traced to " + message.Quote(where) + ": " + why,
		Hint: "set ACP_GITLAB_TRACE to 1 for standard error, or to the absolute path of a file that can be written"}
}

// warnTerminationLog is said when the reason could not be left for Kubernetes.
func warnTerminationLog(path, why string) error {
	return &message.Error{Code: "termination-log", Topic: message.Warning,
		What: "the reason could not be written to " + message.Quote(path) + ": " + why,
		Hint: "check that the file of --termination-log can be written; Kubernetes' own is /dev/termination-log"}
}

// errKeeperUnset is for a command that is not told where the token is kept.
func errKeeperUnset(command string) error {
	return &message.Error{Code: "keeper-unset", Topic: message.Usage, What: command + " does not know where the token is kept",
		Hint: "name the place: --platform, or --secret namespace/name for a Secret of your own"}
}

// errFlagsClash is for two flags that can't be given together.
func errFlagsClash(one, other string) error {
	return &message.Error{Code: "flags-clash", Topic: message.Usage, What: "the flags " + one + " and " + other + " can't be given together",
		Hint: "git-credential-acp help shows the commands and flags"}
}

// errTokenFromArgument is for a token on the command line.
func errTokenFromArgument() error {
	return &message.Error{Code: "token-argument", Topic: message.Usage, What: "a token or another text was given as an argument",
		Hint: "give the token on standard input, by --token-file, or at the prompt; one that was typed as an argument stands in the shell's history: revoke it"}
}

// errPromptEnded is for a prompt that was interrupted.
func errPromptEnded() error {
	return &message.Error{Code: "prompt-ended", Topic: message.NotVerified, What: "no token was entered; nothing was changed",
		Hint: "run it again, or give the token on standard input or by --token-file"}
}

// errInputLate is for a token that does not arrive on standard input.
func errInputLate(limit time.Duration) error {
	return &message.Error{Code: "input-late", Topic: message.NotVerified, What: "no token came on standard input within " + limit.String() + "; nothing was changed",
		Hint: "write the token to standard input and end it, or name a file with --token-file"}
}

// errNotStored is for a new token that is no good, or of which that could not be
// learned; why says so. Nothing was changed.
func errNotStored(keeper string, why error) error {
	m := &message.Error{Code: "not-stored", Topic: message.As(why).Topic, What: "the token was not stored in " + keeper + ", since something is wrong with it (see above)",
		Hint: "fix what the lines above name, then connect again"}
	if message.Unverified(why) {
		m.What = "the token was not stored in " + keeper + ", since it could not be checked (see above)"
		m.Hint = "connect again later"
	}
	return m
}

// errRevokeUnconfirmed is for a revocation that nobody has agreed to.
func errRevokeUnconfirmed() error {
	return &message.Error{Code: "revoke-unconfirmed", Topic: message.Usage, What: "the token is not revoked without a yes; nothing was changed",
		Hint: "answer the question with yes, or give --yes where nobody can answer"}
}

// errRevokeNothing is for a revocation of a token that nobody here knows.
func errRevokeNothing(keeper string) error {
	return &message.Error{Code: "revoke-nothing", Topic: message.Configuration, What: "there is no token here to revoke: " + keeper + " does not give its own away",
		Hint: "disconnect without --revoke, and revoke the token on GitLab under Preferences → Access tokens"}
}

// errRevokeOther is for a revocation of the token that a keeper does not give away,
// while the one that is here is dead, because of why; page is where GitLab lists
// the user's tokens.
func errRevokeOther(why error, keeper, page string) error {
	return &message.Error{Code: "revoke-other", Topic: message.As(why).Topic,
		What: "nothing was changed: " + keeper + " does not give its token away, and the one here is another or dead: " + message.As(why).What,
		Hint: "disconnect without --revoke, and revoke the token at " + page}
}

// errRevokeFailed is for a token that could not be revoked; nothing was changed.
func errRevokeFailed(why error) error {
	return &message.Error{Code: "revoke-failed", Topic: message.As(why).Topic, What: "the token could not be revoked, and nothing was changed: " + message.As(why).What, Hint: message.As(why).Hint}
}

// warnDisagree is for places that don't agree about a connection.
func warnDisagree(what string) error {
	return &message.Error{Code: "disagree", Topic: message.Warning, What: what,
		Hint: "a rotated Secret takes a minute or two to reach a mount; if it persists, connect again"}
}

// noteRotateShielded is said when a signal comes while a new token is not safe yet.
func noteRotateShielded() error {
	return &message.Error{Code: "rotate-shielded", Topic: message.Waiting, What: "it ends when the new token is safe, which takes two minutes at most"}
}

// installed is said of a copy that was made, or, if it is not fresh, of a program
// that was there already.
func installed(path string, fresh bool) string {
	if fresh {
		return "installed " + message.Quote(path)
	}
	return message.Quote(path) + " is this program already"
}

// errRequestLate is for a request that has not ended after limit.
func errRequestLate(limit time.Duration) error {
	return &message.Error{Code: "request-late", Topic: message.Malformed, What: "it did not end within " + limit.String() + "; nothing was answered"}
}

// errOvertime is said when the check goes on although its time is up.
func errOvertime() error {
	return &message.Error{Code: "overtime", Topic: message.NotVerified,
		What: "the check did not end when its time was up",
		Hint: "check whether a file of certificate authorities is on a disk that does not answer"}
}

// trustToConnect is what to do about an unknown authority of an instance for which
// a token is about to be stored: in a Secret, which keeps the authority too, or
// elsewhere. file is what --ca-file names, "" when it was not given.
func trustToConnect(secret bool, file string) string {
	switch {
	case !secret:
		return "get the authority's certificate, and " + message.CAFileSettings
	case file == "":
		return "name a file that holds the authority's certificate with --ca-file, which also stores it in the Secret"
	}
	return "check that " + message.Quote(file) + ", which --ca-file names, holds the certificate of the authority that signed the instance's, and those in between"
}

// noteSetUp is said when git's configuration was written for instances, named by
// their URLs, to the file at path.
func noteSetUp(urls []string, path string) error {
	return &message.Error{Code: "set-up", Topic: message.Setup,
		What: "git asks this helper for " + message.List(urls) + " now, as " + message.Quote(path) + " says",
		Hint: nextCheck}
}

const nextCheck = "git-credential-acp check shows whether the token is good and git gets it"

// noteSetUpBefore is said when all is written already.
func noteSetUpBefore(urls []string, path string) error {
	return &message.Error{Code: "set-up-before", Topic: message.Setup,
		What: "git asks this helper for " + message.List(urls) + " already, as " + message.Quote(path) + " says; nothing was changed",
		Hint: nextCheck}
}

// noteSetUpAhead is said when it is written, and git does not find this program yet.
func noteSetUpAhead(urls []string, path string) error {
	return &message.Error{Code: "set-up-ahead", Topic: message.Setup,
		What: "git will ask this helper for " + message.List(urls) + ", as " + message.Quote(path) + " says, once it finds the program",
		Hint: nextCheck}
}

// warnSetUpInVain is the warning that git does not ask this helper first for an
// instance, by its URL, although it was written to path: key names the setting of
// the helper that it asks first, and origin where that stands; both are "" when
// it asks none.
func warnSetUpInVain(url, path, key, origin string) error {
	why := "it asks none, so that file is not read, or a later place takes it back"
	if key != "" {
		why = "it asks the one of " + message.Quote(key) + ", as " + message.Quote(origin) + " says"
	}
	return &message.Error{Code: "set-up-in-vain", Topic: message.Warning,
		What: message.Quote(path) + " has this helper for " + url + ", and git does not ask it first: " + why,
		Hint: "take that out, or set up where git looks later: --system comes before --global, then --local, then --env"}
}

// noteClosed is said when git asks no other helper for any host; helpers are those that
// it asked until now, besides the platform's script, and scope the file that says so, ""
// for the environment.
func noteClosed(helpers []string, scope setup.Scope) error {
	m := &message.Error{Code: "closed", Topic: message.Setup,
		What: "git asks no other helper for any host, except the platform's script for github.com"}
	switch scope {
	case setup.System:
		m.What += "; a helper that the user's own configuration names is asked all the same (--env comes last)"
	case setup.Local:
		m.What += ", in this repository"
	}
	if len(helpers) > 0 {
		m.What += "; no longer in use: " + message.List(helpers)
		m.Hint = "those settings were not changed, and setup --remove puts them back into use; without --closed, setup leaves other helpers out for its instance only"
	}
	return m
}

// warnStillOpen is the warning that git asks another helper for every host although
// it was to ask none: key names its setting, and origin where that stands.
func warnStillOpen(key, origin string) error {
	return &message.Error{Code: "still-open", Topic: message.Warning,
		What: "git asks another helper for every host all the same: that of " + message.Quote(key) + ", as " + message.Quote(origin) + " says",
		Hint: "close it where git looks later: --system comes before --global, then --local, then --env"}
}

// noteRegistryOpen is said when the settings for a session leave other helpers in.
func noteRegistryOpen() error {
	return &message.Error{Code: "registry-open", Topic: message.Setup,
		What: "the platform's own script still answers for other hosts with gitlab in their name, with the token of the user whose turn it is",
		Hint: "add --closed to keep that script for github.com only"}
}

// noteRewritten is said when ssh addresses of hosts lead to https from now on.
func noteRewritten(urls []string) error {
	return &message.Error{Code: "ssh-rewritten", Topic: message.Setup,
		What: "git uses " + message.List(urls) + " for remotes and submodules with an ssh address there"}
}

// noteIdentitySet is said when user.name or user.email were written, with what
// GitLab says.
func noteIdentitySet(keys []string) error {
	return &message.Error{Code: "identity-set", Topic: message.Setup, What: "from the profile on GitLab, git has now " + message.List(keys)}
}

// noteIdentityKept is said when both are set somewhere already.
func noteIdentityKept() error {
	return &message.Error{Code: "identity-kept", Topic: message.Setup, What: "user.name and user.email are set already; they were left as they are"}
}

// noteRemoved is said when what setup had written was taken out; what names it as
// git does.
func noteRemoved(sections []string, path string) error {
	return &message.Error{Code: "set-up-removed", Topic: message.Setup, What: "what setup had written to " + message.Quote(path) + " was taken out: " + message.List(sections)}
}

// noteNothingToRemove is said when there is nothing of setup's, or, if url names one,
// nothing for that instance.
func noteNothingToRemove(path, url string) error {
	what := "nothing of setup's"
	if url != "" {
		what += " for " + url
	}
	return &message.Error{Code: "nothing-to-remove", Topic: message.Setup,
		What: "there is " + what + " in " + message.Quote(path),
		Hint: "it looks into one file: the user's, or the one of --system or --local"}
}

// noteEnvironmentContinued is said when there are pairs of configuration in the
// environment already, and the new ones come after them.
func noteEnvironmentContinued(count int) error {
	return &message.Error{Code: "environment-continued", Topic: message.Setup,
		What: "the environment has " + strconv.Itoa(count) + " of git's settings already (GIT_CONFIG_COUNT); what is printed comes after them, and fits this environment only"}
}

// warnHelperNotFound is the warning that git won't find the helper: where the
// configuration says, or, for "", by its name.
func warnHelperNotFound(path string) error {
	what := "git does not find the program git-credential-acp here: it is in no directory of the PATH"
	if path != "" {
		what = "there is no program " + message.Quote(path) + " here"
	}
	return &message.Error{Code: "helper-not-found", Topic: message.Warning, What: what,
		Hint: "put the program into a directory of the PATH under that name, or name its place with --helper /path/to/git-credential-acp"}
}

// errInstanceUnknown is for a setup that nobody told which instance it is for;
// places are where a token was looked for.
func errInstanceUnknown(places []string) error {
	return &message.Error{Code: "instance-unknown", Topic: message.Configuration,
		What: "which instance to set up is not known: there is no token that tells (looked at " + strings.Join(places, ", ") + ")",
		Hint: "name it with --instance https://gitlab.example.com"}
}

// errInstanceDefault is for a setup with a token, found at where, whose instance
// nothing names, so that it is only the default.
func errInstanceDefault(where string) error {
	return &message.Error{Code: "instance-default", Topic: message.Configuration,
		What: "nothing says which instance the token from " + where + " is for; without ACP_GITLAB_INSTANCE_URL, it is used for gitlab.com only",
		Hint: "set ACP_GITLAB_INSTANCE_URL to the URL of your GitLab, here and where git runs; for gitlab.com, add --instance https://gitlab.com"}
}

// errSSHAmbiguous is for instances on one host, whose ssh addresses are the same.
func errSSHAmbiguous(one, other string) error {
	return &message.Error{Code: "ssh-ambiguous", Topic: message.Configuration,
		What: "an ssh address does not tell whether it means " + one + " or " + other,
		Hint: "name the one that ssh addresses mean with --instance"}
}

// errIdentityAmbiguous is for an identity that several instances could tell.
func errIdentityAmbiguous() error {
	return &message.Error{Code: "identity-ambiguous", Topic: message.Configuration,
		What: "there are tokens for several instances, each with a profile of its own",
		Hint: "name the one whose profile has the name and e-mail address for commits with --instance"}
}

// errIdentityUnusable is for a profile on GitLab whose name or e-mail address can't
// stand in a commit.
func errIdentityUnusable(instance string) error {
	return &message.Error{Code: "identity-unusable", Topic: message.Configuration,
		What: "the name or e-mail address in the profile on " + instance + " can't stand in a commit",
		Hint: "correct the profile, or set user.name and user.email with git config"}
}

// errGitMissing is for a machine without a git program.
func errGitMissing() error {
	return &message.Error{Code: "git-missing", Topic: message.Configuration,
		What: "there is no git program on the PATH, and setup has git itself write its configuration",
		Hint: "install git, or use --print or --env, which need none"}
}

// errHomeMissing is for a setup of the user's configuration where nothing says where
// that is.
func errHomeMissing() error {
	return &message.Error{Code: "home-missing", Topic: message.Configuration,
		What: "there is no place for git's configuration of the user: HOME is not set, or it or GIT_CONFIG_GLOBAL is no whole path",
		Hint: "set HOME, or use --env, which needs none"}
}
