package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/setup"
)

// errFlagInvalid is for a flag with an invalid value.
func errFlagInvalid(name, why string) error {
	return &message.Error{Code: "flag-invalid", Topic: message.Usage, What: "the flag " + name + " " + why,
		Hint: "run git-credential-acp help for the commands and flags"}
}

// errURLsSeveral is for several URLs where one can be checked.
func errURLsSeveral() error {
	m := *message.As(message.URLInvalid("has another one behind it; one can be checked at a time"))
	m.Hint = "git-credential-acp check --all checks several, and prints one line for each"
	return &m
}

// errCommandUnknown is for an unknown command; similar are commands with similar names.
func errCommandUnknown(similar []string) error {
	m := &message.Error{Code: "command-unknown", Topic: message.Usage, What: "unknown command",
		Hint: "run git-credential-acp help for the commands and flags"}
	if len(similar) > 0 {
		m.Hint = "did you mean " + strings.Join(similar, " or ") + "? " + m.Hint
	}
	return m
}

// errOutputLost is for a result, or an answer to git, that can't be written.
func errOutputLost(why string) error {
	return &message.Error{Code: "output-lost", Topic: message.NotVerified, What: "the result could not be written: " + why,
		Hint: "check that standard output is open for writing, that its disk is not full, and that the program that reads it is running"}
}

// errFilesExhausted is for a process that can't open the files that it needs.
func errFilesExhausted(why string) error {
	return &message.Error{Code: "files-exhausted", Topic: message.Configuration, What: "too many open files: " + why,
		Hint: "raise the limit (ulimit -n 256), or close files in the calling program"}
}

// warnTraceUnusable is a warning about a trace that can't be written.
func warnTraceUnusable(where, why string) error {
	return &message.Error{Code: "trace-unusable", Topic: message.Warning, What: "the trace can't be written to " + message.Quote(where) + ": " + why,
		Hint: "set ACP_GITLAB_TRACE to 1 for standard error, or to the absolute path of a writable file"}
}

// warnTerminationLog is for a failed write to --termination-log.
func warnTerminationLog(path, why string) error {
	return &message.Error{Code: "termination-log", Topic: message.Warning,
		What: "the reason could not be written to " + message.Quote(path) + ": " + why,
		Hint: "check that the file that --termination-log names is writable (Kubernetes uses /dev/termination-log)"}
}

// errKeeperUnset is for a command without --platform or --secret.
func errKeeperUnset(command string) error {
	return &message.Error{Code: "keeper-unset", Topic: message.Usage, What: command + " needs to know where the token is stored",
		Hint: "use --platform, or --secret namespace/name for a Secret of your own"}
}

// errFlagsClash is for two flags that contradict each other.
func errFlagsClash(one, other string) error {
	return &message.Error{Code: "flags-clash", Topic: message.Usage, What: "the flags " + one + " and " + other + " can't be used together",
		Hint: "run git-credential-acp help for the commands and flags"}
}

// errTokenFromArgument is for a token on the command line.
func errTokenFromArgument() error {
	return &message.Error{Code: "token-argument", Topic: message.Usage, What: "a token or another text was given as an argument",
		Hint: "give the token on standard input, with --token-file, or at the prompt; if this was a token, revoke it, since it is now in the shell's history"}
}

// errPromptEnded is for a prompt that was interrupted.
func errPromptEnded() error {
	return &message.Error{Code: "prompt-ended", Topic: message.NotVerified, What: "no token was entered; nothing was changed",
		Hint: "run it again, or give the token on standard input or with --token-file"}
}

// errInputLate is for a token that does not arrive on standard input.
func errInputLate(limit time.Duration) error {
	return &message.Error{Code: "input-late", Topic: message.NotVerified, What: "no token arrived on standard input within " + limit.String() + "; nothing was changed",
		Hint: "write the token to standard input and close it, or name a file with --token-file"}
}

// errNotStored is for a new token that failed the checks, or could not be checked,
// because of why. Nothing was changed.
func errNotStored(keeper string, why error) error {
	m := &message.Error{Code: "not-stored", Topic: message.As(why).Topic, What: "the token was not stored in " + keeper + ", since it failed the checks above",
		Hint: "fix the problem above, then run connect again"}
	if message.Unverified(why) {
		m.What = "the token was not stored in " + keeper + ", since it could not be verified (see above)"
		m.Hint = "run connect again later"
	}
	return m
}

// errRevokeUnconfirmed is for a revocation without confirmation.
func errRevokeUnconfirmed() error {
	return &message.Error{Code: "revoke-unconfirmed", Topic: message.Usage, What: "the revocation was not confirmed; nothing was changed",
		Hint: "answer yes, or use --yes where there is no terminal"}
}

// errRevokeNothing is for a revocation without a copy of the token.
func errRevokeNothing(keeper string) error {
	return &message.Error{Code: "revoke-nothing", Topic: message.Configuration, What: "there is no token here to revoke: " + keeper + " does not return its token",
		Hint: "run disconnect without --revoke, and revoke the token on GitLab under Preferences → Access tokens"}
}

