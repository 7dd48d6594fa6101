package gitnet

import "github.com/ambient-code/git-credential-acp/internal/message"

// errProxyInvalid is for a proxy, named by a setting, that can't be used. Its URL is
// not shown: there may be a password in it.
func errProxyInvalid(by, why string) error {
	return &message.Error{Code: "proxy-invalid", Topic: message.Configuration,
		What: "the proxy that " + by + " names can't be used: " + why,
		Hint: "use the form http://proxy.example.com:3128 (or https, socks5, socks5h), or leave it empty for no proxy; in a user name or password, write @ as %40, / as %2F, # as %23, ? as %3F and % as %25"}
}

// errProxyReads is for a proxy, named by a setting, on the way to an instance over
// plain http.
func errProxyReads(by string) error {
	return &message.Error{Code: "proxy-reads", Topic: message.Configuration,
		What: "the instance is plain http, so the proxy that " + by + " names would read the token",
		Hint: "put the instance's host into NO_PROXY, which git uses too"}
}

// errPathInvalid is for a path, named by a setting of git's, that leads nowhere for
// sure.
func errPathInvalid(by, why string) error {
	return &message.Error{Code: "path-invalid", Topic: message.Configuration,
		What: "the path that " + by + " names can't be followed: " + why,
		Hint: "write the whole path, or one that begins with ~/"}
}

// notFollowed is the part of a hint about a setting of git's that is left alone
// here.
func notFollowed(by string) string { return by + " is ignored" }

// hides is the part of a hint about a variable that counts before a setting.
func hides(variable, setting string) string { return variable + " counts before " + setting }

// unreadable is the part of a hint about a path in a setting that did not help.
func unreadable(path, by string) string {
	return message.Quote(path) + ", which " + by + " names, can't be read"
}
