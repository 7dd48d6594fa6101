package platform

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// Endpoint is the platform as messages name it.
type Endpoint struct {
	// URL is its address; Where names the source of the token for it.
	URL, Where string
}

// Name is the platform's name in messages.
func (p Endpoint) Name() string { return "the platform at " + p.URL }

// errSessionNotFound is for a session that does not exist (404).
func errSessionNotFound(p Endpoint, session string) error {
	return &message.Error{Code: "session-not-found", Topic: message.Configuration,
		What: p.Name() + " has no session " + message.Quote(session),
		Hint: "check that PROJECT_NAME and AGENTIC_SESSION_NAME are those of a session that was not deleted"}
}

// errCredentialNotFound is for a credential that the platform does not have, or does not
// show to this session.
func errCredentialNotFound(p Endpoint, id string) error {
	return &message.Error{Code: "credential-not-found", Topic: message.Configuration,
		What: p.Name() + " has no credential " + message.Quote(id) + ", or this session may not use it",
		Hint: "check that the credential still exists and is bound to this session's agent or project; sessions get a new CREDENTIAL_IDS when they start"}
}

// errUnauthorized is for a token that the platform does not accept (401).
func errUnauthorized(p Endpoint) error {
	return &message.Error{Code: "platform-unauthorized", Topic: message.Authentication,
		What: p.Name() + " rejects the token from " + p.Where + " (401)",
		Hint: "check that it is a token for the platform and has not expired; a session's own token changes while the session runs, so try again"}
}

// errNoUser is for a token that does not identify a user (401, "User
// authentication required").
func errNoUser(p Endpoint) error {
	return &message.Error{Code: "platform-no-user", Topic: message.Authentication,
		What: p.Name() + " can't tell which user the token from " + p.Where + " belongs to (401, user authentication required)",
		Hint: "set ACP_BACKEND_URL to the platform's public address, or ACP_TOKEN to an access key of the project; the backend itself does not take users from cluster tokens"}
}

// errForbidden is for a token without the permission (403).
func errForbidden(p Endpoint) error {
	return &message.Error{Code: "platform-forbidden", Topic: message.Permissions,
		What: p.Name() + " denies access to the token from " + p.Where + " (403)",
		Hint: "a session's token gets the credentials of the session's user only; for more, ask an administrator of the platform"}
}

// errInput is for a token or an instance URL that the platform rejects as
// invalid (400); about says which.
func errInput(p Endpoint, about string) error {
	return &message.Error{Code: "platform-input", Topic: message.Configuration,
		What: p.Name() + " rejects " + about + " as invalid (400); nothing was stored",
		Hint: "some versions of the platform accept no token with a dot and no instance below a path; use --secret to store both in a Secret of your own"}
}

// errCheck is for a token that the platform could not use on its instance (400).
func errCheck(p Endpoint, instance string) error {
	return &message.Error{Code: "platform-check", Topic: message.Configuration,
		What: p.Name() + " could not use the token on " + instance + "; nothing was stored",
		Hint: "run git-credential-acp check with the token; if it passes, the platform itself can't reach " + instance}
}

// errAbsent is for an address without the platform's API (404).
func errAbsent(p Endpoint) error {
	return &message.Error{Code: "platform-absent", Topic: message.NotVerified,
		What: "there is no platform API at " + p.URL + "/api",
		Hint: "check the platform's address, and that its version supports GitLab connections"}
}

// errRedirect is for a redirect (3xx) to the origin to, "" when it is not known.
func errRedirect(p Endpoint, status int, to string) error {
	if to != "" {
		to = " to " + to
	}
	return &message.Error{Code: "platform-redirect", Topic: message.NotVerified,
		What: p.Name() + " redirects the request" + to + " (" + strconv.Itoa(status) + "); the redirect was not followed",
		Hint: "if the platform has moved, set ACP_BACKEND_URL to the new address; if that is a login page, use the address of the API"}
}

// errPage is for a reply that is not the platform's; what describes it.
func errPage(p Endpoint, what string) error {
	return &message.Error{Code: "platform-page", Topic: message.NotVerified,
		What: "something in front of the platform answered for " + p.URL + " (" + what + ")",
		Hint: "check for a login page or a proxy in front of " + p.URL + "/api, and exempt the API from it"}
}