// errRevokeOther is for a revocation when keeper does not return its token and the one
// here is not valid, because of why; page is GitLab's page for the user's tokens.
func errRevokeOther(why error, keeper, page string) error {
	return &message.Error{Code: "revoke-other", Topic: message.As(why).Topic,
		What: "nothing was changed: " + keeper + " does not return its token, and the one here is another one or not valid: " + message.As(why).What,
		Hint: "run disconnect without --revoke, and revoke the token at " + page}
}

// errRevokeFailed is for a token that could not be revoked; nothing was changed.
func errRevokeFailed(why error) error {
	return &message.Error{Code: "revoke-failed", Topic: message.As(why).Topic, What: "the token could not be revoked, and nothing was changed: " + message.As(why).What, Hint: message.As(why).Hint}
}

// warnDisagree is for two places with different tokens.
func warnDisagree(what string) error {
	return &message.Error{Code: "disagree", Topic: message.Warning, What: what,
		Hint: "a rotated Secret reaches a mount within two minutes; if they still differ then, run connect again"}
}

// noteRotateShielded is for a signal before a new token is stored.
func noteRotateShielded() error {
	return &message.Error{Code: "rotate-shielded", Topic: message.Waiting, What: "rotate exits once the new token is stored, in two minutes at most"}
}

// installed says that the program was copied, or, if not fresh, that it was there
// already.
func installed(path string, fresh bool) string {
	if fresh {
		return "installed " + message.Quote(path)
	}
	return message.Quote(path) + " is already this version of the program"
}

// errRequestLate is for a request that has not ended after limit.
func errRequestLate(limit time.Duration) error {
	return &message.Error{Code: "request-late", Topic: message.Malformed, What: "it did not end within " + limit.String() + "; nothing was answered"}
}

// errOvertime is for a check that exceeds its time limit.
func errOvertime() error {
	return &message.Error{Code: "overtime", Topic: message.NotVerified,
		What: "the check did not stop at its time limit",
		Hint: "check that the disk with the certificate authorities' file responds"}
}

// trustToConnect is what to do about an unknown authority of an instance for which
// a token is about to be stored: in a Secret, which keeps the authority too, or
// elsewhere. file is what --ca-file names, "" when it was not given.
func trustToConnect(secret bool, file string) string {
	switch {
	case !secret:
		return "get the authority's certificate, and " + message.CAFileSettings
	case file == "":
		return "name a file with the authority's certificate with --ca-file, which also stores it in the Secret"
	}
	return "check that " + message.Quote(file) + " (--ca-file) has the certificate of the authority that signed the instance's, and any intermediate ones"
}

// noteSetUp is for configuration that was written to path for the instances.
func noteSetUp(urls []string, path string) error {
	return &message.Error{Code: "set-up", Topic: message.Setup,
		What: "git now uses this helper for " + message.List(urls) + " (configured in " + message.Quote(path) + ")",
		Hint: nextCheck}
}

const nextCheck = "run git-credential-acp check to test the token and git"

// noteSetUpBefore is for configuration that was already complete.
func noteSetUpBefore(urls []string, path string) error {
	return &message.Error{Code: "set-up-before", Topic: message.Setup,
		What: "git already uses this helper for " + message.List(urls) + " (configured in " + message.Quote(path) + "); nothing was changed",
		Hint: nextCheck}
}

// noteSetUpAhead is for written configuration when git does not find the program yet.
func noteSetUpAhead(urls []string, path string) error {
	return &message.Error{Code: "set-up-ahead", Topic: message.Setup,
		What: "git will use this helper for " + message.List(urls) + " once it finds the program (configured in " + message.Quote(path) + ")",
		Hint: nextCheck}
}

// noteClosed is for --closed: helpers are the other helpers that git used before, and
// scope the file that was written, "" for the environment.
func noteClosed(helpers []string, scope setup.Scope) error {
	m := &message.Error{Code: "closed", Topic: message.Setup,
		What: "git uses no other helper for any host, except the platform's script for github.com"}
	switch scope {
	case setup.System:
		m.What += "; helpers in the user's own configuration are still used (--env overrides them)"
	case setup.Local:
		m.What += ", in this repository"
	}
	if len(helpers) > 0 {
		m.What += "; no longer used: " + message.List(helpers)
		m.Hint = "those settings were not changed, and setup --remove restores them; without --closed, setup disables other helpers for its instance only"
	}
	return m
}

// warnStillOpen is a warning that git uses another helper for every host despite
// --closed: key is its setting, and origin the setting's place.
func warnStillOpen(key, origin string) error {
	return &message.Error{Code: "still-open", Topic: message.Warning,
		What: "git still uses another helper for every host: " + message.Quote(key) + " in " + message.Quote(origin),
		Hint: "run setup --closed for a scope that git reads later (--system, then --global, --local, --env)"}
}

// noteRegistryOpen is for --env=registry without --closed.
func noteRegistryOpen() error {
	return &message.Error{Code: "registry-open", Topic: message.Setup,
		What: "the platform's own script still sends the current user's token to other hosts with gitlab in their name",
		Hint: "add --closed to use that script for github.com only"}
}

