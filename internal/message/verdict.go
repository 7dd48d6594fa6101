package message

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
)

// Subject is what a verdict is about.
type Subject struct {
	// Instance is the instance's name in messages; URL its address.
	Instance, URL string
	// Project is the full path, "" when no project was checked.
	Project string
	// Where names the source of the token ("the Secret at …"); Renew says how
	// to store a new one there.
	Where, Renew string
	// Trust is the hint for an untrusted authority; "" for the default.
	Trust string
}

// ProjectName is the quoted project with its instance.
func (s Subject) ProjectName() string { return Quote(s.Project) + " on " + s.Instance }

// TokensPage is an instance's page for a user's tokens (GitLab's documentation,
// "Personal access tokens").
func TokensPage(url string) string { return url + "/-/profile/personal_access_tokens" }

// NewToken is the hint for a token that has to be replaced.
func (s Subject) NewToken() string { return s.newTokenWith(nil) }

// newTokenWith is NewToken with more scopes than the default ones.
func (s Subject) newTokenWith(scopes []string) string {
	wanted := access.DefaultScopes()
	for _, scope := range scopes {
		if !slices.Contains(wanted, scope) {
			wanted = append(wanted, scope)
		}
	}
	return "create a new token with the scopes " + List(wanted) + " at " + TokensPage(s.URL) + ", then " + s.Renew
}

func (s Subject) account(what, todo string) (Topic, string, string) {
	return Authentication, "the account of the token from " + s.Where + " " + what, todo
}

// Explain is the message for a verdict that is not Granted.
func Explain(v access.Verdict, s Subject) error {
	topic, what, hint := explain(v, s)
	return &Error{Code: string(v.Reason), Topic: topic, What: what, Hint: hint}
}

func explain(v access.Verdict, s Subject) (topic Topic, what, hint string) {
	if v.Outcome == access.Unverified {
		return explainUnverified(v, s)
	}
	if strings.HasPrefix(string(v.Reason), "git-") {
		return explainGit(v, s)
	}
	switch v.Reason {
	case access.TokenUnknown:
		return Authentication, "the GitLab token from " + s.Where + " is invalid: " + s.Instance + " does not know it",
			"check that the whole token was copied and that it belongs to " + s.Instance + "; otherwise " + s.NewToken()
	case access.TokenExpired:
		what = "the GitLab token from " + s.Where + " has expired"
		if !v.ExpiresAt.IsZero() {
			what = "the GitLab token from " + s.Where + " expired on " + v.ExpiresAt.Format(time.DateOnly)
		}
		return Authentication, what, s.NewToken()
	case access.TokenRevoked:
		return Authentication, "the GitLab token from " + s.Where + " was revoked", s.NewToken()
	case access.TokenInactive:
		return Authentication, s.Instance + " reports the token from " + s.Where + " as inactive", s.NewToken()
	case access.TokenNotPersonal:
		return Authentication, "the token from " + s.Where + " is not a Personal Access Token", s.NewToken()
	case access.AccountBlocked:
		return s.account("is blocked on "+s.Instance, "ask an administrator of "+s.Instance+" to unblock it")
	case access.AccountPending:
		return s.account("is waiting for approval on "+s.Instance, "ask an administrator of "+s.Instance+" to approve it")
	case access.AccountTerms:
		return s.account("has not accepted the Terms of Service of "+s.Instance, "sign in at "+s.URL+" and accept them")
	case access.AccountInactive:
		return s.account("was deactivated on "+s.Instance, "sign in at "+s.URL+" to activate it again, or ask an administrator")
	case access.AccountEmail:
		return s.account("has no confirmed e-mail address on "+s.Instance, "sign in at "+s.URL+" and confirm it")
	case access.AccountPassword:
		return s.account("has an expired password on "+s.Instance, "sign in at "+s.URL+" and set a new password")
	}
	return explainPermissions(v, s)
}

func explainPermissions(v access.Verdict, s Subject) (topic Topic, what, hint string) {
	topic = Permissions
	switch v.Reason {
	case access.ScopeMissing:
		what = "the GitLab token from " + s.Where + " lacks the " + Plural("scope", v.Missing) + " on " + s.Instance
		hint = "scopes can't be added to a token: " + s.newTokenWith(v.Missing)
		if slices.Equal(v.Missing, []string{"write_repository"}) {
			hint += " (api does not include write_repository)"
		}
	case access.GrantMissing:
		what = "the fine-grained token from " + s.Where + " has no permission to read " + s.subject()
		hint = "use a token with scopes instead: " + s.NewToken()
	case access.ProjectNotFound:
		what = "the project " + s.ProjectName() + " was not found or you don't have access to it"
		hint = "check that the remote's URL is right; if it is, ask a maintainer of the project for " + roleName(v.Minimum)
	case access.LevelTooLow:
		what = fmt.Sprintf("you have %s on the project %s; you need at least %s access level",
			access.LevelName(v.Level), s.ProjectName(), access.LevelName(v.Minimum))
		hint = levelHint(v, s)
	default:
		what = s.Instance + " forbids the token from " + s.Where + " to read " + s.subject()
		hint = "sign in at " + s.URL + " with the token's account, and check whether GitLab asks for something there (terms, a second factor, single sign-on); otherwise ask an administrator of " + s.Instance + " why the API answers 403"
	}
	return topic, what, hint
}

