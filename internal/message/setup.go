package message

import (
	"strconv"
	"strings"
	"time"
)

// Setup is the topic of what setup did.
const Setup Topic = "setup"

// SetUp is said when git's configuration was written for instances, named by
// their URLs, to the file at path.
func SetUp(urls []string, path string) error {
	return &Error{Code: "set-up", Topic: Setup,
		What: "git asks this helper for " + and(urls) + " now, as " + Quote(path) + " says",
		Hint: nextCheck}
}

const nextCheck = "git-credential-acp check shows whether the token is good and git gets it"

// SetUpBefore is said when all is written already.
func SetUpBefore(urls []string, path string) error {
	return &Error{Code: "set-up-before", Topic: Setup,
		What: "git asks this helper for " + and(urls) + " already, as " + Quote(path) + " says; nothing was changed",
		Hint: nextCheck}
}

// SetUpAhead is said when it is written, and git does not find this program yet.
func SetUpAhead(urls []string, path string) error {
	return &Error{Code: "set-up-ahead", Topic: Setup,
		What: "git will ask this helper for " + and(urls) + ", as " + Quote(path) + " says, once it finds the program",
		Hint: nextCheck}
}

// SetUpInVain is the warning that git does not ask this helper first for an
// instance, by its URL, although it was written to path: key names the setting of
// the helper that it asks first, and origin where that stands; both are "" when
// it asks none.
func SetUpInVain(url, path, key, origin string) error {
	why := "it asks none, so that file is not read, or a later place takes it back"
	if key != "" {
		why = "it asks the one of " + Quote(key) + ", as " + Quote(origin) + " says"
	}
	return &Error{Code: "set-up-in-vain", Topic: Warning,
		What: Quote(path) + " has this helper for " + url + ", and git does not ask it first: " + why,
		Hint: "take that out, or set up where git looks later: --system comes before --global, then --local, then --env"}
}

// Rewritten is said when ssh addresses of hosts lead to https from now on.
func Rewritten(urls []string) error {
	return &Error{Code: "ssh-rewritten", Topic: Setup,
		What: "git uses " + and(urls) + " for remotes and submodules with an ssh address there"}
}

// IdentitySet is said when user.name or user.email were written, with what
// GitLab says.
func IdentitySet(keys []string) error {
	return &Error{Code: "identity-set", Topic: Setup, What: "from the profile on GitLab, git has now " + and(keys)}
}

// IdentityKept is said when both are set somewhere already.
func IdentityKept() error {
	return &Error{Code: "identity-kept", Topic: Setup, What: "user.name and user.email are set already; they were left as they are"}
}

// Removed is said when what setup had written was taken out; what names it as
// git does.
func Removed(sections []string, path string) error {
	return &Error{Code: "set-up-removed", Topic: Setup, What: "what setup had written to " + Quote(path) + " was taken out: " + and(sections)}
}

// NothingToRemove is said when there is nothing of setup's, or, if url names one,
// nothing for that instance.
func NothingToRemove(path, url string) error {
	what := "nothing of setup's"
	if url != "" {
		what += " for " + url
	}
	return &Error{Code: "nothing-to-remove", Topic: Setup,
		What: "there is " + what + " in " + Quote(path),
		Hint: "it looks into one file: the user's, or the one of --system or --local"}
}

// EnvironmentContinued is said when there are pairs of configuration in the
// environment already, and the new ones come after them.
func EnvironmentContinued(count int) error {
	return &Error{Code: "environment-continued", Topic: Setup,
		What: "the environment has " + strconv.Itoa(count) + " of git's settings already (GIT_CONFIG_COUNT); what is printed comes after them, and fits this environment only"}
}

// HelperNotFound is the warning that git won't find the helper: where the
// configuration says, or, for "", by its name.
func HelperNotFound(path string) error {
	what := "git does not find the program git-credential-acp here: it is in no directory of the PATH"
	if path != "" {
		what = "there is no program " + Quote(path) + " here"
	}
	return &Error{Code: "helper-not-found", Topic: Warning, What: what,
		Hint: "put the program into a directory of the PATH under that name, or name its place with --helper /path/to/git-credential-acp"}
}

// InstanceUnknown is for a setup that nobody told which instance it is for;
// places are where a token was looked for.
func InstanceUnknown(places []string) error {
	return &Error{Code: "instance-unknown", Topic: Configuration,
		What: "which instance to set up is not known: there is no token that tells (looked at " + strings.Join(places, ", ") + ")",
		Hint: "name it with --instance https://gitlab.example.com"}
}

