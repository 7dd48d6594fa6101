// Package access is the policy: it turns GitLab's replies about a token and a project
// into a verdict. It makes no requests; it returns the question to ask next.
package access

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Access levels of GitLab (its Gitlab::Access module). Developer is the lowest
// that may push. Reporter is the lowest that may fetch from a private project.
const (
	NoRole     = 0
	Guest      = 10
	Reporter   = 20
	Developer  = 30
	Maintainer = 40
	Owner      = 50
)

var levelNames = map[int]string{
	NoRole: "no role", 5: "Minimal Access", Guest: "Guest", 15: "Planner", Reporter: "Reporter",
	25: "Security Manager", Developer: "Developer", Maintainer: "Maintainer", Owner: "Owner",
}

// LevelName is a level's name and number, "Developer (30)".
func LevelName(level int) string {
	name, known := levelNames[level]
	switch {
	case level == NoRole:
		return name
	case !known:
		return fmt.Sprintf("level %d", level)
	}
	return fmt.Sprintf("%s (%d)", name, level)
}

// LevelWord is a level as ParseLevel reads it: "developer", or the number of a
// level without a one-word name.
func LevelWord(level int) string {
	name := strings.ToLower(levelNames[level])
	switch {
	case level == NoRole:
		return "none"
	case name == "" || strings.Contains(name, " "):
		return strconv.Itoa(level)
	}
	return name
}

// ParseLevel reads a level: "none", "guest", "planner", "reporter", "developer",
// "maintainer" or "owner" in any case, or a number from 0 to 50. NoRole, "none",
// means that the token is checked and the role is not.
func ParseLevel(text string) (int, error) {
	for level := range levelNames {
		if strings.EqualFold(text, LevelWord(level)) {
			return level, nil
		}
	}
	level, err := strconv.ParseUint(text, 10, 8)
	if err != nil || level > Owner {
		return 0, fmt.Errorf("not none, guest, planner, reporter, developer, maintainer, owner or a number from 0 to %d", Owner)
	}
	return int(level), nil
}

// DefaultScopes are the four scopes that the platform's guide requires.
func DefaultScopes() []string {
	return []string{"api", "read_api", "read_user", "write_repository"}
}

// ParseScopes reads scopes separated by commas or space. It returns them sorted,
// without duplicates.
func ParseScopes(text string) ([]string, error) {
	scopes := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	for _, scope := range scopes {
		if strings.Trim(scope, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			return nil, fmt.Errorf("not a list of scopes such as %s", strings.Join(DefaultScopes(), ","))
		}
	}
	if len(scopes) == 0 {
		return nil, fmt.Errorf("an empty list of scopes")
	}
	slices.Sort(scopes)
	return slices.Compact(scopes), nil
}

// impliedBy has the scopes that api includes (GitLab's documentation of token scopes).
// api also reads and writes repositories, but the guide requires write_repository.
var impliedBy = map[string]string{"read_api": "api", "read_user": "api"}

// ImpliedScopes are those of required that held does not have itself but that another
// scope in it includes.
func ImpliedScopes(required, held []string) []string {
	var implied []string
	for _, scope := range required {
		if broader := impliedBy[scope]; broader != "" && !slices.Contains(held, scope) && slices.Contains(held, broader) {
			implied = append(implied, scope)
		}
	}
	return implied
}

// BroadScopes are those of held that git does not need and that the platform's guide
// says not to select.
func BroadScopes(held []string) []string {
	var broad []string
	for _, scope := range held {
		switch scope {
		case "sudo", "admin_mode", "create_runner", "manage_runner":
			broad = append(broad, scope)
		}
	}
	return broad
}

// MissingScopes are those of required that held neither has nor implies.
func MissingScopes(required, held []string) []string {
	var missing []string
	for _, scope := range required {
		broader, implied := impliedBy[scope]
		if !slices.Contains(held, scope) && (!implied || !slices.Contains(held, broader)) {
			missing = append(missing, scope)
		}
	}
	return missing
}

// Question is what Judge needs to know next.
type Question int

const (
	// Nothing means that the verdict is final.
	Nothing Question = iota
	// AskUser needs GET /user.
	AskUser
	// AskMember needs GET /projects/:id/members/all/:user_id.
	AskMember
)

// Policy is what a token is required to have.
type Policy struct {
	// Minimum is the lowest sufficient access level on the project. NoRole means
	// that the project is not checked.
	Minimum int
	// Scopes are the required scopes.
	Scopes []string
	// Project: there is a project to check, not only the token.
	Project bool
	// Wiki: the repository is a wiki, of the project or of a group with that path.
	// A group's wiki has no project, so only the token is checked.
	Wiki bool
}

// Judge returns a verdict, or the question to ask first; the verdict is final only if
// the question is Nothing.
//
// Order matters: definite refusals come before failures to reach GitLab, so that an
// expired token is reported as expired during an outage; and nothing is granted
// without a reply.
func (p Policy) Judge(f Facts, now time.Time) (Verdict, Question) {
	if f.Rejected() {
		v := refusedBy(f.Rejection())
		v.ExpiresAt = f.Self.ExpiresAt
		return v, Nothing
	}
	v, need := p.judgeToken(f, now)
	if v.Outcome != Granted || need != Nothing || !p.Project {
		return v, need
	}
	expiresAt, unlimited := v.ExpiresAt, v.Unlimited
	v, need = p.judgeProject(f)
	v.ExpiresAt, v.Unlimited = expiresAt, unlimited
	return v, need
}

