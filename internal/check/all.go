package check

import (
	"cmp"
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
	"github.com/ambient-code/git-credential-acp/internal/source"
)

// Passed is the outcome for a repository without a token here.
const Passed Outcome = "skipped"

// All is what RunAll found. docs/check-all.schema.json describes its JSON form.
type All struct {
	Result
	// Tokens are those that were checked, and Repositories are in the given order, without
	// duplicates.
	Tokens       []TokenRow
	Repositories []RepositoryRow
}

// TokenRow is the result for a token.
type TokenRow struct {
	Instance  string   `json:"instance"`
	Source    string   `json:"source"`
	Where     string   `json:"where"`
	Outcome   Outcome  `json:"outcome"`
	User      UserData `json:"user"`
	ExpiresAt string   `json:"expiresAt,omitempty"`
	// Warnings don't change the outcome; Reason is why it is not good.
	Warnings []error `json:"-"`
	Reason   error   `json:"-"`
}

// RepositoryRow is whether a repository can be used.
type RepositoryRow struct {
	// Name is the host with the path, without a login.
	Name     string      `json:"name"`
	Instance string      `json:"instance,omitempty"`
	Project  string      `json:"project,omitempty"`
	Outcome  Outcome     `json:"outcome"`
	Access   *AccessData `json:"access,omitempty"`
	// Proxy is the proxy of serve that git uses instead of a token here, "" for none.
	Proxy string `json:"-"`
	// Warnings don't change the outcome; Reason is why it is not good.
	Warnings []error `json:"-"`
	Reason   error   `json:"-"`
}

// tokenCheck is a token that was checked.
type tokenCheck struct {
	question helper.Question
	client   *gitlab.Client
	// problem is why GitLab can't be asked.
	problem error
	facts   access.Facts
	// dead is the verdict for a token that GitLab rejects for every request, and late the
	// one after a timeout, which is not waited for again.
	dead, late *access.Verdict
}

// all is a running check of several repositories.
type all struct {
	*run
	found  All
	tokens []*tokenCheck
	// seen are the checked repositories.
	seen []string
}

// RunAll checks several repositories, by their URLs, on GitLab: each token and each project
// once. It skips the other steps.
func (c Check) RunAll(ctx context.Context, urls []string) All {
	c.Helper.Source = &once{Source: c.Helper.Source, all: true}
	a := &all{run: c.start(ctx, true)}
	for n, url := range urls {
		if ctx.Err() != nil {
			a.add(RepositoryRow{Name: repositoryName(url, n), Outcome: Unverified, Reason: errCheckInterrupted()})
			continue
		}
		a.repository(url, n)
	}
	for _, t := range a.tokens {
		a.token(t)
	}
	return a.conclude()
}

// repository checks the nth repository.
func (a *all) repository(url string, n int) {
	if target, problem := ParseTarget(url); problem == nil {
		if request, behind := a.beyond(target.Request); behind {
			url = place{request: request}.url()
		}
	}
	w, proxied := a.through(strings.TrimSuffix(url, "/"))
	if to, _, rewritten := a.config.Rewritten(url, false); rewritten && !proxied {
		url = to // as git clone would
	}
	row := RepositoryRow{Name: repositoryName(url, n)}
	target, problem := ParseTarget(url)
	request := target.Request
	if problem != nil {
		request.Protocol = "https"
		request.Host, request.Path, _ = strings.Cut(hostPath(url), "/")
	}
	var found *source.Found
	var result helper.Result
	if request.Host != "" {
		found, result = a.Helper.Find(a.ctx, request)
	}
	switch {
	case found == nil && proxied:
		row.Outcome, row.Proxy = Passed, w.proxy
	case found == nil && request.Host != "" && a.foreign(request, result):
		row.Outcome = Passed
	case problem != nil:
		row.refuse(problem)
	case found == nil:
		row.refuse(a.tokenless(request, result))
	default:
		a.ours(place{found: *found, request: request}, &row)
	}
	if key := row.key(); !slices.Contains(a.seen, key) {
		a.seen = append(a.seen, key)
		a.add(row)
	}
}

