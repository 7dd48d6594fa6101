package check

import (
	"bytes"
	"context"
	"net/url"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
)

// remote makes the steps that ask GitLab, up to git's login, and reports whether GitLab was
// reached. It uses get's own code, without the cache.
func (r *run) remote(p place) bool {
	i := p.found.Instance
	username := r.username(p)
	if instance.OtherCredential(username) {
		r.fail(stepInstance, errOtherUsername(message.Quote(username)))
		r.skipThrough(stepPush, unreached)
		return false
	}
	r.good(stepInstance, InstanceData{URL: i.URL()}, "%s%s", i.URL(), origin(i, p.found.Belongs))
	var a *answers
	result := r.get(p, username, func(ctx context.Context, q helper.Question) helper.Finding {
		a.close()
		a = r.ask(ctx, p, q)
		return helper.Finding{Verdict: a.verdict, Facts: a.facts, Problem: a.problem}
	})
	if a == nil {
		r.fail(stepProxy, errNoAnswer())
		r.skipThrough(stepPush, unreached)
		return false
	}
	defer a.close()
	a.result = result
	switch {
	case a.problem != nil && strings.HasPrefix(message.As(a.problem).Code, "proxy-"):
		r.fail(stepProxy, a.problem)
	case a.problem != nil:
		r.skipThrough(stepTCP, "not checked")
		r.fail(stepTLS, a.problem)
	case a.reached():
		a.judge()
		return true
	}
	r.skipThrough(stepPush, unreached)
	return false
}

// asking is a Verifier without the cache.
type asking struct {
	helper.Verifier
	ask func(context.Context, helper.Question) helper.Finding
}

func (a asking) Verify(ctx context.Context, q helper.Question) helper.Finding { return a.ask(ctx, q) }

// get is git's result for a token, with verify instead of the cache.
func (r *run) get(p place, username string, verify func(context.Context, helper.Question) helper.Finding) helper.Result {
	h := r.Helper
	h.Source = helper.Given{Source: h.Source, Place: p.found}
	h.Verifier = asking{r.Helper.Verifier, verify}
	attributes := []credential.Attribute{{Key: "protocol", Value: p.request.Protocol}, {Key: "host", Value: p.request.Host}, {Key: "path", Value: p.request.Path}}
	if username != "" {
		attributes = append(attributes, credential.Attribute{Key: "username", Value: username})
	}
	request, err := credential.Marshal(attributes)
	if err != nil {
		return helper.Result{}
	}
	return h.Get(r.ctx, bytes.NewReader(request))
}

// username is git's user name for a token: that of the project's remote here, or the configured
// one.
func (r *run) username(p place) string {
	if !r.given {
		for _, remote := range r.Helper.Remotes() {
			at, err := url.Parse(remote)
			here, _ := p.found.Instance.ProjectOf(remote)
			if err == nil && at.User != nil && at.User.Username() != "" && p.request.Path != "" && strings.EqualFold(here, project(p)) {
				return at.User.Username()
			}
		}
	}
	return r.config.Credential(p.url()).Username
}

func project(p place) string {
	path, _ := p.found.Instance.Project(p.request.Path)
	return path
}

// ask asks GitLab about a token: that of a place, or the one that replaces it.
func (r *run) ask(ctx context.Context, p place, q helper.Question) *answers {
	a := &answers{run: r, place: p, question: q}
	if q.Found.Token.Reveal() != p.found.Token.Reveal() {
		r.result.redact = append(r.result.redact, q.Found.Token.Redact)
	}
	if a.client, a.problem = r.Connect(q); a.problem != nil {
		return a
	}
	var trace connTrace
	a.verdict, a.facts = r.inquire(ctx, a.client, trace.watch, q, access.Facts{})
	a.seen, a.way = trace.seen(), a.client.Connection()
	return a
}

// inquire asks GitLab what is not known, and waits for rate limits. watch records the requests;
// nil for none.
func (r *run) inquire(ctx context.Context, client *gitlab.Client, watch func(context.Context) context.Context, q helper.Question, known access.Facts) (access.Verdict, access.Facts) {
	if watch == nil {
		watch = func(ctx context.Context) context.Context { return ctx }
	}
	for {
		limited, cancel := context.WithTimeout(ctx, r.Limit)
		verdict, facts := client.Check(watch(limited), q.Project, q.Policy, known)
		if verdict.Reason == access.RateLimited && verdict.Wait != 0 && r.OnLimit(ctx, q.Found, verdict.Wait) {
			cancel()
			continue
		}
		if facts.User.State == access.Unasked && facts.Self.State == access.Given && !facts.Rejected() {
			// The token's user is shown, which helps most if the token is not valid for the
			// project.
			facts.User = client.User(limited)
			if verdict.Outcome == access.Granted {
				verdict, _ = q.Policy.Judge(facts, r.Now())
			}
		}
		cancel()
		return verdict, facts
	}
}

// unreached is why steps after a failed one are skipped.
const unreached = "GitLab can't be reached"

// origin is the setting that names an instance.
func origin(i instance.Instance, belongs string) string {
	if belongs == "" {
		return ""
	}
	if i.URL() == source.DefaultInstanceURL {
		return ", since " + belongs + " names no other"
	}
	return ", named by " + belongs
}

// reached reports the steps of the connection, up to the one that failed, if any.
func (a *answers) reached() bool {
	failed := ""
	if a.verdict.Outcome == access.Unverified && unanswered(a.facts) {
		failed = a.seen.fault(a.verdict.Reason, a.way.ProxyHost, a.question.Found.Instance)
	}
	for _, step := range table() {
		switch {
		case step.connection == nil:
		case step.name == failed:
			a.fail(failed, a.connectionError(failed))
			return false
		default:
			step.connection(a)
		}
	}
	return true
}

// connectionError is why a step of the connection failed, with details from the connection.
func (a *answers) connectionError(step string) error {
	why := message.Explain(a.verdict, helper.SubjectOf(a.question))
	signer := a.seen.signer()
	switch {
	case step == stepTLS && signer != "":
		return signed(why, signer)
	case step == stepAPI && a.verdict.Reason == access.Unreachable:
		return brokenOff(why)
	}
	return why
}
