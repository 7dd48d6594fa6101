// Package check tests everything that git needs for a push, in order, and reports each step:
// where the token comes from, how the instance is reached, GitLab's replies about the token
// and the project, git's own login, and git's configuration on this machine.
//
// It makes no decisions of its own: the packages that answer git decide whether a
// request is ours, which token is used and what GitLab's replies mean.
package check

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/deadline"
	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/gitnet"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/report"
	"github.com/ambient-code/git-credential-acp/internal/source"
)

// Step is the result of one step. docs/check.schema.json describes its JSON form.
type Step struct {
	Name   string        `json:"name"`
	Status report.Status `json:"status"`
	// Text is the result, Hint what to do about it.
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
	// Code is the message's code, for a failure or warning; see docs/messages.md.
	Code string `json:"code,omitempty"`
	// Instance is the step's instance.
	Instance string `json:"instance,omitempty"`
	// Data is the result for programs: one of the …Data types, or nil.
	Data any `json:"data,omitempty"`
}

// Outcome is the result of a check, as in JSON.
type Outcome string

// The outcomes: good, perhaps with warnings; refused; unverified; or wrong usage, without any
// steps.
const (
	AllGood    Outcome = "good"
	Refused    Outcome = "refused"
	Unverified Outcome = "unverified"
	Usage      Outcome = "usage"
)

// Result is a check's result.
type Result struct {
	Outcome Outcome
	// Reason is the first problem; nil for none.
	Reason error
	// Failures and Warnings are their numbers.
	Failures, Warnings int

	redact []func(string) string
}

// Redact removes the checked tokens and other secrets from a text.
func (r Result) Redact(text string) string {
	for _, redact := range r.redact {
		text = redact(text)
	}
	return text
}

// Check runs the checks. All fields must be set unless noted.
type Check struct {
	// Helper answers git. Its Verifier is used only to forget: GitLab is asked without the
	// cache.
	Helper helper.Helper
	// Connect makes a client for the instance of a question's token.
	Connect func(helper.Question) (*gitlab.Client, error)
	// TokenOnly skips the steps about git on this machine.
	TokenOnly bool
	// Limit is the time limit for each question, retries included.
	Limit time.Duration
	// OnLimit waits for a rate limit to reset; it is false if there is no time for that.
	OnLimit func(ctx context.Context, of source.Found, wait time.Duration) bool
	// Connection reports whether the session's owner has a connection on the platform; none
	// is why not, nil if unknown.
	Connection func(context.Context) (connected bool, none error)
	// Cache is the cache's directory, or a warning why there is none; both are zero if it
	// is off.
	Cache func() (path string, problem error)
	// Net has git's configuration where the check runs, and how git reaches servers.
	Net gitnet.Settings
	// Here is where the check runs.
	Here Machine
	// Redact takes secrets out of a text, besides the tokens that are checked.
	Redact func(text string) string
	// Report is called for each step.
	Report func(Step)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Run runs the check. The context bounds all of it.
func (c Check) Run(ctx context.Context, target Target) Result {
	// Find the token once, so that all steps are about the same one.
	c.Helper.Source = &once{Source: c.Helper.Source}
	r := c.start(deadline.Begin(ctx), target.Request.Host != "")
	r.branch = target.Branch
	request, _ := r.beyond(target.Request)
	if known := c.Helper.Known; request.Host == "" && known != nil {
		request = requestFor(*known)
	}
	places := r.places(request)
	for _, p := range places {
		r.check(p)
	}
	if len(places) == 0 {
		r.skipThrough(stepPush, "there is no token")
		if !c.TokenOnly {
			(&gitHere{run: r, place: place{request: request}}).configured(false)
		}
	}
	if !c.TokenOnly {
		r.begin("")
		for _, step := range table() {
			if step.machine != nil {
				step.machine(r)
			}
		}
	}
	switch {
	case r.result.Reason == nil:
		r.result.Outcome = AllGood
	case message.Unverified(r.result.Reason):
		r.result.Outcome = Unverified
	default:
		r.result.Outcome = Refused
	}
	return r.result
}

// once is a Source that searches only once.
type once struct {
	helper.Source
	all     bool
	done    bool
	found   []source.Found
	looked  []string
	problem error
}

func (o *once) Find(ctx context.Context, request credential.Request) ([]source.Found, []string, error) {
	if o.all {
		request = credential.Request{}
	}
	if !o.done {
		o.found, o.looked, o.problem = o.Source.Find(ctx, request)
		o.done = true
	}
	return o.found, o.looked, o.problem
}

// run is a running check.
type run struct {
	Check
	steps
	ctx context.Context
	// given: a URL says what to check.
	given  bool
	config gitconfig.Config
	// ignored are settings that may be why GitLab was not reached.
	ignored []string
}

// start makes a run without any results.
func (c Check) start(ctx context.Context, given bool) *run {
	if c.Now == nil {
		c.Now = time.Now
	}
	r := &run{Check: c, ctx: ctx, given: given, config: c.Net.Git(), steps: steps{to: c.Report, result: Result{redact: []func(string) string{c.Redact}}}}
	r.begin("")
	return r
}

// limited is a context with the time limit of one question, as for get.
func (r *run) limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.ctx, r.Limit)
}

