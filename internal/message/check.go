package message

import (
	"strings"
)

// URLInvalid is for an argument that is no repository's URL.
func URLInvalid(why string) error {
	return &Error{Code: "url-invalid", Topic: Usage, What: "the repository's URL " + why,
		Hint: "give it in the form https://gitlab.example.com/group/project.git"}
}

// URLIsHTTP is for a URL over plain http of an instance, whose address is url.
func URLIsHTTP(url string) error {
	return &Error{Code: "url-is-http", Topic: Configuration,
		What: "the URL is plain http, which would show the token to the network",
		Hint: "use " + url + ", in the remote too (git remote -v shows it)"}
}

// URLForeign is for a URL of a host that no token is for; have are the
// instances that there are tokens for, or that alone are answered for.
func URLForeign(host string, have []string) error {
	return &Error{Code: "url-foreign", Topic: Configuration,
		What: "get answers for " + strings.Join(have, ", ") + " here, and not for " + Quote(host),
		Hint: "check that the URL is right, and that ACP_GITLAB_INSTANCE_URL and --instance don't name another instance; else connect that one under Settings → Integrations → GitLab"}
}

// Foreign reports that a URL is of a host that no token is for.
func Foreign(err error) bool { return Is(err, "url-foreign") }

// NoToken is for a check without a URL where there is no token at all; connect is as
// for [NotConnected].
func NoToken(looked []string, connect string) error {
	return &Error{Code: "no-token", Topic: Configuration,
		What: "GitLab is not connected: there is no token (looked at " + strings.Join(looked, ", ") + ")", Hint: connect}
}

// Elsewhere is a warning about a rule of git's, named by its key and origin, by
// which git does not use a URL at all.
func Elsewhere(url, key, origin string) error {
	return &Error{Code: "elsewhere", Topic: Warning,
		What: "git uses another address in the place of " + Quote(url) + ", and asks for no login there: so says " + Quote(key) + " in " + origin,
		Hint: "remove that rule, or use the other address's own way to log in, such as an SSH key"}
}
