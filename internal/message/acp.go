package message

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
)

// Platform is what messages call the platform.
type Platform struct {
	// URL is its address; Where the place, in words, that the token for it came
	// from.
	URL, Where string
}

func (p Platform) name() string { return "the platform at " + p.URL }

// PlatformUnset is for a platform whose address nobody told; settings are where
// it could be.
func PlatformUnset(settings []string) error {
	return &Error{Code: "platform-unset", Topic: Configuration,
		What: "the address of the platform is not known (looked at " + strings.Join(settings, ", ") + ")",
		Hint: "set ACP_BACKEND_URL to the platform's address; a session pod has it in BACKEND_API_URL"}
}

// PlatformInvalid is for an address of the platform, found at where, that can't
// be used.
func PlatformInvalid(where string, why error) error {
	return &Error{Code: "platform-invalid", Topic: ruledBy(where),
		What: "the platform's address in " + where + " " + why.Error(),
		Hint: "use the form https://platform.example.com, or within the cluster http://service.namespace.svc"}
}

// PlatformTokenMissing is for a platform without a token for it; places are
// where one was looked for.
func PlatformTokenMissing(p Platform, places []string) error {
	return &Error{Code: "platform-token-missing", Topic: Configuration,
		What: "there is no token for " + p.name() + " (looked at " + strings.Join(places, ", ") + ")",
		Hint: "set ACP_TOKEN to your token for the platform, or ACP_TOKEN_FILE to a file that holds it"}
}

// PlatformTokenInvalid is for a text that is no token for the platform.
func PlatformTokenInvalid(p Platform, why error) error {
	return &Error{Code: "platform-token-invalid", Topic: Configuration,
		What: "the token from " + p.Where + ", which is for the platform, " + why.Error(),
		Hint: "put the bare token of the platform there, without quotes or other text"}
}

// SessionUnknown is for a session that can't be named, because of the variable
// that should do it.
func SessionUnknown(variable string, why error) error {
	return &Error{Code: "session-unknown", Topic: Configuration,
		What: "which session this is can't be told: " + variable + " " + why.Error(),
		Hint: "set PROJECT_NAME and AGENTIC_SESSION_NAME, as a session pod has them"}
}

// PlatformNotConnected is for a session whose user has not connected GitLab on
// the platform.
func PlatformNotConnected(p Platform, session string) error {
	return &Error{Code: "platform-not-connected", Topic: Configuration,
		What: "GitLab is not connected: " + p.name() + " has no GitLab token for the user of the session " + Quote(session),
		Hint: "connect GitLab under Settings → Integrations → GitLab"}
}

// SessionNotFound is for a session that the platform does not have.
func SessionNotFound(p Platform, session string) error {
	return &Error{Code: "session-not-found", Topic: Configuration,
		What: p.name() + " has no session " + Quote(session),
		Hint: "see that PROJECT_NAME and AGENTIC_SESSION_NAME are those of a session that was not deleted"}
}

// PlatformUnauthorized is for a token that the platform does not accept (401).
func PlatformUnauthorized(p Platform) error {
	return &Error{Code: "platform-unauthorized", Topic: Authentication,
		What: p.name() + " does not accept the token from " + p.Where,
		Hint: "see that it is a token of the platform, and not expired; a session's own is replaced while it runs, so try again"}
}

// PlatformNoUser is for a token with which the platform knows no user (401, "User
// authentication required").
func PlatformNoUser(p Platform) error {
	return &Error{Code: "platform-no-user", Topic: Authentication,
		What: p.name() + " knows no user for a request that comes this way (401, user authentication required); the token from " + p.Where + " may be good",
		Hint: "set ACP_BACKEND_URL to the platform's public address, where its login names the user, or ACP_TOKEN to an access key of the project; a cluster token sent straight to the backend names nobody"}
}

// PlatformOutside is for an address, found in where, that is not the cluster's, to
// which no token of a session is sent.
func PlatformOutside(where string) error {
	return &Error{Code: "platform-outside", Topic: ruledBy(where),
		What: "the platform's address in " + where + " is outside the cluster, where no session's token is sent",
		Hint: "in a session pod, use the address in the cluster (http://service.namespace.svc); elsewhere, set ACP_BACKEND_URL to the platform's address and ACP_TOKEN to your own token for it"}
}

// PlatformForbidden is for what the platform does not let its token do (403).
func PlatformForbidden(p Platform) error {
	return &Error{Code: "platform-forbidden", Topic: Permissions,
		What: p.name() + " denies access with the token from " + p.Where,
		Hint: "a session's credentials are for its own user and its own token only; for anything else, ask an administrator of the platform"}
}

