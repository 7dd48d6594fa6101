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
	// Instance is the instance as people name it; URL its address.
	Instance, URL string
	// Project is the full path, "" when no project was checked.
	Project string
	// Where names the source of the token ("the Secret at …"); Renew says how
	// to bring a new one there.
	Where, Renew string
	// Trust says what to do about an authority that is not trusted; "" is the
	// usual.
	Trust string
}

// ProjectName is the project as messages name it, quoted, with its instance.
func (s Subject) ProjectName() string { return Quote(s.Project) + " on " + s.Instance }

// TokensPage is where an instance, by its URL, lists and makes a user's tokens
// (GitLab's documentation, "Personal access tokens").
func TokensPage(url string) string { return url + "/-/profile/personal_access_tokens" }

// NewToken is what to do about a token that is no good any more.
func (s Subject) NewToken() string { return s.newTokenWith(nil) }

// newTokenWith names scopes that are asked for besides the usual ones.
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

// Explain gives the words for a verdict that is not Granted.
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
			"check that it was copied whole and belongs to " + s.Instance + "; else " + s.NewToken()
	case access.TokenExpired:
		what = "the GitLab token from " + s.Where + " has expired"
		if !v.ExpiresAt.IsZero() {
			what = "the GitLab token from " + s.Where + " expired on " + v.ExpiresAt.Format(time.DateOnly)
		}
		return Authentication, what, s.NewToken()
	case access.TokenRevoked:
		return Authentication, "the GitLab token from " + s.Where + " was revoked", s.NewToken()
	case access.TokenInactive:
		return Authentication, s.Instance + " calls the token from " + s.Where + " inactive", s.NewToken()
	case access.TokenNotPersonal:
		return Authentication, "the token from " + s.Where + " is not a Personal Access Token", s.NewToken()
	case access.AccountBlocked:
		return s.account("is blocked on "+s.Instance, "ask an administrator of "+s.Instance+" to unblock it")
	case access.AccountPending:
		return s.account("waits for approval on "+s.Instance, "ask an administrator of "+s.Instance+" to approve it")
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
			hint += " (api alone does not stand for write_repository)"
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
		hint = "sign in at " + s.URL + " with the token's account, and look for what GitLab wants there (terms, a second factor, single sign-on); else ask an administrator of " + s.Instance + " why the API answers 403"
	}
	return topic, what, hint
}

// roleName is a role to ask for: that of a level, or Developer when none is known.
func roleName(level int) string {
	if level == access.NoRole {
		level = access.Developer
	}
	name, _, _ := strings.Cut(access.LevelName(level), " (")
	return "the " + name + " role"
}

// levelHint says what to do about a role that is too low, and which lower minimum
// would do where that role is enough.
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
		minimum, purpose = access.LevelWord(access.Reporter), "if the project is only fetched from"
	case v.Open:
		minimum, purpose = access.LevelWord(access.NoRole), "if the project is only fetched from, which needs no role there"
	default:
		return hint
	}
	return hint + "; " + purpose + ", run git-credential-acp setup " + "--min-access " + minimum + " " + Quote(s.URL+"/"+s.Project) +
		", or set ACP_GITLAB_MIN_ACCESS=" + minimum
}

// explainGit has the words for a refusal by git itself.
func explainGit(v access.Verdict, s Subject) (topic Topic, what, hint string) {
	topic = Permissions
	switch v.Reason {
	case access.GitLogin:
		topic = Authentication
		what = "git on " + s.Instance + " refuses the token from " + s.Where + ", which the API accepts"
		hint = "check whether an IP allow list or single sign-on is in the way; else " + s.NewToken()
	case access.GitBanned:
		topic = Authentication
		what = s.Instance + " has banned this address after too many failed logins over git"
		hint = "wait for the ban to end (15 minutes on gitlab.com, often an hour elsewhere), and find what still uses a dead token from behind this address"
	case access.GitAbsent:
		what = "git on " + s.Instance + " has no repository for the project " + Quote(s.Project) + ", which the API shows"
		hint = "see under the project's settings whether the repository is switched off"
	case access.GitScope:
		what = "git on " + s.Instance + " does not let the token from " + s.Where + " do this: a scope is missing"
		hint = "scopes can't be added to a token: " + s.NewToken()
	case access.GitRole:
		what = "git on " + s.Instance + " does not let you do this in the project " + Quote(s.Project)
		hint = "ask a maintainer of the project for " + roleName(v.Minimum) + ", and check whether the repository is for members only"
	case access.GitArchived:
		what = "the project " + s.ProjectName() + " is archived: it can be fetched from, not pushed to"
		hint = "ask an owner of the project to unarchive it, or work on a fork"
	case access.GitHTTPOff:
		what = s.Instance + " has switched off this use of git over https"
		hint = "ask an administrator of " + s.Instance + " to allow Git access over HTTP"
	case access.GitSSO:
		what = "the group of the project " + s.ProjectName() + " wants a single sign-on session that is not there"
		hint = "sign in to the group at " + s.URL + " in the browser, then try again"
	default:
		what = "git on " + s.Instance + " forbids the token from " + s.Where + " to use the project " + Quote(s.Project) + ", for a reason that is not known here (403)"
		hint = "run git ls-remote with the project's URL: git shows GitLab's reason behind \"remote:\""
	}
	return topic, what, hint
}

func (s Subject) subject() string {
	if s.Project == "" {
		return "its own account"
	}
	return "the project " + Quote(s.Project)
}