// roleName is the role to ask for: that of level, or Developer for none.
func roleName(level int) string {
	if level == access.NoRole {
		level = access.Developer
	}
	name, _, _ := strings.Cut(access.LevelName(level), " (")
	return "the " + name + " role"
}

// levelHint is the hint for a role that is too low, with a lower minimum if that would
// be enough.
func levelHint(v access.Verdict, s Subject) string {
	hint := "ask a maintainer of the project for that role"
	if v.Minimum > access.Maintainer {
		hint = "ask an owner of the project for that role"
	}
	var minimum, purpose string
	switch {
	case v.Level >= access.Developer:
		minimum, purpose = access.LevelWord(v.Level), "if your role is enough"
	case v.Level >= access.Reporter:
		minimum, purpose = access.LevelWord(access.Reporter), "if you only fetch from the project"
	case v.Open:
		minimum, purpose = access.LevelWord(access.NoRole), "if you only fetch from the project, which needs no role"
	default:
		return hint
	}
	return hint + "; " + purpose + ", run git-credential-acp setup " + "--min-access " + minimum + " " + Quote(s.URL+"/"+s.Project) +
		", or set ACP_GITLAB_MIN_ACCESS=" + minimum
}

// explainGit is the message for a refusal by git on GitLab.
func explainGit(v access.Verdict, s Subject) (topic Topic, what, hint string) {
	topic = Permissions
	switch v.Reason {
	case access.GitLogin:
		topic = Authentication
		what = "git on " + s.Instance + " rejects the token from " + s.Where + ", although the API accepts it"
		hint = "check whether an IP allow list or single sign-on is the cause; otherwise " + s.NewToken()
	case access.GitBanned:
		topic = Authentication
		what = s.Instance + " has banned this address after too many failed logins over git"
		hint = "wait for the ban to end (15 minutes on gitlab.com, often an hour elsewhere), and find the program behind this address that still uses an invalid token"
	case access.GitAbsent:
		what = "git on " + s.Instance + " has no repository for the project " + Quote(s.Project) + ", although the API shows it"
		hint = "check in the project's settings whether the repository is disabled"
	case access.GitScope:
		what = "git on " + s.Instance + " rejects the token from " + s.Where + ": a scope is missing"
		hint = "scopes can't be added to a token: " + s.NewToken()
	case access.GitRole:
		what = "git on " + s.Instance + " rejects your role on the project " + Quote(s.Project)
		hint = "ask a maintainer of the project for " + roleName(v.Minimum) + ", and check whether the repository is open to members only"
	case access.GitArchived:
		what = "the project " + s.ProjectName() + " is archived, so it is read-only"
		hint = "ask an owner of the project to unarchive it, or work on a fork"
	case access.GitHTTPOff:
		what = s.Instance + " has disabled this use of git over https"
		hint = "ask an administrator of " + s.Instance + " to allow Git access over HTTP"
	case access.GitSSO:
		what = "the group of the project " + s.ProjectName() + " requires a single sign-on session"
		hint = "sign in to the group at " + s.URL + " in the browser, then try again"
	default:
		what = "git on " + s.Instance + " forbids the token from " + s.Where + " to use the project " + Quote(s.Project) + ", for an unknown reason (403)"
		hint = "run git ls-remote with the project's URL: git shows GitLab's reason after \"remote:\""
	}
	return topic, what, hint
}

func (s Subject) subject() string {
	if s.Project == "" {
		return "its own account"
	}
	return "the project " + Quote(s.Project)
}

// Plural is noun, in the singular or plural, with items.
func Plural(noun string, items []string) string {
	switch len(items) {
	case 0:
		return noun + "s needed"
	case 1:
		return noun + " " + items[0]
	}
	return noun + "s " + List(items)
}

