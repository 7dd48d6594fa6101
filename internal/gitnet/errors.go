package gitnet

import "github.com/ambient-code/git-credential-acp/internal/message"

// errProxyInvalid is for an invalid proxy from the setting by. Its URL is not shown,
// since it may contain a password.
func errProxyInvalid(by, why string) error {
	return &message.Error{Code: "proxy-invalid", Topic: message.Configuration,
		What: "the proxy in " + by + " can't be used: " + why,
		Hint: "use the form http://proxy.example.com:3128 (or https, socks5, socks5h), or leave it empty for no proxy; percent-encode special characters in a user name or password (@ as %40)"}
}

// errProxyReads is for a proxy, from the setting by, to an instance over plain http.
func errProxyReads(by string) error {
	return &message.Error{Code: "proxy-reads", Topic: message.Configuration,
		What: "the instance uses plain http, so the proxy in " + by + " could read the token",
		Hint: "add the instance's host to NO_PROXY, which git uses too"}
}

// errPathInvalid is for a path in a git setting that can't be resolved.
func errPathInvalid(by, why string) error {
	return &message.Error{Code: "path-invalid", Topic: message.Configuration,
		What: "the path in " + by + " can't be resolved: " + why,
		Hint: "use an absolute path, or one that begins with ~/"}
}

// notFollowed is the part of a hint about a git setting that is ignored.
func notFollowed(by string) string { return by + " is ignored" }

// hides is the part of a hint about a variable that overrides a setting.
func hides(variable, setting string) string { return variable + " overrides " + setting }

// unreadable is the part of a hint about an unreadable file in a setting.
func unreadable(path, by string) string {
	return message.Quote(path) + " (" + by + ") can't be read"
}