// PlatformInput is for a token or an instance URL that the platform takes for
// invalid input (400); about says which, in words.
func PlatformInput(p Platform, about string) error {
	return &Error{Code: "platform-input", Topic: Configuration,
		What: p.name() + " refuses " + about + " as invalid; nothing was stored",
		Hint: "some versions of the platform take no token with a dot in it, and no address below a path; a Secret of your own takes both"}
}

// PlatformCheck is for a token that the platform tried on its instance without
// success (400).
func PlatformCheck(p Platform, instance string) error {
	return &Error{Code: "platform-check", Topic: Configuration,
		What: p.name() + " tried the token on " + instance + " without success; nothing was stored",
		Hint: "see with git-credential-acp check whether the token is good; if it is, the platform itself does not reach " + instance}
}

// PlatformAbsent is for an address without the platform's API (404).
func PlatformAbsent(p Platform) error {
	return &Error{Code: "platform-absent", Topic: NotVerified,
		What: "there is no API of the platform at " + p.URL + "/api",
		Hint: "see that the platform's address is right, and that the platform is not older than its GitLab connection"}
}

// PlatformRedirect is for an answer that redirects (3xx), to the origin to, "" when
// that is none.
func PlatformRedirect(p Platform, status int, to string) error {
	if to != "" {
		to = " to " + to
	}
	return &Error{Code: "platform-redirect", Topic: NotVerified,
		What: p.name() + " redirects the request" + to + " (" + strconv.Itoa(status) + "), which was not followed",
		Hint: "if the platform has moved there, set its address (ACP_BACKEND_URL) to the new one; if that is a login page, use the address of the API itself"}
}

// PlatformPage is for an answer that is not the platform's, as what says.
func PlatformPage(p Platform, what string) error {
	return &Error{Code: "platform-page", Topic: NotVerified,
		What: "something in front of the platform answered for " + p.URL + " (" + what + ")",
		Hint: "check whether a login page or a proxy stands before " + p.URL + "/api, and let the API through"}
}

// PlatformBusy is for a platform that answers 429; wait is what it asks for, 0
// if it doesn't say.
func PlatformBusy(p Platform, wait time.Duration) error {
	hint := "wait a minute, then try again"
	if wait > 0 {
		hint = fmt.Sprintf("wait %d s, then try again", seconds(wait))
	}
	return &Error{Code: "platform-busy", Topic: RateLimit, What: p.name() + " answers 429, too many requests", Hint: hint}
}

// PlatformError is for an error of the platform's own (5xx).
func PlatformError(p Platform, status string) error {
	return &Error{Code: "platform-error", Topic: NotVerified,
		What: p.name() + " answers " + status,
		Hint: "try again in a minute; if it goes on, ask an administrator of the platform"}
}

// PlatformGarbled is for an answer that can't be understood; what says in words
// what came.
func PlatformGarbled(p Platform, what string) error {
	return &Error{Code: "platform-garbled", Topic: NotVerified,
		What: p.name() + " gave an answer that can't be understood (" + what + ")",
		Hint: "try again in a minute; if it goes on, see whether the platform is of a version that this program knows"}
}

// PlatformSilent is for a fault of the connection to the platform. It has the
// code that the same fault has with GitLab.
func PlatformSilent(v access.Verdict, p Platform) error {
	m := As(Explain(v, Subject{Instance: p.name(), URL: p.URL}))
	switch v.Reason {
	case access.NameUnknown:
		m.Hint = "check that the platform's address is right, and that the DNS server here knows the name"
	case access.TLSWrongName, access.TLSPlain, access.TLSFailed, access.TLSClient:
		m.Hint = "see that the platform's address is right; else something else answers in its place"
	case access.Unreachable:
		m.Hint = "check that the platform is running, and that no firewall or network policy is in the way"
	case access.ProxyLogin:
		m.Hint = proxyLogin(v.Detail, p.URL)
	case access.ProxyFailed:
		m.Hint = "see that HTTPS_PROXY is right, or put the platform's host into NO_PROXY"
	case access.TLSUntrusted:
		m.Hint = "name a file that holds the authority's certificate in SSL_CERT_FILE or GIT_SSL_CAINFO"
	}
	return m
}

// PlatformUncertain is said when a change was asked for, and why kept the answer
// from being known.
func PlatformUncertain(why error) error {
	m := *As(why)
	m.Code = "platform-uncertain"
	m.What += "; whether it was done is not known"
	m.Hint = "see with git-credential-acp status what the platform has now, then try again"
	return &m
}
