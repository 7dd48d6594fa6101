package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/report"
)

// adviceLife is the longest recommended life of a token (the platform's guide), and maxSkew
// the largest difference of the clocks without a warning.
const (
	adviceLife = 90 * 24 * time.Hour
	maxSkew    = 2 * time.Minute
)

// answers are GitLab's replies, to be reported step by step.
type answers struct {
	*run
	place    place
	question helper.Question
	// problem is why GitLab could not be asked.
	problem error
	client  *gitlab.Client
	// seen and way are how GitLab was reached.
	seen    connEvents
	way     gitlab.Connection
	verdict access.Verdict
	facts   access.Facts
	// result is get's result for it.
	result helper.Result
	// noPush is why git's login for a push is not tested; "" if it is.
	noPush string
}

func (a *answers) close() {
	if a != nil && a.client != nil {
		a.client.Close()
	}
}

// unanswered reports whether GitLab did not answer the first request, about the token.
func unanswered(facts access.Facts) bool {
	first := facts.Self.Reply
	if first.State == access.Absent {
		first = facts.User.Reply // GitLab before 15.5, or no GitLab
	}
	return first.State == access.Silent || first.State == access.Absent
}

// judge reports the steps about GitLab's replies, in the order of the table. A verdict that is
// not good belongs to one step; those before it are good, and those after it are skipped.
func (a *answers) judge() {
	blamed := ""
	if a.verdict.Outcome != access.Granted {
		blamed = blamedStep(a.verdict.Reason, a.facts)
	}
	if a.verdict.Outcome != access.Unverified {
		// What is remembered could contradict what is found now.
		a.Helper.Verifier.Forget(a.place.found.Token)
		a.Helper.Verifier.Forget(a.question.Found.Token)
	}
	failed := false
	for _, step := range table() {
		switch {
		case step.reply == nil, step.name == stepBranch && a.branch == "":
		case step.name == blamed:
			failBlamed(a, blamed)
			failed = true
		case failed && step.name != stepRateLimit:
			a.skip(earlier, step.name)
		default:
			step.reply(a)
		}
	}
}

// failBlamed reports the failed step; for scopes, with those that the token has.
func failBlamed(a *answers, step string) {
	why, self := a.refusal(), a.facts.Self
	if step != stepScopes || self.State != access.Given || self.Granular {
		a.fail(step, why)
		return
	}
	a.failWith(step, scopesData(self.Scopes, a.question.Policy.Scopes), holding(why, self.Scopes))
}

// scopesData compares a token's scopes with the required ones.
func scopesData(held, required []string) ScopesData {
	return ScopesData{Held: held, Required: required, Missing: access.MissingScopes(required, held),
		Implied: access.ImpliedScopes(required, held), TooBroad: access.BroadScopes(held)}
}

// refusal is why git gets no token, with failed attempts to rescue.
func (a *answers) refusal() error {
	return besides(message.Explain(a.verdict, helper.SubjectOf(a.question)), a.result.Messages)
}

// earlier is why steps after a failed one are skipped.
const earlier = "an earlier step failed"

// blamedStep is the step that a verdict that is not good belongs to.
func blamedStep(reason access.Reason, facts access.Facts) string {
	self, user := facts.Self.State, facts.User.State
	switch {
	case self != access.Given && (self != access.Absent || user != access.Given):
		// Nothing is known of the token but this.
		return stepToken
	case facts.Rejected() || strings.HasPrefix(string(reason), "token-"):
		return stepToken
	case reason == access.ScopeMissing || reason == access.GrantMissing:
		return stepScopes
	case facts.Project.State == access.Given:
		return stepAccess
	}
	return stepProject
}

func reportToken(a *answers) {
	if old, now := a.place.found, a.question.Found; old.Source != now.Source {
		a.warn(stepToken, nil, warnMountBehind(old.Where, now.Where))
	}
	self, user := a.facts.Self, a.facts.User
	data := TokenData{ID: self.ID, Name: self.Name, Kind: kindOf(user), Granular: self.Granular,
		User: UserData{ID: a.facts.UserID(), Username: user.Username, Name: user.Name}}
	text := "alive: " + kindWords[data.Kind]
	if self.Granular {
		text += ", fine-grained"
	}
	if self.Name != "" {
		text += ", named " + message.Quote(self.Name)
	}
	if user.Username != "" {
		text += fmt.Sprintf(", of @%s (user %d)", message.Quote(user.Username), data.User.ID)
	} else {
		text += fmt.Sprintf(", of user %d (name unknown)", data.User.ID)
	}
	if !self.CreatedAt.IsZero() {
		data.CreatedAt = self.CreatedAt.UTC().Format(time.RFC3339)
		text += ", created on " + self.CreatedAt.UTC().Format(time.DateOnly)
	}
	if !self.LastUsedAt.IsZero() {
		data.LastUsedAt = self.LastUsedAt.UTC().Format(time.RFC3339)
		text += ", last used on " + self.LastUsedAt.UTC().Format(time.DateOnly)
	} else if self.State == access.Given {
		text += ", not used yet"
	}
	a.good(stepToken, data, "%s; with %s", text, a.question.Found.Token.Form())
}