// key is equal for all URLs of a repository with the same problem.
func (row RepositoryRow) key() string {
	if row.Project != "" {
		return strings.ToLower(row.Instance + "/" + row.Project)
	}
	if row.Reason != nil {
		return row.Name + " " + message.As(row.Reason).Code
	}
	return strings.ToLower(row.Name)
}

// foreign reports whether a request without a token is for a host without tokens. Without any
// token and a known instance, all hosts but those of other forges may be the user's GitLab.
func (a *all) foreign(request credential.Request, result helper.Result) bool {
	return instance.OtherForge(request.Host) || message.Foreign(a.tokenless(request, result))
}

// ours checks a repository on the instance of a token.
func (a *all) ours(p place, row *RepositoryRow) {
	i := p.found.Instance
	row.Instance = i.String()
	a.result.redact = append(a.result.redact, p.found.Token.Redact)
	question, _, problem := a.Helper.Question(p.request, p.found)
	row.Project = question.Project
	switch {
	case cmp.Or(p.found.Problem, problem) != nil:
		row.refuse(a.unconnected(cmp.Or(p.found.Problem, problem)))
		return
	case question.Project == "" && !question.Policy.Wiki:
		row.refuse(errURLNoProject())
		return
	case slices.Contains(a.seen, row.key()):
		return
	}
	username := a.config.Credential(p.url()).Username
	if instance.OtherCredential(username) {
		row.refuse(errOtherUsername(message.Quote(username)))
		return
	}
	var last helper.Finding
	var of helper.Question
	made := false
	result := a.get(p, username, func(ctx context.Context, q helper.Question) helper.Finding {
		last, of, made = a.verify(ctx, q), q, true
		return last
	})
	switch {
	case !made && len(result.Messages) > 0:
		row.refuse(result.Messages[len(result.Messages)-1])
	case !made:
		row.refuse(errNoAnswer())
	case last.Problem != nil:
		row.refuse(last.Problem)
	case last.Verdict.Outcome != access.Granted:
		if last.Verdict.Reason == access.LevelTooLow && last.Verdict.Level > access.NoRole {
			role, _ := roleOf(last.Facts, access.NoRole)
			role.Minimum = of.Policy.Minimum
			row.Access = &role
		}
		row.refuse(besides(message.Explain(last.Verdict, helper.SubjectOf(of)), result.Messages))
	default:
		row.Outcome = AllGood
		for _, note := range result.Messages {
			if message.As(note).Topic == message.Warning {
				row.Warnings = append(row.Warnings, note)
			}
		}
		if last.Facts.Project.State == access.Given {
			role, _ := roleOf(last.Facts, of.Policy.Minimum)
			row.Access = &role
			row.Warnings = append(row.Warnings, projectWarnings(last.Facts.Project, helper.SubjectOf(of))...)
		}
	}
}

// verify asks GitLab about a project, and about the token unless done before.
func (a *all) verify(ctx context.Context, q helper.Question) helper.Finding {
	t := a.tokenOf(q)
	if t.problem != nil {
		return helper.Finding{Problem: t.problem}
	}
	known := q.Known
	known.Self, known.User = t.facts.Self, t.facts.User
	if known.Self.State != access.Unasked {
		if verdict := a.judge(t, q.Policy); verdict.Outcome != access.Granted {
			return helper.Finding{Verdict: verdict, Facts: known}
		}
		if t.late != nil && q.Policy.Project {
			return helper.Finding{Verdict: *t.late, Facts: known}
		}
	}
	verdict, facts := a.inquire(ctx, t.client, nil, q, known)
	t.facts = facts
	switch {
	case facts.Rejected():
		t.dead = &verdict
	case verdict.Reason == access.Timeout || verdict.Reason == access.RateLimited:
		t.late = &verdict
	}
	if verdict.Outcome != access.Unverified {
		// Cached verdicts could contradict the new one.
		a.Helper.Verifier.Forget(q.Found.Token)
	}
	return helper.Finding{Verdict: verdict, Facts: facts}
}

