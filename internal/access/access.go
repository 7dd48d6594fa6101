// Package access is the policy: it turns what GitLab said about a token and a
// project into a verdict. It makes no requests; it returns what else it needs to
// know.
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

// LevelName gives a level by name and number, "Developer (30)".
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

// DefaultScopes are the four that the platform's guide asks for.
func DefaultScopes() []string {
	return []string{"api", "read_api", "read_user", "write_repository"}
}

// ParseScopes reads a list of scopes divided by commas or space, and gives each
// once, in alphabetical order.
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

// impliedBy holds the scopes that api includes (GitLab's documentation of
// token scopes). api also reads and writes repositories, but the guide's
// write_repository is asked for by name.
var impliedBy = map[string]string{"read_api": "api", "read_user": "api"}

// ImpliedScopes are those of required that held does not have, and that another
// scope in it stands for.
func ImpliedScopes(required, held []string) []string {
	var implied []string
	for _, scope := range required {
		if broader := impliedBy[scope]; broader != "" && !slices.Contains(held, scope) && slices.Contains(held, broader) {
			implied = append(implied, scope)
		}
	}
	return implied
}

// BroadScopes are those of held that nobody needs for work on a repository, and
// that the platform's guide says not to select.
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

// Question is something that a Judge needs to know before it can say more.
type Question int

const (
	// Nothing more is needed: the verdict stands.
	Nothing Question = iota
	// AskUser needs GET /user.
	AskUser
	// AskMember needs GET /projects/:id/members/all/:user_id.
	AskMember
)

// Policy is what is asked of a token.
type Policy struct {
	// Minimum is the lowest access level on the project that will do. NoRole
	// means that the project is not asked about.
	Minimum int
	// Scopes are what the token must hold.
	Scopes []string
	// Project: there is a project to check. Without, the token alone is.
	Project bool
	// Wiki: the repository is a wiki, of the project or of a group with that path.
	// A group's wiki has no project, so nothing but the token is checked.
	Wiki bool
}

// Judge makes a verdict of facts, or says what else has to be asked first; the
// verdict counts only when nothing is.
//
// The order is the argument. What GitLab refuses for good comes before what
// could not be learned, so that a dead token is named as that during an
// outage; and nothing is granted that was not learned.
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

// judgeToken looks at the token alone: alive, and with the scopes.
func (p Policy) judgeToken(f Facts, now time.Time) (Verdict, Question) {
	switch f.Self.State {
	case Given:
		return p.judgeSelf(f.Self, now), Nothing
	case Absent:
		// GitLab before 15.5: /user tells whether the token lives; its scopes
		// can't be known, which is not the same as missing.
		return judgeOld(f.User)
	case Forbidden:
		// Any scope may ask this; so the ones that are asked for aren't there.
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
			// GitLab calls it alive, so it is the clock here that is ahead. git
			// drops a password whose expiry is past.
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
		// Neither address of the API is there: no GitLab, or not at this path.
		return Verdict{Outcome: Unverified, Reason: NotGitLab}, Nothing
	case Forbidden:
		return withScope(refusedBy(user.Reply), "read_user"), Nothing
	}
	return unverifiedBy(user.Reply), Nothing
}

// JudgeUser is the verdict on a token that was only asked whose it is.
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
		// The token holds every scope that was asked for, none of which lets it
		// read a project: whoever asked for so little did without this check.
		if f.Project.Reason == ScopeMissing && f.Self.State == Given && !f.Self.Granular &&
			len(MissingScopes([]string{"read_api"}, p.Scopes)) > 0 {
			return Verdict{Outcome: Granted}, Nothing
		}
		return withScope(refusedBy(f.Project.Reply), "read_api"), Nothing
	}
	return unverifiedBy(f.Project.Reply), Nothing
}

// judgeLevel looks at the level, in the order of what it costs to learn:
// memberships come with the project, invited groups and administrators don't.
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

// withScope names the scopes for a refusal that is about scopes.
func withScope(v Verdict, scopes ...string) Verdict {
	if v.Reason == ScopeMissing {
		v.Missing = scopes
	}
	return v
}

func unverifiedBy(r Reply) Verdict {
	return Verdict{Outcome: Unverified, Reason: r.Reason, Detail: r.Detail, Wait: r.Wait}
}
