package access

import "time"

// Outcome is the result of a check. With the zero value, no token is sent.
type Outcome int

const (
	// Unverified means that GitLab gave no definite reply.
	Unverified Outcome = iota
	// Refused means that GitLab definitely rejects the request.
	Refused
	// Granted means that the token is valid and sufficient.
	Granted
)

// Reason is why a verdict is not Granted. Reasons are stable: they are cached, and are
// the codes of messages.
type Reason string

// Reasons for a refusal.
const (
	TokenUnknown     Reason = "token-unknown"
	TokenExpired     Reason = "token-expired"
	TokenRevoked     Reason = "token-revoked"
	TokenInactive    Reason = "token-inactive"
	TokenNotPersonal Reason = "token-not-personal"
	AccountBlocked   Reason = "account-blocked"
	AccountPending   Reason = "account-pending"
	AccountTerms     Reason = "account-terms"
	AccountInactive  Reason = "account-deactivated"
	AccountEmail     Reason = "account-email"
	AccountPassword  Reason = "account-password"
	ScopeMissing     Reason = "scope-missing"
	GrantMissing     Reason = "grant-missing"
	ProjectNotFound  Reason = "project-not-found"
	LevelTooLow      Reason = "level-too-low"
	AccessForbidden  Reason = "access-forbidden"
)

// Reasons for a refusal by git itself, of a token that the REST API accepts.
const (
	GitLogin     Reason = "git-login"
	GitAbsent    Reason = "git-absent"
	GitScope     Reason = "git-scope"
	GitRole      Reason = "git-role"
	GitArchived  Reason = "git-archived"
	GitHTTPOff   Reason = "git-http-off"
	GitSSO       Reason = "git-sso"
	GitBanned    Reason = "git-banned"
	GitForbidden Reason = "git-forbidden"
)

// Reasons for an unverified outcome.
const (
	RateLimited  Reason = "rate-limited"
	Timeout      Reason = "timeout"
	Interrupted  Reason = "interrupted"
	NameUnknown  Reason = "name-unknown"
	DNSFailed    Reason = "dns-failed"
	Unreachable  Reason = "unreachable"
	ProxyFailed  Reason = "proxy-failed"
	ProxyLogin   Reason = "proxy-login"
	TLSUntrusted Reason = "tls-untrusted"
	TLSWrongName Reason = "tls-wrong-name"
	TLSNoName    Reason = "tls-no-name"
	TLSExpired   Reason = "tls-expired"
	TLSUnusable  Reason = "tls-certificate-unusable"
	TLSVersion   Reason = "tls-version"
	TLSCiphers   Reason = "tls-ciphers"
	TLSPlain     Reason = "tls-plain-http"
	TLSFailed    Reason = "tls-failed"
	TLSClient    Reason = "tls-client-certificate"
	ServerError  Reason = "server-error"
	InFront      Reason = "in-front"
	Redirected   Reason = "redirected"
	Garbled      Reason = "garbled"
	NotGitLab    Reason = "not-gitlab"
)

// Reasons lists every reason, for tests.
func Reasons() []Reason {
	return []Reason{
		TokenUnknown, TokenExpired, TokenRevoked, TokenInactive, TokenNotPersonal,
		AccountBlocked, AccountPending, AccountTerms, AccountInactive, AccountEmail, AccountPassword,
		ScopeMissing, GrantMissing, ProjectNotFound, LevelTooLow, AccessForbidden,
		GitLogin, GitAbsent, GitScope, GitRole, GitArchived, GitHTTPOff, GitSSO, GitBanned, GitForbidden,
		RateLimited, Timeout, Interrupted, NameUnknown, DNSFailed, Unreachable, ProxyFailed, ProxyLogin,
		TLSUntrusted, TLSWrongName, TLSNoName, TLSExpired, TLSUnusable, TLSVersion, TLSCiphers, TLSPlain, TLSFailed, TLSClient, ServerError, InFront, Redirected, Garbled, NotGitLab,
	}
}

// Verdict is the policy's decision.
type Verdict struct {
	Outcome Outcome `json:",omitzero"`
	// Reason is set unless Outcome is Granted.
	Reason Reason `json:",omitzero"`
	// Detail and Wait are those of the deciding Reply.
	Detail string        `json:",omitzero"`
	Wait   time.Duration `json:",omitzero"`
	// Missing are the scopes that the token lacks, for ScopeMissing.
	Missing []string `json:",omitzero"`
	// Level and Minimum are the actual and the required access level, for
	// LevelTooLow; Minimum is also set for ProjectNotFound. Open is as in Project.
	Level, Minimum int  `json:",omitzero"`
	Open           bool `json:",omitzero"`
	// ExpiresAt is when the token expires, zero if never or unknown. Unlimited means
	// never.
	ExpiresAt time.Time `json:",omitzero"`
	Unlimited bool      `json:",omitzero"`
}

// expirySoon is how long before its expiry a token gets a warning (the platform's guide
// recommends a reminder seven days before).
const expirySoon = 7 * 24 * time.Hour

// ExpiryWorthTelling reports whether a valid token expires soon or never.
func (v Verdict) ExpiryWorthTelling(now time.Time) bool {
	return v.Outcome == Granted && (v.Unlimited || !v.ExpiresAt.IsZero() && v.ExpiresAt.Sub(now) <= expirySoon)
}