// Plural is noun with items, as a singular or a plural.
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
	again := "try again; if it persists, ask an administrator of " + s.Instance
	switch v.Reason {
	case access.RateLimited:
		topic, what = RateLimit, s.Instance+" answers 429, too many requests"
		hint = "wait a minute, and look for a loop that calls git or the API without pause"
		if v.Wait > 0 {
			hint = fmt.Sprintf("wait %d s, and look for a loop that calls git or the API without pause", Seconds(v.Wait))
		}
	case access.Timeout:
		what = s.Instance + " did not answer within the time limit (" + v.Detail + ")"
		hint = "check whether " + s.URL + " can be reached from here; ACP_GITLAB_TIMEOUT sets the limit"
	case access.Interrupted:
		what, hint = "the check with "+s.Instance+" was interrupted by a signal", "run the command again"
	case access.NameUnknown:
		what = "the host name " + v.Detail + " can't be resolved"
		hint = "check that the instance URL is right, and that the DNS server here knows the name"
	case access.DNSFailed:
		what = "the DNS server did not answer for the host name " + v.Detail
		hint = "try again; if it persists, check DNS here (/etc/resolv.conf, the network policy, the cluster's DNS)"
	case access.Unreachable:
		what = "there is no connection to " + v.Detail
		hint = "check whether a firewall or network policy is in the way, and whether HTTPS_PROXY or git's http.proxy has to be set"
	case access.ProxyFailed:
		what = "the proxy " + v.Detail + " gives no connection to " + s.Instance
		hint = "check that the proxy is right in HTTPS_PROXY or git's http.proxy, or put the instance's host into NO_PROXY"
	case access.ProxyLogin:
		what = "the proxy " + v.Detail + " wants a login before it connects to " + s.Instance + " (407)"
		if v.Detail == "" {
			what = "a proxy in front of " + s.Instance + " wants a login (407)"
		}
		hint = ProxyLogin(v.Detail, s.URL)
	case access.ServerError:
		what, hint = s.Instance+" answers "+v.Detail, again
	case access.InFront:
		what = "something in front of GitLab answered for " + s.Instance + " (" + v.Detail + ")"
		hint = "check that the instance URL is right, and whether a login page, a proxy or a ban of this address stands before " + s.URL + "/api/v4, which has to be let through"
	case access.Redirected:
		what = s.Instance + " redirects to " + v.Detail + ", where the token is not sent"
		hint = "if the instance has moved there, use that address in the instance URL and in the remotes (git remote set-url)"
	case access.NotGitLab:
		what = "there is no GitLab API at " + s.URL + "/api/v4"
		hint = "check that the instance URL is right, and has the path if the instance lives below one"
	default:
		what = s.Instance + " gave an answer that can't be understood (" + v.Detail + ")"
		hint = again
	}
	return topic, what, hint
}

// ExplainTLS has the words for TLS that could not be set up.
func ExplainTLS(v access.Verdict, s Subject) (what, hint string) {
	reissue := "ask an administrator of " + s.Instance + " "
	switch v.Reason {
	case access.TLSUntrusted:
		what = "the certificate of " + s.Instance + " is signed by an authority that is not trusted here"
		hint = Also(cmp.Or(s.Trust, caSettings), v.Detail)
	case access.TLSWrongName:
		what = "the certificate of " + s.Instance + " is for another host"
		hint = Also("check that the instance URL is right; if it is, something else answers in the instance's place", v.Detail)
	case access.TLSNoName:
		what = "the certificate of " + s.Instance + " has no subjectAltName; a Common Name alone is not accepted"
		hint = Also(reissue+"for a certificate with its host name as subjectAltName", v.Detail)
	case access.TLSExpired:
		what = "the certificate of " + s.Instance + " has expired or is not valid yet"
		hint = Also("check that the clock here is right; if it is, "+reissue+"to renew the certificate", v.Detail)
	case access.TLSUnusable:
		what = "the certificate of " + s.Instance + " can't be used: " + v.Detail
		hint = reissue + "for a new certificate and chain, and check that the authority's certificate here is the current one"
	case access.TLSVersion:
		what = s.Instance + " speaks only TLS 1.1 or older; TLS 1.2 is the oldest that is used here"
		hint = Also(reissue+"to enable TLS 1.2 or 1.3", v.Detail)
	case access.TLSCiphers:
		what = s.Instance + " accepts none of the TLS cipher suites that are offered here (ECDHE key exchange with AES-GCM or ChaCha20)"
		hint = Also(reissue+"to enable one; if it has RSA key exchange only, GODEBUG=tlsrsakex=1 in git's environment allows that, too", v.Detail)
	case access.TLSPlain:
		what = s.Instance + " answers in plain http, without TLS"
		hint = Also("check that the port in the instance URL is the one for https", v.Detail)
	case access.TLSClient:
		what, hint = s.Instance+" wants a client certificate", clientSettings
		if v.Detail != "" {
			what = s.Instance + " does not accept the client certificate of " + v.Detail
		}
	default:
		what = "no TLS connection can be made with " + s.Instance
		hint = Also("check that the instance URL has the right port, and that nothing in between intercepts TLS", v.Detail)
	}
	return what, hint
}

// Seconds is a wait in whole seconds, rounded up.
func Seconds(wait time.Duration) int { return int((wait + time.Second - 1) / time.Second) }

// Expiry is the warning about a good token that soon expires, or never does.
func Expiry(v access.Verdict, now time.Time, s Subject) error {
	if v.Unlimited {
		return &Error{Code: "no-expiry", Topic: Warning,
			What: "the GitLab token from " + s.Where + " never expires",
			Hint: "replace it by one that expires within 90 days, then " + s.Renew}
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