// The kinds of tokens that are rows of the same table on GitLab.
const (
	kindPersonal = "personal"
	kindProject  = "project"
	kindGroup    = "group"
)

var kindWords = map[string]string{"": "a token", kindPersonal: "a personal access token",
	kindProject: "a project's access token", kindGroup: "a group's access token"}

// kindOf is a token's kind by its user's name, "" if unknown: GitLab creates bots for the
// tokens of projects and groups (its documentation of both).
func kindOf(user access.User) string {
	if user.Username == "" {
		return ""
	}
	for _, kind := range []string{kindProject, kindGroup} {
		rest, found := strings.CutPrefix(user.Username, kind+"_")
		if number, _, bot := strings.Cut(rest, "_bot"); found && bot && number != "" && strings.Trim(number, "0123456789") == "" {
			return kind
		}
	}
	return kindPersonal
}

func reportExpiry(a *answers) {
	self := a.facts.Self
	if self.State != access.Given {
		a.skip("GitLab before 15.5 does not show when a token expires", stepExpiry)
		return
	}
	if self.ExpiresAt.IsZero() {
		a.warn(stepExpiry, ExpiryData{}, message.Expiry(a.verdict, a.Now(), helper.SubjectOf(a.question)))
		return
	}
	left := self.ExpiresAt.Sub(a.Now())
	if left <= 0 {
		a.warn(stepExpiry, ExpiryData{ExpiresAt: self.ExpiresAt.Format(time.DateOnly)}, warnClockPastExpiry(self.ExpiresAt, a.instance))
		return
	}
	days := int(left.Hours() / 24)
	data := ExpiryData{ExpiresAt: self.ExpiresAt.Format(time.DateOnly), DaysLeft: &days}
	if a.verdict.ExpiryWorthTelling(a.Now()) {
		a.warn(stepExpiry, data, message.Expiry(a.verdict, a.Now(), helper.SubjectOf(a.question)))
		return
	}
	step := Step{Name: stepExpiry, Status: report.Good, Data: data,
		Text: fmt.Sprintf("on %s at 00:00 UTC, in %d days", data.ExpiresAt, days)}
	if left > adviceLife {
		step.Hint = "90 days or less is recommended"
	}
	a.report(step)
}

func reportScopes(a *answers) {
	self := a.facts.Self
	switch {
	case self.State != access.Given:
		a.skip("GitLab before 15.5 does not show a token's scopes", stepScopes)
		return
	case self.Granular:
		a.good(stepScopes, ScopesData{Held: self.Scopes}, "a fine-grained token, whose scopes do not apply to git; git is tested below")
		return
	}
	data := scopesData(self.Scopes, a.question.Policy.Scopes)
	if len(data.TooBroad) > 0 {
		a.warn(stepScopes, data, warnScopesTooBroad(data.TooBroad))
		return
	}
	text := list(quoted(self.Scopes))
	if len(data.Implied) > 0 {
		text += "; " + strings.Join(data.Implied, " and ") + " through api"
	}
	a.good(stepScopes, data, "%s", text)
}

func quoted(words []string) []string {
	var out []string
	for _, word := range words {
		out = append(out, message.Quote(word))
	}
	return out
}

func reportProject(a *answers) {
	p, asked := a.facts.Project, a.question.Project
	switch {
	case a.question.Policy.Wiki && (asked == "" || p.State == access.Absent):
		a.skip("a group's wiki has no project", stepProject)
		return
	case asked == "" && a.given && !a.place.atInstance():
		a.fail(stepProject, errURLNoProject())
		return
	case asked == "":
		a.skip(whyNoProject(a.question.Found.Instance, a.Helper.Remotes()), stepProject)
		return
	case a.question.Policy.Minimum == access.NoRole:
		a.skip("the minimum access is none, so the project is not checked", stepProject)
		return
	case p.State != access.Given:
		a.skip("the required scopes don't allow reading projects", stepProject)
		return
	}
	data := ProjectData{ID: p.ID, Path: p.Path, Archived: p.Archived, DeletedOn: p.DeletedOn}
	if moved(p, asked) {
		data.MovedFrom = asked
	}
	warnings := projectWarnings(p, helper.SubjectOf(a.question))
	for _, m := range warnings {
		a.warn(stepProject, data, m)
	}
	if len(warnings) == 0 {
		a.good(stepProject, data, "%s, project %d", message.Quote(asked), p.ID)
	}
}

// moved reports whether GitLab has a project under another path than the requested one.
func moved(p access.Project, asked string) bool {
	return p.Path != "" && !strings.EqualFold(p.Path, asked)
}

