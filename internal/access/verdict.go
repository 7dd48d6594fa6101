package access

import "time"

// Outcome is how a judgement ends. The zero value never lets a token out.
type Outcome int

const (
	// Unverified means nothing definite was learned.
	Unverified Outcome = iota
	// Refused means GitLab said something definite that stands against the token.
	Refused
	// Granted means the token is alive and allowed.
	Granted
)

// Reason names why a verdict is not Granted. The names are stable: they are
// stored, documented and shown by their words in package message.
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

// Reasons why nothing was learned.
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

// Reasons lists every reason, for tests that hold words and documents to them.
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

// Verdict is what a policy makes of facts.
type Verdict struct {
	Outcome Outcome
	// Reason is set unless Outcome is Granted.
	Reason Reason
	// Detail and Wait are those of the Reply that decided (see there).
	Detail string
	Wait   time.Duration
	// Missing are the scopes that the token lacks, for ScopeMissing.
	Missing []string
	// Level and Minimum are the access level held and asked for, for
	// LevelTooLow; Minimum is set for ProjectNotFound, too. Open is the project's
	// (see there).
	Level, Minimum int
	Open           bool
	// ExpiresAt is when the token stops working, zero when it doesn't or
	// nobody knows. Unlimited is the case in which it is known not to.
	ExpiresAt time.Time
	Unlimited bool
}

// expirySoon is how long before its expiry a token is worth a word (the platform's
// guide has people set a reminder for seven days before).
const expirySoon = 7 * 24 * time.Hour

// ExpiryWorthTelling reports whether people should hear of a good token's
// expiry: it is near, or there is none.
func (v Verdict) ExpiryWorthTelling(now time.Time) bool {
	return v.Outcome == Granted && (v.Unlimited || !v.ExpiresAt.IsZero() && v.ExpiresAt.Sub(now) <= expirySoon)
}
