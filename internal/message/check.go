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
		What: "the URL uses plain http, which would expose the token on the network",
		Hint: "use " + url + ", also in the remote (git remote -v)"}
}

// URLForeign is for a URL of a host without a token; have are the instances that get
// answers for.
func URLForeign(host string, have []string) error {
	return &Error{Code: "url-foreign", Topic: Configuration,
		What: "get answers only for " + strings.Join(have, ", ") + " here, not for " + Quote(host),
		Hint: "check that the URL is right, and that ACP_GITLAB_INSTANCE_URL and --instance don't name another instance; otherwise store a token for this one: on the platform under Settings → Integrations → GitLab, elsewhere in a file (ACP_GITLAB_TOKEN_FILE)"}
}

// Foreign reports that a URL is of a host that no token is for.
func Foreign(err error) bool { return Is(err, "url-foreign") }

// NoToken is for a check without a URL where there is no token at all; connect is as
// for [NotConnected].
func NoToken(looked []string, connect string) error {
	return &Error{Code: "no-token", Topic: Configuration,
		What: "GitLab is not connected: there is no token (looked at " + strings.Join(looked, ", ") + ")", Hint: connect}
}

// Elsewhere is a warning about a git setting, by key and origin, that replaces a URL
// with one that needs no credential.
func Elsewhere(url, key, origin string) error {
	return &Error{Code: "elsewhere", Topic: Warning,
		What: "git replaces " + Quote(url) + " with an address that needs no credential (" + Quote(key) + " in " + origin + ")",
		Hint: "remove that setting, or log in the way the other address needs, for example with an SSH key"}
}
