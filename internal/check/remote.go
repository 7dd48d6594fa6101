package check

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/secret"
)

// adviceLife is how long a token's life may be before a shorter one is advised
// (the platform's guide), and maxSkew how far two clocks may be apart before it
// is worth a word: a token's last minutes, and a certificate's first.
const (
	adviceLife = 90 * 24 * time.Hour
	maxSkew    = 2 * time.Minute
)

// remote makes the steps that ask GitLab, up to git's own answer.
func (r *run) remote(p place, q helper.Question) {
	i := p.found.Instance
	r.good(stepInstance, InstanceData{URL: i.URL()}, "%s%s", i.URL(), origin(i, p.found.Belongs))
	client, problem := r.Connect(q)
	if problem != nil {
		r.fail(stepTLS, problem)
		r.skip("GitLab can't be asked", after(stepTLS)...)
		return
	}
	defer client.Close()
	trip := &journey{}
	ctx, cancel := r.limited()
	defer cancel()
	verdict, facts := client.Check(trip.watch(ctx), q.Project, q.Policy, access.Facts{})
	if facts.Self.State == access.Given && !facts.Rejected() && facts.User.State == access.Unasked {
		facts.User = client.User(ctx)
	}
	a := &answers{run: r, client: client, place: p, question: q, verdict: verdict, facts: facts}
	if r.way(trip, client, a) {
		a.judge()
	}
}

// origin says what named an instance.
func origin(i instance.Instance, belongs string) string {
	if belongs == "" {
		return ""
	}
	if i.URL() == secret.DefaultInstanceURL {
		return ", since " + belongs + " names no other"
	}
	return ", named by " + belongs
}

// way reports how GitLab was reached, and whether it was.
func (r *run) way(trip *journey, client *gitlab.Client, a *answers) bool {
	failed := ""
	if v := a.verdict; v.Outcome == access.Unverified && a.first().State == access.Silent {
		failed = stepOf(v.Reason)
	}
	proxy := client.ProxyHost()
	i := a.place.found.Instance
	for _, step := range []string{stepProxy, stepDNS, stepTCP, stepTLS, stepAPI} {
		if step == failed {
			m := message.Explain(a.verdict, helper.SubjectOf(a.question))
			if signer := trip.signer(); step == stepTLS && signer != "" {
				m.What += " (signed by " + message.Quote(signer) + ")"
			}
			r.fail(step, m)
			r.skip("GitLab can't be asked", after(step)...)
			return false
		}
		trip.tell(r, step, proxy, i)
	}
	ahead, known := client.ClockAhead()
	switch {
	case !known:
		r.skip("GitLab's answers have no date", stepClock)
	case ahead.Abs() > maxSkew:
		r.warn(stepClock, ClockData{AheadSeconds: int(ahead.Seconds())}, message.ClockSkew(ahead, i.String()))
	default:
		r.good(stepClock, ClockData{AheadSeconds: int(ahead.Seconds())}, "the clock here agrees with GitLab's")
	}
	return true
}

// stepOf is the step that fails for a reason why nothing was learned.
func stepOf(reason access.Reason) string {
	switch reason {
	case access.NameUnknown:
		return stepDNS
	case access.ProxyFailed:
		return stepProxy
	case access.Unreachable:
		return stepTCP
	}
	if strings.HasPrefix(string(reason), "tls-") {
		return stepTLS
	}
	return stepAPI
}

// answers are what GitLab said, to be told step by step.
type answers struct {
	*run
	client   *gitlab.Client
	place    place
	question helper.Question
	verdict  access.Verdict
	facts    access.Facts
}

// first is the answer to the question with which every check begins.
func (a *answers) first() access.Reply {
	if a.facts.Self.State == access.Absent {
		return a.facts.User.Reply
	}
	return a.facts.Self.Reply
}

// judge tells what GitLab's answers mean. A verdict that is not good belongs to
// one step; those before it are good, and those after it can't be made.
func (a *answers) judge() {
	bad := ""
	if a.verdict.Outcome != access.Granted {
		bad = a.blamed()
	}
	for _, step := range []struct {
		name string
		tell func()
	}{
		{stepToken, a.token}, {stepExpiry, a.expiry}, {stepScopes, a.scopes}, {stepProject, a.project}, {stepAccess, a.access},
	} {
		if step.name == bad {
			a.fail(bad, message.Explain(a.verdict, helper.SubjectOf(a.question)))
			a.skip("an earlier step failed", slices.DeleteFunc(after(bad), func(s string) bool { return s == stepRateLimit })...)
			a.rate()
			return
		}
		step.tell()
	}
	// A refusal that is still remembered would contradict what is found now.
	a.Helper.Forget(a.found.Token)
	a.branchStep()
	a.rate()
	a.git()
}

// blamed is the step that a verdict that is not good belongs to.
func (a *answers) blamed() string {
	switch reason := a.verdict.Reason; {
	case a.facts.Rejected() || strings.HasPrefix(string(reason), "token-"):
		return stepToken
	case reason == access.ScopeMissing || reason == access.GrantMissing:
		return stepScopes
	case reason == access.LevelTooLow:
		return stepAccess
	case a.facts.Project.State == access.Given:
		return stepAccess
	case a.facts.Project.State != access.Unasked:
		return stepProject
	}
	return stepToken
}