// tokenOf is the state of a question's token.
func (a *all) tokenOf(q helper.Question) *tokenCheck {
	for _, t := range a.tokens {
		if t.question.Found.Token.Reveal() == q.Found.Token.Reveal() && t.question.Found.Instance == q.Found.Instance {
			return t
		}
	}
	a.result.redact = append(a.result.redact, q.Found.Token.Redact)
	t := &tokenCheck{question: q}
	t.client, t.problem = a.Connect(q)
	a.tokens = append(a.tokens, t)
	return t
}

// judge is the verdict for a token without a project.
func (a *all) judge(t *tokenCheck, policy access.Policy) access.Verdict {
	if t.dead != nil {
		return *t.dead
	}
	policy.Project = false
	verdict, _ := policy.Judge(access.Facts{Self: t.facts.Self, User: t.facts.User}, a.Now())
	if verdict.Reason == access.Timeout {
		verdict.Detail = a.Limit.String()
	}
	return verdict
}

// token adds the row of a token.
func (a *all) token(t *tokenCheck) {
	found, subject := t.question.Found, helper.SubjectOf(t.question)
	self, user := t.facts.Self, t.facts.User
	row := TokenRow{Instance: found.Instance.String(), Source: string(found.Source), Where: found.Where, Outcome: AllGood,
		User: UserData{ID: t.facts.UserID(), Username: user.Username, Name: user.Name}}
	if !self.ExpiresAt.IsZero() {
		row.ExpiresAt = self.ExpiresAt.Format(time.DateOnly)
	}
	if t.problem != nil {
		row.Outcome, row.Reason = outcomeOf(t.problem), t.problem
	} else {
		t.client.Close()
		switch verdict := a.judge(t, t.question.Policy); {
		case verdict.Outcome != access.Granted:
			row.Reason = message.Explain(verdict, subject)
			row.Outcome = outcomeOf(row.Reason)
		case self.State == access.Given && verdict.ExpiryWorthTelling(a.Now()):
			row.Warnings = append(row.Warnings, message.Expiry(verdict, a.Now(), subject))
		}
	}
	a.found.Tokens = append(a.found.Tokens, row)
}

func (a *all) add(row RepositoryRow) {
	row.Name = a.result.Redact(row.Name)
	a.found.Repositories = append(a.found.Repositories, row)
}

func (row *RepositoryRow) refuse(why error) { row.Outcome, row.Reason = outcomeOf(why), why }

// outcomeOf is the outcome for a problem.
func outcomeOf(problem error) Outcome {
	if message.Unverified(problem) {
		return Unverified
	}
	return Refused
}

// conclude sets the outcome: definite failures come before unverified ones.
func (a *all) conclude() All {
	a.result.Outcome = AllGood
	for _, row := range a.found.Repositories {
		a.result.Warnings += len(row.Warnings)
		if row.Outcome != Refused && row.Outcome != Unverified {
			continue
		}
		a.result.Failures++
		if a.result.Outcome == AllGood || a.result.Outcome == Unverified && row.Outcome == Refused {
			a.result.Outcome, a.result.Reason = row.Outcome, row.Reason
		}
	}
	for _, row := range a.found.Tokens {
		a.result.Warnings += len(row.Warnings)
	}
	a.found.Result = a.result
	return a.found
}

// repositoryName is the nth repository's name in output, by its URL.
func repositoryName(url string, n int) string {
	name := strings.TrimSuffix(strings.Trim(hostPath(url), "/"), ".git")
	if name == "" {
		return fmt.Sprintf("repository %d", n+1)
	}
	return message.Quote(name)
}

// hostPath is an address's host and path, without a login, query or fragment; "" if unknown.
func hostPath(raw string) string {
	if host, path, ssh := sshAddress(raw); ssh {
		return host + "/" + strings.TrimPrefix(path, "/")
	}
	_, rest, found := strings.Cut(raw, "://")
	if !found {
		return ""
	}
	if end := strings.IndexAny(rest, "?#"); end >= 0 {
		rest = rest[:end]
	}
	host, path, _ := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(path, '@'); at >= 0 {
		return "" // part of a login with a slash in it, perhaps
	}
	return host[strings.LastIndexByte(host, '@')+1:] + "/" + path
}
