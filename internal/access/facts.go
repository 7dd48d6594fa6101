package access

import (
	"strings"
	"time"
)

// State says how GitLab answered one question.
type State int

const (
	// Unasked is the zero value: nothing is known because nothing was asked.
	Unasked State = iota
	// Given means GitLab answered what was asked (200).
	Given
	// Absent means GitLab knows no such thing, or hides it from this token (404).
	Absent
	// Rejected means GitLab does not accept the token (401). Reason says which way.
	Rejected
	// Forbidden means GitLab knows the token and refuses (403). Reason says why.
	Forbidden
	// Silent means nothing was learned; Reason says what was in the way.
	Silent
)

// Reply is what every answer of GitLab has.
type Reply struct {
	State State
	// Reason is set unless State is Unasked, Given or Absent.
	Reason Reason
	// Detail is a few words for people about a Silent reply: a host, a status.
	// It never holds text that a server sent.
	Detail string
	// Wait is how long GitLab asks callers to stay away; 0 if it doesn't say.
	Wait time.Duration
}

// Self is GET /personal_access_tokens/self, which any scope may ask
// (GitLab 15.5 and newer).
type Self struct {
	Reply
	ID     int64
	UserID int64
	Scopes []string
	// Granular marks a fine-grained token, whose scopes say nothing about git.
	Granular bool
	Active   bool
	Revoked  bool
	// ExpiresAt is the first moment at which the token no longer works:
	// midnight UTC at the start of GitLab's expires_at. Zero: never.
	ExpiresAt time.Time
	// Name, CreatedAt and LastUsedAt are for people, who know a token by them.
	// They decide nothing, and are not remembered. A zero LastUsedAt is a token
	// that was never used.
	Name                  string    `json:"-"`
	CreatedAt, LastUsedAt time.Time `json:"-"`
}

// User is GET /user: the owner of the token.
type User struct {
	Reply
	ID int64
	// Admin is only ever true when the token's owner is an administrator.
	Admin bool
	// Username and Name are for people; they decide nothing, and are not
	// remembered. Email is the address that the user wants to have in commits.
	Username string `json:"-"`
	Name     string `json:"-"`
	Email    string `json:"-"`
}

// Project is GET /projects/:id.
type Project struct {
	Reply
	ID int64
	// Level is the higher of the direct and the group membership. It leaves
	// out invited groups and administrators: too low proves nothing. Direct is
	// the direct one alone.
	Level, Direct int
	Archived      bool
	// Open: whoever may sign in to GitLab may fetch the code, without a role
	// (visibility internal or public, repository access level "enabled").
	Open bool
	// Path is the full path under which GitLab has the project now, and
	// DeletedOn the date on which it is going to be deleted, "" for none.
	Path      string `json:"-"`
	DeletedOn string `json:"-"`
}

// Branch is GET /projects/:id/repository/branches/:branch. Absent means that
// there is no such branch (yet).
type Branch struct {
	Reply
	// Protected means that not everybody who may push to the project may push
	// to this branch; CanPush that the token's owner may.
	Protected, CanPush bool
}

// Member is GET /projects/:id/members/all/:user_id: the effective level,
// inherited and invited groups included. Absent means not a member.
type Member struct {
	Reply
	Level int
}

// Facts is all that GitLab was asked about a token and a project.
type Facts struct {
	Self    Self
	User    User
	Project Project
	Member  Member
	// Rate is what the answers told of the rate limit.
	Rate Rate
}

// Refs is what git's own advertisement of a repository says. It is given by the
// same part of GitLab that a fetch or a push asks, and so proves what the REST
// API only lets one conclude.
type Refs struct {
	Reply
	// Count is how many refs the repository has.
	Count int
}

// Rate is what is left of a rate limit (GitLab's RateLimit-… headers).
type Rate struct {
	// Limit is how many requests a window allows, 0 when no answer said;
	// Remaining how many are left in it, and Reset when the next one begins.
	Limit, Remaining int
	Reset            time.Time
}

// Low reports whether a tenth or less of the limit is left.
func (r Rate) Low() bool { return r.Limit > 0 && r.Remaining*10 <= r.Limit }

// The window of a rate limit, and what makes a limit one that others are about to
// use up: an eighth of it is used, and at that rate the rest is gone in pressing.
const (
	rateWindow = time.Minute
	pressing   = 10 * time.Second
)

// Held is the Detail of a reply to a question that was not asked, so that others
// don't use up the rate limit before their last one is.
const Held = "held back"

// Pressed is how long to leave the limit alone because it is used up, or because
// others are using it up now: at the rate of this window, nothing of it will be
// left in a few seconds. It is 0 when there is room, or when the limit does not
// end within a minute, so that the rate is not known. now is GitLab's clock.
func (r Rate) Pressed(now time.Time) time.Duration {
	left := r.Reset.Sub(now)
	switch used := r.Limit - r.Remaining; {
	case r.Limit == 0 || left <= 0:
		return 0
	case r.Remaining <= 0:
		return left
	case left > rateWindow || used*8 < r.Limit:
		return 0
	default:
		elapsed := max(rateWindow-left, time.Second)
		if time.Duration(r.Remaining)*elapsed/time.Duration(used) >= min(pressing, left) {
			return 0
		}
		return left
	}
}

// UserID is the number of the token's owner, 0 when no answer told it.
func (f Facts) UserID() int64 {
	if f.Self.UserID != 0 {
		return f.Self.UserID
	}
	return f.User.ID
}

// Rejected reports whether an answer rules the token out, whatever the others
// say: GitLab rejects it, or its account may not act.
func (f Facts) Rejected() bool { return f.Rejection().State != Unasked }

// Rejection is the first answer that rules the token out, the zero Reply if none
// does.
func (f Facts) Rejection() Reply {
	for _, reply := range f.replies() {
		if reply.State == Rejected || reply.State == Forbidden && (strings.HasPrefix(string(reply.Reason), "account-") ||
			strings.HasPrefix(string(reply.Reason), "token-")) {
			return reply
		}
	}
	return Reply{}
}

// replies are the answers in the order in which they decide.
func (f Facts) replies() []Reply {
	return []Reply{f.Self.Reply, f.User.Reply, f.Project.Reply, f.Member.Reply}
}