// judgeToken checks that the token is valid and has the scopes.
func (p Policy) judgeToken(f Facts, now time.Time) (Verdict, Question) {
	switch f.Self.State {
	case Given:
		return p.judgeSelf(f.Self, now), Nothing
	case Absent:
		// GitLab before 15.5: /user shows whether the token is valid. Its scopes
		// are unknown, which is not a failure.
		return judgeOld(f.User)
	case Forbidden:
		// Any scope allows this request, so the required ones are missing.
		return withScope(refusedBy(f.Self.Reply), p.Scopes...), Nothing
	}
	return unverifiedBy(f.Self.Reply), Nothing
}

func (p Policy) judgeSelf(self Self, now time.Time) Verdict {
	v := Verdict{Outcome: Refused, ExpiresAt: self.ExpiresAt, Unlimited: self.ExpiresAt.IsZero()}
	switch {
	case self.Revoked:
		v.Reason = TokenRevoked
	case !self.Active && !self.ExpiresAt.IsZero() && !now.Before(self.ExpiresAt):
		v.Reason = TokenExpired
	case !self.Active:
		v.Reason = TokenInactive
	default:
		if !self.Granular {
			v.Missing = MissingScopes(p.Scopes, self.Scopes)
		}
		if len(v.Missing) > 0 {
			v.Reason = ScopeMissing
			return v
		}
		v.Outcome = Granted
		if !now.Before(self.ExpiresAt) {
			// GitLab says that it is valid, so the clock here is ahead. git drops a
			// password whose expiry is past.
			v.ExpiresAt = time.Time{}
		}
	}
	return v
}

func judgeOld(user User) (Verdict, Question) {
	switch user.State {
	case Unasked:
		return Verdict{}, AskUser
	case Given:
		return Verdict{Outcome: Granted}, Nothing
	case Absent:
		// Neither endpoint exists: not GitLab, or not at this path.
		return Verdict{Outcome: Unverified, Reason: NotGitLab}, Nothing
	case Forbidden:
		return withScope(refusedBy(user.Reply), "read_user"), Nothing
	}
	return unverifiedBy(user.Reply), Nothing
}

// JudgeUser is the verdict on a token from GET /user alone.
func JudgeUser(user User) Verdict {
	if user.State == Rejected {
		return refusedBy(user.Reply)
	}
	v, _ := judgeOld(user)
	return v
}

func (p Policy) judgeProject(f Facts) (Verdict, Question) {
	switch f.Project.State {
	case Given:
		return p.judgeLevel(f)
	case Absent:
		if p.Wiki {
			return Verdict{Outcome: Granted}, Nothing
		}
		return Verdict{Outcome: Refused, Reason: ProjectNotFound, Minimum: p.Minimum}, Nothing
	case Forbidden:
		// The token has every required scope, and none of them allows reading a
		// project, so this check was not required.
		if f.Project.Reason == ScopeMissing && f.Self.State == Given && !f.Self.Granular &&
			len(MissingScopes([]string{"read_api"}, p.Scopes)) > 0 {
			return Verdict{Outcome: Granted}, Nothing
		}
		return withScope(refusedBy(f.Project.Reply), "read_api"), Nothing
	}
	return unverifiedBy(f.Project.Reply), Nothing
}

// judgeLevel checks the level, cheapest source first: memberships come with the
// project; invited groups and administrators take more requests.
func (p Policy) judgeLevel(f Facts) (Verdict, Question) {
	level := max(f.Project.Level, 0)
	if level >= p.Minimum {
		return Verdict{Outcome: Granted}, Nothing
	}
	switch f.Member.State {
	case Unasked:
		if f.UserID() != 0 {
			return Verdict{}, AskMember
		}
		if f.User.State == Unasked {
			return Verdict{}, AskUser
		}
		return unverifiedBy(f.User.Reply), Nothing
	case Silent:
		return unverifiedBy(f.Member.Reply), Nothing
	case Forbidden:
		return withScope(refusedBy(f.Member.Reply), "read_api"), Nothing
	case Given:
		level = max(level, f.Member.Level)
	}
	if level >= p.Minimum {
		return Verdict{Outcome: Granted}, Nothing
	}
	switch f.User.State {
	case Unasked:
		return Verdict{}, AskUser
	case Silent:
		return unverifiedBy(f.User.Reply), Nothing
	}
	if f.User.State == Given && f.User.Admin {
		return Verdict{Outcome: Granted}, Nothing
	}
	return Verdict{Outcome: Refused, Reason: LevelTooLow, Level: level, Minimum: p.Minimum, Open: f.Project.Open}, Nothing
}

func refusedBy(r Reply) Verdict {
	return Verdict{Outcome: Refused, Reason: r.Reason}
}

// withScope adds the scopes to a refusal about scopes.
func withScope(v Verdict, scopes ...string) Verdict {
	if v.Reason == ScopeMissing {
		v.Missing = scopes
	}
	return v
}

func unverifiedBy(r Reply) Verdict {
	return Verdict{Outcome: Unverified, Reason: r.Reason, Detail: r.Detail, Wait: r.Wait}
}
