// Package check goes through everything that stands between git and a push, in
// order, and reports each step as it is made: where the token comes from, how
// the instance is reached, what GitLab says of the token and the project, what
// git itself says, and how git is set up on this machine.
//
// It decides nothing of its own: whether a request is ours, which token counts
// and what GitLab's answers mean is found by the parts that answer git.
package check

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/secret"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// Status is how a step ended.
type Status string

// The statuses. A step is skipped when it can't be made because an earlier one
// failed, or when there is nothing to look at.
const (
	Good    Status = "good"
	Warning Status = "warning"
	Failed  Status = "failed"
	Skipped Status = "skipped"
)

// Step is one thing that was looked at. docs/check.schema.json describes its
// JSON form.
type Step struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	// Text says what was found, Hint what to do about it.
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
	// Code is the message's, for what is wrong; docs/troubleshooting.md has an
	// entry for it.
	Code string `json:"code,omitempty"`
	// Instance is the one that the step is about, as people name it.
	Instance string `json:"instance,omitempty"`
	// Data is what was found, for programs: one of the …Data types, or nil.
	Data any `json:"data,omitempty"`
}

// Outcome is how a check ended, in the words of its JSON form.
type Outcome string

// The outcomes: all is well, perhaps with warnings; something is wrong;
// something that decides could not be learned.
const (
	AllGood    Outcome = "good"
	Refused    Outcome = "refused"
	Unverified Outcome = "unverified"
)

// Result is a check's end.
type Result struct {
	Outcome Outcome
	// Reason is the first thing that is wrong; nil when nothing is.
	Reason *message.Message
	// Failures and Warnings are how many there were.
	Failures, Warnings int

	tokens []token.Token
}

// Redact takes what is known of the tokens that were checked out of a text.
func (r Result) Redact(text string) string {
	for _, t := range r.tokens {
		text = t.Redact(text)
	}
	return text
}

