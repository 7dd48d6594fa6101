package message

// Words of connect, status, disconnect and rotate. A keeper is the place that
// keeps a token: a Secret, or the platform.

// NotKept is for a token that was stored, and that the keeper does not have.
func NotKept(keeper string) error {
	return &Error{Code: "not-kept", Topic: NotVerified, What: keeper + " does not have what was just stored in it",
		Hint: "somebody else may be changing it at the same time; see git-credential-acp status, then try again"}
}

// NothingKept is for a keeper without a token.
func NothingKept(keeper string) error {
	return &Error{Code: "nothing-kept", Topic: Configuration, What: "there is no token in " + keeper,
		Hint: "git-credential-acp connect stores one there"}
}

// RotateOtherInstance is for a token here that is not of the instance that a
// keeper has one for.
func RotateOtherInstance(keeper, kept, here string) error {
	return &Error{Code: "rotate-other-instance", Topic: Configuration,
		What: keeper + " has a token of " + kept + ", and the one here is of " + here + "; nothing was changed",
		Hint: "name the instance with --instance, and run rotate where that token is"}
}

// Empty reports that a keeper has no token.
func Empty(err error) bool { return Is(err, "nothing-kept") }