// errBusy is for a platform that answers 429; wait is its Retry-After, 0 for none.
func errBusy(p Endpoint, wait time.Duration) error {
	hint := "wait a minute, then try again"
	if wait > 0 {
		hint = fmt.Sprintf("wait %d s, then try again", message.Seconds(wait))
	}
	return &message.Error{Code: "platform-busy", Topic: message.RateLimit, What: p.Name() + " is rate limiting (429, too many requests)", Hint: hint}
}

// errError is for a server error (5xx).
func errError(p Endpoint, status string) error {
	return &message.Error{Code: "platform-error", Topic: message.NotVerified,
		What: p.Name() + " answers " + status,
		Hint: "try again in a minute; if it happens again, ask an administrator of the platform"}
}

// errGarbled is for a reply that can't be parsed; what describes it.
func errGarbled(p Endpoint, what string) error {
	return &message.Error{Code: "platform-garbled", Topic: message.NotVerified,
		What: p.Name() + " sent an unexpected reply (" + what + ")",
		Hint: "try again in a minute; if it happens again, check that this program supports the platform's version"}
}

// errSilent is for a failed connection to the platform, with the code of the same
// failure with GitLab.
func errSilent(v access.Verdict, p Endpoint) error {
	m := message.As(message.Explain(v, message.Subject{Instance: p.Name(), URL: p.URL}))
	switch v.Reason {
	case access.NameUnknown:
		m.Hint = "check the platform's address and the DNS server"
	case access.TLSWrongName, access.TLSPlain, access.TLSFailed, access.TLSClient:
		m.Hint = "check the platform's address; if it is right, something else answers there"
	case access.Unreachable:
		m.Hint = "check that the platform is running, and that no firewall or network policy blocks the connection"
	case access.ProxyLogin:
		m.Hint = message.ProxyLogin(v.Detail, p.URL)
	case access.ProxyFailed:
		m.Hint = "check HTTPS_PROXY, or add the platform's host to NO_PROXY"
	case access.TLSUntrusted:
		m.Hint = "set SSL_CERT_FILE or GIT_SSL_CAINFO to a file with the authority's certificate"
	}
	return m
}

// errUncertain is for a change whose reply was lost because of why.
func errUncertain(why error) error {
	m := *message.As(why)
	m.Code = "platform-uncertain"
	m.What += "; the change may or may not have been made"
	m.Hint = "run git-credential-acp status to see what the platform has, then try again"
	return &m
}

// errUnset is for a platform without an address; settings can name one.
func errUnset(settings []string) error {
	return &message.Error{Code: "platform-unset", Topic: message.Configuration,
		What: "the platform's address is not set (looked at " + strings.Join(settings, ", ") + ")",
		Hint: "set ACP_BACKEND_URL to the platform's address; a session pod has it in BACKEND_API_URL"}
}

// errAddress is for an invalid address of the platform, from where.
func errAddress(where string, why error) error {
	return &message.Error{Code: "platform-invalid", Topic: message.TopicOf(where),
		What: "the platform's address in " + where + " " + why.Error(),
		Hint: "use the form https://platform.example.com, or in the cluster http://service.namespace.svc"}
}

// errTokenMissing is for a missing token for the platform; places were searched for one.
func errTokenMissing(p Endpoint, places []string) error {
	return &message.Error{Code: "platform-token-missing", Topic: message.Configuration,
		What: "there is no token for " + p.Name() + " (looked at " + strings.Join(places, ", ") + ")",
		Hint: "set ACP_TOKEN to your token for the platform, or ACP_TOKEN_FILE to a file with it"}
}

// errTokenInvalid is for a text that can't be a token for the platform.
func errTokenInvalid(p Endpoint, why error) error {
	return &message.Error{Code: "platform-token-invalid", Topic: message.Configuration,
		What: "the platform token from " + p.Where + " " + why.Error(),
		Hint: "store only the platform's token there, without quotes or other text"}
}

// errOutside is for an address, from where, outside the cluster, to which a session's
// token is not sent.
func errOutside(where string) error {
	return &message.Error{Code: "platform-outside", Topic: message.TopicOf(where),
		What: "the platform's address in " + where + " is outside the cluster, and a session's token is sent to addresses in the cluster only",
		Hint: "in a session pod, use the address in the cluster (http://service.namespace.svc); elsewhere, set ACP_BACKEND_URL to the platform's address and ACP_TOKEN to your own token for it"}
}