// Check has what it takes. All fields must be set unless noted.
type Check struct {
	// Helper is what answers git. Its Verify is not used: GitLab is asked
	// afresh.
	Helper helper.Helper
	// Connect makes a client for the instance of a question's token.
	Connect func(helper.Question) (*gitlab.Client, *message.Message)
	// TokenOnly leaves out what is not about the token: how git is set up here.
	TokenOnly bool
	// Limit bounds each question, with its retries.
	Limit time.Duration
	// Config reads git's configuration where the check runs.
	Config func() gitconfig.Config
	// VerifyOff names the setting by which git verifies no certificate at a URL,
	// "" when there is none.
	VerifyOff func(url string) string
	// Output runs a program and gives the first line that it prints; false when
	// there is no such program, or it does not answer.
	Output func(ctx context.Context, program string, args ...string) (string, bool)
	// Mounts is the content of /proc/self/mountinfo, "" where there is none.
	Mounts func() string
	// Report is told of each step as it is made.
	Report func(Step)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Target is what to check.
type Target struct {
	// Request is what git would ask for. Without a host, there is no URL: all
	// tokens are checked, and the project of the repository that the check is
	// run in.
	Request credential.Request
	// Branch is a branch that should be pushed to, "" for none.
	Branch string
}

// ParseTarget reads a repository's URL, as git or a browser has it.
func ParseTarget(raw string) (Target, *message.Message) {
	scheme, rest, found := strings.Cut(raw, "://")
	switch scheme = strings.ToLower(scheme); {
	case !found && scp(raw), scheme == "ssh" || scheme == "git+ssh":
		return Target{}, message.URLIsSSH(httpsForm(raw))
	case !found || scheme != "https" && scheme != "http":
		return Target{}, message.URLInvalid("does not begin with https://")
	}
	authority, path, _ := strings.Cut(rest, "/")
	switch {
	case strings.Contains(authority, "@"):
		return Target{}, message.URLHasUser()
	case authority == "" || strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return Target{}, message.URLInvalid("has no host, or a character that no URL has")
	}
	if _, err := url.Parse(raw); err != nil {
		return Target{}, message.URLInvalid("can't be read as a URL")
	}
	path, _, _ = strings.Cut(path, "#")
	path, _, _ = strings.Cut(path, "?")
	return Target{Request: credential.Request{Protocol: scheme, Host: authority, Path: strings.TrimSuffix(path, "/")}}, nil
}

// scp reports whether text is git's short form of an SSH address, host:path.
func scp(text string) bool {
	host, path, found := strings.Cut(text, ":")
	return found && path != "" && host != "" && !strings.ContainsAny(host, `/\`)
}

// httpsForm is the https address for one of SSH, "" when it can't be told.
func httpsForm(raw string) string {
	if _, rest, found := strings.Cut(raw, "://"); found {
		raw = strings.Replace(rest, "/", ":", 1)
	}
	host, path, _ := strings.Cut(raw, ":")
	if _, name, found := strings.Cut(host, "@"); found {
		host = name
	}
	i, err := instance.Parse("https://"+host, false)
	if err != nil {
		return ""
	}
	project, err := i.Project(strings.TrimPrefix(path, "/"))
	if err != nil || project == "" {
		return ""
	}
	return i.URL() + "/" + project + ".git"
}

// Run makes the check. The context bounds all of it.
func (c Check) Run(ctx context.Context, target Target) Result {
	if c.Now == nil {
		c.Now = time.Now
	}
	r := &run{Check: c, ctx: ctx, branch: target.Branch}
	for _, t := range r.targets(target.Request) {
		r.check(t)
	}
	switch {
	case r.result.Reason == nil:
		r.result.Outcome = AllGood
	case r.result.Reason.Unverified():
		r.result.Outcome = Unverified
	default:
		r.result.Outcome = Refused
	}
	return r.result
}

// run is one check under way.
type run struct {
	Check
	ctx    context.Context
	branch string
	result Result

	// found is the token that is being checked.
	found secret.Found
}

// place is a token to check, for a request.
type place struct {
	found   secret.Found
	request credential.Request
}

// targets finds which tokens to check. What is wrong with that is a step of its
// own.
func (r *run) targets(request credential.Request) []place {
	known, wrong := r.Helper.Known()
	if request.Host == "" && known != nil {
		request = requestFor(*known)
	}
	places, looked, problem := r.Helper.Secrets(r.ctx, request)
	switch {
	case problem != nil:
		r.fail(stepSource, problem)
		return nil
	case wrong != nil:
		r.fail(stepSource, wrong)
		return nil
	case request.Host == "" && len(places) == 0:
		r.fail(stepSource, message.NoToken(looked))
		return nil
	case request.Host == "":
		var all []place
		for _, found := range places {
			all = append(all, place{found: found, request: requestFor(found.Instance)})
		}
		return all
	}
	found, result := r.Helper.Find(r.ctx, request)
	switch {
	case found != nil:
		return []place{{found: *found, request: request}}
	case len(result.Messages) > 0:
		r.fail(stepSource, result.Messages[0])
	default:
		var have []string
		for _, found := range places {
			have = append(have, found.Instance.String())
		}
		if known != nil {
			have = []string{known.String()}
		}
		r.fail(stepSource, message.URLForeign(request.Host, have))
	}
	return nil
}

// requestFor is what git asks for without credential.useHttpPath.
func requestFor(i instance.Instance) credential.Request {
	protocol, host, _ := strings.Cut(i.Origin(), "://")
	return credential.Request{Protocol: protocol, Host: host}
}

// check makes every step for one token.
func (r *run) check(p place) {
	r.found = p.found
	r.result.tokens = append(r.result.tokens, p.found.Token)
	question, _, problem := r.Helper.Question(p.request, p.found)
	switch {
	case p.found.Problem != nil:
		r.fail(stepSource, p.found.Problem)
		r.skip("there is no token", after(stepSource)...)
	case problem != nil:
		r.source()
		r.fail(stepSettings, problem)
		r.skip("the settings are wrong", after(stepSettings)...)
	default:
		r.source()
		r.good(stepSettings, nil, "the scopes %s are asked for, and at least %s",
			strings.Join(question.Policy.Scopes, ", "), access.LevelName(question.Policy.Minimum))
		r.remote(p, question)
	}
	if !r.TokenOnly {
		r.machine(p, question.Project)
	}
}

// The steps, in their order.
const (
	stepSource    = "source"
	stepSettings  = "settings"
	stepInstance  = "instance"
	stepProxy     = "proxy"
	stepDNS       = "dns"
	stepTCP       = "tcp"
	stepTLS       = "tls"
	stepAPI       = "api"
	stepClock     = "clock"
	stepToken     = "token"
	stepExpiry    = "expiry"
	stepScopes    = "scopes"
	stepProject   = "project"
	stepAccess    = "access"
	stepBranch    = "branch"
	stepRateLimit = "rate-limit"
	stepFetch     = "git-fetch"
	stepPush      = "git-push"
	stepHelpers   = "git-helpers"
	stepStored    = "stored-tokens"
	stepGit       = "git-version"
	stepLFS       = "git-lfs-version"
)

// Steps are the names of all steps, in their order.
func Steps() []string {
	return []string{stepSource, stepSettings, stepInstance, stepProxy, stepDNS, stepTCP, stepTLS, stepAPI, stepClock,
		stepToken, stepExpiry, stepScopes, stepProject, stepAccess, stepBranch, stepRateLimit, stepFetch, stepPush,
		stepHelpers, stepStored, stepGit, stepLFS}
}
