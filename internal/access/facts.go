package access

import (
	"strings"
	"time"
)

// State is the kind of GitLab's reply to one request.
type State int

const (
	// Unasked is the zero value: no request was made.
	Unasked State = iota
	// Given means that GitLab answered (200).
	Given
	// Absent means that it does not exist or is hidden from this token (404).
	Absent
	// Rejected means that GitLab rejects the token (401); Reason says why.
	Rejected
	// Forbidden means that the token is valid but not allowed (403); Reason says why.
	Forbidden
	// Silent means that GitLab did not answer; Reason says why.
	Silent
)

// Reply is the common part of GitLab's replies.
type Reply struct {
	State State
	// Reason is set unless State is Unasked, Given or Absent.
	Reason Reason
	// Detail describes a Silent reply: a host, a status. It never contains text
	// from a server.
	Detail string
	// Wait is GitLab's Retry-After; 0 for none.
	Wait time.Duration
}

// Self is GET /personal_access_tokens/self, which any scope may ask
// (GitLab 15.5 and newer).
type Self struct {
	Reply
	ID     int64
	UserID int64
	Scopes []string
	// Granular marks a fine-grained token, whose scopes do not apply to git.
	Granular bool
	Active   bool
	Revoked  bool
	// ExpiresAt is when the token expires: midnight UTC at the start of GitLab's
	// expires_at. Zero: never.
	ExpiresAt time.Time
	// Name, CreatedAt and LastUsedAt are for display only and are not cached. A zero
	// LastUsedAt means never used.
	Name                  string    `json:"-"`
	CreatedAt, LastUsedAt time.Time `json:"-"`
}

// User is GET /user: the owner of the token.
type User struct {
	Reply
	ID int64
	// Admin means that the token's owner is an administrator.
	Admin bool
	// Username and Name are for display only and are not cached. Email is the
	// user's address for commits.
	Username string `json:"-"`
	Name     string `json:"-"`
	Email    string `json:"-"`
}

// Project is GET /projects/:id.
type Project struct {
	Reply
	ID int64
	// Level is the higher of the direct and the group membership, and Direct the
	// direct one. Invited groups and administrators are not included, so a level
	// that is too low is not final.
	Level, Direct int
	Archived      bool
	// Open: every user may fetch the code without a role (visibility internal or
	// public, repository access level "enabled").
	Open bool
	// Path is the project's current full path, and DeletedOn the date of its
	// deletion, "" for none.
	Path      string `json:"-"`
	DeletedOn string `json:"-"`
}

// Branch is GET /projects/:id/repository/branches/:branch. Absent means that the branch
// does not exist yet.
type Branch struct {
	Reply
	// Protected means that only some roles or users may push to this branch;
	// CanPush that the token's owner may.
	Protected, CanPush bool
}

// Member is GET /projects/:id/members/all/:user_id: the effective level,
// inherited and invited groups included. Absent means not a member.
type Member struct {
	Reply
	Level int
}

// Facts has GitLab's replies about a token and a project.
type Facts struct {
	Self    Self    `json:",omitzero"`
	User    User    `json:",omitzero"`
	Project Project `json:",omitzero"`
	Member  Member  `json:",omitzero"`
	// Rate is the rate limit from the replies' headers.
	Rate Rate `json:",omitzero"`
}

// Refs is git's ref advertisement of a repository. It comes from the same part of
// GitLab as a fetch or push, so it proves what the REST API only suggests.
type Refs struct {
	Reply
	// Count is how many refs the repository has.
	Count int
}

// Rate is the state of a rate limit (GitLab's RateLimit-… headers).
type Rate struct {
	// Limit is the number of requests per window, 0 if unknown; Remaining how many
	// are left, and Reset when the next window begins.
	Limit, Remaining int
	Reset            time.Time
}

// Low reports whether a tenth or less of the limit is left.
func (r Rate) Low() bool { return r.Limit > 0 && r.Remaining*10 <= r.Limit }

// A rate limit is pressed when at least an eighth of it is used and the rest would be
// used up within pressing at the same rate.
const (
	rateWindow = time.Minute
	pressing   = 10 * time.Second
)

// Held is the Detail of a reply to a request that was not made, to leave the rest of the
// rate limit to checks that have already begun.
const Held = "held back"

// Pressed is how long to wait because the limit is used up, or will be within seconds at
// the rate of this window. It is 0 when there is room, or when the limit does not reset
// within a minute, so that the rate is unknown. now is GitLab's clock.
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

// UserID is the token's owner, 0 if unknown.
func (f Facts) UserID() int64 {
	if f.Self.UserID != 0 {
		return f.Self.UserID
	}
	return f.User.ID
}

// Rejected reports whether a reply rules the token out, whatever the others say.
func (f Facts) Rejected() bool { return f.Rejection().State != Unasked }

// Rejection is the first reply that rules the token out, or the zero Reply.
func (f Facts) Rejection() Reply {
	for _, reply := range f.replies() {
		if reply.State == Rejected || reply.State == Forbidden && (strings.HasPrefix(string(reply.Reason), "account-") ||
			strings.HasPrefix(string(reply.Reason), "token-")) {
			return reply
		}
	}
	return Reply{}
}

// replies are the replies in order of precedence.
func (f Facts) replies() []Reply {
	return []Reply{f.Self.Reply, f.User.Reply, f.Project.Reply, f.Member.Reply}
}