// place is a token to check, for what git would ask.
type place struct {
	found   source.Found
	request credential.Request
}

// places are the tokens to check. A failure to find them is a step of its own.
func (r *run) places(request credential.Request) []place {
	if request.Host == "" {
		return r.all()
	}
	found, result := r.Helper.Find(r.ctx, request)
	if found == nil {
		if behind := r.behind(request); len(behind) > 0 {
			return behind[:1]
		}
		r.fail(stepSource, r.tokenless(request, result))
		return nil
	}
	return []place{{found: *found, request: request}}
}

// all are all tokens, if no valid setting names an instance.
func (r *run) all() []place {
	wrong := r.Helper.KnownProblem
	found, looked, problem := r.Helper.Source.Find(r.ctx, credential.Request{})
	behind := r.behind(credential.Request{})
	switch {
	case problem != nil:
		r.fail(stepSource, problem)
		return nil
	case len(found) == 0 && len(behind) > 0:
		return behind
	case wrong != nil && (r.Helper.Only || len(found) == 0):
		r.fail(stepSource, wrong)
		return nil
	case len(found) == 0:
		r.fail(stepSource, message.NoToken(looked, r.Helper.Source.Connect()))
		return nil
	}
	var places []place
	for _, f := range found {
		places = append(places, place{found: f, request: requestFor(f.Instance)})
	}
	return places
}

