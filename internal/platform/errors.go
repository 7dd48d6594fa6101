package platform

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// Endpoint is what messages call the platform.
type Endpoint struct {
	// URL is its address; Where the place, in words, that the token for it came
	// from.
	URL, Where string
}

// Name is the platform as messages name it.
func (p Endpoint) Name() string { return "the platform at " + p.URL }

// errSessionNotFound is for a session that the platform does not have.
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
		What: p.Name() + " does not accept the token from " + p.Where,
		Hint: "check that it is a token of the platform, and not expired; a session's own is replaced while it runs, so try again"}
}

// errNoUser is for a token with which the platform knows no user (401, "User
// authentication required").
func errNoUser(p Endpoint) error {
	return &message.Error{Code: "platform-no-user", Topic: message.Authentication,
		What: p.Name() + " knows no user for a request that comes this way (401, user authentication required); the token from " + p.Where + " may be good",
		Hint: "set ACP_BACKEND_URL to the platform's public address, where its login names the user, or ACP_TOKEN to an access key of the project; a cluster token sent straight to the backend names nobody"}
}

// errForbidden is for what the platform does not let its token do (403).
func errForbidden(p Endpoint) error {
	return &message.Error{Code: "platform-forbidden", Topic: message.Permissions,
		What: p.Name() + " denies access with the token from " + p.Where,
		Hint: "a session's credentials are for its own user and its own token only; for anything else, ask an administrator of the platform"}
}

// errInput is for a token or an instance URL that the platform takes for
// invalid input (400); about says which, in words.
func errInput(p Endpoint, about string) error {
	return &message.Error{Code: "platform-input", Topic: message.Configuration,
		What: p.Name() + " refuses " + about + " as invalid; nothing was stored",
		Hint: "some versions of the platform take no token with a dot in it, and no address below a path; a Secret of your own takes both"}
}

// errCheck is for a token that the platform tried on its instance without
// success (400).
func errCheck(p Endpoint, instance string) error {
	return &message.Error{Code: "platform-check", Topic: message.Configuration,
		What: p.Name() + " tried the token on " + instance + " without success; nothing was stored",
		Hint: "see with git-credential-acp check whether the token is good; if it is, the platform itself does not reach " + instance}
}

// errAbsent is for an address without the platform's API (404).
func errAbsent(p Endpoint) error {
	return &message.Error{Code: "platform-absent", Topic: message.NotVerified,
		What: "there is no API of the platform at " + p.URL + "/api",
		Hint: "check that the platform's address is right, and that the platform is not older than its GitLab connection"}
}

// errRedirect is for an answer that redirects (3xx), to the origin to, "" when
// that is none.
func errRedirect(p Endpoint, status int, to string) error {
	if to != "" {
		to = " to " + to
	}
	return &message.Error{Code: "platform-redirect", Topic: message.NotVerified,
		What: p.Name() + " redirects the request" + to + " (" + strconv.Itoa(status) + "), which was not followed",
		Hint: "if the platform has moved there, set its address (ACP_BACKEND_URL) to the new one; if that is a login page, use the address of the API itself"}
}

// errPage is for an answer that is not the platform's, as what says.
func errPage(p Endpoint, what string) error {
	return &message.Error{Code: "platform-page", Topic: message.NotVerified,
		What: "something in front of the platform answered for " + p.URL + " (" + what + ")",
		Hint: "check whether a login page or a proxy stands before " + p.URL + "/api, and let the API through"}
}

// errBusy is for a platform that answers 429; wait is what it asks for, 0
// if it doesn't say.
func errBusy(p Endpoint, wait time.Duration) error {
	hint := "wait a minute, then try again"
	if wait > 0 {
		hint = fmt.Sprintf("wait %d s, then try again", message.Seconds(wait))
	}
	return &message.Error{Code: "platform-busy", Topic: message.RateLimit, What: p.Name() + " answers 429, too many requests", Hint: hint}
}