func explainUnverified(v access.Verdict, s Subject) (topic Topic, what, hint string) {
	if strings.HasPrefix(string(v.Reason), "tls-") {
		what, hint = ExplainTLS(v, s)
		return NotVerified, what, hint
	}
	topic = NotVerified
	again := "try again; if it happens again, ask an administrator of " + s.Instance
	switch v.Reason {
	case access.RateLimited:
		topic, what = RateLimit, s.Instance+" is rate limiting (429, too many requests)"
		hint = "wait a minute, and look for a loop that calls git or the API"
		if v.Wait > 0 {
			hint = fmt.Sprintf("wait %d s, and look for a loop that calls git or the API", Seconds(v.Wait))
		}
	case access.Timeout:
		what = s.Instance + " did not answer within the time limit (" + v.Detail + ")"
		hint = "check whether " + s.URL + " can be reached from here; ACP_GITLAB_TIMEOUT sets the limit"
	case access.Interrupted:
		what, hint = "the check with "+s.Instance+" was interrupted by a signal", "run the command again"
	case access.NameUnknown:
		what = "the host name " + v.Detail + " can't be resolved"
		hint = "check the instance URL and the DNS server"
	case access.DNSFailed:
		what = "the DNS server did not answer for the host name " + v.Detail
		hint = "try again; if it happens again, check DNS (/etc/resolv.conf, network policies, the cluster's DNS)"
	case access.Unreachable:
		what = "can't connect to " + v.Detail
		hint = "check for a firewall or network policy that blocks the connection, and whether HTTPS_PROXY or git's http.proxy must be set"
	case access.ProxyFailed:
		what = "the proxy " + v.Detail + " can't connect to " + s.Instance
		hint = "check the proxy in HTTPS_PROXY or git's http.proxy, or add the instance's host to NO_PROXY"
	case access.ProxyLogin:
		what = "the proxy " + v.Detail + " requires a login (407)"
		if v.Detail == "" {
			what = "a proxy in front of " + s.Instance + " requires a login (407)"
		}
		hint = ProxyLogin(v.Detail, s.URL)
	case access.ServerError:
		what, hint = s.Instance+" answers "+v.Detail, again
	case access.InFront:
		what = "something in front of GitLab answered for " + s.Instance + " (" + v.Detail + ")"
		hint = "check the instance URL, and check for a login page, a proxy or a ban of this address in front of " + s.URL + "/api/v4"
	case access.Redirected:
		what = s.Instance + " redirects to " + v.Detail + "; the token is not sent there"
		hint = "if the instance has moved, use the new address in the instance URL and in the remotes (git remote set-url)"
	case access.NotGitLab:
		what = "there is no GitLab API at " + s.URL + "/api/v4"
		hint = "check the instance URL, including its path if GitLab has one"
	default:
		what = s.Instance + " sent an unexpected reply (" + v.Detail + ")"
		hint = again
	}
	return topic, what, hint
}

// ExplainTLS is the message for a failed TLS handshake.
func ExplainTLS(v access.Verdict, s Subject) (what, hint string) {
	reissue := "ask an administrator of " + s.Instance + " "
	switch v.Reason {
	case access.TLSUntrusted:
		what = "the certificate of " + s.Instance + " is signed by an authority that is not trusted here"
		hint = Also(cmp.Or(s.Trust, caSettings), v.Detail)
	case access.TLSWrongName:
		what = "the certificate of " + s.Instance + " is for another host"
		hint = Also("check the instance URL; if it is right, something else answers there", v.Detail)
	case access.TLSNoName:
		what = "the certificate of " + s.Instance + " has no subjectAltName; a Common Name alone is not accepted"
		hint = Also(reissue+"for a certificate with its host name as subjectAltName", v.Detail)
	case access.TLSExpired:
		what = "the certificate of " + s.Instance + " has expired or is not valid yet"
		hint = Also("check the clock here; if it is right, "+reissue+"to renew the certificate", v.Detail)
	case access.TLSUnusable:
		what = "the certificate of " + s.Instance + " can't be used: " + v.Detail
		hint = reissue + "for a new certificate and chain, and check that the authority's certificate here is current"
	case access.TLSVersion:
		what = s.Instance + " supports only TLS 1.1 or older; TLS 1.2 or newer is required"
		hint = Also(reissue+"to enable TLS 1.2 or 1.3", v.Detail)
	case access.TLSCiphers:
		what = s.Instance + " accepts none of the TLS cipher suites offered (ECDHE key exchange with AES-GCM or ChaCha20), or none of the curves or signature algorithms"
		hint = Also(reissue+"to enable one of each; for a server with RSA key exchange only, set GODEBUG=tlsrsakex=1 in git's environment", v.Detail)
	case access.TLSPlain:
		what = s.Instance + " answers in plain http, without TLS"
		hint = Also("check that the port in the instance URL is the https port", v.Detail)
	case access.TLSClient:
		what, hint = s.Instance+" requires a client certificate", clientSettings
		if v.Detail != "" {
			what = s.Instance + " rejects the client certificate of " + v.Detail
		}
	default:
		what = "the TLS handshake with " + s.Instance + " failed"
		hint = Also("check the port in the instance URL, and that nothing intercepts TLS on the way", v.Detail)
	}
	return what, hint
}

// Seconds is a wait in whole seconds, rounded up.
func Seconds(wait time.Duration) int { return int((wait + time.Second - 1) / time.Second) }

// Expiry is the warning for a valid token that expires soon or never.
func Expiry(v access.Verdict, now time.Time, s Subject) error {
	if v.Unlimited {
		return &Error{Code: "no-expiry", Topic: Warning,
			What: "the GitLab token from " + s.Where + " never expires",
			Hint: "replace it with one that expires within 90 days, then " + s.Renew}
	}
	days := int(v.ExpiresAt.Sub(now).Hours() / 24)
	in := fmt.Sprintf("in %d days", days)
	switch days {
	case 0:
		in = "in less than a day"
	case 1:
		in = "in 1 day"
	}
	return &Error{Code: "expires-soon", Topic: Warning,
		What: "the GitLab token from " + s.Where + " expires on " + v.ExpiresAt.Format(time.DateOnly) + " at 00:00 UTC, " + in,
		Hint: s.NewToken()}
}