// projectWarnings are the warnings about an accessible project.
func projectWarnings(p access.Project, subject message.Subject) (warnings []error) {
	if moved(p, subject.Project) {
		warnings = append(warnings, warnProjectMoved(subject, p.Path))
	}
	if p.DeletedOn != "" {
		warnings = append(warnings, warnProjectDeleted(subject, p.DeletedOn))
	}
	if p.Archived {
		warnings = append(warnings, warnProjectArchived(subject))
	}
	return warnings
}

// whyNoProject is why there is no project to check.
func whyNoProject(i instance.Instance, remotes []string) string {
	var projects []string
	ssh := false
	for _, remote := range remotes {
		p, _ := i.ProjectOf(remote)
		if p != "" && !slices.ContainsFunc(projects, func(other string) bool { return strings.EqualFold(other, message.Quote(p)) }) {
			projects = append(projects, message.Quote(p))
		}
		host, _, found := sshAddress(remote)
		ssh = ssh || found && strings.EqualFold(host, hostOf(i))
	}
	switch {
	case len(projects) > 0:
		return "the remotes here belong to several projects, " + list(projects) + ": give the URL of one"
	case ssh:
		return "the remotes here use SSH, which needs no token: give the https URL, or run git-credential-acp setup --rewrite-ssh"
	}
	return "the project is unknown: give a repository's URL, or run check in a clone from " + i.String()
}

func reportAccess(a *answers) {
	if a.facts.Project.State != access.Given {
		a.skip(noProject, stepAccess)
		return
	}
	data, how := roleOf(a.facts, a.question.Policy.Minimum)
	if data.Role == "" {
		a.good(stepAccess, data, "an administrator of %s", a.instance)
		return
	}
	a.good(stepAccess, data, "%s, %s", data.Role, how)
}

// roleOf is the user's role on a project, and a description of its origin.
func roleOf(f access.Facts, minimum int) (data AccessData, how string) {
	p := f.Project
	data = AccessData{Level: max(p.Level, f.Member.Level), Minimum: minimum}
	switch {
	case data.Level < data.Minimum:
		data.From = "administrator"
		return data, ""
	case p.Level < data.Level:
		data.From, how = "invited-group", "through a group that was invited"
	case p.Direct == data.Level:
		data.From, how = "project", "as a member of the project itself"
	default:
		data.From, how = "group", "as a member of its group, or of one above"
	}
	data.Role = access.LevelName(data.Level)
	return data, how
}

// noProject is why a step about a project is skipped.
const noProject = "no project was checked"

func reportBranch(a *answers) {
	if a.facts.Project.State != access.Given {
		a.warn(stepBranch, nil, warnBranchUnseen(a.branch))
		return
	}
	ctx, cancel := a.limited()
	defer cancel()
	b := a.client.Branch(ctx, a.facts.Project.ID, a.branch)
	data := BranchData{Name: a.branch, Exists: true, Protected: b.Protected, CanPush: b.CanPush}
	switch {
	case b.State == access.Absent:
		a.good(stepBranch, BranchData{Name: a.branch}, "the branch %s does not exist yet; a push creates it unless the name is protected", message.Quote(a.branch))
	case b.State != access.Given:
		a.fail(stepBranch, a.explain(b.Reply, access.Developer))
	case !b.CanPush:
		a.failWith(stepBranch, data, errBranchProtected(a.branch, helper.SubjectOf(a.question)))
	case b.Protected:
		a.good(stepBranch, data, "%s is protected, but this role may push to it", message.Quote(a.branch))
	default:
		a.good(stepBranch, data, "this role may push to %s", message.Quote(a.branch))
	}
}

// explain is the message for a reply without an answer, to a request that needs at least the
// level minimum.
func (a *answers) explain(reply access.Reply, minimum int) error {
	v := access.Verdict{Outcome: access.Refused, Reason: reply.Reason, Detail: reply.Detail, Wait: reply.Wait, Minimum: minimum}
	if reply.State == access.Silent {
		v.Outcome = access.Unverified
	}
	if reply.Reason == access.Timeout {
		v.Detail = a.Limit.String()
	}
	return message.Explain(v, helper.SubjectOf(a.question))
}

func reportRate(a *answers) {
	switch rate := a.facts.Rate; {
	case rate.Limit == 0:
		a.skip("GitLab does not show it", stepRateLimit)
	case rate.Low():
		a.warn(stepRateLimit, rateData(rate), warnRateLow(rate.Remaining, rate.Limit, rate.Reset))
	default:
		a.good(stepRateLimit, rateData(rate), "%d of %d requests left until %s", rate.Remaining, rate.Limit, rate.Reset.UTC().Format("15:04:05 UTC"))
	}
}

func rateData(rate access.Rate) RateData {
	return RateData{Limit: rate.Limit, Remaining: rate.Remaining, ResetAt: rate.Reset.UTC().Format(time.RFC3339)}
}