// errError is for an error of the platform's own (5xx).
func errError(p Endpoint, status string) error {
	return &message.Error{Code: "platform-error", Topic: message.NotVerified,
		What: p.Name() + " answers " + status,
		Hint: "try again in a minute; if it persists, ask an administrator of the platform"}
}

// errGarbled is for an answer that can't be understood; what says in words
// what came.
func errGarbled(p Endpoint, what string) error {
	return &message.Error{Code: "platform-garbled", Topic: message.NotVerified,
		What: p.Name() + " gave an answer that can't be understood (" + what + ")",
		Hint: "try again in a minute; if it persists, check whether the platform is of a version that this program knows"}
}

// errSilent is for a fault of the connection to the platform. It has the
// code that the same fault has with GitLab.
func errSilent(v access.Verdict, p Endpoint) error {
	m := message.As(message.Explain(v, message.Subject{Instance: p.Name(), URL: p.URL}))
	switch v.Reason {
	case access.NameUnknown:
		m.Hint = "check that the platform's address is right, and that the DNS server here knows the name"
	case access.TLSWrongName, access.TLSPlain, access.TLSFailed, access.TLSClient:
		m.Hint = "check that the platform's address is right; else something else answers in its place"
	case access.Unreachable:
		m.Hint = "check that the platform is running, and that no firewall or network policy is in the way"
	case access.ProxyLogin:
		m.Hint = message.ProxyLogin(v.Detail, p.URL)
	case access.ProxyFailed:
		m.Hint = "check that HTTPS_PROXY is right, or put the platform's host into NO_PROXY"
	case access.TLSUntrusted:
		m.Hint = "name a file that holds the authority's certificate in SSL_CERT_FILE or GIT_SSL_CAINFO"
	}
	return m
}

// errUncertain is said when a change was asked for, and why kept the answer
// from being known.
func errUncertain(why error) error {
	m := *message.As(why)
	m.Code = "platform-uncertain"
	m.What += "; whether it was done is not known"
	m.Hint = "see with git-credential-acp status what the platform has now, then try again"
	return &m
}

// errUnset is for a platform whose address nobody told; settings are where
// it could be.
func errUnset(settings []string) error {
	return &message.Error{Code: "platform-unset", Topic: message.Configuration,
		What: "the address of the platform is not known (looked at " + strings.Join(settings, ", ") + ")",
		Hint: "set ACP_BACKEND_URL to the platform's address; a session pod has it in BACKEND_API_URL"}
}

// errAddress is for an address of the platform, found at where, that can't
// be used.
func errAddress(where string, why error) error {
	return &message.Error{Code: "platform-invalid", Topic: message.TopicOf(where),
		What: "the platform's address in " + where + " " + why.Error(),
		Hint: "use the form https://platform.example.com, or within the cluster http://service.namespace.svc"}
}

// errTokenMissing is for a platform without a token for it; places are
// where one was looked for.
func errTokenMissing(p Endpoint, places []string) error {
	return &message.Error{Code: "platform-token-missing", Topic: message.Configuration,
		What: "there is no token for " + p.Name() + " (looked at " + strings.Join(places, ", ") + ")",
		Hint: "set ACP_TOKEN to your token for the platform, or ACP_TOKEN_FILE to a file that holds it"}
}

// errTokenInvalid is for a text that is no token for the platform.
func errTokenInvalid(p Endpoint, why error) error {
	return &message.Error{Code: "platform-token-invalid", Topic: message.Configuration,
		What: "the token from " + p.Where + ", which is for the platform, " + why.Error(),
		Hint: "put the bare token of the platform there, without quotes or other text"}
}

// errOutside is for an address, found in where, that is not the cluster's, to
// which no token of a session is sent.
func errOutside(where string) error {
	return &message.Error{Code: "platform-outside", Topic: message.TopicOf(where),
		What: "the platform's address in " + where + " is outside the cluster, where no session's token is sent",
		Hint: "in a session pod, use the address in the cluster (http://service.namespace.svc); elsewhere, set ACP_BACKEND_URL to the platform's address and ACP_TOKEN to your own token for it"}
}