func (a *answers) token() {
	self, user := a.facts.Self, a.facts.User
	data := TokenData{ID: self.ID, UserID: a.facts.UserID(), Name: self.Name, Username: user.Username, UserName: user.Name, Granular: self.Granular}
	text := "alive"
	if self.Name != "" {
		text += ", a token named " + message.Quote(self.Name)
	}
	if user.Username != "" {
		text += " of @" + message.Quote(user.Username) + fmt.Sprintf(" (user %d%s)", data.UserID, bot(user.Username))
	}
	if !self.CreatedAt.IsZero() {
		data.CreatedAt = self.CreatedAt.UTC().Format(time.RFC3339)
		text += ", made on " + self.CreatedAt.UTC().Format(time.DateOnly)
	}
	if !self.LastUsedAt.IsZero() {
		data.LastUsedAt = self.LastUsedAt.UTC().Format(time.RFC3339)
		text += ", last used on " + self.LastUsedAt.UTC().Format(time.DateOnly)
	}
	text += "; " + a.found.Token.Form()
	a.good(stepToken, data, "%s", text)
}

// bot says what kind of account a user name stands for: GitLab makes bots for
// project and group access tokens (its documentation of both).
func bot(username string) string {
	for _, kind := range []string{"project", "group"} {
		rest, found := strings.CutPrefix(username, kind+"_")
		if number, _, bot := strings.Cut(rest, "_bot"); found && bot && number != "" && strings.Trim(number, "0123456789") == "" {
			return ", the bot of a " + kind + " access token"
		}
	}
	return ""
}

func (a *answers) expiry() {
	self := a.facts.Self
	if self.State != access.Given {
		a.skip("GitLab before 15.5 does not tell when a token expires", stepExpiry)
		return
	}
	if self.ExpiresAt.IsZero() {
		a.warn(stepExpiry, ExpiryData{}, message.Expiry(a.verdict, a.Now(), helper.SubjectOf(a.question)))
		return
	}
	left := self.ExpiresAt.Sub(a.Now())
	days := int(left.Hours() / 24)
	data := ExpiryData{ExpiresAt: self.ExpiresAt.Format(time.DateOnly), DaysLeft: &days}
	if a.verdict.ExpiryWorthTelling(a.Now()) {
		a.warn(stepExpiry, data, message.Expiry(a.verdict, a.Now(), helper.SubjectOf(a.question)))
		return
	}
	step := Step{Name: stepExpiry, Status: Good, Data: data,
		Text: fmt.Sprintf("on %s at 00:00 UTC, in %d days", data.ExpiresAt, days)}
	if left > adviceLife {
		step.Hint = "a shorter life is advised: 90 days or less"
	}
	a.report(step)
}

