package gitconfig

import (
	"time"

	"github.com/ambient-code/git-credential-acp/internal/message"
)

// errGitBroken is for a git program that can't be run, or does not run to its end.
func errGitBroken(path, why string) error {
	return &message.Error{Code: "git-broken", Topic: message.Configuration,
		What: "the git program " + message.Quote(path) + " can't be run: " + why,
		Hint: "check that git config --list works; --print and --env need no git"}
}

// errGitLate is for a git program that does not end.
func errGitLate(limit time.Duration) error {
	return &message.Error{Code: "git-late", Topic: message.Configuration,
		What: "git config did not end within " + limit.String(),
		Hint: "check whether the disk with git's configuration answers, then do it again: what is done is not done twice"}
}

// errGitInterrupted is for a signal while git wrote.
func errGitInterrupted() error {
	return &message.Error{Code: "git-interrupted", Topic: message.Configuration,
		What: "setup was interrupted by a signal",
		Hint: "do it again: what is done is not done twice"}
}
