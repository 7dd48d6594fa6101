package message

// Messages of connect, status, disconnect and rotate. A keeper is where a token is
// stored: a Secret, or the platform.

// NotKept is for a keeper that returns another token than the one just stored.
func NotKept(keeper string) error {
	return &Error{Code: "not-kept", Topic: NotVerified, What: keeper + " does not have the token that was just stored",
		Hint: "another program may have changed it at the same time; run git-credential-acp status, then try again"}
}

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