// noteRewritten is for ssh addresses that git now replaces with https ones.
func noteRewritten(urls []string) error {
	return &message.Error{Code: "ssh-rewritten", Topic: message.Setup,
		What: "git uses " + message.List(urls) + " for remotes and submodules with ssh addresses"}
}

// noteProxySet is for instances that git now reaches through serve.
func noteProxySet(proxy string, instances []instance.Instance, path string) error {
	var urls []string
	for _, i := range instances {
		urls = append(urls, i.URL())
	}
	return &message.Error{Code: "proxy-set", Topic: message.Setup,
		What: "git now uses the proxy " + proxy + " for " + message.List(urls) + " (configured in " + message.Quote(path) + ")",
		Hint: "git-credential-acp serve has to listen there; git ls-remote URL shows whether it does"}
}

// noteIdentitySet is for user.name or user.email, written from GitLab's profile.
func noteIdentitySet(keys []string) error {
	return &message.Error{Code: "identity-set", Topic: message.Setup, What: "set from the GitLab profile: " + message.List(keys)}
}

// noteIdentityKept is for user.name and user.email that are set already.
func noteIdentityKept() error {
	return &message.Error{Code: "identity-kept", Topic: message.Setup, What: "user.name and user.email are already set; they were not changed"}
}

// noteRemoved is for setup's configuration that was removed, by section.
func noteRemoved(sections []string, path string) error {
	return &message.Error{Code: "set-up-removed", Topic: message.Setup, What: "removed setup's configuration from " + message.Quote(path) + ": " + message.List(sections)}
}

// noteNothingToRemove is for a file without configuration of setup's, or, unless url
// is "", without any for that instance.
func noteNothingToRemove(path, url string) error {
	what := "no configuration by setup"
	if url != "" {
		what += " for " + url
	}
	return &message.Error{Code: "nothing-to-remove", Topic: message.Setup,
		What: "there is " + what + " in " + message.Quote(path),
		Hint: "only one file is searched: the user's, or that of --system or --local"}
}

// noteEnvironmentContinued is for an environment that already has git settings, which
// the new ones follow.
func noteEnvironmentContinued(count int) error {
	return &message.Error{Code: "environment-continued", Topic: message.Setup,
		What: "the environment already has " + strconv.Itoa(count) + " git settings (GIT_CONFIG_COUNT); the output continues their numbering, so it fits only this environment"}
}

// warnHelperNotFound is a warning that git won't find the helper at path, or, for "",
// by its name.
func warnHelperNotFound(path string) error {
	what := "git can't find git-credential-acp: it is not on the PATH"
	if path != "" {
		what = "there is no program " + message.Quote(path) + " here"
	}
	return &message.Error{Code: "helper-not-found", Topic: message.Warning, What: what,
		Hint: "put git-credential-acp in a directory on the PATH, or name its place with --helper /path/to/git-credential-acp"}
}

// errInstanceUnknown is for setup without an instance; places were searched for a
// token.
func errInstanceUnknown(places []string) error {
	return &message.Error{Code: "instance-unknown", Topic: message.Configuration,
		What: "the instance to set up is unknown: no token was found (looked at " + strings.Join(places, ", ") + ")",
		Hint: "name it with --instance https://gitlab.example.com"}
}

// errInstanceDefault is for setup with a token, from where, whose instance is only the
// default.
func errInstanceDefault(where string) error {
	return &message.Error{Code: "instance-default", Topic: message.Configuration,
		What: "the instance of the token from " + where + " is unknown; without ACP_GITLAB_INSTANCE_URL, it is used for gitlab.com only",
		Hint: "set ACP_GITLAB_INSTANCE_URL to the URL of your GitLab, here and where git runs; for gitlab.com, add --instance https://gitlab.com"}
}

// errIdentityAmbiguous is for --identity with several instances.
func errIdentityAmbiguous() error {
	return &message.Error{Code: "identity-ambiguous", Topic: message.Configuration,
		What: "there are tokens for several instances, each with its own profile",
		Hint: "choose the one with the name and e-mail address for commits with --instance"}
}

// errIdentityUnusable is for a profile whose name or e-mail address can't be used in a
// commit.
func errIdentityUnusable(instance string) error {
	return &message.Error{Code: "identity-unusable", Topic: message.Configuration,
		What: "the name or e-mail address in the profile on " + instance + " can't be used in a commit",
		Hint: "correct the profile, or set user.name and user.email with git config"}
}

// errGitMissing is for a machine without a git program.
func errGitMissing() error {
	return &message.Error{Code: "git-missing", Topic: message.Configuration,
		What: "git is not on the PATH, and setup needs it to write git's configuration",
		Hint: "install git, or use --print or --env, which work without it"}
}

// errHomeMissing is for setup without a place for the user's configuration.
func errHomeMissing() error {
	return &message.Error{Code: "home-missing", Topic: message.Configuration,
		What: "the location of the user's git configuration is unknown: HOME is not set, or HOME or GIT_CONFIG_GLOBAL is not an absolute path",
		Hint: "set HOME, or use --env"}
}
