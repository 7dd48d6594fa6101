package message

// Messages of connect, status, disconnect and rotate. A keeper is where a token is
// stored: a Secret, or the platform.

// NothingKept is for a keeper without a token.
func NothingKept(keeper string) error {
	return &Error{Code: "nothing-kept", Topic: Configuration, What: "there is no token in " + keeper,
		Hint: "store one with git-credential-acp connect"}
}

// RotateOtherInstance is for a token here that belongs to another instance than the
// keeper's.
func RotateOtherInstance(keeper, kept, here string) error {
	return &Error{Code: "rotate-other-instance", Topic: Configuration,
		What: keeper + " has a token for " + kept + ", but the one here is for " + here + "; nothing was changed",
		Hint: "name the instance with --instance, or run rotate where its token is"}
}

// Empty reports that a keeper has no token.
func Empty(err error) bool { return Is(err, "nothing-kept") }