func (a *answers) scopes() {
	self := a.facts.Self
	switch {
	case self.State != access.Given:
		a.skip("GitLab before 15.5 does not tell a token's scopes", stepScopes)
		return
	case self.Granular:
		a.good(stepScopes, ScopesData{Held: self.Scopes}, "a fine-grained token, whose scopes say nothing about git; git is asked below")
		return
	}
	required := a.question.Policy.Scopes
	data := ScopesData{Held: self.Scopes, Required: required,
		Implied: access.ImpliedScopes(required, self.Scopes), TooBroad: access.BroadScopes(self.Scopes)}
	if len(data.TooBroad) > 0 {
		a.warn(stepScopes, data, message.ScopesTooBroad(data.TooBroad))
		return
	}
	text := strings.Join(quoted(self.Scopes), ", ")
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

func (a *answers) project() {
	p, asked := a.facts.Project, a.question.Project
	switch {
	case asked == "":
		a.skip("no project is known: name a repository's URL, or run this in a clone with one project among its remotes", stepProject)
		return
	case p.State != access.Given:
		a.skip("the scopes that are asked for don't include reading projects", stepProject)
		return
	}
	subject := helper.SubjectOf(a.question)
	data := ProjectData{ID: p.ID, Path: p.Path, Archived: p.Archived, DeletedOn: p.DeletedOn}
	told := false
	if p.Path != "" && !strings.EqualFold(p.Path, asked) {
		data.MovedFrom = asked
		a.warn(stepProject, data, message.ProjectMoved(subject, p.Path))
		told = true
	}
	if p.DeletedOn != "" {
		a.warn(stepProject, data, message.ProjectDeleted(subject, p.DeletedOn))
		told = true
	}
	if p.Archived {
		a.warn(stepProject, data, message.ProjectArchived(subject))
		told = true
	}
	if !told {
		a.good(stepProject, data, "%s, project %d", message.Quote(asked), p.ID)
	}
}

func (a *answers) access() {
	p, member := a.facts.Project, a.facts.Member
	if p.State != access.Given {
		a.skip("no project was looked at", stepAccess)
		return
	}
	data := AccessData{Level: max(p.Level, member.Level), Minimum: a.question.Policy.Minimum}
	switch {
	case data.Level < data.Minimum:
		data.From = "administrator"
		a.good(stepAccess, data, "an administrator of %s", a.place.found.Instance.String())
		return
	case p.Level < data.Level:
		data.From = "invited group"
	case p.Direct == data.Level:
		data.From = "project"
	default:
		data.From = "group"
	}
	data.Role = access.LevelName(data.Level)
	from := map[string]string{"project": "a member of the project itself", "group": "a member of its group", "invited group": "through a group that was invited"}
	a.good(stepAccess, data, "%s, as %s", data.Role, from[data.From])
}

func (a *answers) branchStep() {
	if a.branch == "" {
		return
	}
	if a.facts.Project.State != access.Given {
		a.skip("no project was looked at", stepBranch)
		return
	}
	ctx, cancel := a.limited()
	defer cancel()
	b := a.client.Branch(ctx, a.facts.Project.ID, a.branch)
	data := BranchData{Name: a.branch, Protected: b.Protected, CanPush: b.CanPush}
	switch {
	case b.State == access.Absent:
		a.good(stepBranch, BranchData{Name: a.branch}, "there is no branch %s yet; a push would make it", message.Quote(a.branch))
	case b.State != access.Given:
		a.fail(stepBranch, a.explain(b.Reply))
	case !b.CanPush:
		a.failWith(stepBranch, data, message.BranchProtected(a.branch, helper.SubjectOf(a.question)))
	case b.Protected:
		a.good(stepBranch, data, "%s is protected, and can be pushed to with this role", message.Quote(a.branch))
	default:
		a.good(stepBranch, data, "%s can be pushed to", message.Quote(a.branch))
	}
}

// explain gives the words for an answer that is not the one that was wanted.
func (a *answers) explain(reply access.Reply) *message.Message {
	v := access.Verdict{Outcome: access.Refused, Reason: reply.Reason, Detail: reply.Detail, Wait: reply.Wait}
	if reply.State == access.Silent {
		v.Outcome = access.Unverified
	}
	return message.Explain(v, helper.SubjectOf(a.question))
}

func (a *answers) rate() {
	rate := a.facts.Rate
	switch {
	case rate.Limit == 0:
		a.skip("GitLab does not tell", stepRateLimit)
	case rate.Low():
		a.warn(stepRateLimit, rateData(rate), message.RateLow(rate.Remaining, rate.Limit, rate.Reset))
	default:
		a.good(stepRateLimit, rateData(rate), "%d of %d requests left until %s", rate.Remaining, rate.Limit, rate.Reset.UTC().Format("15:04:05 UTC"))
	}
}

func rateData(rate access.Rate) RateData {
	return RateData{Limit: rate.Limit, Remaining: rate.Remaining, ResetAt: rate.Reset.UTC().Format(time.RFC3339)}
}

// git asks git itself, with what get would answer. A login that git refuses
// counts for GitLab's ban, so it is made once.
func (a *answers) git() {
	if a.question.Project == "" {
		a.skip("no project is known", stepFetch, stepPush)
		return
	}
	username, password, problem := a.credential()
	if problem != nil {
		a.fail(stepFetch, problem)
		a.skip("there is no credential", stepPush)
		return
	}
	for _, ask := range []struct {
		step    string
		service gitlab.Service
		verb    string
	}{{stepFetch, gitlab.Fetch, "fetch"}, {stepPush, gitlab.Push, "push"}} {
		ctx, cancel := a.limited()
		refs := a.client.Refs(ctx, a.question.Project+".git", ask.service, username, password)
		cancel()
		switch {
		case refs.State == access.Given:
			a.good(ask.step, RefsData{Refs: refs.Count}, "git lets a %s begin (%s)", ask.verb, count(refs.Count, "ref"))
		case refs.Reason == access.GitArchived:
			a.warn(ask.step, nil, a.explain(refs.Reply))
		default:
			a.fail(ask.step, a.explain(refs.Reply))
			if ask.service == gitlab.Fetch {
				a.skip("a fetch is refused already", stepPush)
				return
			}
		}
	}
}

// credential is what get answers for the token that was checked.
func (a *answers) credential() (username, password string, problem *message.Message) {
	h := a.Helper
	h.Verify = func(context.Context, helper.Question) helper.Finding { return helper.Finding{Verdict: a.verdict} }
	request := a.place.request
	asked, err := credential.Marshal([]credential.Attribute{
		{Key: "protocol", Value: request.Protocol}, {Key: "host", Value: request.Host}, {Key: "path", Value: request.Path}})
	if err != nil {
		return "", "", message.MalformedRequest(err)
	}
	result := h.Get(a.ctx, bytes.NewReader(asked))
	if result.Outcome != helper.Answered {
		if len(result.Messages) == 0 {
			return "", "", message.NoAnswer()
		}
		return "", "", result.Messages[0]
	}
	attributes, err := credential.Read(bytes.NewReader(result.Answer))
	if err != nil {
		return "", "", message.NoAnswer()
	}
	for _, attribute := range attributes {
		switch attribute.Key {
		case "username":
			username = attribute.Value
		case "password":
			password = attribute.Value
		}
	}
	return username, password, nil
}
