package gitconfig

import (
	"time"

	"github.com/ambient-code/git-credential-acp/internal/message"
)

// errGitBroken is for a git program that can't be run or crashes.
func errGitBroken(path, why string) error {
	return &message.Error{Code: "git-broken", Topic: message.Configuration,
		What: "the git program " + message.Quote(path) + " can't be run: " + why,
		Hint: "check that git config --list works; setup --print and --env work without git"}
}

// errGitLate is for a git program that exceeds its time limit.
func errGitLate(limit time.Duration) error {
	return &message.Error{Code: "git-late", Topic: message.Configuration,
		What: "git config did not end within " + limit.String(),
		Hint: "check that the disk with git's configuration responds, then run the command again"}
}

// errGitInterrupted is for a signal while git was writing.
func errGitInterrupted() error {
	return &message.Error{Code: "git-interrupted", Topic: message.Configuration,
		What: "setup was interrupted by a signal",
		Hint: "run it again; that is safe"}
}
