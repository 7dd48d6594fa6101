package install

import (
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// errDirectory is for a directory that a program can't be copied to because it
// is none, or not to be seen; why says which.
func errDirectory(dir, why string) error {
	return &message.Error{Code: "install-directory", Topic: message.Configuration,
		What: message.Quote(dir) + ", where the program is to be copied to, " + why,
		Hint: "name a directory that is there, such as the one where the volume is mounted"}
}

// errBlocked is for a directory that stands where the program should be.
func errBlocked(path string) error {
	return &message.Error{Code: "install-blocked", Topic: message.Configuration,
		What: message.Quote(path) + ", where the program is to be, is a directory",
		Hint: "remove it, or name another directory"}
}

// errFailed is for a copy that could not be made.
func errFailed(path, why string) error {
	return &message.Error{Code: "install-failed", Topic: message.Configuration,
		What: "the program can't be copied to " + message.Quote(path) + ": " + why,
		Hint: "check that this user id may write there, and that there is room for it; nothing was changed"}
}
