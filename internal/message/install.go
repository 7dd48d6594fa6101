package message

// InstallDirectory is for a directory that a program can't be copied to because it
// is none, or not to be seen; why says which.
func InstallDirectory(dir, why string) error {
	return &Error{Code: "install-directory", Topic: Configuration,
		What: Quote(dir) + ", where the program is to be copied to, " + why,
		Hint: "name a directory that is there, such as the one where the volume is mounted"}
}

// InstallBlocked is for a directory that stands where the program should be.
func InstallBlocked(path string) error {
	return &Error{Code: "install-blocked", Topic: Configuration,
		What: Quote(path) + ", where the program is to be, is a directory",
		Hint: "remove it, or name another directory"}
}

// InstallFailed is for a copy that could not be made.
func InstallFailed(path, why string) error {
	return &Error{Code: "install-failed", Topic: Configuration,
		What: "the program can't be copied to " + Quote(path) + ": " + why,
		Hint: "see that this user id may write there, and that there is room for it; nothing was changed"}
}

// Installed is said of a copy that was made, or, if it is not fresh, of a program
// that was there already.
func Installed(path string, fresh bool) string {
	if fresh {
		return "installed " + Quote(path)
	}
	return Quote(path) + " is this program already"
}