// tokenless is why there is no token for a request; result is git's result.
func (r *run) tokenless(request credential.Request, result helper.Result) error {
	var have []instance.Instance
	known := r.Helper.Known
	if known != nil {
		have = append(have, *known)
	}
	var looked []string
	var wrong error
	if !r.Helper.Only {
		var found []source.Found
		found, looked, wrong = r.Helper.Source.Find(r.ctx, request)
		for _, f := range found {
			if known == nil && f.ByDefault && source.NoTurn(f.Problem) {
				return r.unconnected(f.Problem) // of any instance
			}
			have = append(have, f.Instance)
		}
	}
	var names []string
	ours := false
	for _, i := range have {
		match := i.Match(request.Protocol, request.Host, request.Path)
		if match == instance.Downgraded {
			return message.URLIsHTTP(i.URL())
		}
		ours = ours || match == instance.Ours
		if name := i.String(); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	switch {
	case !ours && request.Protocol == "http" && onLoopback(request.Host):
		return errProxyUnknown(request.Protocol + "://" + request.Host)
	case len(result.Messages) > 0:
		return result.Messages[0]
	case len(names) == 0 && wrong != nil:
		return wrong
	case len(names) == 0:
		return message.NotConnected(message.Quote(request.Host), looked, r.Helper.Source.Connect())
	}
	return message.URLForeign(request.Host, names)
}

// unconnected is why there is no token, with what the platform knows of it: between
// turns, the runner's file is missing as it is for a user who has not connected GitLab.
func (r *run) unconnected(why error) error {
	if !source.NoTurn(why) {
		return why
	}
	ctx, cancel := r.limited()
	defer cancel()
	switch connected, none := r.Connection(ctx); {
	case none != nil:
		return add(none, ", its owner, and no user's turn is running")
	case connected:
		return add(why, "; the session's owner has connected GitLab")
	}
	return why
}

// requestFor is what git asks for without credential.useHttpPath.
func requestFor(i instance.Instance) credential.Request {
	protocol, host, _ := strings.Cut(i.Origin(), "://")
	return credential.Request{Protocol: protocol, Host: host}
}

// check makes every step for one token.
func (r *run) check(p place) {
	r.begin(p.found.Instance.String())
	r.result.redact = append(r.result.redact, p.found.Token.Redact)
	question, rules, problem := r.Helper.Question(p.request, p.found)
	if p.request.Path == "" && question.Project != "" {
		// So that what is said of git is about this project, as it would be with
		// credential.useHttpPath.
		i := p.found.Instance
		p.request.Path = strings.TrimPrefix(strings.TrimPrefix(i.URL(), i.Origin())+"/"+question.Repository(), "/")
	}
	reached := false
	way, proxied := r.through(p.url())
	switch {
	case proxied && (p.found.Token.IsZero() || p.found.Problem != nil):
		r.skipThrough(stepPush, HasToken(way.proxy))
	case p.found.Problem != nil:
		r.fail(stepSource, r.unconnected(p.found.Problem))
		r.skipThrough(stepPush, "there is no token")
	case problem != nil:
		reportSource(&r.steps, p.found)
		r.fail(stepSettings, problem)
		r.skipThrough(stepPush, "the settings are invalid")
	default:
		reportSource(&r.steps, p.found)
		reportSettings(&r.steps, question.Policy, rules)
		reached = r.remote(p)
	}
	if !r.TokenOnly {
		(&gitHere{run: r, place: p}).configured(reached)
	}
}

// reportSettings reports the requirements for a token.
func reportSettings(s *steps, policy access.Policy, rules helper.Rules) {
	text := "required: the scopes " + strings.Join(policy.Scopes, ", ") + ", and at least " + access.LevelName(policy.Minimum)
	if policy.Minimum == access.NoRole {
		text = "required: the scopes " + strings.Join(policy.Scopes, ", ") + ", and no role (the minimum access is none)"
	}
	if rules.AllowUnverified {
		text += "; git gets it even if GitLab can't be reached"
	}
	s.good(stepSettings, SettingsData{Scopes: policy.Scopes, Minimum: policy.Minimum, AllowUnverified: rules.AllowUnverified}, "%s", text)
}

// Names of steps that other steps refer to.
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
	stepVerify    = "git-tls"
	stepRun       = "git-run"
	stepConfig    = "git-config"
	stepStored    = "stored-tokens"
	stepGit       = "git-version"
	stepLFS       = "git-lfs-version"
	stepCache     = "cache"
)

// step is a row of the table of steps.
type step struct {
	name string
	// connection reports the step if the connection to GitLab got that far.
	connection func(*answers)
	// reply reports the step from GitLab's replies about a token.
	reply func(*answers)
	// machine reports the step once, independently of tokens.
	machine func(*run)
}

// table has all steps, in their order. Rows without functions are reported where the
// facts are found: source and settings by check, instance by remote, git for a token by
// configured.
func table() []step {
	return []step{
		{name: stepSource}, {name: stepSettings},
		{name: stepInstance},
		{name: stepProxy, connection: reportProxy},
		{name: stepDNS, connection: reportDNS},
		{name: stepTCP, connection: reportTCP},
		{name: stepTLS, connection: reportTLS},
		{name: stepAPI, connection: reportAPI},
		{name: stepClock, connection: reportClock},
		{name: stepToken, reply: reportToken},
		{name: stepExpiry, reply: reportExpiry},
		{name: stepScopes, reply: reportScopes},
		{name: stepProject, reply: reportProject},
		{name: stepAccess, reply: reportAccess},
		{name: stepBranch, reply: reportBranch},
		{name: stepRateLimit, reply: reportRate},
		{name: stepFetch, reply: reportFetch},
		{name: stepPush, reply: reportPush},
		{name: stepHelpers}, {name: stepVerify}, {name: stepRun},
		{name: stepConfig, machine: reportOrigins},
		{name: stepStored, machine: reportStored},
		{name: stepGit, machine: func(r *run) { reportVersion(r, stepGit, "git", "git version ", gitLeaks, "--version") }},
		{name: stepLFS, machine: func(r *run) { reportVersion(r, stepLFS, "git-lfs", "git-lfs/", lfsLeaks, "version") }},
		{name: stepCache, machine: reportCache},
	}
}

// Steps are the names of all steps, in their order.
func Steps() (names []string) {
	for _, step := range table() {
		names = append(names, step.name)
	}
	return names
}
