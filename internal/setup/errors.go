package setup

import (
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/message"
)

// errGitFailed is for a git program that fails, with its own words, if it has any.
func errGitFailed(words string) error {
	what := "git config failed, and does not say why"
	if words != "" {
		what = "git config failed: " + message.Quote(words)
	}
	return &message.Error{Code: "git-failed", Topic: message.Configuration, What: what,
		Hint: "check that git config --list works here, then do it again"}
}

// errGitConfigFile is for a file of git's configuration that can't be one.
func errGitConfigFile(path, why string) error {
	return &message.Error{Code: "git-config-file", Topic: message.Configuration,
		What: "git's configuration " + message.Quote(path) + " can't be used: " + why,
		Hint: "see what is there; GIT_CONFIG_GLOBAL and GIT_CONFIG_SYSTEM can name another file"}
}

// errGitConfigUnwritable is for a file that git can't change.
func errGitConfigUnwritable(path, why string) error {
	return &message.Error{Code: "git-config-unwritable", Topic: message.Configuration,
		What: "git's configuration " + message.Quote(path) + " can't be written: " + message.Quote(strings.TrimSpace(why)),
		Hint: "check that this user may write to its directory; where nothing can be written, --env prints the same for the environment"}
}

// errGitConfigLocked is for a lock on git's configuration that stays.
func errGitConfigLocked(lock string) error {
	return &message.Error{Code: "git-config-locked", Topic: message.Configuration,
		What: "git's configuration is locked: there is " + message.Quote(lock),
		Hint: "if no other git is at work, it was left behind by one that was killed: remove it, and do it again"}
}

// errNoRepository is for --local where there is no repository, with git's words.
func errNoRepository(words string) error {
	return &message.Error{Code: "no-repository", Topic: message.Configuration,
		What: "git finds no repository here for --local: " + message.Quote(words),
		Hint: "run it within a clone, or leave out --local"}
}
