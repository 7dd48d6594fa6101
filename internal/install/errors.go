package install

import (
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// errDirectory is for a target that is missing or not a directory; why says which.
func errDirectory(dir, why string) error {
	return &message.Error{Code: "install-directory", Topic: message.Configuration,
		What: "can't install to " + message.Quote(dir) + ": " + why,
		Hint: "name an existing directory, such as the mount point of a volume"}
}

// errBlocked is for a directory with the program's name.
func errBlocked(path string) error {
	return &message.Error{Code: "install-blocked", Topic: message.Configuration,
		What: "can't install to " + message.Quote(path) + ": it is a directory",
		Hint: "remove it, or name another directory"}
}

// errFailed is for a failed copy.
func errFailed(path, why string) error {
	return &message.Error{Code: "install-failed", Topic: message.Configuration,
		What: "the program can't be copied to " + message.Quote(path) + ": " + why,
		Hint: "check that this user may write there and that the disk is not full; nothing was changed"}
}