// InstanceDefault is for a setup with a token, found at where, whose instance
// nothing names, so that it is only the default.
func InstanceDefault(where string) error {
	return &Error{Code: "instance-default", Topic: Configuration,
		What: "nothing says which instance the token from " + where + " is for; without ACP_GITLAB_INSTANCE_URL, it is used for gitlab.com only",
		Hint: "set ACP_GITLAB_INSTANCE_URL to the URL of your GitLab, here and where git runs; for gitlab.com, add --instance https://gitlab.com"}
}

// SSHAmbiguous is for instances on one host, whose ssh addresses are the same.
func SSHAmbiguous(one, other string) error {
	return &Error{Code: "ssh-ambiguous", Topic: Configuration,
		What: "an ssh address does not tell whether it means " + one + " or " + other,
		Hint: "name the one that ssh addresses mean with --instance"}
}

// IdentityAmbiguous is for an identity that several instances could tell.
func IdentityAmbiguous() error {
	return &Error{Code: "identity-ambiguous", Topic: Configuration,
		What: "there are tokens for several instances, each with a profile of its own",
		Hint: "name the one whose profile has the name and e-mail address for commits with --instance"}
}

// IdentityUnusable is for a profile on GitLab whose name or e-mail address can't
// stand in a commit.
func IdentityUnusable(instance string) error {
	return &Error{Code: "identity-unusable", Topic: Configuration,
		What: "the name or e-mail address in the profile on " + instance + " can't stand in a commit",
		Hint: "correct the profile, or set user.name and user.email with git config"}
}

// GitMissing is for a machine without a git program.
func GitMissing() error {
	return &Error{Code: "git-missing", Topic: Configuration,
		What: "there is no git program on the PATH, and setup has git itself write its configuration",
		Hint: "install git, or use --print or --env, which need none"}
}

// HomeMissing is for a setup of the user's configuration where nothing says where
// that is.
func HomeMissing() error {
	return &Error{Code: "home-missing", Topic: Configuration,
		What: "there is no place for git's configuration of the user: HOME is not set, or it or GIT_CONFIG_GLOBAL is no whole path",
		Hint: "set HOME, or use --env, which needs none"}
}

// GitBroken is for a git program that can't be run, or does not run to its end.
func GitBroken(path, why string) error {
	return &Error{Code: "git-broken", Topic: Configuration,
		What: "the git program " + Quote(path) + " can't be run: " + why,
		Hint: "check that git config --list works; --print and --env need no git"}
}

// GitLate is for a git program that does not end.
func GitLate(limit time.Duration) error {
	return &Error{Code: "git-late", Topic: Configuration,
		What: "git config did not end within " + limit.String(),
		Hint: "see whether the disk with git's configuration answers, then do it again: what is done is not done twice"}
}

// GitInterrupted is for a signal while git wrote.
func GitInterrupted() error {
	return &Error{Code: "git-interrupted", Topic: Configuration,
		What: "setup was interrupted by a signal",
		Hint: "do it again: what is done is not done twice"}
}

// GitFailed is for a git program that fails, with its own words, if it has any.
func GitFailed(words string) error {
	what := "git config failed, and does not say why"
	if words != "" {
		what = "git config failed: " + Quote(words)
	}
	return &Error{Code: "git-failed", Topic: Configuration, What: what,
		Hint: "see that git config --list works here, then do it again"}
}

// GitConfigFile is for a file of git's configuration that can't be one.
func GitConfigFile(path, why string) error {
	return &Error{Code: "git-config-file", Topic: Configuration,
		What: "git's configuration " + Quote(path) + " can't be used: " + why,
		Hint: "see what is there; GIT_CONFIG_GLOBAL and GIT_CONFIG_SYSTEM can name another file"}
}

// GitConfigUnwritable is for a file that git can't change.
func GitConfigUnwritable(path, why string) error {
	return &Error{Code: "git-config-unwritable", Topic: Configuration,
		What: "git's configuration " + Quote(path) + " can't be written: " + Quote(strings.TrimSpace(why)),
		Hint: "see that this user may write to its directory; where nothing can be written, --env prints the same for the environment"}
}

// GitConfigLocked is for a lock on git's configuration that stays.
func GitConfigLocked(lock string) error {
	return &Error{Code: "git-config-locked", Topic: Configuration,
		What: "git's configuration is locked: there is " + Quote(lock),
		Hint: "if no other git is at work, it was left behind by one that was killed: remove it, and do it again"}
}

// NoRepository is for --local where there is no repository, with git's words.
func NoRepository(words string) error {
	return &Error{Code: "no-repository", Topic: Configuration,
		What: "git finds no repository here for --local: " + Quote(words),
		Hint: "run it within a clone, or leave out --local"}
}

// and lists things in a sentence.
func and(items []string) string {
	if len(items) < 2 {
		return strings.Join(items, "")
	}
	return strings.Join(items[:len(items)-1], ", ") + " and " + items[len(items)-1]
}
